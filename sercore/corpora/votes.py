"""Votes: what single raters said of an utterance, before a release makes one label of them.

A votes table (schema.VOTE_COLUMNS) has one row a rater of an utterance. A rater who named several emotions has a row
for each, the ratings in the first. It is read from the release's own files, or from a CSV that is named beside it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from sercore import files, schema
from sercore.corpora import cells
from sercore.corpora.corpus import EMOTIONS, Corpus, translate
from sercore.schema import DIMENSIONS, EMOTION, did_you_mean

OTHER = "other"
OF_A_FILE = tuple(column for column in schema.VOTE_COLUMNS if column != "self_rated")
NEEDED = ("utterance", "rater")


def named(word: str) -> str | None:
    """The emotion that a rater's `word` names; OTHER for a word of the rater's own, None for none.

    >>> named("Surprise"), named("Neutral state"), named("Other-confused"), named("  ")
    ('surprised', 'neutral', 'other', None)
    """
    plain = cells.clean(word).lower().removesuffix(" state")
    if not plain:
        return None
    return plain if plain in schema.EMOTION_NAMES else EMOTIONS.get(plain, OTHER)


def read(path: str | Path) -> pd.DataFrame:
    """The votes table in the CSV `path`: the columns utterance and rater, and those of emotion, arousal, ... it has.

    Emotions may be nouns (`corpus.translate`). Raises FileNotFoundError where there is no such file, ValueError, naming
    it and its line, for an unknown or absent column, a cell without utterance or rater, a rating that is no number, and
    an emotion that is not known.
    """
    path = files.resolve(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; expected a CSV with the columns {', '.join(OF_A_FILE)}")
    table = cells.read_csv(path).map(cells.clean)
    for column in table.columns:
        if column not in OF_A_FILE:
            raise ValueError(f"{path}: unknown column '{column}'{did_you_mean(column, OF_A_FILE)}")
    absent = [column for column in NEEDED if column not in table]
    if absent:
        raise ValueError(f"{path}: no column {', '.join(absent)}; a votes table needs {' and '.join(NEEDED)}")
    for column in NEEDED:
        if (empty := table.index[table[column] == ""]).size:
            raise ValueError(f"{path}, line {empty[0] + 2}: no {column}; fill it, or drop the row")
    for column in table.columns.intersection(DIMENSIONS):
        numbers = pd.to_numeric(table[column].mask(cells.are_blank(table[column])), errors="coerce").astype("float64")
        wrong = table.index[~np.isfinite(numbers) & ~cells.are_blank(table[column])]
        if len(wrong):
            raise ValueError(
                f"{path}, line {wrong[0] + 2}: {column} is '{table.at[wrong[0], column]}'; expected a number, or "
                "nothing where it is not known"
            )
        table[column] = numbers
    if EMOTION in table:
        table[EMOTION] = translate(table[EMOTION], EMOTION, where=str(path))
    return table


def of_classes(votes: pd.DataFrame, classes: Mapping[str, tuple[str, ...]]) -> pd.DataFrame:
    """The share of each of `classes` (class -> emotions in it) in the votes, a row an utterance; rows sum to 1.

    Every rater counts the same; one who named several emotions counts for each with a part. Talkers' votes on
    themselves do not count, nor do emotions of no class: an utterance with no other votes has no row.
    """
    judged = votes[~votes["self_rated"]].dropna(subset=EMOTION)
    emotions = schema.map_emotions(judged[EMOTION], classes)
    weight = 1 / judged.groupby(["utterance", "rater"])[EMOTION].transform("size")
    sums = weight.groupby([judged["utterance"], emotions]).sum().unstack(fill_value=0.0)
    sums = sums.reindex(columns=list(classes), fill_value=0.0).rename_axis(columns=None)
    return sums.div(sums.sum(axis=1), axis=0)


class Agreement(NamedTuple):
    """How far raters agree about one target."""

    target: str
    alpha: float  # Krippendorff's: 1 where all agree, 0 as by chance; NaN where nothing can be compared
    level: str  # nominal or interval
    votes: int
    utterances: int  # with two votes or more


def agreement(votes: pd.DataFrame) -> list[Agreement]:
    """The agreement about each target that anybody judged; a rater's first emotion counts, and no talker's."""
    judged = votes[~votes["self_rated"]].drop_duplicates(["utterance", "rater"])
    found = []
    for target in schema.TARGETS:
        values = judged.set_index("utterance")[target].dropna()
        if len(values):
            sizes = values.groupby(level=0).size()
            level = "nominal" if target == EMOTION else "interval"
            found.append(Agreement(target, alpha(values, level), level, len(values), int((sizes > 1).sum())))
    return found


def alpha(values: pd.Series, level: str) -> float:
    """Krippendorff's alpha of `values`, one a judgement, indexed by what was judged; units of one value do not count.

        alpha = 1 - D_o / D_e
        D_o = 1/n * sum over units of (sum of d over the ordered pairs of its m values) / (m - 1)
        D_e = sum of d over the ordered pairs of all n values / (n (n - 1))

    with d = 1 for different names (`level` "nominal"), (a - b)^2 for numbers ("interval"); Krippendorff 2011. NaN where
    no unit has two values, and where all values are the same.

    Own, because the one package for it is under the GPL; the sums need no table of all pairs of values.

    >>> round(alpha(pd.Series(["a", "a", "b", "a"], index=[0, 0, 1, 1]), "nominal"), 4)
    0.0
    """
    unit = pd.Series(values.index, index=range(len(values)))
    values = values.reset_index(drop=True)
    sizes = values.groupby(unit).transform("size")
    unit, values, sizes = unit[sizes > 1], values[sizes > 1], sizes[sizes > 1]
    count = len(values)
    if level == "interval" and count:
        values = values - values.iloc[0]  # so that equal ratings have no variance by rounding
    within = (_apart(values, unit) / (sizes.groupby(unit).first() - 1)).sum()
    overall = _apart(values, pd.Series(0, index=values.index)).sum()
    return 1 - (count - 1) * float(within) / float(overall) if overall > 0 else np.nan


def _apart(values: pd.Series, unit: pd.Series) -> pd.Series:
    """The sum of d over the ordered pairs of the `values` of each `unit`."""
    if pd.api.types.is_numeric_dtype(values.dtype):
        size, total = values.groupby(unit).size(), values.groupby(unit).sum()
        return 2 * (size * (values**2).groupby(unit).sum() - total**2)
    counts = values.groupby([unit, values]).size()
    return counts.groupby(level=0).sum() ** 2 - (counts**2).groupby(level=0).sum()


def describe(corpus: Corpus) -> list[str]:
    """The lines about the raters in the summary of `corpus`; none where it has no votes."""
    votes = corpus.votes
    if votes.empty:
        return []
    raters = votes[~votes["self_rated"]].drop_duplicates(["utterance", "rater"])
    rated, own = raters["utterance"].nunique(), votes[votes["self_rated"]].drop_duplicates(["utterance", "rater"])
    by_talkers = f"; {len(own):,} answers of talkers about themselves do not count" if len(own) else ""
    each = f"{len(raters) / max(rated, 1):.1f} a turn"
    lines = [f"raters       {raters['rater'].nunique():,} on {rated:,} turns, {each}{by_talkers}"]
    found = agreement(votes)
    levels = {one.level: one.target for one in found}  # -> the last target of it
    known = [
        f"{one.target} {'not known' if np.isnan(one.alpha) else f'{one.alpha:.2f}'}"
        + (f" ({one.level})" if levels[one.level] == one.target else "")
        for one in found
    ]
    return [*lines, f"agreement    Krippendorff's alpha: {', '.join(known)}"] if known else lines
