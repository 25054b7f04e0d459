"""One run of the study: a model trained on one corpus with one seed, evaluated there and on the other corpora.

The notebooks of sections 5 and 6 are made of these calls, in this order: `define`, `load`, for each split `fit`,
then `finish`. A fold that is complete is not trained again, and one that was interrupted goes on at its last epoch
that was kept. What the run's provenance.json tells of it all is described in the functions below.

How a run came about, in its provenance.json: what it was made from, and each session, which is an execution of it.

| key | what it holds |
|---|---|
| `commit`, `dirty`, `source` | the checkout, whether files differed from it, a digest of the package's code |
| `python`, `platform`, `versions` | the software |
| `parameters`, `settings` | what was asked for, and all settings that follow from it with the defaults |
| `not_confirmed_by_the_paper` | those that hold a value of the paper that its text does not confirm |
| `corpora` | of each: size, scale, `fingerprint` (see corpora.Corpus), keys of its cached features |
| `sessions` | of each: when it started, commit, device, processor, threads, `seconds` |
| `folds` | of each: `device`, `seconds`, and `sessions`: `from` which epoch on which device with how many threads |
| `seconds` | the sum of the seconds of all sessions and folds |

All `seconds` are by stage. `loading`: corpora and features for a session, the datasets and the model for a fold.
`training`: the epochs, each with its score on the development set. `evaluation`: the predictions of the best model.
`saving`: the states that an interrupted training goes on from. What a killed session had not yet kept is in none.
A run that is not complete has no `folds` and no `seconds` yet; its sessions are there from when its data are loaded.
"""

import contextlib
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from sercore import files, losses, schema, settings
from sercore.corpora import splits
from sercore.corpora.corpus import located
from sercore.datasets.source import BY_HAND, CACHE, EMBEDDED_CORPORA, Source, read
from sercore.models import checkpoint, published
from sercore.settings import FeatureSettings, NetworkSettings, TextSettings, TrainingSettings
from sercore.training import loop, resume

KEPT = ("started", "commit", "source", "device", "processor", "threads", "seconds")


def begin_session(folder: Path, origin: Mapping[str, Any], loading: float) -> None:
    """Record in the provenance of the run in `folder` what it is made from, and a session that loaded for some seconds.

    Earlier sessions of the same parameters stay. Of a run that is complete nothing is written.
    """
    if (folder / files.PREDICTIONS).exists():
        return
    earlier = _recorded(folder)
    device = loop.pick_device()
    content = files.provenance(**origin)
    here = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": str(device),
        "processor": _processor(device),
        "threads": torch.get_num_threads(),
        "seconds": {"loading": loading},
        **content,
    }
    before = earlier.get("sessions", []) if earlier.get("parameters") == origin["parameters"] else []
    files.write_json(folder / files.PROVENANCE, {**content, "sessions": [*before, {key: here[key] for key in KEPT}]})


def end_session(folder: Path, origin: Mapping[str, Any], folds: Mapping[str, Mapping[str, Any]]) -> None:
    """Complete the provenance of the run in `folder`: its folds, and the seconds of all folds and sessions in all."""
    recorded = _recorded(folder) or {**files.provenance(), "sessions": []}
    total: Counter[str] = Counter()
    for part in (*recorded.get("sessions", []), *folds.values()):
        total.update(part["seconds"])
    files.write_json(folder / files.PROVENANCE, {**recorded, **origin, "seconds": dict(total), "folds": dict(folds)})


def _recorded(folder: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):  # there is none, or it is none
        return files.read_json(folder / files.PROVENANCE)
    return {}


def _processor(device: torch.device) -> str:
    """What computed: two of a kind give the same digits."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


OBJECTIVES = {"categories": "categories", "dimensions": "mse", "multitask": "ccc"}  # sections 5, 6.1 and 6.2
TARGETS = {"categories": (schema.EMOTION,), "multitask": schema.DIMENSIONS}  # of `dimensions`, its parameter `target`


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

    @property
    def outputs(self) -> int:
        """Numbers that the model gives an utterance: one a class, or one a dimension."""
        return len(self.classes) if self.targets == (schema.EMOTION,) else len(self.targets)


def define(section: str, **parameters: Any) -> Experiment:
    """The experiment that a notebook's parameters ask for, checked; records them in its folder.

    Raises ValueError for an unknown model, corpus, emotion or setting, with the nearest known name, and for a folder
    that holds a run of other parameters.
    """
    places = {name: parameters.pop(name) for name in ("corpora", "folder", "cache")}
    places["corpora"] = places["corpora"] or EMBEDDED_CORPORA
    settings.check_model(parameters["model"])
    if parameters["corpus"] not in places["corpora"]:
        near = schema.did_you_mean(parameters["corpus"], places["corpora"])
        raise ValueError(f"no corpus '{parameters['corpus']}' among the corpora{near}")
    if parameters.get("target", schema.DIMENSIONS[0]) not in schema.DIMENSIONS:
        near = schema.did_you_mean(parameters["target"], schema.DIMENSIONS)
        raise ValueError(f"no dimension '{parameters['target']}'{near}")
    told = {key: parameters[key] for key in ("transcripts", "corruption", "shuffled") if key in parameters}
    name = ",".join(f"{key}={parameters[key]}" for key in ("target", "model", "corpus", "seed") if key in parameters)
    folder = files.resolve(places["folder"] or f"{BY_HAND}/{section}/{name}")
    experiment = Experiment(
        section=section,
        targets=TARGETS.get(section) or (parameters["target"],),
        model=parameters["model"],
        corpus=parameters["corpus"],
        seed=parameters["seed"],
        folds=tuple(parameters["folds"]),
        allow_speaker_leakage=parameters.get("allow_speaker_leakage", False),
        classes={name: tuple(members) for name, members in parameters.get("classes", schema.FOUR_CLASSES).items()},
        features=settings.build(FeatureSettings, parameters["features"]),
        text=settings.build(TextSettings, {**parameters["text"], **told}),
        network=settings.build(NetworkSettings, parameters["network"]),
        training=settings.training(parameters["model"], parameters["training"]),
        corpora={key: located(values, f"corpus '{key}'") for key, values in places["corpora"].items()},
        folder=folder,
        cache=files.resolve(places["cache"] or CACHE),
    )
    settings.check_network(experiment.model, experiment.network)
    _record_parameters(folder, parameters)
    return experiment


def _record_parameters(folder: Path, parameters: Mapping[str, Any]) -> None:
    """Record `parameters` in `folder`, unless it holds results of others."""
    differs = files.other_parameters(folder, parameters)
    if differs:
        raise ValueError(
            f"{folder} holds results with another {', '.join(differs)}; name another folder, or remove that one"
        )
    files.write_yaml(folder / files.PARAMETERS, dict(parameters))


def describe(experiment: Experiment) -> pd.DataFrame:
    """Every setting of `experiment` that its model uses: value, meaning, and what confirms the paper's value."""
    kinds = ["training"]
    if experiment.model != settings.TEXT_MODEL:
        kinds += ["network", "features"]
    if settings.uses_text(experiment.model):
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
    return pd.DataFrame(rows).set_index("setting")


def load(experiment: Experiment, progress: Callable[[int, int, str], None] | None = None) -> dict[str, Source]:
    """Name -> corpus with the features that the experiment's model takes of it; the training corpus comes first.

    What the cache lacks is computed and kept there. What the run is made from is recorded in its provenance.
    """
    start = time.monotonic()
    published.find_start(experiment.model, experiment.network, experiment.features.sample_rate)
    progress = files.Heartbeat(experiment.folder).beside(progress)
    names = [experiment.corpus, *(name for name in experiment.corpora if name != experiment.corpus)]
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
        )
        for name in names
    }
    begin_session(experiment.folder, _origin(experiment, data), time.monotonic() - start)
    return data


def folds(experiment: Experiment, data: Mapping[str, Source]) -> list[splits.Split]:
    """The splits that the experiment trains on: the official one, or those of its folds, else splits.made_for.

    Raises ValueError for a fold that the corpus does not have.
    """
    rows = data[experiment.corpus].rows
    if rows["partition"].notna().any():
        return [splits.official(splits.with_development(rows), experiment.allow_speaker_leakage)]
    if experiment.folds:
        return splits.by_name(rows, experiment.folds, experiment.corpus)
    return splits.default_splits(rows)


def fit(experiment: Experiment, data: Mapping[str, Source], split: splits.Split) -> Iterator[dict[str, Any]]:
    """Train on `split`, yielding each epoch as a row of the history; then keep the best model and its predictions.

    The history is written after each epoch. An interrupted training goes on at the epoch of its last state (see
    training.resume), with the same numbers; those before it are yielded first, as they were. A split whose
    predictions are there is not trained again: the epochs of its history are yielded.
    """
    folder = experiment.folder / f"fold={split.name}"
    source = data[experiment.corpus]
    origin = _origin(experiment, data)
    identity = {key: origin[key] for key in ("parameters", "settings", "corpora")}
    identity |= {"section": experiment.section, "split": asdict(split)}
    memory = resume.TrainingState(folder / files.STATE, identity)
    if (folder / files.PREDICTIONS).exists():
        memory.delete()
        yield from pd.read_csv(folder / files.HISTORY).to_dict("records")
        return
    start = time.monotonic()
    train = source.dataset(split.train)
    development = source.dataset(split.development)
    model = _model(experiment, source)
    crop = experiment.training.crop_seconds
    hop = 1 if experiment.model in settings.SPEECH_MODELS else experiment.features.hop
    crop_frames = round(crop * experiment.features.sample_rate / hop) if crop else None
    objective = losses.objective(OBJECTIVES[experiment.section], train.target, experiment.outputs)
    memory.spend("loading", time.monotonic() - start)
    beat = files.Heartbeat(experiment.folder)
    history = []
    for epoch in loop.fit(
        model, objective, train, development, experiment.training, experiment.seed, crop_frames, None, memory, beat
    ):
        history.append({"fold": split.name, **epoch._asdict()})
        files.write_table(folder / files.HISTORY, pd.DataFrame(history))
        yield history[-1]
    start = time.monotonic()
    predictions = evaluate(experiment, data, split, model)
    seconds = {"training": sum(row["seconds"] for row in history), "evaluation": time.monotonic() - start}
    checkpoint.save(model, _rebuild(experiment, source), folder / files.CHECKPOINT)
    about = {"device": str(loop.pick_device()), "seconds": seconds | memory.seconds, "sessions": memory.sessions}
    files.write_json(folder / files.PROVENANCE, about)
    files.write_table(folder / files.PREDICTIONS, predictions)
    memory.delete()


def evaluate(
    experiment: Experiment, data: Mapping[str, Source], split: splits.Split, model: torch.nn.Module
) -> pd.DataFrame:
    """The predictions of `model` for the development and test set of its corpus, and for the other corpora.

    Of another corpus it is the official test set where it has one, else all of it (section 4.2).
    """
    home = data[experiment.corpus]
    asked = [(experiment.corpus, home, "development", split.development), (experiment.corpus, home, "test", split.test)]
    for name, source in data.items():
        if name != experiment.corpus:
            official = source.rows["partition"].notna().any()
            rows = source.rows[source.rows["partition"] == "test"] if official else source.rows
            asked.append((name, source, "test", tuple(rows["utterance"])))
    beat, parts = files.Heartbeat(experiment.folder), []
    for name, source, partition, utterances in asked:
        dataset = source.dataset(utterances)
        keys = {
            "section": experiment.section,
            "model": experiment.model,
            "train_corpus": experiment.corpus,
            "test_corpus": name,
            "fold": split.name,
            "seed": experiment.seed,
            "partition": partition,
            "simulated": home.corpus.simulated or source.corpus.simulated,
        }
        names = tuple(experiment.classes) if experiment.targets == (schema.EMOTION,) else experiment.targets
        parts.append(loop.predictions_table(loop.predict(model, dataset, beat=beat), dataset, keys, names))
    return pd.concat(parts, ignore_index=True)


def finish(experiment: Experiment, data: Mapping[str, Source]) -> pd.DataFrame:
    """The run's predictions, of all its folds; writes its history, provenance and, last, the predictions.

    Raises ValueError where a fold has not been trained.
    """
    wanted = folds(experiment, data)
    parts = {split.name: experiment.folder / f"fold={split.name}" for split in wanted}
    absent = [name for name, folder in parts.items() if not (folder / files.PREDICTIONS).exists()]
    if absent:
        raise ValueError(f"folds {schema.first(absent)} have no predictions yet: fit them before finish")
    predictions = pd.concat(
        [pd.read_parquet(folder / files.PREDICTIONS) for folder in parts.values()], ignore_index=True
    )
    schema.check_predictions(predictions, str(experiment.folder))
    history = pd.concat([pd.read_csv(folder / files.HISTORY) for folder in parts.values()], ignore_index=True)
    stages = {name: files.read_json(folder / files.PROVENANCE) for name, folder in parts.items()}
    files.write_table(experiment.folder / files.HISTORY, history)
    end_session(experiment.folder, _origin(experiment, data), stages)
    files.write_table(experiment.folder / files.PREDICTIONS, predictions)
    return predictions


def _origin(experiment: Experiment, data: Mapping[str, Source]) -> dict[str, Any]:
    """What a run is made from, as its provenance has it."""
    kinds = {kind: getattr(experiment, kind) for kind in ("features", "text", "network", "training")}
    return {
        "parameters": files.read_yaml(experiment.folder / files.PARAMETERS),
        "settings": {kind: asdict(values) for kind, values in kinds.items()},
        "not_confirmed_by_the_paper": {kind: settings.unconfirmed(values) for kind, values in kinds.items()},
        "corpora": {name: source.fingerprint() for name, source in data.items()},
    }


def _rebuild(experiment: Experiment, source: Source) -> dict[str, Any]:
    """What `models.load` needs to build the experiment's model again."""
    if experiment.model == settings.TEXT_MODEL:
        return {"kind": "text", "encoder": experiment.text.encoder, "outputs": experiment.outputs}
    if experiment.model in settings.SPEECH_MODELS:
        return {
            "kind": "speech",
            "encoder": experiment.network.encoder,
            "family": experiment.model,
            "outputs": experiment.outputs,
            "frozen": bool(experiment.network.frozen),
            "sample_rate": experiment.features.sample_rate,
        }
    width = source.embeddings.array.shape[1] if source.embeddings is not None else 0
    return {
        "kind": "cnn14",
        "outputs": experiment.outputs,
        "text_stages": list(settings.CNN_MODELS[experiment.model]),
        "text_width": width,
        "width": experiment.network.width,
        "mels": experiment.features.mels,
        "dropout": experiment.network.dropout,
    }


def _model(experiment: Experiment, source: Source) -> torch.nn.Module:
    """The experiment's model with initial weights drawn from its seed, or the published ones."""
    generator = torch.Generator().manual_seed(experiment.seed)
    model = checkpoint.build(_rebuild(experiment, source), generator)
    if experiment.model in settings.CNN_MODELS and experiment.network.pretrained:
        published.load_published(model, experiment.network.pretrained)
    return model
