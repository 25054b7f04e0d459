"""The notes below every table and figure: what was trained, selected and tested on what, with which settings.

They are made from the study itself, so that they are true of the numbers above them.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from sercore import files, settings
from sercore.analysis import baseline, published
from sercore.analysis.results import LATE_FUSION, OFFICIAL, Results
from sercore.corpora.splits import MADE_HERE
from sercore.registry import CORPORA, MODELS, SECTIONS, ModelSpec
from sercore.schema import first
from sercore.study.config import Run

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

IEMOCAP_FOLDS = 10
LATE_FUSION_NOTE = (
    "Late fusion (LF) is the mean of what BERT and CNN14 of one seed predict; the paper prints it only in Table 4."
)
LATE_FUSION_OF_BEST = (
    "Late fusion (LF) is the mean of what the BERT and the CNN14 that are best on validation predict, whatever their "
    "seeds: so it was made in the paper's Table 4, as the covariances of predictions and truths show that follow from "
    "its CCC and MSE."
)
UNUSED = {"sgd": ("weight_decay", "warmup_steps", "total_steps"), "adam": ("momentum", "crop_seconds")}
CHOICES: dict[str, Callable[[ModelSpec], bool]] = {
    "conditioning": lambda spec: spec.fuses,
    "tokens in the mean": lambda spec: spec.uses_text,
    "BERT's head": lambda spec: spec.uses_text and not spec.uses_audio,
}
"""Facts of `published.facts` that are no setting, and not in the paper's text -> the models that they are about."""
KINDS: dict[str, "type[DataclassInstance]"] = {
    "features": settings.FeatureSettings,
    "text": settings.TextSettings,
    "network": settings.NetworkSettings,
}


def notes(results: Results, shown: pd.DataFrame) -> tuple[str, ...]:
    """The notes that every table of `results` carries; `shown` are its numbers, with the corpora's columns."""
    return (
        *caveats(results),
        *missing(results),
        *short_of_baseline(results),
        *protocol(results, shown),
        best(results),
        *departures(results),
        *recipes(results),
    )


def simulated(results: Results) -> tuple[str, ...]:
    """A warning where the speech is synthesised."""
    text = "Simulated: the speech and its emotions are synthesised; the paper's numbers are of real speech."
    return (text,) if results.simulated else ()


def caveats(results: Results) -> tuple[str, ...]:
    """What every score of `results` must be read with: that speech is synthesised, that test recordings were used."""
    runs = results.study.section(results.section)
    over = {over for run in runs if (over := settings.normalised_over(run.parameters, size_of(run)))}
    return (*simulated(results), *(unlabelled_text(name) for name in ("speaker", "corpus") if name in over))


def unlabelled_text(over: str) -> str:
    """That log-mels are normalised over "speaker" or "corpus", with what it takes of the test set."""
    return (
        f"Unlabelled test recordings are used: log-mels are normalised over all recordings of each {over}, in testing "
        "over those of the test set too; a method that sees one recording at a time has less to go by."
    )


def missing(results: Results) -> tuple[str, ...]:
    """Which runs are missing, if any."""
    if not results.missing:
        return ()
    names = first((run.name for run in results.missing), most=8)
    return (f"Incomplete: {count_of_missing(results)} ({names}); the scores are of the others.",)


def short_of_baseline(results: Results) -> tuple[str, ...]:
    """Which runs are not better than the regression on mel statistics that stands beside them, if any."""
    short = [
        f"{run.name} ({gain})"
        for run in results.study.section(results.section)
        if run.complete
        for gain in baseline.gains(run.folder)
        if not gain.better
    ]
    if not short:
        return ()
    return (f"WARNING: not better than mel statistics, {baseline.WHAT}: {first(short, most=8)}.",)


def recipes(results: Results) -> tuple[str, ...]:
    """What recipes chose for the runs, if any asked for one, and by what."""
    runs = results.study.section(results.section)
    asked = [run.folder for run in runs if run.complete and settings.recipe_of(run.parameters)]
    return tuple(dict.fromkeys(map(recipe_of, asked)))


def recipe_of(folder: Path) -> str:
    """What the recipe of the complete run in `folder`, which asked for one, chose, in a sentence."""
    record = (files.find_json(folder / files.PROVENANCE) or {}).get("recipe")
    return recipe_text(record) if record else f"What the recipe of {folder.name} chose was not recorded."


def size_of(run: Run) -> settings.Size | None:
    """What the recipe of `run` went by; None where it asks for none, or what it went by is not recorded."""
    if settings.recipe_of(run.parameters) is None:
        return None
    record = (files.find_json(run.folder / files.PROVENANCE) or {}).get("recipe")
    return settings.Size(**record["size"]) if record else None


def keeps_last(run: Run) -> bool:
    """Whether `run` kept the last epoch of each training, as its provenance has it, and not the best."""
    record = files.find_json(run.folder / files.PROVENANCE) or {}
    return bool(record.get("settings", {}).get("training", {}).get("kept_epoch") == "last")


def recipe_text(record: Mapping[str, Any]) -> str:
    """`record`, of a run's provenance, as a sentence: recipe, size, and every setting that it chose."""
    size, chose = record["size"], []
    for kind, values in record["chose"].items():
        for name, value in values.items():
            parts = value.items() if isinstance(value, Mapping) else ()
            chose += [f"{kind}.{name}.{part} {of_part}" for part, of_part in parts] or [f"{kind}.{name} {value}"]
    return (
        f"Recipe {record['name']}, for {size['utterances']} training utterances of {size['speakers']} known speakers, "
        f"chose {', '.join(chose) or 'nothing: all is given'}."
    )


def count_of_missing(results: Results) -> str:
    """How many runs are missing, in words."""
    return "1 run is missing" if len(results.missing) == 1 else f"{len(results.missing)} runs are missing"


def markers(results: Results) -> tuple[str, ...]:
    """What the markers and the numbers in brackets mean."""
    seeds = results.scores.groupby("model", observed=True)["seed"].nunique()
    few = " With fewer than two seeds nothing is tested." if seeds.min() < 2 else ""
    return (
        f"Mean (sd, ddof 0) over {seeds.max()} seeds. * differs from CNN14, † from BERT: the paper's two-sided "
        f"independent-samples t-test over the seeds, alpha .05, not corrected for the number of tests.{few}",
        *(text for text in (LATE_FUSION_NOTE,) if LATE_FUSION in seeds),
    )


def protocol(results: Results, shown: pd.DataFrame) -> tuple[str, ...]:
    """What was trained, selected and tested on for each pair of corpora in `shown`, with the counts."""
    test, sentences = results.predictions[results.predictions["partition"] == "test"], []
    runs = [run for run in results.study.section(results.section) if run.complete]
    pairs = shown[["train_corpus", "test_corpus"]].drop_duplicates().itertuples(index=False)
    for train, other in sorted(pairs, key=lambda pair: (CORPORA.position(pair[0]), pair[0] != pair[1], *pair)):
        rows = test[(test["train_corpus"] == train) & (test["test_corpus"] == other)]
        folds = list(rows["fold"].unique())
        tested = f"tested on {rows['utterance'].nunique()} utterances of {rows['speaker'].nunique()} known speakers"
        last = [keeps_last(run) for run in runs if run.parameters.get("corpus") == train]
        kept = _epoch_kept(last, results.section, "the development partition")
        how = f"trained on the training partition, {kept}"
        if any(MADE_HERE.fullmatch(str(fold)) for fold in folds):
            tested += f"; the split was made here: {first(map(str, folds))} (what was split, and the seed)"
        elif folds != [OFFICIAL]:
            in_paper = train in CORPORA and CORPORA[train].in_paper
            few = train == "iemocap" and len(folds) < IEMOCAP_FOLDS
            named = f" of {IEMOCAP_FOLDS} ({first(folds, most=IEMOCAP_FOLDS)})" if few else ""
            other_speaker = "the other speaker of the session" + ("" if in_paper else ", or the next speaker")
            how = (
                f"leave one speaker out, {len(folds)} folds{named}; {_epoch_kept(last, results.section, other_speaker)}"
            )
            if train != other:
                tested = f"the model of every fold {tested}, mean of their scores"
        sentences.append(f"{CORPORA.label(train)} → {CORPORA.label(other)}: {how}; {tested}.")
    return tuple(sentences)


def _epoch_kept(last: Collection[bool], section: str, place: str) -> str:
    """Which epoch is kept: chosen on `place`, or the last, where of `last`, whether runs do that, some or all are."""
    if all(last) and last:
        return "last epoch kept"
    chosen = f"epoch chosen by {_selected_by(section)} on {place}"
    return f"{chosen}, or the last kept" if any(last) else chosen


def best(results: Results) -> str:
    """What "best on validation" picks."""
    ties = results.best.drop_duplicates(["model", "train_corpus", "seed"])["ties"].gt(1).sum()
    count = "no ties here" if not ties else "1 tie here" if ties == 1 else f"{ties} ties here"
    return (
        f"Best on validation: per architecture and training corpus the seed with the highest "
        f"{_selected_by(results.section)} on the development utterances (folds pooled); ties go to the lowest seed "
        f"({count}). LF is the mean of the models that are so chosen."
    )


def late_fusion(results: Results) -> tuple[str, ...]:
    """How late fusion is made where only the models that are best on validation are shown."""
    return (LATE_FUSION_OF_BEST,) if LATE_FUSION in set(results.predictions["model"]) else ()


def departures(results: Results) -> tuple[str, ...]:
    """How the settings differ from the paper's, and which of the paper's its text does not confirm."""
    differ, doubted = [], []
    runs = sorted(results.study.section(results.section), key=lambda run: MODELS.position(run.parameters["model"]))
    for run in runs:
        model = run.parameters["model"]
        if not MODELS[model].in_paper:
            continue
        for _, name, value, paper, doubt in compared(model, run.parameters, size_of(run)):
            if value != paper:
                differ.append(
                    (MODELS.label(model), f"{name} {value}", f"the paper{f', {doubt}' if doubt else ''}: {paper}")
                )
            elif doubt:
                doubted.append((MODELS.label(model), f"{name} {value}", doubt))
    remarks = {"Settings other than the paper's": differ, "Settings that the paper's text does not confirm": doubted}
    about = [f"{c.fact}: {c.here} ({c.models}, {c.doubt})" for c in choices(run.parameters["model"] for run in runs)]
    settled_here = (f"Neither settings nor fixed by the paper's text: {'; '.join(about)}.",) if about else ()
    return (*(f"{what}: {_by_models(rows)}." for what, rows in remarks.items() if rows), *settled_here)


class Choice(NamedTuple):
    """What is done where the paper's text does not say it and no setting does."""

    fact: str
    here: str
    doubt: str
    models: str  # that it is about, in print


def choices(models: Iterable[str]) -> list[Choice]:
    """Every one of CHOICES that is about any of `models` of the paper."""
    facts = published.facts().set_index("fact")
    specs = [MODELS[name] for name in sorted(set(models), key=MODELS.position) if MODELS[name].in_paper]
    rows = []
    for fact, concerns in CHOICES.items():
        row, of = facts.loc[fact], ", ".join(spec.label for spec in specs if concerns(spec))
        unstated = row["certainty"] == "-"
        here, doubt = (row["note"], row["meaning"]) if unstated else (row["value"], f"inferred ({row['note']})")
        rows += [Choice(fact, here.replace(";", ","), doubt, of)] if of else []
    return rows


class Compared(NamedTuple):
    """A setting beside the paper's."""

    kind: str  # of settings.SETTINGS
    name: str
    value: Any
    paper: Any
    doubt: str  # about the paper's value; empty: its text confirms it


def compared(model: str, parameters: Mapping[str, Any], size: settings.Size | None = None) -> list[Compared]:
    """Every setting that `model` uses, beside the paper's.

    `size` is what a recipe goes by, see `size_of`: with it, what that chooses is among them.
    """
    spec = MODELS[model]
    used = [kind for kind in KINDS if (spec.uses_text if kind == "text" else spec.uses_audio)]
    run = {**parameters, "model": model}
    pairs = [(kind, settings.of_run(run, kind, size), KINDS[kind]()) for kind in used]
    ours, paper = settings.of_run(run, "training", size), settings.training(model, {})
    unused = UNUSED[ours.optimiser]
    return [
        Compared(kind, f.name, getattr(mine, f.name), getattr(theirs, f.name), settings.doubts(mine).get(f.name, ""))
        for kind, mine, theirs in [*pairs, ("training", ours, paper)]
        for f in fields(mine)
        if f.name not in unused
    ]


def _selected_by(section: str) -> str:
    return SECTIONS[section].selected_by if section in SECTIONS else "development score"


def _by_models(rows: list[tuple[str, str, str]]) -> str:
    """(model, setting, remark) in words, settings of the same models together, and of the same remark."""
    table = pd.DataFrame(rows, columns=["models", "setting", "remark"]).drop_duplicates()
    table = table.groupby(["setting", "remark"], sort=False)["models"].agg(", ".join).reset_index()
    sentences = []
    for models, group in table.groupby("models", sort=False):
        parts = group.groupby("remark", sort=False)["setting"].agg(", ".join)
        sentences.append(f"{models}: " + ", ".join(f"{settings} ({remark})" for remark, settings in parts.items()))
    return "; ".join(sentences)
