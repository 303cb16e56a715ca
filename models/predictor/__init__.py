"""Any picture is a style: a network that runs once for a picture and predicts the parameters of its style."""
