"""The residual browser: errors against truth as a picture and a grid of buttons, down to the utterances of a bin.

In order: `Residuals`, which counts and lists what a choice selects; bins in words; the `ResidualBrowser`.
"""

import io
import math
from collections.abc import Collection
from pathlib import Path

import ipywidgets
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sercore.analysis import residuals
from sercore.analysis.markup import markup
from sercore.analysis.nothing import NothingToShow, or_nothing
from sercore.analysis.results import seed_name
from sercore.registry import MODELS
from sercore.schema import DIMENSIONS
from sercore.widgets.appearance import model_colour, model_name, share_colours, table
from sercore.widgets.grid import Cell, Grid, Place
from sercore.widgets.selection import Choice, Controls, Selection, bin_of, describe_choice
from sercore.widgets.sound import AudioSource, FrameSource, no_frames
from sercore.widgets.utterances import SECONDS, SPEAKER, TRANSCRIPT, UTTERANCE, Column, Details, UtteranceList

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
        free = choice.but(fold=None, speaker=None, gender=None, style=None)
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


FIELDS = ("train_corpus", "target", "model", "other", "seed", "fold", "speaker", "gender", "style")
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
WIDTH, LEFT, HEIGHT = 92, 110, 36  # of a cell and of the grid's first column, and of a cell [pixels]
GAP = 2  # between cells [pixels]
POINTS = 1500  # drawn of a model
DPI = 100


@or_nothing
def browse(
    predictions: pd.DataFrame,
    utterances: pd.DataFrame,
    best: pd.DataFrame,
    audio: AudioSource,
    marked: Path,
    frames: FrameSource = no_frames,
) -> ipywidgets.VBox:
    """The residual browser as a widget.

    Args:
        predictions: of section 'multitask' or 'dimensions'.
        utterances: a table of sound.gather.
        best: the best seeds, a table of results.best_on_validation.
        audio: finds the sound of an utterance.
        marked: the folder that marked utterances are exported to.
        frames: finds the log-mel frames of an utterance, as sound.CachedFrames does.
    """
    listed = UtteranceList(utterances, audio, marked, "residuals", frames)
    return ResidualBrowser(Residuals(predictions, best), listed)


class ResidualBrowser(ipywidgets.VBox):
    """Drop-down lists, residuals against truth with their line, a button for each bin, and a bin's utterances."""

    def __init__(self, state: Residuals, listed: UtteranceList) -> None:
        self.state, self.list = state, listed
        self.controls = Controls(state.selection, FIELDS, self._changed)
        self.about, self.picture = (
            ipywidgets.HTML(),
            ipywidgets.Image(format="png", layout={"width": "max-content", "align_self": "flex-start"}),
        )
        self.grid = Grid("bins of error and truth", "error ↓\ntruth →", lambda _: self.list_chosen(), low=True)
        self._edges: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
        super().__init__([self.controls, self.about, self.picture, self.grid, self.list])
        self._draw()

    def list_chosen(self) -> None:
        """List the utterances of the bins that are chosen."""
        bins, choice = self.grid.places(), self.controls.choice
        if not bins:
            self.list.show_nothing()
            return
        rows = self.state.bins(choice, choice.model, bins)
        seed = self.state.selection.seed(choice, choice.model)
        name = f"{MODELS.label(choice.model)} ({seed_name(seed)}), {choice.target}, {describe_choice(choice)}"
        one = len(bins) == 1
        words = describe_bin(*bins[0], len(rows)) if one else f"{len(bins)} bins: {len(rows):,} utterances"
        self.list.show(rows, f"{name}: {words}", COLUMNS, self._details)

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
        self.picture.value = self._plot()
        line = self.state.line(choice, choice.model)
        slope = "" if line is None or line.slope != line.slope else f", slope {line.slope:+.2f}".replace("-", "−")
        total = int(counts.to_numpy().sum())
        name = model_name(choice.model, self.state.selection.seed(choice, choice.model))
        about = f"{choice.target}, {describe_choice(choice)}: {total:,} utterances{slope}"
        self.about.value = markup('<span class="sercore-title">{}</span> {}', name, about)

    def _name_bins(self, edges: tuple[tuple[float, ...], tuple[float, ...]]) -> None:
        """Give the grid its bins, below the picture; only where they have changed, so that what is chosen stays."""
        if edges != self._edges:
            self._edges = edges
            bands = {residual: describe_band(residual) for residual in edges[1][:-1][::-1]}
            self.grid.name(bands, {truth: f"{truth:g} to {truth + STEP:g}" for truth in edges[0][:-1]})

    def _plot(self) -> bytes:
        """Residuals against truth with the bins' borders, and the lines of the model and of the one beside it.

        Points beyond the outermost border are drawn on it.
        """
        choice, (across, up) = self.controls.choice, self._edges
        width = LEFT + (len(across) - 1) * (WIDTH + GAP)
        height = max(260, (len(up) - 1) * HEIGHT) + 60
        figure = Figure(figsize=((width + 20) / DPI, height / DPI), dpi=DPI)
        left, share = LEFT / (width + 20), (width - LEFT) / (width + 20)
        axis = figure.add_axes((left, 50 / height, share, (height - 60) / height))
        axis.hlines(up, across[0], across[-1], color="#dddddd", linewidth=0.8)
        axis.vlines(across, up[0], up[-1], color="#dddddd", linewidth=0.8)
        axis.axhline(0, color="black", linewidth=1)
        for model in filter(None, (choice.other, choice.model)):
            errors, line = self.state.errors(choice, model), self.state.line(choice, model)
            if line is None:
                continue
            drawn = errors.iloc[np.random.default_rng(0).permutation(len(errors))[:POINTS]]
            tone = model_colour(model)
            axis.scatter(
                drawn["truth"],
                drawn["residual"].clip(up[0], up[-1]),
                s=12,
                color=tone,
                alpha=0.45,
                linewidths=0,
                clip_on=False,
            )
            band = line.band
            label = f"{MODELS.label(model)}, slope {line.slope:+.2f}".replace("-", "−")
            axis.plot(band["truth"], band["residual"], color=tone, linewidth=2.5, label=label)
            axis.fill_between(band["truth"], band["lower"], band["upper"], color=tone, alpha=0.3)
        axis.set(
            xlim=(across[0], across[-1]),
            ylim=(up[0], up[-1]),
            xlabel=f"true {choice.target}",
            ylabel="prediction − truth",
        )
        axis.spines[["top", "right"]].set_visible(False)
        if axis.get_legend_handles_labels()[1]:
            axis.legend(frameon=True)
        content = io.BytesIO()
        figure.savefig(content, format="png")
        return content.getvalue()

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
