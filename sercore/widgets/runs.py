"""The run browser: learning curves over seeds, what the runs differ in, kept epochs, seconds; also while they train."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import ipywidgets
import pandas as pd
from matplotlib.figure import Figure

from sercore import files
from sercore.analysis import figures
from sercore.registry import CORPORA, MODELS, SECTIONS
from sercore.study import progress
from sercore.study.config import Run, Study
from sercore.widgets.appearance import button, image, style_sheet
from sercore.widgets.table import Table

SECONDS_BETWEEN_READINGS = 5
KEYS = ("model", "corpus", "seed")  # columns that the curves need, whether or not the runs differ in them
SCORE = "development score"
DIGITS = {SCORE: 4, "seconds": 0}  # of the columns that are numbers
NOT_SET = "not set"  # in a list: the runs that do not have the parameter


def read(study: Study, section: str | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The runs of `section` and their epochs so far, one row each; runs that are training now are among them.

    None is the study's first section that the registry has, else its first.

    Returns:
        Runs: run, the parameters in which they differ, state (see progress.STATES), epoch (of epochs, in the fold that
            is training or was trained last), kept epoch (of each fold), development (its score, mean over folds),
            seconds, cause.
        Epochs: run, the same parameters, and the columns of a run's history; empty where nothing has been trained.
    """
    runs = study.section(section or first_section(study))
    section = runs[0].section
    states = progress.state(study).query("section == @section").set_index("run")
    differing = parameters_that_differ(runs)
    rows, epochs = [], []
    for run in runs:
        history = _history(run)
        parameters = {**{key: run.parameters[key] for key in KEYS if key in run.parameters}, **differing[run.name]}
        state = states.loc[run.name]
        rows.append(
            {
                "run": run.name,
                **parameters,
                "state": state["state"],
                "epoch": f"{state['epoch']} of {state['epochs']}",
                "kept epoch": "",
                "development": float("nan"),
                "seconds": state["seconds"],
                "cause": state["cause"],
            }
        )
        if history is not None and len(history):
            kept = history[history["best"]].groupby("fold", sort=False).last()
            rows[-1] |= {"kept epoch": ", ".join(map(str, kept["epoch"])), "development": kept["development"].mean()}
            if run.complete:
                rows[-1]["epoch"] = f"{history['epoch'].max()} of {state['epochs']}"
            epochs.append(pd.DataFrame({"run": run.name, **parameters}, index=history.index).join(history))
    return pd.DataFrame(rows), pd.concat(epochs, ignore_index=True) if epochs else pd.DataFrame({"run": []})


def first_section(study: Study) -> str:
    """The study's first section that the registry has, else its first."""
    names = list(dict.fromkeys(run.section for run in study.runs))
    return next((name for name in names if name in SECTIONS), names[0])


def simulated(study: Study, section: str | None = None) -> bool:
    """Whether the section is tested on synthesised speech, by its first complete run; False before there is one.

    Every run of a section is tested on the same corpora.
    """
    done = next(
        (run.folder / files.PREDICTIONS for run in study.section(section or first_section(study)) if run.complete), None
    )
    return done is not None and bool(files.read_table(done, columns=["simulated"])["simulated"].any())


def plot(epochs: pd.DataFrame, simulated: bool) -> Figure | None:
    """The learning curves of `epochs`, the second table of `read`; None where nothing has been trained.

    Runs that differ in more than model and seed, such as in their transcripts, are drawn in panels of their own.
    """
    return figures.plot_learning_curves(epochs, simulated) if len(epochs) else None


def parameters_that_differ(runs: tuple[Run, ...]) -> dict[str, dict[str, Any]]:
    """Name of each run -> the parameters in which the runs differ; a nested one is called `training.epochs`.

    A list is given as its JSON; a run without a parameter that others have has None.
    """
    flat = pd.DataFrame([_flat(run.parameters) for run in runs], index=[run.name for run in runs], dtype=object)
    shown = flat.map(lambda value: json.dumps(value, default=str))
    differing = [column for column in flat if shown[column].nunique() > 1]
    return {name: dict(row) for name, row in flat[differing].where(flat[differing].notna(), None).iterrows()}


@dataclass(frozen=True, kw_only=True)
class Runs:
    """The tables of `read`, and the parameters' values by which runs are chosen."""

    table: pd.DataFrame
    epochs: pd.DataFrame
    values: Mapping[str, Any] = field(default_factory=dict)  # of the chosen runs; NOT_SET where they have none

    @property
    def parameters(self) -> dict[str, list[Any]]:
        """The parameters in the names of any of the runs that differ -> their values, NOT_SET last."""
        names = dict.fromkeys(part.partition("=")[0] for run in self.table["run"] for part in run.split(","))
        values = {name: list(self.table[name].dropna().drop_duplicates()) for name in names if name in self.table}
        values = {name: [*given, NOT_SET] if self.table[name].isna().any() else given for name, given in values.items()}
        return {name: given for name, given in values.items() if len(given) > 1}

    def where(self, name: str, value: Any) -> "Runs":
        """Choose, of the runs, those whose parameter `name` is `value`; None takes the condition on `name` away."""
        others = {key: other for key, other in self.values.items() if key != name}
        return replace(self, values=others if value is None else {**others, name: value})

    def chosen(self) -> pd.DataFrame:
        """The chosen rows of `table`."""
        chosen = pd.Series(True, index=self.table.index)
        for name, value in self.values.items():
            column = self.table[name]
            chosen &= column.isna() if isinstance(value, str) and value == NOT_SET else column == value
        return self.table[chosen]

    def curves(self) -> pd.DataFrame:
        """The epochs of the chosen runs."""
        return self.epochs[self.epochs["run"].isin(self.chosen()["run"])]


def browse(
    table: pd.DataFrame,
    epochs: pd.DataFrame,
    simulated: bool = False,
    reread: Callable[[], tuple[pd.DataFrame, pd.DataFrame]] | None = None,
) -> ipywidgets.VBox:
    """The run browser of the tables of `read`; `reread` reads them again while a study runs."""
    return RunBrowser(Runs(table=table, epochs=epochs), simulated, reread)


class RunBrowser(ipywidgets.VBox):
    """A drop-down list for each parameter, the learning curves of the chosen runs, and a table of these."""

    def __init__(
        self, runs: Runs, simulated: bool, reread: Callable[[], tuple[pd.DataFrame, pd.DataFrame]] | None
    ) -> None:
        self.runs, self.simulated, self.reread = runs, simulated, reread
        self.picture, self.count = ipywidgets.HTML(), ipywidgets.HTML()
        self.listed = Table(label="runs", noun="runs")
        self.refresh = button("refresh", "read the run folders again", disabled=reread is None)
        self.refresh.on_click(lambda _: self.read_again())
        self.follow = ipywidgets.ToggleButton(
            description=f"every {SECONDS_BETWEEN_READINGS} s",
            tooltip="read the run folders again and again",
            disabled=reread is None,
        )
        self.follow.observe(self._follow, "value")
        self._following: asyncio.Task | None = None
        self.lists = {name: self._list(name, values) for name, values in runs.parameters.items()}
        live = ipywidgets.HBox([self.refresh, self.follow, self.count])
        choices = ipywidgets.HBox(list(self.lists.values()))
        for box in (live, choices):
            box.add_class("sercore-choices")
        super().__init__([style_sheet(), live, choices, self.picture, self.listed])
        self._draw_curves()
        self._draw_table()

    def read_again(self) -> None:
        """Read the runs again, and draw what has changed."""
        if self.reread is None:
            return
        before = self.runs
        self.runs = replace(before, **dict(zip(("table", "epochs"), self.reread(), strict=True)))
        if not self.runs.epochs.equals(before.epochs):
            self._draw_curves()
        self._draw_table()

    def _follow(self, change: Mapping[str, Any]) -> None:
        if self._following is not None:
            self._following.cancel()
        self._following = asyncio.ensure_future(self._again()) if change["new"] else None

    async def _again(self) -> None:
        while True:
            self.read_again()
            await asyncio.sleep(SECONDS_BETWEEN_READINGS)

    def _list(self, name: str, values: list[Any]) -> ipywidgets.Dropdown:
        options = [("all", None), *((_in_print(value), value) for value in values)]
        chosen = ipywidgets.Dropdown(description=name, options=options, style={"description_width": "initial"})
        chosen.observe(lambda change: self._choose(name, change["new"]), "value")
        return chosen

    def _choose(self, name: str, value: Any) -> None:
        self.runs = self.runs.where(name, value)
        self._draw_curves()
        self._draw_table()

    def _draw_curves(self) -> None:
        curves = self.runs.curves()
        if curves.empty:
            self.picture.value = "<p>Nothing has been trained yet.</p>"
            return
        drawn = figures.picture(figures.plot_learning_curves(curves, self.simulated), dpi=80)
        names = ", ".join(MODELS.label(name) for name in curves["model"].unique())
        alt = f"Learning curves of {names}; kept epochs and their scores are in the table below."
        self.picture.value = image(drawn, alt)

    def _draw_table(self) -> None:
        rows = self.runs.chosen()
        counts = rows["state"].value_counts()
        states = ", ".join(f"{counts[state]} {state}" for state in progress.STATES if state in counts)
        self.count.value = f"{len(rows)} runs: {states}"
        shown = [name for name in rows if name != "run" and (name != "cause" or rows[name].any())]
        text = rows[shown].rename(columns={"development": SCORE}).reset_index(drop=True)
        text = text.assign(**{name: text[name].map(_in_print) for name in text if name not in DIGITS})
        if not text.equals(self.listed.df):
            self.listed.show(text, DIGITS, {"state", *self.lists})


def _history(run: Run) -> pd.DataFrame | None:
    """The epochs of `run`: of the whole run where it is complete, else of the folds that it has come to."""
    whole = files.find_history(run.folder / files.HISTORY) if run.complete else None
    return progress.history(run) if whole is None else whole


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{before}{name}.")
        else:
            flat[before + name] = json.dumps(value) if isinstance(value, list) else value
    return flat


def _in_print(value: Any) -> str:
    """A value in print; nothing where there is none."""
    if value is None:
        return ""
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.4g}"
    if isinstance(value, str):
        return MODELS.label(value) if value in MODELS else CORPORA.label(value)
    return str(value)
