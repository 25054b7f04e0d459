"""A study as one HTML page that needs nothing else: no network, no script, no file beside it.

Tables and figures are those that the analysis notebooks wrote. Where these are missing or older than a result, as in a
study that still runs, the main ones are made anew of the runs that are complete, and the page says what is missing.

The tables of a report: those that the analysis wrote in Markdown, and the claims counted by their verdicts.

Where the results of a report come from: what was run, with which settings, on what, when, and what is missing.
"""

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cached_property
from importlib.resources import files as resources
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import mistune
import pyarrow.compute as pc
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from sercore import files, settings
from sercore.analysis import captions, claims, figures, results, tables
from sercore.analysis.results import Results
from sercore.analysis.tables import PAPER
from sercore.analysis.verdicts import FAILS, HOLDS, OPEN
from sercore.schema import CORPUS_LABELS, MODEL_LABELS, MODELS, first
from sercore.study import config
from sercore.study.config import Run, Study
from sercore.study.plan import failures

VERDICTS = (HOLDS, FAILS, OPEN)
HERE = "here"  # the column of a table of claims that holds the study's own verdict
SENTENCE = 40  # characters from which a cell is read as prose, not as a value


class Cell(NamedTuple):
    """One cell: its text, how many rows it spans (as a row's name), and how it is drawn."""

    text: str
    rows: int = 1
    kind: str = ""  # first (of the columns), number, prose, paper, or a verdict: holds, fails, open


@dataclass(frozen=True)
class ShownTable:
    """A table as a report shows it: the first `names` columns are the rows' names."""

    title: str
    names: int
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    numeric: bool = False  # whether what is not a name is a number

    def cells(self) -> list[tuple[list[Cell], list[Cell]]]:
        """Names and values of each row; a name that is left empty belongs to the one above, which spans both."""
        shown = []
        for place, row in enumerate(self.rows):
            paper = PAPER if PAPER in row[: self.names] else ""
            names = [
                Cell(text, self._span(place, column), PAPER if text == PAPER else "" if column else "first")
                for column, text in enumerate(row[: self.names])
                if text or place == 0
            ]
            shown.append((names, [Cell(text, 1, paper or self._kind(text)) for text in row[self.names :]]))
        return shown

    def column(self, name: str) -> list[str]:
        """The texts of the column `name`. Raises ValueError with the columns that there are."""
        if name not in self.head:
            raise ValueError(f"table '{self.title}' has no column '{name}'; it has {', '.join(self.head)}")
        return [row[self.head.index(name)] for row in self.rows]

    def _span(self, place: int, column: int) -> int:
        below = self.rows[place + 1 :]
        return next((far for far, row in enumerate(below, 1) if row[column]), len(below) + 1)

    def _kind(self, text: str) -> str:
        if text in VERDICTS:
            return {HOLDS: "holds", FAILS: "fails", OPEN: "open"}[text]
        return "number" if self.numeric else "prose" if len(text) > SENTENCE else ""


def from_markdown(text: str, source: str) -> ShownTable:
    """The table that tables.Table wrote as Markdown: a title in bold, the table, a list of notes.

    Raises ValueError, naming `source`, for Markdown that is not of this form.
    """
    tokens = mistune.create_markdown(renderer=None, plugins=["table"])(text)
    parts = {token["type"]: token for token in reversed(tokens)}
    if not {"paragraph", "table"} <= parts.keys():
        found = ", ".join(token["type"] for token in tokens) or "nothing"
        raise ValueError(f"{source}: expected a title in bold and a table, found {found}; make it again")
    head, body = parts["table"]["children"]
    right = [cell["attrs"]["align"] == "right" for cell in head["children"]]
    rows = [tuple(_raw(cell) for cell in row["children"]) for row in body["children"]]
    return ShownTable(
        title=_raw(parts["paragraph"]),
        names=right.index(True) if any(right) else 1,
        head=tuple(_raw(cell) for cell in head["children"]),
        rows=tuple(rows),
        notes=tuple(_raw(item).strip() for item in parts["list"]["children"]) if "list" in parts else (),
        numeric=any(right),
    )


def read(path: Path) -> ShownTable:
    """The table in the Markdown file `path`, without the project's folder where a note names a file in it."""
    text = path.read_text(encoding="utf-8").replace(f"{files.project()}/", "")
    return from_markdown(text, str(path))


def count_verdicts(claims: Mapping[str, ShownTable]) -> ShownTable:
    """How many claims of each of the tables `claims` (what they are about -> table) hold, do not, or stay open."""
    rows, total = [], Counter[str]()
    for what, table in claims.items():
        found = Counter(table.column(HERE))
        total += found
        rows.append((what, *(str(found[verdict]) for verdict in VERDICTS), str(found.total())))
    rows.append(("together", *(str(total[verdict]) for verdict in VERDICTS), str(total.total())))
    return ShownTable("How many claims hold here", 1, ("claims", *VERDICTS, "of"), tuple(rows), numeric=True)


def from_records(title: str, records: Sequence[Mapping[str, Any]], notes: Iterable[str] = ()) -> ShownTable:
    """A table of `records`, one a row and all with the same keys, the first of which is the row's name."""
    rows = tuple(tuple(str(value) for value in record.values()) for record in records)
    return ShownTable(title, 1, tuple(records[0]) if records else (), rows, tuple(notes))


def _raw(token: Mapping[str, Any]) -> str:
    return token.get("raw", "") + "".join(map(_raw, token.get("children", ())))


SETTING_KINDS = {**captions.KINDS, "training": settings.TrainingSettings}
NOT_DOUBTED = "not doubted"
COMMIT_DIGITS = 10
MOST_VALUES = 12  # of one parameter of a grid, in a cell


def sections(plan: Study) -> dict[str, tuple[Run, ...]]:
    """Name -> runs of each section of the study, in the order of its parameters file."""
    return {name: plan.section(name) for name in dict.fromkeys(run.section for run in plan.runs)}


def simulated(plan: Study) -> bool | None:
    """Whether any result of the study is about synthesised speech; None while there is no result."""
    told = None
    for run in plan.runs:
        path = run.folder / files.PREDICTIONS
        if path.exists():
            told = told or bool(pc.any(pq.read_table(path, columns=["simulated"])["simulated"]).as_py())
    return told


def runs_table(plan: Study) -> ShownTable:
    """What the study is made of: one row a section, with what its runs differ in and how many are complete."""
    records = []
    for name, runs in sections(plan).items():
        grid = {key: _values(runs, key) for key in (part.split("=")[0] for part in runs[0].name.split(","))}
        records.append(
            {
                "section": name,
                "notebook": runs[0].notebook.stem,
                "what the runs differ in": "; ".join(f"{key}: {values}" for key, values in grid.items()),
                "complete": f"{sum(run.complete for run in runs)} of {len(runs)}",
            }
        )
    return from_records("What was run", records)


def missing(plan: Study) -> tuple[str, ...]:
    """What the study lacks, a sentence each: runs, with the cause of those that failed, and analysis notebooks."""
    told, failed = [], failures(plan)
    for name, runs in sections(plan).items():
        absent = [run.name for run in runs if not run.complete and f"{name}/{run.name}" not in failed]
        if absent:
            told.append(f"Section '{name}': {_counted(len(absent), 'run')} not complete ({first(absent, most=8)}).")
    told += [f"{name} failed: {cause}" for name, cause in failed.items()]
    absent = [path.stem for path in plan.analysis if not (plan.folder / "analysis" / path.name).exists()]
    if absent:
        told.append(f"Not executed yet: {_counted(len(absent), 'analysis notebook')} ({first(absent, most=12)}).")
    return tuple(told)


def settings_table(plan: Study) -> ShownTable:
    """Every setting that a run uses: its value, the paper's, and whether the paper's text confirms that."""
    used: dict[str, dict[tuple[str, str, str], set[tuple[str, str]]]] = {}
    for run in plan.runs:
        if run.needs:  # trains nothing
            continue
        for name, *told in captions.compared(run.parameters["model"], run.parameters):
            group = used.setdefault(name, {}).setdefault(tuple(map(_text, told)), set())
            group.add((run.section, run.parameters["model"]))
    records = []
    for kind, settings_of in SETTING_KINDS.items():
        for f in [f for f in fields(settings_of) if f.name in used]:
            groups = used[f.name]
            everywhere = set().union(*groups.values())
            for (here, paper, doubt), users in groups.items():
                records.append(
                    {
                        "setting": f"{kind}: {f.name}",
                        "here": here,
                        "the paper's": "the same" if here == paper else paper,
                        "is that certain?": f"not confirmed: {doubt}" if doubt else NOT_DOUBTED,
                        "of": _users(users, everywhere),
                        "meaning": f.metadata["meaning"],
                    }
                )
    below = "Certain: whether the paper's text confirms the value that is taken for the paper's."
    return from_records("Settings", records, [below])


def provenance_table(plan: Study) -> ShownTable:
    """Commits, devices, seconds and days of the complete runs, one row a section."""
    records = []
    for name, runs in sections(plan).items():
        done = [run for run in runs if run.complete]
        told = [record for record in map(_provenance, done) if record]
        folds = [fold for record in told for fold in record.get("folds", {}).values()]
        spent = {stage: sum(fold["seconds"].get(stage, 0.0) for fold in folds) for stage in ("training", "evaluation")}
        records.append(
            {
                "section": name,
                "runs": len(done),
                "commit": _tally((record.get("commit") or "outside a checkout")[:COMMIT_DIGITS] for record in told),
                "device": _tally(fold["device"] for fold in folds),
                "training": _duration(spent["training"]) if folds else "",
                "evaluation": _duration(spent["evaluation"]) if folds else "",
                "results written": _days([run.folder / run.result for run in done]),
            }
        )
    dirty = any("-dirty" in (record.get("commit") or "") for record in map(_provenance, plan.runs) if record)
    below = ["Commits with changes that were not committed are among these."] if dirty else []
    return from_records("Where the results come from", records, below)


def versions_table(plan: Study) -> ShownTable:
    """The software of the complete runs, one row a package."""
    found: dict[str, Counter[str]] = {}
    for record in filter(None, map(_provenance, plan.runs)):
        told = {"python": record.get("python"), **record.get("versions", {}), "platform": record.get("platform")}
        for name, value in told.items():
            found.setdefault(name, Counter())[str(value)] += 1
    return from_records("Software", [{"package": name, "version": _tally(of)} for name, of in found.items()])


def _provenance(run: Run) -> dict[str, Any] | None:
    path = run.folder / files.PROVENANCE
    return files.read_json(path) if run.complete and path.exists() else None


def _values(runs: tuple[Run, ...], key: str) -> str:
    """The values that the parameter `key` takes, in print."""
    values = list(dict.fromkeys(run.parameters[key] for run in runs))
    if key == "model":
        values = sorted(values, key=MODELS.index)
    return first((_text({**MODEL_LABELS, **CORPUS_LABELS}.get(value, value)) for value in values), most=MOST_VALUES)


def _users(users: set[tuple[str, str]], everywhere: set[tuple[str, str]]) -> str:
    """Which models of which sections: the sections are named where they do not all have the same."""
    names, of = {model for _, model in users}, sorted({section for section, _ in users})
    told = ", ".join(MODEL_LABELS[model] for model in MODELS if model in names)
    same = of == sorted({section for section, model in everywhere if model in names})
    return told if same else f"{told} in {', '.join(of)}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else "none" if value is None else json.dumps(value)


def _tally(values: Counter[str] | Any) -> str:
    """Distinct values, with how many have each where there are several."""
    counts = values if isinstance(values, Counter) else Counter(values)
    told = [f"{value} ({count})" for value, count in counts.most_common()]
    return next(iter(counts)) if len(counts) == 1 else ", ".join(told) or "not recorded"


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{hours:.1f} h" if hours >= 2 else f"{minutes:.1f} min" if minutes >= 2 else f"{seconds:.0f} s"


def _days(paths: list[Path]) -> str:
    """First and last day on which one of `paths` was written, in UTC."""
    days = sorted({f"{datetime.fromtimestamp(path.stat().st_mtime, UTC):%Y-%m-%d}" for path in paths})
    return " to ".join(dict.fromkeys([days[0], days[-1]])) if days else ""


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


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
    Chapter(
        "ground_truth",
        "What was planted, and whether it is found again",
        "Not in the paper. In the simulated corpora words carry valence and the voice carries arousal and "
        "dominance; a study that cannot find this again is broken.",
        "categories",
        ("ground_truth_categories", "ground_truth_multitask", "multistage_categories", "multistage_multitask"),
    ),
    Chapter(
        "corpora",
        "Section 4.1: the corpora",
        "What was trained and tested on.",
        None,
        ("corpora", "corpora_classes", "corpora_ratings", "corpora_durations"),
    ),
    Chapter(
        "categories",
        "Section 5: emotional categories",
        "Four classes, in-domain and across corpora. UAR is the mean recall of the classes.",
        "categories",
        (
            "table_1",
            "scores_categories",
            "claims_table_1",
            "figure_2",
            "figure_2_differences",
            "claims_figure_2",
            "table_1_differences",
            "table_1_groups",
            "table_1_speakers",
            "curves_categories",
        ),
    ),
    Chapter(
        "dimensions",
        "Section 6.1: dimensions, one model each",
        "Arousal, valence and dominance, a model for each, trained on the squared error.",
        "dimensions",
        (
            "table_2",
            "scores_dimensions",
            "claims_table_2",
            "table_2_differences",
            "table_2_groups",
            "table_2_speakers",
            "curves_dimensions",
        ),
    ),
    Chapter(
        "multitask",
        "Section 6.2: dimensions, one model for all",
        "All three dimensions at once, trained on the mean concordance correlation.",
        "multitask",
        (
            "table_3",
            "scores_multitask",
            "claims_table_3",
            "table_3_differences",
            "table_3_groups",
            "table_3_speakers",
            "curves_multitask",
        ),
    ),
    Chapter(
        "residuals",
        "Section 6.2 and appendix A: errors along the scale",
        "How errors depend on the truth, of the model of each architecture that is best on validation.",
        "multitask",
        ("figure_3", "figure_3_slopes", "claims_figure_3", "table_4", "claims_table_4"),
    ),
)
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
    **{
        f"claims_{place}": (section, lambda found, place=place: claims.check(found, place))
        for place, section in claims.PLACES.items()
    },
    **{f"ground_truth_{section}": (section, claims.ground_truth) for section in ("categories", "multitask")},
    **{f"scores_{section}": (section, figures.plot_scores) for section in dict.fromkeys(claims.PLACES.values())},
    **{f"curves_{section}": (section, _curves) for section in dict.fromkeys(claims.PLACES.values())},
}
"""Table or figure -> the section that it is made of, and how."""


class Material:
    """The tables and figures of a study, read where the analysis wrote them after the last result, else made anew."""

    def __init__(self, plan: config.Study) -> None:
        self.plan = plan
        self.simulated = simulated(plan)
        self.absent: dict[str, str] = {}  # what could not be had, and why
        self._sections = sections(plan)
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
            return read(path) if path.suffix == ".md" else _picture(name, path.read_bytes(), path.suffix)
        if name in MAKERS and not (name.startswith("ground_truth") and not self.simulated):
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
        return from_markdown(made.markdown(), name)

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
    lacking = missing(plan)
    lacking += tuple(f"{name.replace('_', ' ')}: {why}." for name, why in material.absent.items())
    origins = [provenance_table(plan), versions_table(plan)]
    return _template().render(
        study=plan.name,
        parameters=plan.path.name,
        corpora=[CORPUS_LABELS.get(name, name) for name in plan.corpora],
        simulated=material.simulated,
        runs=len(plan.runs),
        complete=sum(run.complete for run in plan.runs),
        missing=lacking,
        verdicts=count_verdicts(judged) if judged else None,
        what_was_run=runs_table(plan),
        chapters=chapters,
        settings=settings_table(plan),
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
    return environment.from_string(resources(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8"))
