"""Offsets and embeddings taught around corners, too: where, with what values, and never for another object."""

import pytest
import torch

from cornernet.model.losses import corner_loss
from cornernet.model.pairing.embedding import pull_push_loss
from cornernet.model.targets import expand_to_radius, make_targets
from losses import losses_of

MAP = (16, 16)


def targets_of(boxes, labels=None):
    boxes = torch.tensor([boxes])
    labels = torch.zeros(boxes.shape[:2], dtype=torch.int64) if labels is None else torch.tensor([labels])
    return make_targets(boxes, labels, (64, 64), MAP)


def test_nothing_around_is_the_paper():
    targets = targets_of([[8.0, 8, 40, 40]])
    assert expand_to_radius(targets, MAP, 0) is targets


@pytest.mark.parametrize("around", [1, 2])
def test_every_cell_around_leads_to_its_corner(around):
    targets = targets_of([[9.0, 22, 41, 53], [30, 5, 50, 33]])
    wide, count = expand_to_radius(targets, MAP, around), (2 * around + 1) ** 2
    for side, corner in (("tl", [[9.0, 22.0], [30.0, 5.0]]), ("br", [[41.0, 53.0], [50.0, 33.0]])):
        cells, offsets = (getattr(wide, f"{side}_{name}").view(1, 2, count, -1) for name in ("cells", "offsets"))
        owns = getattr(wide, f"{side}_is_owner").view(2, count)
        x, y = cells[0, ..., 0] % 16 + offsets[0, ..., 0], cells[0, ..., 0] // 16 + offsets[0, ..., 1]
        for n in range(2):
            torch.testing.assert_close(4 * x[n][owns[n]], torch.full((int(owns[n].sum()),), corner[n][0]))
            torch.testing.assert_close(4 * y[n][owns[n]], torch.full((int(owns[n].sum()),), corner[n][1]))
            assert owns[n].sum() == len(set(cells[0, n][owns[n]].flatten().tolist())), "a cell is there twice"
        assert cells[0, :, count // 2, 0].tolist() == getattr(targets, f"{side}_cells")[0].tolist()


def test_cells_outside_the_map_are_left_out():
    wide = expand_to_radius(targets_of([[0.0, 0, 64, 64]]), MAP, 1)
    assert wide.tl_is_owner.view(3, 3).tolist() == [[False] * 3, [False, True, True], [False, True, True]]
    assert wide.br_is_owner.view(3, 3).tolist() == [[True, True, False], [True, True, False], [False] * 3]
    assert 0 <= int(wide.tl_cells.min()) <= int(wide.br_cells.max()) < 256


def test_another_objects_corner_is_its_own():
    """The second box's top-left corner lies one cell right of the first's; fillers take nothing."""
    wide = expand_to_radius(targets_of([[9.0, 9, 40, 40], [13, 9, 60, 60], [14, 9, 60, 60]], [0, 1, -1]), MAP, 1)
    first, second, filler = wide.tl_is_owner.view(3, 3, 3).tolist()
    assert first == [[True, True, True], [True, True, False], [True, True, True]]
    assert second == [[True, True, True], [False, True, True], [True, True, True]]
    assert not any(map(any, filler))


def test_losses_in_numbers():
    """Right offsets cost nothing; embeddings cost their distance from the middle ones' mean, 1/9 each."""
    wide = expand_to_radius(targets_of([[9.0, 9, 40, 40]]), MAP, 1)
    assert corner_loss(wide.tl_offsets, wide.tl_offsets, wide.tl_is_owner) == 0
    tl, br = torch.zeros(1, 9, 1), torch.zeros(1, 9, 1)
    tl[0, 0] = 3.0
    pull, push = pull_push_loss(tl, br, wide.valid, wide.tl_is_owner, wide.br_is_owner)
    assert pull.item() == pytest.approx(9 / 9)
    assert push.item() == 0


def test_gradients_reach_the_cells_around_and_no_others():
    wide = expand_to_radius(targets_of([[0.0, 9, 40, 40], [30, 30, 60, 60]]), MAP, 1)
    maps = [torch.zeros(1, 1, *MAP) for _ in range(2)]
    values = [torch.randn(1, 18, size, requires_grad=True) for size in (2, 2, 1, 1)]
    sum(losses_of(*maps, *values, targets=wide).values()).backward()
    for value, owns in zip(values, (wide.tl_is_owner, wide.br_is_owner) * 2, strict=True):
        assert torch.equal(value.grad.abs().sum(dim=-1) > 0, owns)
