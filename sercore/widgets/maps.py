"""The map: test utterances where a model's network puts them before its last layer, down to the sound.

In order: `Maps`, which finds embeddings and lists what a choice selects; colours; the `MapBrowser`.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import ipywidgets
import pandas as pd

from sercore import files
from sercore.analysis import embedded
from sercore.analysis.embedded import Embedded, NotComputedError
from sercore.analysis.markup import markup
from sercore.analysis.nothing import NothingToShow, or_nothing
from sercore.analysis.results import classes, seed_name
from sercore.registry import MODELS
from sercore.schema import EMOTION
from sercore.study.config import Run
from sercore.widgets import points
from sercore.widgets.appearance import button, model_name, set_shown, table
from sercore.widgets.points import Colours, Points
from sercore.widgets.selection import Choice, Controls, Selection, describe_choice
from sercore.widgets.sound import AudioSource, FrameSource, no_frames
from sercore.widgets.utterances import SECONDS, SPEAKER, TRANSCRIPT, UTTERANCE, Column, Details, UtteranceList

NEAREST = 10


class EmbeddingSource(Protocol):
    """Gives the embeddings of the network in a folder, as inference.embeddings.CachedEmbeddings does."""

    def __call__(
        self, folder: Path, compute: bool, progress: Callable[[int, int, str], None] | None = None
    ) -> Embedded:
        """The embeddings of the fold in `folder`; NotComputedError where they are neither there nor to be computed.

        Raises OSError and ValueError, with what to do, where they cannot be had.
        """


class Maps:
    """The test utterances of a section within a corpus, with embeddings; every method is a function of a Choice."""

    def __init__(
        self, predictions: pd.DataFrame, best: pd.DataFrame, runs: Iterable[Run], source: EmbeddingSource
    ) -> None:
        """Raises NothingToShow where no prediction is of the corpus that its model was trained on."""
        own = predictions[predictions["train_corpus"].astype("str") == predictions["test_corpus"].astype("str")]
        if own.empty:
            raise NothingToShow("no predictions within a corpus, which the map is of")
        self.selection, self.source, self.runs = Selection(own, best), source, tuple(runs)
        self.labels = classes(own) if (own["target"] == EMOTION).all() else []  # none: ratings
        self._held: tuple[Path, Embedded] | None = None

    def fold(self, choice: Choice) -> str:
        """The fold whose network the map is of: the choice's, or the first one."""
        return choice.fold or self.selection.options(choice)["fold"][1]

    def folder(self, choice: Choice) -> Path:
        """Where that network lies. Raises ValueError where no run of the study, or several, trained it."""
        seed = self.selection.seed(choice, choice.model)
        name = f"{MODELS.label(choice.model)}, {seed_name(seed)}"
        if choice.model in MODELS and not MODELS[choice.model].trained:
            raise ValueError(f"{name} has no network of its own: choose one of the models that it is made from")
        wanted = {"model": choice.model, "corpus": choice.train_corpus, "seed": seed, "target": choice.target}
        found = [
            run.folder
            for run in self.runs
            if all(run.parameters[key] == value for key, value in wanted.items() if key in run.parameters)
        ]
        if len(found) != 1:
            raise ValueError(f"{len(found)} runs of the study trained {name}; expected one")
        fold = self.fold(choice)
        return files.fold_folders(found[0], [fold, *self.selection.options(choice)["fold"][1:]])[fold]

    def embedded(
        self, choice: Choice, compute: bool = False, progress: Callable[[int, int, str], None] | None = None
    ) -> Embedded:
        """The embeddings of the choice's network. Raises as `folder` and the source of embeddings do."""
        folder = self.folder(choice)
        if self._held is None or self._held[0] != folder:
            self._held = (folder, self.source(folder, compute, progress))
        return self._held[1]

    def rows(self, choice: Choice, method: str) -> pd.DataFrame:
        """The predictions that the choice selects, with `across` and `up` on the plane, and `error`.

        The error of a rating is prediction - truth, that of a category whether it is wrong. Raises as `embedded`.
        """
        held = self.embedded(choice)
        plane = pd.DataFrame(held.plane(method), index=held.utterances, columns=["across", "up"])
        rows = self.selection.predictions(choice.but(fold=self.fold(choice)), choice.model)
        error = (
            (rows["prediction"].astype("str") != rows["truth"].astype("str")).map({False: "right", True: "wrong"})
            if self.labels
            else rows["prediction"].astype("float64") - rows["truth"].astype("float64")
        )
        rows = rows.assign(error=error).reset_index(drop=True)
        return rows.join(plane, on=rows["utterance"].astype("str").rename("name")).dropna(subset=["across", "up"])

    def nearest(self, choice: Choice, rows: pd.DataFrame, utterance: str, count: int = NEAREST) -> pd.DataFrame:
        """The `count` of `rows` that are nearest to `utterance` in the network's own dimensions, with their `cosine`.

        Raises KeyError for an utterance that is not among the network's.
        """
        held = self.embedded(choice)
        cosines = held.nearest(utterance, len(held.utterances))
        names = rows["utterance"].astype("str")
        found = rows.assign(cosine=names.map(cosines)).dropna(subset="cosine")
        return found.sort_values("cosine", ascending=False, kind="stable").head(count)


COLOURS = ("truth", "prediction", "error", "speaker")
OUTCOMES = {"right": "#0072B2", "wrong": "#D55E00"}


def colours(rows: pd.DataFrame, by: str, labels: Sequence[str]) -> Colours:
    """The colours of `rows` by one of COLOURS; `labels` are the classes of the predictions, none for ratings."""
    if by == "speaker":
        names = rows["speaker"].astype("str").where(rows["speaker"].notna(), "unknown")
        return points.named(names, sorted(names.unique()))
    if labels:
        return points.named(rows[by], list(OUTCOMES) if by == "error" else labels, OUTCOMES)
    if by == "error":
        reach = float(rows["error"].abs().max()) or 1.0
        return points.measured(rows["error"], -round(reach, 1), round(reach, 1), "coolwarm")
    both = rows[["truth", "prediction"]].astype("float64")
    return points.measured(rows[by], float(both.min().min()), float(both.max().max()), "viridis")


FIELDS = ("train_corpus", "target", "model", "seed", "fold", "speaker", "gender", "style")
COSINE = Column(name="cosine", digits=3)


@or_nothing
def browse(
    predictions: pd.DataFrame,
    utterances: pd.DataFrame,
    best: pd.DataFrame,
    audio: AudioSource,
    marked: Path,
    runs: Iterable[Run],
    source: EmbeddingSource,
    frames: FrameSource = no_frames,
) -> ipywidgets.VBox:
    """The map as a widget.

    Args:
        predictions: of a section.
        utterances: a table of sound.gather.
        best: the best seeds, a table of results.best_on_validation.
        audio: finds the sound of an utterance.
        marked: the folder that marked utterances are exported to.
        runs: those of the section.
        source: gives the embeddings of a network.
        frames: finds the log-mel frames of an utterance, as sound.CachedFrames does.
    """
    listed = UtteranceList(utterances, audio, marked, "map", frames)
    return MapBrowser(Maps(predictions, best, runs, source), listed)


class MapBrowser(ipywidgets.VBox):
    """Drop-down lists, the points, and the list of those that are lassoed, or nearest to the utterance that is open."""

    def __init__(self, state: Maps, listed: UtteranceList) -> None:
        self.state, self.list = state, listed
        self.rows = pd.DataFrame()
        self.controls = Controls(state.selection, FIELDS, self._changed)
        self.colour, self.method = (
            ipywidgets.Dropdown(
                description=name, options=options, layout={"width": "230px"}, style={"description_width": "80px"}
            )
            for name, options in (("coloured by", COLOURS), ("plane by", embedded.methods()))
        )
        for one in (self.colour, self.method):
            one.observe(lambda _: self._draw(), "value")
        self.method.disabled = len(self.method.options) < 2
        self.compute = button("compute the map", "have the network read its test utterances, once")
        self.everything = button("list all", "list every point")
        self.similar = button(f"the {NEAREST} nearest to this one", "list those most like the utterance that is open")
        for one, act in (
            (self.compute, self.compute_map),
            (self.everything, self.list_all),
            (self.similar, self.list_nearest),
        ):
            one.on_click(lambda _, act=act: act())
        self.about = ipywidgets.HTML()
        self.points = Points(self.list_points)
        choices = ipywidgets.HBox([self.colour, self.method, self.compute, self.everything, self.similar])
        choices.add_class("sercore-choices")
        super().__init__([self.controls, choices, self.about, self.points, self.list])
        self._draw()

    def compute_map(self) -> None:
        """Compute the embeddings of the network that is chosen, and draw them."""
        self.compute.disabled = True
        try:
            self.state.embedded(self.controls.choice, compute=True, progress=self._progress)
        except (OSError, ValueError) as error:
            self._refuse(error)
        else:
            self._draw()
        self.compute.disabled = False

    def list_points(self, numbers: Sequence[int]) -> None:
        """List the points `numbers`; a single one is opened."""
        if not numbers:
            self.list.show_nothing()
            return
        one = len(numbers) == 1
        self._list(self.rows.iloc[list(numbers)], "one point" if one else f"{len(numbers):,} points")
        if one:
            self.list.open_row(0)

    def list_all(self) -> None:
        """List every point."""
        self.points.select([])
        self._list(self.rows, f"all {len(self.rows):,} points")

    def list_nearest(self) -> None:
        """List the points that are nearest to the utterance that is open."""
        if self.list.opened is None:
            self._say("Open an utterance first: click its point, or select its row.")
            return
        name = str(self.list.opened["utterance"])
        found = self.state.nearest(self.controls.choice, self.rows, name)
        places = self.rows.index.get_indexer(found.index)
        self._list(found, f"the {len(found)} nearest to {name}, by cosine", (COSINE,))
        self.points.select(places.tolist())

    def _changed(self) -> None:
        self._draw()
        self.list.show_nothing()

    def _draw(self) -> None:
        choice = self.controls.choice
        try:
            self.rows = self.state.rows(choice, self.method.value)
        except NotComputedError as error:
            self._refuse(error, computable=True)
            return
        except (OSError, ValueError) as error:
            self._refuse(error)
            return
        self._show(drawn=True)
        fold = f", fold {self.state.fold(choice)}" if self._folds() > 1 and not choice.fold else ""
        each = "; each fold has a network, and so a map, of its own" if self._folds() > 1 else ""
        self._say(f"{describe_choice(choice)}{fold}: {len(self.rows):,} utterances{each}")
        shown = colours(self.rows, self.colour.value, self.state.labels)
        self.points.draw(self.rows[["across", "up"]], points.in_words(self.rows), shown)

    def _folds(self) -> int:
        """How many the run that is chosen has."""
        return len(self.state.selection.options(self.controls.choice)["fold"]) - 1

    def _list(self, rows: pd.DataFrame, what: str, before: tuple[Column, ...] = ()) -> None:
        choice = self.controls.choice
        name = f"{MODELS.label(choice.model)} ({seed_name(self.state.selection.seed(choice, choice.model))})"
        digits = None if self.state.labels else 2
        answers = (Column(name="truth", digits=digits), Column(name="prediction", title="predicted", digits=digits))
        columns = (*before, *answers, TRANSCRIPT, UTTERANCE, SPEAKER, SECONDS)
        self.list.show(rows, f"{name}, {describe_choice(choice)}: {what}", columns, self._details)

    def _details(self, row: pd.Series) -> Details:
        """What every model predicts below the truth."""
        choice = self.controls.choice
        digits = "{}" if self.state.labels else "{:.2f}"
        rows = [[("", "truth"), ("truth", digits.format(row["truth"]))]]
        facts = {"truth": row["truth"], "fold": row["fold"]}
        for other in self.state.selection.of_utterance(choice, row["utterance"], row["fold"]).to_dict("records"):
            rows.append([("", model_name(other["model"], other["seed"])), ("", digits.format(other["prediction"]))])
            facts[other["model"]] = other["prediction"]
        return Details(shown=table(["", choice.target], rows), facts=facts)

    def _refuse(self, error: Exception, computable: bool = False) -> None:
        """Show no points, and why; with `computable`, the button that computes them."""
        self.rows = pd.DataFrame()
        self._show(drawn=False, computable=computable)
        self._say(str(error.args[-1]), problem=not computable)

    def _show(self, drawn: bool, computable: bool = False) -> None:
        for widget, yes in (
            (self.points, drawn),
            (self.everything, drawn),
            (self.similar, drawn),
            (self.compute, computable),
        ):
            set_shown(widget, yes)

    def _say(self, text: str, problem: bool = False) -> None:
        choice = self.controls.choice
        name = model_name(choice.model, self.state.selection.seed(choice, choice.model))
        kind = "sercore-problem" if problem else ""
        self.about.value = markup('<span class="sercore-title">{}</span> <span class="{}">{}</span>', name, kind, text)

    def _progress(self, done: int, total: int, what: str) -> None:
        self._say(f"{what}: {done:,} of {total:,}")
