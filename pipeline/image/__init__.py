"""Pictures: one or many are read, stylized and written. Start reading in `pipeline.image.run`."""
