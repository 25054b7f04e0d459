"""A grid of buttons: places are keys in Python and numbers in the page, and what is chosen is told once."""

import pytest
from matplotlib.colors import to_rgb

from sercore.widgets import appearance
from sercore.widgets.grid import Cell, Grid


@pytest.fixture
def grid():
    told = []
    made = Grid("a table", "corner", lambda grid: told.append(grid.places()))
    made.told = told
    made.name({-0.5: "low", 0.5: "high"}, {"x": "X", "y": "Y", "z": "Z"}, {"ends": [(-0.5, "x"), (0.5, "z")]})
    return made


def test_it_shows_what_each_cell_is_given(grid):
    grid.draw(lambda row, column: Cell(text=f"{row}{column}", words="in words", colours=("#fff", "#000")))
    assert grid.text((0.5, "y")) == "0.5y"
    assert grid.cells[1][2] == ["0.5z", "in words", "#fff", "#000"]


def test_what_the_page_chooses_is_told_by_its_keys_in_the_order_of_the_rows(grid):
    grid.chosen = [[1, 2], [0, 1]]
    assert grid.told == [[(-0.5, "y"), (0.5, "z")]]
    grid.chosen = grid.sets["ends"]
    assert grid.told[1:] == [[(-0.5, "x"), (0.5, "z")]]


def test_other_rows_and_columns_leave_nothing_chosen(grid):
    grid.choose([(0.5, "z")])
    grid.name({1: "one"}, {1: "one"})
    assert (grid.chosen, grid.told[-1], grid.sets, grid.cells) == ([], [], {}, [])


def test_a_cell_that_is_not_there_cannot_be_chosen(grid):
    with pytest.raises(ValueError, match="not in tuple"):
        grid.choose([(0.5, "w")])


def test_the_page_is_given_all_of_it(grid):
    """An attribute that hides one of ipywidgets' own, as `keys`, leaves the page without a part of the state."""
    state = grid.get_state()
    assert state["_esm"].startswith("// Buttons in a table")
    assert state["rows"] == ["low", "high"]


@pytest.mark.parametrize("colours", [appearance.share_colours, lambda part: appearance.change_colours(2 * part - 1, 1)])
def test_what_a_cell_says_can_be_read_on_every_colour(colours):
    def light(colour):
        parts = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in to_rgb(colour)]
        return 0.05 + sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))

    for step in range(101):
        low, high = sorted(map(light, colours(step / 100)))
        assert high / low >= 4.5
