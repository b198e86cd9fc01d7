"""Weights files: ours, and those of others."""

import os
from pathlib import Path

BUNDLED = {name: Path(__file__).parent / "bundled" / f"{name}.safetensors" for name in ("photos", "shapes")}
"""Weights that come with the package, by name: of photographs with the 80 COCO classes, and of drawn scenes."""
CACHE_VARIABLE = "CORNERNET_CACHE"


def cache_folder() -> Path:
    """Where fetched files are kept: $CORNERNET_CACHE, or cornernet in the user's cache folder."""
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cornernet"
