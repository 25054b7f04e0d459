"""Convolutions of CNN14's last blocks as matrix products, where a CPU is faster with them."""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 -- its name everywhere
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

PRODUCT_FROM = {torch.bfloat16: 1024 * 1024}
"""Precision -> inputs x outputs from which on the product is faster: the library's own convolution then spends its time
on the weights. Measured on a core with AVX512-BF16, batch 32, 3 s, 64 mels, forward and backward: the convolutions of
block 6 at width 64 take .46 to .52 of the time, the second of block 5 .83, of block 6 at width 32 .38; with fewer
weights the product is slower (block 5 at width 32: 1.4 times as long). In float32 a whole step gained nothing.
"""


def convolve(
    x: Float[Tensor, "batch inputs frames bands"], weight: Float[Tensor, "outputs inputs height width"]
) -> Float[Tensor, "batch outputs frames bands"]:
    """`x` convolved with kernels of odd size, zeros around it: as large as before.

    In autocast's precision where that is on. The sum is PyTorch's own but for rounding, whichever way it is computed.
    """
    height, width = weight.shape[2:]
    device = x.device.type
    if device == "cpu" and not torch.compiler.is_exporting():  # a graph says what is computed, not how
        precision = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        if weight.shape[0] * weight.shape[1] >= PRODUCT_FROM.get(precision, float("inf")):
            return _Product.apply(x.to(precision), weight.to(precision, memory_format=torch.channels_last))
    return F.conv2d(x, weight, padding=(height // 2, width // 2))


class _Product(torch.autograd.Function):
    """The convolution and its two gradients as one matrix product each.

    With `unfolded` the neighbourhood of every place as a row (batch x frames x bands, height x width x inputs) and the
    kernels as a matrix K (height x width x inputs, outputs): Y = unfolded(X) K, dK = unfolded(X)^T dY, and dX is
    dY K^T folded back: each place sums what its neighbours sent it. Neighbourhoods are laid out again in the backward
    pass, because keeping them would take nine times the memory of X.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        batch, _, frames, bands = x.shape
        y = _unfolded(x, weight.shape[2:]) @ _matrix(weight).mT
        return y.view(batch, frames, bands, len(weight)).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        outputs, inputs, height, width = weight.shape
        rows = slope.permute(0, 2, 3, 1).reshape(-1, outputs).to(x.dtype)  # (batch x frames x bands, outputs)
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x = _folded(rows @ _matrix(weight), x.shape, weight.shape[2:])
        if ctx.needs_input_grad[1]:
            of_weight = rows.mT @ _unfolded(x, weight.shape[2:])
            of_weight = of_weight.view(outputs, height, width, inputs).permute(0, 3, 1, 2).contiguous()
        return of_x, of_weight


def _matrix(weight: Tensor) -> Tensor:
    """(outputs, inputs, height, width) -> (outputs, height x width x inputs)."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)


def _unfolded(x: Tensor, kernel: torch.Size) -> Tensor:
    """(batch, inputs, frames, bands) -> (batch x frames x bands, height x width x inputs)."""
    _, inputs, frames, bands = x.shape
    height, width = kernel
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, width // 2, width // 2, height // 2, height // 2))
    parts = [padded[:, i : i + frames, j : j + bands] for i in range(height) for j in range(width)]
    return torch.stack(parts, 3).view(-1, height * width * inputs)


def _folded(sent: Tensor, shape: torch.Size, kernel: torch.Size) -> Tensor:
    """(batch x frames x bands, height x width x inputs) -> `shape`, (batch, inputs, frames, bands)."""
    batch, inputs, frames, bands = shape
    height, width = kernel
    sent = sent.view(batch, frames, bands, height, width, inputs)
    total = sent.new_zeros(batch, frames + height - 1, bands + width - 1, inputs)
    for i in range(height):
        for j in range(width):
            total[:, i : i + frames, j : j + bands] += sent[:, :, :, i, j]
    return total[:, height // 2 : height // 2 + frames, width // 2 : width // 2 + bands].permute(0, 3, 1, 2)
