"""Settings, frozen and checked at birth.

Every default is the paper's. Where the paper's text does not confirm a value, the field says so under
`unconfirmed`, and `unconfirmed()` lists these wherever settings are reported.
"""

import inspect
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, asdict, field, fields
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self, TypeVar

import pandas as pd
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from sercore import schema
from sercore.registry import MODELS, ModelSpec
from sercore.schema import did_you_mean

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Settings = TypeVar("Settings", bound="DataclassInstance")
PROJECTIONS = ("default", "xavier", "zero")
MECHANISMS = ("shift", "film", "concat", "gate")
OWN, EMPTY = "own", "empty"
"""Transcripts that every corpus has: those that its reader gives, and none at all."""
STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
"""No value is turned into another type: `no`, 01 and '3' are what they are."""
OPEN: ConfigDict = {**STRICT, "extra": "allow"}
Share = Annotated[float, Field(ge=0, le=1)]


def _setting(default: Any, meaning: str, unconfirmed: str = "") -> Any:
    return field(default=default, metadata={"meaning": meaning, "unconfirmed": unconfirmed})


@dataclass(frozen=True, kw_only=True, config=STRICT)
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


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TextSettings:
    """The text encoder whose token embeddings are averaged (section 3), and which is fine-tuned as `bert`."""

    encoder: str = _setting(
        "bert-base-uncased", "Hugging Face id, local folder, or a name of features.hub.EMBEDDED_ENCODERS"
    )
    tokens: int = _setting(128, "longest transcript [tokens]; what is longer is cut", "from memory")
    transcripts: str = _setting(OWN, "own: the corpus's; empty: none at all; or one of its other_transcripts, by name")
    corruption: float = _setting(0.0, "share of their words that are made wrong, see transcripts.corrupt")
    shuffled: bool = _setting(False, "whether each utterance gets the transcript of another one")
    opposed: bool = _setting(False, "whether utterances get the transcript of one of the opposite valence")
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
        if self.transcripts == EMPTY and (self.corruption or self.shuffled or self.opposed):
            raise ValueError("empty transcripts can be neither corrupted nor shuffled nor opposed: leave these away")
        if self.shuffled and self.opposed:
            raise ValueError("transcripts are shuffled or opposed: leave one away")


def _group(kind: type[Settings]) -> BeforeValidator:
    """Lets a mapping stand for the settings of `kind` that it holds."""

    def made(value: object) -> object:
        if value is None or isinstance(value, kind):
            return value
        if not isinstance(value, Mapping):
            raise ValueError(f"expected a mapping of {', '.join(f.name for f in fields(kind))}, found {found(value)}")
        return build(kind, value)

    return BeforeValidator(made)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NormalisationSettings:
    """What is taken off the log-mels that a network sees; see datasets.normalisation."""

    over: Literal["utterance", "speaker", "corpus"] = _setting(
        MISSING, "whose mean over time goes: of the utterance, or of all recordings of its speaker or corpus"
    )
    of: Literal["level", "channel"] = _setting(
        "channel", "level: one mean of all bands, which a gain changes; channel: one a band, which a microphone changes"
    )

    def __str__(self) -> str:
        """As tables and captions print it."""
        return f"{self.of} over the {self.over}"

    @property
    def unlabelled(self) -> bool:
        """Whether it takes other recordings of the test speakers than the one that is predicted, without labels."""
        return self.over != "utterance"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NetworkSettings:
    """CNN14's size, input and regularisation (section 3; reference [32])."""

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
    stages: Sequence[Annotated[int, Field(ge=1, le=6)]] | None = _setting(
        None, "blocks of CNN14 that the text conditions, 1 to 6; None: all that the model is named after"
    )
    mechanism: str = _setting(
        "shift", "how it does: shift: equations 1-5; film: also scales; concat: also mixes the maps; gate: can close"
    )
    text_dropout: Annotated[float, Field(ge=0, lt=1)] = _setting(
        0.0, "chance of a training utterance that its text is replaced by the mean embedding"
    )
    frozen: bool | None = _setting(None, "whether that encoder keeps its weights; None: no, it is fine-tuned")
    normalisation: Annotated[NormalisationSettings | None, _group(NormalisationSettings)] = _setting(
        None, "of the log-mels that it is given, over and of what; None: as they were recorded"
    )
    regression: Share = _setting(
        0.0,
        "share that a regression on mean, without the overall level, and deviation of the mel bands below 4 kHz has in "
        "the logits",
    )
    kept: Literal["whole", "difference", "half"] = _setting(
        "whole",
        "of a fine-tuned encoder, in checkpoints: whole; difference: what differs from the published weights, exact; "
        "half: these differences in half precision, not exact",
    )

    def __post_init__(self) -> None:
        if self.projection not in PROJECTIONS:
            raise ValueError(f"projection is '{self.projection}'; known: {', '.join(PROJECTIONS)}")
        if self.mechanism not in MECHANISMS:
            raise ValueError(f"mechanism is '{self.mechanism}'; known: {', '.join(MECHANISMS)}")
        if self.stages is not None:
            if len(set(self.stages)) < len(self.stages):
                raise ValueError(f"stages {', '.join(map(str, self.stages))} name a stage twice")
            object.__setattr__(self, "stages", tuple(sorted(self.stages)))
        if self.width < 1 or not 0 <= self.dropout < 1:
            raise ValueError(f"width {self.width} must be at least 1 and dropout {self.dropout} in [0, 1)")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AugmentationSettings:
    """How training utterances are changed by chance, each on its own; 0 or no folder: not at all.

    See datasets.augmentation and datasets.sounds.
    """

    time_masks: Annotated[int, Field(ge=0)] = _setting(0, "SpecAugment's spans of frames that are hidden")
    time_mask: Share = _setting(0.1, "widest of them, as a share of the utterance's frames")
    frequency_masks: Annotated[int, Field(ge=0)] = _setting(0, "SpecAugment's spans of bands that are hidden")
    frequency_mask: Share = _setting(0.15, "widest of them, as a share of the bands")
    gain_decibels: Annotated[float, Field(ge=0)] = _setting(0.0, "most by which the level is raised or lowered [dB]")
    mel_shift: Annotated[float, Field(ge=0, le=8)] = _setting(
        0.0, "most by which the spectrum moves up or down, as of another vocal tract [mel bands]"
    )
    rate: Annotated[float, Field(ge=0, le=0.5)] = _setting(
        0.0, "most by which it is spoken faster or slower; 0.1: .9 to 1.1 times as fast"
    )
    mixup: Annotated[float, Field(ge=0)] = _setting(
        0.0,
        "alpha of the Beta distribution of the share that an utterance has when another is mixed in; for categories",
    )
    noise: str | None = _setting(None, "folder of noise that is added to utterances; None: there is none")
    snr: Annotated[Sequence[float], Field(min_length=2, max_length=2)] = _setting(
        (5.0, 20.0), "least and most by which speech is louder than that noise [dB]"
    )
    rooms: str | None = _setting(None, "folder of impulse responses of rooms that utterances are put in; None: none")
    share: Share = _setting(0.5, "chance of an utterance to have noise added, and likewise to be put in a room")

    def __post_init__(self) -> None:
        object.__setattr__(self, "snr", tuple(map(float, self.snr)))
        if self.snr[0] > self.snr[1]:
            raise ValueError(f"snr is {self.snr[0]:g} to {self.snr[1]:g} dB; expected the lower one first")

    def __str__(self) -> str:
        """What is not the default, as tables and captions print it."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        own |= {name: Path(own[name]).name for name in ("noise", "rooms") if name in own}
        return ", ".join(f"{name} {value}" for name, value in own.items()) or "nothing"


CHOICES = {
    "schedule": ("constant", "steps", "epochs", "cosine"),
    "output_bias": ("zero", "mean"),
    "batch_norm": ("running", "estimated"),
    "kernels": ("plain", "fused"),
    "objective": ("section", "smoothed", "focal", "votes"),
    "kept_epoch": ("best", "last"),
}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrainingSettings:
    """How a model is trained (section 4.2)."""

    epochs: int = _setting(60, "passes over the training set", "from memory (85 %)")
    data_share: Annotated[float, Field(gt=0, le=1)] = _setting(
        1.0, "of the training utterances, how many are trained on: of every class and speaker, drawn by the run's seed"
    )
    batch: int = _setting(32, "utterances a step", "from memory (60 %)")
    learning_rate: float = _setting(0.01, "highest of the schedule", "from memory (75 %)")
    optimiser: str = _setting("sgd", "sgd: Nesterov momentum; adam: decoupled decay, no bias correction")
    momentum: Annotated[float, Field(ge=0, lt=1)] = _setting(0.9, "of sgd", "inferred")
    weight_decay: Annotated[float, Field(ge=0)] = _setting(0.0, "of adam, decoupled", "inferred (85 %)")
    text_learning_rate: Annotated[float, Field(gt=0)] = _setting(
        1.0, "of what turns the text into a change of the blocks, as a multiple of learning_rate"
    )
    warmup_steps: Annotated[int, Field(ge=0)] = _setting(0, "steps in which the rate climbs from 0")
    total_steps: Annotated[int, Field(ge=1)] | None = _setting(
        None, "step at which a linear schedule reaches 0; None: constant rate"
    )
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
    batch_norm_utterances: Annotated[int, Field(ge=2)] | None = _setting(
        None,
        "of how many they are estimated, about, to find the best epoch, of which they are of all; None: always all",
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
    patience: Annotated[int, Field(ge=1)] | None = _setting(
        None, "epochs without a better score on the development set after which training ends; None: all are trained"
    )
    kept_epoch: str = _setting(
        "best",
        "whose weights the model has in the end: best on the development set; or the last, which needs no choice",
    )
    augmentation: Annotated[AugmentationSettings | None, _group(AugmentationSettings)] = _setting(
        None, "how utterances are changed by chance in training, never in evaluation; None: they are not"
    )
    objective: str = _setting(
        "section",
        "section: what the section minimises; of categories also smoothed: labels; focal: hard utterances count more; "
        "votes: the distribution of the raters' votes is learnt",
    )
    recipe: Literal["by_size"] | None = _setting(
        None, "by_size: what is not given is chosen by how much there is to train on, see settings.by_size"
    )
    mel_statistics: bool | None = _setting(
        None, "whether a regression on mel statistics is scored beside the model; None: for a corpus of one's own"
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
        if self.batch_norm_utterances is not None and self.batch_norm != "estimated":
            raise ValueError(
                f"batch_norm_utterances is {self.batch_norm_utterances}, batch_norm '{self.batch_norm}'; expected "
                "it only with 'estimated'"
            )
        if self.averaged_epochs < 1 or (self.averaged_epochs > 1 and self.batch_norm != "estimated"):
            raise ValueError(
                f"averaged_epochs is {self.averaged_epochs}; expected at least 1, and more than 1 only with batch_norm "
                "'estimated': averaged weights have no running statistics"
            )
        if self.patience is not None and self.stop_when_worse:
            raise ValueError(
                f"patience is {self.patience}, and stop_when_worse ends training sooner: leave patience out, or say "
                "stop_when_worse: false"
            )
        if self.kept_epoch == "last" and (self.stop_when_worse or self.patience is not None):
            raise ValueError(
                f"kept_epoch is 'last', with patience {self.patience} and stop_when_worse {self.stop_when_worse}; "
                "expected neither: where training ends by the development set, the best epoch is kept"
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


class Problem(NamedTuple):
    """What is wrong with one value of a set of settings."""

    path: tuple[str | int, ...]  # keys that lead to it; () of the settings as a whole
    text: str  # what was expected, and what was found

    def within(self, *keys: str | int) -> "Problem":
        """The same problem, of settings that `keys` lead to."""
        return self._replace(path=(*keys, *self.path))


EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "sequence_str": "a list",
    "is_instance_of": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping of names to values",
    "mapping_type": "a mapping of names to values",
    "model_type": "a mapping of names to values",
    "finite_number": "a finite number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "too_short": "{min_length} or more entries",
    "too_long": "{max_length} or fewer entries",
    "string_too_short": "{min_length} or more letters",
    "literal_error": "{expected}",
    "path_type": "a path",
}
"""pydantic's kinds of errors -> what was expected, in words."""
KINDS: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a mapping",
}


def found(value: object) -> str:
    """`value` as an error shows it, with what it is."""
    if value is None:
        return "nothing"
    text = repr(value)
    if isinstance(value, date):
        return f"the date {value}"
    kind = next((name for kind, name in KINDS.items() if type(value) is kind), type(value).__name__)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({kind})"


def problems_of(error: ValidationError, known: Callable[[tuple[str | int, ...]], Any] | None = None) -> list[Problem]:
    """The problems that pydantic has found, in plain words.

    `known` gives the names that are known where a path leads, for "did you mean".
    """
    problems = []
    for one in error.errors(include_url=False):
        path, kind, value = one["loc"], one["type"], one["input"]
        if path and path[-1] == "[key]":  # of a mapping whose keys are text
            path = path[:-1]
            text = f"a name: expected text, found {found(value)}"
        elif kind in ("extra_forbidden", "unexpected_keyword_argument"):
            near = did_you_mean(str(path[-1]), known(path[:-1])) if known else ""
            text = f"unknown key '{path[-1]}'{near}"
        elif kind in ("missing", "missing_keyword_only_argument"):
            text = f"key '{path[-1]}' is missing"
        elif kind == "value_error":
            text = str(one["ctx"]["error"])
        elif kind in EXPECTED:
            limits = {name: "nothing else" if limit is None else limit for name, limit in one.get("ctx", {}).items()}
            text = f"expected {EXPECTED[kind].format(**limits)}, found {found(value)}{_hint(kind, value)}"
        else:
            text = f"{one['msg']}, found {found(value)}"
        problems.append(Problem(tuple(path), text))
    return list(dict.fromkeys(problems))


def _hint(kind: str, value: object) -> str:
    """How a value of another type is written, where it is plain what was meant."""
    if kind in ("list_type", "sequence_str") and isinstance(value, str) and value:
        return f"; write [{value.strip('[]')}] (with papermill: -y 'name: [{value.strip('[]')}]')"
    if kind in ("float_type", "int_type") and isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return ""
        if kind == "float_type":
            return f"; as a number it is {_plain(number)}, without quotes"
        return f"; write {value.strip()} without quotes" if number.is_integer() else ""
    return ""


def _plain(number: float) -> str:
    """`number` as YAML reads it as one: with a point and a sign of the exponent."""
    mantissa, letter, exponent = repr(number).partition("e")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}{letter}{exponent}"


def try_build(
    kind: type[Settings], values: Mapping[str, Any], base: Settings | None = None
) -> tuple[Settings | None, list[Problem]]:
    """What `build` returns, and no problems; or None and all that is wrong with `values`."""
    unnamed = [
        Problem((name,), f"a name: expected text, found {found(name)}") for name in values if type(name) is not str
    ]
    if unnamed:
        return None, unnamed
    known = [f.name for f in fields(kind)]
    try:
        return kind(**{**(asdict(base) if base is not None else {}), **values}), []
    except ValidationError as error:
        problems = [
            problem._replace(
                text=f"{kind.__name__} has no '{problem.path[0]}'{did_you_mean(str(problem.path[0]), known)}"
            )
            if problem.path and problem.path[0] not in known
            else problem
            for problem in problems_of(error)
        ]
        return None, problems


def build(kind: type[Settings], values: Mapping[str, Any], base: Settings | None = None) -> Settings:
    """Settings of `kind` with `values` in place of those of `base` (the defaults where it is None).

    Raises ValueError that lists each name that `kind` does not have (with the nearest one that it has) and each value
    that is of another type than the field or outside its range.
    """
    built, problems = try_build(kind, values, base)
    if built is None:
        raise ValueError(
            "; ".join(
                problem.text
                if not problem.path or problem.text.startswith(kind.__name__)
                else f"{'.'.join(map(str, (kind.__name__, *problem.path)))}: {problem.text}"
                for problem in problems
            )
        )
    return built


def training(model: str, values: Mapping[str, Any]) -> TrainingSettings:
    """How `model` is trained: the paper's settings for it, with `values` in their place.

    Its record in the registry says whether it is trained as CNN14 or fine-tuned; so it does for models of ours.
    """
    return build(TrainingSettings, values, _papers(model))


def _papers(model: str) -> TrainingSettings:
    """The paper's training settings for `model`."""
    spec = trained_model(model)
    return TrainingSettings() if spec.trained_as == "cnn14" else TrainingSettings.fine_tuning()


def values_of(parameters: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """What a notebook's `parameters` say of its settings of `kind`, a name of SETTINGS.

    That is their mapping of it, for text the CONDITION beside it, and then what the run's `change` has in their place.
    """
    condition = {key: parameters[key] for key in CONDITION if key in parameters and kind == "text"}
    change = (parameters.get("changes") or {}).get(parameters.get("change"), {})
    return {**(parameters.get(kind) or {}), **condition, **change.get(kind, {})}


class Size(NamedTuple):
    """How much a run has to train on: the least of its splits, after the split."""

    utterances: int
    speakers: int  # known ones; 0 where a tenth of the utterances or more have none
    classes: int = 0  # that are told apart; 0: ratings are learnt


FEW = 2_000  # training utterances, below which a network learns them by heart within some epochs
FEW_VOICES = 50  # training speakers, below which it learns their voices
OF_A_SPEAKER = 10  # utterances from which their mean tells more of voice and microphone than of what was felt


def by_size(size: Size) -> dict[str, dict[str, Any]]:
    """What the recipe "by_size" chooses of network and training for a corpus of `size`.

    - normalisation: each speaker's mean of every band goes (Busso et al. 2013), where there are on average OF_A_SPEAKER
      utterances of each; else each utterance's level
    - regression: below FEW utterances the logits of categories are the mean of the network's and of a regression's on
      the mean, without the overall level, and the deviation of each mel band that a telephone passes: of so few
      utterances it learns as much as a network, and other things; of recordings unlike all of these the network
      answers alone
    - augmentation: gain; changes of vocal tract (Jaitly and Hinton 2013) and of rate (Ko et al. 2015), half as wide
      where there are FEW_VOICES speakers or more; of categories mixup (Zhang et al. 2018), which CNN14 was first
      trained with (Kong et al. 2020); from FEW utterances on also SpecAugment (Park et al. 2019): under it a small
      network did not come to fit the training set of EMO-DB, which has fewer
    - epochs: at a rate that falls as half a cosine. Below FEW utterances all are trained and the last is kept: the best
      of many epochs on a development set of one speaker or two is often an early one that met them by chance. Else the
      best is kept, and training ends where half of them have brought nothing better
    - averaged weights of the last epochs (Izmailov et al. 2018), with estimated statistics of batch normalisation, of a
      part of the utterances until the best epoch is known
    - batches: below FEW utterances half the paper's
    - crops of four seconds: of two, CNN14's five halvings leave a single frame at a hop of 512 samples, and the pooling
      over time would not be trained for the several of whole utterances

    Dropout is the paper's, and so is the learning rate, which is not chosen: a squared error needs a lower one. A model
    of ratings starts at their mean.
    """
    few, few_voices = size.utterances < FEW, size.speakers < FEW_VOICES
    speakers = size.speakers > 1 and size.utterances >= OF_A_SPEAKER * size.speakers
    epochs = 60 if few else 40
    return {
        "network": {
            "dropout": 0.2,
            "normalisation": {"over": "speaker", "of": "channel"} if speakers else {"over": "utterance", "of": "level"},
            **({"regression": 0.5} if few and size.classes else {}),
        },
        "training": {
            "epochs": epochs,
            **({"kept_epoch": "last"} if few else {"patience": epochs // 2}),
            "schedule": "cosine",
            "averaged_epochs": 10 if few else 5,
            "batch_norm": "estimated",
            "batch_norm_utterances": 128 if few else 1_024,
            "output_bias": "mean",
            "batch": 16 if few else 32,
            "crop_seconds": 3.84,
            "augmentation": {
                **({} if few else {"time_masks": 2, "frequency_masks": 2}),
                **({"mixup": 0.3} if size.classes else {}),
                "gain_decibels": 10.0,
                "mel_shift": 1.5 if few_voices else 0.75,
                "rate": 0.1 if few_voices else 0.05,
            },
        },
    }


EXCLUDED = {
    "stop_when_worse": ((False, None), ("patience", "kept_epoch")),
    "patience": ((None,), ("kept_epoch",)),
    "kept_epoch": (("best", None), ("patience",)),
    "batch_norm": (("estimated", None), ("averaged_epochs", "batch_norm_utterances")),
}
"""Setting of training -> its values (None: it is not given) that go together with any choice of these others."""


def recipe_of(parameters: Mapping[str, Any]) -> str | None:
    """The recipe that a run of `parameters` asks for, if any."""
    return values_of(parameters, "training").get("recipe")


def chosen(parameters: Mapping[str, Any], size: Size) -> dict[str, dict[str, Any]]:
    """Kind of settings -> what the recipe of a run of `parameters` chooses of it: what is not given there.

    Of augmentation and normalisation, each of their own settings is given or chosen by itself; one that is given as
    None is wholly given. What does not go with a given value, as EXCLUDED says, is not chosen either.
    """
    if recipe_of(parameters) is None:
        return {}
    choices = {}
    asked = values_of(parameters, "training")
    excluded = {other for name, (free, others) in EXCLUDED.items() if asked.get(name) not in free for other in others}
    for kind, values in by_size(size).items():
        given = values_of(parameters, kind)
        free = {name: value for name, value in values.items() if name not in given}
        for name in values.keys() & given.keys():
            if isinstance(values[name], Mapping) and isinstance(given[name], Mapping):
                free[name] = {key: value for key, value in values[name].items() if key not in given[name]}
        choices[kind] = {name: value for name, value in free.items() if value != {} and name not in excluded}
    return choices


def _with_choices(parameters: Mapping[str, Any], kind: str, size: Size | None = None) -> dict[str, Any]:
    """What `parameters` say of their settings of `kind`, and below it what a recipe chooses, as `of_run` has it."""
    values = values_of(parameters, kind)
    for name, value in chosen(parameters, size or Size(0, 0)).get(kind, {}).items():
        values[name] = {**value, **values[name]} if isinstance(values.get(name), Mapping) else value
    return values


def of_run(parameters: Mapping[str, Any], kind: str, size: Size | None = None) -> Any:
    """The settings of `kind`, a name of SETTINGS, of a run with these `parameters`; raises as `build` does.

    What a recipe chooses is among them, by `size`; where it is not known yet, as for the smallest corpus.
    """
    values = _with_choices(parameters, kind, size)
    return training(str(parameters["model"]), values) if kind == "training" else build(SETTINGS[kind], values)


def trained_model(model: str) -> ModelSpec:
    """The record of `model`. Raises ValueError, with the nearest known name, where it is none that is trained."""
    spec = MODELS.find(model)
    if not spec.trained:
        raise ValueError(
            f"{spec.label} is not trained: it is the mean of the predictions of {' and '.join(spec.made_from)} "
            "(analysis.results.late_fusion)"
        )
    return spec


def stages_of(model: str, network: NetworkSettings) -> tuple[int, ...]:
    """The blocks of CNN14 that the text conditions in `model`: those of `network` where it names them."""
    return MODELS[model].text_stages if network.stages is None else tuple(network.stages)


def check_network(model: str, network: NetworkSettings) -> None:
    """Raise ValueError where `network` lacks the encoder that `model` needs, or has what it does not take."""
    if network.kept != "whole" and trained_model(model).features == "log_mel":
        raise ValueError(f"{model} takes no network.kept, which is of fine-tuned encoders: leave it out")
    if network.regression and trained_model(model).features != "log_mel":
        raise ValueError(f"{model} takes no network.regression, which is of log-mels: {_takers('log_mel')} take it")
    told = [name for name in ("stages", "mechanism", "text_dropout") if getattr(network, name) != CONDITIONING[name]]
    if told and not trained_model(model).text_stages:
        fused = ", ".join(name for name, spec in MODELS.items() if spec.text_stages)
        raise ValueError(f"{model} takes no network.{told[0]}, since no text conditions it; {fused} do")
    if trained_model(model).features == "waveform":
        if network.normalisation is not None:
            raise ValueError(
                f"{model} takes no network.normalisation, which is of log-mels: {_takers('log_mel')} take it"
            )
        if network.encoder is None:
            raise ValueError(f"{model} needs an encoder: network: {{encoder: a Hugging Face id or local folder}}")
        if network.pretrained is not None:
            raise ValueError(f"{model} takes no network.pretrained: its weights are those of network.encoder")
    elif network.encoder is not None or network.frozen is not None:
        raise ValueError(f"{model} takes no network.encoder and no network.frozen; {_takers('waveform')} do")


def normalised_over(parameters: Mapping[str, Any], size: Size | None = None) -> str | None:
    """What a run of `parameters` normalises log-mels over where that takes recordings of test speakers, else None.

    With the `size` that a recipe goes by, what that chooses counts too.
    """
    model = parameters.get("model", "")
    if model not in MODELS or MODELS[model].features != "log_mel":
        return None
    normalisation = of_run(parameters, "network", size).normalisation
    return normalisation.over if normalisation is not None and normalisation.unlabelled else None


def check_training(model: str, training: TrainingSettings, targets: Sequence[str] = ()) -> None:
    """Raise ValueError where `training` asks for what `model` does not take, or mixes up ratings of `targets`."""
    asked = {"augmentation": "which is of log-mels", "recipe": "which is for models that are trained on log-mels"}
    for name, why in asked.items():
        if getattr(training, name) is not None and trained_model(model).features != "log_mel":
            raise ValueError(f"{model} takes no training.{name}, {why}: {_takers('log_mel')} take it")
    if training.augmentation is not None and training.augmentation.mixup and set(targets) - {schema.EMOTION}:
        raise ValueError(
            f"training.augmentation.mixup is for categories, and {', '.join(targets)} "
            f"{schema.are(len(targets))} trained here: leave it out"
        )


def _takers(features: str) -> str:
    """The models that take `features`, for an error."""
    return ", ".join(name for name, spec in MODELS.items() if spec.features == features)


CONDITIONING = {name: getattr(NetworkSettings(), name) for name in ("stages", "mechanism", "text_dropout")}


class Parameters(BaseModel):
    """The parameters that notebooks have in common, by type and range; a notebook may have others."""

    model_config = OPEN

    model: str = ""
    models: Sequence[str] = ()
    corpus: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    target: Literal["arousal", "valence", "dominance"] | None = None
    folds: Sequence[str] = ()
    allow_speaker_leakage: bool = False
    classes: Annotated[dict[str, Annotated[Sequence[str], Field(min_length=1)]], Field(min_length=2)] | None = None
    features: dict[str, Any] = {}
    text: dict[str, Any] = {}
    network: dict[str, Any] = {}
    training: dict[str, Any] = {}
    transcripts: str = OWN
    corruption: Share = 0.0
    shuffled: bool = False
    tested: Sequence[dict[str, Any]] = ()
    cross_corpus: bool = True
    ask_stages: bool = True
    change: str | None = None
    changes: dict[str, dict[str, dict[str, Any]]] = {}


SETTINGS: dict[str, type] = {
    "features": FeatureSettings,
    "text": TextSettings,
    "network": NetworkSettings,
    "training": TrainingSettings,
}
"""Parameter of a notebook -> the settings that it holds."""
CHANGED = ("text", "network", "training")
"""The settings that one of a notebook's `changes` may be of."""
CONDITION = ("transcripts", "corruption", "shuffled")  # parameters that are also settings of the text
OPTION = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)


def parameter_problems(parameters: Mapping[str, Any]) -> list[Problem]:
    """All that is wrong with the `parameters` of a notebook, by their paths; the data are not looked at.

    Types and ranges first; where these are right, the model, the classes, and the settings that follow from all.
    """
    try:
        Parameters.model_validate(dict(parameters))
    except ValidationError as error:
        return problems_of(error)
    problems = []
    if parameters.get("classes"):
        problems += _problem(("classes",), schema.map_emotions, pd.Series(dtype="str"), parameters["classes"])
    twice = sorted(fold for fold, times in Counter(parameters.get("folds", ())).items() if times > 1)
    if twice:
        problems.append(Problem(("folds",), f"{schema.first(twice)} is there twice"))
    for place, model in enumerate(parameters.get("models", ())):
        problems += _problem(("models", place), trained_model, model)
    if "training" not in parameters:
        known = _problem(("model",), MODELS.find, parameters["model"]) if "model" in parameters else []
        return problems + known + _setting_problems(parameters, ("features", "text"))
    wrong = _problem(("model",), trained_model, parameters.get("model"))
    return problems + (wrong or _setting_problems(parameters, ("features", "text", "network", "training")))


def _problem(path: tuple[str | int, ...], check: Callable[..., Any], *values: Any) -> list[Problem]:
    """The ValueError of `check(*values)`, as the problem of `path`; none where it raises none."""
    try:
        check(*values)
    except ValueError as error:
        return [Problem(path, str(error))]
    return []


def _setting_problems(parameters: Mapping[str, Any], kinds: tuple[str, ...]) -> list[Problem]:
    """What is wrong with the settings in `parameters`, whose types are right, with each change that it may have."""
    problems: list[Problem] = []
    change, changes = parameters.get("change"), parameters.get("changes") or {}
    if change is not None and change not in changes:
        problems.append(Problem(("change",), f"no change '{change}' among the changes{did_you_mean(change, changes)}"))
    changed = changes.get(change, {})
    for kind in changed:
        if kind not in CHANGED:
            text = f"change '{change}' is of {kind}; expected text, network or training"
            problems.append(Problem(("changes", str(change), kind), text))
    built: dict[str, Any] = {}
    for kind in kinds:
        base = _papers(parameters["model"]) if kind == "training" else None
        built[kind], wrong = try_build(SETTINGS[kind], _with_choices(parameters, kind), base)
        for problem in wrong:
            if problem.path and problem.path[0] in changed.get(kind, {}):
                problems.append(problem.within("changes", str(change), kind))
            elif kind == "text" and problem.path and problem.path[0] in CONDITION and problem.path[0] in parameters:
                problems.append(problem)
            else:
                problems.append(problem.within(kind))
    if built.get("network") is not None:
        problems += _problem(("network",), check_network, parameters["model"], built["network"])
    if built.get("training") is not None:
        target = [parameters["target"]] if parameters.get("target") else []
        problems += _problem(("training",), check_training, parameters["model"], built["training"], target)
    if built.get("text") is not None:
        for place, values in enumerate(parameters.get("tested", ())):
            wrong = try_build(TextSettings, values, built["text"])[1]
            problems += [problem.within("tested", place) for problem in wrong]
    return problems


def option_problems(function: Callable[..., Any], options: Mapping[str, Any], given: str) -> list[Problem]:
    """What is wrong with `options` of `function`, by the types that its signature gives them.

    `given` is what the function is called in errors. The first parameter, and what has no type, is not checked.
    """
    known = dict(list(inspect.signature(function, eval_str=True).parameters.items())[1:])
    problems = []
    for name, value in options.items():
        if name not in known:
            problems.append(Problem((name,), f"{given} has no option '{name}'{did_you_mean(str(name), known)}"))
        elif known[name].annotation is not inspect.Parameter.empty and not isinstance(value, Path):
            kind = {str | Path: str, str | Path | None: str | None}.get(known[name].annotation, known[name].annotation)
            try:
                TypeAdapter(kind, config=OPTION).validate_python(value)
            except ValidationError as error:
                problems += [problem.within(name) for problem in problems_of(error)]
    return problems


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
