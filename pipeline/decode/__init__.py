"""The first stage: a file or a pipe in, upright RGB frames with exact times out."""
