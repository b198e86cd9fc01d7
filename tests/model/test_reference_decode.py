"""Pairing and soft-NMS against the reference vectors, one to one."""

import numpy as np
import pytest
import torch

from conftest import shared_files
from cornernet.config import EmbeddingConfig
from cornernet.model.decode import Pairs, corner_positions, pair_corners, top_corners
from cornernet.model.soft_nms import soft_nms

INPUT, BORDER, IMAGE = (511, 639), (15, 495, 3, 635), (480, 632)


def match(found, expected, box_tolerance: float, score_tolerance: float) -> None:
    """Both are (boxes, scores, labels): the same set, one to one."""
    assert len(found[0]) == len(expected[0])
    free = np.ones(len(found[0]), bool)
    for box, score, label in zip(*expected, strict=True):
        error = np.abs(found[0] - box).max(axis=1)
        fits = free & (found[2] == label) & (error <= box_tolerance) & (np.abs(found[1] - score) <= score_tolerance)
        assert fits.any(), f"no match for {box} {score} {label}"
        free[np.flatnonzero(fits)[0]] = False


def candidates(maps: dict[str, torch.Tensor]) -> Pairs:
    height, width = maps["tl_heat"].shape[-2:]
    scale = torch.tensor((INPUT[1] / width, INPUT[0] / height))
    shift = torch.tensor([float(BORDER[2]), float(BORDER[0])])
    corners, positions, embeddings = [], [], []
    for side in ("tl", "br"):
        corner = top_corners(maps[f"{side}_heat"])

        def read(name: str, side=side, corner=corner) -> torch.Tensor:
            dense = maps[f"{side}_{name}"].flatten(2).transpose(1, 2)
            return dense.gather(1, corner.cells[..., None].expand(-1, -1, dense.shape[2]))

        corners.append(corner)
        positions.append(corner_positions(corner, read("off"), scale, shift))
        embeddings.append(read("emb"))
    return pair_corners(*corners, *positions, EmbeddingConfig().make(1, 1).distance(*embeddings, *positions))


def as_numpy(boxes, scores, labels, valid) -> tuple:
    return boxes[valid].numpy(), scores[valid].numpy(), labels[valid].numpy()


@pytest.mark.parametrize("path", shared_files("reference/decode_*.npz"))
def test_candidates_and_detections(path):
    stored = dict(np.load(path))
    views = {}
    for view in ("plain", "mirror"):
        maps = {k.removeprefix(f"{view}_"): torch.from_numpy(v) for k, v in stored.items() if k.startswith(view)}
        pairs = views[view] = candidates(maps)
        expected = [stored[f"{view}_cand_{name}"] for name in ("boxes", "scores", "labels")]
        match(as_numpy(pairs.boxes[0], pairs.scores[0], pairs.labels[0], pairs.valid[0]), expected, 0.01, 1e-5)
        kept = soft_nms(pairs.boxes, pairs.scores, pairs.labels, pairs.valid)
        chosen = kept.chosen[0]
        expected = [stored[f"{view}_det_{name}"] for name in ("boxes", "scores", "labels")]
        found = as_numpy(pairs.boxes[0, chosen], kept.scores[0], pairs.labels[0, chosen], kept.valid[0])
        match(found, expected, 0.01, 1e-4)
    mirrored = views["mirror"].boxes
    mirrored = torch.stack(
        (IMAGE[1] - mirrored[..., 2], mirrored[..., 1], IMAGE[1] - mirrored[..., 0], mirrored[..., 3]), dim=-1
    )
    both = [torch.cat((views["plain"].boxes, mirrored), dim=1)]
    both += [torch.cat((getattr(views["plain"], n), getattr(views["mirror"], n)), 1) for n in Pairs._fields[1:4]]
    kept = soft_nms(*both)
    chosen = kept.chosen[0]
    found = as_numpy(both[0][0, chosen], kept.scores[0], both[2][0, chosen], kept.valid[0])
    match(found, [stored[f"flip_det_{name}"] for name in ("boxes", "scores", "labels")], 0.01, 1e-4)


@pytest.mark.parametrize("path", shared_files("reference/decode_*.npz"))
def test_a_batch_gives_what_its_images_give_alone(path):
    stored = dict(np.load(path))
    names = [f"{side}_{kind}" for side in ("tl", "br") for kind in ("heat", "emb", "off")]
    alone = [candidates({n: torch.from_numpy(stored[f"{view}_{n}"]) for n in names}) for view in ("plain", "mirror")]
    batch = candidates(
        {n: torch.cat([torch.from_numpy(stored[f"{view}_{n}"]) for view in ("plain", "mirror")]) for n in names}
    )
    kept = soft_nms(batch.boxes, batch.scores, batch.labels, batch.valid)
    for i, pairs in enumerate(alone):
        torch.testing.assert_close(batch.boxes[i], pairs.boxes[0])
        torch.testing.assert_close(batch.scores[i], pairs.scores[0])
        single = soft_nms(pairs.boxes, pairs.scores, pairs.labels, pairs.valid)
        assert torch.equal(kept.chosen[i][kept.valid[i]], single.chosen[0][single.valid[0]])
        torch.testing.assert_close(kept.scores[i], single.scores[0])
