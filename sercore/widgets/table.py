"""A table of tens of thousands of rows that the page itself searches, filters and sorts, drawn by table.js."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import anywidget
import pandas as pd
import traitlets

TEXT, CHOICE, NUMBER = "text", "choice", "number"  # how a column is filtered


class Table(anywidget.AnyWidget):
    """Rows without pages, of which only those in sight are drawn, and of which several can be selected.

    A search field over all texts; under each title a filter: a part of a text, one of a column's choices, or a range of
    numbers (`>3`, `1..2`). A click on a title sorts. A click selects a row alone; with ctrl or shift, several; arrows,
    Home, End and the page keys go through them. Search, filters and order stay when other rows are shown.
    """

    _esm = Path(__file__).parent / "table.js"
    columns: traitlets.List[Any] = traitlets.List().tag(sync=True)  # title, kind, digits, values as bytes
    selected_rows: traitlets.List[Any] = traitlets.List().tag(sync=True)  # numbers of rows
    marked: traitlets.List[Any] = traitlets.List().tag(sync=True)  # numbers of the rows with a star
    search = traitlets.Unicode().tag(sync=True)
    filters = traitlets.Dict().tag(sync=True)  # title -> text; a filter of a column that is not there is no condition
    order: traitlets.List[Any] = traitlets.List().tag(sync=True)  # title and "ascending" or "descending"; or nothing
    label = traitlets.Unicode().tag(sync=True)  # what a screen reader calls the table
    noun = traitlets.Unicode("rows").tag(sync=True)  # what is counted

    def __init__(self, **traits: Any) -> None:
        """Make a table without rows."""
        super().__init__(**traits)
        self.df = pd.DataFrame()

    def show(self, rows: pd.DataFrame, digits: Mapping[str, int], choices: Collection[str] = ()) -> None:
        """Show `rows`, none of which is selected or marked.

        Args:
            rows: one column a title; what is missing is blank. A categorical column is sent as its codes.
            digits: after the point, of the columns that are numbers; the others are text.
            choices: columns that are filtered by a list of their values.
        """
        self.df = rows
        columns = []
        for title, values in rows.items():
            sent = {"title": title, "kind": CHOICE if title in choices else TEXT, "digits": digits.get(str(title), 0)}
            if title in digits:
                sent |= {"kind": NUMBER, "values": values.to_numpy("<f8").tobytes()}
            elif isinstance(values.dtype, pd.CategoricalDtype):
                codes = values.cat.codes.to_numpy("<i4")  # -1: missing
                sent |= {"values": codes.tobytes(), "names": values.cat.categories.tolist()}
            else:
                sent["values"] = json.dumps(values.tolist(), ensure_ascii=False).encode()
            columns.append(sent)
        with self.hold_sync():  # the page takes them at once
            self.selected_rows, self.marked, self.columns = [], [], columns
