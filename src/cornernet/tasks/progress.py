"""Progress bars on a terminal."""

from __future__ import annotations

from tqdm import tqdm


class ProgressBar:
    """A progress bar to call with (done, total), total ``None`` if unknown; ``unit`` ``"B"`` counts bytes."""

    def __init__(self, what: str, unit: str = "image") -> None:
        self.what, self.unit, self.bar = what, unit, None

    def __call__(self, done: int, total: int | None) -> None:
        if self.bar is None:
            scaled = self.unit == "B"
            self.bar = tqdm(total=total, desc=self.what, unit=self.unit, unit_scale=scaled, leave=False, disable=None)
        self.bar.total = total
        self.bar.update(done - self.bar.n)
        if total is not None and done >= total:
            self.bar.close()

    def close(self) -> None:
        """Remove the bar."""
        if self.bar is not None:
            self.bar.close()
