"""A list of utterances without its drawing: order, pages, and the utterances that somebody marked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from sercore import files
from sercore.schema import UTTERANCE_COLUMNS, did_you_mean, first

PAGE = 20  # utterances
KEY = ["corpus", "utterance"]
TOLD = ("file", "dialog", "transcript", "seconds", "emotion", "arousal", "valence", "dominance", "low", "high")
"""Columns of the utterances that a list adds to its rows."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """A way to sort a list: its name, the column, and which end comes first."""

    name: str
    column: str
    ascending: bool = True


BY_UTTERANCE = Order(name="utterance", column="utterance")
BY_SPEAKER = Order(name="speaker", column="speaker")
SHORTEST = Order(name="shortest", column="seconds")
ORDERS = (BY_UTTERANCE, BY_SPEAKER, SHORTEST)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Rows (at least `corpus` and `utterance`) in an order, of which one page is shown."""

    rows: pd.DataFrame
    page: int = 0

    @property
    def pages(self) -> int:
        """How many pages there are, at least one."""
        return max(1, -(-len(self.rows) // PAGE))

    def shown(self) -> pd.DataFrame:
        """The rows of the page."""
        return self.rows.iloc[self.page * PAGE : (self.page + 1) * PAGE]

    def turned(self, pages: int) -> "Listing":
        """The listing `pages` further; it stops at either end."""
        return replace(self, page=min(max(self.page + pages, 0), self.pages - 1))

    def sorted(self, order: Order) -> "Listing":
        """The first page of the listing in `order`; rows that are equal there keep their places."""
        if order.column not in self.rows:
            raise ValueError(f"no column '{order.column}' to sort by{did_you_mean(order.column, self.rows.columns)}")
        rows = self.rows.sort_values(order.column, ascending=order.ascending, kind="stable", ignore_index=True)
        return Listing(rows=rows)


def with_utterances(rows: pd.DataFrame, utterances: pd.DataFrame) -> pd.DataFrame:
    """`rows` with what `utterances` tells of them (TOLD); the rows' own columns stay, what is unknown is missing.

    `utterances` is indexed by (corpus, utterance), see `indexed`.
    """
    absent = [column for column in TOLD if column not in rows.columns]
    wanted = pd.MultiIndex.from_arrays([rows["corpus"].astype("str"), rows["utterance"].astype("str")])
    told = utterances.reindex(columns=absent).reindex(wanted)
    return rows.reset_index(drop=True).join(told.reset_index(drop=True))


def indexed(utterances: pd.DataFrame) -> pd.DataFrame:
    """`utterances` by corpus and id. Raises ValueError where the column `corpus` is missing or an id is there twice."""
    absent = [column for column in KEY if column not in utterances]
    if absent:
        raise ValueError(f"utterances have no column {', '.join(absent)}; expected a table of sound.gather")
    keys = [utterances[column].astype("str") for column in KEY]
    found = utterances.set_index(pd.MultiIndex.from_arrays(keys, names=KEY))
    twice = found.index[found.index.duplicated()]
    if len(twice):
        raise ValueError(f"{len(twice)} utterances are there twice, {first(twice)}; every corpus's ids must be unique")
    return found


class Marks:
    """The utterances that somebody marked, in the order in which it was done, each with where it was seen."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], dict[str, Any]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, row: Mapping[str, Any]) -> bool:
        return self._key(row) in self._rows

    def toggle(self, row: Mapping[str, Any], seen: str, facts: Mapping[str, Any]) -> bool:
        """Mark the utterance of `row`, or take its mark away; returns whether it is marked now.

        `seen` says in which list it was met; `facts` are columns of the export beside those of the utterance table.
        """
        key = self._key(row)
        if key in self._rows:
            del self._rows[key]
            return False
        columns = [column for column in UTTERANCE_COLUMNS if column in row]
        self._rows[key] = {"corpus": key[0], **{column: row[column] for column in columns}, "seen": seen, **facts}
        return True

    def table(self) -> pd.DataFrame:
        """One row a marked utterance: corpus, the utterance table, where it was seen, and the facts."""
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

    @staticmethod
    def _key(row: Mapping[str, Any]) -> tuple[str, str]:
        return str(row["corpus"]), str(row["utterance"])
