"""How a claim is judged: it is made of comparisons of two cells, and each is tested over the seeds as the paper tests.

A claim holds where all of its comparisons do, does not hold where one does not, and otherwise the study cannot tell.

What the claims are about, measured for every model and seed: scores, drops across corpora, confusions, residuals.

One tidy table, so that a claim is a comparison of two of its cells and every comparison is judged in the same way.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from sercore import metrics, schema
from sercore.analysis import published, residuals, statistics
from sercore.analysis.results import PERCENT, Results, classes
from sercore.analysis.statistics import ALPHA, Comparison, Printed
from sercore.schema import CLASSES, EMOTION, MODEL_LABELS, PROBABILITY

COLUMNS = ("model", "train_corpus", "test_corpus", "target", "metric", "seed", "value")
MAIN = ("uar", "ccc", "pcc")
OF_A_MODEL = ["model", "train_corpus", "test_corpus", "target", "seed"]
ENDS = (1 / 3, 2 / 3)  # the low and the high end of the truths are the outer thirds of their range
WORDS = ("happy", ("angry", "sad"))  # of high and of low valence; as planted, the words decide between them
ACOUSTIC_BASELINE = ("angry", ("sad",))  # of high and of low arousal; the voice decides


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
            found |= _confusions(shares) | {
                "words": _results_by_condition(group, *WORDS),
                "voice": _results_by_condition(group, *ACOUSTIC_BASELINE),
            }
        yield from ((*key[:-1], name, key[-1], value) for name, value in found.items())


def _confusions(shares: pd.DataFrame) -> dict[str, float]:
    """`tilt`; `lesser`, the rarer of happy as angry and neutral as sad; `others`, the most frequent of the others."""
    recall = pd.Series(np.diag(shares), index=shares.index)
    wrong = shares.stack()
    wrong = wrong[wrong.index.get_level_values(0) != wrong.index.get_level_values(1)]
    named = [("happy", "angry"), ("neutral", "sad")]
    tilt = recall[["happy", "neutral"]].mean() - recall[["angry", "sad"]].mean()
    return {"tilt": tilt, "lesser": wrong[named].min(), "others": wrong.drop(named).max()}


def _results_by_condition(table: pd.DataFrame, one: str, rest: tuple[str, ...]) -> float:
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


HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot tell"
ABOVE, CLEARLY_ABOVE, NOT_TESTABLY_ABOVE, LEVEL = "above", "clearly above", "above, not significantly", "level with"
"""What a comparison may claim, see `judge`."""
MARGINS = {"uar": 1.0, "ccc": 0.01, "pcc": 0.01, "mse": 0.05, "steepness": 0.05, "low": 0.1, "high": 0.1}
MARGIN = 2.0  # of all else, which is in %
"""Differences below these do not matter: what differs by less, with all of its interval, is level. Not the paper's."""
FINE = ("ccc", "pcc", "mse", "steepness", "low", "high")  # in three decimals; all else is in %
ZERO = "zero"


class ScoreKey(NamedTuple):
    """One number a seed: a measure of a model trained on one corpus and tested on another."""

    model: str  # or ZERO
    train_corpus: str
    test_corpus: str
    target: str
    metric: str  # see measures.measures


class Part(NamedTuple):
    """One comparison of a claim."""

    left: ScoreKey
    relation: str
    right: ScoreKey


@dataclass(frozen=True)
class Claim:
    """Something that the paper says, or that the embedded corpora were made to show."""

    number: str
    place: str  # the table or figure of the paper that it belongs to, or the study's section
    text: str
    parts: tuple[Part, ...]


class Finding(NamedTuple):
    """What became of one part: the verdict and what it rests on."""

    verdict: str
    left: Printed | None  # mean, sd (ddof 0), seeds; None where the study does not have it
    right: Printed | None
    comparison: Comparison | None


Lookup = Callable[[ScoreKey], Printed | None]


def judge(part: Part, lookup: Lookup) -> Finding:
    """The verdict on one comparison, by the two-sided t-test over seeds at alpha .05.

    `above` holds where the left mean is significantly higher, does not hold where it is significantly lower or where
    the whole interval of the difference is inside the margin (level), and is open otherwise. `clearly above` also asks
    for a difference larger than the two standard deviations over seeds (ddof 1) together. `above, not significantly`
    is what the paper says of some differences: holds where the left mean is higher and the test finds nothing, does not
    hold where it finds something. `level with` holds where the whole interval is inside the margin, does not hold
    where the difference is significant and the interval is not; a test that finds nothing does not show that two are
    level. Open where a number is missing or has fewer than two seeds.
    """
    left, right = lookup(part.left), lookup(part.right)
    if left is None or right is None:
        return Finding(OPEN, left, right, None)
    found = _against_zero(left) if part.right.model == ZERO else statistics.compare_printed(left, right)
    return Finding(_verdict(part, left, right, found), left, right, found)


def _verdict(part: Part, left: Printed, right: Printed, found: Comparison) -> str:
    if math.isnan(found.p):
        return OPEN
    difference_of = {"drop": "uar" if part.left.target == EMOTION else "ccc", "lead": "uar"}
    margin = MARGINS.get(difference_of.get(part.left.metric, part.left.metric), MARGIN)
    level = -margin < found.low and found.high < margin
    higher, lower = (found.p < ALPHA and sign * found.difference > 0 for sign in (1, -1))
    if part.relation == LEVEL:
        return HOLDS if level else FAILS if higher or lower else OPEN
    if part.relation == NOT_TESTABLY_ABOVE:
        return FAILS if higher or lower else HOLDS if found.difference >= 0 else OPEN
    if part.relation == CLEARLY_ABOVE and higher:
        return HOLDS if found.difference > _sd(left) + _sd(right) else OPEN
    return FAILS if lower or (level and not higher) else HOLDS if higher else OPEN


def together(verdicts: list[str]) -> str:
    """The verdict on a claim of several parts."""
    return FAILS if FAILS in verdicts else OPEN if OPEN in verdicts else HOLDS


def from_study(measured: pd.DataFrame) -> Lookup:
    """Looks a cell up in a table of `measures`."""
    keys = list(ScoreKey._fields)
    seeds = {key: group.to_numpy() for key, group in measured.groupby(keys, observed=True, sort=False)["value"]}

    def lookup(cell: ScoreKey) -> Printed | None:
        if cell.model == ZERO:
            return 0.0, 0.0, 1
        values = seeds.get(tuple(cell))
        if values is None or np.isnan(values).any():
            return None
        return float(values.mean()), float(np.std(values - values[0])), len(values)

    return lookup


def from_paper(section: str) -> Lookup:
    """Looks a cell of `section` up in the paper's Tables 1 to 3; what it does not print with an sd is missing."""
    printed = published.results()
    printed = printed[(printed["table"] != 4) & (printed["section"] == section)].set_index(list(ScoreKey._fields))

    def lookup(cell: ScoreKey) -> Printed | None:
        metric = "uar" if cell.target == EMOTION else "ccc"
        if cell.metric == "drop":
            other = cell._replace(metric="pcc" if metric == "ccc" else metric)
            return _less(lookup(cell._replace(test_corpus=cell.train_corpus, metric=metric)), lookup(other))
        if cell.metric == "lead":
            return _less(lookup(cell._replace(metric=metric)), lookup(cell._replace(metric=metric, model="cnn14")))
        if tuple(cell) not in printed.index:
            return None
        row = printed.loc[tuple(cell)]
        return float(row["mean"]), float(row["sd"]), published.SEEDS

    return lookup


def _less(one: Printed | None, other: Printed | None) -> Printed | None:
    """Mean and sd of a difference, seeds taken as independent."""
    if one is None or other is None:
        return None
    return one[0] - other[0], math.hypot(one[1], other[1]), one[2]


def in_words(parts: tuple[Part, ...], findings: list[Finding]) -> str:
    """The findings in words: what was compared where, the difference with its interval, p."""
    places: dict[str, list[str]] = {}
    for part, finding in zip(parts, findings, strict=True):
        places.setdefault(_common(part), []).append(_compared(part, finding))
    return "; ".join(f"{place}: {', '.join(told)}" if place else ", ".join(told) for place, told in places.items())


def _compared(part: Part, finding: Finding) -> str:
    names = [_named(part.left, part.right), _named(part.right, part.left)]
    if finding.comparison is None:
        absent = [name for name, side in zip(names, (finding.left, finding.right), strict=True) if side is None]
        return f"no {' and no '.join(absent)} here"
    fine = part.left.metric in FINE or (part.left.metric == "drop" and part.left.target != EMOTION)
    digits, test = 3 if fine else 1, finding.comparison
    told = f"{names[0]} {_shown(finding.left, digits)} against {names[1]} {_shown(finding.right, digits)}"
    if part.right.model == ZERO:
        told = f"{names[0]} {_shown(finding.left, digits)}"
    if math.isnan(test.p):
        return f"{told}, one seed and no test"
    p = "< .001" if test.p < 0.001 else "= " + f"{test.p:.3f}".removeprefix("0")
    return f"{told}: {test.difference:+.{digits}f} [{test.low:+.{digits}f}, {test.high:+.{digits}f}], p {p}"


def _common(part: Part) -> str:
    """Corpora, target and measure, where both sides have the same."""
    left, right = part.left, part.right
    same = (
        [f"{schema.corpus_label(left.train_corpus)} → {schema.corpus_label(left.test_corpus)}"]
        if left[1:3] == right[1:3]
        else []
    )
    same += [left.target] if left.target == right.target != EMOTION else []
    same += [left.metric] if left.metric == right.metric and left.metric not in ("uar", "ccc", "pcc") else []
    return ", ".join(same)


def _named(cell: ScoreKey, other: ScoreKey) -> str:
    """What `cell` is called beside `other`: by its model, and by its measure, target or corpora where these differ."""
    told = [MODEL_LABELS.get(cell.model, cell.model)]
    told += [cell.metric] if cell.metric != other.metric else []
    told += [cell.target] if cell.target != other.target else []
    told += (
        [f"{schema.corpus_label(cell.train_corpus)} → {schema.corpus_label(cell.test_corpus)}"]
        if cell[1:3] != other[1:3]
        else []
    )
    return " ".join(told)


def _shown(side: Printed, digits: int) -> str:
    return f"{side[0]:.{digits}f} ({side[1]:.{digits}f})"


def _sd(side: Printed) -> float:
    """The sd with ddof 1."""
    return side[1] * math.sqrt(side[2] / (side[2] - 1)) if side[2] > 1 else math.nan


def _against_zero(left: Printed) -> Comparison:
    """The one-sample t-test of a mean against zero."""
    mean, sd, n = left
    if n < 2:
        return Comparison(mean, math.nan, math.nan, math.nan, n - 1, math.nan)
    error = sd / math.sqrt(n - 1)
    reach = float(stats.t.isf(ALPHA / 2, n - 1)) * error
    t = mean / error if error else math.copysign(math.inf, mean) if mean else 0.0
    return Comparison(mean, mean - reach, mean + reach, t, n - 1, float(2 * stats.t.sf(abs(t), n - 1)))
