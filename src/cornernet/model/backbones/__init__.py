"""Backbones: one file for each kind, named as in a recipe."""
