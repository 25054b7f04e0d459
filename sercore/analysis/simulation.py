"""How often the verdicts on the paper's claims err, and how often they find what is there: whole studies, simulated.

Scores over seeds are drawn as normal and go through the rule of the study's own verdicts (`verdicts.weigh` and the
correction of `verdicts.judge`). What is simulated is other seeds; test utterances and speakers stay the same.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sercore.analysis import captions, preregistration, published, statistics, verdicts
from sercore.analysis.claims import PAPER, PLACES
from sercore.analysis.measures import from_paper, measures
from sercore.analysis.nothing import Nothing, NothingToShow, or_nothing, present
from sercore.analysis.preregistration import CORRECTIONS
from sercore.analysis.results import PERCENT, Results
from sercore.analysis.tables import Table
from sercore.analysis.verdicts import CONSISTENT, FAILS, HOLDS, LEVEL, OPEN, ZERO, Claim, Part, ScoreKey, Scores
from sercore.registry import SECTIONS

DRAWS = 2000  # simulated studies
SEED = 0  # of the draws
SEEDS = (3, 5, 10)  # a model, in the simulated studies
Values = Mapping[ScoreKey, np.ndarray]  # (studies, seeds) of each score


class Outcomes(NamedTuple):
    """What many simulated studies say of one claim."""

    verdicts: np.ndarray  # (studies,) of verdicts.VERDICTS
    uncorrected: np.ndarray  # likewise, if every comparison were tested as if it were the only one
    false: np.ndarray  # (studies,) whether `verdicts` shows a difference: holds, or is refuted by a significant one
    false_uncorrected: np.ndarray  # likewise of `uncorrected`


@or_nothing
def no_effect(sections: Sequence[Results], seeds: Sequence[int] = SEEDS, draws: int = DRAWS, seed: int = SEED) -> Table:
    """The rate of false verdicts in studies whose models all have the same mean, with the spreads of this study.

    The covariances of the measures of one trained model over seeds are those of the study, and late fusion's noise is
    its halves'. All means being equal, a verdict is false that shows a difference: `holds` of a claim that says that
    one score is above another, and `does not hold` because of a significant difference. It is right to call two scores
    level, or a lead refuted because they are level; `consistent with` and `cannot tell` show nothing.

    Without two seeds of each section, and the models and corpora of one claim at least, there is nothing to show.
    """
    sections = present(sections)
    plan, generator = preregistration.read(), np.random.default_rng(seed)
    records = []
    for results in sections:
        single_task = SECTIONS[results.section].single_task
        lookup = verdicts.from_study(measures(results), single_task)
        for claim in _claims(results.section):
            scores = _scores(claim, lookup)
            if scores is None:
                continue
            if any(score.n < 2 for key, score in scores.items() if key.model != ZERO):
                raise NothingToShow(f"section '{results.section}' has one seed, and so no spread to simulate")
            for size in seeds:
                found = outcomes(claim.parts, _noise(scores, size, draws, generator), single_task)
                records.append((claim, size, found.false.mean(), found.false_uncorrected.mean()))
    if not records:
        raise NothingToShow("none of the paper's claims is about the models and corpora of this study")
    numbers = pd.DataFrame(
        [(claim.number, len(claim.parts), size, *rates) for claim, size, *rates in records],
        columns=["claim", "comparisons", "seeds", "false", "uncorrected"],
    )
    below = (
        f"Share [%] of {draws} simulated studies, in which all models have the same mean, and the spread over seeds of "
        "this study. False: the claim is called to hold, or not to hold, because of a significant difference.",
        f"Without correction: if each of a claim's comparisons were tested at alpha {plan.alpha:g} as if it were the "
        f"only one. Expected: at most {plan.alpha:.0%}.",
        *captions.caveats(sections[0]),
    )
    columns = {"false": "false", "uncorrected": "without correction"}
    return _table("false_verdicts", "False verdicts where there is no effect", numbers, columns, below)


def power(seeds: Sequence[int] = SEEDS, draws: int = DRAWS, seed: int = SEED) -> Table:
    """How often the verdicts find the paper's effects: its printed means and spreads taken as the truth.

    Scores are independent of each other, also those of the same trained models, as the paper prints no correlations.
    Claims about what it does not print with an sd are left out.
    """
    generator = np.random.default_rng(seed)
    records, left_out = [], []
    for section in dict.fromkeys(PLACES.values()):
        single_task = SECTIONS[section].single_task
        for claim in _claims(section):
            scores = _scores(claim, from_paper(section))
            if scores is None or any(not score.sd for key, score in scores.items() if key.model != ZERO):
                left_out.append(claim.number)
                continue
            for size in seeds:
                found = outcomes(claim.parts, _around(scores, size, draws, generator), single_task)
                shares = [np.isin(found.verdicts, names).mean() for names in ([HOLDS, CONSISTENT], [FAILS])]
                records.append((claim.number, len(claim.parts), size, *shares))
    numbers = pd.DataFrame(records, columns=["claim", "comparisons", "seeds", "found", "refuted"])
    below = (
        f"Share [%] of {draws} simulated studies, in which the paper's printed means and standard deviations are the "
        "truth. Holds: the claim is called to hold, or its data consistent with it. A claim that the printed means are "
        "against, or that calls level what differs by more than the margin, should not hold.",
        f"Left out, as the paper does not print them with an sd: {', '.join(left_out)}.",
    )
    columns = {"found": HOLDS, "refuted": FAILS}
    return _table(
        "power", "What studies of few seeds find, if the paper's numbers are the truth", numbers, columns, below
    )


def rates(false: Table | Nothing) -> str:
    """The rates of false verdicts of `no_effect` in a sentence: the highest of all numbers of seeds."""
    if isinstance(false, Nothing):
        return str(false)
    rate = false.numbers.groupby("seeds")["false"].agg(["mean", "max"]).max()
    return f"over all claims: at most {PERCENT * rate['mean']:.1f} %; of one claim {PERCENT * rate['max']:.1f} %"


def outcomes(parts: Sequence[Part], values: Values, single_task: bool = False) -> Outcomes:
    """The verdicts on one claim in each of many studies; `judge` for arrays."""
    plan = preregistration.read()
    weights, of_difference = [], []
    for part in parts:
        difference, error, df, spread = _compared(part, values, single_task)
        margin = verdicts.margin_of(verdicts.unit_of(part.left))
        weights.append(verdicts.weigh(part.relation, difference, error, df, margin, plan.alpha, spread))
        of_difference.append(statistics.beyond(difference, error, df, 0.0))
    shown, agrees, against = (np.stack(of, axis=1) for of in zip(*weights, strict=True))
    corrected = CORRECTIONS[plan.correction](against)
    directional = any(part.relation != LEVEL for part in parts)
    judged, false = [], []
    for p in (corrected, against):
        refuted = p < plan.alpha
        verdict = _together(shown, agrees, refuted)
        by_difference = (refuted & (np.stack(of_difference, axis=1) <= against)).any(axis=1)  # and not as level
        judged.append(verdict)
        false.append(np.where(verdict == FAILS, by_difference, (verdict == HOLDS) & directional))
    return Outcomes(*judged, *false)


def _together(shown: np.ndarray, agrees: np.ndarray, refuted: np.ndarray) -> np.ndarray:
    """The worst of a claim's parts; all (studies, parts)."""
    conditions = [refuted.any(axis=1), shown.all(axis=1), (shown | agrees).all(axis=1)]
    return np.select(conditions, [FAILS, HOLDS, CONSISTENT], OPEN)


def _compared(part: Part, values: Values, single_task: bool) -> tuple[np.ndarray, np.ndarray, int, np.ndarray]:
    """Difference, its standard error, degrees of freedom, and both sds (ddof 1) together, as in `verdicts.judge`."""
    left, right = values[part.left], values[part.right]
    size = left.shape[1]
    difference = left.mean(axis=1) - right.mean(axis=1)
    spreads = left.std(axis=1, ddof=1), right.std(axis=1, ddof=1)
    same = verdicts.trained(part.left, single_task) & verdicts.trained(part.right, single_task)
    if same or part.right.model == ZERO:
        return difference, (left - right).std(axis=1, ddof=1) / np.sqrt(size), size - 1, sum(spreads)
    return difference, np.hypot(*spreads) / np.sqrt(size), 2 * size - 2, sum(spreads)


def _claims(section: str) -> list[Claim]:
    return [claim for claim in PAPER if PLACES[claim.place] == section]


def _scores(claim: Claim, lookup: Callable[[ScoreKey], Any]) -> dict[ScoreKey, Scores] | None:
    """Every score that the claim compares; None where one is missing."""
    found = {key: lookup(key) for part in claim.parts for key in (part.left, part.right)}
    return None if None in found.values() else {key: Scores(*score) for key, score in found.items()}


def _noise(scores: Mapping[ScoreKey, Scores], size: int, draws: int, generator: np.random.Generator) -> Values:
    """Scores with mean 0, and over seeds the covariances that the study has among those of the same trained models."""
    noise: dict[Any, np.ndarray] = {}
    values = {}
    for key, score in scores.items():
        if score.by_seed is None:  # zero
            values[key] = np.zeros((draws, size))
            continue
        centred = score.by_seed.to_numpy() - score.mean
        for model in sorted(score.trained):
            if (model, score.n) not in noise:
                noise[model, score.n] = generator.standard_normal((draws, size, score.n))
        together = sum(noise[model, score.n] for model in score.trained) / np.sqrt(len(score.trained))
        values[key] = together @ (centred / np.sqrt(score.n - 1)) if score.sd else np.zeros((draws, size))
    return values


def _around(scores: Mapping[ScoreKey, Scores], size: int, draws: int, generator: np.random.Generator) -> Values:
    """Scores around the paper's means, with its spreads (printed with ddof 0)."""
    to_ddof_1 = np.sqrt(published.SEEDS / (published.SEEDS - 1))
    return {
        key: score.mean + score.sd * to_ddof_1 * generator.standard_normal((draws, size))
        for key, score in scores.items()
    }


def _table(name: str, title: str, numbers: pd.DataFrame, columns: Mapping[str, str], notes: tuple[str, ...]) -> Table:
    """One row a claim and one for all; for each number of seeds the shares of `numbers` that `columns` names, in %."""
    wide = numbers.pivot(index=["claim", "comparisons"], columns="seeds", values=list(columns))
    wide = wide.reindex(pd.MultiIndex.from_frame(numbers[["claim", "comparisons"]].drop_duplicates()))
    wide.loc[("all", "mean"), :] = wide.mean()
    wide = PERCENT * wide.swaplevel(axis=1)[[(size, of) for size in numbers["seeds"].unique() for of in columns]]
    frame = wide.map("{:.1f}".format)
    frame.index = frame.index.map(lambda names: tuple(map(str, names)))
    frame.columns = pd.MultiIndex.from_tuples([(f"{size} seeds", columns[of]) for size, of in frame.columns])
    return Table(name, title, frame.rename_axis(["claim", "comparisons"]), numbers, notes)
