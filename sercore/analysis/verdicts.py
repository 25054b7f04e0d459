"""How the paper's claims are judged: each consists of comparisons of two scores, which are tested over seeds.

A claim holds where all of its comparisons do, does not hold where one does not, and otherwise the study cannot tell.
`measures` is the table of everything that claims are about, for every model and seed: scores, drops across corpora,
confusions, residuals. `judge` compares two of its entries, or two printed numbers.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from sercore import metrics
from sercore.analysis import published, residuals, statistics
from sercore.analysis.results import PERCENT, Results, classes, main_metric
from sercore.analysis.statistics import ALPHA, Comparison, Printed
from sercore.registry import CORPORA, METRICS, MODELS
from sercore.schema import CLASSES, DIMENSIONS, EMOTION, PROBABILITY

COLUMNS = ("model", "train_corpus", "test_corpus", "target", "metric", "seed", "value")
OF_A_MODEL = ["model", "train_corpus", "test_corpus", "target", "seed"]
ENDS = (1 / 3, 2 / 3)  # the low and the high end of the truths are the outer thirds of their range
VALENCE_CONTRAST = ("happy", ("angry", "sad"))  # high and low valence, which the embedded corpora put into the words
AROUSAL_CONTRAST = ("angry", ("sad",))  # high and low arousal, which they put into the sound


def measures(results: Results) -> pd.DataFrame:
    """Every measure of every model and seed on the test utterances.

    Returns:
        Columns: COLUMNS. The values of `metric` are

        - the metrics of `results.scores`, folds pooled in-domain and averaged across corpora, and from the main one
          `drop`: in-domain score - score on the other corpus; `lead`: score of bert - that of cnn14 of the same seed
        - in-domain confusions [%]: `happy as angry` is the share of happy utterances that are predicted as angry,
          `happy as happy` the recall; `tilt` is the mean recall of happy and neutral - that of angry and sad;
          `lesser` and `others` are for the claim about the most frequent confusions, see `_confusions`
        - `valence contrast` and `arousal contrast`: UAR [%] of happy against angry or sad, and of angry against sad,
          among the utterances of these classes
        - in-domain residuals: `steepness` is -1 times the slope of prediction - truth on the truth (0: no regression
          towards the mean, 1: always the same prediction), `low` and `high` the size of the mean error in the lowest
          and highest third of the truths' range
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
    main = _main(scored)
    inside = main[main["train_corpus"] == main["test_corpus"]]
    across = main[main["train_corpus"] != main["test_corpus"]]
    pairs = across.merge(inside, on=["model", "train_corpus", "target", "seed"], suffixes=("", "_inside"))
    return pairs.assign(metric="drop", value=pairs["value_inside"] - pairs["value"])[list(COLUMNS)]


def _leads(scored: pd.DataFrame) -> pd.DataFrame:
    """Score of bert - score of cnn14, of the same seed."""
    main = _main(scored)
    text, acoustic = (main[main["model"] == model] for model in ("bert", "cnn14"))
    keys = ["train_corpus", "test_corpus", "target", "metric", "seed"]
    pairs = text.merge(acoustic, on=keys, suffixes=("", "_acoustic"))
    return pairs.assign(metric="lead", value=pairs["value"] - pairs["value_acoustic"])[list(COLUMNS)]


def _main(scored: pd.DataFrame) -> pd.DataFrame:
    kinds = [(target, in_domain) for target in (EMOTION, *DIMENSIONS) for in_domain in (True, False)]
    return scored[scored["metric"].isin([main_metric(*kind) for kind in kinds])]


def _of_emotions(table: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    labels = classes(table) if len(table) else []
    for key, group in table.groupby(OF_A_MODEL, observed=True, sort=False):
        shares = PERCENT * metrics.confusion(group["truth"], group["prediction"], labels, normalise=True)
        values = {f"{truth} as {other}": shares.loc[truth, other] for truth in labels for other in labels}
        if set(CLASSES) <= set(labels):
            values |= _confusions(shares) | {
                "valence contrast": _contrast(group, *VALENCE_CONTRAST),
                "arousal contrast": _contrast(group, *AROUSAL_CONTRAST),
            }
        yield from ((*key[:-1], name, key[-1], value) for name, value in values.items())


def _confusions(shares: pd.DataFrame) -> dict[str, float]:
    """`tilt`; `lesser`, the rarer of happy as angry and neutral as sad; `others`, the most frequent of the others."""
    recall = pd.Series(np.diag(shares), index=shares.index)
    wrong = shares.stack()
    wrong = wrong[wrong.index.get_level_values(0) != wrong.index.get_level_values(1)]
    named = [("happy", "angry"), ("neutral", "sad")]
    tilt = recall[["happy", "neutral"]].mean() - recall[["angry", "sad"]].mean()
    return {"tilt": tilt, "lesser": wrong[named].min(), "others": wrong.drop(named).max()}


def _contrast(table: pd.DataFrame, one: str, rest: tuple[str, ...]) -> float:
    """Mean recall [%] of `one` and of `rest` among their utterances, by the most probable of these classes."""
    rows = table[table["truth"].isin([one, *rest])]
    predicted = rows[[PROBABILITY + name for name in (one, *rest)]].to_numpy().argmax(axis=1) == 0
    truth = (rows["truth"] == one).to_numpy()
    return PERCENT * metrics.unweighted_average_recall(truth, predicted, [True, False]) if len(rows) else float("nan")


def _of_residuals(table: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    if table.empty:
        return
    errors = residuals.residual_table(table)
    for key, group in errors.groupby(OF_A_MODEL, observed=True, sort=False):
        truth, error = group["truth"], group["residual"]
        low, high = truth.min() + np.array(ENDS) * np.ptp(truth)
        values = {
            "steepness": -residuals.fit_line(truth, error, grid=2).slope,
            "low": abs(error[truth <= low].mean()),
            "high": abs(error[truth >= high].mean()),
        }
        yield from ((*key[:-1], name, key[-1], value) for name, value in values.items())


HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot tell"
ABOVE, CLEARLY_ABOVE, NOT_TESTABLY_ABOVE, LEVEL = "above", "clearly above", "above, not significantly", "level with"
"""The relations of a comparison, see `judge`."""
MARGINS = {"steepness": 0.05, "low": 0.1, "high": 0.1}  # of the residuals; those of metrics stand in their records
MARGIN = 2.0  # of confusions and contrasts, which are in %
"""Differences below these do not matter: what differs by less, with all of its interval, is level. Not the paper's."""
ZERO = "zero"  # in the place of a model: the other side is compared with 0
RULES = (
    "A claim of one score above another holds where the difference is significant in that direction; it does not hold "
    "where it is significant in the other one, or where its whole interval lies within the margin of differences that "
    "do not matter. A claim of two level scores holds where the whole interval lies within the margin, and does not "
    "hold where the difference is significant. One of a lead that is not significant holds where there is such a lead, "
    "and does not hold where the difference is significant. Of several comparisons all must hold, and none may fail. "
    "Cannot tell: anything else."
)
"""`judge` and `together` in words, for the notes of tables."""


class ScoreKey(NamedTuple):
    """One number a seed: a measure of a model trained on one corpus and tested on another."""

    model: str  # or ZERO
    train_corpus: str
    test_corpus: str
    target: str
    metric: str  # see `measures`


class Part(NamedTuple):
    """One comparison of a claim."""

    left: ScoreKey
    relation: str
    right: ScoreKey


@dataclass(frozen=True)
class Claim:
    """A statement of the paper, or a ground-truth effect of the embedded corpora."""

    number: str
    place: str  # the table or figure of the paper that it belongs to, or the study's section
    text: str  # printed only: what is judged are the parts, so both are changed together
    parts: tuple[Part, ...]


class Finding(NamedTuple):
    """The verdict on one part, and the numbers behind it."""

    verdict: str
    left: Printed | None  # mean, sd (ddof 0), seeds; None where the study does not have it
    right: Printed | None
    comparison: Comparison | None


Lookup = Callable[[ScoreKey], Printed | None]


def judge(part: Part, lookup: Lookup) -> Finding:
    """The verdict on one comparison, by the two-sided t-test over seeds at alpha .05.

    - `above` holds where the left mean is significantly higher, does not hold where it is significantly lower or where
      the whole interval of the difference is inside the margin (level) and it is not significantly higher, and is open
      otherwise.
    - `clearly above` also needs a difference larger than the two standard deviations over seeds (ddof 1) together.
    - `above, not significantly`, which the paper says of some differences, holds where the left mean is not lower and
      the test is not significant, and does not hold where it is significant.
    - `level with` holds where the whole interval is inside the margin, and does not hold where the difference is
      significant and the interval is not. A test that is not significant does not show that two are level.

    All are open where a number is missing or has fewer than two seeds.
    """
    left, right = lookup(part.left), lookup(part.right)
    if left is None or right is None:
        return Finding(OPEN, left, right, None)
    test = _against_zero(left) if part.right.model == ZERO else statistics.compare_printed(left, right)
    return Finding(_verdict(part, left, right, test), left, right, test)


def _verdict(part: Part, left: Printed, right: Printed, test: Comparison) -> str:
    if math.isnan(test.p):
        return OPEN
    margin = margin_of(_unit(part.left))
    level = -margin < test.low and test.high < margin
    higher, lower = (test.p < ALPHA and sign * test.difference > 0 for sign in (1, -1))
    if part.relation == LEVEL:
        return HOLDS if level else FAILS if higher or lower else OPEN
    if part.relation == NOT_TESTABLY_ABOVE:
        return FAILS if higher or lower else HOLDS if test.difference >= 0 else OPEN
    if part.relation == CLEARLY_ABOVE and higher:
        return HOLDS if test.difference > _sd(left) + _sd(right) else OPEN
    return FAILS if lower or (level and not higher) else HOLDS if higher else OPEN


def margin_of(measure: str) -> float:
    """The difference of two means of `measure` below which they count as level."""
    return METRICS[measure].margin if measure in METRICS else MARGINS.get(measure, MARGIN)


def _unit(key: ScoreKey) -> str:
    """The measure whose unit the values at `key` have: drops and leads are differences of a main metric."""
    return main_metric(key.target, in_domain=True) if key.metric in ("drop", "lead") else key.metric


def together(verdicts: list[str]) -> str:
    """The verdict on a claim of several parts."""
    return FAILS if FAILS in verdicts else OPEN if OPEN in verdicts else HOLDS


def from_study(measured: pd.DataFrame) -> Lookup:
    """Looks a key up in a table of `measures`."""
    keys = list(ScoreKey._fields)
    seeds = {name: group.to_numpy() for name, group in measured.groupby(keys, observed=True, sort=False)["value"]}

    def lookup(key: ScoreKey) -> Printed | None:
        if key.model == ZERO:
            return 0.0, 0.0, 1
        values = seeds.get(tuple(key))
        if values is None or np.isnan(values).any():
            return None
        return float(values.mean()), float(np.std(values - values[0])), len(values)

    return lookup


def from_paper(section: str) -> Lookup:
    """Looks a key of `section` up in the paper's Tables 1 to 3; what it does not print with an sd is missing."""
    printed = published.results()
    printed = printed[(printed["table"] != 4) & (printed["section"] == section)].set_index(list(ScoreKey._fields))

    def lookup(key: ScoreKey) -> Printed | None:
        metric = main_metric(key.target, in_domain=True)
        if key.metric == "drop":
            other = key._replace(metric=main_metric(key.target, in_domain=False))
            return _less(lookup(key._replace(test_corpus=key.train_corpus, metric=metric)), lookup(other))
        if key.metric == "lead":
            return _less(lookup(key._replace(metric=metric)), lookup(key._replace(metric=metric, model="cnn14")))
        if tuple(key) not in printed.index:
            return None
        row = printed.loc[tuple(key)]
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
    sentences = {place: ", ".join(compared) for place, compared in places.items()}
    return "; ".join(f"{place}: {compared}" if place else compared for place, compared in sentences.items())


def _compared(part: Part, finding: Finding) -> str:
    names = [_named(part.left, part.right), _named(part.right, part.left)]
    if finding.left is None or finding.right is None or finding.comparison is None:
        absent = [name for name, side in zip(names, (finding.left, finding.right), strict=True) if side is None]
        return f"no {' and no '.join(absent)} here"
    unit, test = _unit(part.left), finding.comparison
    digits = METRICS[unit].digits if unit in METRICS else 3 if unit in MARGINS else 1
    means = f"{names[0]} {_shown(finding.left, digits)}"
    if part.right.model != ZERO:
        means += f" against {names[1]} {_shown(finding.right, digits)}"
    if math.isnan(test.p):
        return f"{means}, one seed and no test"
    p = "< .001" if test.p < 0.001 else "= " + f"{test.p:.3f}".removeprefix("0")
    return f"{means}: {test.difference:+.{digits}f} [{test.low:+.{digits}f}, {test.high:+.{digits}f}], p {p}"


def _common(part: Part) -> str:
    """Corpora, target and measure, where both sides have the same."""
    left, right = part.left, part.right
    same = [_corpora(left)] if _corpora(left) == _corpora(right) else []
    same += [left.target] if left.target == right.target != EMOTION else []
    main = {main_metric(left.target, in_domain) for in_domain in (True, False)}
    same += [left.metric] if left.metric == right.metric and left.metric not in main else []
    return ", ".join(same)


def _named(key: ScoreKey, other: ScoreKey) -> str:
    """What `key` is called beside `other`: by its model, and by its measure, target or corpora where these differ."""
    words = [MODELS.label(key.model)]
    words += [key.metric] if key.metric != other.metric else []
    words += [key.target] if key.target != other.target else []
    words += [_corpora(key)] if _corpora(key) != _corpora(other) else []
    return " ".join(words)


def _corpora(key: ScoreKey) -> str:
    return f"{CORPORA.label(key.train_corpus)} → {CORPORA.label(key.test_corpus)}"


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
