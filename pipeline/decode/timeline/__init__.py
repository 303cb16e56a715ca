"""Whether packets follow each other: clocks that jump, codecs that change, packets that are lost or hidden."""
