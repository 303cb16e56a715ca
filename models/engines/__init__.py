"""Ways to run the network: eager, torch.compile, ahead of time, OpenVINO."""
