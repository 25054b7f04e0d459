"""The confusion browser: a grid of buttons for each model, down to the utterances of a cell and their sound.

In order: `Confusions`, which counts and lists what a choice selects; cells and changes in words; the `Grid` of buttons
and the `ConfusionBrowser` around it.
"""

from pathlib import Path

import ipywidgets
import numpy as np
import pandas as pd

from sercore.analysis.markup import markup
from sercore.analysis.nothing import NothingToShow, or_nothing
from sercore.analysis.results import classes, seed_name
from sercore.corpora import wording
from sercore.registry import METRICS, MODELS
from sercore.schema import EMOTION, PROBABILITY
from sercore.widgets.appearance import button, change_colours, colour, model_name, share_colours, table
from sercore.widgets.selection import Choice, Controls, Selection, describe_choice
from sercore.widgets.sound import AudioSource, FrameSource, no_frames
from sercore.widgets.utterances import (
    BY_SPEAKER,
    BY_UTTERANCE,
    SHORTEST,
    SPEAKER,
    Column,
    Details,
    Order,
    UtteranceList,
    text_or_blank,
)

PERCENT = 100


class Confusions:
    """The confusion matrices of a section's emotion predictions; every method is a function of a Choice."""

    def __init__(self, predictions: pd.DataFrame, best: pd.DataFrame) -> None:
        """Raises NothingToShow where no prediction is of emotions, and as Selection does."""
        emotions = predictions[predictions["target"] == EMOTION]
        if emotions.empty:
            raise NothingToShow("no predictions of emotions; the confusion browser needs those of section 'categories'")
        self.labels = classes(emotions)
        self.selection = Selection(emotions, best)
        kind = pd.CategoricalDtype(self.labels)
        rows = self.selection.rows
        self.selection.rows = rows.assign(**{name: rows[name].astype(kind) for name in ("truth", "prediction")})

    def counts(self, choice: Choice, model: str) -> pd.DataFrame:
        """How many utterances of each true class (rows) `model` predicts as each (columns); folds are pooled."""
        rows = self.selection.predictions(choice, model)
        size = len(self.labels)
        cells = rows["truth"].cat.codes.to_numpy().astype("int64") * size + rows["prediction"].cat.codes.to_numpy()
        counted = np.bincount(cells, minlength=size * size).reshape(size, size)
        return pd.DataFrame(counted, index=pd.Index(self.labels, name="truth"), columns=self.labels)

    def changes(self, choice: Choice) -> pd.DataFrame:
        """The row shares of `choice.other` minus those of `choice.model`, in points; NaN where a row is empty."""
        one, other = (shares(self.counts(choice, model)) for model in choice.both())
        return PERCENT * (other - one)

    def cell(self, choice: Choice, model: str, truth: str, prediction: str) -> pd.DataFrame:
        """The predictions of one cell, the most confident first; `confidence` is the probability of the prediction."""
        rows = self.selection.predictions(choice, model)
        rows = rows[(rows["truth"] == truth) & (rows["prediction"] == prediction)]
        rows = rows.assign(confidence=rows[PROBABILITY + prediction], true=rows[PROBABILITY + truth])
        return rows.sort_values("confidence", ascending=False, kind="stable", ignore_index=True)

    def moved(self, choice: Choice, truth: str, prediction: str) -> pd.DataFrame:
        """The utterances that only one of the two models puts into a cell, with its `confidence`.

        `moved` is "comes" where `choice.other` puts them there, "goes" where `choice.model` does.
        """
        one, other = (self.cell(choice, model, truth, prediction) for model in choice.both())
        keys = ["fold", "utterance"]
        here, there = (pd.MultiIndex.from_frame(cell[keys].astype("str")) for cell in (one, other))
        parts = [other[~there.isin(here)].assign(moved="comes"), one[~here.isin(there)].assign(moved="goes")]
        return pd.concat(parts).sort_values("confidence", ascending=False, kind="stable", ignore_index=True)

    def of_models(self, choice: Choice, row: pd.Series) -> pd.DataFrame:
        """Every model's probabilities of the utterance in `row`, one row a model: seed, prediction, the classes."""
        rows = self.selection.of_utterance(choice, row["utterance"], row["fold"]).set_index("model")
        rows = rows[["seed", "prediction", *(PROBABILITY + label for label in self.labels)]]
        return rows.rename(columns=lambda name: name.removeprefix(PROBABILITY))


def shares(counts: pd.DataFrame) -> pd.DataFrame:
    """Each row's shares (0 to 1); NaN where a row is empty."""
    return counts.div(counts.sum(axis=1).replace(0, np.nan), axis=0)


def describe_cell(truth: str, prediction: str, count: int, share: float) -> str:
    """A cell in words."""
    of = "" if share != share else f", {PERCENT * share:.0f} % of {truth}"
    return f"truth {truth} predicted as {prediction}: {count:,} utterance{'s' * (count != 1)}{of}"


def describe_change(truth: str, prediction: str, change: float) -> str:
    """A change of a cell in words."""
    if change != change:
        return f"truth {truth} predicted as {prediction}: no utterances"
    return f"truth {truth} predicted as {prediction}: {points(change)} points"


def points(change: float) -> str:
    """A change in points, with its sign; a dash where there is none."""
    if change != change:
        return "–"
    return f"{change:+.0f}".replace("-", "−") if abs(change) >= 0.5 else "0"


FIELDS = ("train_corpus", "test_corpus", "model", "other", "seed", "fold", "speaker", "gender", "style", "words")
OTHER_WORDS = "The models were given the transcript of an utterance of the opposite valence, not the one that is shown."
ORDERS = (
    Order(name="most confident", column="confidence", ascending=False),
    Order(name="least confident", column="confidence"),
    Order(name="truth least probable", column="true"),
    BY_UTTERANCE,
    BY_SPEAKER,
    SHORTEST,
)
MOVED = Column(name="moved", width=5)
COLUMNS = (
    Column(name="confidence", width=5, title="conf.", text="{:.3f}".format),
    Column(name="utterance", width=26),
    SPEAKER,
    Column(name="transcript", width=60, text=text_or_blank),
)


@or_nothing
def browse(
    predictions: pd.DataFrame,
    utterances: pd.DataFrame,
    best: pd.DataFrame,
    audio: AudioSource,
    marked: Path,
    frames: FrameSource = no_frames,
) -> ipywidgets.VBox:
    """The confusion browser as a widget.

    Args:
        predictions: of section 'categories'; those of words.label_predictions can be filtered by what the words tell.
        utterances: a table of sound.gather.
        best: the best seeds, a table of results.best_on_validation.
        audio: finds the sound of an utterance.
        marked: the folder that marked utterances are exported to.
        frames: finds the log-mel frames of an utterance, as sound.CachedFrames does.
    """
    listed = UtteranceList(utterances, audio, marked, "confusions", frames)
    return ConfusionBrowser(Confusions(predictions, best), listed)


class Grid(ipywidgets.VBox):
    """One button for each true class (rows) and predicted class (columns)."""

    def __init__(self, labels: list[str]) -> None:
        self.labels, self.title = labels, ipywidgets.HTML()
        self.title.add_class("sercore-title")
        self.cells = {(truth, predicted): button("cell") for truth in labels for predicted in labels}
        columns = [_label(label, "center") for label in labels]
        rows = [
            child
            for truth in labels
            for child in (_label(truth, "right"), *(self.cells[truth, predicted] for predicted in labels))
        ]
        corner = ipywidgets.HTML('<div class="sercore-corner">truth ↓<br>predicted →</div>')
        grid = ipywidgets.GridBox(
            [corner, *columns, *rows], layout={"grid_template_columns": f"80px repeat({len(labels)}, max-content)"}
        )
        super().__init__([self.title, grid])

    def draw_counts(self, counts: pd.DataFrame) -> None:
        """Show the number of utterances and the share of its row in every cell."""
        of_row = shares(counts)
        for (truth, predicted), cell in self.cells.items():
            count, share = int(counts.loc[truth, predicted]), float(of_row.loc[truth, predicted])
            with cell.hold_sync():
                cell.description = f"{count:,}\n" + ("–" if share != share else f"{PERCENT * share:.0f} %")
                cell.tooltip = describe_cell(truth, predicted, count, share)
            colour(cell, share_colours(share))

    def draw_changes(self, changes: pd.DataFrame) -> None:
        """Show the change of the row's share in every cell, in points."""
        reach = changes.abs().max().max()
        for (truth, predicted), cell in self.cells.items():
            change = float(changes.loc[truth, predicted])
            with cell.hold_sync():
                cell.description = points(change)
                cell.tooltip = describe_change(truth, predicted, change)
            colour(cell, change_colours(change, reach))


class ConfusionBrowser(ipywidgets.VBox):
    """Drop-down lists, the grids of one or two models and of their difference, and the utterances of a cell."""

    def __init__(self, state: Confusions, listed: UtteranceList) -> None:
        self.state, self.list = state, listed
        self.list.details = self._details
        self.controls = Controls(state.selection, FIELDS, self._changed)
        self.one, self.two, self.difference = (Grid(state.labels) for _ in range(3))
        self.about = ipywidgets.HTML()
        self.grids = ipywidgets.HBox([self.one])
        self.grids.add_class("sercore-grids")
        for grid in (self.one, self.two, self.difference):
            for (truth, predicted), cell in grid.cells.items():
                cell.on_click(
                    lambda _, grid=grid, truth=truth, predicted=predicted: self.open_cell(grid, truth, predicted)
                )
        self._chosen: ipywidgets.Button | None = None
        self._open: tuple[Grid, str, str] | None = None
        super().__init__([self.controls, self.about, self.grids, self.list])
        self._draw()

    def open_cell(self, grid: Grid, truth: str, predicted: str) -> None:
        """List the utterances of a cell of `grid`."""
        choice = self.controls.choice
        if self._chosen is not None:
            self._chosen.remove_class("sercore-chosen")
        self._chosen, self._open = grid.cells[truth, predicted], (grid, truth, predicted)
        self._chosen.add_class("sercore-chosen")
        words = f"truth {truth} predicted as {predicted}, {describe_choice(choice)}"
        if grid is self.difference:
            names = " and ".join(map(self._name, choice.both()))
            rows, columns = self.state.moved(choice, truth, predicted), (MOVED, *COLUMNS)
            seen = f"{names} differ: {words}: {len(rows):,} utterances"
        else:
            model = choice.both()[1] if grid is self.two else choice.model
            rows, columns = self.state.cell(choice, model, truth, predicted), COLUMNS
            seen = f"{self._name(model)}: {words}: {len(rows):,} utterance{'s' * (len(rows) != 1)}"
        self.list.show(rows, seen, columns, ORDERS)

    def _changed(self) -> None:
        self._draw()
        if self._open is None:
            return
        if self._open[0] is self.one or self.controls.choice.other is not None:
            self.open_cell(*self._open)
        else:
            self.open_cell(self.one, *self._open[1:])

    def _draw(self) -> None:
        choice = self.controls.choice
        counts = self.state.counts(choice, choice.model)
        self.one.draw_counts(counts)
        self._title(self.one, choice.model, counts)
        if choice.other is not None:
            others = self.state.counts(choice, choice.other)
            self.two.draw_counts(others)
            self._title(self.two, choice.other, others)
            self.difference.draw_changes(self.state.changes(choice))
            names = [MODELS.label(model) for model in (choice.other, choice.model)]
            self.difference.title.value = markup("{} − {}, points of the row", *names)
        grids = (self.one,) if choice.other is None else (self.one, self.two, self.difference)
        if self.grids.children != grids:
            self.grids.children = grids
        total = int(counts.to_numpy().sum())
        self.about.value = markup(
            "<p>{}: {:,} utterances. A cell lists its utterances.{}</p>",
            describe_choice(choice),
            total,
            f" {OTHER_WORDS}" if choice.words == wording.MISLEAD else "",
        )

    def _title(self, grid: Grid, model: str, counts: pd.DataFrame) -> None:
        of_row = shares(counts)
        recalls = [of_row.loc[label, label] for label in self.state.labels]
        uar = sum(recalls) / len(recalls)
        metric = METRICS["uar"]
        score = f", {metric.label} {metric.scale * uar:.{metric.digits}f} {metric.unit}" if uar == uar else ""
        grid.title.value = model_name(model, self.state.selection.seed(self.controls.choice, model)) + score

    def _name(self, model: str) -> str:
        return f"{MODELS.label(model)} ({seed_name(self.state.selection.seed(self.controls.choice, model))})"

    def _details(self, row: pd.Series) -> Details:
        """Every model's probabilities of `row`; the truth's column is shaded, a model's prediction is underlined."""
        predictions = self.state.of_models(self.controls.choice, row)
        facts = {"truth": row["truth"], "fold": row["fold"]}
        rows = []
        for model, prediction in predictions.iterrows():
            cells: list[tuple[str, str]] = [("", model_name(model, prediction["seed"]))]
            facts[model] = prediction["prediction"]
            for label in self.state.labels:
                kinds = ["truth"] * (label == row["truth"]) + ["predicted"] * (label == prediction["prediction"])
                cells.append((" ".join(kinds), f"{prediction[label]:.2f}"))
                facts[f"{model}_p_{label}"] = prediction[label]
            rows.append(cells)
        return Details(
            shown=markup("<p>truth: <b>{}</b></p>{}", row["truth"], table(["", *self.state.labels], rows)), facts=facts
        )


def _label(text: str, align: str) -> ipywidgets.HTML:
    padding, height = ("0 8px 0 0", 54) if align == "right" else ("0", 34)
    return ipywidgets.HTML(
        markup(
            '<div class="sercore-axis" style="text-align:{};padding:{};line-height:{}px">{}</div>',
            align,
            padding,
            height,
            text,
        )
    )
