"""What the claims are about, measured for every model and seed: scores, drops across corpora, confusions, residuals.

One tidy table, so that a claim is a comparison of two of its cells and every comparison is judged in the same way.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from sercore import metrics, residuals
from sercore.results import Results
from sercore.schema import CLASSES, EMOTION, PROBABILITY
from sercore.scores import PERCENT, classes

COLUMNS = ("model", "train_corpus", "test_corpus", "target", "metric", "seed", "value")
MAIN = ("uar", "ccc", "pcc")
OF_A_MODEL = ["model", "train_corpus", "test_corpus", "target", "seed"]
ENDS = (1 / 3, 2 / 3)  # the low and the high end of the truths are the outer thirds of their range
WORDS = ("happy", ("angry", "sad"))  # of high and of low valence; as planted, the words decide between them
VOICE = ("angry", ("sad",))  # of high and of low arousal; the voice decides


def measures(results: Results) -> pd.DataFrame:
    """Every measure of every model and seed on the test utterances; columns: COLUMNS.

    `uar` [%], `ccc`, `pcc` (folds pooled in-domain, averaged across corpora) and `mse`. `drop`: in-domain score - score
    on the other corpus; `lead`: score of bert - that of cnn14 of the same seed. In-domain confusions [%]: `happy as
    angry` is the share of happy utterances taken for angry, `happy as happy` the recall; `tilt` is the mean recall of
    happy and neutral - that of angry and sad; `lesser` and `others` serve the claim about the most frequent confusions
    (see `_confusions`). `words` and `voice`: UAR [%] of telling happy from angry or sad, and angry from sad, among the
    utterances that are one of them. In-domain residuals: `steepness` is -1 times the slope of prediction - truth on
    the truth (0: no regression towards the mean, 1: always the same answer), `low` and `high` the size of the mean
    error in the lowest and highest third of the truths' range.
    """
    scored = results.scores[results.scores["partition"] == "test"]
    inside = scored["train_corpus"] == scored["test_corpus"]
    scored = scored[~(inside & (scored["pooling"] == "folds"))].rename(columns={"score": "value"})
    table = results.predictions
    table = table[(table["partition"] == "test") & (table["train_corpus"].astype(object) == table["test_corpus"])]
    rows = [*_of_emotions(table[table["target"] == EMOTION]), *_of_residuals(table[table["target"] != EMOTION])]
    parts = [scored[list(COLUMNS)].astype(dict.fromkeys(COLUMNS[:4], object)), pd.DataFrame(rows, columns=COLUMNS)]
    parts += [_drops(parts[0]), _leads(parts[0])]
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def _drops(scored: pd.DataFrame) -> pd.DataFrame:
    """In-domain score - score on the other corpus, of the same model and seed."""
    main = scored[scored["metric"].isin(MAIN)]
    inside = main[main["train_corpus"] == main["test_corpus"]]
    across = main[main["train_corpus"] != main["test_corpus"]]
    pairs = across.merge(inside, on=["model", "train_corpus", "target", "seed"], suffixes=("", "_inside"))
    return pairs.assign(metric="drop", value=pairs["value_inside"] - pairs["value"])[list(COLUMNS)]


def _leads(scored: pd.DataFrame) -> pd.DataFrame:
    """What bert is ahead of cnn14, seed by seed."""
    main = scored[scored["metric"].isin(MAIN)]
    text, voice = (main[main["model"] == model] for model in ("bert", "cnn14"))
    pairs = text.merge(voice, on=["train_corpus", "test_corpus", "target", "metric", "seed"], suffixes=("", "_voice"))
    return pairs.assign(metric="lead", value=pairs["value"] - pairs["value_voice"])[list(COLUMNS)]


def _of_emotions(table: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    labels = classes(table) if len(table) else []
    for key, group in table.groupby(OF_A_MODEL, observed=True, sort=False):
        shares = PERCENT * metrics.confusion(group["truth"], group["prediction"], labels, normalise=True)
        found = {f"{truth} as {said}": shares.loc[truth, said] for truth in labels for said in labels}
        if set(CLASSES) <= set(labels):
            found |= _confusions(shares) | {"words": _told(group, *WORDS), "voice": _told(group, *VOICE)}
        yield from ((*key[:-1], name, key[-1], value) for name, value in found.items())


def _confusions(shares: pd.DataFrame) -> dict[str, float]:
    """`tilt`; `lesser`, the rarer of happy as angry and neutral as sad; `others`, the most frequent of the others."""
    recall = pd.Series(np.diag(shares), index=shares.index)
    wrong = shares.stack()
    wrong = wrong[wrong.index.get_level_values(0) != wrong.index.get_level_values(1)]
    named = [("happy", "angry"), ("neutral", "sad")]
    tilt = recall[["happy", "neutral"]].mean() - recall[["angry", "sad"]].mean()
    return {"tilt": tilt, "lesser": wrong[named].min(), "others": wrong.drop(named).max()}


def _told(table: pd.DataFrame, one: str, rest: tuple[str, ...]) -> float:
    """Mean recall [%] of `one` and of `rest` among their utterances, by the most probable of these classes."""
    asked = table[table["truth"].isin([one, *rest])]
    said = asked[[PROBABILITY + name for name in (one, *rest)]].to_numpy().argmax(axis=1) == 0
    truth = (asked["truth"] == one).to_numpy()
    return PERCENT * metrics.unweighted_average_recall(truth, said, [True, False]) if len(asked) else float("nan")


def _of_residuals(table: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    if table.empty:
        return
    errors = residuals.residual_table(table)
    for key, group in errors.groupby(OF_A_MODEL, observed=True, sort=False):
        truth, error = group["truth"], group["residual"]
        low, high = truth.min() + np.array(ENDS) * np.ptp(truth)
        found = {
            "steepness": -residuals.fit_line(truth, error, grid=2).slope,
            "low": abs(error[truth <= low].mean()),
            "high": abs(error[truth >= high].mean()),
        }
        yield from ((*key[:-1], name, key[-1], value) for name, value in found.items())
