"""What follows a convolution of CNN14, in one pass over its feature maps: kernels in Triton, to be measured.

Batch normalisation, ReLU, mean pooling, the text's share, the mask of padded frames, dropout.

PyTorch makes four passes forward and more backward, and keeps two maps for it. Here the maps that a convolution gave
are read twice forward (for their statistics, then for the result) and twice backward, and only they are kept: all else
is computed again. Maps are channels_last, sums are float32 in a fixed order, so results repeat to the last bit.

    mean, variance of each channel over batch, frames and bands;  scale = weight / sqrt(variance + eps)
    z = scale y + bias - scale mean;  result = (pool(max(z, 0)) + text) speech kept,  kept = 0 or 1 / (1 - dropout)
    dz = [z > 0] unpool(slope speech kept);  dy = scale (dz - mean(dz) - x mean(dz x)), x = (z - bias) / weight
"""

import types
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 -- its name everywhere
import triton
import triton.language as tl
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sercore.models import cnn14

CHANNELS, TILE = 64, 4096  # of a program at most: channels, and numbers
PROGRAMS = 528  # that share a sum: four for each of an H100's 132 multiprocessors


@triton.jit
def _sums(y, pivot, parts, rows, channels, programs, BC: tl.constexpr, BP: tl.constexpr):  # noqa: N803
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    middle = tl.load(pivot + c)[None, :]
    first = tl.zeros([BP, BC], tl.float32)
    second = tl.zeros([BP, BC], tl.float32)
    for start in range(tl.program_id(1) * BP, rows, programs * BP):
        r = start + tl.arange(0, BP)
        here = (r < rows)[:, None]
        v = tl.load(y + r[:, None] * channels + c[None, :], mask=here, other=0.0).to(tl.float32)
        v = tl.where(here, v - middle, 0.0)
        first += v
        second += v * v
    place = parts + tl.program_id(1) * channels + c
    tl.store(place, tl.sum(first, 0))
    tl.store(place + programs * channels, tl.sum(second, 0))


@triton.jit
def _total(parts, c, programs, channels, BC: tl.constexpr, BS: tl.constexpr):  # noqa: N803
    total = tl.zeros([BS, BC], tl.float32)
    for start in range(0, programs, BS):
        s = start + tl.arange(0, BS)
        total += tl.load(parts + s[:, None] * channels + c[None, :], mask=(s < programs)[:, None], other=0.0)
    return tl.sum(total, 0)


@triton.jit
def _statistics(
    parts, weight, bias, running_mean, running_variance, saved, rows, channels, programs, momentum, eps,
    BC: tl.constexpr, BS: tl.constexpr,  # noqa: N803
):  # fmt: skip
    """Into `saved`: mean, 1 / standard deviation, scale and offset of each channel."""
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    pivot = tl.load(running_mean + c)
    first = _total(parts, c, programs, channels, BC, BS) / rows
    second = _total(parts + programs * channels, c, programs, channels, BC, BS) / rows
    mean = pivot + first
    variance = tl.maximum(second - first * first, 0.0)
    inverse = 1.0 / tl.sqrt(variance + eps)
    scale = tl.load(weight + c) * inverse
    tl.store(saved + c, mean)
    tl.store(saved + channels + c, inverse)
    tl.store(saved + 2 * channels + c, scale)
    tl.store(saved + 3 * channels + c, tl.load(bias + c) - mean * scale)
    tl.store(running_mean + c, pivot + momentum * (mean - pivot))
    before = tl.load(running_variance + c)
    tl.store(running_variance + c, before + momentum * (variance * (rows / (rows - 1.0)) - before))


@triton.jit
def _kept(seed, places, dropout):
    """0 or 1 / (1 - dropout) for each of `places`, the same whenever it is asked for."""
    return tl.where(tl.rand(tl.load(seed), places) >= dropout, 1.0 / (1.0 - dropout), 0.0)


@triton.jit
def _result(
    y, saved, speech, text, seed, out, rows, channels, frames, bands, out_frames, out_bands, dropout,
    POOL: tl.constexpr, MASKED: tl.constexpr, SHIFTED: tl.constexpr, DROPPED: tl.constexpr,  # noqa: N803
    BC: tl.constexpr, BP: tl.constexpr,  # noqa: N803
):  # fmt: skip
    """`rows` places of the result."""
    r = tl.program_id(0) * BP + tl.arange(0, BP)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    here = (r < rows)[:, None]
    places = r[:, None] * channels + c[None, :]
    scale = tl.load(saved + 2 * channels + c)[None, :]
    offset = tl.load(saved + 3 * channels + c)[None, :]
    frame = r // out_bands  # of all utterances
    if POOL == 1:
        v = tl.load(y + places, mask=here, other=0.0).to(tl.float32)
        v = tl.maximum(v * scale + offset, 0.0)
    else:
        corner = ((frame // out_frames) * frames + (frame % out_frames) * 2) * bands + (r % out_bands) * 2
        v = tl.zeros([BP, BC], tl.float32)
        for i in tl.static_range(2):
            for j in tl.static_range(2):
                place = corner + i * bands + j
                part = tl.load(y + place[:, None] * channels + c[None, :], mask=here, other=0.0).to(tl.float32)
                v += tl.maximum(part * scale + offset, 0.0)
        v = v * 0.25
    if SHIFTED:
        of_text = (frame // out_frames)[:, None] * channels + c[None, :]
        v += tl.load(text + of_text, mask=here, other=0.0).to(tl.float32)
    if MASKED:
        v = v * tl.load(speech + frame, mask=r < rows, other=0.0).to(tl.float32)[:, None]
    if DROPPED:
        v = v * _kept(seed, places, dropout)
    tl.store(out + places, v.to(out.dtype.element_ty), mask=here)


@triton.jit
def _slope_of_z(
    y, slope, saved, speech, seed, r, c, rows, channels, frames, bands, out_frames, out_bands, dropout,
    POOL: tl.constexpr, MASKED: tl.constexpr, DROPPED: tl.constexpr,  # noqa: N803
):  # fmt: skip
    """dz, and x: `y` with mean 0 and variance 1."""
    here = (r < rows)[:, None]
    v = tl.load(y + r[:, None] * channels + c[None, :], mask=here, other=0.0).to(tl.float32)
    z = v * tl.load(saved + 2 * channels + c)[None, :] + tl.load(saved + 3 * channels + c)[None, :]
    x = (v - tl.load(saved + c)[None, :]) * tl.load(saved + channels + c)[None, :]
    frame, band = r // bands, r % bands
    if POOL == 1:
        of_frame, pooled, inside, true_frame = frame, r, here, r < rows
    else:
        of = frame % frames // 2
        of_frame = (frame // frames) * out_frames + of
        pooled = of_frame * out_bands + band // 2
        true_frame = (r < rows) & (of < out_frames)
        inside = (true_frame & (band // 2 < out_bands))[:, None]
    places = pooled[:, None] * channels + c[None, :]
    g = tl.load(slope + places, mask=inside, other=0.0).to(tl.float32)
    if POOL == 2:
        g = g * 0.25
    if MASKED:
        g = g * tl.load(speech + of_frame, mask=true_frame, other=0.0).to(tl.float32)[:, None]
    if DROPPED:
        g = g * _kept(seed, places, dropout)
    return tl.where(z > 0, g, 0.0), x


@triton.jit
def _slope_sums(
    y, slope, saved, speech, seed, parts, rows, channels, frames, bands, out_frames, out_bands, dropout, programs,
    POOL: tl.constexpr, MASKED: tl.constexpr, DROPPED: tl.constexpr, BC: tl.constexpr, BP: tl.constexpr,  # noqa: N803
):  # fmt: skip
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    first = tl.zeros([BP, BC], tl.float32)
    second = tl.zeros([BP, BC], tl.float32)
    for start in range(tl.program_id(1) * BP, rows, programs * BP):
        r = start + tl.arange(0, BP)
        dz, x = _slope_of_z(
            y, slope, saved, speech, seed, r, c, rows, channels, frames, bands, out_frames, out_bands, dropout,
            POOL, MASKED, DROPPED,
        )  # fmt: skip
        first += dz
        second += dz * x
    place = parts + tl.program_id(1) * channels + c
    tl.store(place, tl.sum(first, 0))
    tl.store(place + programs * channels, tl.sum(second, 0))


@triton.jit
def _slope_totals(parts, totals, channels, programs, BC: tl.constexpr, BS: tl.constexpr):  # noqa: N803
    """Into `totals`: the slopes of bias and weight."""
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    tl.store(totals + c, _total(parts, c, programs, channels, BC, BS))
    tl.store(totals + channels + c, _total(parts + programs * channels, c, programs, channels, BC, BS))


@triton.jit
def _slope(
    y, slope, saved, speech, seed, totals, out, rows, channels, frames, bands, out_frames, out_bands, dropout,
    POOL: tl.constexpr, MASKED: tl.constexpr, DROPPED: tl.constexpr, BC: tl.constexpr, BP: tl.constexpr,  # noqa: N803
):  # fmt: skip
    r = tl.program_id(0) * BP + tl.arange(0, BP)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    dz, x = _slope_of_z(
        y, slope, saved, speech, seed, r, c, rows, channels, frames, bands, out_frames, out_bands, dropout,
        POOL, MASKED, DROPPED,
    )  # fmt: skip
    scale = tl.load(saved + 2 * channels + c)[None, :]
    mean = tl.load(totals + c)[None, :] / rows
    along = tl.load(totals + channels + c)[None, :] / rows
    dy = scale * (dz - mean - x * along)
    tl.store(out + r[:, None] * channels + c[None, :], dy.to(out.dtype.element_ty), mask=(r < rows)[:, None])


@triton.jit
def _text_slope(
    slope, speech, seed, out, channels, frames, bands, dropout,
    MASKED: tl.constexpr, DROPPED: tl.constexpr, BC: tl.constexpr, BP: tl.constexpr,  # noqa: N803
):  # fmt: skip
    """Sum over all places of one utterance of the result's slope."""
    utterance = tl.program_id(0)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    total = tl.zeros([BP, BC], tl.float32)
    for start in range(0, frames * bands, BP):
        inside = start + tl.arange(0, BP)
        here = (inside < frames * bands)[:, None]
        r = utterance * frames * bands + inside
        places = r[:, None] * channels + c[None, :]
        g = tl.load(slope + places, mask=here, other=0.0).to(tl.float32)
        if MASKED:
            g = g * tl.load(speech + r // bands, mask=inside < frames * bands, other=0.0).to(tl.float32)[:, None]
        if DROPPED:
            g = g * _kept(seed, places, dropout)
        total += g
    tl.store(out + utterance * channels + c, tl.sum(total, 0).to(out.dtype.element_ty))


class _NormReluPool(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        y: Tensor,
        weight: Tensor,
        bias: Tensor,
        text: Tensor | None,
        speech: Tensor | None,
        norm: nn.BatchNorm2d,
        pool: int,
        dropout: float,
    ) -> Tensor:
        y = y.contiguous(memory_format=torch.channels_last)
        batch, channels, frames, bands = y.shape
        rows, (bc, bp) = batch * frames * bands, _tile(channels)
        programs = _programs(rows, channels)
        parts = y.new_empty(2, programs, channels, dtype=torch.float32)
        saved = y.new_empty(4, channels, dtype=torch.float32)
        _sums[channels // bc, programs](y, norm.running_mean, parts, rows, channels, programs, BC=bc, BP=bp)
        _statistics[(channels // min(bc, 16),)](
            parts, weight, bias, norm.running_mean, norm.running_var, saved, rows, channels, programs,
            norm.momentum, norm.eps, BC=min(bc, 16), BS=64,
        )  # fmt: skip
        shape = (batch, channels, frames // pool, bands // pool)
        out = torch.empty(shape, dtype=y.dtype, device=y.device, memory_format=torch.channels_last)
        seed = torch.randint(2**31 - 1, (1,), device=y.device, dtype=torch.int32) if dropout else None
        text = None if text is None else text.contiguous()
        places = batch * shape[2] * shape[3]
        _result[triton.cdiv(places, bp), channels // bc](
            y, saved, _or(speech, y), _or(text, y), _or(seed, y), out, places, channels, frames, bands, *shape[2:],
            dropout, POOL=pool, MASKED=speech is not None, SHIFTED=text is not None, DROPPED=dropout > 0, BC=bc, BP=bp,
        )  # fmt: skip
        ctx.save_for_backward(y, saved, speech, seed)
        ctx.pool, ctx.dropout, ctx.shifted = pool, dropout, None if text is None else text.dtype
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        y, saved, speech, seed = ctx.saved_tensors
        slope = slope.contiguous(memory_format=torch.channels_last)
        batch, channels, frames, bands = y.shape
        rows, (bc, bp) = batch * frames * bands, _tile(channels)
        programs = _programs(rows, channels)
        parts = y.new_empty(2, programs, channels, dtype=torch.float32)
        totals = y.new_empty(2, channels, dtype=torch.float32)
        out = torch.empty_like(y)
        maps = y, slope, saved, _or(speech, y), _or(seed, y)
        sizes = rows, channels, frames, bands, *slope.shape[2:], ctx.dropout
        tile = {"MASKED": speech is not None, "DROPPED": ctx.dropout > 0, "BC": bc, "BP": bp}
        _slope_sums[channels // bc, programs](*maps, parts, *sizes, programs, POOL=ctx.pool, **tile)
        _slope_totals[(channels // min(bc, 16),)](parts, totals, channels, programs, BC=min(bc, 16), BS=64)
        _slope[triton.cdiv(rows, bp), channels // bc](*maps, totals, out, *sizes, POOL=ctx.pool, **tile)
        of_text = None
        if ctx.shifted is not None:
            of_text = torch.empty(batch, channels, dtype=ctx.shifted, device=y.device)
            _text_slope[batch, channels // bc](
                slope, maps[3], maps[4], of_text, channels, *slope.shape[2:], ctx.dropout, **tile
            )
        return out, totals[1], totals[0], of_text, None, None, None, None


def _or(tensor: Tensor | None, other: Tensor) -> Tensor:
    """A kernel takes a tensor even where it does not look at it."""
    return other if tensor is None else tensor


def _tile(channels: int) -> tuple[int, int]:
    """Channels and places of a program. Raises ValueError for channels that no tile fits."""
    inside = min(CHANNELS, channels & -channels)
    if channels % inside or inside < min(CHANNELS, channels):
        raise ValueError(f"{channels} channels; expected a power of 2, or a multiple of {CHANNELS}")
    return inside, TILE // inside


def _programs(rows: int, channels: int) -> int:
    bc, bp = _tile(channels)
    return max(1, min(triton.cdiv(rows, bp), PROGRAMS // (channels // bc)))


def norm_relu_pool(
    y: Tensor,
    norm: nn.BatchNorm2d,
    pool: int,
    speech: Tensor | None = None,
    text: Tensor | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """All that follows a convolution, in training.

    Args:
        y: Feature maps (batch, channels, frames, bands) that the convolution gave.
        norm: Its statistics are updated.
        pool: 1 or 2; the mean is over `pool` x `pool`.
        speech: (batch, frames // pool), by which the frames of the result are multiplied; it has no gradient.
        text: (batch, channels), added after the pooling.
        dropout: Share of the result that is zeroed, the rest grows accordingly.

    Raises:
        ValueError: There are 2^31 numbers or more, or channels that are no power of 2 and no multiple of 64.
    """
    if y.numel() >= 2**31:
        raise ValueError(f"{y.numel()} numbers in a feature map; expected fewer than 2^31: take a smaller batch")
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    return _NormReluPool.apply(y, norm.weight, norm.bias, text, speech, norm, pool, dropout)


def _forward(block: nn.Module, x: Tensor, speech: Tensor | None, pooled: Tensor | None, text: Tensor | None) -> Tensor:
    """As the forward of a block of CNN14."""
    if not block.training:
        return type(block).forward(block, x, speech, pooled, text)
    between, after = (None if mask is None else mask.flatten(1).contiguous() for mask in (speech, pooled))
    x = norm_relu_pool(cnn14._convolve(x, block.conv1), block.bn1, 1, between)
    x = cnn14._convolve(x, block.conv2)
    return norm_relu_pool(x, block.bn2, block.pool, after, text, block.dropout)


def install(model: nn.Module) -> None:
    """Let the blocks of `model` use these kernels in training."""
    for name, part in model.named_children():
        if name.startswith("conv_block"):
            part.forward = types.MethodType(_forward, part)


def first_convolution(x: Tensor, weight: Tensor) -> Tensor:
    """The convolution of one input channel as a product whose inner size is 16, which matrix units take."""
    batch, _, frames, bands = x.shape
    rows = F.pad(cnn14._unfolded(x, weight.shape[2:]), (0, 7))
    y = rows @ F.pad(cnn14._matrix(weight), (0, 7)).mT
    return y.view(batch, frames, bands, len(weight)).permute(0, 3, 1, 2)
