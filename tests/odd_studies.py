"""Finished studies of small corpora of one's own that lack something, without any training; and how notebooks run."""

import ast
import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import soundfile
import yaml
from made_up import SKILL

from sercore import files, registry, schema
from sercore.study import config

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
DIMENSIONS = list(schema.DIMENSIONS)
FOUR = ("angry", "happy", "neutral", "sad")
TEN = tuple(name for name in schema.EMOTION_NAMES if name != "other")
TRAINED_BY = {"categories": "1_categories", "dimensions": "2_dimensions", "multitask": "3_multitask"}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a study is of; the default has everything that the analysis asks for, but nothing of the paper's corpora."""

    corpora: tuple[str, ...] = ("mine",)
    unrated: tuple[str, ...] = ()  # corpora without ratings
    gender: bool = True
    styles: tuple[str, ...] = ("improvised", "scripted")
    classes: tuple[str, ...] = FOUR
    transcripts: bool = True
    seeds: int = 2
    models: tuple[str, ...] = ("bert", "cnn14", "sfcnn14", "mfcnn14")
    sections: tuple[str, ...] = ("categories", "dimensions", "multitask")
    lacking: str | None = None  # a class that the first speaker never shows
    speakers: tuple[str, ...] = ("ada", "bela", "cleo", "dan", "eve")
    known: bool = True  # whether the corpus says who talks
    utterances: int = 24  # of each speaker


SHAPES = {
    "one corpus": Shape(),
    "no gender": Shape(gender=False),
    "one style": Shape(styles=("podcast",)),
    "neither gender nor styles": Shape(gender=False, styles=()),
    "two classes": Shape(classes=("angry", "sad")),
    "ten classes": Shape(classes=TEN, utterances=40),
    "no transcripts": Shape(transcripts=False, models=("cnn14",)),
    "one seed": Shape(seeds=1),
    "one model": Shape(models=("mfcnn14",)),
    "one model and seed, nothing known": Shape(models=("cnn14",), seeds=1, gender=False, styles=(), transcripts=False),
    "ratings only": Shape(sections=("dimensions", "multitask"), classes=()),
    "categories only": Shape(sections=("categories",), unrated=("mine",)),
    "a class missing in a fold": Shape(lacking="sad"),
    "two speakers": Shape(speakers=("ada", "bela")),
    "unknown speakers": Shape(known=False),
    "two corpora, one without ratings": Shape(corpora=("mine", "theirs"), unrated=("theirs",)),
}


def write_study(folder: Path, shape: Shape, with_audio: bool = True) -> Path:
    """A parameters file in `folder`, the corpora that it names with their audio, and every run complete."""
    corpora = {name: write_corpus(folder / name, name, shape, with_audio) for name in shape.corpora}
    path = folder / "parameters.yaml"
    path.write_text(yaml.safe_dump(_parameters(folder, shape), sort_keys=False), encoding="utf-8")
    for run in config.load(path).runs:
        run.folder.mkdir(parents=True)
        _history(shape).to_csv(run.folder / files.HISTORY, index=False)
        _predictions(run, corpora, shape).to_parquet(run.folder / files.PREDICTIONS, index=False)
    return path


def write_corpus(folder: Path, name: str, shape: Shape, with_audio: bool = True) -> pd.DataFrame:
    """A table of utterances in `folder` with a short tone for each; returns its rows."""
    rng = np.random.default_rng(len(name))
    rows = pd.DataFrame({"speaker": np.repeat(shape.speakers, shape.utterances)})
    rows["utterance"] = [f"{name}-{number:03d}" for number in range(len(rows))]
    rows["file"] = rows["utterance"] + ".wav"
    if shape.gender:
        rows["gender"] = np.where(rows["speaker"].isin(shape.speakers[::2]), "female", "male")
    if shape.styles:
        rows["style"] = np.resize(shape.styles, len(rows))
    if shape.transcripts:
        rows["transcript"] = [f"these are the words of number {number % 7}" for number in range(len(rows))]
    if shape.classes:
        emotions = pd.Series(rng.permutation(np.resize(shape.classes, len(rows))))
        if shape.lacking is not None:
            other = next(label for label in shape.classes if label != shape.lacking)
            emotions[(emotions == shape.lacking) & (rows["speaker"] == shape.speakers[0])] = other
        rows["emotion"] = emotions
    if name not in shape.unrated:
        rows[DIMENSIONS] = np.clip(3 + rng.standard_normal((len(rows), 3)), 1, 5).round(2)
    folder.mkdir(parents=True)
    if not shape.known:
        rows.drop(columns="speaker").to_csv(folder / "utterances.csv", index=False)
    else:
        rows.to_csv(folder / "utterances.csv", index=False)
    tone = np.sin(np.arange(3200) / 4)
    for number, file in enumerate(rows["file"] if with_audio else ()):
        soundfile.write(folder / file, tone[: 1600 + 8 * (number % 200)], 16_000)
    return rows


def _parameters(folder: Path, shape: Shape) -> dict[str, Any]:
    sections = {}
    for section in shape.sections:
        targets = {"target": DIMENSIONS} if section == "dimensions" else {}
        trained_on = [name for name in shape.corpora if section == "categories" or name not in shape.unrated]
        grid = {"model": list(shape.models), "corpus": trained_on, **targets, "seed": list(range(shape.seeds))}
        fixed: dict[str, Any] = {"folds": [], "features": {"mels": 32}, "text": {}, "network": {}, "training": {}}
        if section == "categories":
            fixed["classes"] = {name: [name] for name in shape.classes}
        sections[section] = {
            "notebook": f"notebooks/{TRAINED_BY[section]}.ipynb",
            "blocks": [{"grid": grid, "fixed": fixed}],
        }
    return {
        "study": "odd",
        "corpora": {name: {"reader": "table", "root": str(folder / name)} for name in shape.corpora},
        "outputs": str(folder / "outputs"),
        "sections": sections,
    }


def _history(shape: Shape) -> pd.DataFrame:
    epochs = [
        {"fold": fold, "epoch": epoch, "loss": 1 / epoch, "development": epoch / 5, "learning_rate": 0.01}
        for fold in _folds(shape)
        for epoch in (1, 2)
    ]
    return pd.DataFrame(epochs).assign(seconds=1.0, best=lambda rows: rows["epoch"] == 2)


def _predictions(run: config.Run, corpora: dict[str, pd.DataFrame], shape: Shape) -> pd.DataFrame:
    """The predictions table of one run, each speaker left out once and the next one for development."""
    model, corpus, seed = (run.parameters[key] for key in ("model", "corpus", "seed"))
    rng = np.random.default_rng([seed, list(SKILL).index(model), len(run.name)])
    targets = [run.parameters["target"]] if "target" in run.parameters else list(_targets(run.section))
    parts = []
    for place, (fold, speaker) in enumerate(_folds(shape).items()):
        home = corpora[corpus]
        following = shape.speakers[(place + 1) % len(shape.speakers)]
        sets = [(corpus, "development", home[home["speaker"] == following])]
        sets += [(corpus, "test", home[home["speaker"] == speaker])]
        sets += [(name, "test", rows) for name, rows in corpora.items() if name != corpus]
        for name, partition, rows in sets:
            for target in targets:
                if target in rows:
                    part = _answers(rows, target, shape, SKILL[model], rng)
                    parts.append(part.assign(test_corpus=name, fold=fold, partition=partition))
    keys = {"section": run.section, "model": model, "train_corpus": corpus, "seed": seed, "simulated": False}
    predictions = pd.concat(parts, ignore_index=True).assign(**keys)
    return predictions if shape.known else predictions.assign(speaker=None)


def _folds(shape: Shape) -> dict[str, str]:
    """Fold -> its test speaker; of unknown speakers one split of the utterances."""
    return {name: name for name in shape.speakers} if shape.known else {"by_utterance_0": shape.speakers[0]}


def _targets(section: str) -> tuple[str, ...]:
    return registry.SECTIONS[section].targets


def _answers(
    rows: pd.DataFrame, target: str, shape: Shape, skill: tuple[float, ...], rng: np.random.Generator
) -> pd.DataFrame:
    who = rows.reindex(columns=["utterance", "speaker", "gender", "style"]).astype(object).reset_index(drop=True)
    truth = rows[target].to_numpy()
    if target != schema.EMOTION:
        share = skill[DIMENSIONS.index(target)]
        guess = 3 + share * (share * (truth - 3) + np.sqrt(1 - share**2) * rng.standard_normal(len(rows)))
        return who.assign(target=target, truth=truth, prediction=guess)
    logits = rng.standard_normal((len(rows), len(shape.classes)))
    logits += 2 * max(skill) * (truth[:, None] == np.array(shape.classes))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    probabilities = pd.DataFrame(shares, columns=[schema.PROBABILITY + name for name in shape.classes])
    named = who.assign(target=target, truth=truth, prediction=np.array(shape.classes)[logits.argmax(1)])
    return pd.concat([named, probabilities], axis=1)


def execute(notebook: Path, **parameters: Any) -> Iterator[Any]:
    """The value of each code cell of `notebook` whose last line is an expression, run here without a kernel.

    `parameters` replace those that the notebook declares.
    """
    import IPython.display

    names: dict[str, Any] = {"display": IPython.display.display, "__name__": "__main__"}
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        tree = ast.parse(cell.source)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(tree, str(notebook), "exec"), names)
            if last is not None:
                yield eval(compile(ast.Expression(last.value), str(notebook), "eval"), names)
        if "parameters" in cell.metadata.get("tags", []):
            absent = sorted(set(parameters) - set(names))
            if absent:
                raise ValueError(f"{notebook} declares no {absent}")
            names.update(parameters)
