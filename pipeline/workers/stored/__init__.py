"""Clips whose input or output are at URLs, for the process that splits them and for workers."""
