"""Prediction in parts, on the machines of a Ray cluster: any number of images, each exactly once."""
