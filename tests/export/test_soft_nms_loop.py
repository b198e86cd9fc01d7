"""The loops that exporters trace keep what ``soft_nms`` keeps."""

import pytest
import torch

from cornernet.export import soft_nms_loop as module
from cornernet.export.soft_nms_loop import soft_nms_loop
from cornernet.model.soft_nms import soft_nms


def crowd(images: int, candidates: int, spread: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Boxes that overlap much, of two classes, best first; the last image has few."""
    generator = torch.Generator().manual_seed(candidates)
    corners = torch.rand(images, candidates, 2, generator=generator) * spread
    boxes = torch.cat((corners, corners + 5 + 20 * torch.rand(images, candidates, 2, generator=generator)), dim=-1)
    scores = torch.rand(images, candidates, generator=generator).sort(dim=1, descending=True).values
    scores[-1, 30:] = -1
    return boxes, scores, torch.randint(2, (images, candidates), generator=generator)


@pytest.mark.parametrize("plus_one", [0.0, 1.0])
@pytest.mark.parametrize("spread", [10.0, 300.0])
@pytest.mark.parametrize(("candidates", "limit"), [(600, 100), (600, 300), (256, 100), (100, 100), (300, 40), (40, 40)])
def test_the_same_is_kept(candidates, limit, spread, plus_one):
    boxes, scores, labels = crowd(3, candidates, spread)
    kept = soft_nms(boxes, scores, labels, scores >= 0, limit=limit, plus_one=plus_one)
    chosen, found = soft_nms_loop(boxes, scores, labels, limit=limit, plus_one=plus_one)
    torch.testing.assert_close(found, kept.scores)
    assert torch.equal(chosen[kept.valid], kept.chosen[kept.valid])


def test_crowded_images_go_on_beyond_the_table(monkeypatch):
    monkeypatch.setattr(module, "_TABLE", 8)
    boxes, scores, labels = crowd(2, 200, 10.0)
    kept = soft_nms(boxes, scores, labels, scores >= 0, limit=60)
    chosen, found = soft_nms_loop(boxes, scores, labels, limit=60, plus_one=0.0)
    torch.testing.assert_close(found, kept.scores)
    assert torch.equal(chosen[kept.valid], kept.chosen[kept.valid])
    assert chosen.max() > 8
