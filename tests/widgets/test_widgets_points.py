"""Points of utterances without a browser: what is drawn, which choice is told, and what stays."""

import pandas as pd
import pytest

from sercore.widgets import points
from sercore.widgets.points import Points


@pytest.fixture
def chosen():
    return []


@pytest.fixture
def plot(chosen):
    return Points(chosen.append)


PLACES = pd.DataFrame({"a": [0.0, 1.0, 2.0], "b": [5.0, 5.0, 7.0]}, index=[3, 4, 9])
HOVER = pd.DataFrame({"utterance": ["x", "y", "z"]}, index=PLACES.index)


def draw(plot, places=PLACES, colours=None):
    hover = HOVER.iloc[: len(places)].set_axis(places.index)
    plot.draw(places, hover, colours or points.plain(places, "#0072B2"))


def test_without_points_nothing_is_shown(plot):
    assert plot.layout.display == "none"
    draw(plot)
    assert plot.layout.display is None
    draw(plot, PLACES.iloc[:0])
    assert plot.layout.display == "none"
    assert plot.scatter is None
    draw(plot)
    assert len(plot.scatter.widget.points) == 3


def test_the_outermost_points_lie_within_the_border(plot):
    draw(plot)
    drawn = plot.scatter.widget.points
    assert abs(drawn[:, :2]).max() == pytest.approx(1 / (1 + 2 * points.MARGIN))
    draw(plot, PLACES.assign(b=5.0))
    assert abs(plot.scatter.widget.points[:, 1]).max() == 0, "all of one value: in the middle"


def test_a_choice_in_the_page_is_told_once_and_one_of_ours_is_not(plot, chosen):
    draw(plot)
    plot.scatter.widget.selection = [2, 0]
    plot.select([1])
    assert plot.scatter.widget.selection.tolist() == [1]
    plot.scatter.widget.selection = []
    assert chosen == [[0, 2], []]


def test_choice_and_view_stay_with_other_colours_and_go_with_other_places(plot):
    draw(plot)
    plot.select([0, 2])
    plot.scatter.widget.camera_view = view = [float(number) for number in range(16)]
    draw(plot, colours=points.named(HOVER["utterance"], ["x", "y", "z"]))
    assert plot.scatter.widget.selection.tolist() == plot.chosen == [0, 2]
    assert plot.scatter.widget.camera_view == view
    draw(plot, PLACES + 1)
    assert plot.chosen == []
    assert plot.scatter.widget.camera_view is None


def test_a_point_tells_its_columns_while_the_mouse_is_over_it(plot):
    rows = pd.DataFrame({"utterance": ["x"], "truth": [1.5], "prediction": [2.25], "speaker": [None]})
    assert points.in_words(rows).iloc[0].tolist() == ["x", "1.50", "2.25", "None"]
    draw(plot)
    assert plot.scatter.widget.tooltip_properties == ["utterance"]


def test_names_have_colours_of_their_own_and_a_legend_while_it_is_short():
    values = pd.Series(["sad", "angry", "sad"], index=[4, 5, 6])
    few = points.named(values, ["angry", "sad", "bored"])
    assert few.palette == ["#D55E00", "#0072B2", points.OTHER_COLOURS[0]]
    assert few.values.cat.codes.tolist() == [1, 0, 1]
    assert few.legend.count("●") == 3
    names = [str(number) for number in range(40)]
    many = points.named(pd.Series(names), names)
    assert len(set(many.palette)) == 40
    assert "40 colours" in many.legend


def test_names_are_escaped_in_the_legend():
    assert "<b>" not in points.named(pd.Series(["<b>"]), ["<b>"]).legend


def test_numbers_have_a_scale():
    colours = points.measured(pd.Series([1, 3]), 1.0, 5.0, "viridis")
    assert colours.ends == (1.0, 5.0)
    assert colours.palette[0] == "#440154"
    assert colours.legend.startswith("1 <span")
    assert colours.legend.endswith("</span> 5")
