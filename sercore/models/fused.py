"""What follows a convolution of CNN14 in training, in one pass over its feature maps: kernels in Triton for a GPU.

Batch normalisation, ReLU, mean pooling, the text's share, the mask of padded frames, dropout.

PyTorch makes four passes forward and more backward, and keeps two maps for it. Here the maps that a convolution gave
are read twice forward (for their statistics, then for the result) and twice backward, and only they are kept: all else
is computed again. Maps are channels_last, sums are float32 in a fixed order, so results repeat to the last bit.

    mean, variance of each channel over batch, frames and bands;  scale = weight / sqrt(variance + eps)
    z = scale y + bias - scale mean;  result = (pool(max(z, 0)) + text) speech kept,  kept = 0 or 1 / (1 - dropout)
    dz = [z > 0] unpool(slope speech kept);  dy = scale (dz - mean(dz) - x mean(dz x)), x = (z - bias) / weight
"""

from collections.abc import Callable
from typing import Any, cast

import torch
import triton
import triton.language as tl
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

CHANNELS, TILE = 64, 4096  # of a program at most: channels, and numbers
PROGRAMS = 528  # that share a sum: four for each of an H100's 132 multiprocessors
WIDE = 512  # channels from which on the utterances of a batch are programs enough for the sums over their frames
ALIGNED = 16  # bytes at whose multiples a tensor begins, unless it is a part of another
LENGTHS = ("rows", "frames", "out_frames", "programs")  # of which a batch has others than the one before


class _Kernel:
    """A kernel that is compiled once for each kind of its arguments, whatever their lengths, and then only launched.

    Triton's own launch looks at every argument anew, which takes longer than these kernels run on a small batch.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self.function = triton.jit(function, do_not_specialize=LENGTHS)
        self.compiled: dict[Any, Any] = {}

    def __call__(
        self, kind: Any, grid: tuple[int, int, int], tensors: tuple[Tensor | None, ...], *others: float
    ) -> None:
        """Launch it; all that `tensors` and `others` may differ in, but for contents and LENGTHS, is in `kind`."""
        places = 0
        for tensor in tensors:
            places |= 0 if tensor is None else tensor.data_ptr()
        compiled = None if places % ALIGNED else self.compiled.get(kind)
        if compiled is not None:
            compiled[grid](*tensors, *others)
            return
        compiled = self.function[grid](*tensors, *others)
        if compiled is not None and not places % ALIGNED:  # Triton's interpreter compiles nothing
            self.compiled[kind] = compiled


@_Kernel
def _sums(y, pivot, parts, rows, channels, programs, BC: tl.constexpr, BP: tl.constexpr):
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
def _total(parts, c, programs, channels, BC: tl.constexpr, BS: tl.constexpr):
    total = tl.zeros([BS, BC], tl.float32)
    for start in range(0, programs, BS):
        s = start + tl.arange(0, BS)
        total += tl.load(parts + s[:, None] * channels + c[None, :], mask=(s < programs)[:, None], other=0.0)
    return tl.sum(total, 0)


@_Kernel
def _statistics(
    parts,
    weight,
    bias,
    running_mean,
    running_variance,
    tracked,
    saved,
    rows,
    channels,
    programs,
    momentum,
    eps,
    BC: tl.constexpr,
    BS: tl.constexpr,
):
    """Into `saved`: mean, 1 / standard deviation, scale and offset of each channel; the running ones go on."""
    if tl.program_id(0) == 0:
        tl.store(tracked, tl.load(tracked) + 1)
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
def _mixed(x):
    """Each of 2^32 numbers becomes another, and every bit of it depends on all bits."""
    x = (x ^ (x >> 16)) * 0x21F0AAAD
    x = (x ^ (x >> 15)) * 0x735A2D97
    return x ^ (x >> 15)


@triton.jit
def _kept(seed, places, dropout):
    """0 or 1 / (1 - dropout) for each of `places`, the same whenever it is asked for; `seed` is two numbers.

    A fifth of the arithmetic of tl.rand, which took as long as the feature maps take to be read.
    """
    x = _mixed(places.to(tl.uint32) ^ tl.load(seed).to(tl.uint32))
    x = _mixed(x + tl.load(seed + 1).to(tl.uint32))
    return tl.where((x >> 8).to(tl.float32) * 5.9604644775390625e-08 >= dropout, 1.0 / (1.0 - dropout), 0.0)


@_Kernel
def _result(
    y,
    saved,
    speech,
    text,
    seed,
    out,
    rows,
    channels,
    frames,
    bands,
    out_frames,
    out_bands,
    dropout,
    POOL: tl.constexpr,
    MASKED: tl.constexpr,
    SHIFTED: tl.constexpr,
    DROPPED: tl.constexpr,
    BC: tl.constexpr,
    BP: tl.constexpr,
):
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
    y,
    slope,
    saved,
    speech,
    seed,
    r,
    c,
    rows,
    channels,
    frames,
    bands,
    out_frames,
    out_bands,
    dropout,
    POOL: tl.constexpr,
    MASKED: tl.constexpr,
    DROPPED: tl.constexpr,
):
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


@_Kernel
def _slope_sums(
    y,
    slope,
    saved,
    speech,
    seed,
    parts,
    rows,
    channels,
    frames,
    bands,
    out_frames,
    out_bands,
    dropout,
    programs,
    POOL: tl.constexpr,
    MASKED: tl.constexpr,
    DROPPED: tl.constexpr,
    BC: tl.constexpr,
    BP: tl.constexpr,
):
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    first = tl.zeros([BP, BC], tl.float32)
    second = tl.zeros([BP, BC], tl.float32)
    for start in range(tl.program_id(1) * BP, rows, programs * BP):
        r = start + tl.arange(0, BP)
        dz, x = _slope_of_z(
            y,
            slope,
            saved,
            speech,
            seed,
            r,
            c,
            rows,
            channels,
            frames,
            bands,
            out_frames,
            out_bands,
            dropout,
            POOL,
            MASKED,
            DROPPED,
        )
        first += dz
        second += dz * x
    place = parts + tl.program_id(1) * channels + c
    tl.store(place, tl.sum(first, 0))
    tl.store(place + programs * channels, tl.sum(second, 0))


@_Kernel
def _slope_totals(parts, totals, channels, programs, BC: tl.constexpr, BS: tl.constexpr):
    """Into `totals`: the slopes of bias and weight."""
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    tl.store(totals + c, _total(parts, c, programs, channels, BC, BS))
    tl.store(totals + channels + c, _total(parts + programs * channels, c, programs, channels, BC, BS))


@_Kernel
def _slope(
    y,
    slope,
    saved,
    speech,
    seed,
    totals,
    out,
    rows,
    channels,
    frames,
    bands,
    out_frames,
    out_bands,
    dropout,
    POOL: tl.constexpr,
    MASKED: tl.constexpr,
    DROPPED: tl.constexpr,
    BC: tl.constexpr,
    BP: tl.constexpr,
):
    r = tl.program_id(0) * BP + tl.arange(0, BP)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    dz, x = _slope_of_z(
        y,
        slope,
        saved,
        speech,
        seed,
        r,
        c,
        rows,
        channels,
        frames,
        bands,
        out_frames,
        out_bands,
        dropout,
        POOL,
        MASKED,
        DROPPED,
    )
    scale = tl.load(saved + 2 * channels + c)[None, :]
    mean = tl.load(totals + c)[None, :] / rows
    along = tl.load(totals + channels + c)[None, :] / rows
    dy = scale * (dz - mean - x * along)
    tl.store(out + r[:, None] * channels + c[None, :], dy.to(out.dtype.element_ty), mask=(r < rows)[:, None])


@_Kernel
def _text_slope(
    slope,
    speech,
    seed,
    out,
    channels,
    frames,
    bands,
    dropout,
    MASKED: tl.constexpr,
    DROPPED: tl.constexpr,
    BC: tl.constexpr,
    BP: tl.constexpr,
):
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
        programs, few = _programs(rows, channels), min(bc, 16)
        device = y.device
        parts = torch.empty(2, programs, channels, dtype=torch.float32, device=device)
        saved = torch.empty(4, channels, dtype=torch.float32, device=device)
        out_frames, out_bands = frames // pool, bands // pool
        out = torch.empty(
            (batch, channels, out_frames, out_bands), dtype=y.dtype, device=device, memory_format=torch.channels_last
        )
        seed = torch.randint(2**31 - 1, (2,), dtype=torch.int32, device=device) if dropout else None
        text = None if text is None else text.contiguous()
        masked, dropped = None if speech is None else speech.dtype, dropout > 0
        kind = device, y.dtype, weight.dtype, channels, bands, pool, masked, dropped
        mean, variance = norm.running_mean, norm.running_var
        _sums(kind, (channels // bc, programs, 1), (y, mean, parts), rows, channels, programs, bc, bp)
        _statistics(
            kind,
            (channels // few, 1, 1),
            (parts, weight, bias, mean, variance, norm.num_batches_tracked, saved),
            *(rows, channels, programs, cast(float, norm.momentum), norm.eps, few, 64),
        )
        places = batch * out_frames * out_bands
        _result(
            (kind, None if text is None else text.dtype),
            (triton.cdiv(places, bp), channels // bc, 1),
            (y, saved, _or(speech, y), _or(text, y), _or(seed, y), out),
            *(places, channels, frames, bands, out_frames, out_bands, dropout),
            *(pool, masked is not None, text is not None, dropped, bc, bp),
        )
        ctx.save_for_backward(y, saved, speech, seed)
        ctx.pool, ctx.dropout, ctx.kind = pool, dropout, kind
        ctx.shifted = None if text is None else text.dtype
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        y, saved, speech, seed = ctx.saved_tensors
        slope = slope.contiguous(memory_format=torch.channels_last)
        batch, channels, frames, bands = y.shape
        _, _, out_frames, out_bands = slope.shape
        rows, (bc, bp) = batch * frames * bands, _tile(channels)
        programs, few = _programs(rows, channels), min(bc, 16)
        parts = torch.empty(2, programs, channels, dtype=torch.float32, device=y.device)
        totals = torch.empty(2, channels, dtype=torch.float32, device=y.device)
        out = torch.empty_like(y)
        kind, dropout = ctx.kind, ctx.dropout
        speech, seed, masked, dropped = _or(speech, y), _or(seed, y), speech is not None, seed is not None
        sizes = rows, channels, frames, bands, out_frames, out_bands, dropout
        whole = y, slope, saved, speech, seed
        how = ctx.pool, masked, dropped, bc, bp
        _slope_sums(kind, (channels // bc, programs, 1), (*whole, parts), *sizes, programs, *how)
        _slope_totals(kind, (channels // few, 1, 1), (parts, totals), channels, programs, few, 64)
        _slope(kind, (triton.cdiv(rows, bp), channels // bc, 1), (*whole, totals, out), *sizes, *how)
        of_text = None
        if ctx.shifted is not None:
            of_text = torch.empty(batch, channels, dtype=ctx.shifted, device=y.device)
            part = bc if channels >= WIDE else few
            _text_slope(
                (kind, ctx.shifted),
                (batch, channels // part, 1),
                (slope, speech, seed, of_text),
                *(channels, out_frames, out_bands, dropout, masked, dropped, part, TILE // part),
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
    with torch.cuda.device_of(y):
        return _NormReluPool.apply(y, norm.weight, norm.bias, text, speech, norm, pool, float(dropout))


def check(device: torch.device, channels: int) -> None:
    """Raise ValueError where these kernels do not run on `device`, or have no tile for `channels`."""
    if device.type != "cuda" and not triton.knobs.runtime.interpret:
        raise ValueError(f"training.kernels 'fused' are for a GPU of CUDA, and this is {device.type}: take 'plain'")
    _tile(channels)
