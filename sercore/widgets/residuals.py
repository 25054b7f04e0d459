"""The residual browser: errors against truth as points and a grid of buttons, down to the utterances.

In order: `Residuals`, which counts and lists what a choice selects; bins in words; the `ResidualBrowser`.
"""

import math
from collections.abc import Collection, Sequence
from pathlib import Path

import ipywidgets
import jscatter
import numpy as np
import pandas as pd

from sercore.analysis import residuals
from sercore.analysis.markup import markup
from sercore.analysis.nothing import NothingToShow, or_nothing
from sercore.analysis.results import seed_name
from sercore.registry import MODELS
from sercore.schema import DIMENSIONS
from sercore.study.config import Study
from sercore.widgets import points
from sercore.widgets.appearance import model_colour, model_name, share_colours, table
from sercore.widgets.grid import Cell, Grid, Place
from sercore.widgets.points import Points
from sercore.widgets.selection import Choice, Controls, Selection, bin_of, describe_choice, with_length
from sercore.widgets.sound import AudioSource, FrameSource, no_frames
from sercore.widgets.utterances import SECONDS, SPEAKER, TRANSCRIPT, UTTERANCE, Column, Details, UtteranceList
from sercore.widgets.what_if import WhatIf

STEP = 1.0  # width of the bins of the truth and of the error, in units of the scale
BANDS = (-3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5)  # borders of the errors' bins; the outermost have no end


class Residuals:
    """The errors of a section's predictions of dimensions within a corpus; every method is a function of a Choice."""

    def __init__(self, predictions: pd.DataFrame, best: pd.DataFrame) -> None:
        """Raises NothingToShow where no prediction is of a dimension within a corpus, and as Selection does."""
        inside = predictions["train_corpus"].astype("str") == predictions["test_corpus"].astype("str")
        if not (inside & predictions["target"].isin(DIMENSIONS)).any():
            raise NothingToShow(
                "no predictions of dimensions within a corpus; take section 'multitask' or 'dimensions'"
            )
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
        free = choice.but(fold=None, speaker=None, gender=None, style=None, length=None)
        truth = self.selection.predictions(free, choice.model)["truth"]
        low, high = math.floor(truth.min()), max(math.ceil(truth.max()), math.floor(truth.min()) + 1)
        return tuple(map(float, np.arange(low, high + STEP, STEP))), BANDS

    def counts(self, choice: Choice, model: str) -> pd.DataFrame:
        """Utterances in each bin: bins of the error from high to low, by bins of the truth; named by lower ends."""
        across, up = self.edges(choice)
        rows = self.errors(choice, model)
        columns, bands = bin_of(rows["truth"].to_numpy(), across), _band(rows["residual"].to_numpy())
        size = (len(up) - 1, len(across) - 1)
        counted = np.bincount(bands * size[1] + columns, minlength=size[0] * size[1]).reshape(size)
        table = pd.DataFrame(counted, index=pd.Index(up[:-1], name="residual"), columns=pd.Index(across[:-1]))
        return table.iloc[::-1]

    def bins(self, choice: Choice, model: str, bins: Collection[Place]) -> pd.DataFrame:
        """The errors in `bins`, the largest first; a bin is the lower ends of its error and of its truth."""
        across, up = self.edges(choice)
        rows = self.errors(choice, model)
        columns, bands = bin_of(rows["truth"].to_numpy(), across), _band(rows["residual"].to_numpy())
        wanted = {(up.index(residual), across.index(truth)) for residual, truth in bins}
        inside = [place in wanted for place in zip(bands, columns, strict=True)]
        return rows[inside].sort_values("size", ascending=False, kind="stable", ignore_index=True)

    def line(self, choice: Choice, model: str) -> residuals.Line | None:
        """The least-squares line of the errors on the truth; None where nothing is selected."""
        rows = self.errors(choice, model)
        return residuals.fit_line(rows["truth"], rows["residual"]) if len(rows) else None

    def of_models(self, choice: Choice, row: pd.Series) -> pd.DataFrame:
        """Every model's predictions of the utterance in `row`: one row a model, one column a dimension."""
        targets = self.selection.options(choice)["target"]
        rows = self.selection.of_utterance(choice, row["utterance"], row["fold"], targets)
        table = rows.astype({"model": "str", "target": "str"}).pivot(
            index="model", columns="target", values="prediction"
        )
        return table.loc[sorted(table.index, key=lambda model: (MODELS.position(model), model))]


def describe_bin(residual: float, truth: float, count: int) -> str:
    """A bin in words."""
    utterances = f"{count:,} utterance{'s' * (count != 1)}"
    return f"truth {truth:g} to {truth + STEP:g}, error {describe_band(residual)}: {utterances}"


def describe_band(low: float) -> str:
    """The ends of the band of errors whose lower end is `low`."""
    if low == BANDS[0]:
        text = f"{low + STEP:+g} and below"
    elif low == BANDS[-2]:
        text = f"{low:+g} and above"
    else:
        text = f"{low:+g} to {low + STEP:+g}"
    return text.replace("-", "−")


def _band(residual: np.ndarray) -> np.ndarray:
    """The number of the band of each error; the outermost ones have no end."""
    return bin_of(np.clip(residual, BANDS[0], BANDS[-1]), BANDS)


FIELDS = ("train_corpus", "target", "model", "other", "seed", "fold", "speaker", "gender", "style", "length")
COLUMNS = (
    Column(name="residual", title="error", digits=2),
    Column(name="truth", digits=2),
    Column(name="prediction", title="predicted", digits=2),
    TRANSCRIPT,
    UTTERANCE,
    SPEAKER,
    SECONDS,
    Column(name="size", title="|error|", digits=2),
)
LINE, BAND = 3, 1  # widths of a least-squares line and of the ends of its confidence band [pixels]


@or_nothing
def browse(
    predictions: pd.DataFrame,
    utterances: pd.DataFrame,
    best: pd.DataFrame,
    audio: AudioSource,
    marked: Path,
    frames: FrameSource = no_frames,
    study: Study | None = None,
) -> ipywidgets.VBox:
    """The residual browser as a widget.

    Args:
        predictions: of section 'multitask' or 'dimensions'.
        utterances: a table of sound.gather.
        best: the best seeds, a table of results.best_on_validation.
        audio: finds the sound of an utterance.
        marked: the folder that marked utterances are exported to.
        frames: finds the log-mel frames of an utterance, as sound.CachedFrames does.
        study: whose finished runs are asked what they answer to other words; None: they are not.
    """
    listed = UtteranceList(utterances, audio, marked, "residuals", frames)
    return ResidualBrowser(Residuals(with_length(predictions, utterances), best), listed, study)


class ResidualBrowser(ipywidgets.VBox):
    """Drop-down lists, a point for each error with their line, a button for each bin, and the utterances."""

    def __init__(self, state: Residuals, listed: UtteranceList, study: Study | None = None) -> None:
        self.state, self.list = state, listed
        self.controls = Controls(state.selection, FIELDS, self._changed)
        self.about, self.rows, self._by_points = ipywidgets.HTML(), pd.DataFrame(), False
        self.points = Points(self.list_points)
        self.grid = Grid("bins of error and truth", "error ↓\ntruth →", lambda _: self.list_chosen(), low=True)
        self._edges: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
        self.what_if = WhatIf(study, listed) if study else None
        listed.opening = self._opened
        super().__init__([self.controls, self.about, self.points, self.grid, self.list])
        self._draw()

    def list_chosen(self) -> None:
        """List the utterances of the bins that are chosen, and mark their points."""
        bins, choice = self.grid.places(), self.controls.choice
        if not bins:
            if not self._by_points:
                self.points.select([])
                self.list.show_nothing()
            return
        rows = self.state.bins(choice, choice.model, bins)
        keys = ["fold", "utterance"]
        inside = pd.MultiIndex.from_frame(self.rows[keys]).isin(pd.MultiIndex.from_frame(rows[keys]))
        self.points.select(np.flatnonzero(inside).tolist())
        one = len(bins) == 1
        self._list(rows, describe_bin(*bins[0], len(rows)) if one else f"{len(bins)} bins: {len(rows):,} utterances")

    def list_points(self, numbers: Sequence[int]) -> None:
        """List the utterances of the points `numbers`, the largest errors first; a single one is opened."""
        self._by_points = True
        self.grid.choose([])
        self._by_points = False
        if not numbers:
            self.list.show_nothing()
            return
        rows = self.rows.iloc[list(numbers)].sort_values("size", ascending=False, kind="stable", ignore_index=True)
        one = len(numbers) == 1
        self._list(rows, "one point" if one else f"{len(numbers):,} points")
        if one:
            self.list.open_row(0)

    def _list(self, rows: pd.DataFrame, what: str) -> None:
        choice = self.controls.choice
        seed = self.state.selection.seed(choice, choice.model)
        name = f"{MODELS.label(choice.model)} ({seed_name(seed)}), {choice.target}, {describe_choice(choice)}"
        self.list.show(rows, f"{name}: {what}", COLUMNS, self._details)

    def _opened(self, row: pd.Series | None) -> None:
        """Offer other words for the utterance that is open."""
        if self.what_if is not None:
            self.what_if.offer(self.state.selection, self.controls.choice, row)

    def _changed(self) -> None:
        self._draw()
        self.list_chosen()

    def _draw(self) -> None:
        choice = self.controls.choice
        self._name_bins(self.state.edges(choice))
        counts = self.state.counts(choice, choice.model)
        most = max(1, int(counts.to_numpy().max()))

        def cell(residual: float, truth: float) -> Cell:
            count = int(counts.loc[residual, truth])
            words, colours = describe_bin(residual, truth, count), share_colours(count / most)
            return Cell(text=f"{count:,}" if count else "·", words=words, colours=colours)

        self.grid.draw(cell)
        self._plot()
        line = self.state.line(choice, choice.model)
        slope = "" if line is None or line.slope != line.slope else f", slope {line.slope:+.2f}".replace("-", "−")
        total = int(counts.to_numpy().sum())
        name = model_name(choice.model, self.state.selection.seed(choice, choice.model))
        about = f"{choice.target}, {describe_choice(choice)}: {total:,} utterances{slope}"
        self.about.value = markup('<span class="sercore-title">{}</span> {}', name, about)

    def _name_bins(self, edges: tuple[tuple[float, ...], tuple[float, ...]]) -> None:
        """Give the grid its bins, only where they have changed, so that what is chosen stays."""
        if edges != self._edges:
            self._edges = edges
            bands = {residual: describe_band(residual) for residual in edges[1][:-1][::-1]}
            self.grid.name(bands, {truth: f"{truth:g} to {truth + STEP:g}" for truth in edges[0][:-1]})

    def _plot(self) -> None:
        """A point for each error, and the lines of the model and of the one beside it."""
        choice = self.controls.choice
        self.rows = self.state.errors(choice, choice.model)
        lines: list[jscatter.Line | jscatter.HLine] = [jscatter.HLine(0, line_color=points.AXES)]
        for model in filter(None, (choice.other, choice.model)):
            line = self.state.line(choice, model)
            if line is None or line.slope != line.slope:
                continue
            for name, width in (("lower", BAND), ("upper", BAND), ("residual", LINE)):
                vertices = list(zip(line.band["truth"], line.band[name], strict=True))
                lines.append(jscatter.Line(vertices, model_colour(model), width))
        shown = points.in_words(self.rows).assign(error=self.rows["residual"].map("{:+.2f}".format))
        colours = points.plain(self.rows, model_colour(choice.model))
        axes = (f"true {choice.target}", "prediction − truth")
        self.points.draw(self.rows[["truth", "residual"]], shown, colours, axes, lines)

    def _details(self, row: pd.Series) -> Details:
        """Every model's prediction of each dimension below the raters' mean."""
        predictions = self.state.of_models(self.controls.choice, row)
        targets = [target for target in DIMENSIONS if target in predictions]
        facts = {"truth": row["truth"], "prediction": row["prediction"], "fold": row["fold"]}
        rows = [[("", "raters"), *(("truth", f"{row[target]:.2f}") for target in targets)]]
        for model, predicted in predictions.iterrows():
            rows.append([("", model_name(model)), *(("", f"{predicted[target]:.2f}") for target in targets)])
            facts |= {f"{model}_{target}": predicted[target] for target in targets}
        return Details(shown=table(["", *targets], rows), facts=facts)
