"""Concluded experiments: what a decision was made from; run again only to question it."""
