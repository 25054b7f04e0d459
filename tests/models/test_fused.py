"""The kernels in Triton train as PyTorch does, on a GPU and in Triton's interpreter, and are refused elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sercore import models
from sercore.models.cnn14 import Cnn14
from sercore.models.text import TextModel
from sercore.settings import TrainingSettings
from sercore.training import device

ROOT = Path(__file__).parents[2]
FUSED = TrainingSettings(kernels="fused")


def differences(**environment):
    """What `fused_check` says: masks, texts, dropout, odd sizes, a network's step, its state, a resumed training."""
    command = [sys.executable, "-m", "tests.benchmarks.fused_check"]
    ran = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.long
def test_interpreted_they_compute_what_pytorch_does():
    pytest.importorskip("triton", reason="Triton comes with PyTorch for a GPU")
    status, printed = differences(TRITON_INTERPRET="1", CUDA_VISIBLE_DEVICES="", SERCORE_DEVICE="cpu")
    assert status == 0, printed


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU of CUDA")
def test_on_a_gpu_they_compute_what_pytorch_does():
    status, printed = differences()
    assert status == 0, printed


def test_where_they_do_not_run_they_are_refused():
    with pytest.raises(ValueError, match=r"training.kernels 'fused' .* take 'plain'"):
        device.prepare(Cnn14(3, width=2, mels=32), FUSED)


def test_without_triton_they_are_refused(monkeypatch):
    monkeypatch.delitem(sys.modules, "sercore.models.fused", raising=False)
    monkeypatch.delattr(models, "fused", raising=False)
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(ValueError, match=r"need Triton .* take 'plain'"):
        device.prepare(Cnn14(3, width=2, mels=32), FUSED)


def test_plain_ones_take_the_place_of_others():
    model = Cnn14(3, width=2, mels=32)
    model.conv_block1.rest = torch.add
    device.prepare(model, TrainingSettings())
    assert model.conv_block1.rest is None


@pytest.mark.parametrize("other", [{"compiled": True}, {"layout": "contiguous"}, {"kernels": "fast"}])
def test_settings_that_contradict_them_are_refused(other):
    with pytest.raises(ValueError, match=r"kernels is '(fused|fast)'"):
        TrainingSettings(**{"kernels": "fused", **other})


def test_a_model_without_such_blocks_takes_any_kernels():
    network = torch.nn.Linear(2, 2)
    assert device.prepare(network, FUSED) is network
    assert not hasattr(TextModel, "use_kernels")
