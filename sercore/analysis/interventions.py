"""What each stage of a finished model takes from the text: the predictions where a stage is told something else.

They are what training.stages.evaluate returns of a run, and inference.predictor.Predictor.intervene of recordings: of
one model, with the columns stage (0: none is told something else, 7: all are), told, explained and opening. Where their
truth is known they are scored; elsewhere it is measured how far they move from those with own text.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sercore.analysis import results
from sercore.analysis.figures import drawing
from sercore.analysis.lettering import legend_label
from sercore.analysis.nothing import NothingToShow, or_nothing
from sercore.analysis.results import PERCENT
from sercore.registry import METRICS, MODELS
from sercore.schema import EMOTION, probability_columns

MOVED = "moved"  # the measure where there is no truth
MAIN = ("uar", "ccc", MOVED)
NAMES = {0: "none", 7: "all"}  # of what is no stage
KEYS = ["stage", "told"]
COLUMNS = [*KEYS, "target", "measure", "value", "explained", "opening"]
LOOKS = (("o", "#0072B2"), ("X", "#D55E00"), ("v", "#56B4E9"), ("^", "#009E73"), ("D", "#E69F00"))
"""Marker and colour of what is told, in the order of the table: Okabe and Ito's palette."""
TITLE = 16  # points, of what stands above the legend
OFFSET = 0.13  # between the marks of a stage


def effects(predictions: pd.DataFrame) -> pd.DataFrame:
    """What each intervention does.

    Returns:
        One row a stage, what it is told, target and measure: COLUMNS. With a truth the measures are those of the
        registry, in the printed unit, folds pooled. Without one it is "moved", the mean over utterances, of ratings
        the root of the mean square, of how far the prediction is from the one with own text: of emotions the
        probability that went to other classes [%], of a dimension in the scale's unit. explained is the share of the
        stage's output that the text explains, opening how far its gate is open, both 0 to 1 and the mean over folds,
        NaN where there is none. Empty for a model that no text conditions.
    """
    if predictions.empty:
        return pd.DataFrame(columns=COLUMNS)
    rows: list[dict[str, Any]] = []
    own = {
        target: part.set_index("utterance") for target, part in predictions[predictions["stage"] == 0].groupby("target")
    }
    for (stage, told, target), group in predictions.groupby([*KEYS, "target"], sort=False):
        if "truth" in group:
            measures = [name for name, metric in METRICS.items() if metric.categorical == (target == EMOTION)]
            labels = results.classes(predictions)
            values = {name: results.score(group, name, labels) for name in measures}
        else:
            values = {MOVED: _moved(group.set_index("utterance"), own[target], target)}
        about = {name: group.groupby("fold")[name].first().mean() for name in ("explained", "opening")}
        rows += [
            {"stage": stage, "told": told, "target": target, "measure": name, "value": value, **about}
            for name, value in values.items()
        ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _moved(group: pd.DataFrame, own: pd.DataFrame, target: str) -> float:
    """How far the predictions of `group` are from `own`, see `effects`; both by utterance."""
    if target == EMOTION:
        shares = probability_columns(group)
        return float(PERCENT * (group[shares] - own[shares].loc[group.index]).abs().sum(axis=1).mean() / 2)
    differences = (group["prediction"] - own["prediction"].loc[group.index]).astype("float64")
    return float(np.sqrt((differences**2).mean()))


def table(found: pd.DataFrame) -> pd.DataFrame:
    """What `effects` returns, to be read: a row each intervention, a column each target and measure.

    Beside them, in %, how much of the stage's output the text explains, and how far its gate is open where it has one.
    """
    if found.empty:
        return found
    labels = {name: metric.label for name, metric in METRICS.items()}
    named = found.assign(stage=found["stage"].map(_name), measure=found["measure"].map(labels).fillna(found["measure"]))
    order = pd.MultiIndex.from_frame(named[KEYS].drop_duplicates())
    columns = pd.MultiIndex.from_frame(named[["target", "measure"]].drop_duplicates())
    wide = named.pivot(index=KEYS, columns=["target", "measure"], values="value").reindex(order)[columns]
    beside = named.drop_duplicates(KEYS).set_index(KEYS)
    for column, name in (("explained", "explained (%)"), ("opening", "gate open (%)")):
        if beside[column].notna().any():
            wide["text", name] = PERCENT * beside[column]
    return wide


def _name(stage: int) -> str:
    return NAMES.get(stage, str(stage))


@or_nothing
def plot(found: pd.DataFrame, title: str, simulated: bool, measures: Collection[str] = MAIN) -> Figure:
    """What `effects` returns: a panel each target and one of `measures`, a mark each intervention, by the stage.

    The line is the model as it is. The last panel has how much of each stage's output the text explains, and how far
    its gate is open where it has one.
    """
    shown = found[found["measure"].isin(measures)]
    if shown.empty:
        raise NothingToShow("no stage was asked what it takes from the text, or none has any")
    panels = list(shown.groupby(["target", "measure"], sort=False))
    columns = min(2, len(panels) + 1)
    stages = [stage for stage in shown["stage"].unique() if stage]
    looks = dict(zip(shown.loc[shown["stage"] > 0, "told"].unique(), LOOKS, strict=True))
    below = -(-(len(panels) + 1) // columns)
    with drawing(columns, below, (7.6, 4.2 if below > 1 else 5.4), simulated) as (figure, axes):
        for axis, ((target, measure), rows) in zip(axes.flat, panels, strict=False):
            _plot_panel(axis, rows, stages, looks)
            axis.set(
                title=target, ylabel=_label(str(target), str(measure)), ylim=(0, None) if measure == MOVED else None
            )
        _plot_explained(axes.flat[len(panels)], shown.drop_duplicates("stage"), stages)
        for axis in axes.flat[: len(panels) + 1]:
            axis.set_xticks(range(len(stages)), [_name(stage) for stage in stages])
            axis.set_xlim(-0.6, len(stages) - 0.4)
            axis.set_xlabel("stage that is told something else")
            axis.grid(visible=False, axis="x")
        axes.flat[len(panels)].set_xlabel("stage")
        for axis in axes.flat[len(panels) + 1 :]:
            axis.set_axis_off()
        handles, names = axes.flat[0].get_legend_handles_labels()
        figure.legend(
            handles, names, loc="outside upper center", ncols=3, frameon=False, title=title, title_fontsize=TITLE
        )
    return figure


def _plot_panel(axis: Axes, rows: pd.DataFrame, stages: list[int], looks: Mapping[str, tuple[str, str]]) -> None:
    """The marks of one target and measure."""
    axis.axhline(rows.loc[rows["stage"] == 0, "value"].item(), color="black", linewidth=1.5, label="own text")
    for place, (told, (marker, colour)) in enumerate(looks.items()):
        values = rows[rows["told"] == told].set_index("stage")["value"].reindex(stages)
        x = np.arange(len(stages)) + OFFSET * (place - (len(looks) - 1) / 2)
        axis.plot(x, values, marker, color=colour, markersize=10, label=legend_label(told))


def _plot_explained(axis: Axes, rows: pd.DataFrame, stages: list[int]) -> None:
    """The bars, and the gates' openings."""
    each = rows.set_index("stage").reindex(stages)
    axis.bar(range(len(stages)), PERCENT * each["explained"], color=MODELS["mfcnn14"].colour, label="explained")
    axis.set(title="explained by the text", ylabel="variance (%)")
    if each["opening"].notna().any():
        axis.plot(range(len(stages)), PERCENT * each["opening"], "P", color="black", markersize=11, label="gate open")
        axis.set_ylabel("%")
        axis.legend(frameon=False)


def _label(target: str, measure: str) -> str:
    """Of the axis of a panel."""
    if measure != MOVED:
        return METRICS[measure].axis
    return "probability moved (%)" if target == EMOTION else "ratings moved (RMS)"
