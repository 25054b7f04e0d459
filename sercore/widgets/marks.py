"""Marked utterances, each with a comment and a corrected label: their CSV, and the agreement of two people's marks."""

import io
from collections.abc import Callable, Mapping, Set
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from sercore import files
from sercore.corpora import votes
from sercore.schema import UTTERANCE_COLUMNS, first

KEY = ["corpus", "utterance"]
COMMENT, CORRECTED = "comment", "corrected"
NOTES = (COMMENT, CORRECTED)  # what a person writes of a mark; empty where nothing was written


class Marks:
    """The marked utterances in the order in which they were marked, each with the list that it was in."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], dict[str, Any]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, row: Mapping[str, Any]) -> bool:
        return self._key(row) in self._rows

    @property
    def keys(self) -> Set[tuple[str, str]]:
        """Corpus and id of each marked utterance."""
        return self._rows.keys()

    def toggle(self, row: Mapping[str, Any], seen: str, facts: Mapping[str, Any]) -> bool:
        """Mark the utterance of `row`, or take its mark away; returns whether it is marked now.

        `seen` is the heading of the list that it is in; `facts` are further columns of the export.
        """
        key = self._key(row)
        if key in self._rows:
            del self._rows[key]
            return False
        columns = [column for column in UTTERANCE_COLUMNS if column in row]
        known = {column: row[column] for column in columns}
        self._rows[key] = {"corpus": key[0], **known, "seen": seen, **dict.fromkeys(NOTES, ""), **facts}
        return True

    def note(self, row: Mapping[str, Any], name: str, text: str) -> None:
        """Write `text` as the note `name`, one of NOTES, of the utterance of `row`, which is marked."""
        self._rows[self._key(row)][name] = text

    def notes(self, row: Mapping[str, Any]) -> dict[str, str]:
        """The NOTES of the utterance of `row`; empty where it is not marked."""
        marked = self._rows.get(self._key(row), {})
        return {name: marked.get(name, "") for name in NOTES}

    def table(self) -> pd.DataFrame:
        """One row a marked utterance: corpus, columns of the utterance table, `seen`, the NOTES, and the facts."""
        return pd.DataFrame(list(self._rows.values()))

    def export(self, folder: Path, name: str, now: Callable[[], datetime] = datetime.now) -> Path:
        """Write `table` into `folder` as CSV, named after `name` and the time; returns the path.

        Raises ValueError where nothing is marked.
        """
        if not self._rows:
            raise ValueError("no utterance is marked: open one and mark it first")
        path = folder / f"{name}-{now().strftime('%Y-%m-%dT%H-%M-%S')}.csv"
        files.write_table(path, self.table())
        return path

    def add(self, table: pd.DataFrame) -> None:
        """Mark the utterances of `table`, one of `read`; what it says of an utterance that is marked already counts."""
        for row in table.to_dict("records"):
            self._rows[self._key(row)] = {str(name): value for name, value in row.items()}

    @staticmethod
    def _key(row: Mapping[str, Any]) -> tuple[str, str]:
        return str(row["corpus"]), str(row["utterance"])


def read(content: bytes, name: str, known: pd.Index) -> pd.DataFrame:
    """The marks in the CSV `content`, as Marks.export writes it, all of them text; notes that it lacks are empty.

    Args:
        content: of the file.
        name: of the file, for errors.
        known: corpus and id of every utterance that can be marked.

    Raises ValueError, with the file and its lines, where it is no such table, or an utterance is unknown or twice.
    """
    try:
        table = pd.read_csv(io.BytesIO(content), dtype="str", keep_default_na=False)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{name} is no CSV of marks ({error}); expected one that `export marked` wrote") from None
    absent = [column for column in KEY if column not in table]
    if absent:
        raise ValueError(f"{name} has no column {', '.join(absent)}; expected a CSV that `export marked` wrote")
    table = files.unguarded(table)
    keys = pd.MultiIndex.from_frame(table[KEY])
    for wrong, why in ((~keys.isin(known), "are in no corpus of this study"), (keys.duplicated(), "are there twice")):
        lines = [f"{utterance} (line {line + 2})" for line, utterance in table["utterance"][wrong].items()]
        if lines:
            raise ValueError(f"{name}: {len(lines)} utterances {why}, {first(lines)}")
    return table.assign(**{note: table.get(note, "") for note in NOTES})


class Agreement(NamedTuple):
    """How far two people's marks agree."""

    both: int  # utterances that both marked
    one: int  # that only the first marked
    other: int  # that only the second marked
    same: int  # of those that both gave a label, those with the same one
    different: pd.DataFrame  # the others: corpus, utterance, and the labels `one` and `other`
    alpha: float  # Krippendorff's of the labels, nominal, see votes.alpha; NaN where nothing can be compared

    def __str__(self) -> str:
        """In words."""
        labelled = self.same + len(self.different)
        alpha = f", Krippendorff's alpha {self.alpha:.2f}" if self.alpha == self.alpha else ""
        return (
            f"{self.both} marked by both, {self.one} only here, {self.other} only there; "
            f"the same label for {self.same} of the {labelled} that both gave one{alpha}"
        )


def agreement(one: pd.DataFrame, other: pd.DataFrame) -> Agreement:
    """How far two tables of marks agree about what to mark, and about the corrected label of what both gave one."""
    here, there = (
        pd.DataFrame(table, columns=[*KEY, CORRECTED]).astype("str").set_index(KEY)[CORRECTED] for table in (one, other)
    )
    both = here.index.intersection(there.index)
    pairs = pd.DataFrame({"one": here.reindex(both), "other": there.reindex(both)})
    pairs = pairs[(pairs != "").all(axis=1)]
    different = pairs[pairs["one"] != pairs["other"]]
    units = pairs.reset_index(drop=True).stack().droplevel(1)
    return Agreement(
        both=len(both),
        one=len(here) - len(both),
        other=len(there) - len(both),
        same=len(pairs) - len(different),
        different=different.reset_index(),
        alpha=votes.alpha(units, "nominal") if len(units) else float("nan"),
    )
