"""All browsers on one page: the studies that are there, and a tab for each way to look at one of them.

In order: the studies; one of them with what its browsers read, once; the tabs; the `App`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import ipywidgets
import pandas as pd
from IPython.display import HTML
from markupsafe import Markup

from sercore import files
from sercore.analysis import corpus_statistics, results, words
from sercore.analysis.markup import markup
from sercore.analysis.nothing import Nothing
from sercore.corpora import Corpus
from sercore.study import config
from sercore.study.config import Study
from sercore.widgets import confusions, corpus, links, maps, residuals, runs, sound
from sercore.widgets.appearance import button, style_sheet
from sercore.widgets.maps import EmbeddingSource
from sercore.widgets.microphone import Recorder
from sercore.widgets.table import Table

Load = Callable[[Path], Any]
"""The folder of a run -> its model, as inference.load gives it."""
Embeddings = Callable[[Mapping[str, Mapping[str, Any]], Path], EmbeddingSource]
"""The corpora of a study, and its cache -> its embeddings, as inference.cached_embeddings gives them."""
TAB = "tab"  # in a link
RATINGS = ("multitask", "dimensions")  # sections of the residual browser; the first that a study has
MAPPED = ("categories", *RATINGS)  # of the map


def studies(parameters: Sequence[str | Path] = ()) -> list[Study]:
    """The studies of these parameters files; without any, of those in the project's `parameters` that have outputs."""
    if parameters:
        return [config.load(path) for path in parameters]
    found = []
    for path in sorted((files.project() / "parameters").glob("*.yaml")):
        try:
            study = config.load(path)
        except ValueError:
            continue  # another file, or a broken one, which the commands complain about
        if study.folder.exists():
            found.append(study)
    return found


def overview(found: Sequence[Study]) -> pd.DataFrame:
    """One row a study: its name, parameters file, finished runs, and whether its speech is simulated."""
    rows = []
    for study in found:
        done = [run for run in study.runs if run.complete]
        path, home = study.path, files.project()
        rows.append(
            {
                "study": study.name,
                "parameters file": str(path.relative_to(home) if path.is_relative_to(home) else path),
                "finished runs": f"{len(done)} of {len(study.runs)}",
                "speech": _speech(study) if done else "",
            }
        )
    return pd.DataFrame(rows, columns=["study", "parameters file", "finished runs", "speech"])


def _speech(study: Study) -> str:
    for section in dict.fromkeys(run.section for run in study.runs if run.result == files.PREDICTIONS):
        if any(run.complete for run in study.section(section)):
            return "simulated" if runs.simulated(study, section) else "recorded"
    return ""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A study, with what its browsers read when they are first shown."""

    study: Study
    link: links.Link
    load: Load
    embeddings: Embeddings

    @cached_property
    def corpora(self) -> list[Corpus]:
        """Its corpora."""
        return corpus_statistics.read(self.study)

    @cached_property
    def utterances(self) -> pd.DataFrame:
        """Their utterances, see sound.gather."""
        return sound.gather(self.corpora)

    @cached_property
    def frames(self) -> sound.CachedFrames:
        """Their log-mel frames."""
        return sound.CachedFrames(self.study)

    @property
    def marked(self) -> Path:
        """The folder that marked utterances are exported to."""
        return self.study.folder / "marked"

    @property
    def audio(self) -> sound.AudioSource:
        """Their sounds."""
        return sound.audio_of(self.corpora)

    def first(self, sections: Sequence[str]) -> str:
        """The first of `sections` that the study has; the first of all where it has none."""
        there = {run.section for run in self.study.runs}
        return next((name for name in sections if name in there), sections[0])


def _confusions(opened: Opened) -> ipywidgets.Widget | Nothing:
    outcome = results.read(opened.study, "categories", "show")
    predictions, listed = words.label_predictions(outcome), (opened.audio, opened.marked, opened.frames)
    table = opened.utterances
    return confusions.browse(predictions, table, outcome.best, *listed, study=opened.study, link=opened.link)


def _residuals(opened: Opened) -> ipywidgets.Widget | Nothing:
    outcome = results.read(opened.study, opened.first(RATINGS), "show")
    listed = (opened.audio, opened.marked, opened.frames)
    return residuals.browse(outcome.predictions, opened.utterances, outcome.best, *listed, study=opened.study)


def _map(opened: Opened) -> ipywidgets.Widget | Nothing:
    study, section = opened.study, opened.first(MAPPED)
    outcome = results.read(study, section, "show")
    return maps.browse(
        outcome.predictions,
        opened.utterances,
        outcome.best,
        opened.audio,
        opened.marked,
        [run for run in study.runs if run.section == section],
        opened.embeddings(study.corpora, study.outputs / "cache"),
        opened.frames,
    )


def _runs(opened: Opened) -> ipywidgets.Widget:
    study = opened.study
    section = ipywidgets.Dropdown(
        options=list(dict.fromkeys(run.section for run in study.runs)),
        value=runs.first_section(study),
        description="section",
        style={"description_width": "initial"},
    )
    shown = ipywidgets.VBox()

    def show(name: str) -> None:
        read = partial(runs.read, study, name)
        shown.children = [runs.browse(*read(), runs.simulated(study, name), reread=read)]

    section.observe(lambda change: show(change["new"]), "value")
    show(section.value)
    return ipywidgets.VBox([section, shown])


def _corpus(opened: Opened) -> ipywidgets.Widget:
    return corpus.browse(opened.corpora, opened.audio, opened.marked, opened.frames)


def _prediction(opened: Opened) -> ipywidgets.Widget | Nothing:
    trained = [run for run in opened.study.runs if run.complete and run.result == files.PREDICTIONS]
    if not trained:
        return Nothing("the study has no trained model")
    options = [("choose a model", None), *((f"{run.section}: {run.name}", run.folder) for run in trained)]
    chosen = ipywidgets.Dropdown(options=options, description="model", layout={"width": "auto"})
    chosen.add_class("sercore-wide")
    shown = ipywidgets.Output()

    def show(folder: Path | None) -> None:
        shown.outputs = ()
        if folder is None:
            return
        try:
            predictor = opened.load(folder)
        except (ValueError, OSError) as error:
            shown.append_display_data(HTML(markup('<p class="sercore-problem">{}</p>', error)))
            return
        sure = predictor.trained.confidence
        with shown:
            Recorder(predictor, predictor.trained.uses_text, reject_below=0.0 if sure else None).show()

    chosen.observe(lambda change: show(change["new"]), "value")
    return ipywidgets.VBox([chosen, shown])


LIST = (
    "A row opens its utterance and plays it, an arrow key the next one. The fields under the titles filter: a part of "
    "a text, or numbers as <code>&gt;3</code> or <code>1..2</code>; a click on a title sorts. With ctrl or shift, "
    "several rows are selected.",
    "<i>mark</i> marks the selected rows; a mark carries a comment and a corrected label. <i>export marked</i> writes "
    "a CSV, which <i>import marks</i> takes back.",
    "The spectrogram is the timeline: a click moves to its time, a drag loops; space plays and pauses.",
)


@dataclass(frozen=True, kw_only=True)
class Tab:
    """A way to look at a study: its browser, and how it is used, in sentences of HTML."""

    build: Callable[[Opened], ipywidgets.Widget | Nothing]
    use: tuple[str, ...]


TABS: Mapping[str, Tab] = {
    "confusions": Tab(
        build=_confusions,
        use=(
            "A cell of the matrix lists its utterances, the most confident first; with ctrl, several cells. A label "
            "chooses its row or column. <i>beside</i> adds a second model.",
            *LIST,
        ),
    ),
    "residuals": Tab(
        build=_residuals,
        use=(
            "Errors are predictions minus what raters said. A bin lists its utterances, the largest errors first.",
            *LIST,
        ),
    ),
    "map": Tab(
        build=_map,
        use=(
            "Utterances that a network takes for alike lie side by side. The first look at a network takes as long as "
            "reading its test utterances; then its map is kept.",
            "A click on a point opens it; shift and a drag draw a lasso, whose points are listed. <i>nearest</i> lists "
            "those most like the utterance that is open.",
            *LIST,
        ),
    ),
    "runs": Tab(
        build=_runs,
        use=(
            "The lists choose runs, whose learning curves are drawn; the table shows in what they differ.",
            "<i>refresh</i> reads the run folders again; the triangle does so every few seconds.",
        ),
    ),
    "corpus": Tab(
        build=_corpus,
        use=("Lists, ranges and words narrow the utterances; the picture and the list follow.", *LIST),
    ),
    "prediction": Tab(
        build=_prediction,
        use=(
            "A trained model answers a recording of the microphone, or a file. Its answers are guesses of what raters "
            "would say; those of a model that was trained on simulated speech mean nothing for people.",
        ),
    ),
}


def browse(parameters: Sequence[str | Path], load: Load, embeddings: Embeddings) -> "App":
    """The browsers of `studies(parameters)` on one page.

    Args:
        parameters: parameters files; none: those in the project's `parameters` that have outputs.
        load: gives the models of the tab that predicts.
        embeddings: gives what the map draws.
    """
    return App(partial(studies, parameters), partial(Opened, load=load, embeddings=embeddings))


class App(ipywidgets.VBox):
    """A table of studies, and tabs, each of which is built when it is first shown of the study that is selected."""

    def __init__(self, find: Callable[[], list[Study]], opening: Callable[..., Opened]) -> None:
        self.find, self.opening = find, opening
        self.found: list[Study] = []
        self.opened: Opened | None = None
        self.table = Table(label="studies", noun="studies")
        self.table.observe(lambda change: self._selected(change["new"]), "selected_rows")
        self.refresh = button("refresh", "look for studies and read them again")
        self.refresh.on_click(lambda _: self.read_again())
        self.nothing, self.problem = ipywidgets.HTML(), ipywidgets.HTML()
        self.link = links.Link("browser.restore(…)", (TAB, *confusions.NAMES), self.restore)
        self.tabs = ipywidgets.Tab(children=[ipywidgets.VBox() for _ in TABS], titles=tuple(TABS), selected_index=0)
        self.tabs.observe(lambda _: self._show(), "selected_index")
        title = ipywidgets.HTML("<h1>Browsers</h1>")
        head = ipywidgets.HBox([title, self.refresh])
        for widget, kind in ((head, "head"), (self.table, "studies"), (self.tabs, "tabs"), (self, "app")):
            widget.add_class(f"sercore-{kind}")
        super().__init__([style_sheet(), head, self.nothing, self.problem, self.table, self.tabs, self.link])
        self.read_again()

    def read_again(self) -> None:
        """Look for studies, and open the one that was open, else the first with a finished run."""
        before = self.opened.study.path if self.opened else None
        self.found, self.opened = self.find(), None
        self.table.show(overview(self.found), {})
        places = {study.path: place for place, study in enumerate(self.found)}
        first = next((n for n, study in enumerate(self.found) if any(run.complete for run in study.runs)), 0)
        self.nothing.value = (
            "" if self.found else "<p>No study has been run yet: <code>make smoke</code> runs a small one.</p>"
        )
        self.tabs.layout.display = None if self.found else "none"
        self.table.selected_rows = [places.get(before, first)] if self.found else []

    def show(self, tab: str) -> None:
        """Show the tab of this name."""
        self.tabs.selected_index = list(TABS).index(tab)

    def restore(self, text: str) -> None:
        """Show what the link `text` says; a study or tab that is not here is named, and the rest is shown."""
        given, names = links.read(text), [study.name for study in self.found]
        known = {"study": names, TAB: list(TABS)}
        lost = [f"{name} {given[name]}" for name in known if name in given and given[name] not in known[name]]
        if given.get("study") in names:
            self.table.selected_rows = [names.index(given["study"])]
        self.show(given[TAB] if given.get(TAB) in TABS else next(iter(TABS)))
        self.problem.value = links.problems(lost)
        browser = self._browser()
        if isinstance(browser, confusions.ConfusionBrowser):
            browser.restore(links.write({name: given[name] for name in given if name not in known}))

    def _browser(self) -> ipywidgets.Widget | None:
        """The browser of the tab that is shown."""
        children = self.tabs.children[self.tabs.selected_index].children
        return children[0] if children else None

    def _tell(self) -> None:
        """Have the link say which study and tab are shown, and what the browser of confusions shows."""
        browser = self._browser()
        if isinstance(browser, confusions.ConfusionBrowser):
            browser.tell()
        elif self.opened is not None:
            tab = list(TABS)[self.tabs.selected_index]
            self.link.query = links.write({"study": self.opened.study.name, TAB: tab})

    def _selected(self, rows: Sequence[int]) -> None:
        if rows and (self.opened is None or self.found[rows[0]] is not self.opened.study):
            self.opened = self.opening(study=self.found[rows[0]], link=self.link)
            for box in self.tabs.children:
                box.children = ()
            self._show()

    def _show(self) -> None:
        """Build the tab that is shown, where it is empty."""
        box = self.tabs.children[self.tabs.selected_index]
        if box.children or self.opened is None:
            self._tell()
            return
        tab = TABS[list(TABS)[self.tabs.selected_index]]
        box.children = [ipywidgets.HTML(markup("<p>reading {} …</p>", self.opened.study.name))]
        try:
            made = tab.build(self.opened)
        except (ValueError, OSError) as error:
            made = ipywidgets.HTML(markup('<p class="sercore-problem">{}</p>', error))
        if isinstance(made, Nothing):
            made = ipywidgets.HTML(markup("<p>{}</p>", made))
        use = Markup("").join(markup("<li>{}</li>", Markup(text)) for text in tab.use)
        box.children = [
            made,
            ipywidgets.HTML(markup("<details><summary>How to use it</summary><ul>{}</ul></details>", use)),
        ]
        self._tell()
