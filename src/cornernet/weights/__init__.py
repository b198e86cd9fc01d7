"""Weights files: ours, and those of others."""

from pathlib import Path

BUNDLED = Path(__file__).parent / "bundled" / "shapes.safetensors"
