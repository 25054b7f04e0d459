"""A study as one HTML page that needs nothing else: no network, no script, no file beside it.

Tables and figures are those that the analysis notebooks wrote. Where these are missing or older than a result, as in a
study that still runs, the main ones are made anew of the runs that are complete, and the page says what is missing.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.figure import Figure

from sercore import claims, config, figures, files, report_origins, report_tables, results, tables
from sercore.report_tables import ShownTable
from sercore.results import Results
from sercore.schema import CORPUS_LABELS

TEMPLATE = "report.html"
KINDS = {".svg": "image/svg+xml", ".png": "image/png"}  # of figures; of one in both the first is taken
Maker = Callable[[Results], tables.Table | Figure]


@dataclass(frozen=True)
class Picture:
    """A figure as the page holds it."""

    title: str
    alt: str
    data: str  # a data URI


@dataclass(frozen=True)
class Chapter:
    """A part of the page: its tables and figures in order, by the names of their files."""

    name: str
    title: str
    lead: str
    section: str | None  # of the study; the chapter is left out where the study has no such section
    pieces: tuple[str, ...]


CHAPTERS = (
    Chapter("planted", "What was planted, and whether it is found again",
            "Not in the paper. In the simulated corpora words carry valence and the voice carries arousal and "
            "dominance; a study that cannot find this again is broken.", "categories",
            ("planted_categories", "planted_multitask", "multistage_categories", "multistage_multitask")),
    Chapter("corpora", "Section 4.1: the corpora", "What was trained and tested on.", None,
            ("corpora", "corpora_classes", "corpora_ratings", "corpora_durations")),
    Chapter("categories", "Section 5: emotional categories",
            "Four classes, in-domain and across corpora. UAR is the mean recall of the classes.", "categories",
            ("table_1", "scores_categories", "claims_table_1", "figure_2", "figure_2_differences", "claims_figure_2",
             "table_1_differences", "table_1_groups", "table_1_speakers", "curves_categories")),
    Chapter("dimensions", "Section 6.1: dimensions, one model each",
            "Arousal, valence and dominance, a model for each, trained on the squared error.", "dimensions",
            ("table_2", "scores_dimensions", "claims_table_2", "table_2_differences", "table_2_groups",
             "table_2_speakers", "curves_dimensions")),
    Chapter("multitask", "Section 6.2: dimensions, one model for all",
            "All three dimensions at once, trained on the mean concordance correlation.", "multitask",
            ("table_3", "scores_multitask", "claims_table_3", "table_3_differences", "table_3_groups",
             "table_3_speakers", "curves_multitask")),
    Chapter("residuals", "Section 6.2 and appendix A: errors along the scale",
            "How errors depend on the truth, of the model of each architecture that is best on validation.",
            "multitask", ("figure_3", "figure_3_slopes", "claims_figure_3", "table_4", "claims_table_4")),
)  # fmt: skip
FIGURES = {
    "corpora_classes": ("Emotions in the corpora", "Bars: utterances of each emotion in each partition."),
    "corpora_ratings": ("Ratings in the corpora", "Histograms of arousal, valence and dominance of each corpus."),
    "corpora_durations": ("Durations and speakers", "Histograms of durations; bars of utterances of each speaker."),
    "scores_categories": ("Every seed's UAR", "Points: the UAR of every seed of every model; lines: their means."),
    "scores_dimensions": ("Every seed's score", "Points: every seed's CCC or PCC of every model and dimension."),
    "scores_multitask": ("Every seed's score, multitask", "Points: every seed's CCC or PCC of every model."),
    "figure_2": ("Figure 2. What each class was taken for", "Confusion matrices, share of the row and count."),
    "figure_2_differences": ("How fusion changes Figure 2", "Confusions of each fusion minus those of CNN14."),
    "figure_3": ("Figure 3. Residuals against truth", "Lines of prediction minus truth on truth, one a model."),
    "curves_categories": ("Learning curves, categories", "Training loss and development score by epoch."),
    "curves_dimensions": ("Learning curves, dimensions", "Training loss and development score by epoch."),
    "curves_multitask": ("Learning curves, multitask", "Training loss and development score by epoch."),
}
"""Figure -> its title, and what stands for it where it cannot be seen; its numbers are in the tables."""


def _curves(found: Results) -> Figure:
    return figures.plot_learning_curves(results.read_history(found.study, found.section), found.simulated)


MAKERS: dict[str, tuple[str, Maker]] = {
    "table_1": ("categories", tables.table_1),
    "table_2": ("dimensions", tables.table_2),
    "table_3": ("multitask", tables.table_3),
    "table_4": ("multitask", tables.table_4),
    "figure_2": ("categories", figures.plot_confusions),
    "figure_2_differences": ("categories", figures.plot_confusion_differences),
    "figure_3": ("multitask", figures.plot_residuals),
    **{f"claims_{place}": (section, lambda found, place=place: claims.check(found, place))
       for place, section in claims.PLACES.items()},
    **{f"planted_{section}": (section, claims.planted) for section in ("categories", "multitask")},
    **{f"scores_{section}": (section, figures.plot_scores) for section in dict.fromkeys(claims.PLACES.values())},
    **{f"curves_{section}": (section, _curves) for section in dict.fromkeys(claims.PLACES.values())},
}  # fmt: skip
"""Table or figure -> the section that it is made of, and how."""


class Material:
    """The tables and figures of a study, read where the analysis wrote them after the last result, else made anew."""

    def __init__(self, plan: config.Study) -> None:
        self.plan = plan
        self.simulated = report_origins.simulated(plan)
        self.absent: dict[str, str] = {}  # what could not be had, and why
        self._sections = report_origins.sections(plan)
        self._found: dict[str, Results] = {}

    def chapter(self, chapter: Chapter) -> dict[str, ShownTable | Picture]:
        """Name -> piece of those pieces of `chapter` that there are; the others are noted in `absent`."""
        pieces = {name: self._piece(name) for name in chapter.pieces}
        return {name: piece for name, piece in pieces.items() if piece}

    def others(self) -> dict[str, ShownTable | Picture]:
        """The tables and figures that no chapter names."""
        named = {piece for chapter in CHAPTERS for piece in chapter.pieces}
        names = sorted({path.stem for path in self._files if path.suffix in (".md", *KINDS)} - named)
        return {name: piece for name in names if (piece := self._piece(name))}

    @cached_property
    def _files(self) -> list[Path]:
        return [path for kind in ("tables", "figures") for path in sorted((self.plan.folder / kind).glob("*.*"))]

    @cached_property
    def _newest_result(self) -> float:
        return max((run.folder / run.result).stat().st_mtime for run in self.plan.runs if run.complete)

    def _piece(self, name: str) -> ShownTable | Picture | None:
        there = [self.plan.folder / "tables" / f"{name}.md"]
        there += [self.plan.folder / "figures" / f"{name}{suffix}" for suffix in KINDS]
        path = next((path for path in there if path in self._files), None)
        whole = all(run.complete for run in self.plan.runs)
        if path and whole and path.stat().st_mtime >= self._newest_result:
            return report_tables.read(path) if path.suffix == ".md" else _picture(name, path.read_bytes(), path.suffix)
        if name in MAKERS and not (name.startswith("planted") and not self.simulated):
            return self._made(name)
        if path:
            self.absent[name] = "older than the results"
        return None

    def _made(self, name: str) -> ShownTable | Picture | None:
        section, make = MAKERS[name]
        runs = self._sections.get(section, ())
        if not any(run.complete for run in runs):
            return None
        try:
            made = make(self._results(section))
        except (ValueError, LookupError, ZeroDivisionError, FileNotFoundError) as error:
            self.absent[name] = f"cannot be made of the runs that are there ({error})"
            return None
        if isinstance(made, Figure):
            return _picture(name, figures.picture(made), ".png")
        return report_tables.from_markdown(made.markdown(), name)

    def _results(self, section: str) -> Results:
        if section not in self._found:
            self._found[section] = results.read(self.plan, section, incomplete="show")
        return self._found[section]


def page(plan: config.Study, made: datetime | None = None) -> str:
    """The report of the study `plan` as HTML; `made` is the time that it tells (default: now)."""
    material = Material(plan)
    chapters = list(_chapters(material))
    judged = {
        name.removeprefix("claims_").replace("_", " "): piece
        for _, pieces in chapters
        for name, piece in pieces.items()
        if name.startswith("claims_")
    }
    lacking = report_origins.missing(plan)
    lacking += tuple(f"{name.replace('_', ' ')}: {why}." for name, why in material.absent.items())
    origins = [report_origins.provenance_table(plan), report_origins.versions_table(plan)]
    return _template().render(
        study=plan.name,
        parameters=plan.path.name,
        corpora=[CORPUS_LABELS.get(name, name) for name in plan.corpora],
        simulated=material.simulated,
        runs=len(plan.runs),
        complete=sum(run.complete for run in plan.runs),
        missing=lacking,
        verdicts=report_tables.count_verdicts(judged) if judged else None,
        what_was_run=report_origins.runs_table(plan),
        chapters=chapters,
        settings=report_origins.settings_table(plan),
        origins=[table for table in origins if table.rows],
        made=f"{made or datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        **_own_origin(),
    )


def write(plan: config.Study, path: Path | None = None) -> Path:
    """Write the report of `plan` (default: report.html in the study's folder) and return its path."""
    path = path or plan.folder / "report.html"
    files.write_text(path, page(plan))
    return path


def _chapters(material: Material) -> Iterator[tuple[Chapter, Mapping[str, ShownTable | Picture]]]:
    """The chapters that the study has something for, and at last what belongs to none."""
    for chapter in CHAPTERS:
        if chapter.section is None or chapter.section in {run.section for run in material.plan.runs}:
            pieces = material.chapter(chapter)
            if pieces:
                yield chapter, pieces
    others = material.others()
    if others:
        yield Chapter("others", "Other tables and figures", "Of further analyses.", None, tuple(others)), others


def _picture(name: str, content: bytes, suffix: str) -> Picture:
    title, alt = FIGURES.get(name, (name.replace("_", " ").capitalize(), f"The figure {name}."))
    return Picture(title, alt, f"data:{KINDS[suffix]};base64,{base64.b64encode(content).decode()}")


def _own_origin() -> dict[str, Any]:
    own = files.provenance()
    return {"commit": own["commit"], "version": own["versions"].get("sercore", "")}


def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.tests["table"] = lambda piece: isinstance(piece, ShownTable)
    return environment.from_string(resources("sercore").joinpath(TEMPLATE).read_text(encoding="utf-8"))
