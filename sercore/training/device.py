"""What a device may do to be faster, by the settings: precision, memory layout, tuned and compiled kernels."""

import contextlib
import ctypes
import sys
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from sercore.settings import TrainingSettings


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """In which a forward pass is in `precision`: float32, bfloat16, or auto: bfloat16 on a GPU that has it."""
    if precision == "auto":
        precision = "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # glibc's numbers of what mallopt sets
KEPT = 2**30, 2**31 - 1  # bytes: what is smaller is kept when it is freed, until so much is free
USUAL = 2**25, 2**26  # where glibc's own adapting thresholds end
_KEEPING: list[torch.device] = []  # one for each use of memory_kept, within another


@contextlib.contextmanager
def memory_kept(device: torch.device) -> Iterator[None]:
    """Inside, this process keeps the memory that tensors on the CPU free, for those that follow; outside it does not.

    Otherwise each feature map above 32 MB is memory that the system hands out anew, and clears, page by page: at width
    64 a fifth to a third of a training step. The numbers are the same to the last bit. Only Linux's glibc can do so;
    elsewhere, and for another device, nothing changes.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" and device.type == "cpu" else None
    if library is None or not (hasattr(library, "mallopt") and hasattr(library, "malloc_trim")):
        yield
        return
    _KEEPING.append(device)
    _set_thresholds(library, KEPT)
    try:
        yield
    finally:
        _KEEPING.pop()
        if not _KEEPING:  # the outermost
            _set_thresholds(library, USUAL)
            library.malloc_trim(0)


def _set_thresholds(library: ctypes.CDLL, values: tuple[int, int]) -> None:
    for name, value in zip((MMAP_THRESHOLD, TRIM_THRESHOLD), values, strict=True):
        library.mallopt(name, value)


@contextlib.contextmanager
def kernels(settings: TrainingSettings) -> Iterator[None]:
    """A GPU's kernels as `settings` ask for them inside, as they were outside. On a CPU nothing changes."""
    convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]  # PyTorch makes it when it is imported
    products = torch.backends.cuda.matmul
    before = torch.backends.cudnn.benchmark, convolutions.fp32_precision, products.fp32_precision
    precision = "tf32" if settings.tensor_float32 else "ieee"
    torch.backends.cudnn.benchmark = settings.tuned_kernels
    convolutions.fp32_precision = products.fp32_precision = precision
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark, convolutions.fp32_precision, products.fp32_precision = before


GRAPHS = 64  # of one piece of code, in which all blocks count; what is beyond would not be compiled, without a word


@runtime_checkable
class _HasLayout(Protocol):
    layout: str


@runtime_checkable
class _HasKernels(Protocol):
    def use_kernels(self, name: str) -> None: ...


def prepare(model: nn.Module, settings: TrainingSettings) -> nn.Module:
    """`model` itself, its maps laid out, its blocks' kernels and compiler as `settings` ask; its weights' names stay.

    On a GPU the kernels lie as the feature maps do: else every step lays them out anew, and their gradients back.
    Blocks are compiled for lengths of any number of frames at once, so there are as many graphs as blocks.
    """
    if isinstance(model, _HasLayout):
        model.layout = settings.layout
        if settings.layout != "contiguous" and next(model.parameters()).device.type == "cuda":
            model.to(memory_format=torch.channels_last)
    if isinstance(model, _HasKernels):
        model.use_kernels(settings.kernels)
    if settings.compiled:
        torch._dynamo.config.recompile_limit = max(GRAPHS, torch._dynamo.config.recompile_limit)
        for name, part in model.named_children():
            if name.startswith("conv_block") or name == "encoder":
                part.compile(dynamic=True)
    return model
