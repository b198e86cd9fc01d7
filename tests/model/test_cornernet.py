"""The network of any size, on images of any size, asked in parts or whole."""

import pytest
import torch

from cornernet.config import Architecture, HourglassConfig, SqueezeConfig
from cornernet.model.cornernet import CornerNet, DenseMaps
from cornernet.model.criterion import batch_losses
from cornernet.model.layers import Branch, Conv, neighbourhoods

CLASSES = 3
ARCHITECTURES = {
    "shallow": Architecture(
        HourglassConfig(num_stacks=1, channels=(4, 6), blocks=(1, 2), feature_channels=5),
        corner_channels=3,
        branch_channels=16,
    ),
    "two stacks": Architecture(
        HourglassConfig(num_stacks=2, channels=(8, 8, 12), blocks=(1, 1, 1), feature_channels=6),
        corner_channels=4,
        branch_channels=16,
    ),
    "deep": Architecture(
        HourglassConfig(num_stacks=3, channels=(4, 4, 4, 6, 6, 8), blocks=(2, 1, 1, 1, 1, 3), feature_channels=4),
        corner_channels=2,
        branch_channels=3,
    ),
}
every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)


def build(architecture=ARCHITECTURES["two stacks"], seed=0):
    """A network whose every number is drawn, so that no branch, bias or statistic is at a neutral value."""
    torch.manual_seed(seed)
    model = CornerNet(architecture, CLASSES)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter += 0.2 * torch.randn(parameter.shape)
            else:
                parameter.normal_().div_(parameter[0].numel() ** 0.5)
    return model.eval()


def images(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def dense_at(maps, cells):
    return maps.flatten(2).transpose(1, 2).gather(1, cells[..., None].expand(-1, -1, maps.shape[1]))


@every_architecture
@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 2), (33, 47), (127, 127), (64, 8)])
def test_any_hourglass_on_any_size(architecture, height, width):
    model = build(architecture)
    with torch.inference_mode():
        batch = images(2, 3, height, width)
        stacks = model.dense_maps(batch)
        alone = model.dense_maps(batch[1:])
    assert len(stacks) == architecture.backbone.num_stacks
    size = (-(-height // 4), -(-width // 4))
    channels = DenseMaps(CLASSES, CLASSES, 1, 1, 2, 2)
    for both, one in zip(stacks, alone, strict=True):
        for maps, single, count in zip(both, one, channels, strict=True):
            assert maps.shape == (2, count, *size)
            torch.testing.assert_close(maps[1:], single, atol=1e-4, rtol=1e-4)
            if height > 4:
                assert maps.std() > 0


@every_architecture
def test_last_only_is_the_last_stack(architecture):
    model = build(architecture)
    with torch.inference_mode():
        pixels = images(1, 3, 40, 36)
        (last,) = model.dense_maps(pixels, last_only=True)
        for found, expected in zip(last, model.dense_maps(pixels)[-1], strict=True):
            assert torch.equal(found, expected)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (20, 9), (37, 52)])
def test_values_at_every_cell_are_the_dense_maps(height, width, memory_format):
    model = build().to(memory_format=memory_format)
    pixels = images(2, 3, height, width).contiguous(memory_format=memory_format)
    with torch.inference_mode():
        output, maps = model(pixels, last_only=True)[-1], model.dense_maps(pixels, last_only=True)[-1]
        count = maps.tl_pairing[0].numel()
        shuffled = torch.stack([torch.randperm(count, generator=torch.Generator().manual_seed(i)) for i in (0, 1)])
        in_order = torch.arange(count).expand(2, -1)
        found = output.head.values_at(output.features, shuffled, in_order)
    torch.testing.assert_close(found.tl_offsets, dense_at(maps.tl_offset, shuffled))
    torch.testing.assert_close(found.tl_pairing, dense_at(maps.tl_pairing, shuffled))
    torch.testing.assert_close(found.br_offsets, dense_at(maps.br_offset, in_order))
    torch.testing.assert_close(found.br_pairing, dense_at(maps.br_pairing, in_order))


def test_gradients_through_single_cells_are_those_through_the_dense_maps():
    model = build()
    height, width = 5, 7
    corners = torch.tensor([0, width - 1, (height - 1) * width, height * width - 1])
    cells = torch.stack([torch.cat((corners, torch.tensor(inner))) for inner in ([8, 8, 3], [14, 33, 17])])
    pixels, weight = images(2, 3, 20, 28), images(2, 7, 6)
    gradients = []
    for sparse in (True, False):
        model.zero_grad()
        leaf = pixels.clone().requires_grad_()
        if sparse:
            output = model(leaf)[-1]
            parts = output.head.values_at(output.features, cells, cells.flip(1))
        else:
            maps = model.dense_maps(leaf)[-1]
            parts = [dense_at(m, c) for m, c in ((maps.tl_offset, cells), (maps.br_offset, cells.flip(1)))]
            parts += [dense_at(m, c) for m, c in ((maps.tl_pairing, cells), (maps.br_pairing, cells.flip(1)))]
        (torch.cat(tuple(parts), -1) * weight).sum().backward()
        gradients.append({"pixels": leaf.grad} | {n: p.grad for n, p in model.named_parameters()})
    assert gradients[0]["heads.1.tl_offset.conv.weight"].abs().max() > 0
    for name, expected in gradients[1].items():
        if expected is None:
            assert gradients[0][name] is None
        else:
            torch.testing.assert_close(gradients[0][name], expected, atol=1e-5, rtol=1e-4, msg=name)


def test_a_neighbourhood_is_zero_outside_even_where_the_map_is_not_finite():
    features = torch.full((1, 1, 2, 2), torch.nan)
    found = neighbourhoods(features, torch.tensor([[0]]))[0, 0, :, 0].reshape(3, 3)
    assert torch.equal(found.isnan(), torch.tensor([[0, 0, 0], [0, 1, 1], [0, 1, 1]]).bool())
    found[found.isnan()] = 0
    assert found.sum() == 0


def test_a_branch_asked_for_no_cells():
    assert Branch(4, 3, 2).at(neighbourhoods(images(2, 4, 3, 3), torch.zeros(2, 0, dtype=torch.long))).shape == (
        2,
        0,
        2,
    )


@pytest.mark.parametrize("architecture", [ARCHITECTURES["shallow"], ARCHITECTURES["two stacks"]])
@pytest.mark.parametrize("objects", [(2,), (0,), (3, 0), (0, 0)], ids=str)
def test_every_parameter_learns_from_any_batch(architecture, objects):
    model = build(architecture).train()
    labels = torch.full((len(objects), max(1, *objects, 1)), -1)
    boxes = torch.zeros(*labels.shape, 4)
    for i, count in enumerate(objects):
        labels[i, :count] = torch.arange(count)
        boxes[i, :count] = torch.tensor([[5.0 + 9 * n, 8.0, 30.0 + 9 * n, 40.0] for n in range(count)]).reshape(-1, 4)
    losses = batch_losses(model, images(len(objects), 3, 64, 64), boxes, labels)
    sum(losses.values()).backward()
    assert all(torch.isfinite(value) for value in losses.values())
    assert losses["heatmap"] > 0
    assert (losses["offset"] > 0) == (losses["pull"] > 0) == (sum(objects) > 0)
    assert (losses["push"] > 0) == (max(objects) > 1)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        if sum(objects) or not any(part in name for part in ("offset", "pairing")):
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(
    "fields",
    [
        {"channels": (8, 8, 8), "blocks": (1, 1)},
        {"channels": (8,), "blocks": (1,)},
        {"channels": (7, 8), "blocks": (1, 1)},
        {"channels": (8, 0), "blocks": (1, 1)},
        {"channels": (8, 8), "blocks": (0, 1)},
        {"num_stacks": 0},
        {"feature_channels": 0},
    ],
    ids=str,
)
def test_an_hourglass_that_cannot_be_is_refused(fields):
    with pytest.raises(ValueError):
        HourglassConfig(**fields)


@pytest.mark.parametrize(
    "fields",
    [{"corner_channels": 0}, {"branch_channels": -1}, {"pool_window": 0}, {"branch_kernel": 2}, {"pairing": "size"}],
    ids=str,
)
def test_an_architecture_that_cannot_be_is_refused(fields):
    with pytest.raises(ValueError):
        Architecture(**fields)


def test_lists_as_they_come_from_files_make_the_same_architecture():
    assert Architecture(HourglassConfig(channels=[8, 8], blocks=[1, 1])) == Architecture(
        HourglassConfig(channels=(8, 8), blocks=(1, 1))
    )
    assert HourglassConfig().depth == 5


def test_without_corner_pooling_everything_but_the_pooling_is_as_it_was():
    pooled, plain = (
        Architecture(
            HourglassConfig(num_stacks=1, channels=(8, 8), blocks=(1, 1), feature_channels=8),
            corner_channels=6,
            branch_channels=8,
        ),
        Architecture(
            HourglassConfig(num_stacks=1, channels=(8, 8), blocks=(1, 1), feature_channels=8),
            corner_channels=6,
            branch_channels=8,
            corner_pooling=False,
        ),
    )
    state = build(pooled).state_dict()
    model = build(plain)
    model.load_state_dict(state)  # the same numbers in the same places
    with torch.inference_mode():
        x = images(1, 3, 64, 64)
        other = build(pooled)
        other.load_state_dict(state)
        feature = model.backbone(x)[0]
        assert torch.equal(feature, other.backbone(x)[0])
        corner = model.heads[0].tl
        expected = corner.vertical(feature) + corner.horizontal(feature)
        merged = corner.merge.bn(corner.merge.conv(expected))
        expected = corner.out(torch.relu(merged + corner.shortcut(feature)))
        torch.testing.assert_close(corner(feature), expected)
        assert not torch.allclose(corner(feature), other.heads[0].tl(feature))


@pytest.mark.parametrize("size", [(64, 64), (63, 95), (1, 1), (130, 40)])
def test_the_squeeze_backbone_has_stride_8_and_takes_any_size(size):
    architecture = Architecture(
        SqueezeConfig(num_stacks=2, channels=(8, 8, 12), blocks=(1, 1, 1), feature_channels=8),
        corner_channels=6,
        branch_channels=8,
        branch_kernel=1,
    )
    model = build(architecture)
    maps = model.dense_maps(images(2, 3, *size))
    assert [m.tl_heatmap.shape[-2:] for m in maps] == [tuple(-(-side // 8) for side in size)] * 2
    output = model(images(1, 3, *size), last_only=True)[0]
    cells = torch.tensor([[0, output.tl_heatmap[0, 0].numel() - 1]])
    values = output.head.values_at(output.features, cells, cells)
    dense = model.dense_maps(images(1, 3, *size))[-1].tl_offset.flatten(2).transpose(1, 2)
    torch.testing.assert_close(values.tl_offsets[0], dense[0, cells[0]], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("channels", [8, 16])
def test_thin_shortcuts_have_right_gradients(channels):
    torch.manual_seed(0)
    conv = Conv(channels, 16, 1, 2, bias=False).to(memory_format=torch.channels_last)
    image = torch.randn(2, channels, 128, 128).to(memory_format=torch.channels_last).requires_grad_()
    conv(image).square().sum().backward()
    double = image.detach().double().contiguous().requires_grad_()
    weight = conv.weight.detach().double().contiguous().requires_grad_()
    torch.nn.functional.conv2d(double, weight, stride=2).square().sum().backward()
    assert torch.allclose(image.grad.double(), double.grad, rtol=1e-5, atol=1e-4)
    assert torch.allclose(conv.weight.grad.double(), weight.grad, rtol=1e-5, atol=1e-2)
