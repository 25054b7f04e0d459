"""What a model says of a long recording over time, as a picture."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sercore import files
from sercore.figures import drawing, picture
from sercore.schema import DIMENSIONS, PROBABILITY, first, probability_columns

MOST = 6  # recordings in one figure
SIZE = (11.0, 3.6)  # of a recording's panel [inches]
COLOURS = {
    "angry": "#D55E00", "happy": "#E69F00", "neutral": "#999999", "sad": "#0072B2",
    "arousal": "#D55E00", "valence": "#009E73", "dominance": "#0072B2",
}  # fmt: skip  # Okabe and Ito's palette; other classes take what follows
OTHERS = ("#CC79A7", "#56B4E9", "#F0E442", "#009E73", "#000000", "#7F3C8D", "#80BA5A")
MARKERS = "osD^vPX*<>h"  # beside the colours


def plot_over_time(predictions: pd.DataFrame) -> Figure:
    """Probability of each class, or rating of each dimension, over the seconds of each recording, a panel each.

    `predictions` is a table of prediction.Predictor with windows: a point stands in the middle of its window. Rows with
    an error are left out. Raises ValueError where no row is left, and for more than 6 recordings.
    """
    rows = predictions[predictions["error"].isna()]
    files = list(rows["file"].unique())
    if not files or len(files) > MOST:
        raise ValueError(f"predictions of {len(files)} recordings to draw; expected 1 to {MOST}")
    with drawing(1, len(files), SIZE, simulated=False) as (figure, axes):
        for axis, file in zip(axes[:, 0], files, strict=True):
            _draw(axis, rows[rows["file"] == file])
            axis.set_title(_shown(file), loc="left")
        axes[-1, 0].set_xlabel("seconds")
        axes[0, 0].legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
        figure.supxlabel(f"trained on {first(rows['trained_on'].unique())}", x=0.99, ha="right", fontsize=12)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write `figure` to `path` as .png, .pdf or .svg, by its suffix."""
    files.write_bytes(path, picture(figure, path.suffix[1:]))


def _draw(axis: Axes, rows: pd.DataFrame) -> None:
    middle = (rows["start"] + rows["end"]) / 2
    classes = probability_columns(rows)
    names = classes or [name for name in DIMENSIONS if name in rows]
    rest = iter(OTHERS)
    for column, marker in zip(names, MARKERS, strict=False):
        name = column.removeprefix(PROBABILITY)
        colour = COLOURS.get(name) or next(rest)
        axis.plot(middle, rows[column], color=colour, marker=marker, markersize=5, linewidth=1.8, label=name)
    axis.set_xlim(rows["start"].min(), rows["end"].max())
    if classes:
        axis.set_ylim(0, 1)
        axis.set_ylabel("probability")
    else:
        axis.set_ylabel(f"rating, {rows['scale'].iloc[0]}")


def _shown(file: str) -> str:
    """The name of `file`, without its folders."""
    return file.replace("\\", "/").rpartition("/")[2]
