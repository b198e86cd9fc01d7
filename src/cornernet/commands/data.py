"""``cornernet data``."""

from __future__ import annotations

from pathlib import Path

from cornernet.commands.common import Bar


def shapes(out: str, *, train: int = 2000, val: int = 200, seed: int = 0) -> None:
    """Write the embedded data set, drawn scenes of 10 classes of form, to OUT as a COCO data set.

    Args:
        train: Scenes to learn from.
        val: Scenes to validate on; never the same as the others.
        seed: Another seed draws other scenes; the bundled weights were trained on scenes of seed 0.
    """
    from cornernet.data.shapes import write_coco

    write_coco(Path(out), train, val, seed, progress=Bar("drawing"))
    print(f"{train} + {val} scenes: {out}; next: cornernet train shapes --data {out}")
