"""One frozen record for each model, metric, section and corpus: all that the rest of the code asks about one.

To add one is one new file (the network, the reader, ...) and one record here. `MODELS.add(ModelSpec(...))` does it for
one Python session, as in tests/test_registry.py, whose tests/toy_parts.py holds the smallest model, metric and reader
that work; the `sercore` command knows only what stands here. Nothing here imports torch: what is built from torch is
named as "module:attribute" and imported when it is needed, so that the analysis reads labels and colours without
it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Generic, Literal, Protocol, TypeVar

import numpy as np

from sercore import metrics
from sercore.schema import DIMENSIONS, EMOTION, did_you_mean


class Named(Protocol):
    """A record with a name."""

    @property
    def name(self) -> str:
        """What parameters files and tables call it."""


Spec = TypeVar("Spec", bound=Named)


class Registry(Generic[Spec], Mapping[str, Spec]):
    """Name -> record, in the order of rows and legends."""

    def __init__(self, kind: str, *specs: Spec) -> None:
        """`kind` is what errors call a record: "model"."""
        self.kind = kind
        self._specs: dict[str, Spec] = {}
        for spec in specs:
            self.add(spec)

    def add(self, spec: Spec) -> Spec:
        """Register `spec` behind the others. Raises ValueError where the name is taken."""
        if spec.name in self._specs:
            raise ValueError(f"there is a {self.kind} '{spec.name}' already; choose another name")
        self._specs[spec.name] = spec
        return spec

    def remove(self, name: str) -> None:
        """Remove the record `name`, as a test does that has added one."""
        del self._specs[name]

    def find(self, name: str) -> Spec:
        """The record `name`. Raises ValueError, with the nearest known name, where there is none."""
        if name not in self._specs:
            raise ValueError(f"unknown {self.kind} '{name}'{did_you_mean(str(name), self._specs)}")
        return self._specs[name]

    def label(self, name: str) -> str:
        """What `name` is called in print; a name without a record is its own label."""
        return str(getattr(self._specs.get(name), "label", "") or name)

    def position(self, name: str) -> int:
        """The place of `name` in the order of rows and legends; names without a record come last."""
        return list(self._specs).index(name) if name in self._specs else len(self._specs)

    def __getitem__(self, name: str) -> Spec:
        return self._specs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)


def load(reference: str) -> Any:
    """What "module:attribute" names, imported. Raises ImportError or AttributeError where it is not there."""
    module, _, attribute = reference.partition(":")
    return getattr(import_module(module), attribute)


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A model: how it is built, what it takes, and how it looks in tables and figures.

    `build`, `arguments` and `dataset` are "module:attribute" of

    - build: the network's class, called with its arguments and a `generator` of the initial weights
    - arguments(experiment, source) -> those arguments: a mapping that JSON can hold, kept in the checkpoint
    - dataset: a class of datasets.batches with `from_source(source, utterances, target)`

    A model that is made from the predictions of others (`made_from`) has none of them.
    """

    name: str
    label: str
    colour: str  # of Okabe and Ito's palette, which colour-blind readers can distinguish
    dash: Literal["-", "--", "-.", ":"]  # of its lines, beside the colour
    summary: str  # what it is, in a model card
    uses_text: bool
    uses_audio: bool
    kind: str = ""  # of network, as a checkpoint names it: models of one kind have one class
    build: str = ""
    arguments: str = ""
    dataset: str = ""
    features: Literal["log_mel", "waveform", "tokens"] | None = None  # what the cache holds for it
    text_stages: tuple[int, ...] = ()  # blocks of CNN14 that the text conditions (section 3)
    trained_as: Literal["cnn14", "fine-tuning"] = "fine-tuning"  # the paper's training settings for it (section 4.2)
    made_from: tuple[str, ...] = ()  # late fusion: the models whose predictions are averaged
    in_paper: bool = True

    @property
    def trained(self) -> bool:
        """Whether a run trains it; late fusion is computed from the predictions of others."""
        return not self.made_from

    @property
    def consists_of(self) -> tuple[str, ...]:
        """The trained models behind it: itself, or those whose predictions it averages."""
        return self.made_from or (self.name,)

    @property
    def fuses(self) -> bool:
        """Whether it takes both sound and text."""
        return self.uses_text and self.uses_audio


_CNN14: dict[str, Any] = {
    "uses_audio": True,
    "kind": "cnn14",
    "build": "sercore.models.cnn14:Cnn14",
    "arguments": "sercore.models.cnn14:arguments",
    "dataset": "sercore.datasets.batches:SpeechDataset",
    "features": "log_mel",
    "trained_as": "cnn14",
}
_SPEECH: dict[str, Any] = {
    "uses_text": False,
    "uses_audio": True,
    "summary": "encoder of the waveform and a linear layer; not the paper's, by its protocol",
    "kind": "speech",
    "build": "sercore.models.speech:SpeechModel",
    "arguments": "sercore.models.speech:arguments",
    "dataset": "sercore.datasets.batches:WaveformDataset",
    "features": "waveform",
    "in_paper": False,
}
MODELS: Registry[ModelSpec] = Registry(
    "model",
    ModelSpec(
        name="bert",
        label="BERT",
        colour="#E69F00",
        dash="--",
        summary="a fine-tuned text encoder; it reads the transcript and takes no audio",
        uses_text=True,
        uses_audio=False,
        kind="text",
        build="sercore.models.text:TextModel",
        arguments="sercore.models.text:arguments",
        dataset="sercore.datasets.batches:TextDataset",
        features="tokens",
    ),
    ModelSpec(
        name="cnn14",
        label="CNN14",
        colour="#0072B2",
        dash="-.",
        summary="CNN14 on log-Mel spectrograms",
        uses_text=False,
        **_CNN14,
    ),
    ModelSpec(
        name="lf",
        label="LF",
        colour="#999999",
        dash=":",
        summary="late fusion: the mean of the predictions of BERT and CNN14",
        uses_text=True,
        uses_audio=True,
        made_from=("bert", "cnn14"),
    ),
    ModelSpec(
        name="sfcnn14",
        label="SFCNN14",
        colour="#009E73",
        dash="-",
        summary="CNN14 on log-Mel spectrograms, its last block shifted by a projection of a text embedding",
        uses_text=True,
        text_stages=(6,),
        **_CNN14,
    ),
    ModelSpec(
        name="mfcnn14",
        label="MFCNN14",
        colour="#CC79A7",
        dash="-",
        summary="CNN14 on log-Mel spectrograms, all six blocks shifted by projections of a text embedding",
        uses_text=True,
        text_stages=(1, 2, 3, 4, 5, 6),
        **_CNN14,
    ),
    ModelSpec(name="wav2vec2", label="wav2vec 2.0", colour="#D55E00", dash="--", **_SPEECH),
    ModelSpec(name="hubert", label="HuBERT", colour="#56B4E9", dash="-.", **_SPEECH),
    ModelSpec(name="wavlm", label="WavLM", colour="#000000", dash=":", **_SPEECH),
)
"""Every model of the study, in the order of rows and legends."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A measure of predictions against truth, and how its values are printed and judged.

    `function` takes (truth, prediction), a metric of categories (truth, prediction, labels). Printed values are `scale`
    times the function's. The bootstrap adds up sums of utterances instead of resampling them, so it needs the same
    number from these sums: `of_moments` of `metrics.Moments`, or, for a metric of categories, `of_counts` of
    `metrics.ClassSums`, over the classes that occur. A metric that has neither gets no interval over speakers.

    The first metric that is reported for a kind of target is its main one: it chooses the best seed.
    Which difference matters, its margin, is a line of parameters/preregistration.yaml.
    """

    name: str
    label: str  # in prose and table heads
    axis: str  # of a figure's axis, with the unit
    function: Callable[..., float]
    of_moments: Callable[[metrics.Moments], np.ndarray] | None = None
    of_counts: Callable[[metrics.ClassSums], np.ndarray] | None = None
    unit: str = ""
    scale: float = 1.0
    digits: int = 3
    leading_zero: bool = True  # 0.449 rather than .449, which is for what cannot exceed 1
    categorical: bool = False
    in_domain: bool = True  # whether it is reported within a corpus
    cross_corpus: bool = False  # whether it is reported between corpora, whose scales differ (section 4.2)
    higher_is_better: bool = True
    drawn: bool = True  # whether figures of scores have a panel of it
    compared: bool = True  # whether models are compared by it; the paper prints the MSE of single models only (Table 4)

    @property
    def resampled(self) -> bool:
        """Whether it can be computed from sums, and so has an interval over speakers."""
        return self.of_moments is not None or self.of_counts is not None


_F1: dict[str, Any] = {
    "unit": "%",
    "scale": 100,
    "digits": 1,
    "categorical": True,
    "cross_corpus": True,
    "drawn": False,
    "compared": False,
}  # of challenges with many, rare classes; the paper does not report it
METRICS: Registry[Metric] = Registry(
    "metric",
    Metric(
        name="uar",
        label="UAR",
        axis="UAR (%)",
        function=metrics.unweighted_average_recall,
        of_counts=metrics.recall_of,
        unit="%",
        scale=100,
        digits=1,
        categorical=True,
        cross_corpus=True,
    ),
    Metric(
        name="macro_f1",
        label="macro-F1",
        axis="macro-F1 (%)",
        function=metrics.macro_f1,
        of_counts=metrics.macro_f1_of,
        **_F1,
    ),
    Metric(
        name="weighted_f1",
        label="weighted F1",
        axis="weighted F1 (%)",
        function=metrics.weighted_f1,
        of_counts=metrics.weighted_f1_of,
        **_F1,
    ),
    Metric(
        name="ccc",
        label="CCC",
        axis="CCC",
        function=metrics.concordance_correlation,
        of_moments=metrics.concordance_of,
        leading_zero=False,
    ),
    Metric(
        name="pcc",
        label="PCC",
        axis="PCC",
        function=metrics.pearson_correlation,
        of_moments=metrics.pearson_of,
        leading_zero=False,
        in_domain=False,
        cross_corpus=True,
    ),
    Metric(
        name="mse",
        label="MSE",
        axis="MSE",
        function=metrics.mean_squared_error,
        of_moments=metrics.squared_error_of,
        higher_is_better=False,
        drawn=False,
        compared=False,
    ),
)
"""The paper's measures (section 4.2), and those of challenges, in the order of tables."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section of the study that trains models: what for, on which targets, and by what the best epoch is chosen.

    `objective` is a name of `losses.OBJECTIVES`. No `targets` means that each run has one dimension of its own, its
    parameter `target`. Parameters files have a block of this name under `sections`, with the section's notebook, which
    calls `experiment.define(name, ...)`.
    """

    name: str
    objective: str
    targets: tuple[str, ...]
    selected_by: str  # what is highest at the best epoch, in words
    paper: str  # section of the paper

    @property
    def single_task(self) -> bool:
        """Whether every target has a model of its own."""
        return not self.targets


SECTIONS: Registry[Section] = Registry(
    "section",
    Section(name="categories", objective="categories", targets=(EMOTION,), selected_by="UAR", paper="5"),
    Section(name="dimensions", objective="mse", targets=(), selected_by="CCC of its dimension", paper="6.1"),
    Section(
        name="multitask",
        objective="ccc",
        targets=DIMENSIONS,
        selected_by="mean CCC of the three dimensions",
        paper="6.2",
    ),
)


@dataclass(frozen=True, kw_only=True)
class CorpusSpec:
    """A kind of corpus: how it is read, what it is called, and what is published about it.

    `reader` is "module:attribute" of read(root, **options) -> Corpus. It makes a table with schema.UTTERANCE_COLUMNS
    (those that the corpus does not have may be left out) and gives it to corpora.corpus.assemble, which checks it; its
    options are what a parameters file may say of the corpus.
    """

    name: str
    reader: str
    label: str = ""
    licence: str = ""
    domain: str = ""  # what speech it is of, as in "It was trained on <domain>."
    scale: tuple[float, float] | None = None  # of its ratings (low, high); None: the Corpus that is read has it
    published_counts: str = ""  # "module:attribute" of counts(corpus) -> list of corpora.summary.Count
    utterances: int | None = None  # of the release, where it is not at hand
    seconds: float | None = None  # mean duration of an utterance [s], likewise
    folds: int | None = None  # trainings of a run that names no folds, see corpora.splits.default_splits
    in_paper: bool = False


CORPORA: Registry[CorpusSpec] = Registry(
    "corpus",
    CorpusSpec(
        name="msp-podcast",
        reader="sercore.corpora.msp_podcast:read",
        label="MSP-Podcast",
        licence="MSP-Podcast is licensed by the University of Texas at Dallas, by agreement with an institution",
        domain="English podcasts",
        scale=(1, 7),
        published_counts="sercore.corpora.summary:msp_podcast_counts",
        utterances=58_619,
        seconds=5.8,
        folds=1,
        in_paper=True,
    ),
    CorpusSpec(
        name="iemocap",
        reader="sercore.corpora.iemocap:read",
        label="IEMOCAP",
        licence="IEMOCAP is licensed by the University of Southern California (SAIL) for research",
        domain="ten actors of one place, in English",
        scale=(1, 5),
        published_counts="sercore.corpora.summary:iemocap_counts",
        utterances=10_039,
        seconds=4.5,
        folds=10,
        in_paper=True,
    ),
    CorpusSpec(name="table", reader="sercore.corpora.table:read"),
    CorpusSpec(name="audformat", reader="sercore.corpora.audformat:read"),
    CorpusSpec(name="archived", reader="sercore.corpora.archived:read"),
)
"""Every kind of corpus, those of the paper in the order of its columns."""
