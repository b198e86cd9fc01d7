"""The embedded data set: what its module promises, measured on what it draws."""

import json
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cornernet.data import shapes
from cornernet.data.shapes import CLASS_NAMES, SIZE, Scene, draw_scene, scene_seed, write_shapes
from cornernet.errors import InputError

SCENES = 400


class Drawn(NamedTuple):
    scenes: list[Scene]
    owners: list[NDArray[np.int8]]
    objects: list[list[shapes._Object]]


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    scenes, owners, objects = zip(
        *(shapes._compose(scene_seed("train", 0, index)) for index in range(SCENES)), strict=True
    )
    return Drawn(list(scenes), list(owners), list(objects))


@pytest.fixture(scope="module")
def boxes(drawn: Drawn) -> NDArray[np.float32]:
    return np.concatenate([scene.boxes for scene in drawn.scenes])


@pytest.fixture(scope="module")
def labels(drawn: Drawn) -> NDArray[np.int64]:
    return np.concatenate([scene.labels for scene in drawn.scenes])


def ridge_accuracy(features: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Accuracy on the last third of a one-against-all ridge classifier fitted on the first two thirds."""
    cut = len(labels) * 2 // 3
    mean, spread = features[:cut].mean(axis=0), features[:cut].std(axis=0) + 1e-6
    inputs = np.column_stack([(features - mean) / spread, np.ones(len(features))])
    targets = np.eye(len(CLASS_NAMES))[labels]
    gram = inputs[:cut].T @ inputs[:cut] + 10 * np.eye(inputs.shape[1])
    weights = np.linalg.solve(gram, inputs[:cut].T @ targets[:cut])
    return float(((inputs[cut:] @ weights).argmax(axis=1) == labels[cut:]).mean())


def neighbour_accuracy(features: NDArray[np.float64], labels: NDArray[np.int64], count: int) -> float:
    """Accuracy on the last third of a vote among the `count` nearest of the first two thirds."""
    cut = len(labels) * 2 // 3
    known, asked = features[:cut], features[cut:]
    distance = (asked**2).sum(axis=1)[:, None] - 2 * asked @ known.T + (known**2).sum(axis=1)
    nearest = labels[:cut][np.argpartition(distance, count, axis=1)[:, :count]]
    votes = np.eye(len(CLASS_NAMES))[nearest].sum(axis=1)
    return float((votes.argmax(axis=1) == labels[cut:]).mean())


def crop(array: NDArray, box: NDArray[np.float32]) -> NDArray:
    x1, y1, x2, y2 = box.astype(int)
    return array[y1:y2, x1:x2]


def histogram(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Joint RGB histogram of 4 x 4 x 4 bins, as shares."""
    red, green, blue = (pixels.reshape(-1, 3) >> 6).astype(np.int64).T
    return np.bincount(red * 16 + green * 4 + blue, minlength=64) / red.size


def test_a_seed_always_gives_the_same_scene() -> None:
    first, again, other = draw_scene((5, 0, 7)), draw_scene((5, 0, 7)), draw_scene((5, 0, 8))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.image, other.image)


def test_the_number_of_threads_changes_nothing() -> None:
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        one = draw_scene(11)
        cv2.setNumThreads(2)
        two = draw_scene(11)
    finally:
        cv2.setNumThreads(threads)
    assert np.array_equal(one.image, two.image)
    assert np.array_equal(one.boxes, two.boxes)


def test_a_scene_has_the_promised_types(drawn: Drawn) -> None:
    for scene in drawn.scenes:
        count = len(scene.labels)
        assert 3 <= count <= 12
        assert (scene.image.shape, scene.image.dtype) == ((SIZE, SIZE, 3), np.uint8)
        assert (scene.boxes.shape, scene.boxes.dtype) == ((count, 4), np.float32)
        assert scene.labels.dtype == np.int64
    assert {len(scene.labels) for scene in drawn.scenes} == set(range(3, 13))


def test_splits_share_no_scene() -> None:
    seeds = [scene_seed(split, seed, index) for split in ("train", "val") for seed in range(3) for index in range(20)]
    streams = {np.random.PCG64(seed).random_raw() for seed in seeds}
    assert len(streams) == len(seeds)
    with pytest.raises(ValueError, match="test"):
        scene_seed("test", 0, 0)
    # Read as 32-bit words, this one would be scene 0 of "val" with seed 0.
    with pytest.raises(ValueError, match="seed"):
        scene_seed("train", 2**32, 0)


def test_sizes_spread_over_the_whole_range(boxes: NDArray[np.float32]) -> None:
    assert boxes.min() >= 0
    assert boxes.max() <= SIZE
    sides = boxes[:, 2:] - boxes[:, :2]
    assert sides.min() >= 12
    assert sides.max() <= 220
    longest = np.log(sides.max(axis=1))
    shares = np.histogram(longest, np.linspace(np.log(12), np.log(220.5), 9))[0] / len(sides)
    assert shares.min() > 0.08  # 0.125 each where log-uniform
    assert shares.max() < 0.18
    aspect = np.log2(sides[:, 0] / sides[:, 1])
    assert np.abs(aspect).max() < 2.3
    assert np.histogram(aspect, [-2.3, -1.5, -0.5, 0.5, 1.5, 2.3])[0].min() > 0.05 * len(sides)


def test_classes_are_uniform(labels: NDArray[np.int64]) -> None:
    shares = np.bincount(labels, minlength=len(CLASS_NAMES)) / len(labels)
    assert len(labels) > 2500
    assert len(shares) == 10
    assert np.abs(shares - 0.1).max() < 0.025


def test_about_half_of_the_boxes_overlap(drawn: Drawn) -> None:
    overlapping: list[bool] = []
    for scene in drawn.scenes:
        low, high = scene.boxes[:, None, :2], scene.boxes[:, None, 2:]
        meets = (np.minimum(high, scene.boxes[:, 2:]) > np.maximum(low, scene.boxes[:, :2])).all(axis=2)
        overlapping += (meets.sum(axis=1) > 1).tolist()  # each meets itself
    assert 0.4 < np.mean(overlapping) < 0.6


def test_boxes_are_tight_around_visible_pixels(drawn: Drawn) -> None:
    for scene, owner in zip(drawn.scenes, drawn.owners, strict=True):
        for index, box in enumerate(scene.boxes):
            rows, cols = np.nonzero(owner == index)
            assert box.tolist() == [cols.min(), rows.min(), cols.max() + 1, rows.max() + 1]


def test_covering_leaves_objects_and_boxes_nearly_whole(drawn: Drawn) -> None:
    covered = 0
    for scene, owner, objects in zip(drawn.scenes, drawn.owners, drawn.objects, strict=True):
        for index, (item, box) in enumerate(zip(objects, scene.boxes, strict=True)):
            visible = np.count_nonzero(owner == index) / item.pixels
            assert visible >= 0.65
            covered += visible < 1
            whole = np.array(item.box)
            limit = np.maximum(2, 0.04 * np.tile(whole[2:] - whole[:2], 2))
            assert (np.abs(box - whole) <= limit).all()
    assert covered > 300  # covering is real


def test_what_is_drawn_ends_where_the_box_ends(drawn: Drawn) -> None:
    """The step in colour at the rightmost point of a disc lies at its box's right side, to a pixel."""
    hits: list[bool] = []
    for scene, owner, objects in zip(drawn.scenes, drawn.owners, drawn.objects, strict=True):
        image = scene.image.astype(np.float32)
        for index, item in enumerate(objects):
            x1, y1, x2, y2 = item.box
            middle = slice((y1 + y2) // 2 - 1, (y1 + y2) // 2 + 2)
            alone = (owner[y1:y2, max(0, x2 - 6) : x2 + 6] != -1).sum() == (owner[y1:y2, x2 - 6 : x2] == index).sum()
            if item.label != CLASS_NAMES.index("disc") or x2 + 6 > SIZE or x2 - x1 < 16 or not alone:
                continue
            profile = image[middle, x2 - 4 : x2 + 4].mean(axis=0)
            step = np.linalg.norm(np.diff(profile, axis=0), axis=1)
            hits.append(abs(int(step.argmax()) - 3) <= 1)
    assert len(hits) > 40
    assert np.mean(hits) > 0.9


def test_objects_stand_out_from_what_is_around(drawn: Drawn) -> None:
    distances: list[float] = []
    for scene, owner in zip(drawn.scenes[:100], drawn.owners, strict=False):
        for index in range(len(scene.labels)):
            mine = (owner == index).astype(np.uint8)
            around = (cv2.dilate(mine, np.ones((7, 7), np.uint8)) > mine) & (owner < index)
            if around.any():
                inside = scene.image[mine > 0].mean(axis=0)
                apart = np.linalg.norm(scene.image[around] - inside, axis=1)
                distances.append(float(np.median(apart)))
    assert np.percentile(distances, 1) > 40  # of 441, black to white


def test_box_corners_are_mostly_background(drawn: Drawn) -> None:
    shares: list[list[bool]] = [[] for _ in CLASS_NAMES]
    for scene, owner in zip(drawn.scenes, drawn.owners, strict=True):
        for index, (box, label) in enumerate(zip(scene.boxes, scene.labels, strict=True)):
            shares[label] += (crop(owner, box)[:: int(box[3] - box[1]) - 1, :: int(box[2] - box[0]) - 1] == index).flat
    on_object = {name: float(np.mean(hits)) for name, hits in zip(CLASS_NAMES, shares, strict=True)}
    assert sum(share < 0.02 for share in on_object.values()) >= 7, on_object
    assert max(on_object.values()) < 0.5, on_object


def test_colour_tells_nothing_about_the_class(drawn: Drawn, labels: NDArray[np.int64]) -> None:
    in_boxes, in_objects = [], []
    for scene, owner in zip(drawn.scenes, drawn.owners, strict=True):
        for index, box in enumerate(scene.boxes):
            in_boxes.append(histogram(crop(scene.image, box)))
            in_objects.append(histogram(scene.image[owner == index]))
    chance = 1 / len(CLASS_NAMES)  # of a thousand objects: standard deviation 0.01
    assert abs(ridge_accuracy(np.array(in_boxes), labels) - chance) < 0.04
    assert abs(ridge_accuracy(np.array(in_objects), labels) - chance) < 0.04
    assert abs(neighbour_accuracy(np.array(in_objects), labels, 15) - chance) < 0.04
    # In a box, two colours' shares also say how much of it the form fills, so more than chance, but little.
    assert neighbour_accuracy(np.array(in_boxes), labels, 15) < 0.2


def test_form_tells_the_class(drawn: Drawn, labels: NDArray[np.int64]) -> None:
    features: list[NDArray[np.float32]] = []
    for scene, owner in zip(drawn.scenes, drawn.owners, strict=True):
        for index, box in enumerate(scene.boxes):
            mask = (crop(owner, box) == index).astype(np.float32)
            features.append(cv2.resize(mask, (16, 16), interpolation=cv2.INTER_AREA).ravel())
    assert neighbour_accuracy(np.array(features, np.float64), labels, 3) > 0.85


def test_write_coco_holds_the_scenes(tmp_path: Path) -> None:
    out, told = tmp_path / "new" / "shapes", []
    write_shapes(out, train=3, val=2, seed=4, progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 5) for done in range(1, 6)]
    assert [path.name for path in out.parent.iterdir()] == ["shapes"]
    for split, count in (("train", 3), ("val", 2)):
        content = json.loads((out / "annotations" / f"instances_{split}.json").read_text())
        assert [category["name"] for category in content["categories"]] == list(CLASS_NAMES)
        assert len(content["images"]) == count
        assert len({item["id"] for item in content["annotations"]}) == len(content["annotations"])
        for index, entry in enumerate(content["images"]):
            scene = draw_scene(scene_seed(split, 4, index))
            stored = cv2.imread(str(out / split / entry["file_name"]))
            assert stored is not None
            assert np.array_equal(stored[..., ::-1], scene.image)
            mine = [item for item in content["annotations"] if item["image_id"] == entry["id"]]
            x, y, width, height = np.array([item["bbox"] for item in mine]).T
            assert np.array_equal(np.stack([x, y, x + width, y + height], axis=1), scene.boxes)
            assert [item["area"] for item in mine] == (width * height).tolist()
            assert [item["category_id"] - 1 for item in mine] == scene.labels.tolist()


def test_write_coco_refuses_a_folder_in_use(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError) as caught:
        write_shapes(tmp_path, train=1, val=1)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_write_coco_takes_an_empty_folder_and_leaves_nothing_when_stopped(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "shapes"
    with pytest.raises(KeyboardInterrupt):
        write_shapes(out, train=2, val=1, progress=stop)
    assert list(tmp_path.iterdir()) == []
    out.mkdir()
    write_shapes(out, train=1, val=0)
    assert (out / "train" / "000000.png").is_file()


def test_write_coco_says_in_one_line_that_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="a part of this path is a file"):
        write_shapes(tmp_path / "file" / "shapes", train=1, val=0)


@pytest.mark.parametrize(("train", "val", "seed"), [(-1, 1, 0), (1, -1, 0), (1, 1, -1), (1, 1, 2**32)])
def test_write_coco_refuses_numbers_out_of_range(tmp_path: Path, train: int, val: int, seed: int) -> None:
    with pytest.raises(InputError, match="give"):
        write_shapes(tmp_path / "shapes", train, val, seed)
    assert list(tmp_path.iterdir()) == []
