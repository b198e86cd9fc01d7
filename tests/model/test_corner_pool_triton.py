"""The Triton kernels against the plain operators: on a GPU where there is one, and under Triton's interpreter anywhere.

The interpreter has to be chosen before Triton is first imported, so those tests run in a process of their own.
"""

import importlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_corner_pool import LAYOUTS, POOLS

from cornernet.model import corner_pool as plain

triton = pytest.importorskip("triton", reason="no triton: it comes with CUDA builds of torch, and from PyPI")
kernels = importlib.import_module("cornernet.model.corner_pool_triton")

VERSION = tuple(map(int, triton.__version__.split(".")[:2]))
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cuda" if torch.cuda.is_available() and not INTERPRETED else "cpu"
SHAPES = [(2, 3, 5, 7), (1, 1, 1, 1), (1, 3, 1, 6), (1, 3, 6, 1), (0, 3, 4, 5)]
if DEVICE == "cuda":  # several blocks, and lines over several warps
    SHAPES += [(2, 24, 70, 130), (1, 3, 2000, 33), (1, 3, 33, 2000)]
FEW = SHAPES if DEVICE == "cuda" else SHAPES[:1]  # the interpreter is slow: where other cases have the edges
CHOICES = list(itertools.product((2, 3), (False, True)))
HALVES = list(itertools.product(("contiguous", "channels_last"), (torch.bfloat16, torch.float16)))


@pytest.mark.skipif(VERSION < (3, 7), reason="the interpreter before Triton 3.7 fails with NumPy 2.4 and later")
@pytest.mark.skipif(INTERPRETED, reason="already under the interpreter")
def test_under_the_interpreter():
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"{__file__}::TestKernels"]
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    root = Path(__file__).parents[2]
    done = subprocess.run(words, capture_output=True, text=True, cwd=root, env=environment, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


@pytest.mark.skipif(INTERPRETED, reason="the interpreter compiles nothing")
@pytest.mark.parametrize("name", ["_walk", "_walk_back", "_scan", "_scan_back"])
def test_kernels_compile_to_machine_code_without_a_gpu(name, tmp_path, monkeypatch):
    compiler, target = importlib.import_module("triton.compiler"), importlib.import_module("triton.backends.compiler")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel = getattr(kernels, name)
    values = {"REVERSE": True, "ADD": True, "LINES": 32, "ROWS": kernels.ROWS, "PLACES": 128}
    signature, constants = {}, {}
    for place, argument in enumerate(kernel.arg_names):
        pointer = "*i32" if argument == "notes_ptr" else "*bf16"
        signature[argument] = pointer if argument.endswith("_ptr") else "i32"
        if argument in values:
            signature[argument], constants[place,] = "constexpr", values[argument]
    source = compiler.ASTSource(fn=kernel, signature=signature, constexprs=constants)
    hopper = target.GPUTarget("cuda", 90, 32)
    compiled = compiler.compile(source, target=hopper, options={"num_warps": 1 if "walk" in name else 4})
    assert compiled.asm["cubin"]
    assert "max.NaN" in compiled.asm["ptx"]  # the interpreter's maximum keeps NaN in any case, a GPU's when told to


def whole_numbers(shape, generator):
    """A gradient whose sums are exact in every order and precision."""
    most = 4 if max(shape) < 60 else 1
    return torch.randint(-most, most + 1, shape, generator=generator)


def same(first, second):
    return torch.equal(first.nan_to_num(nan=99), second.nan_to_num(nan=99)) and first.stride() == second.stride()


class TestKernels:
    """Collected where kernels run."""

    __test__ = INTERPRETED or DEVICE == "cuda"

    @pytest.fixture(autouse=True)
    def _small_tiles(self, monkeypatch):
        """Several tiles and chunks a map, and an interpreter that is not asked for masked values by the thousand."""
        if DEVICE == "cpu":
            monkeypatch.setattr(kernels, "TILE", 64)
            monkeypatch.setattr(kernels, "WALK_LINES", 8)
            monkeypatch.setattr(kernels, "ROWS", 4)
            monkeypatch.setattr(plain, "_kernels", lambda x: kernels if kernels.can_pool(x) else None)

    @pytest.mark.parametrize(("layout", "dtype"), [(n, torch.float32) for n in LAYOUTS] + HALVES)
    def test_values_and_gradients_equal_the_plain_ones(self, layout, dtype):
        generator = torch.Generator().manual_seed(0)
        shapes = SHAPES if dtype == torch.float32 and layout in ("contiguous", "channels_last") else FEW
        for shape, (dim, reverse) in itertools.product(shapes, CHOICES):
            x = torch.randint(-2, 3, shape, generator=generator).float()  # ties
            x[:, 1::3] = torch.randn(x[:, 1::3].shape, generator=generator)
            hurt = x[:, 2::3]
            hurt[torch.rand(hurt.shape, generator=generator) < 0.2] = float("nan")
            hurt[torch.rand(hurt.shape, generator=generator) < 0.2] = -float("inf")
            x = LAYOUTS[layout](x.to(DEVICE, dtype))
            grad = whole_numbers(shape, generator).to(DEVICE, dtype)
            out = plain._scan(x, dim, reverse)
            case = f"{shape}, axis {dim}, reverse {reverse}"
            assert same(kernels.pool(x, dim, reverse), out), case
            if x.numel():
                expected = plain._scan_back(grad, x, out, dim, reverse)
                assert same(kernels.pool_backward(grad, x, dim, reverse), expected), case

    @pytest.mark.parametrize("channels_last", [False, True])
    def test_gradients_are_summed_in_float32(self, channels_last):
        x = torch.zeros(1, 2, 24, 24, device=DEVICE)
        x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
        grad = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)).to(DEVICE, torch.bfloat16)
        for dim, reverse in CHOICES:
            found = kernels.pool_backward(grad, x.bfloat16(), dim, reverse).sum(dim)
            torch.testing.assert_close(found, grad.double().sum(dim).bfloat16())

    @pytest.mark.parametrize("layouts", [("contiguous",) * 2, ("channels_last",) * 2, ("middle", "channels_last")])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
    def test_a_pair_is_the_sum_of_two_pools(self, layouts, dtype):
        generator = torch.Generator().manual_seed(1)
        shapes = SHAPES if dtype == torch.float32 and layouts[0] == layouts[1] else FEW
        for shape, reverse in itertools.product(shapes, (False, True)):
            maps = [torch.randint(-3, 4, shape, generator=generator).to(DEVICE, dtype) for _ in layouts]
            maps = [LAYOUTS[name](x).detach().requires_grad_() for name, x in zip(layouts, maps, strict=True)]
            grad = whole_numbers(shape, generator).to(DEVICE, dtype)
            out = torch.ops.cornernet.corner_pool_pair(*maps, reverse)
            pools = [plain._scan(x.detach(), dim, reverse) for dim, x in zip((2, 3), maps, strict=True)]
            assert torch.equal(out, pools[0] + pools[1])
            assert out.stride() == pools[0].stride()
            if out.numel():
                found = torch.autograd.grad(out, maps, grad)
                for dim, x, pool, gradient in zip((2, 3), maps, pools, found, strict=True):
                    assert same(gradient, plain._scan_back(grad, x.detach(), pool, dim, reverse))

    @pytest.mark.parametrize("layout", ["contiguous", "channels_last", "every_second"])
    def test_the_operators_keep_pytorchs_rules(self, layout):
        generator = torch.Generator().manual_seed(2)
        maps = [LAYOUTS[layout](torch.randn(2, 2, 3, 4, generator=generator).to(DEVICE)) for _ in range(2)]
        maps = [x.detach().requires_grad_() for x in maps]
        torch.library.opcheck(torch.ops.cornernet.corner_pool.default, (maps[0], 3, True))
        torch.library.opcheck(torch.ops.cornernet.corner_pool_pair.default, (*maps, False))

    def test_a_sum_backward_hands_down_an_expanded_gradient(self):
        for pool, dim, reverse in POOLS:
            x = torch.arange(24.0, device=DEVICE).reshape(1, 2, 3, 4).requires_grad_()
            pool(x).sum().backward()
            length = x.shape[dim]  # values rise to the end: with the last cell first, it takes everything
            expected = torch.ones_like(x)
            if reverse:
                expected.zero_().select(dim, length - 1).fill_(length)
            assert torch.equal(x.grad, expected)

    def test_what_the_kernels_do_not_take_is_pooled_all_the_same(self):
        long = torch.arange(2.0 * (kernels.MAX_LENGTH + 1), device=DEVICE).reshape(1, 1, 2, -1)
        double = torch.arange(24.0, device=DEVICE, dtype=torch.float64).reshape(1, 2, 3, 4)
        for x in (long, double):
            assert not kernels.can_pool(x)
            assert torch.equal(plain.corner_pool(x, 3, reverse=False), x.cummax(3).values)
            both = torch.ops.cornernet.corner_pool_pair(x, x, False)
            assert torch.equal(both, x.cummax(2).values + x.cummax(3).values)
