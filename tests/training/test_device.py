"""What makes a device faster changes no answer that it should not, and ends where it should."""

import platform
import subprocess
import sys

import pytest
import torch

from sercore.models.cnn14 import Cnn14
from sercore.settings import TrainingSettings
from sercore.training import device

CPU = torch.device("cpu")


def network(width: int = 2) -> Cnn14:
    return Cnn14(4, width=width, mels=32, generator=torch.Generator().manual_seed(0)).eval()


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(4, 48, 32, generator=torch.Generator().manual_seed(1)), torch.tensor([48, 40, 48, 33])


def test_a_cpu_is_float32_unless_bfloat16_is_requested():
    for precision, dtype in (("auto", torch.float32), ("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        with device.autocast(CPU, precision):
            assert network()(*inputs()).logits.dtype == dtype


def test_bfloat16_and_either_layout_answer_nearly_as_float32_does():
    model = network(4)
    expected = model(*inputs()).logits
    for layout in ("channels_last", "contiguous"):
        device.prepare(model, TrainingSettings(layout=layout))
        torch.testing.assert_close(model(*inputs()).logits, expected, rtol=1e-4, atol=1e-5)
        with device.autocast(CPU, "bfloat16"):
            difference = model(*inputs()).logits.float() - expected
        assert difference.norm() < 0.03 * expected.norm()


def test_the_default_settings_leave_a_model_as_it_is():
    model = network()
    before = model(*inputs()).logits
    assert device.prepare(model, TrainingSettings()) is model
    assert torch.equal(model(*inputs()).logits, before)


def test_a_gpus_kernels_are_as_before_outside():
    convolutions, products = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    before = torch.backends.cudnn.benchmark, convolutions.fp32_precision, products.fp32_precision
    with device.kernels(TrainingSettings(tensor_float32=True, tuned_kernels=True)):
        assert torch.backends.cudnn.benchmark
        assert convolutions.fp32_precision == products.fp32_precision == "tf32"
    with device.kernels(TrainingSettings()):
        assert not torch.backends.cudnn.benchmark
        assert convolutions.fp32_precision == products.fp32_precision == "ieee"
    assert (torch.backends.cudnn.benchmark, convolutions.fp32_precision, products.fp32_precision) == before


FAULTS = """
import contextlib, resource, torch
from sercore.training import device
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(20_000_000).sum()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
given = faults()
with device.memory_kept(torch.device("cpu")):
    faults()
    kept = faults()
print(given, kept, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of Linux's glibc alone")
def test_memory_is_kept_inside_and_given_back_outside():
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    given, kept, after = map(int, done.stdout.split())
    assert kept < given / 4
    assert after > 4 * kept


def test_memory_of_another_device_is_left_alone():
    with device.memory_kept(torch.device("meta")):
        assert torch.ones(3).sum() == 3


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # which torch hides, unless it is an error
def test_compiled_blocks_answer_as_the_others_for_every_length_and_keep_their_names():
    model, compiled = network(), device.prepare(network(), TrainingSettings(compiled=True))
    assert list(compiled.state_dict()) == list(model.state_dict())
    for frames in (48, 56, 64):
        logmel = torch.randn(4, frames, 32, generator=torch.Generator().manual_seed(frames))
        counts = torch.tensor([frames, 40, 48, 33])
        torch.testing.assert_close(compiled(logmel, counts).logits, model(logmel, counts).logits, rtol=1e-4, atol=1e-5)
