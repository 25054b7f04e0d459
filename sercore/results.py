"""Run folders -> the predictions of a section of a study; late fusion; predictions -> scores.

Nothing here trains or needs torch: a run is what lies in its folder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sercore import config, files, metrics
from sercore.schema import DIMENSIONS, EMOTION, MODELS, PROBABILITY, RUN_KEYS, check_predictions, first, probability_columns

OFFICIAL = "official"  # the name of the one fold of a corpus that has partitions of its own
TEXT, VOICE, LATE_FUSION = "bert", "cnn14", "lf"
PERCENT = 100  # unweighted average recall is shown in %
POOLINGS = ("single", "pooled", "folds")
SCORE_KEYS = ("section", "model", "train_corpus", "test_corpus", "seed", "partition", "target")
SINGLE_TASK = "dimensions"  # the section in which every target has a model of its own


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
        """`best_on_validation` of the predictions, computed once."""
        return best_on_validation(self.predictions, self.scores)


def read(study: config.Study | str | Path, section: str, incomplete: str = "refuse") -> Results:
    """The predictions of every run of `section`, late fusion added.

    `study` is a study or its parameters file. Where runs are missing, `incomplete="refuse"` raises FileNotFoundError
    that names them and the command that makes them; `"show"` reads the others and carries the missing ones, which
    every table names under itself. Text columns come as categories: a full-size study stays below 1 GB.
    """
    if incomplete not in ("refuse", "show"):
        raise ValueError(f"incomplete is '{incomplete}'; expected 'refuse' or 'show'")
    study = study if isinstance(study, config.Study) else config.load(study)
    runs = study.section(section)
    missing = tuple(run for run in runs if not run.complete)
    if missing and (incomplete == "refuse" or len(missing) == len(runs)):
        raise FileNotFoundError(
            f"{len(missing)} of {len(runs)} runs of section '{section}' are not complete, "
            f"{first(run.name for run in missing)}; make them with `sercore run {_shown(study.path)}`"
            + ("" if len(missing) == len(runs) else ", or read what is there with incomplete='show'")
        )
    tables = [_read_run(run) for run in runs if run.complete]
    everything = pa.concat_tables(tables, promote_options="default").unify_dictionaries().to_pandas(ignore_metadata=True)
    predictions = check_predictions(_with_class_order(everything), f"section '{section}' of {_shown(study.path)}")
    return Results(study=study, section=section, predictions=with_late_fusion(predictions), missing=missing)


def read_history(study: config.Study | str | Path, section: str) -> pd.DataFrame:
    """The learning curves of every complete run of `section`: the columns of its history, and the run's name, model and seed.

    Columns: run, model, seed, fold, epoch, loss, development, learning_rate, seconds, best, and the parameters of the run
    that are plain values and differ between runs.
    """
    study = study if isinstance(study, config.Study) else config.load(study)
    runs = [run for run in study.section(section) if (run.folder / files.HISTORY).exists()]
    if not runs:
        raise FileNotFoundError(f"no run of section '{section}' has a {files.HISTORY}; make them with `sercore run {_shown(study.path)}`")
    histories = []
    for run in runs:
        history = pd.read_csv(run.folder / files.HISTORY, dtype={"fold": "str"})
        plain = {key: value for key, value in run.parameters.items() if isinstance(value, str | int) and key not in history}
        histories.append(history.assign(run=run.name, **plain))
    together = pd.concat(histories, ignore_index=True)
    same = [column for column in together if column not in ("model", "seed", "run", "fold") and together[column].nunique() == 1]
    keep = {"epoch", "loss", "development", "learning_rate", "seconds", "best"}
    return together.drop(columns=[column for column in same if column not in keep])


def with_late_fusion(predictions: pd.DataFrame) -> pd.DataFrame:
    """`predictions` and the rows of `late_fusion`, the columns of text still as categories."""
    fused = late_fusion(predictions)
    if fused.empty:
        return predictions
    known = pd.CategoricalDtype([*predictions["model"].astype("category").cat.categories, LATE_FUSION])
    parts = [part.assign(model=part["model"].astype(known)) for part in (predictions, fused)]
    return pd.concat(parts, ignore_index=True)


def late_fusion(predictions: pd.DataFrame) -> pd.DataFrame:
    """Rows of model `lf`: the mean of what `bert` and `cnn14` of the same seed and fold say of an utterance (section 3).

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
    probabilities = probability_columns(both)
    # Dimensions have no probabilities, and a table of both has them missing there.
    values = probabilities if (both["target"] == EMOTION).all() else ["prediction"]
    both = both.assign(row=range(len(both)))
    try:
        wide = both.pivot(index=[*runs, "utterance"], columns="model", values=["row", *values])
    except ValueError as error:
        raise ValueError("late fusion: a prediction of bert or cnn14 is there twice; one row an utterance and run is expected") from error
    alone = wide.index[wide["row"].isna().any(axis=1)]
    if len(alone):
        raise ValueError(
            f"late fusion: {len(alone)} utterances were predicted by only one of bert and cnn14, "
            f"{first(alone.get_level_values('utterance'))}; both must be evaluated on the same utterances"
        )
    voice = both.iloc[wide["row", VOICE].astype("int64").to_numpy()].reset_index(drop=True)
    text = both.iloc[wide["row", TEXT].astype("int64").to_numpy()].reset_index(drop=True)
    apart = voice[voice["truth"].astype(object) != text["truth"].astype(object)]
    if len(apart):
        raise ValueError(f"late fusion: bert and cnn14 hold different truths of {len(apart)} utterances, {first(apart['utterance'])}")
    fused = voice.drop(columns="row").assign(model=LATE_FUSION)
    fused[values] = (text[values].astype("float64") + voice[values].astype("float64")) / 2
    if probabilities:
        decided = fused[probabilities].idxmax(axis=1).str.removeprefix(PROBABILITY)
        fused["prediction"] = decided.astype(predictions["prediction"].dtype)
    return fused


def classes(predictions: pd.DataFrame) -> list[str]:
    """The classes that the predictions choose from, in the order of the probability columns."""
    named = [column.removeprefix(PROBABILITY) for column in probability_columns(predictions)]
    if named:
        return named
    emotions = predictions[predictions["target"] == EMOTION]
    return sorted(set(emotions["truth"].astype(object)) | set(emotions["prediction"].astype(object)))


def scores(predictions: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """Scores as the paper reports them, one row per section, model, corpora, seed, partition, target, metric and pooling.

    Emotions: `uar` in %. Dimensions: `ccc` and `mse` in-domain (the mean squared error in units of the corpus's scale),
    `pcc` across corpora, whose scales differ (section 4.2). `pooling` says how the folds of the training corpus come together:
    `single` (official partitions, one model), `pooled` (one score over the predictions of all folds), `folds` (the mean of
    the folds' scores). In-domain both are given, since the paper does not say; across corpora every fold's model predicts the
    whole test corpus, so that only `folds` has a meaning (section 4.2). A fold that lacks a class makes the mean NaN.
    `by` adds columns that are scored apart: style, gender, speaker. Columns `folds` and `utterances` hold the counts.
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
            apart = pd.Series([score(fold, metric, labels) for fold in folds]).mean(skipna=False)
            for pooling, value in {**pooled, "single" if single else "folds": apart}.items():
                rows.append({**found, "metric": metric, "pooling": pooling, "score": value, **counts})
    table = pd.DataFrame(rows, columns=[*keys, "metric", "pooling", "score", "folds", "utterances"])
    order = table["model"].map({model: place for place, model in enumerate(MODELS)})
    return table.assign(order=order).sort_values(["section", "order", *keys[2:]], kind="stable", ignore_index=True).drop(columns="order")


def score(predictions: pd.DataFrame, metric: str, labels: Sequence[str]) -> float:
    """One number for all of `predictions`, which are of one target: `uar` [%] over `labels`, `ccc`, `pcc` or `mse`."""
    truth, prediction = predictions["truth"].to_numpy(), predictions["prediction"].to_numpy()
    if metric == "uar":
        return PERCENT * metrics.unweighted_average_recall(truth, prediction, labels)
    function = {"ccc": metrics.concordance_correlation, "pcc": metrics.pearson_correlation, "mse": metrics.mean_squared_error}[metric]
    return function(truth.astype("float64"), prediction.astype("float64"))


def best_on_validation(predictions: pd.DataFrame, scored: pd.DataFrame | None = None) -> pd.DataFrame:
    """The seed of each model that is best on its training corpus's development utterances, one row per target.

    The measure is the section's own: UAR for emotions, CCC for a dimension that has a model of its own, the mean CCC of the
    three for a model of all; over the pooled folds under leave-one-speaker-out. Ties go to the lowest seed, and `ties`
    counts the seeds that share the best score. Late fusion is chosen by its own score on the development utterances.
    Columns: section, model, train_corpus, target, seed, development, ties. Raises ValueError where no seed has a score.
    """
    scored = scores(predictions[predictions["partition"] == "development"]) if scored is None else scored
    development = scored[(scored["partition"] == "development") & (scored["train_corpus"] == scored["test_corpus"])]
    development = development[development["metric"].isin(("uar", "ccc")) & development["pooling"].isin(("single", "pooled"))]
    # A model of one target is chosen by it; a model of three by their mean, the same seed for each.
    model_keys = ["section", "model", "train_corpus"]
    means = development.groupby([*model_keys, "seed"], observed=True, sort=False)["score"].mean().rename("mean").reset_index()
    development = development.merge(means, on=[*model_keys, "seed"])
    apart = development["section"].eq(SINGLE_TASK)
    development = development.assign(development=development["score"].where(apart, development["mean"]))
    rows = []
    for key, group in development.groupby([*model_keys, "target"], observed=True, sort=False):
        if group["development"].isna().all():
            raise ValueError(f"no seed of {first(key)} has a score on its development utterances; do they hold every class?")
        best = group[group["development"] == group["development"].max()].sort_values("seed")
        chosen = {"seed": best["seed"].iloc[0], "development": best["development"].iloc[0], "ties": len(best)}
        rows.append({**dict(zip([*model_keys, "target"], key, strict=True)), **chosen})
    return pd.DataFrame(rows)


def of_best(predictions: pd.DataFrame, best: pd.DataFrame) -> pd.DataFrame:
    """The rows of `predictions` that come from the models in `best`, a table of `best_on_validation`."""
    keys = ["section", "model", "train_corpus", "target", "seed"]
    chosen = pd.MultiIndex.from_frame(best[keys])
    return predictions[pd.MultiIndex.from_frame(predictions[keys].astype({key: object for key in keys[:-1]})).isin(chosen)]


def _metrics(target: str, in_domain: bool) -> tuple[str, ...]:
    if target == EMOTION:
        return ("uar",)
    return ("ccc", "mse") if in_domain else ("pcc",)


def _read_run(run: config.Run) -> pa.Table:
    """The predictions of one run, every column of text as a dictionary."""
    path = run.folder / files.PREDICTIONS
    table = pq.read_table(path)
    sections = set(table["section"].unique().to_pylist())
    if sections != {run.section}:
        raise ValueError(f"{path} holds section {first(sorted(sections))}, expected '{run.section}': it was not made by this run")
    columns = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        if name in ("truth", "prediction") and not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            columns.append(column.cast(pa.float64()))
        elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type) or pa.types.is_null(column.type):
            columns.append(column.cast(pa.string()).dictionary_encode())
        else:
            columns.append(column)
    return pa.table(dict(zip(table.column_names, columns, strict=True)))


def _with_class_order(predictions: pd.DataFrame) -> pd.DataFrame:
    """`predictions` whose emotions are categories of one type, in the order of the probability columns."""
    if set(predictions["target"].unique()) & set(DIMENSIONS):
        return predictions
    kind = pd.CategoricalDtype(classes(predictions))
    return predictions.assign(truth=predictions["truth"].astype(kind), prediction=predictions["prediction"].astype(kind))


def _shown(path: Path) -> str:
    """`path` as a reader would type it: relative to the project's folder where it lies below it."""
    return str(path.relative_to(files.project())) if path.is_relative_to(files.project()) else str(path)
