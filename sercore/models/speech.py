"""wav2vec 2.0, HuBERT and WavLM as acoustic models, which CNN14 is to be compared with; the paper has none of them."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sercore import files, registry
from sercore.features import hub
from sercore.features.hub import EncoderError
from sercore.models.cnn14 import Output, initialise

if TYPE_CHECKING:
    import transformers

CONFIGURATION, PREPROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
SAMPLE_RATE = 16_000  # that all of them were trained at [Hz]
MASKS = "Support for mismatched key_padding_mask and attn_mask"  # of WavLM's two, which PyTorch brings to one type
UNUSED = ("masked_spec_embed",)  # weights that stand for what is masked, which is nothing here


class SpeechModel(nn.Module):
    """An encoder of the waveform, the mean of its last layer's vectors, and a linear layer.

    Frozen, the encoder keeps its weights and is always in evaluation mode. Fine-tuned, its transformer is trained and
    its convolutions keep their weights, as is usual. Nothing is masked in training; dropout and the dropping of layers
    are those of the encoder's configuration.

    The answer for an utterance does not depend on what shares its batch: where an encoder normalises its first
    convolution over time, padding would change the mean, so each utterance goes through the convolutions alone, and
    their vectors are padded, and masked, for the transformer.
    """

    def __init__(
        self,
        encoder: str,
        family: str,
        outputs: int,
        frozen: bool = False,
        sample_rate: int = SAMPLE_RATE,
        generator: torch.Generator | None = None,
        architecture: Mapping[str, Any] | None = None,
        normalise: bool | None = None,
    ) -> None:
        """`encoder` and `family` as `encoder_folder` takes them. With an `architecture` (a configuration of
        transformers) it is not looked for: the network has the right shape and weights without meaning, to be filled.

        `normalise`: whether a waveform is brought to mean 0 and variance 1; None: what the encoder's preprocessor says.
        The output layer is Xavier-uniform, drawn from `generator` (None: PyTorch's global one), its bias zero. Raises
        EncoderError as `load_encoder` does.
        """
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # transformers draws from the global generator
            if architecture is None:
                folder = encoder_folder(encoder, family, sample_rate)
                self.encoder = load_encoder(folder)
                if normalise is None:
                    normalise = _preprocessor(folder).get("do_normalize", True)
            else:
                self.encoder = hub.empty_network(architecture)
        self.frozen, self.normalise, self.sample_rate = frozen, bool(normalise), sample_rate
        kept = self.encoder if frozen else self.encoder.get_submodule("feature_extractor")
        kept.requires_grad_(False)
        with torch.device("meta"):
            self.output = nn.Linear(self.encoder.config.hidden_size, outputs)
        self.output.to_empty(device="cpu")
        initialise(self.output, generator)

    def train(self, mode: bool = True) -> "SpeechModel":
        """As nn.Module's; what keeps its weights stays in evaluation mode."""
        super().train(mode)
        (self.encoder if self.frozen else self.encoder.get_submodule("feature_extractor")).eval()
        return self

    def forward(self, waveform: Tensor, samples: Tensor) -> Output:
        """Answer for each utterance: `waveform` (batch, samples) in [-1, 1], `samples` (batch,) the true lengths.

        What lies behind the true samples has no influence. Raises ValueError for lengths beyond the batch's.
        """
        lengths = samples.tolist()
        if max(lengths) > waveform.shape[1]:
            raise ValueError(
                f"the longest utterance has {max(lengths)} samples, more than the batch's {waveform.shape[1]}"
            )
        with torch.no_grad():
            parts = [self._convolve(sound[:length]) for sound, length in zip(waveform, lengths, strict=True)]
        counts = torch.tensor([len(part) for part in parts], device=waveform.device)
        vectors = nn.utils.rnn.pad_sequence(parts, batch_first=True)  # (batch, vectors, channels)
        mask = torch.arange(vectors.shape[1], device=waveform.device) < counts[:, None]  # (batch, vectors)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen), warnings.catch_warnings():
            warnings.filterwarnings("ignore", MASKS, UserWarning)
            projected = self.encoder.get_submodule("feature_projection")(vectors)
            projected = projected[0] if isinstance(projected, tuple) else projected  # HuBERT's gives one, others two
            transformer = self.encoder.get_submodule("encoder")
            states = transformer(projected.clone(), attention_mask=mask)[0]  # it zeroes the padding in place
        real = mask[:, :, None].to(states.dtype)
        embedding = (states * real).sum(1) / real.sum(1)
        return Output(self.output(embedding), embedding)

    def extra_settings(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the arguments, so that loading it needs no encoder."""
        return {"architecture": self.encoder.config.to_dict(), "normalise": self.normalise}

    def _convolve(self, sound: Tensor) -> Tensor:
        """Vectors (vectors, channels) of one utterance (samples,), without its padding."""
        if self.normalise:
            sound = (sound - sound.mean()) / (sound.var(correction=0) + 1e-7).sqrt()
        return self.encoder.get_submodule("feature_extractor")(sound[None])[0].T


def encoder_folder(encoder: str, family: str, sample_rate: int) -> Path:
    """Folder that holds the speech encoder `encoder`: a local folder, or a Hugging Face id.

    A hub's model is taken from the local cache where it is there, else downloaded. Raises EncoderError where it is not
    found, lacks a part, is no encoder of the architecture `family` (a model's name), or was trained at another rate
    than `sample_rate` [Hz].
    """
    local = files.resolve(encoder)
    folder = local if local.is_dir() else _hub_folder(encoder, local)
    if not (folder / CONFIGURATION).is_file():
        raise EncoderError(f"speech encoder in {folder} has no {CONFIGURATION}; name a folder that holds a whole one")
    if not any(path for pattern in WEIGHTS for path in folder.glob(pattern)):
        raise EncoderError(f"speech encoder in {folder} has no weights; expected {' or '.join(WEIGHTS)} there")
    own = str(files.read_json(folder / CONFIGURATION).get("model_type"))
    if own != family:
        known = own in registry.MODELS and registry.MODELS[own].features == "waveform"
        near = f"use it as the model '{own}'" if known else "it is no encoder that is known here"
        raise EncoderError(f"{folder} holds a network of type '{own}', expected '{family}'; {near}")
    rate = _preprocessor(folder).get("sampling_rate", SAMPLE_RATE)
    if rate != sample_rate:
        raise EncoderError(
            f"speech encoder in {folder} takes sound at {rate} Hz, by its {PREPROCESSOR}, the features' sample_rate is "
            f"{sample_rate} Hz: name an encoder of that rate, or set features: {{sample_rate: {rate}}}"
        )
    return folder


def load_encoder(folder: Path) -> "transformers.PreTrainedModel":
    """The network in `folder` with its weights, float32, in evaluation mode.

    Raises EncoderError where it cannot be read, or weights are absent (but for UNUSED) or do not fit.
    """
    return hub.load_network(folder, "speech encoder", UNUSED)


def _preprocessor(folder: Path) -> dict[str, Any]:
    path = folder / PREPROCESSOR
    return files.read_json(path) if path.is_file() else {}


def _hub_folder(encoder: str, local: Path) -> Path:
    from huggingface_hub import snapshot_download  # not needed where the encoder is local
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    for cached in (True, False):
        try:
            wanted = [CONFIGURATION, PREPROCESSOR, *WEIGHTS]
            return Path(snapshot_download(encoder, allow_patterns=wanted, local_files_only=cached))
        except (OSError, HfHubHTTPError, HFValidationError) as error:
            reason = str(error).splitlines()[0]
    raise EncoderError(
        f"speech encoder '{encoder}' was not found: no folder {local}, and no model of the hub ({reason}); expected a "
        "local folder, or a Hugging Face id, which needs a network unless it is in the local cache"
    )


def arguments(experiment: Any, source: Any) -> dict[str, Any]:  # noqa: ARG001 -- one signature for all models
    """What `SpeechModel` is built with for a run (training.experiment.Experiment), as its checkpoint keeps it."""
    return {
        "encoder": experiment.network.encoder,
        "family": experiment.model,
        "outputs": experiment.outputs,
        "frozen": bool(experiment.network.frozen),
        "sample_rate": experiment.features.sample_rate,
    }
