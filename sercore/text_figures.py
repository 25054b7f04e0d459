"""The figure of scores against how many of the words are wrong."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sercore import notes
from sercore.conditions import VOICE, Condition, Told
from sercore.figures import DASHES, METRIC_LABELS, drawing
from sercore.schema import MODEL_COLOURS, MODEL_LABELS, MODELS
from sercore.scores import PERCENT, classes
from sercore.settings import EMPTY

MARKERS = {"recognised": "*", "shuffled": "X", "empty": "s"}
MARKER_LABELS = {"recognised": "recognised", "shuffled": "another one's words", "empty": "no words"}
SIZES = {"recognised": 19, "shuffled": 12, "empty": 10}
SPREAD = 1.2  # [% of words], between the models' markers at one error rate


def plot_error_rates(told: Told) -> Figure:
    """Scores against the word error rate of what the models are told, a line a model, CNN14 level across.

    Left: trained and tested with the same transcripts; right, where it was run: trained with what was said, tested with
    others. Lines go through what was said and its corrupted forms; transcripts that were recognised, that are another
    utterance's, and empty ones are marks beside them. Small points are seeds, marks and lines their means; the fine
    dotted line is chance.
    """
    gold = Condition(told.reference).label
    scored = told.scores.assign(percent=PERCENT * told.scores["wer"])
    same = scored[scored["trained"] == scored["tested"]]
    others = scored[(scored["trained"] == gold) & scored["tested"].notna()]
    panels = {"trained and tested with the same": same}
    if (others["tested"] != gold).any():
        panels[f"trained with {gold}, tested with others"] = others
    kinds = {condition.label: _kind(condition, told) for condition in told.error_rates}
    voice = scored[scored["model"] == VOICE]["score"]
    with drawing(len(panels), 1, (7.4, 6.6), told.any.simulated) as (figure, axes):
        figure.suptitle(f"Scores by how many of the words are wrong, {notes.corpus(told.corpus)}")
        for axis, (title, rows) in zip(axes.flat, panels.items(), strict=True):
            _plot_voice(axis, voice)
            models = [model for model in MODELS if (rows["model"] == model).any()]
            for place, model in enumerate(models):
                offset = SPREAD * (place - (len(models) - 1) / 2)
                _plot_model(axis, rows[rows["model"] == model], model, kinds, offset)
            axis.set(title=title, xlabel="word error rate (%)")
            if told.metric == "uar":
                axis.axhline(PERCENT / len(classes(told.any.predictions)), color="black", linestyle=":", linewidth=1)
        axes.flat[0].set_ylabel(METRIC_LABELS[told.metric])
        _share_heights(axes)
        figure.legend(handles=_handles(told, scored, kinds), loc="outside lower center", ncols=4, frameon=False)
    return figure


def _kind(condition: Condition, told: Told) -> str:
    """How a condition is drawn: on the `line`, or as one of MARKERS."""
    if condition.transcripts == EMPTY:
        return "empty"
    if condition.shuffled:
        return "shuffled"
    return "line" if condition.transcripts == told.reference else "recognised"


def _plot_voice(axis: Axes, scores: pd.Series) -> None:
    """CNN14 across the panel: its mean, and the range of its seeds."""
    colour = MODEL_COLOURS[VOICE]
    if len(scores):
        axis.axhspan(scores.min(), scores.max(), color=colour, alpha=0.12, linewidth=0)
        axis.axhline(scores.mean(), color=colour, linestyle=DASHES[VOICE], linewidth=2.5)


def _plot_model(axis: Axes, rows: pd.DataFrame, model: str, kinds: dict[str, str], offset: float) -> None:
    colour, kind = MODEL_COLOURS[model], rows["tested"].map(kinds)
    means = rows.groupby("tested")[["percent", "score"]].mean()
    axis.plot(rows["percent"] + offset * (kind != "line"), rows["score"], "o", color=colour, markersize=5, alpha=0.45)
    on_line = means[means.index.map(kinds) == "line"].sort_values("percent")
    axis.plot(
        on_line["percent"], on_line["score"], DASHES[model], color=colour, linewidth=2.5, marker="o", markersize=8
    )
    for name, mark in MARKERS.items():
        of_kind = means[means.index.map(kinds) == name]
        axis.plot(of_kind["percent"] + offset, of_kind["score"], mark, color=colour, markersize=SIZES[name],
                  markeredgecolor="black", markeredgewidth=0.8)  # fmt: skip


def _share_heights(axes: np.ndarray) -> None:
    limits = [axis.get_ylim() for axis in axes.flat]
    for axis in axes.flat:
        axis.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def _handles(told: Told, scored: pd.DataFrame, kinds: dict[str, str]) -> list[Line2D]:
    """The legend: models, then the marks that are there."""
    models = [model for model in MODELS if (scored["model"] == model).any()]
    lines = [
        Line2D([], [], color=MODEL_COLOURS[model], linestyle=DASHES[model], linewidth=2.5, label=MODEL_LABELS[model])
        for model in models
    ]
    grey = {"color": "#888888", "markeredgecolor": "black", "linestyle": ""}
    there = set(kinds.values())
    marks = [
        Line2D([], [], marker=mark, markersize=min(13, SIZES[name]), label=MARKER_LABELS[name], **grey)
        for name, mark in MARKERS.items()
        if name in there
    ]
    line = Line2D([], [], color="#888888", marker="o", markersize=8, label=f"{told.reference}, words made wrong")
    return [*lines, line, *marks]
