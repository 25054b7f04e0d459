"""Run folders -> the predictions of a section of a study, with late fusion wherever both its halves are there.

Nothing here trains or needs torch: a run is what lies in its folder.

Predictions -> scores as the paper reports them, and which seed is the best on validation.

The same functions score any part of the predictions: a style, a gender, a speaker.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sercore import files, metrics
from sercore.schema import EMOTION, MODELS, PROBABILITY, RUN_KEYS, check_predictions, first, probability_columns
from sercore.study import config

OFFICIAL = "official"  # the name of the one fold of a corpus that has partitions of its own
PERCENT = 100  # unweighted average recall is shown in %
SINGLE_TASK = "dimensions"  # the section in which every target has a model of its own
SCORE_KEYS = ("section", "model", "train_corpus", "test_corpus", "seed", "partition", "target")
MODEL_KEYS = ["section", "model", "train_corpus", "target", "seed"]
FUNCTIONS = {
    "ccc": metrics.concordance_correlation,
    "pcc": metrics.pearson_correlation,
    "mse": metrics.mean_squared_error,
}


def classes(predictions: pd.DataFrame) -> list[str]:
    """The classes that the predictions choose from, in the order of the probability columns."""
    named = [column.removeprefix(PROBABILITY) for column in probability_columns(predictions)]
    if named:
        return named
    emotions = predictions[predictions["target"] == EMOTION]
    return sorted(set(emotions["truth"].astype(object)) | set(emotions["prediction"].astype(object)))


def scores(predictions: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """Scores as the paper reports them, one row per model, corpora, seed, partition, target, metric and pooling.

    Emotions: `uar` in %. Dimensions: `ccc` and `mse` in-domain (the squared error in units of the corpus's scale),
    `pcc` across corpora, whose scales differ (section 4.2). `pooling` says how the folds of the training corpus come
    together: `single` (official partitions, one model), `pooled` (one score over the predictions of all folds), `folds`
    (the mean of the folds' scores). In-domain both are given, since the paper does not say which it took; across
    corpora the model of every fold predicts the whole test corpus, and the paper takes the mean (section 4.2). A fold
    that lacks a class makes the mean NaN.

    `by` names columns whose values are scored apart: style, gender, speaker; rows where they are missing are left out.
    The columns `folds` and `utterances` count what is behind a score.
    """
    keys = [*SCORE_KEYS, *by]
    labels = classes(predictions)
    rows = []
    for key, group in predictions.groupby(keys, observed=True, sort=False):
        found = dict(zip(keys, key, strict=True))
        in_domain = found["train_corpus"] == found["test_corpus"]
        folds = [fold for _, fold in group.groupby("fold", observed=True, sort=False)]
        single = len(folds) == 1 and (group["fold"] == OFFICIAL).all()
        counts = {"folds": len(folds), "utterances": group["utterance"].nunique()}
        for metric in _metrics(found["target"], in_domain):
            pooled = {} if single or not in_domain else {"pooled": score(group, metric, labels)}
            mean = pd.Series([score(fold, metric, labels) for fold in folds]).mean(skipna=False)
            for pooling, value in {**pooled, "single" if single else "folds": mean}.items():
                rows.append({**found, "metric": metric, "pooling": pooling, "score": value, **counts})
    table = pd.DataFrame(rows, columns=[*keys, "metric", "pooling", "score", "folds", "utterances"])
    place = table["model"].map({model: place for place, model in enumerate(MODELS)})
    order = ["section", "place", *keys[2:]]
    return table.assign(place=place).sort_values(order, kind="stable", ignore_index=True).drop(columns="place")


def score(predictions: pd.DataFrame, metric: str, labels: Sequence[str]) -> float:
    """One number for all of `predictions`, which are of one target: `uar` [%] over `labels`, `ccc`, `pcc` or `mse`."""
    if metric == "uar":
        return PERCENT * metrics.unweighted_average_recall(predictions["truth"], predictions["prediction"], labels)
    return FUNCTIONS[metric](predictions["truth"], predictions["prediction"])


def best_on_validation(scored: pd.DataFrame) -> pd.DataFrame:
    """The seed of each model that is best on its training corpus's development utterances, one row per target.

    `scored` is a table of `scores`. The measure is the section's own: UAR for emotions, CCC for a dimension that has a
    model of its own, the mean CCC of the three for a model of all; over the pooled folds under leave-one-speaker-out.
    Ties go to the lowest seed, and `ties` counts the seeds that share the best score. Late fusion, which nobody
    selects, is chosen by its own score on the development utterances.

    Columns: section, model, train_corpus, target, seed, development, ties. Raises ValueError where no seed of a model
    has a score, as when the development utterances lack a class.
    """
    development = scored[
        (scored["partition"] == "development")
        & (scored["train_corpus"] == scored["test_corpus"])
        & scored["metric"].isin(("uar", "ccc"))
        & scored["pooling"].isin(("single", "pooled"))
    ]
    together = [key for key in MODEL_KEYS if key != "target"]
    mean = development.groupby(together, observed=True)["score"].transform("mean")
    single = development["section"] == SINGLE_TASK
    development = development.assign(development=development["score"].where(single, mean))
    keys = [key for key in MODEL_KEYS if key != "seed"]
    rows = []
    for key, group in development.groupby(keys, observed=True, sort=False):
        best = group[group["development"] == group["development"].max()].sort_values("seed")
        if best.empty:
            raise ValueError(
                f"no seed of {first(key)} has a score on the development utterances; do they lack a class?"
            )
        chosen = {"seed": best["seed"].iloc[0], "development": best["development"].iloc[0], "ties": len(best)}
        rows.append({**dict(zip(keys, key, strict=True)), **chosen})
    return pd.DataFrame(rows, columns=[*keys, "seed", "development", "ties"])


def of_best(table: pd.DataFrame, best: pd.DataFrame) -> pd.DataFrame:
    """The rows of `table` (predictions or scores) that come from the models in `best`, see `best_on_validation`."""
    chosen = pd.MultiIndex.from_frame(best[MODEL_KEYS].astype(object))
    return table[pd.MultiIndex.from_frame(table[MODEL_KEYS].astype(object)).isin(chosen)]


def _metrics(target: str, in_domain: bool) -> tuple[str, ...]:
    if target == EMOTION:
        return ("uar",)
    return ("ccc", "mse") if in_domain else ("pcc",)


TEXT_BASELINE, ACOUSTIC_BASELINE, LATE_FUSION = "bert", "cnn14", "lf"
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
    halves = predictions[predictions["model"].isin((TEXT_BASELINE, ACOUSTIC_BASELINE))]
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
    voice, text = (
        both.iloc[wide[model].astype("int64")].reset_index(drop=True) for model in (ACOUSTIC_BASELINE, TEXT_BASELINE)
    )
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
