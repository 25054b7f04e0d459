"""The paper's claims in sections 5, 6.1, 6.2 and appendix A, and the ground-truth effects of the embedded corpora.

Each claim is data: comparisons of two scores, judged by `verdicts`. Claims that the paper makes about the one model
that is best on validation (figures 2 and 3, Table 4) are tested over all seeds.
"""

from collections.abc import Iterable, Sequence
from itertools import product
from typing import NamedTuple

import pandas as pd

from sercore.analysis.captions import missing, simulated
from sercore.analysis.results import Results, main_metric
from sercore.analysis.tables import Table, incomplete
from sercore.analysis.verdicts import (
    ABOVE,
    CLEARLY_ABOVE,
    LEVEL,
    NOT_TESTABLY_ABOVE,
    RULES,
    ZERO,
    Claim,
    Part,
    ScoreKey,
    from_paper,
    from_study,
    in_words,
    judge,
    margin_of,
    measures,
    together,
)
from sercore.registry import METRICS
from sercore.schema import DIMENSIONS, EMOTION

MSP, IEMOCAP = "msp-podcast", "iemocap"
BERT, CNN, LF, SF, MF = "bert", "cnn14", "lf", "sfcnn14", "mfcnn14"
AROUSAL, VALENCE, DOMINANCE = DIMENSIONS
FUSIONS = (SF, MF)
PLACES = {
    "table_1": "categories",
    "figure_2": "categories",
    "table_2": "dimensions",
    "table_3": "multitask",
    "figure_3": "multitask",
    "table_4": "multitask",
}
"""Where the paper makes a claim -> the section of the study that it is about."""
PAPER_SAYS, EXPECTED = "the paper says", "expected"


class Corpora(NamedTuple):
    """What a model was trained on, and what it is tested on."""

    train: str
    test: str


M_M, M_I, I_I, I_M = Corpora(MSP, MSP), Corpora(MSP, IEMOCAP), Corpora(IEMOCAP, IEMOCAP), Corpora(IEMOCAP, MSP)


def compare(
    left: str | Iterable[str],
    right: str | Iterable[str],
    corpora: Corpora | tuple[Corpora, ...] = M_M,
    targets: str | Iterable[str] = EMOTION,
    metric: str | Iterable[str] | None = None,
    relation: str = ABOVE,
) -> tuple[Part, ...]:
    """One comparison for each combination of the arguments that are several; without a metric, by the main one."""
    parts = []
    pairs = (corpora,) if isinstance(corpora, Corpora) else corpora
    names = (None,) if metric is None else _each(metric)
    for pair, one, other, target, name in product(pairs, _each(left), _each(right), _each(targets), names):
        key = ScoreKey(one, *pair, target, name or main_metric(target, pair.train == pair.test))
        parts.append(Part(key, relation, key._replace(model=other)))
    return tuple(parts)


def within(models: str | Iterable[str], left: dict[str, str], right: dict[str, str]) -> tuple[Part, ...]:
    """`left` above `right`, two scores of the same model, by their corpora, target and metric."""
    return tuple(Part(ScoreKey(model, **left), ABOVE, ScoreKey(model, **right)) for model in _each(models))


def _each(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _score(corpora: Corpora, target: str, metric: str) -> dict[str, str]:
    return {"train_corpus": corpora.train, "test_corpus": corpora.test, "target": target, "metric": metric}


def _uar(corpora: Corpora, metric: str = "uar") -> dict[str, str]:
    return _score(corpora, EMOTION, metric)


AWAY = ("angry as happy", "neutral as happy", "sad as happy")
EVERYWHERE = (M_M, M_I, I_I, I_M)
PAPER = (
    # Section 5
    Claim("5.1", "table_1", "BERT is better than CNN14 on MSP-Podcast.", compare(BERT, CNN)),
    Claim("5.2", "table_1", "BERT is better than CNN14 on IEMOCAP.", compare(BERT, CNN, I_I)),
    Claim(
        "5.3",
        "table_1",
        "BERT's lead over CNN14 is larger on IEMOCAP than on MSP-Podcast.",
        within(BERT, _uar(I_I, "lead"), _uar(M_M, "lead")),
    ),
    Claim("5.4", "table_1", "BERT is the best model from IEMOCAP to MSP-Podcast.", compare(BERT, (CNN, SF, MF), I_M)),
    Claim(
        "5.5",
        "table_1",
        "Both fusion models are better than CNN14 on both corpora.",
        compare(FUSIONS, CNN) + compare(FUSIONS, CNN, I_I),
    ),
    Claim("5.6", "table_1", "SFCNN14 is slightly better than MFCNN14 on MSP-Podcast.", compare(SF, MF)),
    Claim("5.7", "table_1", "MFCNN14 is considerably better than SFCNN14 on IEMOCAP.", compare(MF, SF, I_I)),
    Claim(
        "5.8",
        "table_1",
        "On IEMOCAP MFCNN14 is better than BERT, and SFCNN14 is worse than BERT.",
        compare(MF, BERT, I_I) + compare(BERT, SF, I_I),
    ),
    Claim(
        "5.9",
        "table_1",
        "From MSP-Podcast to IEMOCAP both fusion models score the same.",
        compare(MF, SF, M_I, relation=LEVEL),
    ),
    Claim("5.10", "table_1", "From IEMOCAP to MSP-Podcast MFCNN14 is better than SFCNN14.", compare(MF, SF, I_M)),
    Claim(
        "5.11",
        "table_1",
        "Both fusion models score far lower on the other corpus.",
        within(FUSIONS, _uar(M_M), _uar(M_I)) + within(FUSIONS, _uar(I_I), _uar(I_M)),
    ),
    Claim(
        "5.12",
        "table_1",
        "Models trained on MSP-Podcast lose less on the other corpus than models trained on IEMOCAP.",
        within((BERT, CNN, SF, MF), _uar(I_M, "drop"), _uar(M_I, "drop")),
    ),
    Claim(
        "5.13",
        "figure_2",
        "BERT is better at happy and neutral, CNN14 at angry and sad (figure 2).",
        compare(BERT, CNN, metric=("happy as happy", "neutral as neutral"))
        + compare(CNN, BERT, metric=("angry as angry", "sad as sad")),
    ),
    Claim(
        "5.14",
        "figure_2",
        "CNN14's most frequent confusions are happy as angry and neutral as sad.",
        within(CNN, _uar(M_M, "lesser"), _uar(M_M, "others")),
    ),
    Claim(
        "5.15",
        "figure_2",
        "CNN14 predicts more neutral utterances as sad than as neutral.",
        within(CNN, _uar(M_M, "neutral as sad"), _uar(M_M, "neutral as neutral")),
    ),
    Claim(
        "5.16",
        "figure_2",
        "Both fusion models gain mostly on happy and neutral.",
        compare(FUSIONS, CNN, metric=("happy as happy", "neutral as neutral", "tilt")),
    ),
    Claim(
        "5.17",
        "figure_2",
        "MFCNN14 predicts many more angry, neutral and sad utterances as happy than CNN14 does.",
        compare(MF, CNN, metric=AWAY),
    ),
    Claim(
        "5.18",
        "figure_2",
        "SFCNN14 predicts fewer others as happy than MFCNN14 does, angry and sad ones no more often than CNN14.",
        compare(MF, SF, metric=AWAY) + compare(SF, CNN, metric=(AWAY[0], AWAY[2]), relation=LEVEL),
    ),
    Claim(
        "5.19", "table_1", "Both fusion models are better than late fusion (abstract, section 7).", compare(FUSIONS, LF)
    ),
    # Section 6.1
    Claim(
        "6.1.1",
        "table_2",
        "MFCNN14 is best on valence, in-domain and across corpora.",
        compare(MF, (CNN, SF), EVERYWHERE, VALENCE),
    ),
    Claim(
        "6.1.2",
        "table_2",
        "On valence models lose more from IEMOCAP to MSP-Podcast than the other way.",
        within((CNN, SF, MF), _score(I_M, VALENCE, "drop"), _score(M_I, VALENCE, "drop")),
    ),
    Claim(
        "6.1.3",
        "table_2",
        "On MSP-Podcast's arousal CNN14 is ahead of both fusion models, but not significantly.",
        compare(CNN, FUSIONS, M_M, AROUSAL, relation=NOT_TESTABLY_ABOVE),
    ),
    Claim(
        "6.1.4",
        "table_2",
        "On IEMOCAP's arousal MFCNN14 is marginally ahead of CNN14, SFCNN14 is worse.",
        compare(MF, CNN, I_I, AROUSAL, relation=NOT_TESTABLY_ABOVE) + compare(CNN, SF, I_I, AROUSAL),
    ),
    Claim(
        "6.1.5",
        "table_2",
        "Across corpora arousal is predicted better than valence.",
        within((CNN, SF, MF), _score(M_I, AROUSAL, "pcc"), _score(M_I, VALENCE, "pcc"))
        + within((CNN, SF, MF), _score(I_M, AROUSAL, "pcc"), _score(I_M, VALENCE, "pcc")),
    ),
    Claim(
        "6.1.6",
        "table_2",
        "From MSP-Podcast to IEMOCAP CNN14 is better than both fusion models on arousal.",
        compare(CNN, FUSIONS, M_I, AROUSAL),
    ),
    Claim(
        "6.1.7",
        "table_2",
        "From IEMOCAP to MSP-Podcast MFCNN14 is better than CNN14 on arousal, and SFCNN14 is worse.",
        compare(MF, CNN, I_M, AROUSAL) + compare(CNN, SF, I_M, AROUSAL),
    ),
    Claim(
        "6.1.8",
        "table_2",
        "On MSP-Podcast's dominance CNN14 is better than both fusion models.",
        compare(CNN, FUSIONS, M_M, DOMINANCE),
    ),
    Claim(
        "6.1.9",
        "table_2",
        "From MSP-Podcast to IEMOCAP MFCNN14 and CNN14 are level on dominance.",
        compare(MF, CNN, M_I, DOMINANCE, relation=LEVEL),
    ),
    Claim(
        "6.1.10", "table_2", "On IEMOCAP's dominance MFCNN14 is better than CNN14.", compare(MF, CNN, I_I, DOMINANCE)
    ),
    Claim(
        "6.1.11",
        "table_2",
        "From IEMOCAP to MSP-Podcast CNN14 is better than MFCNN14 on dominance.",
        compare(CNN, MF, I_M, DOMINANCE),
    ),
    Claim(
        "6.1.12",
        "table_2",
        "Both fusion models are better than CNN14 on valence, in-domain and across corpora.",
        compare(FUSIONS, CNN, EVERYWHERE, VALENCE),
    ),
    Claim(
        "6.1.13",
        "table_2",
        "SFCNN14 is worse than CNN14 on arousal and dominance everywhere.",
        compare(CNN, SF, EVERYWHERE, (AROUSAL, DOMINANCE)),
    ),
    # Section 6.2
    Claim("6.2.1", "table_3", "BERT is much better than CNN14 on valence.", compare(BERT, CNN, targets=VALENCE)),
    Claim(
        "6.2.2",
        "table_3",
        "BERT is far behind CNN14 on arousal and dominance.",
        compare(CNN, BERT, targets=(AROUSAL, DOMINANCE)),
    ),
    Claim(
        "6.2.3",
        "table_3",
        "MFCNN14 is better than CNN14 on all three dimensions.",
        compare(MF, CNN, targets=DIMENSIONS),
    ),
    Claim(
        "6.2.4",
        "table_3",
        "SFCNN14 is better than CNN14 on valence; on arousal and dominance it is ahead, but not significantly.",
        compare(SF, CNN, targets=VALENCE) + compare(SF, CNN, targets=(AROUSAL, DOMINANCE), relation=NOT_TESTABLY_ABOVE),
    ),
    Claim("6.2.5", "table_3", "MFCNN14 is better than BERT on valence.", compare(MF, BERT, targets=VALENCE)),
    Claim(
        "6.2.6",
        "table_3",
        "SFCNN14 is slightly, but significantly, worse than BERT on valence.",
        compare(BERT, SF, targets=VALENCE),
    ),
    Claim(
        "6.2.7",
        "figure_3",
        "The errors of most models grow with the distance of the truth from the middle (figure 3).",
        compare((BERT, CNN, LF, MF), ZERO, targets=DIMENSIONS, metric="steepness"),
    ),
    Claim(
        "6.2.8",
        "figure_3",
        "SFCNN14 shows this regression towards the mean least on arousal and dominance.",
        compare((BERT, CNN, LF, MF), SF, targets=(AROUSAL, DOMINANCE), metric="steepness"),
    ),
    Claim(
        "6.2.9",
        "figure_3",
        "BERT shows it most on arousal and dominance.",
        compare(BERT, (CNN, LF, SF, MF), targets=(AROUSAL, DOMINANCE), metric="steepness"),
    ),
    Claim(
        "6.2.10",
        "figure_3",
        "Late fusion lies between BERT and CNN14 there.",
        compare(BERT, LF, targets=(AROUSAL, DOMINANCE), metric="steepness")
        + compare(LF, CNN, targets=(AROUSAL, DOMINANCE), metric="steepness"),
    ),
    Claim(
        "6.2.11",
        "figure_3",
        "On valence CNN14 shows it more than BERT, SFCNN14 and MFCNN14, which are close.",
        compare(CNN, (BERT, SF, MF), targets=VALENCE, metric="steepness")
        + compare(FUSIONS, BERT, targets=VALENCE, metric="steepness", relation=LEVEL),
    ),
    Claim(
        "6.2.12",
        "figure_3",
        "On valence CNN14's errors are larger than the others' at the high end, and as large at the low end.",
        compare(CNN, (BERT, SF, MF), targets=VALENCE, metric="high")
        + compare(CNN, (BERT, SF, MF), targets=VALENCE, metric="low", relation=LEVEL),
    ),
    Claim(
        "6.2.13",
        "figure_3",
        "BERT's errors are larger at the low end of arousal and dominance than at the high end.",
        within(BERT, _score(M_M, AROUSAL, "low"), _score(M_M, AROUSAL, "high"))
        + within(BERT, _score(M_M, DOMINANCE, "low"), _score(M_M, DOMINANCE, "high")),
    ),
    # Appendix A
    Claim(
        "A.1",
        "table_4",
        "MFCNN14 has the highest CCC on all three dimensions (Table 4).",
        compare(MF, (BERT, CNN, LF, SF), targets=DIMENSIONS),
    ),
    Claim(
        "A.2",
        "table_4",
        "No model has a lower MSE than MFCNN14 on any dimension (Table 4).",
        compare((BERT, CNN, SF), MF, targets=DIMENSIONS, metric="mse")
        + compare(LF, MF, targets=(AROUSAL, DOMINANCE), metric="mse"),
    ),
    Claim(
        "A.3",
        "table_4",
        "Both fusion models have a higher CCC than late fusion on all three dimensions (Table 4, abstract).",
        compare(FUSIONS, LF, targets=DIMENSIONS),
    ),
)
"""The paper's claims, in its order and in our words."""

GROUND_TRUTH = (
    Claim(
        "text",
        "categories",
        "Where the words carry the difference (happy against angry or sad), BERT is better than CNN14.",
        compare(BERT, CNN, metric="valence contrast"),
    ),
    Claim(
        "audio",
        "categories",
        "Where the sound carries the difference (angry against sad), CNN14 is better than BERT.",
        compare(CNN, BERT, metric="arousal contrast"),
    ),
    Claim(
        "fusion",
        "categories",
        "Both fusion models have a higher UAR than both unimodal models.",
        compare(FUSIONS, (BERT, CNN)),
    ),
    Claim("arousal", "multitask", "CNN14 is better than BERT on arousal.", compare(CNN, BERT, targets=AROUSAL)),
    Claim("dominance", "multitask", "CNN14 is better than BERT on dominance.", compare(CNN, BERT, targets=DOMINANCE)),
    Claim("valence", "multitask", "BERT is better than CNN14 on valence.", compare(BERT, CNN, targets=VALENCE)),
    Claim(
        "fusion",
        "multitask",
        "Both fusion models are better than CNN14 on valence by more than the spread over seeds.",
        compare(FUSIONS, CNN, targets=VALENCE, relation=CLEARLY_ABOVE),
    ),
)
"""The effects that the embedded corpora are made with, on the test set in MSP-Podcast's layout."""


def check(results: Results, place: str) -> Table:
    """A verdict on each claim that the paper makes at `place`, by this study and by the printed numbers.

    Args:
        results: of the section that the claims are about.
        place: table_1, figure_2, table_2, table_3, figure_3 or table_4.

    Raises:
        ValueError: the paper makes no claims about the section there.
    """
    if place not in PLACES or PLACES[place] != results.section:
        known = [name for name, section in PLACES.items() if section == results.section]
        raise ValueError(f"no claims of {place} about section '{results.section}'; it has those of {', '.join(known)}")
    claims = [claim for claim in PAPER if claim.place == place]
    return _table(
        results, claims, f"claims_{place}", f"The paper's claims beside {place.replace('_', ' ')}", PAPER_SAYS
    )


def ground_truth(results: Results) -> Table:
    """A verdict on each ground-truth effect of the embedded corpora; not for corpora of real speech."""
    claims = [claim for claim in GROUND_TRUTH if claim.place == results.section]
    return _table(
        results,
        claims,
        f"ground_truth_{results.section}",
        f"Ground-truth effects, section '{results.section}'",
        EXPECTED,
    )


def _table(results: Results, claims: Sequence[Claim], name: str, title: str, says: str) -> Table:
    here, printed = from_study(measures(results)), from_paper(results.section)
    rows, numbers = [], []
    for claim in claims:
        ours = [judge(part, here) for part in claim.parts]
        theirs = [judge(part, printed) for part in claim.parts]
        verdicts = [together([finding.verdict for finding in side]) for side in (ours, theirs)]
        unprinted = all(finding.comparison is None for finding in theirs)
        rows.append(
            (
                claim.number,
                claim.text,
                verdicts[0],
                "not printed" if unprinted else verdicts[1],
                in_words(claim.parts, ours),
            )
        )
        for part, finding, paper in zip(claim.parts, ours, theirs, strict=True):
            sides = {
                f"{side}_{field}": value
                for side, key in (("left", part.left), ("right", part.right))
                for field, value in key._asdict().items()
            }
            tested = finding.comparison._asdict() if finding.comparison else {}
            numbers.append(
                {
                    "claim": claim.number,
                    "relation": part.relation,
                    **sides,
                    **tested,
                    "verdict": finding.verdict,
                    "paper_verdict": paper.verdict,
                }
            )
    columns = [says, "here", "in the paper's numbers", "behind it"]
    frame = pd.DataFrame(rows).set_index(0).rename_axis(index=["claim"])
    frame.columns = pd.MultiIndex.from_product([[""], columns])
    if says == EXPECTED:
        frame = frame.drop(columns=[("", "in the paper's numbers")])
    below = (
        "Verdicts by the paper's two-sided t-test over seeds, alpha .05, not corrected. Behind them: mean (sd) over "
        f"seeds, difference [interval at .95]. {RULES} The margins: {_margins()}.",
        *simulated(results),
        *missing(results),
    )
    return Table(name, title + incomplete(results), frame, pd.DataFrame(numbers), below, align="l")


def _margins() -> str:
    """The margins in words."""
    of_metrics = [f"{metric.margin:g} of {metric.axis}" for metric in METRICS.values()]
    others = {"confusion": "a confusion (%)", "steepness": "a slope", "low": "a mean error"}
    return ", ".join([*of_metrics, *(f"{margin_of(measure):g} of {name}" for measure, name in others.items())])
