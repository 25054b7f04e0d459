"""The trained models: CNN14 with or without text (section 3), the fine-tuned text model; built, saved and loaded."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from sercore import files
from sercore.models.cnn14 import Cnn14
from sercore.models.published import _fill
from sercore.models.speech import SpeechModel
from sercore.models.text import TextModel
from sercore.schema import did_you_mean, first

SETTINGS = "settings"  # key of a saved model's metadata


Model = Cnn14 | TextModel | SpeechModel


def build(settings: Mapping[str, Any], generator: torch.Generator | None = None) -> Model:
    """The model that `settings` describe: `kind` is "cnn14", "text" or "speech", the rest are arguments of its class.

    Raises ValueError for another kind, and TypeError for an argument that the class does not have.
    """
    arguments = dict(settings)
    kind = arguments.pop("kind", None)
    if kind not in KINDS:
        raise ValueError(f"settings of a model are of kind '{kind}'{did_you_mean(str(kind), KINDS)}")
    return KINDS[kind](**arguments, generator=generator)


def save(model: Model, settings: Mapping[str, Any], path: str | Path) -> None:
    """Write `model` with the `settings` that `build` makes it from: safetensors, `settings` in its metadata as JSON.

    Of a model with an encoder its architecture is added, so that reading it back needs no encoder.
    """
    settings = dict(settings)
    if not isinstance(model, Cnn14):
        settings["architecture"] = model.encoder.config.to_dict()
    if isinstance(model, SpeechModel):
        settings["normalise"] = model.normalise
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with files.atomic(Path(path)) as temporary:
        save_file(state, temporary, metadata={SETTINGS: json.dumps(settings)})


def load(path: str | Path) -> tuple[Model, dict[str, Any]]:
    """The model that `save` wrote to `path`, in evaluation mode on the CPU, and its settings.

    Raises FileNotFoundError, and ValueError for a file of another kind and weights that do not fit the settings.
    """
    path = Path(path)
    if not path.exists():
        near = first(sorted(path.parent.glob("*.safetensors"))) or "no .safetensors file there"
        raise FileNotFoundError(f"no model {path}; found: {near}")
    try:
        with safe_open(path, "pt") as content:
            metadata = content.metadata() or {}
            state = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 -- safe_open cannot be iterated
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from error
    if SETTINGS not in metadata:
        raise ValueError(f"{path} has no settings in its metadata; expected a file that models.save wrote")
    settings = json.loads(metadata[SETTINGS])
    model = build(settings, torch.Generator())
    _fill(model, state, set(model.state_dict()), path)
    return model.eval(), settings


KINDS: dict[str, type[Model]] = {"cnn14": Cnn14, "text": TextModel, "speech": SpeechModel}
