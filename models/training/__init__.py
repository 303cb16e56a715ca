"""Training a style network: data, losses, schedule, loop. Also the loss networks that evaluation measures with."""
