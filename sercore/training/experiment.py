"""One run of the study: a model trained on one corpus with one seed, evaluated there and on the other corpora.

The notebooks of sections 5 and 6 are made of these calls, in this order: `define`, `load`, for each split `fit`,
then `finish`; `train` fits all splits, and `run` also finishes. A fold that is complete is not trained again, and one
that was interrupted goes on at the last epoch that was saved.

The run's provenance.json records what it was made from, and each session, which is an execution of it.

| key | what it holds |
|---|---|
| `commit`, `dirty`, `source` | the checkout, whether files differed from it, a digest of the package's code |
| `python`, `platform`, `versions` | the software |
| `parameters`, `settings` | the notebook's parameters, and all settings that follow from them with the defaults |
| `not_confirmed_by_the_paper` | those that hold a value of the paper that its text does not confirm |
| `recipe` | where one was asked for: its name, the `size` that it went by, and by kind the settings that it `chose` |
| `corpora` | of each: size, scale, `fingerprint` (see corpora.Corpus), keys of its cached features |
| `sessions` | of each: when it started, commit, device, processor, threads, `seconds` |
| `folds` | of each: `device`, `seconds`, `utterances`, `sessions` (`from` which epoch, on what), mean gate `openings` |
| `seconds` | the sum of the seconds of all sessions and folds |

The provenance of a fold, in its own folder, also has its `identity`: all that its numbers follow from.

All `seconds` are by stage. `loading`: corpora and features for a session, the datasets and the model for a fold.
`training`: the epochs, each with its score on the development set. `evaluation`: the predictions of the best model.
`saving`: the states that an interrupted training goes on from. What a killed session had not yet saved is in none.
A run that is not complete has no `folds` and no `seconds` yet; its sessions are there from when its data are loaded.
"""

import logging
import platform
import shutil
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from sercore import corpora, files, losses, registry, schema, settings
from sercore.corpora import audit, splits
from sercore.corpora.corpus import located
from sercore.datasets import sounds
from sercore.datasets.batches import Dataset
from sercore.datasets.source import BY_HAND, CACHE, CATEGORIES, EMBEDDED_CORPORA, Source, read, with_targets
from sercore.features import audio, cache
from sercore.features.packed import Frames
from sercore.models import checkpoint, published
from sercore.models.cnn14 import Cnn14
from sercore.settings import FeatureSettings, NetworkSettings, TextSettings, TrainingSettings
from sercore.training import baseline, loop, resume

UNKNOWN = 0.1  # share of training utterances without a speaker, from which nothing is done by speaker
VOTES = "votes"  # the objective of losses.OBJECTIVES whose target is the raters' votes
IDENTITY = "identity"  # in a fold's provenance: what its numbers follow from
log = logging.getLogger(__name__)
SESSION = ("started", "commit", "source", "device", "processor", "threads", "seconds")


def begin_session(folder: Path, origin: Mapping[str, Any], loading: float) -> None:
    """Record in the provenance of the run in `folder` what it is made from, and a session that loaded for some seconds.

    Earlier sessions of the same parameters stay. Of a run that is complete nothing is written, unless that is damaged.
    """
    earlier, path, result = _recorded(folder), folder / files.PROVENANCE, folder / files.PREDICTIONS
    lost = not earlier and (path.exists() or files.aside_of(path).exists())
    if result.exists() and not files.damage(result) and not lost:
        return
    device = loop.pick_device()
    content = files.provenance(**origin)
    session = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": str(device),
        "processor": _processor(device),
        "threads": torch.get_num_threads(),
        "seconds": {"loading": loading},
        **content,
    }
    before = earlier.get("sessions", []) if earlier.get("parameters") == origin["parameters"] else []
    files.write_record(
        folder / files.PROVENANCE, {**content, "sessions": [*before, {key: session[key] for key in SESSION}]}
    )


def end_session(folder: Path, origin: Mapping[str, Any], folds: Mapping[str, Mapping[str, Any]]) -> None:
    """Complete the provenance of the run in `folder`: its folds, and the seconds of all folds and sessions in all."""
    recorded = _recorded(folder) or {**files.provenance(), "sessions": []}
    total: Counter[str] = Counter()
    for part in (*recorded.get("sessions", []), *folds.values()):
        total.update(part["seconds"])
    files.write_record(folder / files.PROVENANCE, {**recorded, **origin, "seconds": dict(total), "folds": dict(folds)})


def _recorded(folder: Path) -> dict[str, Any]:
    return files.find_json(folder / files.PROVENANCE) or {}


def _processor(device: torch.device) -> str:
    """Name of the processor: two of a kind give the same digits."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What the recipe of a run chose, and by what."""

    recipe: str
    size: settings.Size
    choices: dict[str, dict[str, Any]]  # kind of settings -> name -> value

    def record(self) -> dict[str, Any]:
        """As the run's provenance has it."""
        return {"name": self.recipe, "size": self.size._asdict(), "chose": self.choices}


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What a run is: everything that its result depends on but the corpora, and where things lie."""

    section: str
    targets: tuple[str, ...]
    model: str
    corpus: str
    seed: int
    folds: tuple[str, ...]
    allow_speaker_leakage: bool  # of an official split whose partitions share speakers
    classes: dict[str, tuple[str, ...]]
    features: FeatureSettings
    text: TextSettings
    network: NetworkSettings
    training: TrainingSettings
    corpora: dict[str, dict[str, Any]]
    folder: Path
    cache: Path
    chosen: Chosen | None = None
    cross_corpus: bool = True  # whether the other corpora are tested on

    @property
    def outputs(self) -> int:
        """Numbers that the model gives an utterance: one a class, or one a dimension."""
        return len(self.answers)

    @property
    def answers(self) -> tuple[str, ...]:
        """Names of those numbers: the classes, or the dimensions."""
        return tuple(self.classes) if self.targets == CATEGORIES else self.targets

    @property
    def objective(self) -> str:
        """What is minimised, a name of losses.OBJECTIVES: the section's, or what the training settings choose."""
        chosen = self.training.objective
        return registry.SECTIONS[self.section].objective if chosen == "section" else chosen

    @property
    def learns_votes(self) -> bool:
        """Whether the raters' votes are learnt, rather than the label that a release makes of them."""
        return self.objective == VOTES

    @property
    def reads(self) -> bool:
        """Whether the transcripts have an influence: not in a fusion model without stages."""
        return self.spec.uses_text and self.network.stages != ()

    @property
    def has_baseline(self) -> bool:
        """Whether mel statistics are scored beside the model: where the settings say so, or the corpus is one's own."""
        wanted = self.training.mel_statistics
        reader = str(self.corpora[self.corpus].get("reader") or self.corpus)
        return not registry.CORPORA[reader].in_paper if wanted is None else wanted

    @property
    def spec(self) -> registry.ModelSpec:
        """The model's record."""
        return registry.MODELS[self.model]


def define(section: str, **parameters: Any) -> Experiment:
    """The experiment that a notebook's parameters describe, checked; records them in its folder.

    Args:
        section: Name of a section of the registry.
        parameters: The notebook's; without `corpora` the run is on the embedded corpora, without `folder` its results
            are in outputs/by-hand, without `cache` features are cached in outputs/cache. `change` names one of
            `changes`: settings of text, network and training in place of the others.

    Raises:
        ValueError: A section, model, corpus, emotion or setting is unknown (the nearest known name is given), or the
            folder holds a run of other parameters.
    """
    places = {name: parameters.pop(name, None) for name in ("corpora", "folder", "cache")}
    wrong = settings.parameter_problems(parameters)
    if wrong:
        raise ValueError("; ".join(f"{'.'.join(map(str, problem.path))}: {problem.text}" for problem in wrong))
    known = places["corpora"] or EMBEDDED_CORPORA
    targets = registry.SECTIONS.find(section).targets or (parameters["target"],)
    if parameters["corpus"] not in known:
        near = schema.did_you_mean(parameters["corpus"], known)
        raise ValueError(f"no corpus '{parameters['corpus']}' among the corpora{near}")
    grid = ("target", "model", "change", "corpus", "seed")
    name = ",".join(f"{key}={parameters[key]}" for key in grid if key in parameters)
    experiment = Experiment(
        section=section,
        targets=targets,
        model=parameters["model"],
        corpus=parameters["corpus"],
        seed=parameters["seed"],
        folds=tuple(parameters["folds"]),
        allow_speaker_leakage=parameters.get("allow_speaker_leakage", False),
        classes={name: tuple(members) for name, members in parameters.get("classes", schema.FOUR_CLASSES).items()},
        features=settings.of_run(parameters, "features"),
        text=settings.of_run(parameters, "text"),
        network=settings.of_run(parameters, "network"),
        training=settings.of_run(parameters, "training"),
        corpora={key: located(values, f"corpus '{key}'") for key, values in known.items()},
        folder=files.resolve(places["folder"] or f"{BY_HAND}/{section}/{files.folder_name(name)}"),
        cache=files.resolve(places["cache"] or CACHE),
        cross_corpus=parameters.get("cross_corpus", True),
    )
    settings.check_network(experiment.model, experiment.network)
    settings.check_training(experiment.model, experiment.training, experiment.targets)
    if experiment.training.objective != "section" and targets != CATEGORIES:
        raise ValueError(
            f"training: objective is '{experiment.training.objective}', which is of categories; section '{section}' is "
            f"trained for ratings of {', '.join(targets)}: leave it out"
        )
    if experiment.training.recipe is not None:
        experiment = _with_choices(experiment, parameters)
    _record_parameters(experiment.folder, parameters)
    return experiment


def _with_choices(experiment: Experiment, parameters: Mapping[str, Any]) -> Experiment:
    """`experiment` with what its recipe chooses for the size of its corpus, which is read for that."""
    options = dict(experiment.corpora[experiment.corpus])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of corpus and splits: `load` and `folds` give them
        corpus = corpora.read(experiment.corpus, options.pop("root"), **options)
        made = _splits(experiment, with_targets(corpus, experiment.targets, experiment.classes))
    speakers = corpus.utterances.set_index("utterance")["speaker"]
    size = settings.Size(
        utterances=min(len(split.train) for split in made),
        speakers=min(_known(speakers[list(split.train)]) for split in made),
        classes=len(experiment.classes) if experiment.targets == CATEGORIES else 0,
    )
    return replace(
        experiment,
        network=settings.of_run(parameters, "network", size),
        training=settings.of_run(parameters, "training", size),
        chosen=Chosen(recipe=str(experiment.training.recipe), size=size, choices=settings.chosen(parameters, size)),
    )


def _known(speakers: pd.Series) -> int:
    """How many there are of the `speakers` of utterances, as settings.Size has it."""
    return int(speakers.nunique()) if speakers.isna().mean() < UNKNOWN else 0


def _record_parameters(folder: Path, parameters: Mapping[str, Any]) -> None:
    """Record `parameters` in `folder`, unless it holds results of others."""
    differs = files.other_parameters(folder, parameters)
    if differs:
        raise ValueError(
            f"{folder} holds results with another {', '.join(differs)}; name another folder, or remove that one"
        )
    files.write_yaml(folder / files.PARAMETERS, dict(parameters))


def describe(experiment: Experiment) -> pd.DataFrame:
    """Every setting of `experiment` that its model uses: value, meaning, and what confirms the paper's value.

    With a recipe, also which of them that chose.
    """
    kinds = ["training"]
    if experiment.spec.uses_audio:
        kinds += ["network", "features"]
    if experiment.spec.uses_text:
        kinds += ["text"]
    rows = []
    for kind in kinds:
        values = getattr(experiment, kind)
        doubts = settings.unconfirmed(values)
        rows += [
            {
                "setting": f"{kind}.{field.name}",
                "value": getattr(values, field.name),
                "meaning": field.metadata["meaning"],
                "the paper's text": f"does not confirm it: {doubts[field.name]}" if field.name in doubts else "",
            }
            for field in fields(values)
        ]
    table = pd.DataFrame(rows).set_index("setting")
    if experiment.chosen is None:
        return table
    chose = {f"{kind}.{name}" for kind, values in experiment.chosen.choices.items() for name in values}
    of_recipe = ["chose it" if name in chose else "" for name in table.index]
    return table.assign(**{f"recipe {experiment.chosen.recipe}": of_recipe})


def load(experiment: Experiment, progress: Callable[[int, int, str], None] | None = None) -> dict[str, Source]:
    """Name -> corpus with the features that the experiment's model takes of it; the training corpus comes first.

    The others follow where they are tested on.

    What the cache lacks is computed and kept there. What the run is made from is recorded in its provenance. Of another
    corpus that cannot be tested on, as one without ratings, there is a warning.
    """
    start = time.monotonic()
    published.find_start(experiment.model, experiment.network, experiment.features.sample_rate)
    progress = files.Heartbeat(experiment.folder).beside(progress)
    others = (name for name in experiment.corpora if name != experiment.corpus)
    names = [experiment.corpus, *(others if experiment.cross_corpus else ())]
    data = {
        name: read(
            name,
            experiment.corpora[name],
            model=experiment.model,
            targets=experiment.targets,
            classes=experiment.classes,
            features=experiment.features,
            text=experiment.text,
            cache_folder=experiment.cache,
            progress=progress,
            trained_on=name == experiment.corpus,
            normalisation=experiment.network.normalisation,
            augmentation=experiment.training.augmentation if name == experiment.corpus else None,
            votes=experiment.learns_votes and name == experiment.corpus,
        )
        for name in names
    }
    heard_in = data[experiment.corpus].sounds
    if heard_in is not None:
        spoken = {name: (one.corpus.root, one.frames.digests) for name, one in data.items() if one.frames is not None}
        for doubt in sounds.refuse_speech(heard_in, spoken):
            warnings.warn(doubt, stacklevel=2)
    for name in names[1:]:
        if not _test_set(data[name]):
            wanted = ", ".join(experiment.targets)
            warnings.warn(f"corpus '{name}' is not tested on: none of its test utterances has {wanted}", stacklevel=2)
    if not experiment.reads:  # a fusion model without stages is CNN14, and takes no embeddings
        data = {name: replace(source, embeddings=None) for name, source in data.items()}
    begin_session(experiment.folder, _origin(experiment, data), time.monotonic() - start)
    return data


def folds(experiment: Experiment, data: Mapping[str, Source]) -> list[splits.Split]:
    """The splits that the experiment trains on: the official one, or those of its folds, else splits.default_splits.

    Of their training utterances there are as many as training.data_share says; the others are in no partition.

    Raises ValueError for a fold that the corpus does not have, for one that leaves out a speaker of a corpus with
    partitions of its own, which are what it is split by, and, before any is trained, for those that cannot be: they
    are too small, or lack a class.
    """
    return _splits(experiment, data[experiment.corpus].rows)


def _splits(experiment: Experiment, rows: pd.DataFrame) -> list[splits.Split]:
    """As `folds`, of a corpus whose utterances with targets are `rows`."""
    if rows["partition"].notna().any():
        named = sorted(set(experiment.folds) & set(rows["speaker"].dropna()))
        if named:
            raise ValueError(
                f"corpus '{experiment.corpus}' has partitions of its own, so its folds {schema.first(named)} would not "
                "be used: leave out the folds, or the column partition (the reader's option columns: {partition: null})"
            )
        made = [splits.official(splits.with_development(rows), experiment.allow_speaker_leakage)]
    elif experiment.folds:
        made = splits.by_name(rows, experiment.folds, experiment.corpus)
    else:
        made = splits.default_splits(rows)
    _refuse_shortfalls(
        experiment,
        rows,
        made,
        "leave out the class, correct the speakers, or name other `folds` (by_speaker_0 deals the speakers such that "
        "all classes are in each part where that can be)",
    )
    share = experiment.training.data_share
    if share == 1:
        return made
    made = [splits.thinned(split, rows, share, experiment.seed) for split in made]
    _refuse_shortfalls(experiment, rows, made, f"raise training.data_share, which is {share:g}")
    return made


def _refuse_shortfalls(experiment: Experiment, rows: pd.DataFrame, made: list[splits.Split], advice: str) -> None:
    """Raise ValueError, with `advice`, where one of the splits `made` cannot be trained on, see audit.shortfalls."""
    problems = [
        line for split in made for line in audit.shortfalls(split, rows, experiment.targets, experiment.classes)
    ]
    if problems:
        listed = "\n  ".join(problems[:10])
        more = f"\n  and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise ValueError(
            f"corpus '{experiment.corpus}' cannot be trained on in {len({line.split(':')[0] for line in problems})} of "
            f"{len(made)} folds:\n  {listed}{more}\n{advice}"
        )


def run(
    experiment: Experiment, data: Mapping[str, Source], show: Callable[[Mapping[str, Any]], None] | None = None
) -> pd.DataFrame:
    """`train`, then `finish`: the predictions of the run."""
    train(experiment, data, show)
    return finish(experiment, data)


def train(
    experiment: Experiment, data: Mapping[str, Source], show: Callable[[Mapping[str, Any]], None] | None = None
) -> None:
    """`fit` on each of `folds`; `show` is called with each epoch, a row of the history."""
    for split in folds(experiment, data):
        for epoch in fit(experiment, data, split):
            if show is not None:
                show(epoch)


def fit(experiment: Experiment, data: Mapping[str, Source], split: splits.Split) -> Iterator[dict[str, Any]]:
    """Train on `split`, yielding each epoch as a row of the history; then save the best model and its predictions.

    The history is written after each epoch. An interrupted training goes on at the epoch of its last state (see
    training.resume), with the same numbers; those before it are yielded first, as they were. A split whose
    predictions are there is not trained again: the epochs of its history are yielded. That is, unless anything of it is
    damaged, or it was trained on other data or with other settings than these.
    """
    folder = fold_folder(experiment, data, split)
    state = _training_state(experiment, data, split)
    trained = _trained(folder, state)
    if trained is not None:
        state.delete()
        yield from trained.to_dict("records")
        return
    (folder / files.PREDICTIONS).unlink(missing_ok=True)
    source = data[experiment.corpus]
    with state.timed("loading"):
        model = build_model(experiment, source)
        train = source.dataset(split.train, votes=experiment.learns_votes)
        development = source.dataset(split.development)
        if source.embeddings is not None and isinstance(model, Cnn14):
            used = source.embeddings.positions(train.utterances["utterance"])
            model.measure_text(torch.from_numpy(source.embeddings.array[used]))
        if isinstance(model, Cnn14) and model.regression:
            fitted = baseline.of_shape(source, _frames(experiment, source), split.train, model.regression_bands)
            model.set_regression(**{name: torch.as_tensor(part) for name, part in fitted._asdict().items()})
    history = []
    for epoch in _train(experiment, model, train, development, state):
        history.append({"fold": split.name, **epoch._asdict()})
        files.write_table(folder / files.HISTORY, pd.DataFrame(history))
        yield history[-1]
    start = time.monotonic()
    predictions = evaluate(experiment, data, split, model)
    seconds = {"training": sum(row["seconds"] for row in history), "evaluation": time.monotonic() - start}
    arguments = _model_settings(experiment, source)
    checkpoint.save(model, arguments, folder / files.CHECKPOINT, experiment.network.kept)
    about: dict[str, Any] = {"device": str(loop.pick_device()), "seconds": seconds | state.seconds}
    about["sessions"] = state.sessions
    about["utterances"] = {
        name: len(part)
        for name, part in (("training", split.train), ("development", split.development), ("test", split.test))
    }
    if isinstance(model, Cnn14) and model.mechanism == "gate" and source.embeddings is not None:
        tested = source.embeddings.array[source.embeddings.positions(split.test)]
        openings = model.cpu().openings(torch.from_numpy(tested))
        about["openings"] = {str(stage): float(opened.mean()) for stage, opened in openings.items()}
    files.write_record(folder / files.PROVENANCE, {**about, IDENTITY: state.identity})
    files.write_table(folder / files.PREDICTIONS, predictions)
    state.delete()
    shutil.rmtree(files.aside_of(folder), ignore_errors=True)


def _trained(folder: Path, state: resume.TrainingState) -> pd.DataFrame | None:
    """The history of a fold that is complete and of the identity of `state`; None where it is to be trained.

    What is damaged in it is set aside, and other data or settings are named in a warning. A fold of an earlier version
    has no identity, and counts as one of these.
    """
    if not (folder / files.PREDICTIONS).exists():
        return None
    paths = [folder / name for name in (files.PREDICTIONS, files.CHECKPOINT, files.PROVENANCE)]
    wrong = {path: problem for path in paths if (problem := files.damage(path))}
    for path, problem in wrong.items():
        log.warning(files.set_aside(path, problem))
    if wrong or files.aside_of(folder).exists():  # now, or earlier
        return None
    record, history = (
        files.find_json(folder / files.PROVENANCE, seconds=dict),
        files.find_history(folder / files.HISTORY),
    )
    if record is None or history is None:
        return None
    other = list(resume.differing(record.get(IDENTITY, state.identity), state.identity))
    if other:
        log.warning("%s is of another %s: the fold is trained again", folder, schema.first(other))
        return None
    return history


def fold_folder(experiment: Experiment, data: Mapping[str, Source], split: splits.Split) -> Path:
    """Where the training on `split` lies, apart from those of the run's other folds."""
    others = experiment.folds or data[experiment.corpus].rows["speaker"].dropna().unique()
    return files.fold_folders(experiment.folder, {split.name, *others})[split.name]


def _training_state(experiment: Experiment, data: Mapping[str, Source], split: splits.Split) -> resume.TrainingState:
    """Where the training on `split` is saved; its identity is all that its numbers follow from."""
    origin = _origin(experiment, data)
    identity = {key: origin[key] for key in ("parameters", "settings", "corpora")}
    parts = {name: _digest(part) if isinstance(part, tuple) else part for name, part in asdict(split).items()}
    identity |= {"section": experiment.section, "objective": experiment.objective, "split": parts}
    return resume.TrainingState(fold_folder(experiment, data, split) / files.STATE, identity)


def _digest(utterances: Iterable[str]) -> str:
    return blake2b("\0".join(utterances).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _train(
    experiment: Experiment, model: torch.nn.Module, train: Dataset, development: Dataset, state: resume.TrainingState
) -> Iterator[loop.Epoch]:
    """The epochs of a training of `model` for the experiment's section."""
    objective = losses.objective(experiment.objective, train.target, experiment.outputs)
    with resume.with_heartbeat(model, files.Heartbeat(experiment.folder)):
        yield from loop.fit(
            model,
            objective,
            train,
            development,
            experiment.training,
            seed=experiment.seed,
            crop_frames=_crop_frames(experiment),
            state=state,
        )


def _crop_frames(experiment: Experiment) -> int | None:
    """Rows of the packed features that a training utterance has at most: frames, or samples of a waveform."""
    seconds = experiment.training.crop_seconds
    hop = 1 if experiment.spec.features == "waveform" else experiment.features.hop
    return round(seconds * experiment.features.sample_rate / hop) if seconds else None


def evaluate(
    experiment: Experiment, data: Mapping[str, Source], split: splits.Split, model: torch.nn.Module
) -> pd.DataFrame:
    """The predictions of `model` for the development and test set of its corpus, and for the other corpora.

    Of another corpus it is the official test set where it has one, else all of it (section 4.2).
    """
    sets = [
        (experiment.corpus, "development", split.development),
        (experiment.corpus, "test", split.test),
        *((name, "test", _test_set(source)) for name, source in data.items() if name != experiment.corpus),
    ]
    own = data[experiment.corpus].corpus.simulated
    parts = [
        predict(
            experiment,
            model,
            data[name].dataset(utterances),
            test_corpus=name,
            fold=split.name,
            partition=partition,
            simulated=own or data[name].corpus.simulated,
        )
        for name, partition, utterances in sets
        if utterances
    ]
    return pd.concat(parts, ignore_index=True)


def _test_set(source: Source) -> tuple[str, ...]:
    """The utterances of another corpus that a model is tested on."""
    rows = source.rows
    if rows["partition"].notna().any():
        rows = rows[rows["partition"] == "test"]
    return tuple(rows["utterance"])


def predict(
    experiment: Experiment,
    model: torch.nn.Module,
    dataset: Dataset,
    *,
    test_corpus: str,
    fold: str,
    partition: str,
    simulated: bool,
) -> pd.DataFrame:
    """The predictions table of `model`, trained on `fold`, for the utterances of `dataset`."""
    with resume.with_heartbeat(model, files.Heartbeat(experiment.folder)):
        logits = loop.predict(model, dataset)
    shared = keys(experiment, test_corpus=test_corpus, fold=fold, partition=partition, simulated=simulated)
    return loop.predictions_table(logits, dataset, shared, experiment.answers)


def keys(experiment: Experiment, *, test_corpus: str, fold: str, partition: str, simulated: bool) -> dict[str, Any]:
    """The columns of a predictions table that all its rows share."""
    return {
        "section": experiment.section,
        "model": experiment.model,
        "train_corpus": experiment.corpus,
        "test_corpus": test_corpus,
        "fold": fold,
        "seed": experiment.seed,
        "partition": partition,
        "simulated": simulated,
    }


def finish(experiment: Experiment, data: Mapping[str, Source]) -> pd.DataFrame:
    """The run's predictions, of all its folds; writes its history, provenance and, last, the predictions.

    Before these, where the run has that baseline, also those of `mel_statistics`, in a file of their own.
    analysis.results.read collects them from the runs of a study.

    Raises ValueError where a fold has not been trained.
    """
    parts = {split.name: fold_folder(experiment, data, split) for split in folds(experiment, data)}
    absent = [name for name, folder in parts.items() if not (folder / files.PREDICTIONS).exists()]
    if absent:
        raise ValueError(f"folds {schema.first(absent)} have no predictions yet: fit them before finish")
    predictions = pd.concat(
        [files.read_table(folder / files.PREDICTIONS) for folder in parts.values()], ignore_index=True
    )
    schema.check_predictions(predictions, str(experiment.folder))
    history = pd.concat([files.read_history(folder / files.HISTORY) for folder in parts.values()], ignore_index=True)
    stages = {name: files.read_json(folder / files.PROVENANCE) for name, folder in parts.items()}
    for stage in stages.values():
        stage.pop(IDENTITY, None)  # which is in the run's own provenance
    files.write_table(experiment.folder / files.HISTORY, history)
    if experiment.has_baseline:
        files.write_table(experiment.folder / files.MEL_STATISTICS, mel_statistics(experiment, data))
    end_session(experiment.folder, _origin(experiment, data), stages)
    result = experiment.folder / files.PREDICTIONS
    if not result.exists() or files.damage(result) or not pd.read_parquet(result).equals(predictions):
        files.write_table(result, predictions)
    return predictions


def mel_statistics(experiment: Experiment, data: Mapping[str, Source], with_development: bool = False) -> pd.DataFrame:
    """The predictions table of training.baseline for the development and test utterances of every split of the run.

    With `with_development`, which nothing is chosen by here, it also trains on these, and predicts the test alone. The
    model is called schema.MEL_STATISTICS. Log-mels that the run's own model does not take are computed into the cache.
    """
    source = data[experiment.corpus]
    frames = _frames(experiment, source)
    bands = audio.narrowband(experiment.features) if experiment.network.regression else None
    parts = []
    for split in folds(experiment, data):
        asked = {"test": split.test} if with_development else {"development": split.development, "test": split.test}
        train = split.train + (split.development if with_development else ())
        logits = baseline.answers(source, frames, train, [name for part in asked.values() for name in part], bands)
        for partition, part in asked.items():
            shared = keys(
                experiment,
                test_corpus=experiment.corpus,
                fold=split.name,
                partition=partition,
                simulated=source.corpus.simulated,
            )
            own, logits = logits[: len(part)], logits[len(part) :]
            parts.append(
                loop.predictions_table(
                    own, source.dataset(part), {**shared, "model": schema.MEL_STATISTICS}, experiment.answers
                )
            )
    return pd.concat(parts, ignore_index=True)


def _frames(experiment: Experiment, source: Source) -> Frames:
    """The log-mels of the source's utterances, whatever its model takes."""
    return source.frames or cache.log_mels(source.corpus, experiment.features, experiment.cache)


def _origin(experiment: Experiment, data: Mapping[str, Source]) -> dict[str, Any]:
    """What a run is made from, as its provenance has it."""
    kinds = {kind: getattr(experiment, kind) for kind in ("features", "text", "network", "training")}
    recipe = {} if experiment.chosen is None else {"recipe": experiment.chosen.record()}
    return {
        "parameters": files.read_yaml(experiment.folder / files.PARAMETERS),
        **recipe,
        "settings": {kind: asdict(values) for kind, values in kinds.items()},
        "not_confirmed_by_the_paper": {kind: settings.unconfirmed(values) for kind, values in kinds.items()},
        "corpora": {name: source.fingerprint() for name, source in data.items()},
    }


def _model_settings(experiment: Experiment, source: Source) -> dict[str, Any]:
    """What `checkpoint.build` needs to build the experiment's model, as the model's record says it."""
    return {"kind": experiment.spec.kind, **registry.load(experiment.spec.arguments)(experiment, source)}


def build_model(experiment: Experiment, source: Source) -> torch.nn.Module:
    """The experiment's model with initial weights drawn from its seed, or the published ones."""
    generator = torch.Generator().manual_seed(experiment.seed)
    model = checkpoint.build(_model_settings(experiment, source), generator)
    if isinstance(model, Cnn14) and experiment.network.pretrained:
        published.load_published(model, experiment.network.pretrained)
    return model
