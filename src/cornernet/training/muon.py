"""Muon: each convolution changes by the orthogonal matrix nearest to its averaged gradient, all else by Adam.

Source: K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); the size of a step as in
J. Liu et al., "Muon is scalable for LLM training" (2025). PyTorch's own takes no convolutions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from cornernet.model.layers import Branch

_MOMENTUM = 0.95
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
_POLYNOMIAL = 3.4445, -4.7750, 2.0315  # Jordan's, of the powers 1, 3 and 5
_ROUNDS = 3
_RMS = 0.4  # of an update, in learning rates; 0.2 is that of Adam, twice that learnt more: docs/log.md


class Muon(torch.optim.Optimizer):
    """``groups`` of weights, ``params``, for Adam or, where ``matrices`` is true, weights (O, I, h, w) that are each
    taken as a matrix of O by I * h * w. A group may have an ``lr`` of its own.

    If ``found_inf``, a scalar tensor, is 1, a step changes nothing, without synchronisation: the rule of PyTorch's
    fused optimisers. ``fused`` as in ``torch.optim.Adam``.
    """

    found_inf: Tensor | None = None

    def __init__(self, groups: Sequence[dict[str, Any]], lr: float, fused: bool):
        super().__init__([group for group in groups if group["params"]], {"lr": lr, "fused": fused})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every weight that has a gradient; returns the value of the closure, which is called first."""
        value = None
        if closure is not None:
            with torch.enable_grad():
                value = closure()
        for group in self.param_groups:
            found = {weight: weight.grad for weight in group["params"] if weight.grad is not None}
            if group["matrices"]:
                self._move_matrices(found, group["lr"])
            elif found:
                self._move_others(found, group["lr"], group["fused"])
        return value

    def _move_matrices(self, gradients: dict[Tensor, Tensor], lr: float) -> None:
        same_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
        for weight in gradients:
            same_shape[weight.flatten(1).shape].append(weight)
        for shape, weights in same_shape.items():
            found = torch.stack([gradients[weight].flatten(1) for weight in weights])
            kept = [self._average(weight, "momentum", shape) for weight in weights]
            averages = torch.stack(kept)
            if self.found_inf is not None:
                found = torch.where(self.found_inf > 0, averages, found)
            averages.lerp_(found, 1 - _MOMENTUM)
            moves = orthogonalize(found.lerp_(averages, _MOMENTUM)).mul_(-lr * _RMS * max(shape) ** 0.5)
            if self.found_inf is not None:
                moves *= 1 - self.found_inf
            for weight, old, average, move in zip(weights, kept, averages, moves, strict=True):
                old.copy_(average)
                weight += move.view_as(weight)

    def _move_others(self, gradients: dict[Tensor, Tensor], lr: float, fused: bool) -> None:
        adam(
            list(gradients),
            list(gradients.values()),
            [self._average(weight, "exp_avg", weight.shape) for weight in gradients],
            [self._average(weight, "exp_avg_sq", weight.shape) for weight in gradients],
            [],
            [self._average(weight, "step", (), on_host=not fused) for weight in gradients],
            fused=fused,
            found_inf=self.found_inf if fused else None,
            amsgrad=False,
            beta1=_BETA1,
            beta2=_BETA2,
            lr=lr,
            weight_decay=0.0,
            eps=_EPSILON,
            maximize=False,
        )

    def _average(self, weight: Tensor, name: str, shape: Iterable[int], *, on_host: bool = False) -> Tensor:
        """One of the averages kept of a weight, zero at first; also its count of steps."""
        kept = self.state[weight]
        if name not in kept:
            kept[name] = torch.zeros(tuple(shape), device="cpu" if on_host else weight.device)
        return kept[name]


def hidden_convolutions(model: nn.Module) -> set[nn.Parameter]:
    """The weights that are taken as matrices: of all convolutions but the first, of three channels, and those that end
    a branch. There a channel has a meaning of its own."""
    last = {branch.out.weight for branch in model.modules() if isinstance(branch, Branch)}
    return {weight for weight in model.parameters() if weight.ndim == 4 and weight.shape[1] > 3} - last


def orthogonalize(matrices: Tensor) -> Tensor:
    """Matrices (K, R, C) with their singular vectors, and singular values near 1 (0.68 to 1.21) where they were more
    than a fiftieth of the matrix' Frobenius norm, smaller ones about 40 times as large.

    Newton-Schulz: rounds of X -> a X + b X X'X + c (X X')^2 X. X X' and the polynomial commute, so all rounds but the
    last product are done on the smaller square, a fifth of the multiplications.
    """
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonalize(matrices.mT).mT
    a, b, c = _POLYNOMIAL
    matrices = matrices / (torch.linalg.matrix_norm(matrices, keepdim=True) + 1e-7)
    squares = matrices @ matrices.mT
    identity = torch.eye(squares.shape[-1], device=squares.device)
    product = identity
    for i in range(_ROUNDS):
        factor = a * identity + b * squares + c * squares @ squares
        product = factor @ product if i else factor
        if i + 1 < _ROUNDS:
            squares = factor @ squares @ factor
    return product @ matrices
