"""Models against single raters, and against the ceiling that raters set. None of this is in the paper.

A label hides that raters disagree. Here every vote on a test utterance is a truth of its own: a model cannot agree with
single votes more than the label itself does, and has reached people where it agrees with the label as well as one
rater agrees with what the others say.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from sercore.analysis import calibration, captions, confidence, corpus_statistics, results, statistics
from sercore.analysis.comparisons import FEWEST_SPEAKERS
from sercore.analysis.nothing import NothingToShow, or_nothing, present
from sercore.analysis.results import PERCENT, Results, classes, reported
from sercore.analysis.tables import Table, incomplete, number_text
from sercore.corpora import votes as voted
from sercore.registry import CORPORA, METRICS, MODELS
from sercore.schema import EMOTION, FOUR_CLASSES, PROBABILITY, map_emotions
from sercore.study import config

DRAWS = 1000  # resamples of the test speakers
SHOWN = ("uar", "macro_f1", "ccc")
LABEL, SINGLE = "label", "votes"  # what predictions are compared with
AGAINST = {LABEL: "the label", SINGLE: "single votes"}
RATER, MAJORITY = "a rater, against the others", "the label itself"
COLUMNS = ("corpus", "target", "metric", "who", "against", "score", "low", "high", "pairs", "utterances", "speakers")
Classes = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Raters:
    """The runs of one section by change, the votes on each corpus, and the emotions that count as each class."""

    by_change: dict[str, Results]
    votes: dict[str, pd.DataFrame]  # corpus -> its votes table; corpora without votes are left out
    classes: Classes

    @property
    def any(self) -> Results:
        """The runs of one change, for what is the same in all of them."""
        return next(iter(self.by_change.values()))


def read(study: config.Study | str, section: str = "categories", incomplete: str = "refuse") -> Raters:
    """The runs of `section` by change, and the votes that the study's corpora have; the corpora must be on the disk.

    Raises FileNotFoundError as results.read and corpora.read do, and ValueError where runs have different classes.
    """
    study = study if isinstance(study, config.Study) else config.load(study)
    of_runs = {str(run.parameters.get("classes", FOUR_CLASSES)): run.parameters for run in study.section(section)}
    if len(of_runs) > 1:
        raise ValueError(
            f"section '{section}' of {study.path} has runs of {len(of_runs)} sets of classes; expected one"
        )
    given = next(iter(of_runs.values()), {}).get("classes", FOUR_CLASSES)
    votes = {corpus.name: corpus.votes for corpus in corpus_statistics.read(study) if not corpus.votes.empty}
    by_change = results.by_change(study, section, incomplete)
    return Raters(by_change, votes, {name: tuple(emotions) for name, emotions in given.items()})


def scores(raters: Raters, draws: int = DRAWS, seed: int = 0) -> pd.DataFrame:
    """How far models, raters and the labels themselves agree with the label and with single votes, in-domain, in test.

    A pair is a prediction and a truth. Of a model: each utterance and its label, or each utterance and each vote on it;
    all seeds, whose scores are averaged. Of a rater: each vote and the label that the other votes on the utterance make
    (their majority, their mean; without one where they are tied), or each vote and each other one. Of the label itself:
    each label and each vote on the utterance.

    Returns:
        One row a corpus, target, metric of SHOWN, what is compared (`who`: "CNN14, votes") and `against` (LABEL or
        SINGLE). Columns: COLUMNS; low and high are an interval at .95 over the test speakers, NaN with fewer than
        FEWEST_SPEAKERS.
    """
    generator, rows = np.random.default_rng(seed), []
    for corpus, target, tested in _tests(raters):
        metrics = [METRICS[name] for name in reported(target, in_domain=True) if name in SHOWN]
        pairs_of, labels = _pairs(tested, _judged(raters, corpus, target)), classes(tested)
        for ((who, against), pairs), metric in product(pairs_of.items(), metrics):
            runs = ("seed",) if "seed" in pairs else ()
            found = statistics.bootstrap_interval(pairs, metric.name, generator, draws=draws, runs=runs, labels=labels)
            known = found.clusters >= FEWEST_SPEAKERS
            ends = [metric.scale * end if known else np.nan for end in (found.low, found.high)]
            counts = (len(pairs), pairs["utterance"].nunique(), found.clusters)
            rows.append((corpus, target, metric.name, who, against, metric.scale * found.score, *ends, *counts))
    return pd.DataFrame(rows, columns=COLUMNS)


def probabilities(raters: Raters) -> pd.DataFrame:
    """How far the probabilities of emotions are from the votes, and from being right, in-domain, in test.

    Returns:
        One row a corpus and `who`, means over seeds. Columns: corpus, who; cross_entropy with the votes [nats], for
        MAJORITY the least there can be, the entropy of the votes; ece and tempered_ece of `calibration`, shares.
    """
    rows: list[dict[str, Any]] = []
    calibrated: dict[str, pd.DataFrame] = {}  # by change
    for corpus, target, tested in _tests(raters):
        if target != EMOTION:
            continue
        shares = voted.of_classes(raters.votes[corpus], raters.classes)
        tested = tested[tested["utterance"].isin(shares.index)]
        truth = shares.loc[tested["utterance"]].to_numpy()
        chances = tested[[f"{PROBABILITY}{name}" for name in shares]].to_numpy("float64")
        losses = tested.assign(loss=_cross_entropy(truth, chances))
        for (who, change, model), loss in losses.groupby(["who", "change", "model"], observed=True, sort=False)["loss"]:
            if change not in calibrated:
                calibrated[change] = calibration.class_calibration(raters.by_change[change].predictions)
            of_all = calibrated[change]
            own = of_all[(of_all[["model", "train_corpus", "test_corpus"]] == [model, corpus, corpus]).all(axis=1)]
            errors = own[["ece", "tempered_ece"]].mean()
            rows.append({"corpus": corpus, "who": who, "cross_entropy": loss.mean(), **errors})
        once = shares.loc[tested["utterance"].unique()].to_numpy()
        rows.append({"corpus": corpus, "who": MAJORITY, "cross_entropy": _cross_entropy(once, once).mean()})
    return pd.DataFrame(rows, columns=["corpus", "who", "cross_entropy", "ece", "tempered_ece"])


@or_nothing
def table(raters: Raters, draws: int = DRAWS, seed: int = 0) -> Table:
    """`scores` and `probabilities` as one table: a row a corpus and model, then a rater, then the label itself."""
    sections = present(list(raters.by_change.values()))
    if not raters.votes:
        raise NothingToShow("no corpus of the study has the votes of single raters")
    numbers, chances = scores(raters, draws, seed), probabilities(raters)
    cells: dict[tuple[str, str], dict[tuple[str, str], str]] = {}
    for row in numbers.itertuples():
        of = "" if row.target == EMOTION else f" of {row.target}"
        column = (
            "against the label" if row.against == LABEL else "against single votes",
            METRICS.label(row.metric) + of,
        )
        ends = ""
        if np.isfinite([row.low, row.high]).all():
            ends = f" [{number_text(row.low, row.metric)}, {number_text(row.high, row.metric)}]"
        cells.setdefault((row.corpus, row.who), {})[column] = number_text(row.score, row.metric) + ends
    for row in chances.itertuples():
        own = cells.setdefault((row.corpus, row.who), {})
        own["probabilities", "cross-entropy with the votes"] = number_text(row.cross_entropy, "mse")
        for column, share in {"ECE (%)": row.ece, "ECE at T (%)": row.tempered_ece}.items():
            own["probabilities", column] = "" if np.isnan(share) else number_text(PERCENT * share, "uar")
    names = pd.MultiIndex.from_tuples([(CORPORA.label(corpus), who) for corpus, who in cells], names=["corpus", "who"])
    frame = pd.DataFrame(list(cells.values()), index=names).fillna("")
    frame.columns = pd.MultiIndex.from_tuples(frame.columns)
    below = (
        "Not in the paper. In-domain, test utterances, folds pooled, mean over seeds; [intervals at .95 over the test "
        f"speakers, none with fewer than {FEWEST_SPEAKERS}].",
        "A rater, against the others: one vote against what the others make of it (no label where they are tied), and "
        "against each other vote. The label itself, against single votes: how far any single answer can agree with "
        "people; talkers' votes on themselves do not count.",
        "Cross-entropy with the votes in nats; of the label itself: the least that probabilities can reach. ECE and "
        "T as in the table of confidence and accuracy.",
        *captions.simulated(sections[0]),
    )
    return Table("raters", f"Models, raters and labels{incomplete(raters.any)}", frame, numbers, below)


def _tests(raters: Raters) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Corpus with votes, target, and the predictions of all changes in-domain, with `who` and `change`."""
    for corpus in raters.votes:
        parts = []
        for change, part in raters.by_change.items():
            rows = part.predictions
            own = (rows["train_corpus"] == corpus) & (rows["test_corpus"] == corpus) & (rows["partition"] == "test")
            rows = rows[own]
            name = "" if len(raters.by_change) == 1 else f", {change}"
            parts.append(rows.assign(who=rows["model"].astype(object).map(MODELS.label) + name, change=change))
        tested = pd.concat(parts, ignore_index=True)
        for target, of_target in tested.groupby("target", observed=True, sort=False):
            yield corpus, str(target), of_target


def _judged(raters: Raters, corpus: str, target: str) -> pd.DataFrame:
    """Each vote on `target`: utterance, rater, vote (a class or a number); a rater's first emotion, no talker's."""
    votes = raters.votes[corpus]
    votes = votes[~votes["self_rated"]].drop_duplicates(["utterance", "rater"])
    values = map_emotions(votes[EMOTION], raters.classes) if target == EMOTION else votes[target]
    return votes[["utterance", "rater"]].assign(vote=values.astype(object)).dropna(subset="vote")


def _pairs(tested: pd.DataFrame, judged: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """(who, against) -> the pairs of truth and prediction, with utterance and speaker, of `scores`."""
    tested = tested[tested["utterance"].isin(judged["utterance"])]
    if tested.empty:
        return {}
    columns = ["utterance", "speaker", "truth", "prediction"]
    pairs = {}
    for who, own in tested.groupby("who", sort=False):
        own = own[[*columns, "seed"]]
        pairs[who, LABEL] = own
        pairs[who, SINGLE] = _with_votes(own, judged)
    labels = tested.drop_duplicates("utterance")[columns]
    among = judged.merge(labels[["utterance", "speaker"]], on="utterance").rename(columns={"vote": "prediction"})
    pairs[RATER, LABEL] = among.assign(truth=_of_others(among)).dropna(subset="truth")
    couples = among.merge(judged.rename(columns={"vote": "truth"}), on="utterance", suffixes=("", "_other"))
    pairs[RATER, SINGLE] = couples[couples["rater"] != couples["rater_other"]]
    pairs[MAJORITY, SINGLE] = _with_votes(labels.assign(prediction=labels["truth"]), judged)
    return {key: table for key, table in pairs.items() if len(table)}


def _with_votes(predicted: pd.DataFrame, judged: pd.DataFrame) -> pd.DataFrame:
    return predicted.drop(columns="truth").merge(judged.rename(columns={"vote": "truth"}), on="utterance")


def _of_others(votes: pd.DataFrame) -> pd.Series:
    """What the other votes on an utterance make of it, for each of `votes` (`prediction`): mean, or majority if any."""
    utterance, vote = votes["utterance"], votes["prediction"]
    if pd.api.types.is_number(vote.iloc[0]):
        numbers = vote.astype("float64")
        groups = numbers.groupby(utterance)
        others = groups.transform("size") - 1
        return ((groups.transform("sum") - numbers) / others).where(others > 0)
    counts = pd.crosstab(utterance, vote)
    left = counts.loc[utterance].to_numpy() - (counts.columns.to_numpy() == vote.to_numpy()[:, None])
    most = left.max(axis=1, keepdims=True)
    alone = ((left == most).sum(axis=1) == 1) & (most[:, 0] > 0)
    return pd.Series(counts.columns.to_numpy()[left.argmax(axis=1)], votes.index, dtype=object).where(alone)


def _cross_entropy(shares: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """-sum over classes of shares * log(chances), (utterances,) in nats; where a share is 0 its class adds nothing."""
    return -np.where(shares > 0, shares * np.log(np.maximum(chances, confidence.LEAST)), 0).sum(axis=1)
