"""What an actor of Ray does: one detector, part after part, each committed in one piece."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

from cornernet.batch.careful_part import FoundImage, detect_carefully
from cornernet.batch.detection_table import COUNTS, PartRows
from cornernet.batch.detector_choice import DetectorChoice, detect_by_size
from cornernet.batch.listing import PlannedItem, attempts_place, part_place
from cornernet.batch.manifest import Plan, about_part
from cornernet.batch.samples import read_part_frames
from cornernet.batch.storage import Unreachable, inside, storage_of
from cornernet.errors import InputError, command_line_words

_DEATHS = 2  # of actors at a part, until it is read with care


class PartWorker:
    """For ``map_batches``: a batch is a few numbers of parts; what it returns is what is stored in their files."""

    def __init__(self, out: str, base: str, choice: Any, column: str | None, from_command: bool) -> None:
        import ray

        self.out, self.base, self.column, self.from_command = out, base, column, from_command
        self.choice: DetectorChoice = ray.get(choice)
        self.detector = self.choice.open()
        self.plan = Plan(out)
        self.has_died = ray.get_runtime_context().was_current_actor_reconstructed

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        rows = [self.finish(int(part)) for part in batch["item"]]
        return {name: [row.get(name) for row in rows] for name in ("part", *COUNTS, "seconds", "failure")}

    def finish(self, part: int) -> dict[str, Any]:
        """Detect in a part's images and write its file, unless it is there; or say, as ``failure``, why that failed."""
        place = part_place(self.out, part)
        try:
            if about := about_part(self.out, part):  # by an actor whose answer was lost
                return {"part": part, **about}
            began, start, rows = time.time(), time.perf_counter(), PartRows()
            with command_line_words() if self.from_command else nullcontext():
                items = self.plan.items(part)
                found = self._carefully(items) if self.has_died and self._kills(part) else self._detect(items)
                for name, picture, detections in found:
                    rows.add(name, picture, detections)
            about = rows.counts | {"seconds": round(time.perf_counter() - start, 3), "began": round(began, 3)}
            storage_of(place).write(place, rows.to_parquet(about))
            return {"part": part, **about}
        except (Unreachable, InputError, OSError) as error:
            return {"part": part, "failure": " ".join(str(error).split())}
        except Exception as error:  # the other parts go on
            said = " ".join(str(error).split())
            return {"part": part, "failure": f"internal error: {type(error).__name__}: {said}"}

    def _detect(self, items: list[PlannedItem]) -> Iterator[FoundImage]:
        choice = self.choice
        frames = read_part_frames(items, self.base, self.column, choice.threads)
        for frame, result in detect_by_size(
            self.detector, frames, choice.batch_size, threshold=choice.threshold, classes=choice.labels
        ):
            yield FoundImage(frame.source, frame.index, result if isinstance(result, InputError) else result.detections)

    def _carefully(self, items: list[PlannedItem]) -> Iterator[FoundImage]:
        return detect_carefully(self.choice, items, self.base, self.column, self.from_command)

    def _kills(self, part: int) -> bool:
        """Whether actors died at this part before. Only those that began anew ask, and leave a mark that they did.

        So a part whose images make a process end is known after a few deaths, and all others cost nothing.
        """
        folder = attempts_place(self.out, part)
        before = len(storage_of(folder).files(folder))
        storage_of(folder).write(inside(folder, secrets.token_hex(4)), b"")
        return before >= _DEATHS
