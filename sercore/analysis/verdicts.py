"""How the paper's claims are judged: each consists of comparisons of two scores, which are tested over seeds.

`measures` is the table of everything that claims are about, for every model and seed: scores, drops across corpora,
confusions, residuals. `judge` compares its entries, or printed numbers, two by two; `RULES` says what follows from it.
Level, margins and correction are those of `preregistration`.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sercore import metrics
from sercore.analysis import preregistration, published, residuals, statistics
from sercore.analysis.preregistration import CORRECTIONS
from sercore.analysis.results import ACOUSTIC_BASELINE, PERCENT, Results, classes, main_metric
from sercore.analysis.statistics import Comparison, Printed
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


HOLDS, CONSISTENT, OPEN, FAILS = "holds", "consistent with", "cannot tell", "does not hold"
VERDICTS = (HOLDS, CONSISTENT, OPEN, FAILS)
"""From best to worst; a claim is as good as its worst comparison."""
ABOVE, CLEARLY_ABOVE, NOT_TESTABLY_ABOVE, LEVEL = "above", "clearly above", "above, not significantly", "level with"
"""The relations of a comparison, see `weigh`."""
IN_PERCENT = ("tilt", "lesser", "others", "valence contrast", "arousal contrast", "majority")
PERCENT_MARGIN = "percent"  # where the preregistration has the margin of these, and of confusions
SINGLE_TASK = "single-task"  # begins the measure of models that are trained apart from those of the section
ZERO = "zero"


RULES = (
    "Two scores of the same trained models are tested in pairs, seed by seed, as is late fusion beside its halves; all "
    "others, and all printed numbers, as independent samples. One score above another: shown where the difference is "
    "significant; against it is a significant difference the other way, or that the two are level. Two level scores: "
    "shown by a two-sided equivalence test (the 90 % interval lies within the margin of differences that do not "
    "matter); against it is a difference significantly beyond the margin. A lead that the paper calls not significant "
    "cannot be shown: the data agree where there is such a lead, and against it is a significant difference the other "
    "way. A claim holds where all of its comparisons are shown. It does not hold where one is against it after Holm's "
    "correction for the claim's comparisons. Consistent with: the data agree, in what cannot be shown, and the rest is "
    "shown. Cannot tell: anything else."
)
"""`weigh` and `judge` in words, for the notes of tables."""


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


class Scores(NamedTuple):
    """One side of a comparison."""

    mean: float
    sd: float  # ddof 0
    n: int  # seeds
    by_seed: pd.Series | None = None  # the seeds' scores; None: only mean and sd are known, as of printed numbers
    trained: frozenset[tuple[str, str, str]] = frozenset()  # the trained models behind it: model, corpus, task


class Finding(NamedTuple):
    """The verdict on one part, and the numbers behind it."""

    verdict: str
    left: Scores | None  # None where the study does not have it
    right: Scores | None
    comparison: Comparison | None
    paired: bool
    against: float  # p of what speaks against the part, corrected for the claim's parts; NaN without a test
    detectable: float  # the smallest difference that a study of these seeds and spreads finds


Lookup = Callable[[ScoreKey], Scores | Printed | None]
PrintedLookup = Callable[[ScoreKey], Printed | None]


class Weight(NamedTuple):
    """What a comparison says of a part; each a number, or an array of many comparisons."""

    shown: Any  # bool: the part is shown at alpha
    agrees: Any  # bool: the difference is as claimed, where no test can show it
    against: Any  # p of what speaks against it, not corrected


def judge(parts: Sequence[Part], lookup: Lookup) -> list[Finding]:
    """The verdicts on the comparisons of one claim, each by a t-test over seeds, at the preregistered alpha.

    A part does not hold where what speaks against it (`weigh`) is significant after the correction for the claim's
    parts, so that a claim of many parts is not refuted by chance more often than one of a single part. To be shown, a
    part needs no correction, since the claim holds only where all are (intersection-union test, Berger 1982).

    A part is open where a number is missing or has fewer than two seeds; such a part is no test of the correction.
    `together` of the verdicts is that on the claim.
    """
    plan = preregistration.read()
    sides = [[None if side is None else Scores(*side) for side in (lookup(p.left), lookup(p.right))] for p in parts]
    tests = [_test(part, *two) for part, two in zip(parts, sides, strict=True)]
    weights = [
        None if test is None else _weigh(part, test[0], *two)
        for part, test, two in zip(parts, tests, sides, strict=True)
    ]
    against = CORRECTIONS[plan.correction]([math.nan if weight is None else weight.against for weight in weights])
    findings = []
    for (left, right), test, weight, p in zip(sides, tests, weights, against, strict=True):
        if test is None or weight is None:
            comparison, paired = test or (None, False)
            findings.append(Finding(OPEN, left, right, comparison, paired, math.nan, math.nan))
            continue
        comparison, paired = test
        verdict = HOLDS if weight.shown else FAILS if p < plan.alpha else CONSISTENT if weight.agrees else OPEN
        smallest = statistics.detectable(comparison.error, comparison.df, plan.power, plan.alpha)
        findings.append(Finding(verdict, left, right, comparison, paired, float(p), smallest))
    return findings


def together(verdicts: Sequence[str]) -> str:
    """The verdict on a claim of several parts: the worst."""
    return max(verdicts, key=VERDICTS.index)


def weigh(
    relation: str, difference: Any, error: Any, df: int, margin: float, alpha: float, spread: Any = 0.0
) -> Weight:
    """What a difference of two means says of a part; arrays of differences and errors give arrays.

    - `above` is shown where the left mean is significantly higher. Against it is a significantly lower one, or, where
      it is not shown, an equivalence test: what is level is not above.
    - `clearly above` is shown where the difference is also larger than `spread`, the sd of both sides together.
    - `above, not significantly`, which the paper says of some differences, is never shown, since a test that is not
      significant shows nothing. The data agree where the left mean is higher, and against it is a significantly lower
      one. That a lead is significant here is not against the paper's, which was not.
    - `level with` is shown by two one-sided tests (`statistics.equivalence`). Against it is a difference beyond the
      margin (`statistics.beyond`).
    """
    p = statistics.beyond(difference, error, df, 0.0)
    level = statistics.equivalence(difference, error, df, margin)
    if relation == LEVEL:
        return Weight(level < alpha, np.zeros_like(level, bool), statistics.beyond(difference, error, df, margin))
    lower = np.where(difference < 0, p, 1.0 + 0 * p)
    if relation == NOT_TESTABLY_ABOVE:
        return Weight(np.zeros_like(p, bool), difference >= 0, lower)
    higher = (difference > 0) & (p < alpha)
    shown = higher & (difference > spread) if relation == CLEARLY_ABOVE else higher
    return Weight(shown, np.zeros_like(p, bool), np.where(higher, 1.0, np.minimum(lower, level)))


def _weigh(part: Part, test: Comparison, left: Scores | None, right: Scores | None) -> Weight | None:
    if math.isnan(test.p) or left is None or right is None:
        return None
    spread = _sd(left) + _sd(right) if part.relation == CLEARLY_ABOVE else 0.0
    plan = preregistration.read()
    return weigh(part.relation, test.difference, test.error, test.df, margin_of(unit_of(part.left)), plan.alpha, spread)


def _test(part: Part, left: Scores | None, right: Scores | None) -> tuple[Comparison, bool] | None:
    """The t-test of a part, and whether it is paired; None where a side is missing."""
    if left is None or right is None:
        return None
    if part.right.model == ZERO:
        return statistics.compare_with_zero(left[:3]), False
    if left.trained & right.trained and left.by_seed is not None and right.by_seed is not None:
        one, other = left.by_seed.align(right.by_seed, join="inner")
        if len(one) > 1:
            return statistics.compare_pairs(one.to_numpy(), other.to_numpy()), True
    return statistics.compare_printed(left[:3], right[:3]), False


def margin_of(measure: str) -> float:
    """The difference of two means of `measure` below which they count as level: ours, not the paper's."""
    percent = measure in IN_PERCENT or " as " in measure
    return preregistration.read().margin(PERCENT_MARGIN if percent else measure)


def unit_of(key: ScoreKey) -> str:
    """The measure whose unit the values at `key` have: drops and leads are differences of a main metric."""
    if key.metric in ("drop", "lead"):
        return main_metric(key.target, in_domain=True)
    return key.metric.removeprefix(SINGLE_TASK).strip()


def from_study(measured: pd.DataFrame, single_task: bool = False) -> Lookup:
    """Looks a key up in a table of `measures`; `single_task`: each target of the section has a model of its own."""
    keys = list(ScoreKey._fields)
    seeds = dict(iter(measured.groupby(keys, observed=True, sort=False)))

    def lookup(key: ScoreKey) -> Scores | None:
        if key.model == ZERO:
            return Scores(0.0, 0.0, 1)
        if tuple(key) not in seeds or seeds[tuple(key)]["value"].isna().any():
            return None
        by_seed = seeds[tuple(key)].set_index("seed")["value"].sort_index()
        values = by_seed.to_numpy()
        mean, sd = float(values.mean()), float(np.std(values - values[0]))
        return Scores(mean, sd, len(values), by_seed, trained(key, single_task))

    return lookup


def trained(key: ScoreKey, single_task: bool = False) -> frozenset[tuple[str, str, str]]:
    """The trained models that the scores at `key` are of: of late fusion both halves, of a lead both models.

    Two keys that have one in common are compared seed by seed.
    """
    models = MODELS[key.model].consists_of if key.model in MODELS else (key.model,)
    models += (ACOUSTIC_BASELINE,) if key.metric == "lead" else ()
    task = key.target if single_task or key.metric.startswith(SINGLE_TASK) else ""
    return frozenset((model, key.train_corpus, task) for model in models)


def from_paper(section: str) -> PrintedLookup:
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


def smallest(parts: Sequence[Part], findings: Sequence[Finding]) -> str:
    """The smallest differences that the study could have seen, least and greatest of each measure's, in its unit."""
    units: dict[str, list[float]] = {}
    for part, finding in zip(parts, findings, strict=True):
        if not math.isnan(finding.detectable):
            units.setdefault(unit_of(part.left), []).append(finding.detectable)
    texts = [
        " to ".join(dict.fromkeys(f"{end:.{digits_of(unit)}f}" for end in (min(of), max(of))))
        for unit, of in units.items()
    ]
    return ", ".join(dict.fromkeys(texts)) or "not known"


def _compared(part: Part, finding: Finding) -> str:
    names = [_named(part.left, part.right), _named(part.right, part.left)]
    if finding.left is None or finding.right is None or finding.comparison is None:
        absent = [name for name, side in zip(names, (finding.left, finding.right), strict=True) if side is None]
        return f"no {' and no '.join(absent)} here"
    unit, test = unit_of(part.left), finding.comparison
    digits = digits_of(unit)
    means = f"{names[0]} {_shown(finding.left, digits)}"
    if part.right.model != ZERO:
        means += f" against {names[1]} {_shown(finding.right, digits)}"
    if math.isnan(test.p):
        return f"{means}, one seed and no test"
    p = "< .001" if test.p < 0.001 else "= " + f"{test.p:.3f}".removeprefix("0")
    paired = ", paired" if finding.paired else ""
    return f"{means}: {test.difference:+.{digits}f} [{test.low:+.{digits}f}, {test.high:+.{digits}f}], p {p}{paired}"


def digits_of(measure: str) -> int:
    """Decimals in print."""
    percent = measure in IN_PERCENT or " as " in measure
    return METRICS[measure].digits if measure in METRICS else 1 if percent else 3


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


def _shown(side: Scores, digits: int) -> str:
    return f"{side.mean:.{digits}f} ({side.sd:.{digits}f})"


def _sd(side: Scores) -> float:
    """The sd with ddof 1."""
    return side.sd * math.sqrt(side.n / (side.n - 1)) if side.n > 1 else math.nan
