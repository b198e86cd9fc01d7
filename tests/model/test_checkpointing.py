"""Less memory and less time change no value."""

import copy

import pytest
import torch

from cornernet.config import Architecture, HourglassConfig
from cornernet.model.checkpointing import checkpoint_activations, compile_parts
from cornernet.model.cornernet import CornerNet
from cornernet.model.criterion import batch_losses

ARCHITECTURE = Architecture(
    HourglassConfig(num_stacks=2, channels=(8, 8, 12), blocks=(1, 2, 1), feature_channels=8),
    corner_channels=6,
    branch_channels=8,
)


def step(network: CornerNet) -> tuple[dict, list]:
    """One training step's losses and gradients."""
    torch.manual_seed(1)
    images = torch.randn(2, 3, 63, 63, dtype=torch.float64)
    boxes = torch.tensor([[[4.0, 6, 40, 50]], [[10, 10, 30, 60]]]).double()
    losses = batch_losses(network, images, boxes, torch.zeros(2, 1, dtype=torch.int64))
    torch.stack(list(losses.values())).sum().backward()
    return losses, [p.grad for p in network.parameters()]


@pytest.fixture
def network() -> CornerNet:
    torch.manual_seed(0)
    return CornerNet(ARCHITECTURE, 2).double().train()


def test_checkpointing_trains_the_same_network_in_less_memory(network):
    other = copy.deepcopy(network)
    checkpoint_activations(other)
    kept = []
    for each in (network, other):
        sizes = {}

        def note(tensor, sizes=sizes):
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        own = {p.untyped_storage().data_ptr() for p in each.parameters()}
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            outputs = each(torch.randn(1, 3, 127, 127, dtype=torch.float64))
        kept.append(sum(size for place, size in sizes.items() if place not in own))
        del outputs
    assert kept[1] < kept[0] / 2
    network.load_state_dict(other.state_dict())  # both saw one batch by now
    (losses, slopes), (same_losses, same_slopes) = step(network), step(other)
    assert losses == same_losses
    for a, b in zip(slopes, same_slopes, strict=True):
        assert (a is None and b is None) or torch.equal(a, b)
    for (name, a), b in zip(network.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_a_copy_of_a_checkpointed_network_is_its_own(network):
    checkpoint_activations(network)
    other = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    _, slopes = step(other)
    assert any(float(slope.abs().max()) > 0 for slope in slopes if slope is not None)


def test_compiled_parts_train_the_same_network(network):
    other = copy.deepcopy(network)
    compile_parts(other, backend="aot_eager")
    (losses, slopes), (same_losses, same_slopes) = step(network), step(other)
    for name, value in losses.items():
        assert value.item() == pytest.approx(same_losses[name].item(), rel=1e-9)
    for a, b in zip(slopes, same_slopes, strict=True):
        assert (a is None and b is None) or torch.allclose(a, b, rtol=1e-6, atol=1e-9)
    assert network.state_dict().keys() == other.state_dict().keys()
