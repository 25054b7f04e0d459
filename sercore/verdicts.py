"""How a claim is judged: it is made of comparisons of two cells, and each is tested over the seeds as the paper tests.

A claim holds where all of its comparisons do, does not hold where one does not, and otherwise the study cannot tell.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from sercore import notes, published, significance
from sercore.schema import EMOTION, MODEL_LABELS
from sercore.significance import ALPHA, Comparison, Printed

HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot tell"
ABOVE, CLEARLY_ABOVE, NOT_TESTABLY_ABOVE, LEVEL = "above", "clearly above", "above, not significantly", "level with"
"""What a comparison may claim, see `judge`."""
MARGINS = {"uar": 1.0, "ccc": 0.01, "pcc": 0.01, "mse": 0.05, "steepness": 0.05, "low": 0.1, "high": 0.1}
MARGIN = 2.0  # of all else, which is in %
"""Differences below these do not matter: what differs by less, with all of its interval, is level. Not the paper's."""
FINE = ("ccc", "pcc", "mse", "steepness", "low", "high")  # in three decimals; all else is in %
ZERO = "zero"


class Cell(NamedTuple):
    """One number a seed: a measure of a model trained on one corpus and tested on another."""

    model: str  # or ZERO
    train_corpus: str
    test_corpus: str
    target: str
    metric: str  # see measures.measures


class Part(NamedTuple):
    """One comparison of a claim."""

    left: Cell
    relation: str
    right: Cell


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


Lookup = Callable[[Cell], Printed | None]


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
    found = _against_zero(left) if part.right.model == ZERO else significance.compare_printed(left, right)
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
    keys = list(Cell._fields)
    seeds = {key: group.to_numpy() for key, group in measured.groupby(keys, observed=True, sort=False)["value"]}

    def lookup(cell: Cell) -> Printed | None:
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
    printed = printed[(printed["table"] != 4) & (printed["section"] == section)].set_index(list(Cell._fields))

    def lookup(cell: Cell) -> Printed | None:
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
    same = [f"{notes.corpus(left.train_corpus)} → {notes.corpus(left.test_corpus)}"] if left[1:3] == right[1:3] else []
    same += [left.target] if left.target == right.target != EMOTION else []
    same += [left.metric] if left.metric == right.metric and left.metric not in ("uar", "ccc", "pcc") else []
    return ", ".join(same)


def _named(cell: Cell, other: Cell) -> str:
    """What `cell` is called beside `other`: by its model, and by its measure, target or corpora where these differ."""
    told = [MODEL_LABELS.get(cell.model, cell.model)]
    told += [cell.metric] if cell.metric != other.metric else []
    told += [cell.target] if cell.target != other.target else []
    told += [f"{notes.corpus(cell.train_corpus)} → {notes.corpus(cell.test_corpus)}"] if cell[1:3] != other[1:3] else []
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
