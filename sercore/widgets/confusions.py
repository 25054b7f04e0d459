"""The confusion browser: a grid of buttons for each model, down to the utterances of a cell and their sound.

In order: `Confusions`, which counts and lists what a choice selects; cells and changes in words; the `Confusion` of
one model and the `ConfusionBrowser` around it.
"""

from collections.abc import Callable, Collection, Sequence
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
from sercore.study.config import Study
from sercore.widgets import links
from sercore.widgets.appearance import change_colours, model_name, share_colours, table
from sercore.widgets.grid import Cell, Grid, Place
from sercore.widgets.selection import Choice, Controls, Selection, describe_choice, with_length
from sercore.widgets.sound import AudioSource, FrameSource, no_frames
from sercore.widgets.utterances import (
    SECONDS,
    SPEAKER,
    TRANSCRIPT,
    UTTERANCE,
    Column,
    Details,
    UtteranceList,
)
from sercore.widgets.what_if import WhatIf

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

    def cells(self, choice: Choice, model: str, cells: Collection[Place]) -> pd.DataFrame:
        """The predictions in `cells`, pairs of truth and prediction, the most confident first.

        `confidence` is the probability of the prediction, `true` that of the truth, `same` the number of models that
        predict the same.
        """
        rows = self.selection.predictions(choice, model)
        truth, prediction = (rows[name].cat.codes.to_numpy() for name in ("truth", "prediction"))
        wanted = np.zeros((len(self.labels),) * 2, dtype=bool)
        for cell in cells:
            wanted[self.labels.index(cell[0]), self.labels.index(cell[1])] = True
        inside = wanted[truth, prediction]
        likely = rows.loc[inside, [PROBABILITY + label for label in self.labels]].to_numpy()
        confidence, true = (
            np.take_along_axis(likely, codes[inside, None], axis=1)[:, 0] for codes in (prediction, truth)
        )
        same = self.selection.agreeing(choice, rows[inside])
        rows = rows[inside].assign(confidence=confidence, true=true, same=same)
        return rows.sort_values("confidence", ascending=False, kind="stable", ignore_index=True)

    def moved(self, choice: Choice, cells: Collection[Place]) -> pd.DataFrame:
        """The utterances that only one of the two models puts into `cells`, with its `confidence`.

        `moved` is "comes" where `choice.other` puts them there, "goes" where `choice.model` does.
        """
        one, other = (self.cells(choice, model, cells) for model in choice.both())
        keys = ["fold", "utterance"]
        here, there = (pd.MultiIndex.from_frame(rows[keys].astype("str")) for rows in (one, other))
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


def describe_score(counts: pd.DataFrame) -> str:
    """The mean recall of the classes in words; empty where one of them has no utterances."""
    uar, metric = float(np.diag(shares(counts)).mean()), METRICS["uar"]
    return "" if uar != uar else f"{metric.label} {metric.scale * uar:.{metric.digits}f} {metric.unit}"


def errors(labels: Sequence[str]) -> list[Place]:
    """The cells beside the diagonal."""
    return [(truth, predicted) for truth in labels for predicted in labels if truth != predicted]


def describe_cell(truth: str, prediction: str, count: int, share: float) -> str:
    """A cell in words."""
    of = "" if share != share else f", {PERCENT * share:.0f} % of {truth}"
    return f"{describe_cells([(truth, prediction)], ())}: {count:,} utterance{'s' * (count != 1)}{of}"


def describe_cells(cells: Sequence[Place], labels: Sequence[str]) -> str:
    """Which of the cells of `labels` these are, in words."""
    truths, predictions = (list(dict.fromkeys(names)) for names in zip(*cells, strict=True))
    if len(cells) > 1 and set(cells) == set(errors(labels)):
        return "all errors"
    if len(cells) > 1 and len(truths) == 1 and predictions == list(labels):
        return f"truth {truths[0]}"
    if len(cells) > 1 and len(predictions) == 1 and truths == list(labels):
        return f"predicted as {predictions[0]}"
    return "truth " + " or ".join(f"{truth} predicted as {prediction}" for truth, prediction in cells)


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


FIELDS = (
    "train_corpus",
    "test_corpus",
    "model",
    "other",
    "seed",
    "fold",
    "speaker",
    "gender",
    "style",
    "words",
    "length",
)
SHOWN = (
    "matrix",
    "cells",
    *links.OF_TABLE,
    "utterance",
)  # of the state of the browser, beside the study and the FIELDS
NAMES = ("study", *FIELDS, *SHOWN)
OTHER_WORDS = "The models were given the transcript of an utterance of the opposite valence, not the one that is shown."
MOVED = Column(name="moved", choices=True)
SEVERAL = (  # with more than one cell
    Column(name="truth", choices=True),
    Column(name="prediction", title="predicted", choices=True),
)
COLUMNS = (
    Column(name="confidence", title="conf.", digits=3),
    Column(name="same", title="agree", digits=0),
    TRANSCRIPT,
    UTTERANCE,
    SPEAKER,
    SECONDS,
    Column(name="true", title="p(truth)", digits=3),
)


@or_nothing
def browse(
    predictions: pd.DataFrame,
    utterances: pd.DataFrame,
    best: pd.DataFrame,
    audio: AudioSource,
    marked: Path,
    frames: FrameSource = no_frames,
    study: Study | None = None,
    state: str = "",
    link: links.Link | None = None,
) -> ipywidgets.VBox:
    """The confusion browser as a widget.

    Args:
        predictions: of section 'categories'; those of words.label_predictions can be filtered by what the words tell.
        utterances: a table of sound.gather.
        best: the best seeds, a table of results.best_on_validation.
        audio: finds the sound of an utterance.
        marked: the folder that marked utterances are exported to.
        frames: finds the log-mel frames of an utterance, as sound.CachedFrames does.
        study: whose finished runs are asked what they answer to other words; None: they are not.
        state: what is shown first, as the line "to show this again" has it, or the address of the page in Voila.
        link: of the page that the browser is a part of; None: it has its own.
    """
    listed = UtteranceList(utterances, audio, marked, "confusions", frames)
    browser = ConfusionBrowser(Confusions(with_length(predictions, utterances), best), listed, study, link)
    if state:
        browser.restore(state)
    return browser


class Confusion(ipywidgets.VBox):
    """The grid of one model, or of the difference of two, under its title."""

    def __init__(self, labels: list[str], choose: Callable[["Confusion"], None]) -> None:
        self.title = ipywidgets.HTML()
        self.title.add_class("sercore-title")
        self.grid = Grid("confusion matrix", "truth ↓\npredicted →", lambda _: choose(self))
        names = {label: label for label in labels}
        sets = {"all errors": errors(labels), "all that is right": [(label, label) for label in labels]}
        self.grid.name(names, names, sets)
        super().__init__([self.title, self.grid])

    def draw_counts(self, counts: pd.DataFrame) -> None:
        """Show the number of utterances and the share of its row in every cell."""
        of_row = shares(counts)

        def cell(truth: str, predicted: str) -> Cell:
            count, share = int(counts.loc[truth, predicted]), float(of_row.loc[truth, predicted])
            text = f"{count:,}\n" + ("–" if share != share else f"{PERCENT * share:.0f} %")
            return Cell(text=text, words=describe_cell(truth, predicted, count, share), colours=share_colours(share))

        self.grid.draw(cell)

    def draw_changes(self, changes: pd.DataFrame) -> None:
        """Show the change of the row's share in every cell, in points."""
        reach = changes.abs().max().max()

        def cell(truth: str, predicted: str) -> Cell:
            change = float(changes.loc[truth, predicted])
            words = describe_change(truth, predicted, change)
            return Cell(text=points(change), words=words, colours=change_colours(change, reach))

        self.grid.draw(cell)


class ConfusionBrowser(ipywidgets.VBox):
    """Drop-down lists, the grids of one or two models and of their difference, and the utterances of a cell."""

    def __init__(
        self,
        state: Confusions,
        listed: UtteranceList,
        study: Study | None = None,
        link: links.Link | None = None,
    ) -> None:
        self.state, self.list = state, listed
        self.study = study.name if study else ""
        self.controls = Controls(state.selection, FIELDS, self._changed)
        self.one, self.two, self.difference = (Confusion(state.labels, self.list_chosen) for _ in range(3))
        self.matrices = {"one": self.one, "two": self.two, "difference": self.difference}
        self.about, self.problem = ipywidgets.HTML(), ipywidgets.HTML()
        self.confusions = ipywidgets.HBox([self.one])
        self.confusions.add_class("sercore-grids")
        self._open, self._restoring = self.one, False
        self.link = link or links.Link("browser.restore(…)", NAMES, self.restore)
        own = () if link else (self.link,)
        self.what_if = WhatIf(study, listed) if study else None
        listed.opening = self._opened
        listed.table.observe(lambda _: self.tell(), ["search", "filters", "order"])
        super().__init__([self.controls, self.problem, self.about, self.confusions, self.list, *own])
        self._draw()
        self.tell()

    def restore(self, text: str) -> None:
        """Show what the link `text` says; what is not here any more is named, and the rest is shown."""
        given = links.read(text)
        choice, lost = self.state.selection.restored(given)
        if self.study and given.get("study", self.study) != self.study:
            lost.insert(0, f"study {given['study']} (this is {self.study})")
        matrix = given.get("matrix", "one")
        if matrix not in self.matrices or (matrix != "one" and choice.other is None):
            lost.append(f"matrix {matrix}")
            matrix = "one"
        places = links.read_places(given.get("cells", ""))
        cells = [place for place in places if set(place) <= set(self.state.labels)]
        lost += [f"cell {truth}:{prediction}" for truth, prediction in places if (truth, prediction) not in cells]
        self._restoring = True
        try:
            self._open.grid.chosen = []
            self._open = self.matrices[matrix]
            self.controls.choose(choice)
            self._open.grid.choose(cells)
            links.restore_table(self.list.table, given)
            if "utterance" in given:
                numbers = np.flatnonzero(self.list.rows["utterance"].astype("str") == given["utterance"])
                if len(numbers):
                    self.list.open_row(int(numbers[0]))
                else:
                    lost.append(f"utterance {given['utterance']}")
        finally:
            self._restoring = False
        self.problem.value = links.problems(lost)
        self.tell()

    def list_chosen(self, chosen: Confusion) -> None:
        """List the utterances of the cells that are chosen in `chosen`, and choose none in the others."""
        cells, choice = chosen.grid.places(), self.controls.choice
        if not cells:
            if chosen is self._open:
                self.list.show_nothing()
                self.tell()
            return
        self._open = chosen
        for other in (self.one, self.two, self.difference):
            if other is not chosen:
                other.grid.chosen = []
        words = f"{describe_cells(cells, self.state.labels)}, {describe_choice(choice)}"
        columns = (*SEVERAL * (len(cells) > 1), *COLUMNS)
        if chosen is self.difference:
            names = " and ".join(map(self._name, choice.both()))
            rows, columns = self.state.moved(choice, cells), (MOVED, *columns)
            seen = f"{names} differ: {words}: {len(rows):,} utterances"
        else:
            model = choice.both()[1] if chosen is self.two else choice.model
            rows = self.state.cells(choice, model, cells)
            seen = f"{self._name(model)}: {words}: {len(rows):,} utterance{'s' * (len(rows) != 1)}"
        self.list.show(rows, seen, columns, self._details)
        self.tell()

    def tell(self) -> None:
        """Have the link say what is shown."""
        if self._restoring:
            return
        fields = {name: getattr(self.controls.choice, name) for name in self.controls.lists}
        cells, opened = self._open.grid.places(), self.list.opened
        matrix = next(name for name, one in self.matrices.items() if one is self._open)
        self.link.query = links.write(
            {
                "study": self.study,
                **fields,
                "matrix": matrix if cells and matrix != "one" else "",
                "cells": links.write_places(cells),
                **links.of_table(self.list.table),
                "utterance": "" if opened is None else opened["utterance"],
            }
        )

    def _opened(self, row: pd.Series | None) -> None:
        """Ask what would be with other words, of the utterance that is open, or of none."""
        if self.what_if is not None:
            self.what_if.offer(self.state.selection, self.controls.choice, row)
        self.tell()

    def _changed(self) -> None:
        self._draw()
        cells = self._open.grid.places()
        if self._open is not self.one and self.controls.choice.other is None:
            self.one.grid.choose(cells)
        elif cells:
            self.list_chosen(self._open)
        self.tell()

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
        shown = (self.one,) if choice.other is None else (self.one, self.two, self.difference)
        if self.confusions.children != shown:
            self.confusions.children = shown
        total = int(counts.to_numpy().sum())
        self.about.value = markup(
            "<p>{}: {:,} utterances. A cell lists its utterances; with ctrl, several.{}</p>",
            describe_choice(choice),
            total,
            f" {OTHER_WORDS}" if choice.words == wording.MISLEAD else "",
        )

    def _title(self, shown: Confusion, model: str, counts: pd.DataFrame) -> None:
        score = describe_score(counts)
        name = model_name(model, self.state.selection.seed(self.controls.choice, model))
        shown.title.value = name + (f", {score}" if score else "")

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
