"""Training the style predictor: from folders of pictures and photos to a weight file."""
