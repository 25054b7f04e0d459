"""CNN14 from the weights of aisfx: a checkpoint of the same layout, and the package's own where it is installed."""

import importlib.util
from collections import OrderedDict

import pytest
import torch

from sercore.models import published
from sercore.models.cnn14 import Cnn14

WIDTH = 2


def cnn14(width=WIDTH):
    return Cnn14(4, width=width, generator=torch.Generator().manual_seed(0))


def checkpoint(path, width=WIDTH, without=()):
    """A file as the package has it: the state of a whole network, and what its training left."""
    state = Cnn14(4, width=width, generator=torch.Generator().manual_seed(7)).state_dict()
    held = {
        f"embedding_net.{name}": value + 1 for name, value in state.items() if name.startswith(published.AISFX_BLOCKS)
    }
    held |= {"classifier.fc.weight": torch.ones(3, 3)}
    torch.save((OrderedDict((name, held[name]) for name in held if name not in without), 12, {"loss": 0.5}), path)
    return held


def check_blocks(model, held):
    """Blocks 1 to 4 of `model` are those of `held`, and all else is as it was drawn."""
    drawn = cnn14(model.width).state_dict()
    for name, value in model.state_dict().items():
        own = held[f"embedding_net.{name}"] if name.startswith(published.AISFX_BLOCKS) else drawn[name]
        assert torch.equal(value, own), name


def test_the_first_four_blocks_are_loaded_and_the_rest_stays(tmp_path):
    held = checkpoint(tmp_path / "checkpoint.pth")
    model = cnn14()
    published.load_published(model, tmp_path / "checkpoint.pth")
    check_blocks(model, held)
    assert sum(name.startswith(published.AISFX_BLOCKS) for name in model.state_dict()) == 48


def test_the_package_is_found_without_importing_it(tmp_path, monkeypatch):
    package = tmp_path / "aisfx"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('it was imported')")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    with pytest.raises(FileNotFoundError, match=r"has no models/checkpoint.pth; .* pip install --no-deps aisfx==0.1.2"):
        published.published_file("aisfx")
    held = checkpoint(package / "models" / "checkpoint.pth")
    model = cnn14()
    published.load_published(model, "aisfx")
    check_blocks(model, held)


def test_the_error_for_weights_that_do_not_fit_says_why(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pth"
    checkpoint(path, without=("embedding_net.conv_block3.bn2.weight",))
    with pytest.raises(ValueError, match=r"lacks 1 weights of the model, conv_block3.bn2.weight"):
        published.load_published(cnn14(), path)
    checkpoint(path)
    with pytest.raises(ValueError, match=r"is \(2,.*, the model's \(3,.*build the model with the width .*width=64"):
        published.load_published(cnn14(3), path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(FileNotFoundError, match=r"is not installed: pip install --no-deps aisfx==0.1.2"):
        published.published_file("aisfx")


@pytest.mark.skipif(importlib.util.find_spec("aisfx") is None, reason="aisfx is not installed")
def test_the_weights_of_the_package_fit_at_width_64():
    with torch.serialization.safe_globals(published._NUMPY_GLOBALS):
        state = torch.load(published.aisfx_checkpoint(), weights_only=True)[0]
    model = cnn14(64)
    published.load_published(model, "aisfx")
    check_blocks(model, state)
