"""Weights files: ours, and those of others."""

import os
from pathlib import Path

BUNDLED = Path(__file__).parent / "bundled" / "shapes.safetensors"
CACHE_VARIABLE = "CORNERNET_CACHE"


def cache_folder() -> Path:
    """Where fetched files are kept: $CORNERNET_CACHE, or cornernet in the user's cache folder."""
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cornernet"
