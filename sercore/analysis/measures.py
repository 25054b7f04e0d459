"""What the claims compare beyond `verdicts.measures`, and what follows from the paper's numbers without being printed.

A number that the paper gives without an sd is taken as exact, so that a verdict on it is its order alone.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from sercore import metrics
from sercore.analysis import published, residuals, results, verdicts
from sercore.analysis.results import PERCENT, Results
from sercore.analysis.statistics import Printed
from sercore.analysis.verdicts import COLUMNS, ENDS, OF_A_MODEL, ZERO, PrintedLookup, ScoreKey
from sercore.registry import CORPORA, MODELS
from sercore.schema import DIMENSIONS, EMOTION

AROUSAL, VALENCE, _ = DIMENSIONS
OVER_VALENCE = f"{AROUSAL} − {VALENCE}"  # stands for a target: how much better arousal is predicted
EVERY = "every corpus"  # stands for the corpora of a measure of a whole table
SINGLE_TASK, MULTITASK = "dimensions", "multitask"  # the sections of 6.1 and 6.2
SINGLE_TASK_CCC, MAJORITY = "single-task ccc", "majority"
WITHOUT_SD = {"steepness": "derived", MAJORITY: "derived", "mse": "order"}
"""Measure that the paper gives without an sd, or that follows from such numbers -> how a verdict on it is marked."""
ROUNDING = 1e-9  # of the range of the truth
CELL = ["train_corpus", "test_corpus", "target", "metric"]


def measures(found: Results) -> pd.DataFrame:
    """Every measure of every model and seed on the test utterances.

    Returns:
        Columns: COLUMNS. The measures of `verdicts.measures`, of which `drop` of a dimension is PCC in-domain - PCC on
        the other corpus (a CCC also falls with another scale), and

        - `majority`: share [%] of the evaluations in the paper's table of the section in which a model has the highest
          main score of all trained models of its seed, less 50; its corpora are EVERY, its target is emotion
        - target OVER_VALENCE, of models on another corpus: PCC of arousal - PCC of valence
        - `single-task ccc`, in section multitask: what the model of one dimension reaches in section dimensions
        - in-domain residuals: `growth` is the slope of the error's size on the distance of the truth from the middle of
          the scale; `spread` is the log of the sd around the line on the truth in the outer thirds of the truths'
          range over that in the middle third: above 0 errors spread wider towards the ends
    """
    known = verdicts.measures(found)
    of_scales = (known["metric"] == "drop") & known["target"].isin(DIMENSIONS)
    tested = found.predictions[found.predictions["partition"] == "test"]
    inside = tested["train_corpus"].astype(object) == tested["test_corpus"].astype(object)
    ratings = tested[inside & tested["target"].isin(DIMENSIONS)]
    further = [*_of_errors(ratings)]
    parts = [known[~of_scales], pd.DataFrame(further, columns=COLUMNS), _drops(known, ratings), _over_valence(known)]
    parts += [_majority(known, found.section), _single_task(found)]
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def _drops(known: pd.DataFrame, ratings: pd.DataFrame) -> pd.DataFrame:
    """PCC in-domain - PCC on the other corpus, of the same model and seed."""
    rows = [
        (*key[:2], *key[3:], metrics.pearson_correlation(group["truth"], group["prediction"]))
        for key, group in ratings.groupby(OF_A_MODEL, observed=True, sort=False)
    ]
    keys = ["model", "train_corpus", "target", "seed"]
    across = known[(known["metric"] == "pcc") & (known["train_corpus"] != known["test_corpus"])]
    pairs = across.merge(pd.DataFrame(rows, columns=[*keys, "inside"]).astype({"seed": across["seed"].dtype}), on=keys)
    return pairs.assign(metric="drop", value=pairs["inside"] - pairs["value"])[list(COLUMNS)]


def _over_valence(known: pd.DataFrame) -> pd.DataFrame:
    across = known[(known["metric"] == "pcc") & (known["train_corpus"] != known["test_corpus"])]
    one, other = (across[across["target"] == target] for target in (AROUSAL, VALENCE))
    pairs = one.merge(
        other, on=["model", "train_corpus", "test_corpus", "metric", "seed"], suffixes=("", "_of_valence")
    )
    return pairs.assign(target=OVER_VALENCE, value=pairs["value"] - pairs["value_of_valence"])[list(COLUMNS)]


def _majority(known: pd.DataFrame, section: str) -> pd.DataFrame:
    printed = _printed(section)
    trained = known["model"].map(lambda name: name in MODELS and MODELS[name].trained and MODELS[name].in_paper)
    scored = known[trained].merge(printed[CELL].drop_duplicates(), on=CELL)
    rows = [
        (model, EVERY, EVERY, EMOTION, MAJORITY, seed, value)
        for seed, group in scored.groupby("seed", sort=False)
        for model, value in _highest(group).items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _highest(scored: pd.DataFrame) -> Mapping[str, float]:
    """Model -> share [%] of the cells in which its `value` alone is the highest, less 50."""
    table = scored.pivot(index=CELL, columns="model", values="value")
    alone = table.eq(table.max(axis=1), axis=0)
    return (PERCENT * alone[alone.sum(axis=1) == 1].sum() / len(table) - 50).to_dict()


def _single_task(found: Results) -> pd.DataFrame:
    runs = found.study.runs if found.section == MULTITASK and found.study is not None else ()
    trained_on = set(found.predictions["train_corpus"].unique())
    runs = tuple(r for r in runs if r.section == SINGLE_TASK and r.complete and r.parameters["corpus"] in trained_on)
    if not runs:
        return pd.DataFrame(columns=COLUMNS)
    alone = results.read(found.study, SINGLE_TASK, runs=runs).scores
    alone = alone[(alone["partition"] == "test") & (alone["metric"] == "ccc") & (alone["pooling"] != "folds")]
    alone = alone.rename(columns={"score": "value"}).assign(metric=SINGLE_TASK_CCC)[list(COLUMNS)]
    return alone.astype(dict.fromkeys(COLUMNS[:4], object))


def _of_errors(ratings: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    for key, group in ratings.groupby(OF_A_MODEL, observed=True, sort=False):
        truth, error = group["truth"].astype("float64"), (group["prediction"] - group["truth"]).astype("float64")
        scale = CORPORA[key[1]].scale if key[1] in CORPORA else None
        distance = abs(truth - np.mean(scale or (truth.min(), truth.max())))
        around = error - np.polyval(np.polyfit(truth, error, 1), truth) if np.ptp(truth) else error
        low, high = truth.min() + np.array(ENDS) * np.ptp(truth)
        outer = (truth <= low) | (truth >= high)
        even = abs(around).max() <= ROUNDING * np.ptp(truth)  # on the line, but for rounding
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = np.nan if even else np.log(around[outer].std() / around[~outer].std())
        values = {
            "growth": residuals.fit_line(distance, abs(error), grid=2).slope,
            "spread": spread if np.isfinite(spread) else np.nan,
        }
        yield from ((*key[:-1], name, key[-1], value) for name, value in values.items())


def from_paper(section: str) -> PrintedLookup:
    """Looks a key of `section` up in what the paper prints, as `verdicts.from_paper`, and in what follows from it.

    - `steepness` is 1 - the covariance of `published.covariances`: that of figure 3 if the variance of the truth were
      1. Its order among models is that of figure 3 whatever the variance is; whether it is above 0 is not known.
    - `mse` is that of Table 4's one model; `majority` counts the means of Tables 1 to 3.
    - `drop` of a dimension is CCC in-domain - PCC on the other corpus, since the paper prints no PCC in-domain. This
      is too low, as no CCC exceeds the PCC.
    """
    printed, alone = verdicts.from_paper(section), verdicts.from_paper(SINGLE_TASK)
    exact = _exact(section)

    def lookup(key: ScoreKey) -> Printed | None:
        if key.model == ZERO:
            return None if key.metric in ("steepness", "growth", "spread") else (0.0, 0.0, 1)
        if key.metric in WITHOUT_SD:
            return exact.get(key)
        if key.metric == SINGLE_TASK_CCC:
            return alone(key._replace(metric="ccc"))
        if key.target == OVER_VALENCE:
            return verdicts._less(*(printed(key._replace(target=target)) for target in (AROUSAL, VALENCE)))
        return printed(key)

    return lookup


def _exact(section: str) -> dict[ScoreKey, Printed]:
    """What the paper gives of `section` without an sd, or follows from such numbers."""
    values = {}
    table = _printed(section).rename(columns={"mean": "value"})
    for model, value in _highest(table).items():
        values[ScoreKey(model, EVERY, EVERY, EMOTION, MAJORITY)] = value
    if section == MULTITASK:
        for row in published.covariances().itertuples():
            key = ScoreKey(row.model, row.train_corpus, row.test_corpus, row.target, "steepness")
            values |= {key: 1 - row.covariance, key._replace(metric="mse"): row.mse}
    return {key: (float(value), 0.0, published.SEEDS) for key, value in values.items()}


def _printed(section: str) -> pd.DataFrame:
    """The rows of the paper's Tables 1 to 3 that are of `section`; main scores all."""
    table = published.results()
    return table[(table["table"] != 4) & (table["section"] == section)]
