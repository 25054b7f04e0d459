"""What runs cost: the measured seconds of similar runs, else their utterances and epochs at an assumed rate."""

import json
import statistics
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from sercore import files, settings
from sercore.registry import CORPORA, MODELS
from sercore.study.config import Run, Study

Key = tuple[str, str]
"""Of a run: its section and its name."""
MEASURED: dict[str, Any] = {
    "device": "NVIDIA H200",
    "width": 64,
    "encoder": "bert-base-uncased",
    "utterances_per_second": {"cnn14": {"ours": 1_374.0}, "mfcnn14": {"ours": 1_353.0}, "bert": {"ours": 595.0}},
}
"""What `make bench-gpu` gave of training as the paper trains: batches of 32 whole utterances of 5.8 s, in bfloat16."""
ASSUMED_RATE = 1_353.0  # utterances/s of training on a GPU, for a model of which nothing is known: MFCNN14's above
START = 6.0  # seconds until a notebook trains: the kernel and its imports
READING = 8.0  # seconds of a run that trains nothing, its start included
TRAINED = {"official": 0.65, "left out": 0.8}  # share of a corpus that is trained on
DEVELOPMENT = {"official": 0.13, "left out": 0.1}  # share that is predicted after every epoch
TRAINING = 3  # forward passes that a training step costs
SAMPLED = 100  # files whose size gives the mean duration
BYTES_PER_SECOND = 32_000  # of 16 bits at 16 kHz, which both releases have


class Extent(NamedTuple):
    """The size of a corpus."""

    utterances: int
    seconds: float  # of an utterance, mean


UNKNOWN = Extent(1_000, 5.0)


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a run has to do: how often it trains, for how many epochs, and on how much."""

    trainings: int
    epochs: int
    utterances: float  # per epoch of one training: those trained on, and a third of those predicted

    @property
    def passed(self) -> float:
        """Utterances over all epochs and trainings."""
        return self.trainings * self.epochs * self.utterances


def expected(study: Study) -> dict[Key, float]:
    """The expected seconds of each run of `study`, from the start of its notebook to its result.

    A complete run keeps its own measurement. Another run takes its work, see `Work.passed`, times the median seconds
    per work of those complete runs that are most like it: equal but for the seed, then of the same section, model and
    corpus, of the same model and corpus, of the same model, any. Where nothing has been measured the rate is
    ASSUMED_RATE.

    Returns: (section, name) -> seconds.
    """
    known = {run.key: measured(run) for run in study.runs}
    amounts = {key: work.passed if work else 1.0 for key, work in works(study).items()}
    ratios: dict[Hashable, list[float]] = {}
    for run in study.runs:
        took = known[run.key]
        if took is not None:
            for group in _groups(run):
                ratios.setdefault(group, []).append(took / amounts[run.key])
    seconds = planned(study, {})
    for run in study.runs:
        took = known[run.key]
        if took is not None:
            seconds[run.key] = took
        else:
            nearest = next((ratios[group] for group in _groups(run) if group in ratios), None)
            if nearest:
                seconds[run.key] = statistics.median(nearest) * amounts[run.key]
    return seconds


def planned(study: Study, rates: Mapping[str, float]) -> dict[Key, float]:
    """The seconds of each run of `study` on a machine that trains at `rates`, whatever has been measured here.

    Args:
        study: with the defaults of its notebooks, see `progress.with_defaults`.
        rates: model -> utterances/s of training; ASSUMED_RATE for a model that is not among them.

    Returns: (section, name) -> seconds.
    """
    rate = {run.key: rates.get(str(run.parameters.get("model")), ASSUMED_RATE) for run in study.runs}
    return {key: START + work.passed / rate[key] if work else READING for key, work in works(study).items()}


def works(study: Study) -> dict[Key, Work | None]:
    """(section, name) -> what the run has to do; None for a run that only reads the results of others."""
    corpora, folds = extents(study), fold_counts(study)
    return {run.key: None if run.needs else _work(run, corpora, folds) for run in study.runs}


def _work(run: Run, corpora: Mapping[str, Extent], folds: Mapping[str, int]) -> Work:
    """What `run` has to do, with the corpora of `extents` and the trainings of `fold_counts`."""
    corpus, model = str(run.parameters.get("corpus", "")), str(run.parameters.get("model"))
    named = len(run.parameters.get("folds") or ())
    trainings = 1 if folds.get(corpus) == 1 else named or folds.get(corpus, 1)
    split = "left out" if folds.get(corpus, named) > 1 else "official"
    trained = model in MODELS and MODELS[model].trained
    base = settings.training(model, {}) if trained else settings.TrainingSettings()
    asked = settings.values_of(run.parameters, "training")
    share = TRAINED[split] * float(asked.get("data_share", base.data_share)) + DEVELOPMENT[split] / TRAINING
    return Work(
        trainings=trainings,
        epochs=int(asked.get("epochs", base.epochs)),
        utterances=share * corpora.get(corpus, UNKNOWN).utterances,
    )


def measured(run: Run) -> float | None:
    """Seconds that the complete `run` took; None where it is not complete or its time was not recorded.

    For a run that was interrupted and resumed it is the time of its training: what the earlier executions lost is no
    part of its cost.
    """
    if not run.complete:
        return None
    past = executions(run)
    if len(past) == 1:
        return float(past[0]["seconds"])
    trained = files.find_history(run.folder / files.HISTORY)
    if trained is not None and "seconds" in trained:
        return START + float(trained["seconds"].sum())
    ended = [float(one["seconds"]) for one in past if one["outcome"] == "complete"]
    return ended[-1] if ended else None


def executions(run: Run) -> list[dict[str, Any]]:
    """The record of every execution of `run`, in their order."""
    return files.find_entries(run.folder / files.EXECUTIONS, "executions", seconds=float | int, outcome=str)


def extents(study: Study) -> dict[str, Extent]:
    """Corpus -> its size: that of its folder, with the count that a complete run recorded, else the published one."""
    sizes = {
        name: _extent(str(values.get("reader", name)), str(values["root"])) for name, values in study.corpora.items()
    }
    for record in _provenance(study):
        for name, corpus in record.get("corpora", {}).items():
            if name in sizes:
                sizes[name] = sizes[name]._replace(utterances=int(corpus["utterances"]))
    return sizes


@cache
def _extent(reader: str, root: str) -> Extent:
    """The size of the corpus in `root`, its mean duration by the sizes of some of its files."""
    sounds = sorted(Path(root).rglob("*.wav"))
    if not sounds:
        spec = CORPORA.get(reader)
        if spec is None or spec.utterances is None or spec.seconds is None:
            return UNKNOWN
        return Extent(spec.utterances, spec.seconds)
    some = sounds[:: max(1, len(sounds) // SAMPLED)]
    return Extent(len(sounds), statistics.fmean(path.stat().st_size for path in some) / BYTES_PER_SECOND)


def fold_counts(study: Study) -> dict[str, int]:
    """Corpus -> how often a run that names no folds trains on it: 1 with an official split, else once per speaker.

    The registry has it for published corpora; for another corpus a complete run has recorded it.
    """
    counts = {name: spec.folds for name, spec in CORPORA.items() if spec.folds is not None}
    for run in study.runs:
        corpus = str(run.parameters.get("corpus"))
        if corpus not in counts and run.complete:
            trained = list((files.find_json(run.folder / files.PROVENANCE) or {}).get("folds", {}))
            if trained == ["official"] or (trained and not run.parameters.get("folds")):
                counts[corpus] = len(trained)
    return counts


def _provenance(study: Study) -> Iterator[dict[str, Any]]:
    """The provenance of one complete run for each section and corpus; the others record the same corpora."""
    kinds = set()
    for run in study.runs:
        kind = (run.section, run.parameters.get("corpus"))
        if kind not in kinds and run.complete and (run.folder / files.PROVENANCE).exists():
            kinds.add(kind)
            yield files.find_json(run.folder / files.PROVENANCE) or {}


def _groups(run: Run) -> list[Hashable]:
    """Keys of the groups of similar runs that `run` belongs to, the most similar group first."""
    same = json.dumps({k: v for k, v in run.parameters.items() if k != "seed"}, sort_keys=True, default=str)
    model, corpus = run.parameters.get("model"), run.parameters.get("corpus")
    kind = "trains" if not run.needs else "reads"
    return [
        (kind, run.section, str(run.notebook), same),
        (kind, run.section, str(run.notebook), model, corpus),
        (kind, str(run.notebook), model, corpus),
        (kind, model, corpus),
        (kind, model),
        (kind,),
    ]
