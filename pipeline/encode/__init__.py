"""The last stage: stylized frames and the other streams of the source in, one output file out."""
