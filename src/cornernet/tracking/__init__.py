"""Identities that stay: the boxes of one object over the frames of a video."""
