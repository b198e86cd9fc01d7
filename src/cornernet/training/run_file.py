"""``run.json``: what a run began with, besides its recipe."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from cornernet.data.source import DataSource
from cornernet.errors import InputError
from cornernet.files import atomic_write_json, read_own_json
from cornernet.typed import build

RUN_FILE = "run.json"
RUN_FORMAT = 2  # a run of another format cannot be resumed


@dataclass
class RunInfo:
    """The recipe's ``name``, the data, the number of training ``images`` and of processes (``world``).

    ``loggers`` are the loggers chosen by name, each with the id of its run where it goes on with that.
    ``report`` says whether one is written at the end.
    """

    name: str
    source: DataSource
    class_names: tuple[str, ...]
    images: int
    world: int
    loggers: dict[str, str | None] = field(default_factory=dict)
    report: bool = True

    def write(self, folder: Path) -> None:
        """Write it to the run's folder."""
        atomic_write_json(folder / RUN_FILE, {"format": RUN_FORMAT} | asdict(self))

    @classmethod
    def read(cls, folder: Path) -> RunInfo:
        """Read it. Raises ``InputError`` if the file is damaged or another version of cornernet wrote it."""
        path = folder / RUN_FILE
        run = read_own_json(path, "start the run anew")
        if not isinstance(run, dict) or run.pop("format", None) != RUN_FORMAT:
            what = "another version of cornernet began this run"
            raise InputError(what, folder, "go on with that version, or start the run anew")
        try:
            return build(cls, run, str(path))
        except InputError as error:
            raise InputError(f"damaged ({error.what})", path, "start the run anew") from None
