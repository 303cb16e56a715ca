"""The folder beside an output that holds finished segments: its files, and the manifest that says what they are."""
