"""Corner pooling against flip and ``torch.cummax`` on the CPU: a Markdown table of both and their ratio.

Forward is without gradients, as at test; forward + backward as in training. The exit code is 1 if cornernet's
forward is slower anywhere. Close other programs first.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from itertools import product
from statistics import median

import torch
from peer import cpu_model
from torch import Tensor

from cornernet.model.corner_pool import corner_pool

SHAPES = ((8, 128, 64, 64), (1, 128, 128, 128), (1, 128, 96, 96))
LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}
NAMES = {(2, True): "top", (3, True): "left", (2, False): "bottom", (3, False): "right"}
Pool = Callable[[Tensor, int, bool], Tensor]


def own(x: Tensor, dim: int, reverse: bool) -> Tensor:
    """The network's own pooling."""
    return corner_pool(x, dim, reverse=reverse)


def cummax(x: Tensor, dim: int, reverse: bool) -> Tensor:
    """The same with PyTorch's operators."""
    return x.flip(dim).cummax(dim).values.flip(dim) if reverse else x.cummax(dim).values


def seconds(pool: Pool, x: Tensor, grad: Tensor, dim: int, reverse: bool, backward: bool) -> float:
    """One call, with the gradient of ``x`` where ``backward``."""
    with torch.set_grad_enabled(backward):
        start = time.perf_counter()
        out = pool(x, dim, reverse)
        if backward:
            torch.autograd.grad(out, x, grad)
        return time.perf_counter() - start


def medians(x: Tensor, dim: int, reverse: bool, backward: bool, repeats: int) -> tuple[float, float]:
    """Median seconds of both, taking turns, after one call of each to warm up."""
    grad = torch.randn_like(x)
    times: dict[Pool, list[float]] = {own: [], cummax: []}
    for _ in range(repeats + 1):
        for pool, taken in times.items():
            taken.append(seconds(pool, x, grad, dim, reverse, backward))
    return median(times[own][1:]), median(times[cummax][1:])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15, help="timed calls of each; the median counts")
    parser.add_argument("--quick", action="store_true", help="one shape and three calls: to see that it runs")
    options = parser.parse_args()
    shapes, repeats = (SHAPES[-1:], 3) if options.quick else (SHAPES, options.repeats)
    print(f"{cpu_model()}, {torch.get_num_threads()} threads, torch {torch.__version__}, medians of {repeats}, ms\n")
    print("| shape | dtype | layout | pool | forward | cummax | ratio | forward + backward | cummax | ratio |")
    print("|---|---|---|---|--:|--:|--:|--:|--:|--:|")
    torch.manual_seed(0)
    slower = 0
    cases = product(shapes, (torch.float32, torch.bfloat16), LAYOUTS, NAMES)
    for shape, dtype, layout, (dim, reverse) in cases:
        x = torch.randn(shape).to(dtype=dtype, memory_format=LAYOUTS[layout]).requires_grad_()
        if not torch.equal(own(x, dim, reverse), cummax(x, dim, reverse)):
            sys.exit(f"error: {NAMES[dim, reverse]} pool of {shape}, {dtype}, {layout} differs from cummax")
        cells = []
        for backward in (False, True):
            mine, theirs = medians(x, dim, reverse, backward, repeats)
            slower += mine > theirs and not backward
            cells.append(f"{mine * 1000:.2f} | {theirs * 1000:.2f} | {theirs / mine:.2f}x")
        size, kind = "x".join(map(str, shape)), str(dtype).removeprefix("torch.")
        print(f"| {size} | {kind} | {layout} | {NAMES[dim, reverse]} | {' | '.join(cells)} |", flush=True)
    if slower:
        sys.exit(f"\ncornernet's forward is slower than cummax in {slower} measurements")


if __name__ == "__main__":
    main()
