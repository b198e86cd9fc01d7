"""Training batches: decided by (seed, epoch, index) alone, each image once, resumed to the batch."""

import io
import json
import warnings
import weakref
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from cornernet.config import SIZES, Augmentation, Preprocessing, Recipe
from cornernet.data.coco import load_coco
from cornernet.data.find import find_data, load_split
from cornernet.data.loading import EpochSampler, TrainingImages, TrainingLoader, collate
from cornernet.errors import InputError

COUNT = 7
RECIPE = Recipe(
    model=SIZES["hourglass-nano"], augmentation=Augmentation(crop_size=64, border=16), batch_size=2, seed=3, workers=0
)


@pytest.fixture
def dataset(tmp_path):
    """Seven images of noise; image 0 has a crowd box besides its own, image 1 none."""
    (tmp_path / "train").mkdir()
    images, annotations = [], []
    for i in range(COUNT):
        height, width = 60 + 10 * i, 90 - 5 * i
        pixels = np.random.default_rng(i).integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "train" / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "height": height, "width": width})
        for crowd in [0, 1][: {0: 2, 1: 0}.get(i, 1)]:
            box = {"image_id": i, "category_id": 1 + crowd, "bbox": [5, 5, 50, 48], "area": 2400, "iscrowd": crowd}
            annotations.append({"id": len(annotations) + 1, **box})
    categories = [{"id": 1, "name": "own"}, {"id": 2, "name": "crowded"}]
    path = tmp_path / "instances_train.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return load_coco(path, tmp_path / "train")


def same(a, b):
    return a.names == b.names and all(torch.equal(x, y) for x, y in zip(a[:3], b[:3], strict=True))


def epoch_of(loader, epoch):
    loader.sampler.set_epoch(epoch)
    return list(loader)


def test_batches_do_not_depend_on_worker_processes(dataset):
    alone = TrainingLoader(dataset, RECIPE)
    helped = TrainingLoader(dataset, replace(RECIPE, workers=2))
    for epoch in (0, 4):
        batches = epoch_of(alone, epoch)
        assert len(batches) == 3
        assert all(same(a, b) for a, b in zip(batches, epoch_of(helped, epoch), strict=True))
    images = batches[0].images
    assert (images.dtype, images.shape) == (torch.uint8, (2, 3, 64, 64))
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_no_more_workers_than_cores(dataset, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)
    for asked, given in ((0, 0), (1, 1), (2, 2), (9, 2)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # torch warns of more
            assert TrainingLoader(dataset, replace(RECIPE, workers=asked))._loader.num_workers == given


def test_workers_have_one_thread_and_share_bytes(dataset):
    class Threads(TrainingImages):
        def __getitem__(self, key):
            threads = np.array([cv2.getNumThreads(), torch.get_num_threads()])
            return np.zeros((8, 8, 3), np.uint8), np.zeros((2, 4), np.float32), threads, ""

    loader = TrainingLoader(dataset, replace(RECIPE, workers=1))
    loader._loader.dataset.__class__ = Threads
    batch = next(iter(loader))
    assert batch.labels.tolist() == [[1, 1]] * 2
    assert batch.images.dtype == torch.uint8
    assert batch.images.is_shared()


def test_a_sample_is_decided_by_seed_epoch_and_index(dataset):
    images = TrainingImages(dataset, RECIPE)
    keys = [(epoch, index) for epoch in range(2) for index in range(COUNT)]
    forwards = {key: images[key] for key in keys}
    backwards = {key: TrainingImages(dataset, RECIPE)[key] for key in reversed(keys)}
    for key in keys:
        np.testing.assert_array_equal(forwards[key][0], backwards[key][0])
        np.testing.assert_array_equal(forwards[key][1], backwards[key][1])
    assert not np.array_equal(forwards[0, 2][0], forwards[1, 2][0])
    assert not np.array_equal(forwards[0, 2][0], TrainingImages(dataset, replace(RECIPE, seed=4))[0, 2][0])


def test_crowds_are_left_out_and_images_without_boxes_stay(dataset):
    images = TrainingImages(dataset, RECIPE)
    for epoch in range(5):
        assert images[epoch, 0][2].tolist() == [0]
        batch = collate([images[epoch, 1], images[epoch, 0]])
        assert batch.labels.tolist() == [[-1], [0]]
        assert batch.boxes.shape == (2, 1, 4)
        assert batch.names == ["1.png", "0.png"]
    assert collate([images[0, 1]]).labels.tolist() == [[-1]]


def test_batches_are_filled_up_to_the_most_boxes():
    def sample(count):
        boxes = np.arange(count * 4, dtype=np.float32).reshape(-1, 4)
        return np.zeros((8, 8, 3), np.uint8), boxes, np.arange(count), f"{count}"

    batch = collate([sample(2), sample(0), sample(200)])
    assert batch.labels.shape == (3, 200)
    assert (batch.labels >= 0).sum(1).tolist() == [2, 0, 200]
    assert batch.boxes[2, 199].tolist() == [796, 797, 798, 799]
    assert batch.labels[0, :3].tolist() == [0, 1, -1]


@pytest.mark.parametrize(
    ("preprocessing", "fill"),
    [
        (Preprocessing(), (123.675, 116.28, 103.53)),
        (Preprocessing(color_order="BGR", mean=(103.53, 116.28, 123.675)), (123.675, 116.28, 103.53)),
        (Preprocessing(padding="black"), (0, 0, 0)),
    ],
)
def test_outside_the_image_is_what_padding_will_be(dataset, preprocessing, fill):
    settings = replace(RECIPE.augmentation, scales=(), color_jitter=False, crop_size=200)
    images = TrainingImages(dataset, replace(RECIPE, preprocessing=preprocessing, augmentation=settings))
    assert images[0, 0][0][0, 0].tolist() == [round(value) for value in fill]


@pytest.mark.parametrize(("images", "batch", "world"), [(12, 3, 1), (12, 3, 2), (13, 4, 3), (3, 8, 1), (5, 8, 2)])
def test_every_image_once_an_epoch_and_never_on_two_ranks(images, batch, world):
    orders = []
    for epoch in range(3):
        seen = []
        for rank in range(world):
            sampler = EpochSampler(images, batch, 1, rank, world)
            sampler.set_epoch(epoch)
            batches = list(sampler)
            size = min(batch, images // world)
            assert len(batches) == len(sampler) == images // world // size
            assert all(len(keys) == size for keys in batches)
            assert {key[0] for keys in batches for key in keys} == {epoch}
            seen += [index for keys in batches for _, index in keys]
        assert len(seen) == len(set(seen))
        assert set(seen) <= set(range(images))
        if images % (batch * world) == 0:
            assert len(seen) == images
        orders.append(tuple(seen))
    assert len(set(orders)) > 1
    again = EpochSampler(images, batch, 1, 0, world)
    again.set_epoch(2)
    assert [index for keys in again for _, index in keys] == list(orders[2][: len(orders[2]) // world])


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("done", [0, 1, 2, 3])
def test_a_resumed_epoch_goes_on_with_the_next_batch(dataset, done, workers):
    whole, resumed = TrainingLoader(dataset, RECIPE), TrainingLoader(dataset, replace(RECIPE, workers=workers))
    resumed.load_state_dict({"epoch": 5, "batches": done})
    expected = epoch_of(whole, 5)[done:] if done < 3 else epoch_of(whole, 6)
    found = epoch_of(resumed, 5 if done < 3 else 6)
    assert all(same(a, b) for a, b in zip(expected, found, strict=True))
    following = zip(epoch_of(whole, 7), epoch_of(resumed, 7), strict=True)
    assert all(same(a, b) for a, b in following)


def failure(loader):
    try:
        list(loader)
    except InputError as error:
        return str(error)
    raise AssertionError("a broken image went unnoticed")


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("damage", ["truncated", "missing", "another size"])
def test_an_image_that_cannot_be_used_is_an_input_error_naming_it(dataset, workers, damage):
    path = dataset.images[4].path
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:500])
    else:
        Image.new("RGB", (20, 20)).save(path)
    loader = TrainingLoader(dataset, replace(RECIPE, batch_size=7, workers=workers))
    held = weakref.ref(loader)
    message = failure(loader)
    assert str(path) in message
    assert "\n" not in message
    del loader
    if workers:
        assert held() is None  # let go at once: workers that the garbage collector finds take five seconds to stop


def photo(path: Path, cut: float = 1.0, tail: bytes = b"") -> Path:
    """A photo of 90x60 pixels, the first part of its file, and something behind it."""
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    Image.fromarray(noise).save(file, "PNG" if path.suffix == ".png" else "JPEG")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.getvalue()[: int(cut * len(file.getvalue()))] + tail)
    return path


@pytest.mark.parametrize("format", ["coco", "yolo"])
def test_a_photo_that_is_cut_off_is_left_out_and_named(tmp_path, format):
    """One bad photo of thousands must not end a training an hour later; a film behind a photo is no damage."""
    folder = tmp_path / "images" / "train"
    photo(folder / "good.jpg")
    photo(folder / "film.jpg", tail=bytes(20_000))
    photo(folder / "cut.jpg", 0.6)
    photo(folder / "cut.png", 0.6)
    photo(folder / "zeros.jpg", 0.6, tail=bytes(5_000))
    names = [path.name for path in sorted(folder.iterdir())]
    if format == "yolo":
        for name in names:
            label = tmp_path / "labels" / "train" / f"{Path(name).stem}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text("0 0.5 0.5 0.5 0.5\n")
        (tmp_path / "data.yaml").write_text("names: [cat]\ntrain: images/train\n")
    else:
        images = [{"id": i, "file_name": name, "width": 90, "height": 60} for i, name in enumerate(names, 1)]
        boxes = [{"id": i, "image_id": i, "category_id": 1, "bbox": [9, 9, 30, 30]} for i in range(1, 6)]
        content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "cat"}]}
        (tmp_path / "annotations").mkdir()
        (tmp_path / "annotations" / "instances_train.json").write_text(json.dumps(content))
    data = load_split(find_data(tmp_path), "train")
    assert [Path(image.file_name).name for image in data.images] == ["film.jpg", "good.jpg"]
    problems = [str(problem) for problem in data.problems]
    assert {name for name in names for problem in problems if name in problem} == {"cut.jpg", "cut.png", "zeros.jpg"}
