"""Residuals without their drawing: bins of truth and error, the line, the utterances of a bin, every model's answer."""

import math

import numpy as np
import pandas as pd

from sercore import residuals
from sercore.schema import DIMENSIONS, MODELS
from sercore.widgets.selection import Choice, Selection, place_of

STEP = 1.0  # width of the bins of the truth and of the error, in units of the scale


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
        """Borders of the bins of truth and of error; the same for every model and filter, the latter around 0."""
        free = choice.but(fold=None, speaker=None, gender=None, style=None)
        tables = [self.selection.predictions(free, model) for model in self.selection.models(choice)]
        truth = np.concatenate([table["truth"].to_numpy() for table in tables])
        reach = max(float(table["residual"].abs().max()) for table in tables)
        low, high = math.floor(truth.min()), max(math.ceil(truth.max()), math.floor(truth.min()) + 1)
        bands = max(1, math.ceil(reach / STEP - 0.5)) + 0.5
        return tuple(np.arange(low, high + STEP, STEP)), tuple(np.arange(-bands * STEP, (bands + 1) * STEP, STEP))

    def counts(self, choice: Choice, model: str) -> pd.DataFrame:
        """Utterances in each bin: bins of the error from high to low, by bins of the truth; named by lower ends."""
        across, up = self.edges(choice)
        rows = self.errors(choice, model)
        columns, bands = (place_of(rows[name].to_numpy(), edges)
                          for name, edges in (("truth", across), ("residual", up)))  # fmt: skip
        size = (len(up) - 1, len(across) - 1)
        counted = np.bincount(bands * size[1] + columns, minlength=size[0] * size[1]).reshape(size)
        table = pd.DataFrame(counted, index=pd.Index(up[:-1], name="residual"), columns=pd.Index(across[:-1]))
        return table.iloc[::-1]

    def bin(self, choice: Choice, model: str, truth: float, residual: float) -> pd.DataFrame:
        """The errors in the bin whose lower ends are `truth` and `residual`, the largest first."""
        across, up = self.edges(choice)
        rows = self.errors(choice, model)
        inside = (place_of(rows["truth"].to_numpy(), across) == across.index(truth)) & (
            place_of(rows["residual"].to_numpy(), up) == up.index(residual)
        )
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
    ends = f"truth {truth:g} to {truth + STEP:g}, error {residual:+g} to {residual + STEP:+g}".replace("-", "−")
    return f"{ends}: {count:,} utterance{'s' * (count != 1)}"
