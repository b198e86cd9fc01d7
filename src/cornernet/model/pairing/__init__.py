"""Pairing rules: one file for each kind, named as in a recipe."""
