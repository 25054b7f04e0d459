"""Settings, frozen and checked at birth.

Every default is the paper's. Where the paper's text does not confirm a value, the field says so under
`unconfirmed`, and `unconfirmed()` lists these wherever settings are reported.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sercore.registry import MODELS, ModelSpec
from sercore.schema import did_you_mean

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Settings = TypeVar("Settings", bound="DataclassInstance")
PROJECTIONS = ("default", "xavier", "zero")
OWN, EMPTY = "own", "empty"
"""Transcripts that every corpus has: those that its reader gives, and none at all."""


def _setting(default: Any, meaning: str, unconfirmed: str = "") -> Any:
    return field(default=default, metadata={"meaning": meaning, "unconfirmed": unconfirmed})


@dataclass(frozen=True, kw_only=True)
class FeatureSettings:
    """The log-mel front end (section 3: log-Mel spectrograms; the rest is the published CNN14's own)."""

    sample_rate: int = _setting(16_000, "of the audio after resampling [Hz]", "as in the published network")
    window: int = _setting(512, "Hann window and FFT length [samples]", "as in the published network")
    hop: int = _setting(160, "between frames [samples]", "as in the published network")
    mels: int = _setting(64, "Slaney mel bands", "as in the published network")
    low: float = _setting(50.0, "lower edge of the lowest band [Hz]", "as in the published network")
    high: float = _setting(8_000.0, "upper edge of the highest band [Hz]", "as in the published network")

    def __post_init__(self) -> None:
        if self.mels < 32:
            raise ValueError(f"mels is {self.mels}; CNN14 halves them five times, so it needs at least 32")
        if not 0 <= self.low < self.high <= self.sample_rate / 2:
            raise ValueError(
                f"bands from {self.low} to {self.high} Hz do not fit a sample rate of {self.sample_rate} Hz"
            )
        if not 0 < self.hop <= self.window:
            raise ValueError(f"hop is {self.hop} samples; it must be between 1 and the window's {self.window}")


@dataclass(frozen=True, kw_only=True)
class TextSettings:
    """The text encoder whose token embeddings are averaged (section 3), and which is fine-tuned as `bert`."""

    encoder: str = _setting(
        "bert-base-uncased", "Hugging Face id, local folder, or a name of features.hub.EMBEDDED_ENCODERS"
    )
    tokens: int = _setting(128, "longest transcript [tokens]; what is longer is cut", "from memory")
    transcripts: str = _setting(OWN, "own: the corpus's; empty: none at all; or one of its other_transcripts, by name")
    corruption: float = _setting(0.0, "share of their words that are made wrong, see transcripts.corrupt")
    shuffled: bool = _setting(False, "whether each utterance gets the transcript of another one")
    standardised: bool = _setting(
        False, "whether embeddings get mean 0 and deviation 1 over the training utterances", "not stated"
    )

    def __post_init__(self) -> None:
        if self.tokens < 3:
            raise ValueError(
                f"tokens is {self.tokens}; a transcript needs room for at least one token between its two special ones"
            )
        if not 0 <= self.corruption <= 1:
            raise ValueError(f"corruption is {self.corruption}; expected a share of the words, 0 to 1")
        if self.transcripts == EMPTY and (self.corruption or self.shuffled):
            raise ValueError("empty transcripts can be neither corrupted nor shuffled: leave both away")


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """CNN14's size and regularisation (section 3; reference [32])."""

    width: int = _setting(64, "feature maps of the first block; the sixth has 32 times as many")
    dropout: float = _setting(0.2, "after each block")
    pretrained: str | None = _setting(
        None, "a published CNN14 checkpoint to start from, or aisfx; None: Xavier", "not stated, 75 % sure"
    )
    encoder: str | None = _setting(None, "Hugging Face id or local folder of wav2vec2, hubert or wavlm; else None")
    projection: str = _setting(
        "default",
        "how PROJ starts: default: as PyTorch's linear layer; xavier: as the other layers; zero: as CNN14 without text",
        "not stated",
    )
    frozen: bool | None = _setting(None, "whether that encoder keeps its weights; None: no, it is fine-tuned")

    def __post_init__(self) -> None:
        if self.projection not in PROJECTIONS:
            raise ValueError(f"projection is '{self.projection}'; known: {', '.join(PROJECTIONS)}")
        if self.width < 1 or not 0 <= self.dropout < 1:
            raise ValueError(f"width {self.width} must be at least 1 and dropout {self.dropout} in [0, 1)")


CHOICES = {
    "schedule": ("constant", "steps", "epochs", "cosine"),
    "output_bias": ("zero", "mean"),
    "batch_norm": ("running", "estimated"),
    "kernels": ("plain", "fused"),
}


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How a model is trained (section 4.2). The best epoch on the development set is kept."""

    epochs: int = _setting(60, "passes over the training set", "from memory (85 %)")
    batch: int = _setting(32, "utterances a step", "from memory (60 %)")
    learning_rate: float = _setting(0.01, "highest of the schedule", "from memory (75 %)")
    optimiser: str = _setting("sgd", "sgd: Nesterov momentum; adam: decoupled decay, no bias correction")
    momentum: float = _setting(0.9, "of sgd", "inferred")
    weight_decay: float = _setting(0.0, "of adam, decoupled", "inferred (85 %)")
    warmup_steps: int = _setting(0, "steps in which the rate climbs from 0")
    total_steps: int | None = _setting(None, "step at which a linear schedule reaches 0; None: constant rate")
    schedule: str = _setting(
        "constant", "constant; steps: linear over total_steps; epochs: linear over epochs x batches; cosine: likewise"
    )
    output_bias: str = _setting(
        "zero", "of a model of ratings at the start: zero, or mean: the training set's mean rating", "not stated"
    )
    sorted_batches: bool = _setting(True, "batches of utterances of similar duration, in random order", "not stated")
    batch_norm: str = _setting(
        "running",
        "its statistics in evaluation: running averages; or estimated, on whole training utterances, after each epoch",
    )
    averaged_epochs: int = _setting(
        1, "last epochs whose mean weights are evaluated and kept; 1: those of the last one"
    )
    crop_seconds: float | None = _setting(
        None, "longest random crop in training [s]; None: whole utterances", "not stated"
    )
    precision: str = _setting("auto", "float32, bfloat16 (autocast), or auto: bfloat16 on a GPU that has it")
    evaluation_precision: str = _setting("float32", "of the development set after each epoch; results are float32")
    evaluation_batch: int = _setting(64, "utterances of 10 s that the development set's batches may hold")
    layout: str = _setting(
        "auto", "of feature maps in memory: channels_last, contiguous, or auto: what was measured to be faster"
    )
    fused: bool = _setting(False, "sgd's update in one pass; its last digits differ")
    tensor_float32: bool = _setting(False, "float32 products in TensorFloat-32 on a GPU that has it")
    tuned_kernels: bool = _setting(
        False, "let a GPU time its convolution kernels for every shape; a seed then no longer gives the same weights"
    )
    compiled: bool = _setting(False, "compile the blocks, which takes minutes")
    kernels: str = _setting(
        "plain",
        "of what follows a convolution of CNN14 in training: plain, PyTorch's; or fused, ours in Triton, for a GPU",
    )
    stop_when_worse: bool = _setting(
        False, "stop at the first epoch that is worse on the development set than the one before"
    )

    def __post_init__(self) -> None:
        if self.optimiser not in ("sgd", "adam"):
            raise ValueError(f"optimiser is '{self.optimiser}'; known: sgd, adam")
        for name in ("precision", "evaluation_precision"):
            if getattr(self, name) not in ("auto", "float32", "bfloat16"):
                raise ValueError(f"{name} is '{getattr(self, name)}'; known: auto, float32, bfloat16")
        if self.layout not in ("auto", "channels_last", "contiguous"):
            raise ValueError(f"layout is '{self.layout}'; known: auto, channels_last, contiguous")
        if self.evaluation_batch < 1:
            raise ValueError(f"evaluation_batch is {self.evaluation_batch}; expected at least 1 utterance")
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is '{getattr(self, name)}'; known: {', '.join(known)}")
        if (self.schedule == "steps") != (self.total_steps is not None):
            raise ValueError("schedule 'steps' needs total_steps, and no other schedule takes it")
        if self.epochs < 1 or self.batch < 2 or not self.learning_rate > 0:
            raise ValueError(
                f"epochs {self.epochs}, batch {self.batch}, learning_rate {self.learning_rate}: "
                "expected at least 1 epoch, at least 2 utterances a step (batch norm), a rate above 0"
            )
        if self.averaged_epochs < 1 or (self.averaged_epochs > 1 and self.batch_norm != "estimated"):
            raise ValueError(
                f"averaged_epochs is {self.averaged_epochs}; expected at least 1, and more than 1 only with batch_norm "
                "'estimated': averaged weights have no running statistics"
            )
        if self.kernels == "fused" and (self.compiled or self.layout == "contiguous"):
            raise ValueError(
                f"kernels is 'fused' with compiled {self.compiled} and layout '{self.layout}'; expected blocks "
                "that are not compiled, and channels_last or auto"
            )
        if self.crop_seconds is not None and not self.crop_seconds > 0:
            raise ValueError(
                f"crop_seconds is {self.crop_seconds}; expected seconds above 0, or none for whole utterances"
            )

    @classmethod
    def fine_tuning(cls) -> Self:
        """The paper's way to fine-tune BERT (section 4.2)."""
        return cls(
            epochs=4,
            batch=32,
            learning_rate=2e-5,
            optimiser="adam",
            weight_decay=0.0,
            warmup_steps=100,
            total_steps=1000,
            schedule="steps",
            stop_when_worse=True,
        )


def build(kind: type[Settings], values: Mapping[str, Any], base: Settings | None = None) -> Settings:
    """Settings of `kind` with `values` in place of those of `base` (the defaults where it is None).

    Raises ValueError for a name that `kind` does not have (with the nearest one that it has) and for a value of
    another type than the field's.
    """
    known = {f.name: f for f in fields(kind)}
    start = asdict(base) if base is not None else {}
    for name, value in values.items():
        if name not in known:
            raise ValueError(f"{kind.__name__} has no '{name}'{did_you_mean(name, known)}")
        start[name] = _typed(kind.__name__, name, value, known[name].type)
    return kind(**start)


def _typed(owner: str, name: str, value: Any, kind: Any) -> Any:
    """`value` if it fits the annotation `kind`; an int becomes a float where that is expected."""
    if kind in (float, float | None) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    ok = isinstance(value, kind) and not (isinstance(value, bool) and kind not in (bool, bool | None))
    if not ok:
        raise ValueError(f"{owner}.{name} is {value!r}; expected {getattr(kind, '__name__', kind)}")
    return value


def training(model: str, values: Mapping[str, Any]) -> TrainingSettings:
    """How `model` is trained: the paper's settings for it, with `values` in their place.

    Its record in the registry says whether it is trained as CNN14 or fine-tuned; so it does for models of ours.
    """
    spec = trained_model(model)
    base = TrainingSettings() if spec.trained_as == "cnn14" else TrainingSettings.fine_tuning()
    return build(TrainingSettings, values, base)


def trained_model(model: str) -> ModelSpec:
    """The record of `model`. Raises ValueError, with the nearest known name, where it is none that is trained."""
    spec = MODELS.find(model)
    if not spec.trained:
        raise ValueError(
            f"{spec.label} is not trained: it is the mean of the predictions of {' and '.join(spec.made_from)} "
            "(analysis.results.late_fusion)"
        )
    return spec


def check_network(model: str, network: NetworkSettings) -> None:
    """Raise ValueError where `network` lacks the encoder that `model` needs, or has one that it does not take."""
    if trained_model(model).features == "waveform":
        if network.encoder is None:
            raise ValueError(f"{model} needs an encoder: network: {{encoder: a Hugging Face id or local folder}}")
        if network.pretrained is not None:
            raise ValueError(f"{model} takes no network.pretrained: its weights are those of network.encoder")
    elif network.encoder is not None or network.frozen is not None:
        speech = ", ".join(name for name, spec in MODELS.items() if spec.features == "waveform")
        raise ValueError(f"{model} takes no network.encoder and no network.frozen; {speech} do")


FINE_TUNING_DOUBTS = {
    **dict.fromkeys(("epochs", "batch", "learning_rate"), "from memory (50 %)"),
    **dict.fromkeys(("schedule", "warmup_steps", "total_steps"), "inferred (70 %)"),
    **dict.fromkeys(("optimiser", "weight_decay"), "inferred (85 %)"),
}
"""What the paper says about fine-tuning BERT is in its text, but its numbers were lost."""


def doubts(values: "DataclassInstance") -> dict[str, str]:
    """Field of the settings `values` -> why the paper's text does not confirm the paper's value of it."""
    reasons = {f.name: f.metadata["unconfirmed"] for f in fields(values)}
    if isinstance(values, TrainingSettings) and values.optimiser == "adam":
        reasons |= FINE_TUNING_DOUBTS
    return {name: reason for name, reason in reasons.items() if reason}


def unconfirmed(values: "DataclassInstance") -> dict[str, str]:
    """`doubts` of those fields that hold the paper's value."""
    tuning = isinstance(values, TrainingSettings) and values.optimiser == "adam"
    paper = TrainingSettings.fine_tuning() if tuning else type(values)()
    return {name: doubt for name, doubt in doubts(values).items() if getattr(values, name) == getattr(paper, name)}
