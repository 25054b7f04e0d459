"""Do the models still listen? Scores where the words tell the emotion, tell nothing, and mislead.

Which sentences tell nothing follows from the corpus (corpora.wording). Words mislead where a run was also tested with
transcripts of the opposite valence (corpora.transcripts.oppose, training.transcript_shift); a model that takes no text
predicts there what it always does, so that all models are compared on the same utterances.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sercore import files
from sercore.analysis import captions, results
from sercore.analysis.comparisons import DRAWS, FEW_SPEAKERS, SEED, mean_and_interval, with_interval
from sercore.analysis.figures import drawing
from sercore.analysis.nothing import NothingToShow, or_nothing
from sercore.analysis.results import PERCENT, Results
from sercore.analysis.tables import Table, incomplete
from sercore.corpora import wording
from sercore.corpora.transcripts import Condition
from sercore.registry import CORPORA, METRICS, MODELS
from sercore.schema import EMOTION, TARGETS
from sercore.study import config

WORDS = "words"
"""The column of the kind of words: a name of wording.LABELS, missing where the corpus does not know the difference."""
MODEL = "model"
KEYS = ["train_corpus", "target", "metric", "name", WORDS]


class Mark(NamedTuple):
    """How a kind of words is drawn."""

    colour: str  # of Okabe and Ito's palette
    marker: str
    offset: float  # from the middle of its model


MARKS = {
    wording.TELL: Mark("#0072B2", "o", -0.24),
    wording.NOTHING: Mark("#E69F00", "s", 0.0),
    wording.MISLEAD: Mark("#000000", "X", 0.24),
}
BESIDE = 0.1  # of a mean: its seeds
MOST_SIDE_BY_SIDE = 8  # of what is compared, in panels as narrow as those of models
WIDTH = 0.75  # of what is compared, at least [inches]


@dataclass(frozen=True)
class ByWords:
    """In-domain test predictions by kind of words, of models or of anything else that is compared on them."""

    results: Results  # which study and section they are of
    rows: pd.DataFrame  # predictions with the columns `name` and WORDS
    labels: Mapping[str, str]  # `name` -> what it is called in print, in the order of rows
    head: str = MODEL  # what these names are of
    draws: int = DRAWS

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row a KEYS and seed: score in the metric's printed unit, NaN where a class has no utterance."""
        rows, classes = [], results.classes(self.rows)
        for key, part in self._parts():
            for seed, one in part.groupby("seed", observed=True):
                score = results.score(one, key[2], classes)
                rows.append((*key, seed, score))
        return pd.DataFrame(rows, columns=[*KEYS, "seed", "score"])

    @cached_property
    def numbers(self) -> pd.DataFrame:
        """One row a KEYS: utterances, and what comparisons.mean_and_interval gives."""
        generator, rows, classes = np.random.default_rng(SEED), [], results.classes(self.rows)
        scores = dict(list(self.scores.groupby(KEYS, sort=False)["score"]))
        for key, part in self._parts():
            found = mean_and_interval(scores[key].to_numpy(), part, key[2], ("seed",), classes, generator, self.draws)
            rows.append({**dict(zip(KEYS, key, strict=True)), "utterances": part["utterance"].nunique(), **found})
        return pd.DataFrame(rows)

    @property
    def without(self) -> list[str]:
        """The corpora that have neither sentences that tell nothing nor words that mislead."""
        return sorted(set(self.results.predictions["train_corpus"]) - set(self.rows["train_corpus"]))

    def _parts(self) -> list[tuple[tuple[str, ...], pd.DataFrame]]:
        """The predictions of each KEYS, in the order of tables."""
        groups = dict(list(self.rows.groupby(["train_corpus", "target", "name", WORDS], observed=True)))
        corpora = sorted({key[0] for key in groups}, key=lambda name: (CORPORA.position(name), name))
        return [
            ((corpus, target, metric, name, kind), groups[corpus, target, name, kind])
            for corpus in corpora
            for target in TARGETS
            for metric, spec in METRICS.items()
            if spec.drawn and spec.categorical == (target == EMOTION)
            for name in self.labels
            for kind in wording.LABELS
            if (corpus, target, name, kind) in groups
        ]


@or_nothing
def read(found: Results, draws: int = DRAWS) -> ByWords:
    """The predictions of a section by kind of words, of every model and late fusion.

    `draws`: resamples of seeds and speakers. Nothing where no corpus has sentences that tell nothing and no run was
    tested with misleading words. Raises FileNotFoundError where a corpus is not there.
    """
    rows = label_predictions(found)
    models = sorted(rows["model"].unique(), key=MODELS.position)
    labels = {name: MODELS.label(name) for name in models}
    return ByWords(found, in_domain(rows.assign(name=rows["model"])), labels, draws=draws)


def label_predictions(found: Results) -> pd.DataFrame:
    """The test predictions with the column WORDS, and those of the runs that were tested with misleading words.

    Without that column where no corpus knows the difference.
    """
    test = found.predictions[found.predictions["partition"] == "test"]
    silent = ~test["model"].astype("object").map(lambda name: MODELS[name].uses_text)
    runs = [run for run in found.study.runs if run.section == found.section]
    rows = label(test, misled(runs), silent, found.telling)
    return rows if rows[WORDS].notna().any() else rows.drop(columns=WORDS)


def misled(runs: Sequence[config.Run]) -> pd.DataFrame:
    """The predictions of those of `runs` that were also tested with misleading words; empty where none was."""
    paths = [run.folder / files.TRANSCRIPT_SHIFT for run in runs if run.complete]
    tables = [files.read_table(path) for path in paths if path.exists()]
    parts = [table[table["opposed"]] for table in tables if "opposed" in table]  # not in tables of older versions
    return pd.concat(parts).drop(columns=list(Condition._fields)) if parts else pd.DataFrame()


def label(test: pd.DataFrame, odd: pd.DataFrame, silent: pd.Series, telling: Mapping[str, pd.Series]) -> pd.DataFrame:
    """`test` with the column WORDS, and rows where words mislead, late fusion among them.

    Args:
        test: predictions of test utterances.
        odd: those of `misled`.
        silent: which rows of `test` are of models that no words reach: they stand where words mislead too.
        telling: corpus -> utterance -> wording.TELL or NOTHING, see Results.telling.
    """
    test = test.assign(**{WORDS: pd.Series(index=test.index, dtype="object")})
    same = pd.Series(data=False, index=test.index)
    for corpus, kinds in telling.items():
        here = test["test_corpus"] == corpus
        opposed = odd.loc[odd["test_corpus"] == corpus, "utterance"].unique() if len(odd) else []
        if (kinds == wording.NOTHING).any() or len(opposed):
            test.loc[here, WORDS] = test.loc[here, "utterance"].astype("object").map(kinds)
            same |= here & (test["train_corpus"] == corpus) & test["utterance"].isin(opposed)
    odd = odd[odd["test_corpus"].isin(list(telling))] if len(odd) else odd
    if odd.empty:
        return test
    known = {name: test[name].dtype for name in test if isinstance(test[name].dtype, pd.CategoricalDtype)}
    plain = dict.fromkeys(known, "object")
    told = pd.concat([odd.astype(plain), test[same & silent].astype(plain)], ignore_index=True)
    told = results.with_late_fusion(told).astype(known)
    return pd.concat([test, told.assign(**{WORDS: wording.MISLEAD})], ignore_index=True)


def in_domain(rows: pd.DataFrame) -> pd.DataFrame:
    """The in-domain rows of a table of `label` whose kind of words is known. Raises NothingToShow without any."""
    inside = rows["train_corpus"].astype("object") == rows["test_corpus"].astype("object")
    known = rows[inside & rows[WORDS].notna()] if WORDS in rows else rows.iloc[:0]
    if known.empty:
        names = " and ".join(CORPORA.label(name) for name in sorted(rows["test_corpus"].unique(), key=CORPORA.position))
        raise NothingToShow(
            f"no sentence of {names} is known to be said in every emotion, so that it tells nothing, and no run was "
            "tested with words that mislead"
        )
    return known


@or_nothing
def table(by_words: ByWords, name: str = "", about: str = "") -> Table:
    """Mean scores over seeds with their intervals, a column each kind of words and metric.

    `name`: of its files; `about`: what the runs are, in the title (default: the section for both).
    """
    numbers, found = by_words.numbers, by_words.results
    index = ["in-domain", "of", by_words.head]
    cells = [
        (
            CORPORA.label(row.train_corpus),
            row.target,
            by_words.labels[row.name],
            (wording.LABELS[row.words], METRICS.label(row.metric)),
            with_interval(row.mean, row.low, row.high, row.metric),
        )
        for row in numbers.itertuples()
    ]
    for (corpus, kind), part in numbers.groupby(["train_corpus", WORDS], sort=False):
        count = " to ".join(map(str, sorted({part["utterances"].min(), part["utterances"].max()})))
        column = wording.LABELS[kind], METRICS.label(part["metric"].iloc[0])
        cells.append((CORPORA.label(corpus), "utterances", "", column, count))
    rows = pd.DataFrame(cells, columns=[*index, WORDS, "text"])
    corpora = list(dict.fromkeys(rows["in-domain"]))
    order = sorted(dict.fromkeys(cell[:3] for cell in cells), key=lambda row: corpora.index(row[0]))
    frame = rows.pivot(index=index, columns=WORDS, values="text").fillna("").loc[order]
    labels = list(wording.LABELS.values())
    frame = frame[sorted(dict.fromkeys(rows[WORDS]), key=lambda column: labels.index(column[0]))]
    frame.columns = pd.MultiIndex.from_tuples(frame.columns)
    alone = numbers.loc[numbers["over"] == "seeds", ["train_corpus", WORDS]].drop_duplicates()
    below = (
        "Not in the paper. In-domain, folds pooled; UAR in %. Mean over seeds [interval at .95 over seeds and "
        "speakers, which are resampled together; none with one seed]; nan: a class has no utterance there.",
        f"Words tell nothing: sentences that were said at least {wording.FEWEST} times, with any emotion. Words "
        "mislead: the same recordings with the transcript of an utterance of the opposite valence; a model that takes "
        "no text predicts there what it always does.",
        *(f"{CORPORA.label(corpus)}: no such sentences and no such words." for corpus in by_words.without),
        *(
            FEW_SPEAKERS.format(f"{CORPORA.label(corpus)}, {', '.join(wording.LABELS[kind] for kind in kinds)}")
            for corpus, kinds in alone.groupby("train_corpus", sort=False)[WORDS]
        ),
        *captions.simulated(found),
        *captions.missing(found),
    )
    title = f"Scores by what the words tell, {about or found.section}{incomplete(found)}"
    return Table(name or f"words_{found.section}", title, frame, numbers, below)


@or_nothing
def plot(by_words: ByWords) -> Figure:
    """Means with their intervals, every seed beside them; a panel a corpus, metric and target."""
    numbers, scores, several = by_words.numbers, by_words.scores, by_words.scores["seed"].nunique() > 1
    wide = len(by_words.labels) > MOST_SIDE_BY_SIDE
    inner = ["target", "metric"] if wide else ["metric", "target"]  # a panel's row, and its column
    panels = dict(list(numbers.groupby(["train_corpus", *inner], sort=False)))
    order = [list(dict.fromkeys(numbers[key])) for key in ("train_corpus", *inner)]
    keys = [key for key in product(*order) if key in panels]
    columns = len(order[-1]) if len(order[-1]) > 1 else 1 if wide else min(2, len(keys))
    size = max(5.2, WIDTH * len(by_words.labels) + 1.2), 4.4
    with drawing(columns, -(-len(keys) // columns), size, by_words.results.simulated) as (figure, axes):
        for axis, key in zip(axes.flat, keys, strict=False):
            means = panels[key]
            corpus, target, metric = means[["train_corpus", "target", "metric"]].iloc[0]
            of_panel = (scores["train_corpus"] == corpus) & (scores["metric"] == metric) & (scores["target"] == target)
            _plot_panel(axis, means, scores[of_panel] if several else scores.iloc[:0], by_words)
            title = CORPORA.label(corpus) if target == EMOTION else f"{target}\n{CORPORA.label(corpus)}"
            axis.set(title=title, ylabel=METRICS[metric].axis, xlabel="" if by_words.head == MODEL else by_words.head)
        for axis in axes.flat[len(keys) :]:
            axis.set_axis_off()
        point = partial(Line2D, [], [], linestyle="")
        marks = [
            point(color=mark.colour, marker=mark.marker, markersize=9, label=wording.LABELS[kind])
            for kind, mark in MARKS.items()
            if (numbers[WORDS] == kind).any()
        ]
        marks += [point(color="#444444", marker=".", label="a seed")] if several else []
        figure.legend(handles=marks, loc="outside upper center", ncols=4, frameon=False)
    return figure


def _plot_panel(axis: Axes, means: pd.DataFrame, scores: pd.DataFrame, by_words: ByWords) -> None:
    """One panel of `plot`."""
    present = [name for name in by_words.labels if (means["name"] == name).any()]
    for kind, mark in MARKS.items():
        of_kind = means[means[WORDS] == kind].set_index("name")
        middle = np.array([present.index(name) + mark.offset for name in of_kind.index])
        reach = np.array([of_kind["mean"] - of_kind["low"], of_kind["high"] - of_kind["mean"]])
        axis.errorbar(
            middle, of_kind["mean"], reach, fmt=mark.marker, color=mark.colour, markersize=9, linewidth=2, capsize=4
        )
        seeds = scores[scores[WORDS] == kind]
        beside = np.array([present.index(name) + mark.offset + BESIDE for name in seeds["name"]])
        axis.plot(beside, seeds["score"], ".", color=mark.colour, alpha=0.6)
    chance = PERCENT / len(results.classes(by_words.rows)) if means["target"].iloc[0] == EMOTION else 0.0
    if chance or (means["mean"] < 0).any():
        axis.axhline(chance, color="black", linestyle=":", linewidth=1)
    names = [by_words.labels[name] for name in present]
    axis.set_xticks(range(len(present)), names, rotation=30, ha="right")
    axis.set_xlim(-0.6, len(present) - 0.4)
    axis.grid(visible=False, axis="x")
