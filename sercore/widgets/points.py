"""Points that stand for utterances, to zoom into, hover over, click and lasso: jupyter-scatter within a browser.

In order: `Colours` of points with their legend; the `Points`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import ipywidgets
import jscatter
import pandas as pd
import seaborn
from markupsafe import Markup
from matplotlib import colormaps
from matplotlib.colors import to_hex

from sercore.analysis.figures import OTHER_COLOURS, TARGET_COLOURS
from sercore.analysis.markup import markup
from sercore.widgets.appearance import set_shown

HEIGHT = 440  # [pixels]
SIZE, SMALL, MANY = 7, 4, 3000  # diameter of a point, and from how many points on it is small [pixels]
OPACITY, UNCHOSEN = 0.75, 0.35  # of points, and how much of that is left of those that are not chosen while others are
MARGIN = 0.06  # beside the outermost points, a share of how far they are apart
KEYS = {"lasso": "shift", "merge": "ctrl", "remove": "alt"}  # held with the mouse: draw a lasso, add to what is chosen
AXES = (0.46, 0.46, 0.46, 1.0)  # a grey that is legible on white and on black
NAMED = 12  # names that a legend has at most
STEPS = 64  # shades of a scale
BUTTONS = ["pan_zoom", "lasso", "lasso_type", "full_screen", "download", "reset"]
HELP = (
    "Wheel: zoom · drag: move · shift and drag: lasso, which lists what is inside · click: open an utterance · "
    "double click: choose nothing"
)


class Colours(NamedTuple):
    """A colour for each point: `values` are names in the order of the palette, or numbers between `ends`."""

    values: pd.Series
    palette: list[str]
    legend: Markup
    ends: tuple[float, float] | None = None  # of numbers


def plain(rows: pd.DataFrame, colour: str) -> Colours:
    """All points in one colour, without a legend."""
    values = pd.Series(0, index=rows.index).astype("category")
    return Colours(values, [colour], Markup(""))


def named(values: pd.Series, names: Sequence[str], colours: dict[str, str] | None = None) -> Colours:
    """A colour for each of `names`: of `colours`, else of the classes in figures, else evenly around the wheel."""
    known = TARGET_COLOURS | (colours or {})
    others = [name for name in names if name not in known]
    if len(others) <= len(OTHER_COLOURS):
        further = list(OTHER_COLOURS)
    else:
        further = [to_hex(colour) for colour in seaborn.husl_palette(len(others))]
    known |= dict(zip(others, further, strict=False))
    palette = [known[name] for name in names]
    entries = [markup('<span style="color:{}">●</span> {}', *pair) for pair in zip(palette, names, strict=True)]
    many = markup("{} colours: hover over a point to see whose it is", len(names))
    legend = markup(" &nbsp; ").join(entries) if len(names) <= NAMED else many
    return Colours(values.astype("str").astype(pd.CategoricalDtype(list(names))), palette, legend)


def measured(values: pd.Series, low: float, high: float, scale: str) -> Colours:
    """Colours of numbers between `low` and `high` on Matplotlib's colour map `scale`."""
    palette = [to_hex(colormaps[scale](step / (STEPS - 1))) for step in range(STEPS)]
    band = markup(
        '{:g} <span class="sercore-scale" style="background:linear-gradient(90deg,{})"></span> {:g}',
        low,
        ",".join(palette[:: STEPS // 8]),
        high,
    )
    return Colours(values.astype("float64"), palette, band, (low, high))


def in_words(rows: pd.DataFrame) -> pd.DataFrame:
    """What a point of each of `rows` of predictions shows while the mouse is over it."""
    shown = {name: rows[name].map(_text) for name in ("utterance", "truth", "prediction", "speaker")}
    return pd.DataFrame(shown, index=rows.index)


def _text(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _ends(values: pd.Series) -> tuple[float, float]:
    """The ends of the axis of `values`, beyond the outermost of them."""
    low, high = float(values.min()), float(values.max())
    beside = MARGIN * (high - low) or 1.0
    return low - beside, high + beside


class Points(ipywidgets.VBox):
    """A plane of points; `choose(numbers)` is called when a lasso or a click chooses other points than before."""

    def __init__(self, choose: Callable[[list[int]], None]) -> None:
        self.choose = choose
        self.chosen: list[int] = []
        self.scatter: jscatter.Scatter | None = None
        self.places = pd.DataFrame()
        self.legend, self.help = ipywidgets.HTML(), ipywidgets.HTML(markup("<small>{}</small>", HELP))
        super().__init__([self.legend, self.help])
        self.add_class("sercore-points")
        set_shown(self, False)

    def draw(
        self,
        places: pd.DataFrame,
        hover: pd.DataFrame,
        colours: Colours,
        labels: tuple[str, str] = ("", ""),
        lines: Sequence[jscatter.Line | jscatter.HLine] = (),
    ) -> None:
        """Draw a point for each of `places` (across, up), and `lines`; where points have moved, none is chosen any more.

        `hover` has a row for each point, of the text that it shows while the mouse is over it; always the same columns.
        """
        moved = not places.equals(self.places)
        self.places = places
        if moved:
            self.select([])
        set_shown(self, len(places) > 0)
        if places.empty:
            return
        places, hover, shades = (part.reset_index(drop=True) for part in (places, hover, colours.values))
        table = hover.assign(across=places.iloc[:, 0], up=places.iloc[:, 1], colour=shades)
        coloured = {"by": "colour", "map": colours.palette, "norm": colours.ends}
        size = SIZE if len(table) < MANY else SMALL
        if self.scatter is None:
            self.scatter = self._made(table, list(hover), coloured, size)
        else:
            self.scatter.data(table)
            if moved:
                self.scatter.x("across", scale=_ends(table["across"]))
                self.scatter.y("up", scale=_ends(table["up"]))
                self.scatter.widget.reset_view()
            self.scatter.color(**coloured)
            self.scatter.size(size)
        self.scatter.axes(labels=list(labels))
        self.scatter.annotations(list(lines))
        self.legend.value = colours.legend

    def select(self, numbers: Sequence[int]) -> None:
        """Mark the points `numbers` as chosen; `choose` is not called."""
        self.chosen = sorted(numbers)
        if self.scatter is not None:
            self.scatter.selection(self.chosen)

    def _made(self, table: pd.DataFrame, hover: list[str], coloured: dict[str, Any], size: int) -> jscatter.Scatter:
        """The plot of `table`, put above the legend."""
        made = jscatter.Scatter(
            data=table,
            x="across",
            x_scale=_ends(table["across"]),
            y="up",
            y_scale=_ends(table["up"]),
            color_by=coloured["by"],
            color_map=coloured["map"],
            color_norm=coloured["norm"],
            size=size,
            opacity=OPACITY,
            opacity_unselected=UNCHOSEN,
            height=HEIGHT,
            background_color=(1.0, 1.0, 1.0, 0.0),  # that of the page
            tooltip=True,
            tooltip_properties=hover,
            tooltip_histograms=False,
            options={"actionKeyMap": KEYS},
        )
        made.widget.axes_color = list(AXES)
        made.widget.show(buttons=BUTTONS)
        made.widget.observe(self._selected, "selection")
        self.children = [made.widget, self.legend, self.help]
        return made

    def _selected(self, change: dict[str, Any]) -> None:
        numbers = sorted(map(int, change["new"]))
        if numbers != self.chosen:
            self.chosen = numbers
            self.choose(numbers)
