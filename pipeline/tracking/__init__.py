"""Masks of a few key frames, carried along the optical flow to all frames of a clip, before the clip is stylized."""
