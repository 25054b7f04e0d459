"""Weights for CNN14's first four blocks that a Python package carries: a network trained on libraries of sound effects.

Ma and Lerch, *Representation learning for the automatic indexing of sound effects libraries*, ISMIR 2022; CC BY 4.0.
Their network is of CNN14's family, and its four blocks have the same names and shapes. It heard sound at 44.1 kHz in 96
mel bands, and pooled by maxima or means: so the weights are a start for training, not a feature extractor.

The trained models: CNN14 with or without text (section 3), the fine-tuned text model; built, saved and loaded.
"""

import importlib.util
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sercore import files
from sercore.models.cnn14 import Cnn14
from sercore.models.speech import encoder_folder
from sercore.schema import first
from sercore.settings import CNN_MODELS, NetworkSettings

AISFX = "aisfx"  # as NetworkSettings.pretrained
AISFX_INSTALL = "pip install --no-deps aisfx==0.1.2"
AISFX_FILE = Path("models", "checkpoint.pth")  # below the package
AISFX_PREFIX = "embedding_net."
AISFX_BLOCKS = tuple(f"conv_block{stage}." for stage in range(1, 5))


def aisfx_checkpoint() -> Path:
    """The package's checkpoint. The package is not imported. Raises FileNotFoundError where it is not installed."""
    found = importlib.util.find_spec(AISFX)
    if found is None or found.origin is None:
        raise FileNotFoundError(
            f"the weights '{AISFX}' come in the Python package of that name, which is not installed: {AISFX_INSTALL}"
        )
    path = Path(found.origin).parent / AISFX_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"the package {AISFX} has no {AISFX_FILE}; install the version that has: {AISFX_INSTALL}"
        )
    return path


def is_aisfx(content: object) -> bool:
    """Whether `content`, what a checkpoint holds, is laid out as the package's: a tuple, the weights first."""
    if not isinstance(content, tuple) or not content or not isinstance(content[0], Mapping):
        return False
    return any(str(name).startswith(AISFX_PREFIX) for name in content[0])


def aisfx_blocks(content: tuple[Any, ...]) -> dict[str, Any]:
    """The weights of its four blocks by CNN14's names."""
    own = {
        name.removeprefix(AISFX_PREFIX): value for name, value in content[0].items() if name.startswith(AISFX_PREFIX)
    }
    return {name: value for name, value in own.items() if name.startswith(AISFX_BLOCKS)}


PANNS_FILE = "Cnn14_16k_mAP=0.438.pth"


def published_file(name: str | Path) -> Path:
    """The checkpoint that `name` stands for: a file, or aisfx.NAME. Raises FileNotFoundError where it is not there."""
    if name == AISFX:
        return aisfx_checkpoint()
    path = files.resolve(name)
    if not path.is_file():
        raise FileNotFoundError(
            f"no checkpoint {path}; expected the file that PANNs publishes, {PANNS_FILE}, or its like, or '{AISFX}'"
        )
    return path


def find_start(model: str, network: NetworkSettings, sample_rate: int) -> None:
    """Raise FileNotFoundError or EncoderError where the weights that `model` is to start from are not to be had."""
    if model in CNN_MODELS and network.pretrained:
        published_file(network.pretrained)
    if network.encoder:
        encoder_folder(network.encoder, model, sample_rate)


def load_published(model: Cnn14, name: str | Path) -> None:
    """Put the weights of the published checkpoint `name`, as `published` takes it, into `model`, in place.

    That of PANNs (PUBLISHED) is a dictionary whose `model` holds the whole trunk; its front end and classifier are
    ignored. That of aisfx holds blocks 1 to 4. All other weights of the model stay as they are. Nothing in the file is
    executed. Raises FileNotFoundError, and ValueError for a file of another kind, a weight that is missing, and one
    whose shape is not the model's.
    """
    path = published_file(name)
    with torch.serialization.safe_globals(_NUMPY_GLOBALS):
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"{path} is no checkpoint that PyTorch can read safely: {reason}") from error
    trunk = [name for name in model.state_dict() if not name.startswith(("project.", "output."))]
    if is_aisfx(content):
        weights, trunk = aisfx_blocks(content), [name for name in trunk if name.startswith(AISFX_BLOCKS)]
    elif isinstance(content, dict) and isinstance(content.get("model"), dict):
        weights = content["model"]
    else:
        raise ValueError(
            f"{path}: expected a dictionary with the weights under 'model', as PANNs publishes them, or a tuple whose "
            f"first part has them as {AISFX_PREFIX}conv_block1, as {AISFX} does"
        )
    counters = {name for name in trunk if name.endswith("num_batches_tracked")}  # of no use, absent in old files
    held = {name: weights[name] for name in trunk if name in weights}
    _fill(model, held, set(trunk) - counters, path)


def _fill(model: nn.Module, state: Mapping[str, Tensor], expected: set[str], path: str | Path) -> None:
    """Put `state` into `model`. Raises ValueError where it lacks one of `expected`, has another, or a shape differs."""
    if absent := sorted(expected - state.keys()):
        raise ValueError(f"{path} lacks {len(absent)} weights of the model, {first(absent)}")
    own = model.state_dict()
    if unknown := sorted(state.keys() - own.keys()):
        raise ValueError(f"{path} has {len(unknown)} weights that the model does not have, {first(unknown)}")
    for name, value in state.items():
        if value.shape != own[name].shape:
            raise ValueError(
                f"{path}: {name} is {tuple(value.shape)}, the model's {tuple(own[name].shape)}; build the model "
                "with the width and mels that the weights have (the published ones: width=64, mels=64)"
            )
    model.load_state_dict(state, strict=False)


_RECONSTRUCT, _SCALAR = np.empty(0).__reduce__()[0], np.float64(0).__reduce__()[0]
_NUMPY_GLOBALS = [
    np.ndarray,
    np.dtype,
    *{type(np.dtype(code)) for code in np.typecodes["All"]},
    *[(_RECONSTRUCT, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")],  # numpy 1's and 2's names
    *[(_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")],
]
"""What the published checkpoint pickles beside its weights: constructors of numpy that only hold data."""
