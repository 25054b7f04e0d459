"""A table of buttons of which several can be chosen: the cells of a confusion matrix, the bins of errors."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anywidget
import traitlets

Place = tuple[Any, Any]
"""The keys of a cell's row and column."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What a cell shows: its text, what it says in words, and its colours as appearance.share_colours gives them."""

    text: str
    words: str
    colours: tuple[str, str]


class Grid(anywidget.AnyWidget):
    """One button for each row and column, drawn by grid.js.

    A click chooses a cell, or all cells of a row or column by its label, or one of the `sets`; with ctrl it is chosen
    besides what is chosen already. Arrows move between the buttons, Enter is a click.
    """

    _esm = Path(__file__).parent / "grid.js"
    rows = traitlets.List(traitlets.Unicode()).tag(sync=True)
    columns = traitlets.List(traitlets.Unicode()).tag(sync=True)
    corner = traitlets.Unicode().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)  # what a screen reader calls the table
    low = traitlets.Bool(default_value=False).tag(sync=True)  # buttons of one line
    sets = traitlets.Dict().tag(sync=True)  # name -> places, as numbers of row and column
    cells: traitlets.List[Any] = traitlets.List().tag(sync=True)  # by row: text, words, background, colour
    chosen: traitlets.List[Any] = traitlets.List().tag(sync=True)  # places, as numbers of row and column

    def __init__(self, label: str, corner: str, choose: Callable[["Grid"], None], *, low: bool = False) -> None:
        """Make a grid without rows; `choose(grid)` is called after every change of what is chosen."""
        super().__init__(label=label, corner=corner, low=low)
        self.names: tuple[Sequence[Any], Sequence[Any]] = ((), ())
        self.observe(lambda _: choose(self), "chosen")

    def name(
        self, rows: Mapping[Any, str], columns: Mapping[Any, str], sets: Mapping[str, Iterable[Place]] | None = None
    ) -> None:
        """Give the grid its rows and columns, key -> label, and sets of cells to choose at once; nothing is chosen."""
        self.names = tuple(rows), tuple(columns)
        self.sets = {name: [self._numbers(place) for place in places] for name, places in (sets or {}).items()}
        with self.hold_sync():
            self.rows, self.columns, self.cells = list(rows.values()), list(columns.values()), []
        self.chosen = []

    def draw(self, cell: Callable[[Any, Any], Cell]) -> None:
        """Show `cell(row, column)`, given their keys, in every cell."""
        shown = [[cell(row, column) for column in self.names[1]] for row in self.names[0]]
        self.cells = [[[one.text, one.words, *one.colours] for one in line] for line in shown]

    def choose(self, places: Iterable[Place]) -> None:
        """Choose the cells at `places`, given as keys of row and column."""
        self.chosen = [self._numbers(place) for place in places]

    def places(self) -> list[Place]:
        """The keys of row and column of what is chosen, in the order of the rows."""
        return [(self.names[0][row], self.names[1][column]) for row, column in sorted(map(tuple, self.chosen))]

    def text(self, place: Place) -> str:
        """What the cell at `place` shows."""
        row, column = self._numbers(place)
        return self.cells[row][column][0]

    def _numbers(self, place: Place) -> list[int]:
        return [keys.index(key) for keys, key in zip(self.names, place, strict=True)]
