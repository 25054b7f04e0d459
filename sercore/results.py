"""Run folders -> the predictions of a section of a study, with late fusion wherever both its halves are there.

Nothing here trains or needs torch: a run is what lies in its folder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sercore import config, files
from sercore.schema import EMOTION, PROBABILITY, RUN_KEYS, check_predictions, first, probability_columns
from sercore.scores import best_on_validation, classes, scores

TEXT, VOICE, LATE_FUSION = "bert", "cnn14", "lf"
BY_HAND = "outputs/by-hand/residuals"  # of a notebook that no study runs
LINES = "lines.csv"


@dataclass(frozen=True)
class Results:
    """What a section of a study has come to: the predictions of its complete runs, and the runs that are missing."""

    study: config.Study
    section: str
    predictions: pd.DataFrame  # of the complete runs, and of late fusion wherever both its halves are there
    missing: tuple[config.Run, ...] = ()

    @property
    def simulated(self) -> bool:
        """Whether any of the predictions is of synthesised speech."""
        return bool(self.predictions["simulated"].any())

    @cached_property
    def scores(self) -> pd.DataFrame:
        """`scores` of the predictions, computed once."""
        return scores(self.predictions)

    @cached_property
    def best(self) -> pd.DataFrame:
        """`best_on_validation` of the scores, computed once."""
        return best_on_validation(self.scores)


def read(
    study: config.Study | str | Path,
    section: str,
    incomplete: str = "refuse",
    runs: Sequence[config.Run] | None = None,
) -> Results:
    """The predictions of every run of `section`, or of those of its `runs` that are given, late fusion added.

    `study` is a study or its parameters file. Where runs are missing, `incomplete="refuse"` raises FileNotFoundError
    that names them and the command that makes them; `"show"` reads the others and carries the missing ones, which
    every table names under itself. Text columns come as categories: about 40 bytes a prediction, some 400
    while reading.
    """
    if incomplete not in ("refuse", "show"):
        raise ValueError(f"incomplete is '{incomplete}'; expected 'refuse' or 'show'")
    study = study if isinstance(study, config.Study) else config.load(study)
    runs = study.section(section) if runs is None else tuple(runs)
    missing = tuple(run for run in runs if not run.complete)
    if missing and (incomplete == "refuse" or len(missing) == len(runs)):
        raise FileNotFoundError(
            f"{len(missing)} of {len(runs)} runs of section '{section}' are not complete, "
            f"{first(run.name for run in missing)}; make them with {_command(study)}"
            + ("" if len(missing) == len(runs) else ", or read what is there with incomplete='show'")
        )
    tables = [_read_run(run) for run in runs if run.complete]
    everything = (
        pa.concat_tables(tables, promote_options="default").unify_dictionaries().to_pandas(ignore_metadata=True)
    )
    source = f"section '{section}' of {_shown(study.path)}"
    predictions = check_predictions(_with_class_order(_with_same_corpora(everything), source), source)
    return Results(study=study, section=section, predictions=with_late_fusion(predictions), missing=missing)


def read_history(study: config.Study | str | Path, section: str) -> pd.DataFrame:
    """The learning curves of every complete run of `section`, one row an epoch.

    Columns: run, model, corpus, seed and whatever else tells the runs apart, then those of the runs' histories: fold,
    epoch, loss, development, learning_rate, seconds, best. Raises FileNotFoundError where no run has a history.
    """
    study = study if isinstance(study, config.Study) else config.load(study)
    runs = [run for run in study.section(section) if run.complete and (run.folder / files.HISTORY).exists()]
    if not runs:
        raise FileNotFoundError(
            f"no complete run of section '{section}' has a {files.HISTORY}; make them with {_command(study)}"
        )
    histories = []
    for run in runs:
        grid = {key: value for key, value in run.parameters.items() if f"{key}={value}" in run.name.split(",")}
        history = pd.read_csv(run.folder / files.HISTORY, dtype={"fold": "str"})
        histories.append(pd.DataFrame({"run": run.name, **grid}, index=history.index).join(history))
    return pd.concat(histories, ignore_index=True)


def of_run(results: Results, model: str, corpus: str, seed: int) -> pd.DataFrame:
    """The predictions of one model and seed, trained on `corpus`, for its own corpus's test utterances.

    `model` may be `lf`. Raises ValueError, with what there is, where there is no such run.
    """
    table = results.predictions
    table = table[(table["partition"] == "test") & (table["train_corpus"] == table["test_corpus"])]
    found = table[(table["model"] == model) & (table["train_corpus"] == corpus) & (table["seed"] == seed)]
    if found.empty:
        there = table[["model", "train_corpus", "seed"]].drop_duplicates().sort_values(["model", "seed"])
        names = first((f"{row.model} of {row.train_corpus} with seed {row.seed}" for row in there.itertuples()), most=8)
        raise ValueError(f"no complete run of {model} of {corpus} with seed {seed}; there are {names}")
    return found


def write_residuals(
    errors: pd.DataFrame, lines: pd.DataFrame, folder: str | Path, model: str, corpus: str, seed: int
) -> Path:
    """Write a run's residuals and their lines into `folder`, the residuals last; returns the path of these.

    `errors` and `lines` are tables of residuals.residual_table and residuals.fit_lines; an empty `folder` means one
    below outputs/by-hand, named after the run.
    """
    folder = files.resolve(folder or f"{BY_HAND}/model={model},corpus={corpus},seed={seed}")
    files.write_table(folder / LINES, lines)
    files.write_json(folder / files.PROVENANCE, files.provenance(model=model, corpus=corpus, seed=seed))
    files.write_table(folder / files.RESIDUALS, errors)
    return folder / files.RESIDUALS


def with_late_fusion(predictions: pd.DataFrame) -> pd.DataFrame:
    """`predictions` and the rows of `late_fusion`, the columns of text still as categories."""
    fused = late_fusion(predictions)
    if fused.empty:
        return predictions
    known = pd.CategoricalDtype([*predictions["model"].astype("category").cat.categories, LATE_FUSION])
    parts = [part.assign(model=part["model"].astype(known)) for part in (predictions, fused)]
    return pd.concat(parts, ignore_index=True)


def late_fusion(predictions: pd.DataFrame) -> pd.DataFrame:
    """Rows of model `lf`: the mean of what `bert` and `cnn14` of one seed and fold say of an utterance (section 3).

    Categories: the mean of the two probabilities of each class, and the class where it is highest (the first of them
    at a tie); dimensions: the mean of the two ratings. Where one of the two was not run at all for a section, pair of
    corpora, fold and seed there is no late fusion and no row. Raises ValueError where both were run but do not
    cover the same utterances, where they disagree about a truth, and where a prediction is there twice.
    """
    halves = predictions[predictions["model"].isin((TEXT, VOICE))]
    runs = [*(key for key in RUN_KEYS if key != "model"), "partition", "target"]
    models = halves[[*runs, "model"]].drop_duplicates().groupby(runs, observed=True, sort=False)["model"].size()
    both = halves.merge(models[models == 2].index.to_frame(index=False), on=runs)
    if both.empty:
        return predictions.iloc[:0]
    both = both.assign(row=range(len(both)))
    try:
        wide = both.pivot(index=[*runs, "utterance"], columns="model", values="row")
    except ValueError as error:
        raise ValueError(
            "late fusion: a prediction of bert or cnn14 is there twice; expected one row an utterance and run"
        ) from error
    alone = wide.index[wide.isna().any(axis=1)]
    if len(alone):
        raise ValueError(
            f"late fusion: {len(alone)} utterances were predicted by only one of bert and cnn14, "
            f"{first(alone.get_level_values('utterance'))}; both must be evaluated on the same utterances"
        )
    voice, text = (both.iloc[wide[model].astype("int64")].reset_index(drop=True) for model in (VOICE, TEXT))
    apart = voice[voice["truth"].astype(object) != text["truth"].astype(object)]
    if len(apart):
        raise ValueError(
            f"late fusion: bert and cnn14 hold different truths of {len(apart)} utterances, {first(apart['utterance'])}"
        )
    emotions = (both["target"] == EMOTION).all()
    values = probability_columns(both) if emotions else ["prediction"]
    fused = voice.drop(columns="row").assign(model=LATE_FUSION)
    fused[values] = (text[values].astype("float64") + voice[values].astype("float64")) / 2
    if emotions:
        decided = fused[values].idxmax(axis=1).str.removeprefix(PROBABILITY)
        fused["prediction"] = decided.astype(predictions["prediction"].dtype)
    return fused


def _read_run(run: config.Run) -> pa.Table:
    """The predictions of one run, every column of text as a dictionary."""
    path = run.folder / files.PREDICTIONS
    text = [field.name for field in pq.read_schema(path) if _is_text(field.type)]
    table = pq.read_table(path, read_dictionary=text)
    sections = set(table["section"].unique().to_pylist())
    if sections != {run.section}:
        raise ValueError(
            f"{path} holds section {first(sorted(sections))}, expected '{run.section}': it was not made by this run"
        )
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_dictionary(column.type):
            columns[name] = column
        elif _is_text(column.type) or pa.types.is_null(column.type):
            columns[name] = column.cast(pa.string()).dictionary_encode()
        elif name in ("truth", "prediction"):
            columns[name] = column.cast(pa.float64())
        else:
            columns[name] = column
    return pa.table(columns)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _with_same_corpora(predictions: pd.DataFrame) -> pd.DataFrame:
    """`predictions` whose two columns of corpora are categories of one type, so that they can be compared."""
    columns = ["train_corpus", "test_corpus"]
    known = pd.CategoricalDtype(sorted(set().union(*(predictions[column].unique() for column in columns))))
    return predictions.assign(**{column: predictions[column].astype(known) for column in columns})


def _with_class_order(predictions: pd.DataFrame, source: str) -> pd.DataFrame:
    """`predictions` whose emotions are categories of one type, in the order of the probability columns."""
    if not (predictions["target"] == EMOTION).all():
        return predictions
    kind = pd.CategoricalDtype(classes(predictions))
    for column in ("truth", "prediction"):
        unknown = set(predictions[column].unique()) - set(kind.categories)
        if unknown:
            raise ValueError(
                f"{source}: {column} is {first(map(repr, unknown))}, a class without a column of probabilities; "
                f"expected {', '.join(kind.categories)}"
            )
    return predictions.assign(
        truth=predictions["truth"].cat.set_categories(kind.categories),
        prediction=predictions["prediction"].cat.set_categories(kind.categories),
    )


def _shown(path: Path) -> str:
    """`path` as a reader would type it: relative to the project's folder where it lies below it."""
    return str(path.relative_to(files.project())) if path.is_relative_to(files.project()) else str(path)


def _command(study: config.Study) -> str:
    return f"`sercore run {_shown(study.path)}`"
