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
AXES = (0.46, 0.46, 0.46, 1.0)  # a grey that is legible on white and on black
NAMED = 12  # names that a legend has at most
STEPS = 64  # shades of a scale
BUTTONS = ["pan_zoom", "lasso", "lasso_type", "full_screen", "download"]
HELP = "wheel: zoom · drag: move, or with the second button: lasso · click: open · double click: choose nothing"


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
        self.legend, self.help = ipywidgets.HTML(), ipywidgets.HTML(markup("<i>{}</i>", HELP))
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
        """Draw a point for each of `places` (across, up), and `lines`.

        What is chosen, and the view, stay where the points do. `hover` has a row for each point, of the text that it
        shows while the mouse is over it.
        """
        same = places.equals(self.places)
        before = self.scatter
        self.places, self.chosen = places, self.chosen if same else []
        self.scatter = None if places.empty else self._made(places, hover, colours)
        self.children = [*([self.scatter.widget] if self.scatter else []), self.legend, self.help]
        set_shown(self, self.scatter is not None)
        if self.scatter:
            self.scatter.axes(labels=list(labels))
            self.scatter.annotations(list(lines))
            self.scatter.selection(self.chosen)
            if same and before:
                self.scatter.widget.camera_view = before.widget.camera_view
            self.scatter.widget.observe(self._selected, "selection")
        if before:
            before.widget.close()
        self.legend.value = colours.legend

    def select(self, numbers: Sequence[int]) -> None:
        """Mark the points `numbers` as chosen; `choose` is not called."""
        self.chosen = sorted(numbers)
        if self.scatter is not None:
            self.scatter.selection(self.chosen)

    def _made(self, places: pd.DataFrame, hover: pd.DataFrame, colours: Colours) -> jscatter.Scatter:
        """A new plot: jupyter-scatter mixes up the places of before and those of now where it is given others."""
        places, shown, shades = (part.reset_index(drop=True) for part in (places, hover, colours.values))
        table = shown.assign(across=places.iloc[:, 0], up=places.iloc[:, 1], colour=shades)
        made = jscatter.Scatter(
            data=table,
            x="across",
            x_scale=_ends(table["across"]),
            y="up",
            y_scale=_ends(table["up"]),
            color_by="colour",
            color_map=colours.palette,
            color_norm=colours.ends,
            size=SIZE if len(table) < MANY else SMALL,
            opacity=OPACITY,
            opacity_unselected=UNCHOSEN,
            height=HEIGHT,
            background_color=(1.0, 1.0, 1.0, 0.0),  # that of the page
            tooltip=True,
            tooltip_properties=list(hover),
            tooltip_histograms=False,
        )
        made.widget.axes_color = list(AXES)
        made.widget.show(buttons=BUTTONS)
        return made

    def _selected(self, change: dict[str, Any]) -> None:
        numbers = sorted(map(int, change["new"]))
        if numbers != self.chosen:
            self.chosen = numbers
            self.choose(numbers)
