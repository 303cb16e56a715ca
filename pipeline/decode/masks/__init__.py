"""Which part of a frame is stylized: masks from files, tracked ones, and those made from the frame itself."""
