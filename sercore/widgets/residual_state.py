"""Residuals without their drawing: bins of truth and error, the line, the utterances of a bin, every model's answer."""

import math

import numpy as np
import pandas as pd

from sercore import residuals
from sercore.schema import DIMENSIONS, MODELS
from sercore.widgets.selection import Choice, Selection, place_of

STEP = 1.0  # width of the bins of the truth and of the error, in units of the scale
BANDS = (-3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5)  # borders of the errors' bins; the outermost reach on without end


class Residuals:
    """The errors of a section's predictions of dimensions, in-domain; every method is a function of a Choice."""

    def __init__(self, predictions: pd.DataFrame, best: pd.DataFrame) -> None:
        """Raises ValueError where no prediction is of a dimension in-domain, and as Selection does."""
        inside = predictions["train_corpus"].astype("str") == predictions["test_corpus"].astype("str")
        if not (inside & predictions["target"].isin(DIMENSIONS)).any():
            raise ValueError("no predictions of dimensions within a corpus; take section 'multitask' or 'dimensions'")
        within = predictions[inside & (predictions["partition"] == "test")]
        self.selection = Selection(residuals.residual_table(within).drop(columns="residual"), best)
        rows = self.selection.rows
        self.selection.rows = rows.assign(residual=rows["prediction"] - rows["truth"])

    def errors(self, choice: Choice, model: str) -> pd.DataFrame:
        """The predictions that the choice selects, with `residual` = prediction - truth and its `size`."""
        rows = self.selection.predictions(choice, model)
        return rows.assign(size=rows["residual"].abs())

    def edges(self, choice: Choice) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Borders of the bins of truth and of error (BANDS); the same for every model and filter."""
        free = choice.but(fold=None, speaker=None, gender=None, style=None)
        truth = self.selection.predictions(free, choice.model)["truth"]
        low, high = math.floor(truth.min()), max(math.ceil(truth.max()), math.floor(truth.min()) + 1)
        return tuple(map(float, np.arange(low, high + STEP, STEP))), BANDS

    def counts(self, choice: Choice, model: str) -> pd.DataFrame:
        """Utterances in each bin: bins of the error from high to low, by bins of the truth; named by lower ends."""
        across, up = self.edges(choice)
        rows = self.errors(choice, model)
        columns, bands = place_of(rows["truth"].to_numpy(), across), _band(rows["residual"].to_numpy())
        size = (len(up) - 1, len(across) - 1)
        counted = np.bincount(bands * size[1] + columns, minlength=size[0] * size[1]).reshape(size)
        table = pd.DataFrame(counted, index=pd.Index(up[:-1], name="residual"), columns=pd.Index(across[:-1]))
        return table.iloc[::-1]

    def bin(self, choice: Choice, model: str, truth: float, residual: float) -> pd.DataFrame:
        """The errors in the bin whose lower ends are `truth` and `residual`, the largest first."""
        across, up = self.edges(choice)
        rows = self.errors(choice, model)
        inside = place_of(rows["truth"].to_numpy(), across) == across.index(truth)
        inside &= _band(rows["residual"].to_numpy()) == up.index(residual)
        return rows[inside].sort_values("size", ascending=False, kind="stable", ignore_index=True)

    def line(self, choice: Choice, model: str) -> residuals.Line | None:
        """The least-squares line of the errors on the truth; None where nothing is selected."""
        rows = self.errors(choice, model)
        return residuals.fit_line(rows["truth"], rows["residual"]) if len(rows) else None

    def answers(self, choice: Choice, row: pd.Series) -> pd.DataFrame:
        """What every model says of the utterance in `row`: one row a model, one column a dimension."""
        targets = self.selection.options(choice)["target"]
        rows = self.selection.of_utterance(choice, row["utterance"], row["fold"], targets)
        table = rows.astype({"model": "str", "target": "str"}).pivot(
            index="model", columns="target", values="prediction"
        )
        return table.loc[[model for model in MODELS if model in table.index]]


def said(truth: float, residual: float, count: int) -> str:
    """A bin in words."""
    return (
        f"truth {truth:g} to {truth + STEP:g}, error {said_of_band(residual)}: {count:,} utterance{'s' * (count != 1)}"
    )


def said_of_band(low: float) -> str:
    """The ends of the band of errors whose lower end is `low`."""
    if low == BANDS[0]:
        text = f"{low + STEP:+g} and below"
    elif low == BANDS[-2]:
        text = f"{low:+g} and above"
    else:
        text = f"{low:+g} to {low + STEP:+g}"
    return text.replace("-", "−")


def _band(residual: np.ndarray) -> np.ndarray:
    """The number of the band of each error; the outermost ones reach on without end."""
    return place_of(np.clip(residual, BANDS[0], BANDS[-1]), BANDS)
