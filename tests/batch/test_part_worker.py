"""What actors do with a part that kills them, and when a job ends early."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from batch.jobs import as_row, one_machine, write_images, write_weights
from cornernet.batch.careful_part import detect_carefully
from cornernet.batch.choosing import choose_detector
from cornernet.batch.detector_choice import detect_by_size
from cornernet.batch.job import Failures
from cornernet.batch.listing import PlannedItem
from cornernet.batch.part_worker import PartWorker
from cornernet.errors import InputError
from cornernet.inference.detector import load_detector
from cornernet.media.sources import Frame

# A decoder that ends its process at images of some names.
CRASHING = """
import os
import cornernet.batch.careful_part as part
read = part.frames_of
def crash(image):
    if image.name.endswith("003.jpg"):
        os.kill(os.getpid(), 11)
    yield from read(image)
part.frames_of = crash
part.run_child()
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights") / "small.safetensors")


def test_an_image_that_ends_its_process_is_one_row(weights, tmp_path):
    paths = write_images(tmp_path, 6)
    choice, _ = choose_detector(str(weights))
    items = [PlannedItem(0, str(path)) for path in paths]
    command = (sys.executable, "-c", CRASHING)
    found = list(detect_carefully(choice.on("cpu", 1), items, "/", None, True, command))
    rows = [(each.name, each.picture, as_row(each.found)) for each in found]
    expected = one_machine(weights, [str(path) for path in paths])
    place = next(i for i, (name, _, _) in enumerate(expected) if name == str(paths[3]))
    fix = "convert it, or leave it out"
    error = f"{paths[3]}: the process that read it ended (exit code -11); {fix}"
    expected[place] = (str(paths[3]), None, (error,))
    assert rows == expected


def test_a_process_that_cannot_begin_is_no_fault_of_an_image(weights):
    choice, _ = choose_detector(str(weights))
    command = (sys.executable, "-c", "raise SystemExit(7)")
    with pytest.raises(InputError, match="ended before its first image"):
        list(detect_carefully(choice.on("cpu", 1), [PlannedItem(0, "a.png")], "/", None, True, command))


def test_deaths_at_a_part_are_remembered(tmp_path):
    worker = PartWorker.__new__(PartWorker)
    worker.out = str(tmp_path)
    assert [worker._kills(3) for _ in range(4)] == [False, False, True, True]
    assert worker._kills(4) is False


def test_images_of_one_size_share_a_pass_and_keep_their_order(weights):
    detector = load_detector(weights, device="cpu")
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (64 + 128 * (i % 2), 48, 3), np.uint8) for i in range(7)]
    frames: list[Frame] = [Frame(str(i), "", pixels) for i, pixels in enumerate(images)]
    frames.insert(2, Frame("bad", "", InputError("no image", "bad")))
    passes: list[int] = []
    run = detector.model.forward

    def counted(pixels, **options):
        passes.append(len(pixels))
        return run(pixels, **options)

    detector.model.forward = counted  # type: ignore[method-assign]
    found = list(detect_by_size(detector, frames, 3, threshold=0.0, classes={0, 2}))
    assert passes == [3, 1, 3]
    assert [frame.source for frame, _ in found] == ["0", "1", "bad", "2", "3", "4", "5", "6"]
    assert [isinstance(result, InputError) for _, result in found] == [i == 2 for i in range(8)]
    detector.model.forward = run  # type: ignore[method-assign]
    for frame, result in found:
        if not isinstance(result, InputError):
            alone = detector(frame.pixels).of(0, 2)
            assert len(alone) == len(result.detections) > 0
            np.testing.assert_allclose(result.detections.boxes, alone.boxes, atol=1e-3)


def test_a_job_ends_when_nothing_but_failures_comes():
    failures = Failures(workers=2)
    for _ in range(3):
        failures.add("s3://b: the store does not answer")
    failures.forget()
    for _ in range(3):
        failures.add("the disk is full")
    with pytest.raises(InputError, match=r"5 parts are missing .s3://b: the store does not answer"):
        failures.refuse(5)
    failures.refuse(0)
    with pytest.raises(InputError, match="the job ended"):
        failures.add("the disk is full")
