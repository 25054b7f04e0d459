"""The trained models: CNN14 with or without text (section 3), the fine-tuned text model; built, saved and loaded."""

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sercore import aisfx, features, files
from sercore.cnn14 import Cnn14, Output, initialise
from sercore.schema import did_you_mean, first
from sercore.settings import CNN_MODELS, NetworkSettings
from sercore.speech_encoders import SpeechModel, encoder_folder

__all__ = [
    "Cnn14", "Model", "Output", "SpeechModel", "TextModel", "build", "find_start", "load", "load_published",
    "published", "save",
]  # fmt: skip
PUBLISHED = "Cnn14_16k_mAP=0.438.pth"
SETTINGS = "settings"  # key of a saved model's metadata


class TextModel(nn.Module):
    """A BERT-type encoder with a final linear layer, fine-tuned as a whole (section 4.2).

    How the tokens become one vector is not stated in the paper; here it is their mean, as for the fusion models.
    """

    def __init__(
        self,
        encoder: str,
        outputs: int,
        generator: torch.Generator | None = None,
        architecture: Mapping[str, Any] | None = None,
    ) -> None:
        """`encoder` as features.encoder_folder takes it. With an `architecture` (a configuration of transformers) it is
        not looked for: the network has the right shape and weights without meaning, to be filled.

        The output layer is Xavier-uniform, drawn from `generator` (None: PyTorch's global one), its bias zero. Raises
        EncoderError as features.load_encoder does.
        """
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # transformers draws from the global generator
            self.encoder = features.load_encoder(encoder) if architecture is None else _empty_encoder(architecture)
        if hasattr(self.encoder, "pooler"):
            self.encoder.pooler = None  # takes the first token, and nothing here uses it
        with torch.device("meta"):
            self.output = nn.Linear(self.encoder.config.hidden_size, outputs)
        self.output.to_empty(device="cpu")
        initialise(self.output, generator)

    def forward(
        self, tokens: Int[Tensor, "batch tokens"], mask: Bool[Tensor, "batch tokens"] | Int[Tensor, "batch tokens"]
    ) -> Output:
        """Answer for each transcript: `tokens` are ids, `mask` is true where there is one, false in the padding."""
        states = self.encoder(input_ids=tokens, attention_mask=mask).last_hidden_state  # (batch, tokens, width)
        real = mask[:, :, None].to(states.dtype)  # (batch, tokens, 1)
        embedding = (states * real).sum(1) / real.sum(1)
        return Output(self.output(embedding), embedding)


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


def published(name: str | Path) -> Path:
    """The checkpoint that `name` stands for: a file, or aisfx.NAME. Raises FileNotFoundError where it is not there."""
    if name == aisfx.NAME:
        return aisfx.checkpoint()
    path = files.resolve(name)
    if not path.is_file():
        raise FileNotFoundError(
            f"no checkpoint {path}; expected the file that PANNs publishes, {PUBLISHED}, or its like, or '{aisfx.NAME}'"
        )
    return path


def find_start(model: str, network: NetworkSettings, sample_rate: int) -> None:
    """Raise FileNotFoundError or EncoderError where the weights that `model` is to start from are not to be had."""
    if model in CNN_MODELS and network.pretrained:
        published(network.pretrained)
    if network.encoder:
        encoder_folder(network.encoder, model, sample_rate)


def load_published(model: Cnn14, name: str | Path) -> None:
    """Put the weights of the published checkpoint `name`, as `published` takes it, into `model`, in place.

    That of PANNs (PUBLISHED) is a dictionary whose `model` holds the whole trunk; its front end and classifier are
    ignored. That of aisfx holds blocks 1 to 4. All other weights of the model stay as they are. Nothing in the file is
    executed. Raises FileNotFoundError, and ValueError for a file of another kind, a weight that is missing, and one
    whose shape is not the model's.
    """
    path = published(name)
    with torch.serialization.safe_globals(_NUMPY_GLOBALS):
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"{path} is no checkpoint that PyTorch can read safely: {reason}") from error
    trunk = [name for name in model.state_dict() if not name.startswith(("project.", "output."))]
    if aisfx.is_mine(content):
        weights, trunk = aisfx.blocks(content), [name for name in trunk if name.startswith(aisfx.BLOCKS)]
    elif isinstance(content, dict) and isinstance(content.get("model"), dict):
        weights = content["model"]
    else:
        raise ValueError(
            f"{path}: expected a dictionary with the weights under 'model', as PANNs publishes them, or a tuple whose "
            f"first part has them as {aisfx.PREFIX}conv_block1, as {aisfx.NAME} does"
        )
    counters = {name for name in trunk if name.endswith("num_batches_tracked")}  # of no use, absent in old files
    held = {name: weights[name] for name in trunk if name in weights}
    _fill(model, held, set(trunk) - counters, path)


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


def _empty_encoder(architecture: Mapping[str, Any]) -> nn.Module:
    from transformers import AutoConfig, AutoModel  # seconds to import, which CNN14 need not pay

    return AutoModel.from_config(AutoConfig.for_model(**architecture)).eval()


KINDS: dict[str, type[Model]] = {"cnn14": Cnn14, "text": TextModel, "speech": SpeechModel}
_RECONSTRUCT, _SCALAR = np.empty(0).__reduce__()[0], np.float64(0).__reduce__()[0]
_NUMPY_GLOBALS = [
    np.ndarray,
    np.dtype,
    *{type(np.dtype(code)) for code in np.typecodes["All"]},
    *[(_RECONSTRUCT, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")],  # numpy 1's and 2's names
    *[(_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")],
]
"""What the published checkpoint pickles beside its weights: constructors of numpy that only hold data."""
