"""The network for testing: the same function with fewer multiplications and fewer passes over memory.

Batch normalisation is folded into the convolutions. On CPUs with oneDNN, one operator computes a convolution, the sum
after it and its ReLU, from weights that are packed once. 3x3 convolutions with many channels on large maps are computed
by Winograd's F(4, 3) along the rows, with half the multiplications. Values differ from the plain network's by rounding.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cornernet.model.cornernet import CornerNet
from cornernet.model.layers import Fusable

_WINOGRAD_CHANNELS = 96  # with fewer, the transforms cost more than they save
_WINOGRAD_MAP = 64  # cells a side; on smaller maps, for a typical input, they save nothing
_STRIP_ROWS, _STRIP_BYTES = (
    16,
    12 * 2**20,
)  # fewest rows; memory of their sums: fits a last-level cache
_TRIM_BYTES = 64 * 2**20  # bytes of freed weights after which memory is returned
_TYPICAL_INPUT, _TYPICAL_MAP = 512, 128  # pixels and cells a side that weights are packed for


def fuse(model: CornerNet, dtype: torch.dtype = torch.float32, *, portable: bool = False) -> CornerNet:
    """Make ``model`` ready for testing only, in place; it then computes in ``dtype``.

    Only the last head stays. The network takes images of ``dtype`` and gives features in it; heatmaps, offsets and
    pairing values are computed from them in float32. The network has no parameters any more: save or train another
    copy. With ``portable`` it has only PyTorch's own operators, which exporters know, on CPUs too.
    """
    model.eval().requires_grad_(False)
    model.heads = model.heads[-1:]  # the others are for training
    with torch.no_grad():
        on_cpu = next(model.parameters()).device.type == "cpu"
        fuser = _Fuser(_map_sizes(model), dtype, packs=on_cpu and not portable and _packable(dtype))
        _fuse_layers(model, fuser)
        model.backbone.to(dtype)  # layers that are not fused
    _trim_memory()
    model.fused = dtype
    return model


def _fuse_layers(parent: nn.Module, fuser: _Fuser) -> None:
    for name, child in list(parent.named_children()):
        if isinstance(child, Fusable):
            setattr(parent, name, child.fused(fuser))
        else:
            _fuse_layers(child, fuser)


def _map_sizes(model: CornerNet) -> dict[nn.Module, int]:
    """Cells a side of each convolution's output for a typical input, found by a small one."""
    found: dict[nn.Module, int] = {}
    side, weight = model.architecture.backbone.size_multiple, next(model.parameters())

    def record(layer: nn.Module, _: Any, output: Tensor) -> None:
        found[layer] = output.shape[-1] * _TYPICAL_INPUT // side

    hooks = [layer.register_forward_hook(record) for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    model(torch.zeros((1, 3, side, side), dtype=weight.dtype, device=weight.device), last_only=True)
    for hook in hooks:
        hook.remove()
    return found


def _trim_memory() -> None:
    """Return to the system what glibc keeps: freed weights leave holes between new ones, up to a gigabyte."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


class _Fuser:
    """A ``layers.FuseConv`` that also frees the weights of each convolution."""

    def __init__(self, map_sizes: dict[nn.Module, int], dtype: torch.dtype, *, packs: bool) -> None:
        self.map_sizes, self.dtype, self.packs = map_sizes, dtype, packs
        self.freed = 0

    def __call__(
        self,
        conv: nn.Conv2d,
        bn: nn.BatchNorm2d | None = None,
        *,
        relu: bool,
        limit: float | None = None,
        channels: slice = slice(None),
        exact: bool = False,
    ) -> nn.Module:
        weight = conv.weight.detach()
        conv.weight.data = weight.new_empty(0)  # memory never holds both networks
        self.freed += weight.nbytes
        if self.freed > _TRIM_BYTES:
            _trim_memory()
            self.freed = 0
        bias = weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias.detach()
        if bn is not None:
            assert bn.running_mean is not None
            assert bn.running_var is not None
            scale = bn.weight.double() / (bn.running_var.double() + bn.eps).sqrt()
            shift = bn.bias.double() - bn.running_mean.double() * scale
            weight, bias = weight * scale[channels, None, None, None].float(), bias * scale[channels] + shift[channels]
        dtype = torch.float32 if exact else self.dtype
        if not self.packs:
            return FusedConv(conv, weight.to(dtype), bias.to(dtype), relu, limit)
        if conv.kernel_size == conv.stride == (1, 1) and conv.groups == 1:
            return MatrixConv(weight.to(dtype), bias.to(dtype), relu, limit)
        map_size = self.map_sizes[conv]
        wide = min(conv.in_channels, conv.out_channels) >= _WINOGRAD_CHANNELS
        plain = conv.kernel_size == (3, 3) and conv.stride == (1, 1) and conv.groups == 1
        if wide and plain and limit is None and map_size >= _WINOGRAD_MAP and dtype == torch.float32:
            return WinogradConv(weight, bias, relu)
        return PackedConv(conv, weight.to(dtype), bias.to(dtype), relu, map_size, limit)


def _packable(dtype: torch.dtype) -> bool:
    if dtype == torch.float32 or not torch.backends.mkldnn.is_available():
        return torch.backends.mkldnn.is_available()
    ops = torch.ops.mkldnn
    return ops._is_mkldnn_bf16_supported() if dtype == torch.bfloat16 else ops._is_mkldnn_fp16_supported()


def _activation(relu: bool, limit: float | None) -> tuple[str, list[float], str]:
    """What oneDNN's operators are told to do with their result."""
    if not relu:
        return "none", [], ""
    return ("relu", [], "") if limit is None else ("hardtanh", [0.0, limit], "")


class FusedConv(nn.Module):
    """A convolution with bias, an optional sum and ReLU, in PyTorch's own operators, on any device."""

    def __init__(self, conv: nn.Conv2d, weight: Tensor, bias: Tensor, relu: bool, limit: float | None) -> None:
        super().__init__()
        self.weight = nn.Buffer(weight.contiguous(memory_format=torch.channels_last))
        self.bias, self.relu, self.limit = nn.Buffer(bias), relu, limit
        self.stride, self.padding, self.dilation, self.groups = conv.stride, conv.padding, conv.dilation, conv.groups

    def forward(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """(B, C, H, W) to (B, outputs, ...), as ``ConvBN``."""
        geometry = self.stride, self.padding, self.dilation, self.groups
        y = F.conv2d(x.to(self.weight.dtype), self.weight, self.bias, *geometry)  # type: ignore[call-overload]
        if add is not None:
            y += add
        if not self.relu:
            return y
        return F.relu_(y) if self.limit is None else F.hardtanh_(y, 0.0, self.limit)


class PackedConv(nn.Module):
    """``FusedConv`` as one oneDNN operator; its weights are in the order in which oneDNN reads them."""

    def __init__(
        self, conv: nn.Conv2d, weight: Tensor, bias: Tensor, relu: bool, map_size: int, limit: float | None
    ) -> None:
        super().__init__()
        padding, stride, dilation = ([*n] for n in (conv.padding, conv.stride, conv.dilation))
        shape = [1, conv.in_channels, map_size * stride[0], map_size * stride[1]]
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(
            weight.contiguous(memory_format=torch.channels_last), padding, stride, dilation, conv.groups, shape
        )
        self.bias, self.dtype, self.relu = bias, weight.dtype, relu
        self.limit = limit if relu else None
        self.geometry = padding, stride, dilation, conv.groups
        self.activation = _activation(relu, limit)

    def forward(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """(B, C, H, W) to (B, outputs, ...), as ``ConvBN``."""
        convolve = torch.ops.mkldnn._convolution_pointwise
        x = x.to(self.dtype)
        if add is None:
            return convolve(x, self.weight, self.bias, *self.geometry, *self.activation)
        relu = "relu" if self.relu else None
        y = convolve.binary(x, add, self.weight, self.bias, *self.geometry, "add", 1.0, relu, [], None)
        return y if self.limit is None else y.clamp_(max=self.limit)


class MatrixConv(nn.Module):
    """``FusedConv`` of kernel 1 and stride 1 as a matrix product with the pixels.

    Its weights are in no special order: the one that oneDNN reads fastest saves 5 %, but it depends on the size of the
    map, and on a small map of another size reordering them takes twenty times as long as the product.
    """

    def __init__(self, weight: Tensor, bias: Tensor, relu: bool, limit: float | None) -> None:
        super().__init__()
        self.weight, self.bias, self.limit = weight.flatten(1).contiguous(), bias, limit
        self.activation = _activation(relu, limit)

    def forward(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """(B, C, H, W) to (B, outputs, H, W), as ``ConvBN``; channels-last."""
        batch, channels, height, width = x.shape
        multiply, cells = torch.ops.mkldnn._linear_pointwise, x.to(self.weight.dtype).permute(0, 2, 3, 1)
        cells = cells.reshape(-1, channels)
        if add is None:
            y = multiply(cells, self.weight, self.bias, *self.activation)
        else:
            y = multiply.binary(cells, add.permute(0, 2, 3, 1).reshape(len(cells), -1), self.weight, self.bias, "add")
            if self.activation[0] != "none":
                y.clamp_(0, self.limit)
        return y.reshape(batch, height, width, -1).permute(0, 3, 1, 2)


class WinogradConv(nn.Module):
    """A 3x3 convolution of stride 1 by Winograd's F(4, 3) along the rows: four outputs need six products for each row
    of the kernel instead of twelve (Lavin and Gray, Fast algorithms for convolutional neural networks, 2015).

    Six inputs in a row become six sums, each of the six goes through its own vertical convolution of three taps, and
    the six results become four outputs. The interpolation points are 0, 1, -1, 2, -2 and infinity.
    """

    kernel_to_sums = torch.tensor([[6.0, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]).div(24)

    def __init__(self, weight: Tensor, bias: Tensor, relu: bool) -> None:
        super().__init__()
        self.outputs, inputs = weight.shape[:2]
        sums = torch.einsum("sk,oihk->soih", self.kernel_to_sums, weight).flatten(0, 1)[..., None]
        shape = [1, 6 * inputs, _TYPICAL_MAP, _TYPICAL_MAP // 4]
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(
            sums.contiguous(memory_format=torch.channels_last), [1, 0], [1, 1], [1, 1], 6, shape
        )
        self.bias = torch.zeros(6, self.outputs)
        self.bias[1] = bias  # each of the four outputs contains the second sum once
        self.bias, self.relu = self.bias.flatten(), relu

    def forward(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """(B, C, H, W) to (B, outputs, H, W), as ``ConvBN``; channels-last."""
        batch, channels, height, width = x.shape
        tiles = -(-width // 4)
        rows = max(_STRIP_ROWS, _STRIP_BYTES // (batch * tiles * 6 * channels * 4))
        y = torch.empty((batch, self.outputs, height, width), memory_format=torch.channels_last)
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            first, last = max(top - 1, 0), min(bottom + 1, height)
            sums = self._sums(x[:, :, first:last], tiles).reshape(batch, last - first, tiles, 6 * channels)
            products = torch.ops.mkldnn._convolution_pointwise(
                sums.permute(0, 3, 1, 2), self.weight, self.bias, [1, 0], [1, 1], [1, 1], 6, "none", [], ""
            )[:, :, top - first : bottom - first]
            shape = batch, bottom - top, tiles, 6, self.outputs
            strip = self._outputs(products.permute(0, 2, 3, 1).reshape(shape)).reshape(*shape[:2], -1, self.outputs)
            strip = strip[:, :, :width].permute(0, 3, 1, 2)
            if add is not None:
                strip += add[:, :, top:bottom]
            target = y[:, :, top:bottom]
            torch.clamp_min(strip, 0, out=target) if self.relu else target.copy_(strip)
        return y

    @staticmethod
    def _sums(x: Tensor, tiles: int) -> Tensor:
        """(B, C, H, W) to (B, H, tiles, 6, C): the six sums of each tile; neighbouring tiles share two columns."""
        batch, channels, height, width = x.shape
        wide = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, tiles * 4 + 1 - width))
        d = [wide[:, :, i : i + 4 * tiles - 3 : 4] for i in range(6)]
        sums = wide.new_empty(batch, height, tiles, 6, channels)
        t = sums.unbind(3)
        even, odd = torch.sub(d[4], d[2], alpha=4), torch.sub(d[3], d[1], alpha=4)
        torch.add(even, odd, out=t[1])
        torch.sub(even, odd, out=t[2])
        torch.add(even.sub_(d[2]), d[0], alpha=4, out=t[0])
        torch.add(torch.sub(d[5], d[3], alpha=5, out=even), d[1], alpha=4, out=t[5])
        torch.sub(d[4], d[2], out=even)
        torch.sub(d[3], d[1], out=odd)
        torch.add(even, odd, alpha=2, out=t[3])
        torch.sub(even, odd, alpha=2, out=t[4])
        return sums

    @staticmethod
    def _outputs(products: Tensor) -> Tensor:
        """(B, H, tiles, 6, C) to (B, H, tiles, 4, C)."""
        m = products.unbind(3)
        outputs = products.new_empty(*products.shape[:3], 4, products.shape[4])
        y = outputs.unbind(3)
        near, far = m[1] + m[2], m[3] + m[4]
        torch.add(near, far, out=y[0]).add_(m[0])
        torch.add(near, far, alpha=4, out=y[2])
        torch.sub(m[1], m[2], out=near)
        torch.sub(m[3], m[4], out=far)
        torch.add(near, far, alpha=2, out=y[1])
        torch.add(near, far, alpha=8, out=y[3]).add_(m[5])
        return outputs
