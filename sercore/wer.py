"""Word error rate: how far recognised words are from those that were said, over all, by speaker, by emotion."""

import math
import re
from collections.abc import Sequence

import jiwer
import pandas as pd

COUNTS = ("words", "substitutions", "deletions", "insertions")
OVERALL = "all"
THIRDS = ("low", "middle", "high")  # of the recogniser's confidence


def words(text: str) -> list[str]:
    """The words of `text`, without case and punctuation, as error rates compare them."""
    return re.findall(r"[\w']+", text.lower())


def word_error_rate(reference: Sequence[str], hypothesis: Sequence[str]) -> float:
    """Words to be inserted, deleted or replaced to get from `hypothesis` to `reference`, per word of `reference`.

    Both are lists of texts, one an utterance; the errors of all are added up before they are divided, so it may exceed
    1. Case and punctuation do not count. NaN where the reference has no words.

    >>> word_error_rate(["he won the prize", "well"], ["He won a prize!", ""])
    0.4
    """
    return rate(count_errors(reference, hypothesis))


def count_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> pd.DataFrame:
    """One row an utterance: the words of its reference, and the substitutions, deletions and insertions in it.

    The alignment is the one with the fewest errors. Raises ValueError where the two are not as long.
    """
    if len(reference) != len(hypothesis):
        raise ValueError(f"{len(reference)} references and {len(hypothesis)} hypotheses; expected as many of either")
    pairs = [(words(said), words(heard)) for said, heard in zip(reference, hypothesis, strict=True)]
    return pd.DataFrame([(len(said), *_edits(said, heard)) for said, heard in pairs], columns=list(COUNTS))


def rate(counts: pd.DataFrame) -> float:
    """The word error rate of all rows of a table of `count_errors` together; NaN where they have no words."""
    total = int(counts["words"].sum())
    return float(counts[list(COUNTS[1:])].to_numpy().sum() / total) if total else math.nan


def error_table(utterances: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """Word error rates of `utterances`, whose `transcript` was said and whose `heard` was recognised.

    One row for all of them, then one for each value of each column in `by`; `confidence` is cut into thirds. Columns:
    by, value, utterances, words, substitutions, deletions, insertions, wer, empty (share of utterances in which
    nothing was recognised). An utterance whose transcript is missing is left out; one that nothing is known to have
    been heard in counts as empty. Raises ValueError where no utterance has a transcript.
    """
    known = utterances[utterances["transcript"].notna()].reset_index(drop=True)
    if known.empty:
        raise ValueError(
            f"none of {len(utterances)} utterances has a transcript that the recognised can be held against"
        )
    heard = known["heard"].fillna("")
    counts = count_errors(known["transcript"].tolist(), heard.tolist())
    counts = counts.assign(utterances=1, empty=[not words(text) for text in heard])
    groups = [(OVERALL, "", counts)]
    for column in by:
        values = _thirds(known[column]) if column == "confidence" else known[column].fillna("unknown")
        groups += [(column, str(value), part) for value, part in counts.groupby(values, observed=True)]
    rows = [
        {"by": column, "value": value, "utterances": len(part), **part[list(COUNTS)].sum().to_dict(),
         "wer": rate(part), "empty": part["empty"].mean()}
        for column, value, part in groups
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _edits(said: list[str], heard: list[str]) -> tuple[int, int, int]:
    """Substitutions, deletions, insertions; jiwer is not asked about nothing, which its versions treat differently."""
    if not said or not heard:
        return 0, len(said), len(heard)
    found = jiwer.process_words(" ".join(said), " ".join(heard))
    return found.substitutions, found.deletions, found.insertions


def _thirds(confidence: pd.Series) -> pd.Series:
    """The third of the utterances, by confidence, that each belongs to; missing where the confidence is."""
    ranks = confidence.astype("float64").rank(method="first")
    return pd.qcut(ranks, 3, labels=list(THIRDS)) if confidence.notna().sum() >= 3 else ranks.map(lambda _: THIRDS[1])
