"""What the user chooses about how boxes look."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BoxStyle:
    """``line_width`` in pixels, by default one that suits the picture; whether classes and scores are written."""

    line_width: int | None = None
    labels: bool = True
    scores: bool = True

    def texts(self, names: list[str], endings: list[str]) -> list[tuple[str, str]]:
        """What is written at each box; a box without a label has an empty text."""
        if not self.labels:
            return [("", "")] * len(names)
        return [*zip(names, endings if self.scores else [""] * len(names), strict=True)]


PLAIN = BoxStyle()
