"""What runs cost: measured where runs like them are complete, else from the work that their settings ask for.

Without any measurement the seconds are those of a small processor and only their ratios mean something; whatever a
study has measured scales them.
"""

import json
import statistics
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from sercore import files, settings
from sercore.settings import FeatureSettings, NetworkSettings, TextSettings
from sercore.study.config import Run, Study

Key = tuple[str, str]
"""Of a run: its section and its name."""
FRAMES_PER_SECOND, MELS, WIDTH = 100, 64, 64
CNN14_FLOP = 3.99e9  # forward, of a second of audio at 100 frames/s, 64 mels, width 64; a multiply-add is 2
SPEECH_FLOP = 13.4e9  # forward, of a second of audio, an encoder of base size: its convolutions take a third of it
ENCODER_FLOP = {"bert-base-uncased": 170e6, "all-minilm-l6-v2": 21e6}  # forward, of a token: 2 x the layers' weights
TOKENS_PER_SECOND = 4  # of speech
FOLDS = {"iemocap": 10, "msp-podcast": 1}  # speakers that are left out in turn; an official split
TRAINED = {"official": 0.65, "left out": 0.8}  # share of a corpus that is trained on
DEVELOPMENT = {"official": 0.13, "left out": 0.1}  # share that is predicted after every epoch
TRAINING = 3  # passes forward that a training step costs
FLOP_PER_SECOND = 100e9  # of two cores: a guess that the first measurement replaces
START = 6.0  # seconds until a notebook trains: the kernel and its imports
READING = 8.0  # seconds of a run that trains nothing, its start included


class Extent(NamedTuple):
    """How much there is of a corpus."""

    utterances: int
    seconds: float  # of an utterance, mean


RELEASES = {"iemocap": Extent(10_039, 4.5), "msp-podcast": Extent(58_619, 5.8)}  # analysis.published, corpora.summary
UNKNOWN = Extent(1_000, 5.0)
SAMPLED = 100  # files whose size tells the mean duration
BYTES_PER_SECOND = 32_000  # of 16 bits at 16 kHz, which both releases have


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a run is to do: how often it trains, on what, and the arithmetic of one utterance."""

    trainings: int
    epochs: int
    utterances: float  # that an epoch of one training passes: those trained on, and a third of those predicted
    flop: float  # of a training step, an utterance

    @property
    def passed(self) -> float:
        """Utterances that the run trains on, over all epochs and trainings."""
        return self.trainings * self.epochs * self.utterances


def expected(study: Study) -> dict[Key, float]:
    """(section, name) -> expected seconds of each run of `study`, from a notebook's start to its result.

    The work that the settings ask for, times the median ratio of measured seconds to work over those complete runs
    that are most like it: equal but for the seed, then of the same section, model and corpus, of the same model and
    corpus, of the same model, any. A run that is complete keeps its own measurement.
    """
    found = {run.key: measured(run) for run in study.runs}
    corpora, folds = extents(study), fold_counts(study)
    prior = {run.key: _prior(run, corpora, folds) for run in study.runs}
    ratios: dict[Hashable, list[float]] = {}
    for run in study.runs:
        key = run.key
        if found[key] is not None:
            for like in _alike(run):
                ratios.setdefault(like, []).append(found[key] / prior[key])
    seconds = {}
    for run in study.runs:
        key = run.key
        near = next((ratios[like] for like in _alike(run) if like in ratios), [1.0])
        seconds[key] = prior[key] * statistics.median(near) if found[key] is None else found[key]
    return seconds


def measured(run: Run) -> float | None:
    """Seconds that the complete `run` took; None where it is not complete or nothing tells.

    Of a run that was interrupted and went on it is the time of its training alone, because what the executions
    before it lost is no part of its cost.
    """
    if not run.complete:
        return None
    past = executions(run)
    if len(past) == 1:
        return float(past[0]["seconds"])
    history = run.folder / files.HISTORY
    if history.exists():
        trained = pd.read_csv(history)
        if "seconds" in trained:
            return START + float(trained["seconds"].sum())
    ended = [float(one["seconds"]) for one in past if one["outcome"] == "complete"]
    return ended[-1] if ended else None


def executions(run: Run) -> list[dict[str, Any]]:
    """What is recorded of every execution that `run` has had, in their order; none where none is recorded."""
    return _read(run.folder / files.EXECUTIONS).get("executions", [])


def work(run: Run, corpora: Mapping[str, Extent], folds: Mapping[str, int]) -> Work | None:
    """What `run` is to do, by its parameters; None for a run that only reads the results of others.

    `corpora` is what there is of each and `folds` how often each is trained on, see `extents` and `fold_counts`.
    """
    if run.needs:
        return None
    asked = run.parameters
    corpus, model = str(asked.get("corpus", "")), asked.get("model")
    named = len(asked.get("folds") or ())
    trainings = 1 if folds.get(corpus) == 1 else named or folds.get(corpus, 1)
    split = "left out" if folds.get(corpus, named) > 1 else "official"
    passes = TRAINED[split] + DEVELOPMENT[split] / TRAINING
    extent = corpora.get(corpus, UNKNOWN)
    course = asked.get("training") or {}
    base = settings.training(model, {}) if model in settings.TRAINED_MODELS else settings.TrainingSettings()
    return Work(
        trainings=trainings,
        epochs=int(course.get("epochs", base.epochs)),
        utterances=passes * extent.utterances,
        flop=TRAINING * _forward(asked, extent.seconds),
    )


def encoder_flop(encoder: str) -> float:
    """FLOP of a text encoder on a token, passed forward once; an unknown one counts as BERT's base size."""
    return ENCODER_FLOP.get(encoder, ENCODER_FLOP["bert-base-uncased"])


def _forward(asked: Mapping[str, Any], seconds: float) -> float:
    """FLOP of one utterance of `seconds`, passed forward once."""
    if asked.get("model") == settings.TEXT_MODEL:
        encoder = (asked.get("text") or {}).get("encoder", TextSettings.encoder)
        return encoder_flop(encoder) * TOKENS_PER_SECOND * seconds
    if asked.get("model") in settings.SPEECH_MODELS:
        return SPEECH_FLOP * min((asked.get("training") or {}).get("crop_seconds") or seconds, seconds)
    sound, network = asked.get("features") or {}, asked.get("network") or {}
    rate = sound.get("sample_rate", FeatureSettings.sample_rate) / sound.get("hop", FeatureSettings.hop)
    width, mels = network.get("width", NetworkSettings.width), sound.get("mels", FeatureSettings.mels)
    crop = (asked.get("training") or {}).get("crop_seconds") or seconds
    return CNN14_FLOP * min(crop, seconds) * (width / WIDTH) ** 2 * (mels / MELS) * (rate / FRAMES_PER_SECOND)


def planned(study: Study, rates: Mapping[str, float]) -> dict[Key, float]:
    """(section, name) -> seconds of each run of `study` on a machine that trains `rates` utterances a second.

    `rates`: model -> rate; the one under "" is that of a model without one. What has been measured is not looked at.
    """
    corpora, folds = extents(study), fold_counts(study)
    seconds = {}
    for run in study.runs:
        asked = work(run, corpora, folds)
        rate = rates.get(str(run.parameters.get("model")), rates[""])
        seconds[run.key] = READING if asked is None else START + asked.passed / rate
    return seconds


def extents(study: Study) -> dict[str, Extent]:
    """Corpus -> how much there is of it: in its folder, with the count that a complete run recorded, else published."""
    found = {name: _extent(name, str(values["root"])) for name, values in study.corpora.items()}
    for record in _provenance(study):
        for name, told in record.get("corpora", {}).items():
            if name in found:
                found[name] = found[name]._replace(utterances=int(told["utterances"]))
    return found


@cache
def _extent(name: str, root: str) -> Extent:
    """What lies below the root of a corpus, its mean duration by the sizes of some of its files."""
    sounds = sorted(Path(root).rglob("*.wav"))
    if not sounds:
        return RELEASES.get(name, UNKNOWN)
    some = sounds[:: max(1, len(sounds) // SAMPLED)]
    return Extent(len(sounds), statistics.fmean(path.stat().st_size for path in some) / BYTES_PER_SECOND)


def fold_counts(study: Study) -> dict[str, int]:
    """Corpus -> how often a run that names no folds trains on it: 1 with an official split, else once a speaker.

    Of IEMOCAP and MSP-Podcast it is known, of another corpus where a complete run tells.
    """
    counts = dict(FOLDS)
    for run in study.runs:
        corpus = run.parameters.get("corpus")
        if corpus not in counts and run.complete:
            trained = list(_read(run.folder / files.PROVENANCE).get("folds", {}))
            if trained == ["official"] or (trained and not run.parameters.get("folds")):
                counts[corpus] = len(trained)
    return counts


def _provenance(study: Study) -> Iterator[dict[str, Any]]:
    """What was recorded by one complete run a section and corpus: others of these say the same."""
    told = set()
    for run in study.runs:
        kind = (run.section, run.parameters.get("corpus"))
        if kind not in told and run.complete and (run.folder / files.PROVENANCE).exists():
            told.add(kind)
            yield _read(run.folder / files.PROVENANCE)


def _prior(run: Run, corpora: Mapping[str, Extent], folds: Mapping[str, int]) -> float:
    """Seconds of `run` on a small processor, by the work that it asks for."""
    asked = work(run, corpora, folds)
    return READING if asked is None else START + asked.passed * asked.flop / FLOP_PER_SECOND


def _alike(run: Run) -> list[Hashable]:
    """Keys of the groups of runs that `run` belongs to, the most similar first."""
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


def _read(path: Path) -> dict[str, Any]:
    """The content of the JSON file `path`; empty where there is none, or one that another program broke."""
    try:
        return files.read_json(path)
    except (OSError, ValueError):
        return {}
