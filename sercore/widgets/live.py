"""What changes while a notebook runs: a count while a cache fills, a learning curve while a model trains.

Each is one output that is updated, so that the executed copy holds its last state alone.
"""

import io
import time
from collections.abc import Mapping
from typing import Any, Self

import pandas as pd
from IPython.display import DisplayHandle, Image, Pretty, display
from matplotlib.figure import Figure

from sercore.analysis import lettering

SECONDS_BETWEEN_COUNTS = 1.0
SECONDS_BETWEEN_DRAWINGS = 10.0  # a drawing costs about a tenth of a second, an epoch of the embedded study one


class Count:
    """The progress of each stage of filling a cache; the cache calls it with (done, total, stage)."""

    def __init__(self) -> None:
        self._handles: dict[str, DisplayHandle] = {}
        self._shown: dict[str, float] = {}

    def __call__(self, done: int, total: int, stage: str) -> None:
        """Show `done` of `total`, at most once a second and when all is done."""
        if done < total and time.monotonic() - self._shown.get(stage, 0.0) < SECONDS_BETWEEN_COUNTS:
            return
        self._shown[stage] = time.monotonic()
        text = Pretty(f"{stage}: {done:,} of {total:,}")
        if stage in self._handles:
            self._handles[stage].update(text)
        else:
            self._handles[stage] = display(text, display_id=True)


class LearningCurve:
    """Loss in training and score on the development set over the epochs, one line a fold.

    A context manager: `update` adds an epoch and redraws where the last drawing is old enough; leaving draws the
    last state.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.rows: list[Mapping[str, Any]] = []
        self._handle: DisplayHandle | None = None
        self._drawn = 0.0

    def __enter__(self) -> Self:
        """Start with nothing drawn."""
        return self

    def update(self, epoch: Mapping[str, Any]) -> None:
        """Add `epoch`: a row of the history, with `fold`, `epoch`, `loss` and `development`."""
        self.rows.append(epoch)
        if time.monotonic() - self._drawn > SECONDS_BETWEEN_DRAWINGS:
            self._draw()

    def __exit__(self, *raised: object) -> None:
        """Draw the last state, also after an error."""
        if self.rows:
            self._draw()

    def _draw(self) -> None:
        picture = io.BytesIO()
        with lettering.plain_text():
            figure = self.figure()
            figure.savefig(picture, format="png", dpi=100)
        lettering.report_missing(figure)
        image = Image(picture.getvalue())
        if self._handle is None:
            self._handle = display(image, display_id=True)
        else:
            self._handle.update(image)
        self._drawn = time.monotonic()

    def figure(self) -> Figure:
        """The curve so far."""
        figure = Figure(figsize=(8, 2.6), layout="constrained")
        loss, score = figure.subplots(1, 2, sharex=True)
        for fold, history in pd.DataFrame(self.rows).groupby("fold", sort=False):
            (line,) = loss.plot(history["epoch"], history["loss"], marker=".")
            style = {"color": line.get_color(), "label": lettering.legend_label(str(fold))}
            score.plot(history["epoch"], history["development"], marker=".", **style)
            if history["development"].isna().all():
                continue
            kept = history[history["best"]].iloc[-1]
            score.plot(
                kept["epoch"], kept["development"], marker="o", fillstyle="none", markersize=9, color=line.get_color()
            )
        loss.set(xlabel="epoch", ylabel="training loss", title=self.title)
        score.set(xlabel="epoch", ylabel="development score", title="circle: the epoch that is kept")
        if score.get_legend_handles_labels()[1]:
            score.legend(title="fold", fontsize="small")
        return figure
