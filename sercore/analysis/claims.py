"""The paper's claims in sections 5, 6.1, 6.2 and appendix A, and the ground-truth effects of the embedded corpora.

Each claim is data: comparisons of two scores, judged by `verdicts`. Claims that the paper makes about the one model
that is best on validation (figures 2 and 3, Table 4) are tested over all seeds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import pandas as pd

from sercore.analysis import preregistration
from sercore.analysis.captions import caveats, missing
from sercore.analysis.measures import (
    EVERY,
    MAJORITY,
    OVER_VALENCE,
    SINGLE_TASK_CCC,
    WITHOUT_SD,
    from_paper,
    measures,
)
from sercore.analysis.nothing import Nothing, NothingToShow, or_nothing
from sercore.analysis.results import Results, main_metric
from sercore.analysis.tables import Table, incomplete
from sercore.analysis.verdicts import (
    ABOVE,
    CLEARLY_ABOVE,
    HOLDS,
    LEVEL,
    NOT_TESTABLY_ABOVE,
    RULES,
    ZERO,
    Claim,
    Part,
    ScoreKey,
    from_study,
    in_words,
    judge,
    smallest,
    together,
)
from sercore.registry import METRICS, SECTIONS
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
NOT_PRINTED = "not printed"


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
OVERALL = Corpora(EVERY, EVERY)  # of a measure of a whole table
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
    Claim(
        "5.20",
        "table_1",
        "Fusion is consistently better than CNN14, on the other corpus too.",
        compare(FUSIONS, CNN, (M_I, I_M)),
    ),
    Claim("5.21", "table_1", "Both fusion models are better than BERT on MSP-Podcast.", compare(FUSIONS, BERT)),
    Claim(
        "5.22",
        "figure_2",
        "Both fusion models largely solve CNN14's problems: fewer happy as angry, fewer neutral as sad.",
        compare(CNN, FUSIONS, metric=("happy as angry", "neutral as sad")),
    ),
    Claim(
        "5.23",
        "figure_2",
        "SFCNN14 predicts slightly more neutral utterances as happy than CNN14 does.",
        compare(SF, CNN, metric="neutral as happy"),
    ),
    Claim(
        "5.24",
        "table_1",
        "On MSP-Podcast the UARs of the two fusion models are comparable.",
        compare(MF, SF, relation=LEVEL),
    ),
    Claim(
        "5.25",
        "table_1",
        "MFCNN14 is more robust than SFCNN14: it loses less on the other corpus.",
        compare(SF, MF, (M_I, I_M), metric="drop"),
    ),
    Claim(
        "5.26",
        "table_1",
        "MFCNN14 has the highest UAR in most evaluations (abstract).",
        compare(MF, ZERO, OVERALL, metric=MAJORITY),
    ),
    Claim(
        "5.27",
        "table_1",
        "Both fusion models are better than late fusion on IEMOCAP too (abstract, section 7).",
        compare(FUSIONS, LF, I_I),
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
    Claim(
        "6.1.14",
        "table_2",
        "Arousal is predicted worse on the other corpus than in-domain.",
        compare((CNN, SF, MF), ZERO, (M_I, I_M), AROUSAL, "drop"),
    ),
    Claim(
        "6.1.15",
        "table_2",
        "Across corpora arousal's lead over valence is largest for CNN14.",
        compare(CNN, FUSIONS, (M_I, I_M), OVER_VALENCE, "pcc"),
    ),
    Claim(
        "6.1.16",
        "table_2",
        "Trained on IEMOCAP, text improves arousal and dominance only in-domain and only in MFCNN14.",
        compare(MF, CNN, I_I, (AROUSAL, DOMINANCE))
        + compare(CNN, MF, I_M, (AROUSAL, DOMINANCE))
        + compare(CNN, SF, (I_I, I_M), (AROUSAL, DOMINANCE)),
    ),
    Claim(
        "6.1.17",
        "table_2",
        "Text harms SFCNN14's arousal and dominance more than MFCNN14's.",
        compare(MF, SF, EVERYWHERE, (AROUSAL, DOMINANCE)),
    ),
    Claim(
        "6.1.18",
        "table_2",
        "MFCNN14 has the highest CCC or PCC in most evaluations (abstract).",
        compare(MF, ZERO, OVERALL, metric=MAJORITY),
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
        compare((BERT, CNN, LF, MF), ZERO, targets=DIMENSIONS, metric="growth"),
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
    Claim(
        "6.2.14",
        "table_3",
        "All dimensions at once with a CCC loss are predicted better than one at a time with the squared error.",
        tuple(
            Part(ScoreKey(model, *M_M, target, "ccc"), ABOVE, ScoreKey(model, *M_M, target, SINGLE_TASK_CCC))
            for model in (CNN, SF, MF)
            for target in DIMENSIONS
        ),
    ),
    Claim(
        "6.2.15",
        "table_3",
        "Both fusion models are better than BERT on arousal and dominance.",
        compare(FUSIONS, BERT, targets=(AROUSAL, DOMINANCE)),
    ),
    Claim(
        "6.2.16",
        "figure_3",
        "The errors of most models spread wider towards the ends of the scale.",
        compare((BERT, CNN, LF, MF), ZERO, targets=DIMENSIONS, metric="spread"),
    ),
    Claim(
        "6.2.17",
        "figure_3",
        "SFCNN14 escapes the regression towards the mean on arousal and dominance.",
        compare(SF, ZERO, targets=(AROUSAL, DOMINANCE), metric="steepness", relation=LEVEL),
    ),
    Claim(
        "6.2.18",
        "figure_3",
        "The other models do not escape it: high truths are predicted too low, low ones too high.",
        compare((BERT, CNN, LF, MF), ZERO, targets=(AROUSAL, DOMINANCE), metric="steepness"),
    ),
    Claim(
        "6.2.19",
        "figure_3",
        "On valence BERT, SFCNN14 and MFCNN14 have a low, but existing bias of this kind.",
        compare((BERT, SF, MF), ZERO, targets=VALENCE, metric="steepness"),
    ),
    Claim(
        "6.2.20",
        "figure_3",
        "BERT's errors at the low end of arousal and dominance are larger than those of the other models.",
        compare(BERT, (CNN, SF, MF), targets=(AROUSAL, DOMINANCE), metric="low"),
    ),
    Claim(
        "6.2.21",
        "table_3",
        "MFCNN14 has the highest CCC in most evaluations (abstract).",
        compare(MF, ZERO, OVERALL, metric=MAJORITY),
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
"""The paper's claims, in our words: in its order, and behind these, by section, what it says besides."""

OF_MAJORITY = (
    "Majority: share (%) of the table's evaluations in which the model alone is highest, less 50. In the paper that is "
    "MFCNN14 in 1 of 4 of Table 1, 7 of 12 of Table 2 and 3 of 3 of Table 3: the abstract is right of the three "
    "together, but not of Table 1 alone."
)
NOTES = {
    "5.10": "The paper concludes that MFCNN14 generalises better; with 5.9 that rests on this comparison alone, "
    "which has p = .14 by the printed numbers.",
    "5.19": "The paper prints late fusion only in Table 4, not for categories.",
    "5.20": "From MSP-Podcast to IEMOCAP SFCNN14 has no marker in Table 1; from IEMOCAP to MSP-Podcast it has one "
    "that the printed numbers do not give (p = .21).",
    "5.21": "Section 7 speaks of superiority over the unimodal models in general; on IEMOCAP SFCNN14 is worse "
    "than BERT (5.8).",
    "5.24": "Contradicts 5.6 and Table 1: 56.0 (1.3) and 54.2 (0.8) of 5 seeds differ significantly.",
    "5.25": "Table 1 is divided: from MSP-Podcast to IEMOCAP SFCNN14 loses more (9.6 against 7.8 points), from "
    "IEMOCAP to MSP-Podcast MFCNN14 does (37.0 against 30.8).",
    "5.26": OF_MAJORITY,
    "5.27": "The paper prints no late fusion of IEMOCAP.",
    "6.1.2": "Here a drop is PCC in-domain - PCC across corpora. The paper prints no PCC in-domain, so of its "
    "numbers a drop is CCC in-domain - PCC across corpora, which is too low.",
    "6.1.11": "The paper introduces dominance as following the trends of arousal; from IEMOCAP to MSP-Podcast "
    "arousal goes the other way (6.1.7).",
    "6.1.14": "Drops as in 6.1.2.",
    "6.1.16": "Contradicts 6.1.7 and Table 2: from IEMOCAP to MSP-Podcast MFCNN14 is significantly better than "
    "CNN14 on arousal (.432 against .418), and in-domain it is not (.628 against .618).",
    "6.1.18": OF_MAJORITY,
    "6.2.4": "The sentence before says that both fusion models improve on all dimensions.",
    "6.2.7": "By the size of the errors, which also grows where a model overshoots; 6.2.18 and 6.2.19 test the "
    "sign of the slope.",
    "6.2.8": "Of the paper: the order of figure 3's slopes, derived from Table 4.",
    "6.2.9": "Of the paper: derived, as in 6.2.8.",
    "6.2.10": "Of the paper: derived, as in 6.2.8. No finding but an identity: the slope of the mean of two "
    "predictions is the mean of their slopes. It says no more than that BERT's line is steeper than "
    "CNN14's (6.2.9).",
    "6.2.11": "Of the paper: derived, as in 6.2.8. How close they are depends on the variance of the truth, which "
    "is not printed: they are level where it is above 0.36.",
    "6.2.13": "One of two ways to read the sentence; 6.2.20 is the other.",
    "6.2.14": "Tables 2 and 3 contradict it for CNN14, whose arousal and dominance are lower with all at once (.660 "
    "against .664, .578 against .583).",
    "6.2.16": "The paper asks whether errors are heteroscedastic and answers with their mean (6.2.7). In the word's "
    "usual sense it is their spread around the line that depends on the truth; White's test of each best "
    "model is in the table of figure 3's slopes.",
    "6.2.17": "The paper says 'primarily' for these two, and then sees a bias of SFCNN14 on valence (6.2.19).",
    "6.2.19": "Contradicts that SFCNN14 is the only model that escapes (6.2.17), unless that is meant of two "
    "dimensions alone.",
    "6.2.20": "The other way to read the sentence of 6.2.13.",
    "6.2.21": OF_MAJORITY,
    "A.1": "In Table 4 itself, which has no sd, it is so. Its BERT is none of the five of Table 3: the valence, "
    ".462, is further from .503 (.003) than any of five values with this sd can be (.006).",
    "A.2": "BERT's and CNN14's late fusion has the same MSE on valence, .832.",
    "A.3": "In Table 4 itself, which has no sd, it is so.",
}
"""Claim -> where it contradicts another sentence or the tables, how it is read, and what of it is not printed."""
MARKS = {
    "derived": "Derived: not printed, but it follows from what is, without an sd, so its order alone is judged.",
    "order": "Order: printed without an sd, so its order alone is judged.",
}

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


@or_nothing
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
    title = f"The paper's claims beside {place.replace('_', ' ')}"
    return _with_notes(_table(results, claims, f"claims_{place}", title, PAPER_SAYS), claims)


@or_nothing
def ground_truth(results: Results) -> Table:
    """A verdict on each ground-truth effect of the embedded corpora; not for corpora of real speech."""
    if not results.simulated:
        raise NothingToShow("real speech has no ground-truth effects, only the embedded corpora have")
    claims = [claim for claim in GROUND_TRUTH if claim.place == results.section]
    return _table(
        results,
        claims,
        f"ground_truth_{results.section}",
        f"Ground-truth effects, section '{results.section}'",
        EXPECTED,
    )


def tally(what: str, *tables: Table | Nothing) -> str:
    """How many of the claims in `tables` hold here, as a sentence; `what` they are: "claims about figure 2"."""
    verdicts = [verdict for table in tables if isinstance(table, Table) for verdict in table.frame["", "here"]]
    return f"{verdicts.count(HOLDS)} of {len(verdicts)} {what} hold here" if verdicts else str(tables[0])


def _with_notes(table: Table, claims: Sequence[Claim]) -> Table:
    """`table` with the claims' notes, and a mark on what is judged by numbers of the paper that have no sd."""
    column, frame = ("", "in the paper's numbers"), table.frame.copy()
    marks = {}
    for claim in claims:
        mark = next((WITHOUT_SD[part.left.metric] for part in claim.parts if part.left.metric in WITHOUT_SD), "")
        if mark and frame.loc[claim.number, column] != NOT_PRINTED:
            frame.loc[claim.number, column] += f" ({mark})"
            marks[mark] = MARKS[mark]
    own = [f"{claim.number}: {NOTES[claim.number]}" for claim in claims if claim.number in NOTES]
    return replace(table, frame=frame, notes=(*table.notes, *marks.values(), *own))


def _table(results: Results, claims: Sequence[Claim], name: str, title: str, says: str) -> Table:
    single_task = SECTIONS[results.section].single_task
    here, printed = from_study(measures(results), single_task), from_paper(results.section)
    rows, numbers = [], []
    for claim in claims:
        ours, theirs = judge(claim.parts, here), judge(claim.parts, printed)
        verdicts = [together([finding.verdict for finding in side]) for side in (ours, theirs)]
        unprinted = all(finding.comparison is None for finding in theirs)
        rows.append(
            (
                claim.number,
                claim.text,
                verdicts[0],
                "not printed" if unprinted else verdicts[1],
                smallest(claim.parts, ours),
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
                    "paired": finding.paired,
                    "p_against": finding.against,
                    "detectable": finding.detectable,
                    "verdict": finding.verdict,
                    "paper_verdict": paper.verdict,
                }
            )
    if not any("difference" in row for row in numbers):
        raise NothingToShow("none of the claims is about the models and corpora that there are results of")
    columns = [says, "here", "in the paper's numbers", "could have seen", "behind it"]
    frame = pd.DataFrame(rows).set_index(0).rename_axis(index=["claim"])
    frame.columns = pd.MultiIndex.from_product([[""], columns])
    if says == EXPECTED:
        frame = frame.drop(columns=[("", "in the paper's numbers")])
    plan = preregistration.read()
    seeds = results.predictions["seed"].nunique()
    fewer = f" Planned were {plan.seeds} seeds; here are {seeds}." if seeds < plan.seeds else ""
    below = (
        f"Verdicts by the paper's two-sided t-test over seeds, alpha {plan.alpha:g}. Behind them: mean (sd) over "
        f"seeds, difference [interval at .95], p without correction. {RULES}",
        f"Could have seen: the smallest difference that {plan.power:.0%} of studies with this spread and so many seeds "
        "find significant; from the least to the greatest of the claim's comparisons.",
        f"The margins: {_margins()}. Margins, alpha and correction are ours and of {plan.date:%-d %B %Y} "
        f"({preregistration.FILE}).{fewer}",
        *caveats(results),
        *missing(results),
    )
    return Table(name, title + incomplete(results), frame, pd.DataFrame(numbers), below, align="l")


def _margins() -> str:
    """The margins in words."""
    names = {name: metric.axis for name, metric in METRICS.items()} | {
        "percent": "a confusion, recall or contrast (%)",
        "steepness": "a slope",
        "low": "a mean error",
    }
    margins = preregistration.read().margins
    return ", ".join(f"{margins[measure]:g} of {name}" for measure, name in names.items() if measure in margins)
