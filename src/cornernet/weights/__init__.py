"""Weights files: ours, and those of others."""

from pathlib import Path

BUNDLED = {name: Path(__file__).parent / "bundled" / f"{name}.safetensors" for name in ("photos", "shapes")}
"""Weights that come with the package, by name: of photographs with the 80 COCO classes, and of drawn scenes."""
