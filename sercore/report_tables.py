"""The tables of a report: those that the analysis wrote in Markdown, and the claims counted by their verdicts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import mistune

from sercore import files
from sercore.tables import PAPER
from sercore.verdicts import FAILS, HOLDS, OPEN

VERDICTS = (HOLDS, FAILS, OPEN)
HERE = "here"  # the column of a table of claims that holds the study's own verdict
SENTENCE = 40  # characters from which a cell is read as prose, not as a value


class Cell(NamedTuple):
    """One cell: its text, how many rows it spans (as a row's name), and how it is drawn."""

    text: str
    rows: int = 1
    kind: str = ""  # first (of the columns), number, prose, paper, or a verdict: holds, fails, open


@dataclass(frozen=True)
class ShownTable:
    """A table as a report shows it: the first `names` columns are the rows' names."""

    title: str
    names: int
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    numeric: bool = False  # whether what is not a name is a number

    def cells(self) -> list[tuple[list[Cell], list[Cell]]]:
        """Names and values of each row; a name that is left empty belongs to the one above, which spans both."""
        shown = []
        for place, row in enumerate(self.rows):
            paper = PAPER if PAPER in row[: self.names] else ""
            names = [
                Cell(text, self._span(place, column), PAPER if text == PAPER else "" if column else "first")
                for column, text in enumerate(row[: self.names])
                if text or place == 0
            ]
            shown.append((names, [Cell(text, 1, paper or self._kind(text)) for text in row[self.names :]]))
        return shown

    def column(self, name: str) -> list[str]:
        """The texts of the column `name`. Raises ValueError with the columns that there are."""
        if name not in self.head:
            raise ValueError(f"table '{self.title}' has no column '{name}'; it has {', '.join(self.head)}")
        return [row[self.head.index(name)] for row in self.rows]

    def _span(self, place: int, column: int) -> int:
        below = self.rows[place + 1 :]
        return next((far for far, row in enumerate(below, 1) if row[column]), len(below) + 1)

    def _kind(self, text: str) -> str:
        if text in VERDICTS:
            return {HOLDS: "holds", FAILS: "fails", OPEN: "open"}[text]
        return "number" if self.numeric else "prose" if len(text) > SENTENCE else ""


def from_markdown(text: str, source: str) -> ShownTable:
    """The table that tables.Table wrote as Markdown: a title in bold, the table, a list of notes.

    Raises ValueError, naming `source`, for Markdown that is not of this form.
    """
    tokens = mistune.create_markdown(renderer=None, plugins=["table"])(text)
    parts = {token["type"]: token for token in reversed(tokens)}
    if not {"paragraph", "table"} <= parts.keys():
        found = ", ".join(token["type"] for token in tokens) or "nothing"
        raise ValueError(f"{source}: expected a title in bold and a table, found {found}; make it again")
    head, body = parts["table"]["children"]
    right = [cell["attrs"]["align"] == "right" for cell in head["children"]]
    rows = [tuple(_raw(cell) for cell in row["children"]) for row in body["children"]]
    return ShownTable(
        title=_raw(parts["paragraph"]),
        names=right.index(True) if any(right) else 1,
        head=tuple(_raw(cell) for cell in head["children"]),
        rows=tuple(rows),
        notes=tuple(_raw(item).strip() for item in parts["list"]["children"]) if "list" in parts else (),
        numeric=any(right),
    )


def read(path: Path) -> ShownTable:
    """The table in the Markdown file `path`, without the project's folder where a note names a file in it."""
    text = path.read_text(encoding="utf-8").replace(f"{files.project()}/", "")
    return from_markdown(text, str(path))


def count_verdicts(claims: Mapping[str, ShownTable]) -> ShownTable:
    """How many claims of each of the tables `claims` (what they are about -> table) hold, do not, or stay open."""
    rows, total = [], Counter[str]()
    for what, table in claims.items():
        found = Counter(table.column(HERE))
        total += found
        rows.append((what, *(str(found[verdict]) for verdict in VERDICTS), str(found.total())))
    rows.append(("together", *(str(total[verdict]) for verdict in VERDICTS), str(total.total())))
    return ShownTable("How many claims hold here", 1, ("claims", *VERDICTS, "of"), tuple(rows), numeric=True)


def from_records(title: str, records: Sequence[Mapping[str, Any]], notes: Iterable[str] = ()) -> ShownTable:
    """A table of `records`, one a row and all with the same keys, the first of which is the row's name."""
    rows = tuple(tuple(str(value) for value in record.values()) for record in records)
    return ShownTable(title, 1, tuple(records[0]) if records else (), rows, tuple(notes))


def _raw(token: Mapping[str, Any]) -> str:
    return token.get("raw", "") + "".join(map(_raw, token.get("children", ())))
