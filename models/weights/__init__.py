"""The bundled weights: one network, its styles, and how they were made."""
