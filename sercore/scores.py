"""Predictions -> scores as the paper reports them, and which seed is the best on validation.

The same functions score any part of the predictions: a style, a gender, a speaker.
"""

from collections.abc import Sequence

import pandas as pd

from sercore import metrics
from sercore.schema import EMOTION, MODELS, PROBABILITY, first, probability_columns

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
