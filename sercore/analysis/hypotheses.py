"""Do the hypotheses of parameters/preregistration.yaml on where language should enter hold, on one corpus?

Each is one or two contrasts: sums of scores, with weights, of runs that condition different sets of stages. The runs of
one seed and the answers to one speaker are compared with each other; seeds and speakers are resampled together.
"""

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from sercore.analysis import captions, preregistration, results, statistics, where
from sercore.analysis.comparisons import interval, signed
from sercore.analysis.nothing import NothingToShow
from sercore.analysis.statistics import Interval
from sercore.analysis.tables import Table
from sercore.analysis.verdicts import ABOVE, FAILS, HOLDS, LEVEL, OPEN, together
from sercore.analysis.where import STAGES, Stages, Where
from sercore.analysis.words import WORDS
from sercore.corpora import wording
from sercore.registry import METRICS
from sercore.schema import EMOTION
from sercore.study import config

NOT_BELOW = "not below"
SINGLE, LAST = (6,), (5, 6)
EARLY = (1, 2, 3)
DROPOUT = 0.4  # text dropout of the runs that have any
DRAWS = 10_000
RULES = (
    "Level: the interval of .90 lies within the margin; against it, that of .95 lies beyond it. Above: the interval of "
    ".95 is above 0; against it, that of .90 is below the margin. Not below: the interval of .90 is above the margin "
    "below 0; against it, that of .95 is below that. A hypothesis holds where each of its contrasts does, and does not "
    "hold where one is against it."
)


class Score(NamedTuple):
    """One score of the runs with text at `stages`, on the test utterances."""

    stages: Stages
    dropout: float = 0.0
    words: str | None = None  # a name of wording.LABELS; None: all utterances
    misled: bool = False  # on the utterances that can be misled: whether they are


Terms = tuple[tuple[float, Score], ...]


class Contrast(NamedTuple):
    """A sum of scores, each with its weight, and what is said of it."""

    says: str
    terms: Terms
    relation: str  # LEVEL, ABOVE or NOT_BELOW (0); empty: reported, not judged
    margin: float  # in the printed unit
    target: str
    metric: str


class Judged(NamedTuple):
    """A contrast, its estimate and interval in the printed unit, and the verdict; NaN without runs."""

    contrast: Contrast
    value: float
    low: float
    high: float
    verdict: str
    seeds: int
    speakers: int


def judge(
    study: config.Study | str,
    corpus: str,
    incomplete: str = "refuse",
    encoder: str | None = None,
    draws: int = DRAWS,
) -> Table:
    """The verdicts on H1 to H4 on the test utterances of `corpus`, and the numbers behind them.

    H1 and H2 are about the section multitask; H3 and H4 about UAR of the section categories, or, of a corpus without
    emotions, about r of arousal where words tell nothing and of valence where they tell and mislead.

    Raises FileNotFoundError as where.read does, and NothingToShow where `corpus` has no runs of these sections.
    """
    study = study if isinstance(study, config.Study) else config.load(study)
    plan = preregistration.read().where
    sections = [
        section
        for section in ("multitask", "categories")
        if any(run.section == section and run.parameters["corpus"] == corpus for run in study.runs)
    ]
    if not sections:
        raise NothingToShow(f"{study.path} has no runs of multitask or categories on '{corpus}'")
    runs = {section: _read(study, section, corpus, incomplete, encoder) for section in sections}
    rows = []
    for name, (section, contrasts) in _hypotheses(
        plan, "categories" in runs, _early(runs.get("multitask", {}))
    ).items():
        judged = [_judged(contrast, runs.get(section, {}), draws) for contrast in contrasts]
        verdict = together([one.verdict for one in judged if one.contrast.relation])
        rows += [(name, verdict, one) for one in judged]
    anyone = next(iter(next(iter(runs.values())).values()))
    return _table(plan, corpus, rows, anyone.of)


class Rows(NamedTuple):
    """Runs, and their test predictions on the corpus by set of stages and kind of words, see where.labelled."""

    of: Where
    predictions: pd.DataFrame


def _read(study: config.Study, section: str, corpus: str, incomplete: str, encoder: str | None) -> dict[float, Rows]:
    """The runs of a section without text dropout, and with it where there are any."""
    found = {0.0: where.read(study, section, incomplete, encoder=encoder)}
    with contextlib.suppress(NothingToShow):
        found[DROPOUT] = where.read(study, section, incomplete, text_dropout=DROPOUT, encoder=encoder)
    return {dropout: Rows(runs, where.labelled(runs, corpus)) for dropout, runs in found.items()}


def _hypotheses(plan: preregistration.Where, emotions: bool, early: Terms) -> dict[str, tuple[str, list[Contrast]]]:
    """Hypothesis -> the section that it is about, and its contrasts."""
    section, heard, told, metric = "multitask", "arousal", "valence", "pcc"
    if emotions:
        section, heard, told, metric = "categories", EMOTION, EMOTION, "uar"
    margin, cost, r = plan.margins[metric], plan.cost[metric], plan.margins["pcc"]
    nothing, tell = wording.NOTHING, wording.TELL
    deaf, gain = "words tell nothing: all six - CNN14", "words tell nothing: all six with text dropout - CNN14"
    return {
        "H1": (
            "multitask",
            [Contrast("stages 5 and 6 - all six", ((1, Score(LAST)), (-1, Score(STAGES))), LEVEL, r, "valence", "pcc")],
        ),
        "H2": (
            "multitask",
            [Contrast("what stages 1 to 3 take away", early, ABOVE, r, "arousal", "pcc")],
        ),
        "H3": (
            section,
            [
                Contrast(deaf, _minus(Score(STAGES, 0.0, nothing), Score((), 0.0, nothing)), "", margin, heard, metric),
                Contrast(
                    gain,
                    _minus(Score(STAGES, DROPOUT, nothing), Score((), 0.0, nothing)),
                    NOT_BELOW,
                    margin,
                    heard,
                    metric,
                ),
                Contrast(
                    "words tell: all six with text dropout - without",
                    _minus(Score(STAGES, DROPOUT, tell), Score(STAGES, 0.0, tell)),
                    NOT_BELOW,
                    cost,
                    told,
                    metric,
                ),
            ],
        ),
        "H4": (
            section,
            [
                Contrast(
                    "what misleading words cost: all six - stage 6",
                    (*_fall(STAGES, 1), *_fall(SINGLE, -1)),
                    ABOVE,
                    margin,
                    told,
                    metric,
                )
            ],
        ),
    }


def _minus(one: Score, other: Score) -> Terms:
    return (1, one), (-1, other)


def _early(runs: Mapping[float, Rows]) -> Terms:
    """The sum of the Shapley values of EARLY with its sign turned, from the sets that were run; () where too few."""
    if 0.0 not in runs:
        return ()
    names = set(runs[0.0].predictions["name"])
    sets = [stages for stages in runs[0.0].of.by_stages if where.in_words(stages) in names]
    try:
        values = where.shapley(dict(zip(sets, np.eye(len(sets)), strict=True)))
    except ValueError:
        return ()
    early = values[:, [stage - 1 for stage in EARLY]].sum(axis=1)
    return tuple((-float(value), Score(stages)) for value, stages in zip(early, sets, strict=True))


def _fall(stages: Stages, sign: float) -> Terms:
    """Score with the own words - score with misleading ones, of the same utterances."""
    return (sign, Score(stages, 0.0, wording.MISLEAD, misled=False)), (
        -sign,
        Score(stages, 0.0, wording.MISLEAD, misled=True),
    )


def _judged(contrast: Contrast, runs: Mapping[float, Rows], draws: int) -> Judged:
    """The contrast on the seeds that all of its runs have; OPEN where some are missing."""
    found = [_sums(score, contrast, runs) for _, score in contrast.terms]
    parts = [part for part in found if part is not None]
    seeds = parts[0].seeds if parts else pd.Index([])
    for part in parts[1:]:
        seeds = seeds.intersection(part.seeds)
    if not parts or len(parts) < len(found) or not len(seeds):
        return Judged(contrast, math.nan, math.nan, math.nan, OPEN if contrast.relation else "", 0, 0)
    speakers = parts[0].clusters
    parts = [part.at(speakers, part.runs[part.runs.get_level_values("seed").isin(seeds)]) for part in parts]
    weights = [weight for weight, _ in contrast.terms]

    def value(of_speakers: np.ndarray, of_seeds: np.ndarray) -> np.ndarray:
        scores = [part.crossed(of_speakers, of_seeds) for part in parts]
        return METRICS[contrast.metric].scale * np.tensordot(weights, scores, 1)

    sizes = [len(speakers), len(seeds)]
    wide, narrow = (
        statistics.resample(value, sizes, np.random.default_rng(where.SEED), draws, 1 - share)
        for share in (statistics.ALPHA, 2 * statistics.ALPHA)
    )
    verdict = decide(contrast.relation, wide, narrow, contrast.margin)
    return Judged(contrast, wide.score, wide.low, wide.high, verdict, len(seeds), len(speakers))


def decide(relation: str, wide: Interval, narrow: Interval, margin: float) -> str:
    """The verdict on a contrast from its intervals of .95 and .90, as RULES say; empty without a relation."""
    if not relation:
        return ""
    if relation == LEVEL:
        holds, fails = -margin < narrow.low and narrow.high < margin, wide.low > margin or wide.high < -margin
    elif relation == ABOVE:
        holds, fails = wide.low > 0, narrow.high < margin
    else:
        holds, fails = narrow.low > -margin, wide.high < -margin
    return HOLDS if holds else FAILS if fails else OPEN


def _sums(score: Score, contrast: Contrast, runs: Mapping[float, Rows]) -> statistics.Sums | None:
    """The sums of the predictions that `score` is of; None where there are no such runs or utterances."""
    if score.dropout not in runs:
        return None
    rows = runs[score.dropout].predictions
    rows = rows[(rows["name"] == where.in_words(score.stages)) & (rows["target"] == contrast.target)]
    odd = rows[WORDS] == wording.MISLEAD
    if score.words == wording.MISLEAD:
        told = rows.loc[odd, "utterance"]
        rows = rows[odd] if score.misled else rows[~odd & rows["utterance"].isin(told)]
    else:
        rows = rows[~odd] if score.words is None else rows[rows[WORDS] == score.words]
    if rows.empty:
        return None
    labels = results.classes(rows) if METRICS[contrast.metric].categorical else ()
    return statistics.sums(rows, contrast.metric, labels=labels)


def _table(plan: preregistration.Where, corpus: str, rows: Sequence[tuple[str, str, Judged]], runs: Where) -> Table:
    cells, numbers = [], []
    for name, verdict, judged in rows:
        contrast = judged.contrast
        metric = METRICS[contrast.metric]
        within = {LEVEL: "level within", ABOVE: "above 0, margin", NOT_BELOW: "not below 0 by"}.get(
            contrast.relation, ""
        )
        known = math.isfinite(judged.value)
        cells.append(
            {
                ("", "measure"): f"{metric.label} of {contrast.target}",
                ("", "contrast"): contrast.says,
                ("", "difference (.95)"): f"{signed(judged.value, contrast.metric)} "
                f"({interval(judged.low, judged.high, contrast.metric)})"
                if known
                else "not run",
                ("", "asked"): f"{within} {contrast.margin:g}" if within else "not judged",
                ("", "verdict"): judged.verdict or "-",
                ("", "hypothesis"): verdict,
            }
        )
        numbers.append(
            {
                "hypothesis": name,
                "verdict": verdict,
                "contrast": contrast.says,
                "relation": contrast.relation,
                "target": contrast.target,
                "metric": contrast.metric,
                "margin": contrast.margin,
                "value": judged.value,
                "low": judged.low,
                "high": judged.high,
                "verdict_of_contrast": judged.verdict,
                "seeds": judged.seeds,
                "speakers": judged.speakers,
            }
        )
    frame = pd.DataFrame(cells, index=pd.Index([name for name, _, _ in rows], name=""))
    tidy = pd.DataFrame(numbers)
    notes = (
        *(f"{name}: {text}" for name, text in plan.hypotheses.items()),
        f"Not in the paper. Written down on {plan.date}, when this was known: {plan.known}.",
        f"Intervals over {_range(tidy['seeds'])} seeds and {_range(tidy['speakers'])} speakers. {RULES}",
        *captions.caveats(runs.any),
    )
    return Table(
        f"hypotheses_{corpus}", f"Where should language enter? The hypotheses, {corpus}", frame, tidy, notes, "l"
    )


def _range(counts: pd.Series) -> str:
    known = counts[counts > 0]
    return " to ".join(dict.fromkeys([f"{known.min():.0f}", f"{known.max():.0f}"])) if len(known) else "no"
