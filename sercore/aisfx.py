"""Weights for CNN14's first four blocks that a Python package carries: a network trained on libraries of sound effects.

Ma and Lerch, *Representation learning for the automatic indexing of sound effects libraries*, ISMIR 2022; CC BY 4.0.
Their network is of CNN14's family, and its four blocks have the same names and shapes. It heard sound at 44.1 kHz in 96
mel bands, and pooled by maxima or means: so the weights are a start for training, not a feature extractor.
"""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = "aisfx"  # as NetworkSettings.pretrained
INSTALL = "pip install --no-deps aisfx==0.1.2"
FILE = Path("models", "checkpoint.pth")  # below the package
PREFIX = "embedding_net."
BLOCKS = tuple(f"conv_block{stage}." for stage in range(1, 5))


def checkpoint() -> Path:
    """The package's checkpoint. The package is not imported. Raises FileNotFoundError where it is not installed."""
    found = importlib.util.find_spec(NAME)
    if found is None or found.origin is None:
        raise FileNotFoundError(
            f"the weights '{NAME}' come in the Python package of that name, which is not installed: {INSTALL}"
        )
    path = Path(found.origin).parent / FILE
    if not path.is_file():
        raise FileNotFoundError(f"the package {NAME} has no {FILE}; install the version that has: {INSTALL}")
    return path


def is_mine(content: object) -> bool:
    """Whether `content`, what a checkpoint holds, is laid out as the package's: a tuple, the weights first."""
    if not isinstance(content, tuple) or not content or not isinstance(content[0], Mapping):
        return False
    return any(str(name).startswith(PREFIX) for name in content[0])


def blocks(content: tuple[Mapping[str, Any], ...]) -> dict[str, Any]:
    """The weights of its four blocks by CNN14's names."""
    own = {name.removeprefix(PREFIX): value for name, value in content[0].items() if name.startswith(PREFIX)}
    return {name: value for name, value in own.items() if name.startswith(BLOCKS)}
