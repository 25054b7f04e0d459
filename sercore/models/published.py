"""Published weights for CNN14 to start from: the whole trunk from PANNs, or its first four blocks from aisfx.

PANNs (reference [32]) publishes CNN14 itself, trained on AudioSet. The Python package aisfx carries a network that was
trained on libraries of sound effects: Ma and Lerch, *Representation learning for the automatic indexing of sound
effects libraries*, ISMIR 2022; CC BY 4.0. Its four blocks have the names and shapes of CNN14's, but it was trained at
44.1 kHz in 96 mel bands, and pooled by maxima or means: so its weights are a start for training, not a feature
extractor.
"""

import importlib.util
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sercore import files, registry
from sercore.models import checkpoint
from sercore.models.cnn14 import Cnn14
from sercore.models.speech import encoder_folder
from sercore.settings import NetworkSettings

PANNS_FILE = "Cnn14_16k_mAP=0.438.pth"
AISFX = "aisfx"  # as NetworkSettings.pretrained
AISFX_INSTALL = "pip install --no-deps aisfx==0.1.2"
AISFX_FILE = Path("models", "checkpoint.pth")  # below the package
AISFX_PREFIX = "embedding_net."
AISFX_BLOCKS = tuple(f"conv_block{stage}." for stage in range(1, 5))

_RECONSTRUCT: Any = np.empty(0).__reduce__()[0]
_SCALAR: Any = np.float64(0).__reduce__()[0]
_NUMPY_GLOBALS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    np.ndarray,
    np.dtype,
    *{type(np.dtype(code)) for code in np.typecodes["All"]},
    *[(_RECONSTRUCT, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")],  # numpy 1's and 2's names
    *[(_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")],
]
"""What the published checkpoint pickles beside its weights: constructors of numpy that only hold data."""


def find_start(model: str, network: NetworkSettings, sample_rate: int) -> None:
    """Check that the weights which `model` is to start from are there; `sample_rate` is the features' [Hz].

    Raises FileNotFoundError for a checkpoint, and EncoderError for a speech encoder.
    """
    if registry.MODELS.find(model).kind == "cnn14" and network.pretrained:
        published_file(network.pretrained)
    if network.encoder:
        encoder_folder(network.encoder, model, sample_rate)


def load_published(model: Cnn14, name: str | Path) -> None:
    """Put the weights of a published checkpoint into `model`, in place. Nothing in the file is executed.

    That of PANNs is a dictionary whose `model` holds the whole trunk; its front end and classifier are ignored. That of
    aisfx holds blocks 1 to 4. All other weights of the model stay as they are.

    Args:
        model: The network; the published weights need width=64 and mels=64.
        name: A file, or "aisfx".

    Raises:
        FileNotFoundError: The checkpoint is not there.
        ValueError: The file is of another kind, lacks a weight, or has one of another shape than the model's.
    """
    path = published_file(name)
    with torch.serialization.safe_globals(_NUMPY_GLOBALS):
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"{path} is no checkpoint that PyTorch can read safely: {reason}") from error
    trunk = [
        name for name in model.state_dict() if not name.startswith(("project.", "output.", "text_", "regression_"))
    ]
    if _is_aisfx(content):
        weights, trunk = _aisfx_blocks(content), [name for name in trunk if name.startswith(AISFX_BLOCKS)]
    elif isinstance(content, dict) and isinstance(content.get("model"), dict):
        weights = content["model"]
    else:
        raise ValueError(
            f"{path}: expected a dictionary with the weights under 'model', as PANNs publishes them, or a tuple whose "
            f"first part has them as {AISFX_PREFIX}conv_block1, as {AISFX} does"
        )
    counters = {name for name in trunk if name.endswith("num_batches_tracked")}  # of no use, absent in old files
    held = {name: weights[name] for name in trunk if name in weights}
    checkpoint.fill(model, held, set(trunk) - counters, path)


def published_file(name: str | Path) -> Path:
    """The checkpoint `name`: a file, or "aisfx". Raises FileNotFoundError where it is not there."""
    if name == AISFX:
        return aisfx_checkpoint()
    path = files.resolve(name)
    if not path.is_file():
        raise FileNotFoundError(
            f"no checkpoint {path}; expected the file that PANNs publishes, {PANNS_FILE}, or its like, or '{AISFX}'"
        )
    return path


def aisfx_checkpoint() -> Path:
    """The checkpoint in the package aisfx, which is not imported. Raises FileNotFoundError where it is absent."""
    module = importlib.util.find_spec(AISFX)
    if module is None or module.origin is None:
        raise FileNotFoundError(
            f"the weights '{AISFX}' come in the Python package of that name, which is not installed: {AISFX_INSTALL}"
        )
    path = Path(module.origin).parent / AISFX_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"the package {AISFX} has no {AISFX_FILE}; install the version that has: {AISFX_INSTALL}"
        )
    return path


def _is_aisfx(content: object) -> bool:
    """Whether `content` of a checkpoint is laid out as that of aisfx: a tuple, the weights first."""
    if not isinstance(content, tuple) or not content or not isinstance(content[0], Mapping):
        return False
    return any(str(name).startswith(AISFX_PREFIX) for name in content[0])


def _aisfx_blocks(content: tuple[Any, ...]) -> dict[str, Tensor]:
    """The weights of the four blocks by CNN14's names."""
    own = {
        name.removeprefix(AISFX_PREFIX): value for name, value in content[0].items() if name.startswith(AISFX_PREFIX)
    }
    return {name: value for name, value in own.items() if name.startswith(AISFX_BLOCKS)}
