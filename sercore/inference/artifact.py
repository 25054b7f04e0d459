"""A trained model in a folder: a run of the study, one of its folds, or an exported model.

A run whose corpus has official partitions has one network. One that leaves a speaker out at a time has a network for
each: the folder of the run stands for all of them, whose answers are averaged, and that of a fold for its own.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sercore import files, settings
from sercore.analysis import confidence
from sercore.analysis.confidence import Confidence
from sercore.registry import CORPORA, MODELS
from sercore.schema import EMOTION, FOUR_CLASSES, PROBABILITY, first, probability_columns
from sercore.settings import FeatureSettings, NetworkSettings, NormalisationSettings, TextSettings

DESCRIPTION = "settings.json"  # of an exported folder
FORMAT = 1  # of that file; counted up when an older one can no longer be read


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Everything that a prediction needs but the corpora."""

    section: str
    model: str
    corpus: str
    simulated: bool  # whether the corpus is synthesised speech
    seed: int
    targets: tuple[str, ...]
    classes: dict[str, tuple[str, ...]]  # class -> emotions that counted as it, in the order of the outputs
    scale: tuple[float, float] | None  # of the dimensions; None for classes, and where the run did not record it
    features: FeatureSettings
    text: TextSettings
    network: NetworkSettings
    encoder: str | None  # fingerprint of the text encoder; None where it is not known, or not used
    networks: dict[str, Path]  # fold -> weights
    confidence: Confidence | None  # by development, of classes; None for dimensions
    half_widths: dict[str, float]  # by development, dimension -> see analysis.confidence; empty where not known

    @property
    def uses_text(self) -> bool:
        """Whether the model takes text."""
        return MODELS[self.model].uses_text and self.network.stages != ()

    @property
    def uses_audio(self) -> bool:
        """Whether the model takes sound."""
        return MODELS[self.model].uses_audio

    @property
    def takes(self) -> str | None:
        """The features that the model takes: "log_mel", "waveform" or "tokens"."""
        return MODELS[self.model].features

    @property
    def normalisation(self) -> NormalisationSettings | None:
        """How the log-mels are normalised; None: not at all, or the model takes none."""
        return self.network.normalisation if self.takes == "log_mel" else None

    @property
    def names(self) -> tuple[str, ...]:
        """What each output of the networks is: the classes, or the dimensions."""
        return tuple(self.classes) if self.targets == (EMOTION,) else self.targets


def place(path: str | Path) -> Path:
    """`path` as the shell understands it where that exists, else relative to the project's folder."""
    path = Path(path).expanduser()
    return path if path.exists() else files.resolve(path)


def run_of(folder: Path) -> Path:
    """The folder of the run that `folder` is, or is a fold of."""
    return folder.parent if folder.name.startswith(files.FOLD) else folder


def read(folder: str | Path) -> Trained:
    """The trained model in `folder`: a complete run, one fold of a run (`fold=<name>`), or what export.export wrote.

    Raises:
        FileNotFoundError: There is none of these; the message names the runs that are near.
        ValueError: The folder holds no model, a model that no run trains, or one in another format.
    """
    folder = place(folder)
    trained = _exported(folder) if (folder / DESCRIPTION).is_file() else _complete(folder)
    known = [name for name, spec in MODELS.items() if spec.trained]
    if trained.model not in known:
        raise ValueError(
            f"{folder} holds a model '{trained.model}', which cannot be used here; those that can: {', '.join(known)}"
        )
    return trained


def check_conditioned(trained: Trained) -> None:
    """Raise ValueError for a model that no text conditions at any stage."""
    if not (trained.uses_text and trained.uses_audio):
        fusions = ", ".join(name for name, spec in MODELS.items() if spec.fuses and spec.trained)
        raise ValueError(
            f"no text conditions a stage of this {trained.model}, so none can be told something else; expected a model "
            f"that takes sound and text and has stages: {fusions}"
        )


def _complete(folder: Path) -> Trained:
    one, run = folder.name.startswith(files.FOLD), run_of(folder)
    if (run / files.RESIDUALS).is_file():
        raise ValueError(f"{run} holds residuals of other runs' predictions, and no model; name one of those runs")
    if not (run / files.PREDICTIONS).is_file() or not folder.is_dir():
        raise FileNotFoundError(_absent(folder))
    predictions = files.read_table(run / files.PREDICTIONS)
    networks = {
        name: place / files.CHECKPOINT
        for name, place in files.fold_folders(run, predictions["fold"].unique()).items()
        if not one or place.name == folder.name
    }
    lost = [str(path) for path in networks.values() if not path.is_file()]
    if lost or not networks:
        raise FileNotFoundError(
            f"{folder} has lost its networks, {first(lost) or folder.name}, which `sercore tidy` also deletes if told "
            "to; copy the whole run, or train"
        )
    return _of_run(run, predictions, networks)


def describe(trained: Trained) -> dict[str, Any]:
    """`trained` as an exported folder's settings.json holds it; the networks by their files' names."""
    content = asdict(trained)
    content["networks"] = {fold: path.name for fold, path in trained.networks.items()}
    return {"format": FORMAT, **content}


def predictions(folder: str | Path) -> pd.DataFrame:
    """The predictions of the run or fold in `folder`: what `read` has the networks of."""
    folder = place(folder)
    one = folder.name.startswith(files.FOLD)
    table = files.read_table(run_of(folder) / files.PREDICTIONS)
    folders = files.fold_folders(folder.parent, table["fold"].unique())
    return table[table["fold"].map(folders) == folder] if one else table


def _of_run(run: Path, predictions: pd.DataFrame, networks: dict[str, Path]) -> Trained:
    parameters, provenance = files.read_yaml(run / files.PARAMETERS), files.read_json(run / files.PROVENANCE)
    targets = tuple(predictions["target"].unique())
    corpus = str(predictions["train_corpus"].iloc[0])
    names = [column.removeprefix(PROBABILITY) for column in probability_columns(predictions)]
    members = parameters.get("classes", FOUR_CLASSES)
    data = provenance["corpora"][corpus]
    own = predictions[predictions["fold"].isin(list(networks))]
    scale = data.get("scale") or (CORPORA[corpus].scale if corpus in CORPORA else None)
    return Trained(
        section=str(predictions["section"].iloc[0]),
        model=str(predictions["model"].iloc[0]),
        corpus=corpus,
        simulated=data["simulated"],
        seed=int(predictions["seed"].iloc[0]),
        targets=targets,
        classes={name: tuple(members[name]) for name in names} if targets == (EMOTION,) else {},
        scale=None if targets == (EMOTION,) or scale is None else (float(scale[0]), float(scale[1])),
        encoder=None,
        networks=networks,
        confidence=confidence.of_run(own) if targets == (EMOTION,) else None,
        half_widths=confidence.half_widths(own),
        **_settings(provenance["settings"]),
    )


def _exported(folder: Path) -> Trained:
    content = files.read_json(folder / DESCRIPTION)
    if content.get("format") != FORMAT:
        raise ValueError(
            f"{folder / DESCRIPTION} is of format {content.get('format')}, expected {FORMAT}: it was not written by "
            "`sercore export`, or by another version of it"
        )
    odd = [name for name in content["networks"].values() if Path(name).name != name]
    absent = [name for name in content["networks"].values() if not (folder / name).is_file()]
    if odd or absent:
        raise ValueError(f"{folder}: its {DESCRIPTION} names networks that are not in it, {first(odd + absent)}")
    scale, targets = content["scale"], tuple(content["targets"])
    sure = content.get("confidence") or {"note": "it was exported before a temperature was kept with a model"}
    return Trained(
        **{key: content[key] for key in ("section", "model", "corpus", "simulated", "seed", "encoder")},
        targets=targets,
        classes={name: tuple(members) for name, members in content["classes"].items()},
        scale=None if scale is None else (scale[0], scale[1]),
        networks={fold: folder / name for fold, name in content["networks"].items()},
        confidence=settings.build(Confidence, sure) if targets == (EMOTION,) else None,
        half_widths=content.get("half_widths", {}),
        **_settings(content),
    )


def _settings(content: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {"features": FeatureSettings, "text": TextSettings, "network": NetworkSettings}
    return {name: settings.build(kind, content[name]) for name, kind in kinds.items()}


def _absent(folder: Path) -> str:
    """Why `folder` is no model, and what is near that is one."""
    if not folder.is_dir():
        return f"no folder {folder}; expected a run's folder, such as outputs/<study>/<section>/<run>"
    below = sorted(str(path.parent.relative_to(folder)) for path in folder.glob(f"*/{files.PREDICTIONS}"))
    below += sorted(str(path.parent.relative_to(folder)) for path in folder.glob(f"*/*/{files.PREDICTIONS}"))
    runs = [name for name in below if not Path(name).name.startswith(files.FOLD)]
    if runs:
        return f"{folder} is no run, but holds {len(runs)}, {first(runs)}; name one of them"
    run = run_of(folder)
    if (run / files.PARAMETERS).is_file() and not (run / files.PREDICTIONS).is_file():
        return f"the run in {run} is not complete: it has no {files.PREDICTIONS} yet; run it to its end first"
    return f"{folder} holds no model: expected a run's folder or one that `sercore export` wrote"
