"""One run of the study: a model trained on one corpus with one seed, evaluated there and on the other corpora.

The notebooks of sections 5 and 6 are made of these calls, in this order: `define`, `load`, for each split `fit`,
then `finish`. A fold that is complete is not trained again, so an interrupted run goes on with its next one.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from sercore import cache, config, corpora, datasets, files, models, schema, splits, training
from sercore.config import FeatureSettings, NetworkSettings, TextSettings, TrainingSettings

BY_HAND = "outputs/by-hand"
CACHE = "outputs/cache"
OBJECTIVES = {"categories": "categories", "dimensions": "mse", "multitask": "ccc"}  # sections 5, 6.1 and 6.2


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What a run is: everything that its result depends on but the corpora, and where things lie."""

    section: str
    targets: tuple[str, ...]
    model: str
    corpus: str
    seed: int
    folds: tuple[str, ...]
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


@dataclass(frozen=True, kw_only=True)
class Source:
    """A corpus with what the models take of it, from the cache."""

    corpus: corpora.Corpus
    frames: cache.Frames | None  # of the acoustic models
    embeddings: cache.Embeddings | None  # of the fusion models
    tokens: cache.Tokens | None  # of the text model
    target: pd.DataFrame  # the utterances that have a target, with their truths


def define(section: str, targets: Iterable[str], **parameters: Any) -> Experiment:
    """The experiment that a notebook's parameters ask for, checked; records them in its folder.

    Raises ValueError for an unknown model, corpus, emotion or setting, with the nearest known name, and for a folder
    that holds a run of other parameters.
    """
    places = {name: parameters.pop(name) for name in ("corpora", "folder", "cache")}
    config.check_model(parameters["model"])
    if parameters["corpus"] not in places["corpora"]:
        raise ValueError(f"no corpus '{parameters['corpus']}' among the corpora{schema.did_you_mean(parameters['corpus'], places['corpora'])}")
    name = ",".join(f"{key}={parameters[key]}" for key in ("model", "corpus", "seed"))
    folder = files.resolve(places["folder"] or f"{BY_HAND}/{section}/{name}")
    experiment = Experiment(
        section=section,
        targets=tuple(targets),
        model=parameters["model"],
        corpus=parameters["corpus"],
        seed=parameters["seed"],
        folds=tuple(parameters["folds"]),
        classes={name: tuple(members) for name, members in parameters.get("classes", schema.FOUR_CLASSES).items()},
        features=config.build(FeatureSettings, parameters["features"]),
        text=config.build(TextSettings, parameters["text"]),
        network=config.build(NetworkSettings, parameters["network"]),
        training=config.training(parameters["model"], parameters["training"]),
        corpora={key: config.located(values, f"corpus '{key}'") for key, values in places["corpora"].items()},
        folder=folder,
        cache=files.resolve(places["cache"] or CACHE),
    )
    _claim(folder, parameters)
    return experiment


def _claim(folder: Path, parameters: Mapping[str, Any]) -> None:
    """Record `parameters` in `folder`, or check that they are those that it was made with."""
    recorded = folder / files.PARAMETERS
    if recorded.exists():
        held = files.read_yaml(recorded)
        differs = sorted(key for key in held.keys() | parameters.keys() if held.get(key) != parameters.get(key))
        if differs:
            raise ValueError(f"{folder} holds a run with another {', '.join(differs)}; name another folder, or remove that one")
    else:
        files.write_yaml(recorded, dict(parameters))


def describe(experiment: Experiment) -> pd.DataFrame:
    """Every setting of `experiment` that its model uses: value, meaning, and what confirms the paper's value."""
    kinds: dict[str, Any] = {"training": experiment.training, "text": experiment.text}
    if experiment.model == config.TEXT_MODEL:
        pass
    else:
        kinds |= {"features": experiment.features, "network": experiment.network}
    if experiment.model == "cnn14":
        del kinds["text"]
    rows = []
    for kind, settings in kinds.items():
        doubts = config.unconfirmed(settings)
        for field in fields(settings):
            rows.append({"setting": f"{kind}.{field.name}", "value": getattr(settings, field.name),
                         "meaning": field.metadata["meaning"],
                         "the paper's text": f"does not confirm it: {doubts[field.name]}" if field.name in doubts else ""})  # fmt: skip
    return pd.DataFrame(rows).set_index("setting")


def load(experiment: Experiment, progress: cache.Progress | None = None) -> dict[str, Source]:
    """Name -> corpus with the features that the experiment's model takes of it; the training corpus comes first.

    What the cache lacks is computed and kept there.
    """
    names = [experiment.corpus, *(name for name in experiment.corpora if name != experiment.corpus)]
    return {name: _source(experiment, name, progress) for name in names}


def describe_data(experiment: Experiment, data: Mapping[str, Source]) -> pd.DataFrame:
    """One row a corpus: whether it is simulated, its utterances, those with a target, and the classes or mean ratings."""
    rows = {}
    for name, source in data.items():
        row = {"simulated": source.corpus.simulated, "utterances": len(source.corpus.utterances),
               "with a target": len(source.target), "speakers": source.target["speaker"].nunique()}  # fmt: skip
        if experiment.targets == (schema.EMOTION,):
            row |= source.target["emotion"].value_counts().reindex(list(experiment.classes), fill_value=0).to_dict()
        else:
            row |= source.target[list(experiment.targets)].mean().round(2).to_dict()
        rows[name] = row
    return pd.DataFrame(rows).T.rename_axis("corpus")


def overlaps(wanted: Iterable[splits.Split], source: Source) -> pd.DataFrame:
    """What the partitions of each split share: speakers, dialogs, identical transcripts."""
    return pd.concat({split.name: splits.overlap(split, source.target) for split in wanted}, names=["fold"])


def _source(experiment: Experiment, name: str, progress: cache.Progress | None) -> Source:
    corpus = corpora.read(name, **experiment.corpora[name])
    folder = experiment.cache / name
    frames = embeddings = tokens = None
    if experiment.model == config.TEXT_MODEL:
        tokens = cache.tokens(corpus, experiment.text, folder, progress)
    else:
        frames = cache.log_mels(corpus, experiment.features, folder, progress)
        if config.CNN_MODELS[experiment.model]:
            embeddings = cache.text_embeddings(corpus, experiment.text, folder, progress)
    target = _with_targets(experiment, corpus)
    return Source(corpus=corpus, frames=frames, embeddings=embeddings, tokens=tokens, target=target)


def _with_targets(experiment: Experiment, corpus: corpora.Corpus) -> pd.DataFrame:
    """The utterances of `corpus` that have what is to be predicted; for categories `emotion` becomes the class."""
    utterances = corpus.utterances
    if experiment.targets == (schema.EMOTION,):
        utterances = utterances.assign(emotion=schema.map_emotions(utterances["emotion"], experiment.classes))
    return utterances.dropna(subset=list(experiment.targets)).reset_index(drop=True)


def folds(experiment: Experiment, data: Mapping[str, Source]) -> list[splits.Split]:
    """The splits that the experiment trains on: the official one, or those of its folds, all where it names none.

    Raises ValueError for a fold that the corpus does not have.
    """
    target = data[experiment.corpus].target
    if target["partition"].notna().any():
        return [splits.official(target)]
    found = {split.name: split for split in splits.leave_one_speaker_out(target)}
    for name in experiment.folds:
        if name not in found:
            raise ValueError(f"corpus '{experiment.corpus}' has no fold '{name}'{schema.did_you_mean(name, found)}")
    return [split for name, split in found.items() if not experiment.folds or name in experiment.folds]


def fit(experiment: Experiment, data: Mapping[str, Source], split: splits.Split) -> Iterator[dict[str, Any]]:
    """Train on `split`, yielding each epoch as a row of the history; then keep the best model and its predictions.

    A split whose predictions are there is not trained again: the epochs of its history are yielded.
    """
    folder = experiment.folder / f"fold={split.name}"
    if (folder / files.PREDICTIONS).exists():
        yield from pd.read_csv(folder / files.HISTORY).to_dict("records")
        return
    start = time.monotonic()
    source = data[experiment.corpus]
    train = _dataset(experiment, source, split.train)
    development = _dataset(experiment, source, split.development)
    model = _model(experiment, source)
    history = []
    crop = experiment.training.crop_seconds
    crop_frames = round(crop * experiment.features.sample_rate / experiment.features.hop) if crop else None
    objective = training.objective(OBJECTIVES[experiment.section], train.target, experiment.outputs)
    for epoch in training.fit(
        model, objective, train, development, experiment.training, experiment.seed, crop_frames=crop_frames
    ):
        history.append({"fold": split.name, **epoch._asdict()})
        yield history[-1]
    trained = time.monotonic()
    predictions = evaluate(experiment, data, split, model)
    seconds = {"training": trained - start, "evaluation": time.monotonic() - trained}
    models.save(model, _rebuild(experiment, source), folder / files.CHECKPOINT)
    files.write_table(folder / files.HISTORY, pd.DataFrame(history))
    files.write_json(folder / files.PROVENANCE, {"seconds": seconds, "device": str(training.pick_device())})
    files.write_table(folder / files.PREDICTIONS, predictions)


def evaluate(experiment: Experiment, data: Mapping[str, Source], split: splits.Split, model: torch.nn.Module) -> pd.DataFrame:
    """The predictions of `model` for the development and test set of its corpus, and for the other corpora.

    Of another corpus it is the official test set where it has one, else all of it (section 4.2).
    """
    home = data[experiment.corpus]
    asked = [(experiment.corpus, home, "development", split.development), (experiment.corpus, home, "test", split.test)]
    for name, source in data.items():
        if name != experiment.corpus:
            official = source.target["partition"].notna().any()
            rows = source.target[source.target["partition"] == "test"] if official else source.target
            asked.append((name, source, "test", tuple(rows["utterance"])))
    parts = []
    for name, source, partition, utterances in asked:
        dataset = _dataset(experiment, source, utterances)
        keys = {"section": experiment.section, "model": experiment.model, "train_corpus": experiment.corpus,
                "test_corpus": name, "fold": split.name, "seed": experiment.seed, "partition": partition,
                "simulated": home.corpus.simulated or source.corpus.simulated}  # fmt: skip
        names = tuple(experiment.classes) if experiment.targets == (schema.EMOTION,) else experiment.targets
        parts.append(training.predictions_table(training.predict(model, dataset), dataset, keys, names))
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
    predictions = pd.concat([pd.read_parquet(folder / files.PREDICTIONS) for folder in parts.values()], ignore_index=True)
    schema.check_predictions(predictions, str(experiment.folder))
    history = pd.concat([pd.read_csv(folder / files.HISTORY) for folder in parts.values()], ignore_index=True)
    stages = {name: files.read_json(folder / files.PROVENANCE) for name, folder in parts.items()}
    doubts = {kind: config.unconfirmed(getattr(experiment, kind)) for kind in ("features", "text", "network", "training")}
    files.write_table(experiment.folder / files.HISTORY, history)
    files.write_json(
        experiment.folder / files.PROVENANCE,
        files.provenance(
            settings={kind: asdict(getattr(experiment, kind)) for kind in doubts},
            not_confirmed_by_the_paper=doubts,
            corpora={name: fingerprint(source) for name, source in data.items()},
            folds=stages,
        ),
    )
    files.write_table(experiment.folder / files.PREDICTIONS, predictions)
    return predictions


def fingerprint(source: Source) -> dict[str, Any]:
    """What tells the data that a run saw from others: the corpus's size, and the keys of its cached features."""
    held = {"frames": source.frames, "embeddings": source.embeddings, "tokens": source.tokens}
    return {"utterances": len(source.corpus.utterances), "with_target": len(source.target),
            "simulated": source.corpus.simulated, **{name: part.key for name, part in held.items() if part is not None}}  # fmt: skip


def _dataset(experiment: Experiment, source: Source, utterances: tuple[str, ...]) -> datasets.SpeechDataset | datasets.TextDataset:
    """The rows `utterances` of `source` as the experiment's model takes them."""
    rows = source.target.set_index("utterance", drop=False).loc[list(utterances)].reset_index(drop=True)
    if experiment.targets == (schema.EMOTION,):
        target = torch.tensor([list(experiment.classes).index(name) for name in rows["emotion"]])
    else:
        target = torch.tensor(rows[list(experiment.targets)].to_numpy("float32"))
    if experiment.model == config.TEXT_MODEL:
        return datasets.TextDataset(source.tokens, rows, target)
    return datasets.SpeechDataset(source.frames, rows, target, source.embeddings)


def _rebuild(experiment: Experiment, source: Source) -> dict[str, Any]:
    """What `models.load` needs to build the experiment's model again."""
    if experiment.model == config.TEXT_MODEL:
        return {"kind": "text", "encoder": experiment.text.encoder, "outputs": experiment.outputs}
    width = source.embeddings.array.shape[1] if source.embeddings is not None else 0
    return {"kind": "cnn14", "outputs": experiment.outputs, "text_stages": list(config.CNN_MODELS[experiment.model]),
            "text_width": width, "width": experiment.network.width, "mels": experiment.features.mels,
            "dropout": experiment.network.dropout}  # fmt: skip


def _model(experiment: Experiment, source: Source) -> torch.nn.Module:
    """The experiment's model with the initial weights of its seed, or with the published ones where it asks for them."""
    generator = torch.Generator().manual_seed(experiment.seed)
    settings = _rebuild(experiment, source)
    model = models.build(settings, generator)
    if experiment.model != config.TEXT_MODEL and experiment.network.pretrained:
        models.load_published(model, files.resolve(experiment.network.pretrained))
    return model
