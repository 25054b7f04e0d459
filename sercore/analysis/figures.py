"""The paper's figures and the ones beside them, one function a figure; each returns its Figure, ready to be shown.

In this order: how a figure is drawn and saved, confusions (figure 2), residuals (figure 3), scores, learning curves,
and the predictions of a long recording over time. Colours, dashes and labels of models are those of registry.MODELS,
every seed is shown, and simulated speech is marked on the picture itself. Text is readable at half size.
"""

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from sercore import files, metrics, registry
from sercore.analysis import lettering, published, residuals
from sercore.analysis.nothing import Nothing, NothingToShow, or_nothing
from sercore.analysis.results import PERCENT, Results, classes, of_best
from sercore.corpora import sound
from sercore.corpora.transcripts import Condition
from sercore.schema import DIMENSIONS, EMOTION, PROBABILITY, first, probability_columns
from sercore.study.config import Study

CONFUSED = ("bert", "cnn14", "sfcnn14", "mfcnn14")  # the panels of figure 2
ROOMY = 6  # classes whose cells fit into a panel of the usual size
POINTS = 300  # of each model behind a line of figure 3
PANEL_KEYS = ["train_corpus", "test_corpus", "target", "metric"]  # what one panel of scores shows
PAD = 0.12  # around each panel [inches]: at a few dots an inch letters are wider than where the layout is computed
JITTER = 0.16  # half the width over which the seeds of a model are spread
MOST_PANELS = 4  # of learning curves, side by side
HISTORY_COLUMNS = (  # of a run's history; the other columns of a table of histories say which run it is
    "fold",
    "epoch",
    "loss",
    "development",
    "learning_rate",
    "seconds",
    "utterances_per_second",
    "best",
)
SIMULATED = "simulated speech"  # how it is marked on a picture
MARK: dict[str, Any] = {"color": "#B3001B", "fontsize": 14, "weight": "bold"}
MOST_RECORDINGS = 6  # over time, below each other
RECORDING_SIZE = (11.0, 3.6)  # of the panel of a recording over time [inches]
SEGMENTED_SIZE = (11.0, 2.6)  # of each of its two, of a recording in segments
SHADE = "#eef2f6"  # of segments
TARGET_COLOURS = {
    "angry": "#D55E00",
    "happy": "#E69F00",
    "neutral": "#999999",
    "sad": "#0072B2",
    "arousal": "#D55E00",
    "valence": "#009E73",
    "dominance": "#0072B2",
}  # Okabe and Ito's palette; other classes take what follows
OTHER_COLOURS = ("#CC79A7", "#56B4E9", "#F0E442", "#009E73", "#000000", "#7F3C8D", "#80BA5A")
MARKERS = "osD^vPX*<>h"  # beside the colours
STYLE = {
    "font.size": 15,
    "axes.titlesize": 16,
    "axes.labelsize": 15,
    "xtick.labelsize": 14,
    "ytick.labelsize": 14,
    "legend.fontsize": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "axes.axisbelow": True,
    "pdf.fonttype": 42,
    "svg.hashsalt": "sercore",
}


@contextmanager
def drawing(columns: int, rows: int, size: tuple[float, float], simulated: bool) -> Iterator[tuple[Figure, np.ndarray]]:
    """A figure of `rows` x `columns` panels of `size` [inches] each, in the house's style; closed when it is drawn."""
    with plt.style.context(STYLE), lettering.plain_text():
        layout = ConstrainedLayoutEngine(w_pad=PAD, h_pad=PAD)
        figure, axes = plt.subplots(
            rows, columns, figsize=(columns * size[0], rows * size[1]), squeeze=False, layout=layout
        )
        for axis in axes.flat:  # else the number of ticks would depend on the style in which the figure is shown
            axis.tick_params(labelsize=STYLE["xtick.labelsize"])
        try:
            yield figure, axes
            if simulated:
                figure.supxlabel(SIMULATED, x=0.99, ha="right", **MARK)
            figure.draw_without_rendering()
            lettering.report_missing(figure)
            figure.set_layout_engine("none")  # the layout is computed once; every later drawing is quicker
        finally:
            plt.close(figure)


def save(figure: Figure | Nothing, study: Study, name: str) -> list[Path]:
    """Write `figure` into the study's folder as .png and .pdf; returns the paths, none where there is no figure."""
    if isinstance(figure, Nothing):
        return []
    paths = [study.folder / "figures" / f"{name}.{suffix}" for suffix in ("png", "pdf")]
    for path in paths:
        files.write_bytes(path, picture(figure, path.suffix[1:]))
    return paths


def picture(figure: Figure, kind: str = "png", dpi: int = 120) -> bytes:
    """The content of a file of `kind` (png, pdf, svg) that shows `figure`."""
    content = io.BytesIO()
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind)
    with plt.style.context(STYLE), lettering.plain_text():
        figure.savefig(content, format=kind, dpi=dpi, metadata=undated)
    return content.getvalue()


@or_nothing
def plot_confusions(
    results: Results, corpora: tuple[str, str] | None = None, models: Sequence[str] = CONFUSED
) -> Figure:
    """Figure 2: confusion matrices of the model of each architecture that is best on validation.

    Share of the row in colour and %, number of utterances below; `corpora`: trained on, tested on (None: `home`, both).
    Folds are pooled.
    """
    corpora = corpora or (home(results), home(results))
    tables = _confusions(results, corpora, models)
    rows = math.isqrt(len(tables))
    columns = -(-len(tables) // rows)
    side = _side(tables)
    with drawing(columns, rows, (5.6 * side, 5.2 * side), results.simulated) as (figure, axes):
        figure.suptitle(_heading(columns, _pair(corpora), "best on validation"))
        for axis, (model, counts) in zip(axes.flat, tables.items(), strict=False):
            shares = PERCENT * counts.div(counts.sum(axis=1), axis=0)
            text = shares.map("{:.0f} %".format) + counts.map("\n{}".format)
            sns.heatmap(
                shares,
                annot=text,
                fmt="",
                vmin=0,
                vmax=PERCENT,
                cmap="Blues",
                cbar=False,
                ax=axis,
                square=True,
                linewidths=1,
            )
            axis.set_title(f"{registry.MODELS.label(model)}, UAR {np.diag(shares).mean():.1f} %")
            _label_confusions(axis)
        for axis in axes.flat[len(tables) :]:
            axis.set_axis_off()
    return figure


@or_nothing
def plot_confusion_differences(
    results: Results,
    corpora: tuple[str, str] | None = None,
    models: Sequence[str] = ("sfcnn14", "mfcnn14"),
    reference: str = "cnn14",
) -> Figure:
    """How the rows of figure 2 change from `reference` to each of `models`, in points of the row's share."""
    corpora = corpora or (home(results), home(results))
    tables = _confusions(results, corpora, (reference, *models))
    models = [model for model in models if model in tables]
    if reference not in tables or not models:
        there = ", ".join(map(registry.MODELS.label, in_order(results.predictions["model"])))
        raise NothingToShow(f"no model beside {registry.MODELS.label(reference)} to compare, of {there}")
    shares = {model: PERCENT * counts.div(counts.sum(axis=1), axis=0) for model, counts in tables.items()}
    changes = {model: shares[model] - shares[reference] for model in models}
    reach = max(change.abs().max(axis=None) for change in changes.values()) or 1.0
    side = _side(tables)
    with drawing(len(models), 1, (6 * side, 5.6 * side), results.simulated) as (figure, axes):
        figure.suptitle(_heading(len(models), _pair(corpora), "change of the row in points"))
        for axis, (model, change) in zip(axes.flat, changes.items(), strict=True):
            sns.heatmap(
                change,
                annot=change.map(_points),
                fmt="",
                vmin=-reach,
                vmax=reach,
                cmap="PuOr_r",
                cbar=False,
                ax=axis,
                square=True,
                linewidths=1,
            )
            axis.set_title(f"{registry.MODELS.label(model)} − {registry.MODELS.label(reference)}")
            _label_confusions(axis)
    return figure


@or_nothing
def plot_residuals(results: Results, corpus: str | None = None, seed: int = 0) -> Figure:
    """Figure 3: `plot_residual_lines` of the model of each architecture that is best on validation.

    `corpus`: trained and tested on; None: `home`.
    """
    corpus = corpus or home(results)
    table = results.predictions
    table = of_best(table[(table["partition"] == "test") & (table["test_corpus"] == corpus)], results.best)
    errors = residuals.residual_table(table[table["train_corpus"].astype(object) == table["test_corpus"]])
    return plot_residual_lines(errors, f"{_pair((corpus, corpus))}, best on validation", results.simulated, seed)


def plot_residual_lines(errors: pd.DataFrame, title: str, simulated: bool, seed: int = 0) -> Figure:
    """Least-squares lines of prediction - truth on truth, one a model, in a panel a dimension.

    `errors`: a table of residuals.residual_table, one run a model. The band is the line's own, at .95; behind it POINTS
    utterances of each model, drawn by `seed`. The legend gives the slope: 0 is no regression towards the mean, -1 is
    a model that always says the same.
    """
    generator = np.random.default_rng(seed)
    with drawing(len(DIMENSIONS), 1, (5.4, 6.4), simulated) as (figure, axes):
        figure.suptitle(title)
        reach = errors["residual"].abs().quantile(0.99)  # the most extreme points would flatten the lines
        for axis, target in zip(axes.flat, DIMENSIONS, strict=True):
            of_target = errors[errors["target"] == target]
            axis.axhline(0, color="black", linewidth=1)
            models = in_order(of_target["model"])
            size, alpha = (5, 0.25) if len(models) > 1 else (14, 0.5)  # points of one model may be seen
            for model in models:
                of_model = of_target[of_target["model"] == model]
                shown = of_model.iloc[generator.permutation(len(of_model))[:POINTS]]
                spec, line = registry.MODELS.find(model), residuals.fit_line(of_model["truth"], of_model["residual"])
                axis.scatter(shown["truth"], shown["residual"], s=size, color=spec.colour, alpha=alpha, linewidths=0)
                style = {"color": spec.colour, "label": f"{spec.label} {line.slope:+.2f}".replace("-", "−")}
                axis.plot(line.band["truth"], line.band["residual"], spec.dash, linewidth=2.5, **style)
                reach = max(reach, line.band["residual"].abs().max())
                band = line.band["truth"], line.band["lower"], line.band["upper"]
                axis.fill_between(*band, color=spec.colour, alpha=0.3)
            axis.set(title=target, xlabel="truth")
            axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, title="slope", frameon=False)
        plt.setp(axes, ylim=(-1.05 * reach, 1.05 * reach))
        axes.flat[0].set_ylabel("prediction − truth")
    return figure


@or_nothing
def plot_scores(results: Results) -> Figure:
    """Every seed's score of every model on each test set and target, the mean as a line, the paper's mean beside it."""
    drawn = [name for name, metric in registry.METRICS.items() if metric.drawn]
    scored = results.scores[(results.scores["partition"] == "test") & results.scores["metric"].isin(drawn)]
    scored = scored[(scored["train_corpus"] != scored["test_corpus"]) | (scored["pooling"] != "folds")]
    pairs = sorted(
        scored[["train_corpus", "test_corpus"]].drop_duplicates().itertuples(index=False, name=None),
        key=lambda pair: (registry.CORPORA.position(pair[0]), pair[0] != pair[1]),
    )
    targets = [target for target in (EMOTION, *DIMENSIONS) if (scored["target"] == target).any()]
    parts = dict(list(scored.groupby(PANEL_KEYS, observed=True, sort=False)))
    panels = [
        key for pair in pairs for metric in drawn for target in targets if (key := (*pair, target, metric)) in parts
    ]
    columns = len(targets) if len(targets) > 1 else min(2, len(panels))
    with drawing(columns, -(-len(panels) // columns), (5.2, 4.4), results.simulated) as (figure, axes):
        for axis, key in zip(axes.flat, panels, strict=False):
            _plot_seeds(axis, parts[key], *key)
        for axis in axes.flat[len(panels) :]:
            axis.set_axis_off()
        grey = partial(Line2D, [], [], color="#444444", markersize=9)
        handles = [
            grey(marker="o", linestyle="", label="a seed"),
            grey(linewidth=3, label="mean"),
            grey(marker="D", linestyle="", fillstyle="none", label="the paper's mean"),
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False)
    return figure


def plot_learning_curves(history: pd.DataFrame, simulated: bool = False) -> Figure:
    """Loss in training and score on the development set by epoch, of `results.read_history`.

    Thin: each seed, the mean of its folds; thick: the mean of the seeds while all are training; band: one sd (ddof 0)
    around it; circle: the epoch whose weights a fold kept, on its seed's line. Runs that differ in anything but model,
    seed and fold, such as corpus, target or transcripts, have panels of their own. Raises ValueError where an epoch of
    a run is there twice.
    """
    panels = _panels(history)
    rows = -(-len(panels) // MOST_PANELS)  # of pairs of panels: loss above, score below
    columns = -(-len(panels) // rows)
    labels = {"loss": "training loss", "development": "development score"}
    models = in_order(history["model"])
    with drawing(columns, 2 * rows, (5.2, 3.8), simulated) as (figure, axes):
        for place, (title, panel) in enumerate(panels):
            row, column = divmod(place, columns)
            for axis, (value, label) in zip(axes[2 * row : 2 * row + 2, column], labels.items(), strict=True):
                for model in in_order(panel["model"]):
                    _plot_curves(axis, panel[panel["model"] == model], model, value)
                axis.set(xlabel="epoch", title=title, ylabel="" if column else label)
                axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        for axis in axes[-2:, len(panels) - columns * (rows - 1) :].flat:
            axis.set_axis_off()
        handles = [
            Line2D([], [], color=registry.MODELS.find(model).colour, linewidth=3, label=registry.MODELS.label(model))
            for model in models
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 2 * columns), frameon=False)
    return figure


def _panels(history: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Title and rows of every combination of the columns that distinguish runs of one model, except by their seeds.

    A column that says no more than the others do is left out, such as a setting that each model has its own value of.
    """
    keys = [column for column in history if column not in ("run", "model", "seed", *HISTORY_COLUMNS)]
    values = history[keys].map(lambda value: value if isinstance(value, str) else "" if _none(value) else f"{value}")
    values = pd.concat([history["model"].astype(str), values], axis=1)
    named = {
        part.partition("=")[0] for name in history.get("run", pd.Series(dtype=str)).unique() for part in name.split(",")
    }
    for key in sorted(set(keys) - {"corpus", "target"}, key=lambda key: (key in named, keys.index(key))):
        fewer = [other for other in keys if other != key]
        if len(values[["model", *fewer]].drop_duplicates()) == len(values[["model", *keys]].drop_duplicates()):
            keys = fewer
    if not keys:
        return [("", history)]
    groups = history.groupby([values[key] for key in keys], sort=False)
    return [(_title(group.iloc[0][keys]), group) for _, group in groups]


def _title(values: pd.Series) -> str:
    """The corpus, target, transcripts and other parameters of the runs in one panel; missing ones are left out."""
    given = {str(key): value for key, value in values.items() if not _none(value)}
    short = {key: key.rpartition(".")[2] for key in given}  # of text.transcripts
    condition = {short[key]: given.pop(key) for key in list(given) if short[key] in Condition._fields}
    title = [registry.CORPORA.label(given.pop("corpus"))] if "corpus" in given else []
    title += [given.pop("target")] if "target" in given else []
    title += [Condition(**condition).label] if condition else []
    return ", ".join([*title, *(f"{short[key]} {value}" for key, value in given.items())])


def _none(value: object) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def in_order(models: pd.Series) -> list[str]:
    """The distinct values of `models`, in the order of rows and legends."""
    return sorted(models.unique(), key=lambda model: (registry.MODELS.position(model), model))


def _plot_curves(axis: Axes, history: pd.DataFrame, model: str, value: str) -> None:
    """The curves of one model in one panel."""
    colour = registry.MODELS.find(model).colour
    folds = history.pivot(index="epoch", columns=["seed", "fold"], values=value)
    seeds = folds.T.groupby(level="seed").mean().T
    axis.plot(seeds, color=colour, linewidth=1, alpha=0.5)
    whole = seeds.dropna().mean(axis=1)
    axis.plot(whole, color=colour, linewidth=3)
    spread = seeds.dropna().std(axis=1, ddof=0)
    axis.fill_between(whole.index, whole - spread, whole + spread, color=colour, alpha=0.15, linewidth=0)
    if value == "development":
        kept = history[history["best"]].groupby(["seed", "fold"])["epoch"].max()  # the last epoch that was best so far
        for (seed, _), epoch in kept.items():
            axis.plot(epoch, seeds.loc[epoch, seed], "o", color=colour, fillstyle="none", markersize=8)


def _plot_seeds(axis: Axes, scored: pd.DataFrame, train: str, test: str, target: str, metric: str) -> None:
    """One panel of `plot_scores`."""
    paper = published.results().query("table != 4 and section == @scored.section.iloc[0] and target == @target")
    paper = paper[(paper["train_corpus"] == train) & (paper["test_corpus"] == test) & (paper["metric"] == metric)]
    means = paper.set_index("model")["mean"]
    present = in_order(scored["model"])
    for place, model in enumerate(present):
        values = scored.loc[scored["model"] == model].sort_values("seed")["score"].to_numpy()
        spread = place + (np.linspace(-JITTER, JITTER, len(values)) if len(values) > 1 else np.zeros(1))
        colour = registry.MODELS.find(model).colour
        axis.plot(spread, values, "o", color=colour, markersize=9, alpha=0.85)
        axis.hlines(values.mean(), place - 0.32, place + 0.32, color=colour, linewidth=3)
        if model in means.index:
            axis.plot(place + 0.34, means[model], "D", color="#444444", fillstyle="none", markersize=8)
    axis.set_xticks(range(len(present)), [registry.MODELS.label(model) for model in present], rotation=30, ha="right")
    pair = _pair((train, test))
    title = pair if target == EMOTION else f"{target}\n{pair}"
    axis.set(title=title, ylabel=registry.METRICS.find(metric).axis, xlim=(-0.6, len(present) - 0.4))
    axis.grid(visible=False, axis="x")


def home(results: Results) -> str:
    """The corpus whose figures are drawn where none is named: the paper's first, else the study's, that was trained on.

    Of several the one that the registry has first, else the first in the study's order.
    """
    trained_on = set(results.predictions["train_corpus"].unique())
    order = [*registry.CORPORA, *results.study.corpora]
    return min(trained_on, key=lambda name: order.index(name) if name in order else len(order))


def _side(tables: Mapping[str, pd.DataFrame]) -> float:
    """How much larger than for the paper's four classes a panel must be, for the numbers of each cell to fit."""
    return max(1.0, len(next(iter(tables.values()))) / ROOMY)


def _confusions(results: Results, corpora: tuple[str, str], models: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Counts of each of `models` that there is; the model of each architecture that is best on validation."""
    table = results.predictions
    table = table[(table["partition"] == "test") & (table["test_corpus"] == corpora[1])]
    table = of_best(table[table["train_corpus"] == corpora[0]], results.best)
    labels = classes(table)
    rows = {model: table[table["model"] == model] for model in models}
    found = {
        model: metrics.confusion(of_model["truth"], of_model["prediction"], labels).rename(
            index=lettering.short, columns=lettering.short
        )
        for model, of_model in rows.items()
        if len(of_model)
    }
    if not found:
        raise NothingToShow(f"no predictions of {_pair(corpora)} by {first(map(registry.MODELS.label, models))}")
    return found


def _label_confusions(axis: Axes) -> None:
    axis.set(xlabel="predicted", ylabel="truth")
    axis.tick_params(axis="y", rotation=0, length=0)
    axis.tick_params(axis="x", length=0)
    axis.grid(visible=False)


def _points(change: float) -> str:
    return f"{change:+.0f}".replace("-", "−") if abs(change) >= 0.5 else "0"


def _heading(columns: int, pair: str, what: str) -> str:
    """The title above `columns` panels, on two lines where it is wider than one panel."""
    return (", " if columns > 1 else ",\n").join([pair, what])


def _pair(corpora: tuple[str, str]) -> str:
    return " → ".join(registry.CORPORA.label(name) for name in corpora)


def plot_over_time(predictions: pd.DataFrame) -> Figure:
    """Probability of each class, or rating of each dimension, over the seconds of each recording, a panel each.

    `predictions` is what inference.predictor.Predictor returns with windows: a point stands in the middle of its
    window. Rows with an error are left out, and a model of simulated speech is marked as one. Raises ValueError where
    no row is left, and for more than MOST_RECORDINGS.
    """
    rows, recordings = _recordings(predictions)
    with drawing(1, len(recordings), RECORDING_SIZE, simulated=False) as (figure, axes):
        for axis, file in zip(axes[:, 0], recordings, strict=True):
            part = rows[rows["file"] == file]
            middle = (part["start"] + part["end"]) / 2
            _plot_recording(axis, part, middle)
            axis.set_xlim(part["start"].min(), part["end"].max())
            axis.set_title(_shown(file), loc="left")
        _finish_recordings(figure, axes[:, 0], rows)
    return figure


def plot_segments(predictions: pd.DataFrame) -> Figure:
    """The sound of each recording and, below it, the answer to each of its segments as long as the segment is.

    `predictions` is what inference.predictor.Predictor returns with segments, which are shaded in both panels; without
    the file, the upper one has nothing else. Otherwise as `plot_over_time`.
    """
    rows, recordings = _recordings(predictions)
    with drawing(1, 2 * len(recordings), SEGMENTED_SIZE, simulated=False) as (figure, axes):
        for (above, below), file in zip(axes.reshape(-1, 2), recordings, strict=True):
            part = rows[rows["file"] == file]
            ends = np.stack([part["start"], part["end"], np.full(len(part), np.nan)], axis=1).ravel()
            _plot_recording(below, part, ends)
            end = _plot_sound(above, file)
            for axis in (above, below):
                axis.set_xlim(0, max(end, part["end"].max()))
                for start, stop in zip(part["start"], part["end"], strict=True):
                    axis.axvspan(start, stop, color=SHADE, linewidth=0, zorder=0)
            above.set_title(_shown(file), loc="left")
        _finish_recordings(figure, axes[1::2, 0], rows)
    return figure


def _recordings(predictions: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The rows of `predictions` without an error, and their recordings; ValueError where these cannot be drawn."""
    rows = predictions[predictions["error"].isna()]
    recordings = list(rows["file"].unique())
    if not recordings or len(recordings) > MOST_RECORDINGS:
        raise ValueError(f"predictions of {len(recordings)} recordings to draw; expected 1 to {MOST_RECORDINGS}")
    return rows, recordings


def _finish_recordings(figure: Figure, axes: np.ndarray, rows: pd.DataFrame) -> None:
    """Name the axis of time, the lines, and what was trained on."""
    trained_on = first(rows["trained_on"].unique())
    mark = MARK if SIMULATED in trained_on else {"fontsize": 12}
    axes[-1].set_xlabel("seconds")
    axes[0].legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
    figure.supxlabel(f"trained on {trained_on}", x=0.99, ha="right", **mark)


def _plot_sound(axis: Axes, file: str) -> float:
    """The sound of `file` in a panel of its own, where it is there; the seconds of it."""
    axis.set_ylabel("sound")
    axis.set_yticks([])
    try:
        shape = sound.envelope(file)
    except sound.AudioError:
        return 0.0
    axis.fill_between(shape[:, 0], shape[:, 1], shape[:, 2], color="#333333", linewidth=0.3)
    return float(shape[-1, 0])


def save_as(figure: Figure, path: Path) -> None:
    """Write `figure` to `path` as .png, .pdf or .svg, by its suffix."""
    files.write_bytes(path, picture(figure, path.suffix[1:]))


def _plot_recording(axis: Axes, rows: pd.DataFrame, seconds: ArrayLike) -> None:
    """The answers in `rows` to one recording; each is drawn at as many of the `seconds`, in their order."""
    times = np.size(seconds) // len(rows)
    probabilities = probability_columns(rows)
    names = probabilities or [name for name in DIMENSIONS if name in rows]
    rest = cycle(OTHER_COLOURS)
    for column, marker in zip(names, cycle(MARKERS), strict=False):
        name = column.removeprefix(PROBABILITY)
        colour = TARGET_COLOURS.get(name) or next(rest)
        axis.plot(
            seconds,
            np.repeat(rows[column], times),
            color=colour,
            marker=marker,
            markersize=5,
            linewidth=1.8,
            label=lettering.legend_label(name),
        )
    if probabilities:
        axis.set_ylim(0, 1)
        axis.set_ylabel("probability")
    else:
        axis.set_ylabel(f"rating, {rows['scale'].iloc[0]}")


def _shown(file: str) -> str:
    """The name of `file`, without its folders."""
    return file.replace("\\", "/").rpartition("/")[2]
