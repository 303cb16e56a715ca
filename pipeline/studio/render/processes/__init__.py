"""The processes in which the studio decodes and stylizes: a clip that crashes or hangs one stops nothing else."""
