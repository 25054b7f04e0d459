"""A network as a file: weights in safetensors, and in its metadata the settings that build it again.

Of a fine-tuned encoder the file may hold what differs from the published weights alone: then these are needed to read
it, and recognised by a digest. Fine-tuning leaves much as it was: what is frozen, and the embeddings of all tokens that
no training text has.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sercore import files, registry
from sercore.schema import did_you_mean, first

SETTINGS = "settings"  # key of a saved model's metadata
ENCODER = "encoder."  # begins the names of an encoder's weights, of the models that have one
ARCHITECTURE = "architecture"  # argument of such a model that is to be filled, instead of reading the encoder
BASE = "base"  # in the settings of a file that holds differences: `kept`, and the digest of what they differ from
DIFFERENCE, HALF = "difference", "half"
ROWS, VALUES = "#rows", "#values"  # behind a weight's name: which rows differ, and what they are


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


def save(model: nn.Module, settings: Mapping[str, Any], path: str | Path, kept: str = "whole") -> None:
    """Write `model` with the `settings` that `build` makes it from: safetensors, `settings` in its metadata as JSON.

    `kind` is added where `settings` lack it, and what the model's `extra_settings()` give where it has them: of a model
    with an encoder its architecture, so that reading it back needs no encoder. That is, with `kept` "whole". With
    DIFFERENCE the file holds the rows and weights that differ from the encoder's own in a bit, with HALF these
    differences in half precision: to 11 bits of each, or 3e-8. Both need the encoder to be read.

    Raises ValueError where the model has no encoder to differ from.
    """
    extra: dict[str, Any] = getattr(model, "extra_settings", dict)()
    settings = {"kind": settings.get("kind") or _kind(model), **settings, **extra}
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    if kept != "whole":
        base = _base(settings, path)
        state = _differing(state, base, kept)
        settings[BASE] = {"kept": kept, "digest": _digest(base)}
    text = json.dumps({**settings, files.CHECKSUM: files.SEAL}, sort_keys=True)  # an architecture comes in any order
    metadata = {SETTINGS: text}  # safetensors has no order of several
    with files.sealed(Path(path)) as temporary:
        save_file(state, temporary, metadata=metadata)


def _base(settings: Mapping[str, Any], path: str | Path) -> dict[str, Tensor]:
    """The published weights that the encoder of the model of `settings` began with, by their names in the model.

    Raises ValueError, naming `path`, which is written or read, where there are none.
    """
    if ARCHITECTURE not in settings:
        raise ValueError(f"{path}: a model of kind '{settings['kind']}' has no encoder to differ from; keep it whole")
    arguments = {name: value for name, value in settings.items() if name not in (ARCHITECTURE, BASE)}
    try:
        return _published(json.dumps(arguments, sort_keys=True))
    except (ValueError, OSError) as error:
        raise ValueError(
            f"{path} is what differs from the encoder '{settings['encoder']}', which cannot be read: {error}"
        ) from error


@lru_cache(maxsize=1)  # the folds of a run have the same one
def _published(arguments: str) -> dict[str, Tensor]:
    state = build(json.loads(arguments), torch.Generator()).state_dict()
    return {name: value.contiguous() for name, value in state.items() if name.startswith(ENCODER)}


def _digest(state: Mapping[str, Tensor]) -> str:
    """Of the names and bits of weights."""
    digest = blake2b(digest_size=16)
    for name in sorted(state):
        digest.update(f"{name} {state[name].dtype} {tuple(state[name].shape)}\0".encode())
        digest.update(_bits(state[name]).numpy().data)
    return digest.hexdigest()


def _bits(value: Tensor) -> Tensor:
    """`value` as bytes (rows, bytes), a scalar as one row: 0 and -0 differ, and what is no number equals itself."""
    return value.contiguous().reshape(len(value) if value.dim() else 1, -1).view(torch.uint8)


def _differing(state: Mapping[str, Tensor], base: Mapping[str, Tensor], kept: str) -> dict[str, Tensor]:
    """What of `state` differs from `base`: whole weights, or of those that differ in less than half the rows, these."""
    different: dict[str, Tensor] = {}
    for name, value in state.items():
        was = base.get(name)
        if was is None or was.shape != value.shape or was.dtype != value.dtype:
            different[name] = value
            continue
        rows = (_bits(value) != _bits(was)).any(dim=1).nonzero().flatten()
        some = value.dim() > 0 and 2 * len(rows) < len(value)
        changed, before = (value[rows], was[rows]) if some else (value, was)
        if len(rows) and some:
            different[name + ROWS] = rows
        if len(rows):
            less = kept == HALF and value.dtype == torch.float32
            different[name + VALUES] = (changed - before).half() if less else changed.clone()
    return different


def _restored(state: Mapping[str, Tensor], base: Mapping[str, Tensor], kept: str) -> dict[str, Tensor]:
    """The weights that `_differing` has made `state` of."""
    whole = dict(base)
    for name, value in state.items():
        plain = name.removesuffix(VALUES)
        if name.endswith(ROWS):
            continue
        if plain == name:
            whole[name] = value
            continue
        was = base[plain]
        rows = state.get(plain + ROWS)
        less = kept == HALF and was.dtype == torch.float32
        changed = (was if rows is None else was[rows]) + value.float() if less else value
        whole[plain] = changed if rows is None else was.index_copy(0, rows, changed)
    return whole


def kept_as(path: Path) -> str | None:
    """How the model in `path` is kept: whole, or as differences from an encoder; None where it has no encoder.

    Raises ValueError as `load`.
    """
    settings = _settings(path, read_metadata(path))
    if ARCHITECTURE not in settings:
        return None
    return str(settings.get(BASE, {"kept": "whole"})["kept"])


def copy(path: Path, target: Path, kept: str = "whole") -> None:
    """Write the model in the file `path` to `target`, kept as `save` says; `target` may be `path` itself.

    What is exact is read back and compared, bit by bit, before it takes its place. Raises ValueError as `load` and
    `save`.
    """
    files.check(path)
    if kept_as(path) in (None, kept):
        if path != target:
            files.write_bytes(target, path.read_bytes())
        return
    model, settings = load(path)
    temporary = target.with_name(f".{target.name}.{kept}.part")
    try:
        save(model, settings, temporary, kept)
        again = load(temporary)[0].state_dict()
        wrong = [name for name, value in model.state_dict().items() if not _bits(value).equal(_bits(again[name]))]
        if wrong and kept != HALF:
            raise ValueError(f"{path}: {first(wrong)} came back with other bits; it stays as it is")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _kind(model: nn.Module) -> str:
    """The kind of the first model of the registry that has the class of `model`. Raises ValueError if there is none."""
    for spec in registry.MODELS.values():
        if spec.build and registry.load(spec.build) is type(model):
            return spec.kind
    raise ValueError(f"no model of the registry is a {type(model).__name__}; give settings['kind']")


def load(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """The model that `save` wrote to `path`, in evaluation mode on the CPU, and its settings.

    Raises FileNotFoundError, and ValueError for a file of another kind, for weights that do not fit the settings, and
    for differences from an encoder that is not there, or not as it was.
    """
    path = Path(path)
    if not path.exists():
        near = first(sorted(path.parent.glob("*.safetensors"))) or "no .safetensors file there"
        raise FileNotFoundError(f"no model {path}; found: {near}")
    files.check(path)
    state, metadata = read_safetensors(path)
    settings = _settings(path, metadata)
    about = settings.pop(BASE, None)
    if about is not None:
        base = _base(settings, path)
        if _digest(base) != about["digest"]:
            raise ValueError(
                f"{path} holds what differs from the encoder '{settings['encoder']}' as it was; the one that is there "
                "now has other weights: bring that one back, its version or folder"
            )
        state = _restored(state, base, about["kept"])
    model = build(settings, torch.Generator())
    fill(model, state, set(model.state_dict()), path)
    return model.eval(), settings


def _settings(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    if SETTINGS not in metadata:
        raise ValueError(f"{path} has no settings in its metadata; expected a file that models.save wrote")
    settings: dict[str, Any] = json.loads(metadata[SETTINGS])
    settings.pop(files.CHECKSUM, None)
    return settings


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of the file `path`. Raises ValueError where it is no file of safetensors."""
    try:
        with safe_open(path, "pt") as content:
            return content.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from error


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
