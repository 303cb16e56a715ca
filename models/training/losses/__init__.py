"""What a training minimizes: the objective, its loss network, and the adversary."""
