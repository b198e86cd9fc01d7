"""Results offer what upper floors do: drawing, saving, evaluating. They import it when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def later(place: str) -> Any:
    """The object ``"module:name"`` of this package; a test sees that all of them are there."""
    module, _, name = place.partition(":")
    return getattr(import_module(f"cornernet.{module}"), name)
