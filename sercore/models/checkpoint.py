"""A network as a file: weights in safetensors, and in its metadata the settings that build it again."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sercore import files, registry
from sercore.schema import did_you_mean, first

SETTINGS = "settings"  # key of a saved model's metadata


def build(settings: Mapping[str, Any], generator: torch.Generator | None = None) -> nn.Module:
    """Build the network that `settings` describe.

    Args:
        settings: `kind` is that of a model of the registry ("cnn14", "text", "speech"), the rest are arguments of its
            class.
        generator: The initial weights are drawn from it; None: PyTorch's global one.

    Raises:
        ValueError: No model is of this kind.
        TypeError: The class does not have one of the arguments.
    """
    arguments = dict(settings)
    kind = arguments.pop("kind", None)
    spec = next((spec for spec in registry.MODELS.values() if spec.build and spec.kind == kind), None)
    if spec is None:
        known = {spec.kind for spec in registry.MODELS.values() if spec.build}
        raise ValueError(f"settings of a model are of kind '{kind}'{did_you_mean(str(kind), sorted(known))}")
    return registry.load(spec.build)(**arguments, generator=generator)


def save(model: nn.Module, settings: Mapping[str, Any], path: str | Path) -> None:
    """Write `model` with the `settings` that `build` makes it from: safetensors, `settings` in its metadata as JSON.

    `kind` is added where `settings` lack it, and what the model's `extra_settings()` give where it has them: of a model
    with an encoder its architecture, so that reading it back needs no encoder.
    """
    extra: dict[str, Any] = getattr(model, "extra_settings", dict)()
    settings = {"kind": settings.get("kind") or _kind(model), **settings, **extra}
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    metadata = {SETTINGS: json.dumps({**settings, files.CHECKSUM: files.SEAL})}  # safetensors has no order of several
    with files.sealed(Path(path)) as temporary:
        save_file(state, temporary, metadata=metadata)


def _kind(model: nn.Module) -> str:
    """The kind of the first model of the registry that has the class of `model`. Raises ValueError if there is none."""
    for spec in registry.MODELS.values():
        if spec.build and registry.load(spec.build) is type(model):
            return spec.kind
    raise ValueError(f"no model of the registry is a {type(model).__name__}; give settings['kind']")


def load(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """The model that `save` wrote to `path`, in evaluation mode on the CPU, and its settings.

    Raises FileNotFoundError, and ValueError for a file of another kind and weights that do not fit the settings.
    """
    path = Path(path)
    if not path.exists():
        near = first(sorted(path.parent.glob("*.safetensors"))) or "no .safetensors file there"
        raise FileNotFoundError(f"no model {path}; found: {near}")
    files.check(path)
    state, metadata = read_safetensors(path)
    if SETTINGS not in metadata:
        raise ValueError(f"{path} has no settings in its metadata; expected a file that models.save wrote")
    settings = json.loads(metadata[SETTINGS])
    settings.pop(files.CHECKSUM, None)
    model = build(settings, torch.Generator())
    fill(model, state, set(model.state_dict()), path)
    return model.eval(), settings


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Weights by name in the file `path`, on the CPU, and its metadata. Raises ValueError where it is none of these."""
    try:
        with safe_open(path, "pt") as content:
            state = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 -- safe_open cannot be iterated
            return state, content.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from error


def fill(model: nn.Module, state: Mapping[str, Tensor], expected: set[str], path: str | Path) -> None:
    """Put weights into `model`, in place; those that `state` lacks stay as they are.

    Args:
        model: The network.
        state: Name -> weights.
        expected: Names that `state` must have.
        path: The file they come from, for errors.

    Raises:
        ValueError: `state` lacks one of `expected`, has a weight that the model does not have, or a shape differs.
    """
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
