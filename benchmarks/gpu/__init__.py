"""The rows of `benchmarks/cuda.py`, and the processes that measure them."""
