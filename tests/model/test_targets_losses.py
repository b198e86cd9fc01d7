"""Targets and losses against plain loops over objects and cells."""

import math

import pytest
import torch
from torch.nn import functional as F

from cornernet.model.losses import corner_loss, focal_loss
from cornernet.model.pairing.embedding import pull_push_loss
from cornernet.model.targets import Targets, dense_heatmaps, find_occupied_maps, gaussian_radius, make_targets
from losses import losses_of


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def radius_by_search(height, width, overlap=0.3):
    """The largest shift at which all three ways to move the corners still overlap enough, by bisection."""

    def iou(a, b):
        side = [max(0.0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1)]
        areas = [max(0.0, c[2] - c[0]) * max(0.0, c[3] - c[1]) for c in (a, b)]
        return side[0] * side[1] / (sum(areas) - side[0] * side[1])

    def fits(r):
        moved = [(r, r, width + r, height + r), (r, r, width - r, height - r), (-r, -r, width + r, height + r)]
        return 2 * r < min(height, width) and min(iou((0, 0, width, height), box) for box in moved) >= overlap

    low, high = 0.0, float(max(height, width))
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def targets_by_loops(boxes, labels, classes, input_size, map_size):
    """Heatmaps (tl, br) of one image, [(tl cell, br cell)] of its objects and {cell: offset} (tl, br)."""
    height, width = map_size
    ratio = (width / input_size[1], height / input_size[0])
    heatmaps = torch.zeros(2, classes, height, width)
    cells, offsets = [], ({}, {})
    for box, label in zip(boxes.tolist(), labels.tolist(), strict=True):
        scaled = [box[i] * ratio[i % 2] for i in range(4)]
        size = math.ceil(scaled[3] - scaled[1] - 1e-5), math.ceil(scaled[2] - scaled[0] - 1e-5)
        radius = int(radius_by_search(*size) + 1e-6)
        sigma = (2 * radius + 1) / 6
        corners = []
        for side, (x, y) in enumerate((scaled[:2], scaled[2:])):
            column, row = min(int(x), width - 1), min(int(y), height - 1)
            corners.append(row * width + column)
            offsets[side][corners[-1]] = (x - column, y - row)
            for v in range(max(0, row - radius), min(height, row + radius + 1)):
                for u in range(max(0, column - radius), min(width, column + radius + 1)):
                    bell = math.exp(-((v - row) ** 2 + (u - column) ** 2) / (2 * sigma**2))
                    heatmaps[side, label, v, u] = max(heatmaps[side, label, v, u].item(), bell)
        cells.append(tuple(corners))
    return heatmaps, cells, offsets


def random_objects(generator, counts, classes, input_size):
    """Boxes (B, N, 4) of which some touch or share edges of the input, labels with -1 for fillers."""
    most = max(1, *counts)
    limit = torch.tensor([input_size[1], input_size[0]] * 2)
    ends = torch.rand(len(counts), most, 2, 2, generator=generator).sort(dim=2).values
    boxes = ends.flatten(2) * limit
    touching = torch.rand(boxes.shape, generator=generator) < 0.15
    boxes[..., :2][touching[..., :2]] = 0
    boxes[..., 2:] = torch.where(touching[..., 2:], limit[2:], boxes[..., 2:])
    labels = torch.randint(0, classes, (len(counts), most), generator=generator)
    labels[torch.arange(most) >= torch.tensor(counts)[:, None]] = -1
    return boxes, labels


@pytest.mark.parametrize(
    ("seed", "counts", "classes", "input_size", "map_size"),
    [
        (0, (6, 0, 1), 3, (63, 95), (16, 24)),
        (1, (9, 2), 80, (127, 127), (32, 32)),
        (2, (150,), 2, (127, 63), (32, 16)),
        (3, (0, 0), 5, (63, 63), (16, 16)),
        (4, (3, 3), 1, (255, 255), (64, 64)),
        (5, (4,), 2, (31, 31), (1, 1)),
    ],
)
def test_targets(seed, counts, classes, input_size, map_size):
    boxes, labels = random_objects(seeded(seed), counts, classes, input_size)
    targets = make_targets(boxes, labels, input_size, map_size)
    tl_dense, br_dense = dense_heatmaps(targets, classes)
    for image, count in enumerate(counts):
        real = labels[image] >= 0
        heatmaps, cells, offsets = targets_by_loops(
            boxes[image][real], labels[image][real], classes, input_size, map_size
        )
        assert targets.valid[image].tolist() == real.tolist()
        found = list(zip(targets.tl_cells[image].tolist(), targets.br_cells[image].tolist(), strict=True))
        assert found[:count] == cells
        sides = (
            (tl_dense, targets.tl_cells, targets.tl_offsets, targets.tl_is_owner),
            (br_dense, targets.br_cells, targets.br_offsets, targets.br_is_owner),
        )
        for side, (heatmap, cell, offset, owns) in enumerate(sides):
            torch.testing.assert_close(heatmap[image], heatmaps[side], atol=1e-5, rtol=0)
            assert torch.equal(heatmap[image] == 1, heatmaps[side] == 1)
            owned = cell[image][owns[image]].tolist()
            assert sorted(owned) == sorted(offsets[side])
            for place, value in zip(owned, offset[image][owns[image]].tolist(), strict=True):
                assert value == pytest.approx(offsets[side][place], abs=1e-4)


def test_a_box_of_the_whole_input_ends_in_the_last_cell_with_offset_one():
    targets = make_targets(torch.tensor([[[0.0, 0, 511, 511]]]), torch.tensor([[0]]), (511, 511), (128, 128))
    assert (targets.tl_cells.item(), targets.br_cells.item()) == (0, 128 * 128 - 1)
    assert targets.br_offsets.flatten().tolist() == pytest.approx([1, 1])


def test_no_room_for_objects_at_all():
    nothing = torch.zeros(2, 0, dtype=torch.long)
    targets = make_targets(torch.zeros(2, 0, 4), nothing, (63, 63), (16, 16))
    assert targets.heatmaps.shape == (2, 0, 16, 16)
    assert dense_heatmaps(targets, 3).sum() == 0
    assert targets.valid.shape == (2, 0)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (128, 128), (7, 3), (20, 90)])
def test_radius_is_the_largest_that_keeps_the_overlap_in_all_three_cases(size):
    found = gaussian_radius(*(torch.tensor(float(length)) for length in size)).item()
    assert found == pytest.approx(radius_by_search(*size), rel=1e-3, abs=1e-4)


# losses


def focal_by_loops(logits, target):
    total, corners = logits.new_zeros(()), 0
    for x, t in zip(logits.flatten(), target.flatten().tolist(), strict=True):
        p = 1 / (1 + torch.exp(-x))
        if t == 1:
            total, corners = total - (1 - p) ** 2 * torch.log(p), corners + 1
        else:
            total = total - (1 - t) ** 4 * p**2 * torch.log(1 - p)
    return total / max(1, corners)


def offset_by_loops(offsets, target, owns):
    total, cells = offsets.new_zeros(()), 0
    for b in range(len(offsets)):
        for n in range(owns.shape[1]):
            if owns[b, n]:
                cells += 1
                for axis in range(2):
                    error = (offsets[b, n, axis] - target[b, n, axis]).abs()
                    total = total + (error**2 / 2 if error < 1 else error - 0.5)
    return total / max(1, cells)


def pull_push_by_loops(tl, br, valid):
    pull, push = tl.new_zeros(()), tl.new_zeros(())
    for b in range(len(tl)):
        objects = valid[b].nonzero().flatten().tolist()
        mean = {n: (tl[b, n, 0] + br[b, n, 0]) / 2 for n in objects}
        count = len(objects)
        for n in objects:
            pull = pull + ((tl[b, n, 0] - mean[n]) ** 2 + (br[b, n, 0] - mean[n]) ** 2) / count
            for m in objects:
                if m != n:
                    push = push + (1 - (mean[n] - mean[m]).abs()).clamp_min(0) / (count * (count - 1))
    return pull, push


def problem(seed, counts=(5, 0, 1), classes=2, size=63, cells=8):
    """Predictions in float64 and the targets they are held against."""
    generator = seeded(seed)
    boxes, labels = random_objects(generator, counts, classes, (size, size))
    targets = make_targets(boxes, labels, (size, size), (cells, cells))
    shape = len(counts), classes, cells, cells
    heatmaps = [3 * torch.randn(shape, generator=generator).double() for _ in range(2)]
    offsets = [torch.randn(*labels.shape, 2, generator=generator).double() * 2 for _ in range(2)]
    embeddings = [torch.randn(*labels.shape, 1, generator=generator).double() for _ in range(2)]
    return [p.requires_grad_() for p in (*heatmaps, *offsets, *embeddings)], targets


def losses_by_loops(predictions, targets):
    tl_heat, br_heat, tl_offset, br_offset, tl_embedding, br_embedding = predictions
    pull, push = pull_push_by_loops(tl_embedding, br_embedding, targets.valid)
    tl_dense, br_dense = dense_heatmaps(targets, tl_heat.shape[1])
    return {
        "heatmap": (focal_by_loops(tl_heat, tl_dense) + focal_by_loops(br_heat, br_dense)) / 2,
        "offset": (
            offset_by_loops(tl_offset, targets.tl_offsets, targets.tl_is_owner)
            + offset_by_loops(br_offset, targets.br_offsets, targets.br_is_owner)
        )
        / 2,
        "pull": 0.1 * pull,
        "push": 0.1 * push,
    }


@pytest.mark.parametrize(("seed", "counts"), [(0, (5, 0, 1)), (1, (2,)), (2, (0,)), (3, (9, 7))])
def test_losses_and_gradients(seed, counts):
    predictions, targets = problem(seed, counts)
    expected = losses_by_loops(predictions, targets)
    slopes = torch.autograd.grad(sum(expected.values()), predictions, allow_unused=True)
    found = losses_of(*(p.float() for p in predictions), targets=targets)
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value.item(), rel=1e-5), name
    for slope, exact in zip(torch.autograd.grad(sum(found.values()), predictions), slopes, strict=True):
        exact = torch.zeros_like(slope) if exact is None else exact
        torch.testing.assert_close(slope, exact, atol=1e-5 * float(exact.abs().max()) + 1e-9, rtol=0)


@pytest.mark.parametrize("extreme", [1e4, -1e4, 50.0, -50.0])
def test_extreme_logits_give_finite_losses_that_still_teach(extreme):
    _, targets = problem(0)
    dense = dense_heatmaps(targets, 2)[0]
    logits = torch.full_like(dense, extreme).requires_grad_()
    loss = focal_loss(logits, targets.heatmaps[0], targets.occupied_maps)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
    corner, background = dense == 1, dense == 0
    if extreme > 0:
        assert (logits.grad[background] > 0).all()
    else:
        assert (logits.grad[corner] < 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    predictions, targets = problem(1)
    rounded = [p.detach().to(dtype).requires_grad_() for p in predictions]
    confident = rounded[0].detach().clone()
    confident[dense_heatmaps(targets, 2)[0] == 0] = -12  # 1 - sigmoid is 1 in 16 bits
    rounded[0] = confident.requires_grad_()
    found = losses_of(*rounded, targets=targets)
    exact = losses_by_loops([p.detach().double() for p in rounded], targets)
    for name, value in found.items():
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(exact[name].item(), rel=1e-4), name
    sum(found.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in rounded)
    assert rounded[0].grad.dtype == dtype


def test_two_objects_that_share_a_cell_teach_its_offset_once():
    boxes = torch.tensor([[[8.0, 8, 40, 40], [9, 9, 60, 60]]])
    targets = make_targets(boxes, torch.tensor([[0, 0]]), (64, 64), (16, 16))
    assert targets.tl_is_owner.tolist() == [[False, True]]
    assert targets.br_is_owner.tolist() == [[True, True]]
    predicted = targets.tl_offsets[:, 1:].expand(-1, 2, -1)
    assert corner_loss(predicted, targets.tl_offsets, targets.tl_is_owner) == 0
    logits = torch.zeros(1, 1, 16, 16)
    found = focal_loss(logits, targets.heatmaps[0], targets.occupied_maps).item()
    assert found == pytest.approx(focal_by_loops(logits, dense_heatmaps(targets, 1)[0]).item(), rel=1e-5)


def test_pull_and_push_in_numbers():
    """Two objects: (0, 1) and (0.9, 0.9); push from their means 0.5 and 0.9."""
    tl, br = torch.tensor([[[0.0], [0.9], [7.0]]]), torch.tensor([[[1.0], [0.9], [-7.0]]])
    pull, push = pull_push_loss(tl, br, torch.tensor([[True, True, False]]))
    assert pull.item() == pytest.approx((0.25 + 0.25) / 2)
    assert push.item() == pytest.approx(2 * (1 - 0.4) / 2)


def test_images_without_objects_only_teach_the_background():
    logits, sparse = torch.zeros(2, 3, 8, 8, requires_grad=True), torch.zeros(2, 1, 2)
    targets = make_targets(torch.zeros(2, 1, 4), torch.full((2, 1), -1), (31, 31), (8, 8))
    assert isinstance(targets, Targets)
    losses = losses_of(logits, logits, sparse, sparse, sparse[..., :1], sparse[..., :1], targets=targets)
    assert [losses[name].item() for name in ("offset", "pull", "push")] == [0, 0, 0]
    expected = F.softplus(torch.tensor(0.0)).item() / 4 * logits.numel()
    assert losses["heatmap"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("reduction", "radius"), [("none", 0), ("fixed", 2), ("object", None)])
def test_penalty_reduction_changes_the_gaussian_and_nothing_else(reduction, radius):
    boxes, labels = torch.tensor([[[20.0, 24.0, 60.0, 70.0]]]), torch.zeros(1, 1, dtype=torch.int64)
    usual = make_targets(boxes, labels, (127, 127), (32, 32))
    if radius is None:
        radius = int(gaussian_radius(torch.tensor(12.0), torch.tensor(11.0)))  # 46 x 40 pixels, in cells rounded up
    found = make_targets(boxes, labels, (127, 127), (32, 32), reduction)
    for name in ("tl_cells", "br_cells", "tl_offsets", "br_offsets", "tl_is_owner", "br_is_owner", "valid"):
        assert torch.equal(getattr(found, name), getattr(usual, name))
    rows, columns = torch.nonzero(found.heatmaps[0, 0], as_tuple=True)
    assert (int(rows.max() - rows.min()), int(columns.max() - columns.min())) == (2 * radius, 2 * radius)
    assert int((found.heatmaps[0] == 1).sum()) == 1
    if reduction == "fixed":  # sigma = (2 * 2.5 + 1) / 6 = 1
        row, column = divmod(int(found.tl_cells), 32)
        assert float(found.heatmaps[0, 0, row, column + 2]) == pytest.approx(math.exp(-2), rel=1e-5)


def test_only_planes_with_objects_are_made():
    labels = torch.tensor([[2, 0, 2, -1], [-1, -1, -1, -1], [2, 2, 2, 1]])
    planes = find_occupied_maps(labels)
    assert list(zip(planes.images.tolist(), planes.classes.tolist(), strict=True)) == [(2, 2), (0, 2), (0, 0), (2, 1)]
    assert planes.turns == [4, 2, 1]
    assert planes.objects.tolist() == [8, 0, 1, 11, 9, 2, 10]


def test_the_backgrounds_gradient_is_its_own():
    planes = find_occupied_maps(torch.full((2, 1), -1))
    logits = (4 * torch.randn(2, 3, 2, 5, generator=seeded(0), dtype=torch.float64)).requires_grad_()
    empty = torch.zeros(0, 2, 5, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: focal_loss(x, empty, planes), logits)
