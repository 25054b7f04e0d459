"""A study as one HTML page that needs nothing else: no network, no script, no file beside it.

Tables and figures are those that the analysis notebooks wrote. Where these are missing or older than a result, as in a
study that still runs, the main ones are made anew of the runs that are complete, and the page says what is missing.

In this order: the chapters and what they show, the page, the tables and figures of the chapters (`Material`), and what
the study lacks and is known of the paper.
"""

import base64
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from matplotlib.figure import Figure

from sercore import files, registry
from sercore.analysis import calibration, checklist, claims, composition, figures, published, results, tables, words
from sercore.analysis.checklist import Checklist
from sercore.analysis.composition import records_table, sections
from sercore.analysis.markup import markup
from sercore.analysis.nothing import Nothing
from sercore.analysis.results import Results
from sercore.analysis.tables import Table
from sercore.analysis.verdicts import VERDICTS, together
from sercore.analysis.words import ByWords
from sercore.schema import first
from sercore.study.config import Study
from sercore.study.plan import failures

TEMPLATE = "report.html"
FIGURE_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}  # of a figure in both the first is taken
Maker = Callable[[Results], Table | Figure | Nothing]


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
        "Does the study recover the ground-truth effects of the simulated corpora?",
        "Not in the paper. In the simulated corpora words carry valence, and the sound carries arousal and dominance; "
        "a study that does not recover this is broken.",
        "categories",
        ("ground_truth_categories", "ground_truth_multitask", "multistage_categories", "multistage_multitask"),
    ),
    Chapter(
        "corpora",
        "Section 4.1: the corpora",
        "What the models were trained and tested on.",
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
            "reliability_categories",
            "calibration",
            "rejection",
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
            "table_2_parts",
            "reliability_dimensions",
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
            "table_3_parts",
            "reliability_multitask",
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
        ("figure_3", "figure_3_slopes", "claims_figure_3", "table_4", "table_4_parts", "claims_table_4"),
    ),
    Chapter(
        "words",
        "Where words tell nothing, or mislead",
        "Not in the paper. Whether models still listen where a sentence is said in every emotion, and where the "
        "transcript is that of an utterance of the opposite valence.",
        None,
        (
            "words_categories",
            "scores_by_words_categories",
            "words_dimensions",
            "scores_by_words_dimensions",
            "words_multitask",
            "scores_by_words_multitask",
            "where_words",
            "where_listening",
            "where_words_ratings",
            "where_words_dropout",
        ),
    ),
    Chapter(
        "all_sections",
        "All sections together",
        "Not in the paper. How sure the scores are, how far apart the models are over all tasks, and how often the "
        "verdicts on the paper's claims err.",
        None,
        ("intervals", "performance_profiles", "profiles", "false_verdicts", "power"),
    ),
)
FIGURES = {
    "corpora_classes": ("Emotions in the corpora", "Bars: utterances of each emotion in each partition."),
    "corpora_ratings": ("Ratings in the corpora", "Histograms of arousal, valence and dominance of each corpus."),
    "corpora_durations": ("Durations and speakers", "Histograms of durations; bars of utterances of each speaker."),
    "scores_categories": ("Every seed's UAR", "Points: the UAR of every seed of every model; lines: their means."),
    "scores_dimensions": ("Every seed's score", "Points: every seed's CCC or PCC of every model and dimension."),
    "scores_multitask": ("Every seed's score, multitask", "Points: every seed's CCC or PCC of every model."),
    "figure_2": ("Figure 2. Confusions", "Confusion matrices: truth by prediction, share of the row and count."),
    "figure_2_differences": ("How fusion changes Figure 2", "Confusions of each fusion minus those of CNN14."),
    "figure_3": ("Figure 3. Residuals against truth", "Lines of prediction minus truth on truth, one a model."),
    "performance_profiles": (
        "Performance profiles",
        "Interquartile means of the models, probabilities of improvement, and shares of runs above every score.",
    ),
    "reliability_categories": ("Reliability of the classes", "Accuracy against confidence, in bins, a panel a model."),
    "reliability_dimensions": (
        "Reliability of the ratings",
        "Mean truth against mean prediction, in bins of utterances.",
    ),
    "reliability_multitask": ("Reliability of the ratings, multitask", "Mean truth against mean prediction, in bins."),
    "scores_by_words_categories": (
        "Scores by what the words tell, categories",
        "Mean UAR of every model where words tell, tell nothing and mislead, with intervals.",
    ),
    "scores_by_words_dimensions": (
        "Scores by what the words tell, dimensions",
        "Mean CCC and PCC of every model where words tell, tell nothing and mislead, with intervals.",
    ),
    "scores_by_words_multitask": (
        "Scores by what the words tell, multitask",
        "Mean CCC and PCC of every model where words tell, tell nothing and mislead, with intervals.",
    ),
    "where_listening": (
        "Scores by what the words tell, by stages",
        "Mean UAR of every set of stages where words tell, tell nothing and mislead, with intervals.",
    ),
    "curves_categories": ("Learning curves, categories", "Training loss and development score by epoch."),
    "curves_dimensions": ("Learning curves, dimensions", "Training loss and development score by epoch."),
    "curves_multitask": ("Learning curves, multitask", "Training loss and development score by epoch."),
}
"""Figure -> its title, and what stands for it where it cannot be seen; its numbers are in the tables."""


def _curves(result: Results) -> Figure:
    return figures.plot_learning_curves(results.read_history(result.study, result.section), result.simulated)


def _by_words(result: Results, make: Callable[[ByWords], Table | Figure | Nothing]) -> Table | Figure | Nothing:
    found = words.read(result)
    return found if isinstance(found, Nothing) else make(found)


MAKERS: dict[str, tuple[str, Maker]] = {
    "table_1": ("categories", tables.table_1),
    "table_2": ("dimensions", tables.table_2),
    "table_3": ("multitask", tables.table_3),
    "table_4": ("multitask", tables.table_4),
    "calibration": ("categories", calibration.calibration_table),
    "reliability_categories": ("categories", calibration.plot_class_reliability),
    "rejection": ("categories", calibration.plot_rejection),
    "reliability_dimensions": ("dimensions", calibration.plot_rating_reliability),
    "reliability_multitask": ("multitask", calibration.plot_rating_reliability),
    "table_2_parts": ("dimensions", partial(calibration.parts_table, name="table_2_parts")),
    "table_3_parts": ("multitask", partial(calibration.parts_table, name="table_3_parts")),
    "table_4_parts": ("multitask", partial(calibration.parts_table, name="table_4_parts", best=True)),
    "figure_2": ("categories", figures.plot_confusions),
    "figure_2_differences": ("categories", figures.plot_confusion_differences),
    "figure_3": ("multitask", figures.plot_residuals),
    **{
        f"{name}_{section}": (section, partial(_by_words, make=make))
        for section in dict.fromkeys(claims.PLACES.values())
        for name, make in (("words", words.table), ("scores_by_words", words.plot))
    },
    **{f"claims_{place}": (section, partial(claims.check, place=place)) for place, section in claims.PLACES.items()},
    **{f"ground_truth_{section}": (section, claims.ground_truth) for section in ("categories", "multitask")},
    **{f"scores_{section}": (section, figures.plot_scores) for section in dict.fromkeys(claims.PLACES.values())},
    **{f"curves_{section}": (section, _curves) for section in dict.fromkeys(claims.PLACES.values())},
}
"""Table or figure -> the section that it is made of, and how."""


def page(study: Study, made: datetime | None = None) -> str:
    """The report of `study` as HTML; `made` is the time that it gives (default: now)."""
    material = Material(study)
    return _page(material, checklist.make(study, material.by_change), made)


def _page(material: "Material", asked: Checklist, made: datetime | None = None) -> str:
    study = material.study
    chapters = list(_chapters(material))
    lacking = missing(study)
    reasons = {
        why: [name.replace("_", " ") for name, of in material.absent.items() if of == why]
        for why in material.absent.values()
    }
    lacking += tuple(f"{', '.join(names)}: {why}." for why, names in reasons.items())
    origins = [composition.provenance_table(study), composition.versions_table(study)]
    return _template().render(
        study=study.name,
        parameters=study.path.name,
        corpora=[registry.CORPORA.label(name) for name in study.corpora],
        simulated=material.simulated,
        runs=len(study.runs),
        complete=sum(run.complete for run in study.runs),
        missing=lacking,
        verdicts=_markup(count_verdicts(material.claims)) if material.claims else None,
        what_was_run=_markup(composition.runs_table(study)),
        chapters=chapters,
        settings=_markup(composition.settings_table(study)),
        paper=[_markup(table) for table in paper_tables()],
        origins=[_markup(table) for table in origins if len(table.frame)],
        checklist=_without_folder(asked.html()),
        made=f"{made or datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        **_own_origin(),
    )


def write(study: Study, path: Path | None = None, watts: float | None = None) -> list[Path]:
    """Write the report of `study` (default: report.html in its folder), and its checklist in LaTeX beside it.

    `watts`: as checklist.make has it. Returns the paths.
    """
    path, material = path or study.folder / "report.html", Material(study)
    asked = checklist.make(study, material.by_change, watts)
    appendix = path.with_name(f"{path.stem}_checklist.tex")
    files.write_text(path, _page(material, asked))
    files.write_text(appendix, asked.latex())
    return [path, appendix]


def _chapters(material: "Material") -> Iterator[tuple[Chapter, Mapping[str, str]]]:
    """The chapters that the study has something for, and last the tables and figures that belong to none."""
    for chapter in CHAPTERS:
        if chapter.section is None or chapter.section in {run.section for run in material.study.runs}:
            pieces = material.chapter(chapter)
            if pieces:
                yield chapter, pieces
    others = material.others()
    if others:
        yield Chapter("others", "Other tables and figures", "Of further analyses.", None, tuple(others)), others


def _own_origin() -> dict[str, Any]:
    own = files.provenance()
    return {"commit": own["commit"], "version": own["versions"].get("sercore", "")}


def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(resources(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8"))


class Material:
    """The tables and figures of a study, read where the analysis wrote them after the last result, else made anew."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.simulated = composition.simulated(study)
        self.absent: dict[str, str] = {}  # what there is neither a file nor a way to make, and why
        self.claims: dict[str, pd.DataFrame] = {}  # what the claims are about -> the numbers of their table
        self._sections = sections(study)
        self._results_of: dict[str, Results] = {}

    def chapter(self, chapter: Chapter) -> dict[str, str]:
        """Name -> HTML of those pieces of `chapter` that there are; the others are noted in `absent`.

        Where the study has nothing for a piece, a sentence says so, once for all of the chapter that lack the same.
        """
        names: dict[str, str] = {}  # HTML -> the first that it stands for
        for name in chapter.pieces:
            if piece := self._piece(name):
                names.setdefault(piece, name)
        return {name: piece for piece, name in names.items()}

    def others(self) -> dict[str, str]:
        """The tables and figures that no chapter names."""
        named = {piece for chapter in CHAPTERS for piece in chapter.pieces}
        names = sorted({path.stem for path in self._files if path.suffix in (".md", ".html", *FIGURE_TYPES)} - named)
        return {name: piece for name in names if (piece := self._piece(name))}

    @cached_property
    def _files(self) -> list[Path]:
        return [path for kind in ("tables", "figures") for path in sorted((self.study.folder / kind).glob("*.*"))]

    @cached_property
    def _newest_result(self) -> float:
        return max((run.folder / run.result).stat().st_mtime for run in self.study.runs if run.complete)

    def _piece(self, name: str) -> str | None:
        """The table or figure `name`: what the analysis wrote, where nothing is newer, else what is made now."""
        candidates = [self.study.folder / "tables" / f"{name}{suffix}" for suffix in (".html", ".md")]
        candidates += [self.study.folder / "figures" / f"{name}{suffix}" for suffix in FIGURE_TYPES]
        path = next((path for path in candidates if path in self._files), None)
        whole = all(run.complete for run in self.study.runs)
        if path and whole and path.stat().st_mtime >= self._newest_result:
            return self._written(name, path)
        if name in MAKERS and not (name.startswith("ground_truth") and not self.simulated):
            return self._made(name)
        if path:
            self.absent[name] = "older than the results"
        return None

    def _written(self, name: str, path: Path) -> str:
        """The piece in the file `path`; a table of an older version, which has no HTML, is shown as Markdown."""
        if path.suffix in FIGURE_TYPES:
            return _picture(name, path.read_bytes(), path.suffix)
        if path.with_suffix(".csv").exists():
            self._note_claims(name, files.unguarded(pd.read_csv(path.with_suffix(".csv"), dtype="str")))
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".md":
            text = markup('<h3 id="{}">{}</h3>\n<pre>{}</pre>\n', name, _plain_title(name), text)
        return _without_folder(text)

    def _made(self, name: str) -> str | None:
        section, make = MAKERS[name]
        runs = self._sections.get(section, ())
        if not any(run.complete for run in runs):
            return None
        try:
            piece = make(self._results(section))
        except (ValueError, LookupError, ZeroDivisionError, FileNotFoundError) as error:
            self.absent[name] = f"cannot be made of the runs that are there ({error})"
            return None
        if isinstance(piece, Nothing):
            return markup("<p>{}</p>\n", piece)
        if isinstance(piece, Figure):
            return _picture(name, figures.picture(piece), ".png")
        self._note_claims(name, piece.numbers)
        return _markup(piece)

    def _note_claims(self, name: str, numbers: pd.DataFrame) -> None:
        if name.startswith("claims_"):
            self.claims[name.removeprefix("claims_").replace("_", " ")] = numbers

    def by_change(self, section: str) -> dict[str, Results]:
        """Change -> the results of `section`, see results.by_change; read once where nothing is changed."""
        if any("change" in run.parameters for run in self._sections[section]):
            return results.by_change(self.study, section, incomplete="show")
        return {"None": self._results(section)}

    def _results(self, section: str) -> Results:
        if section not in self._results_of:
            self._results_of[section] = results.read(self.study, section, incomplete="show")
        return self._results_of[section]


def _picture(name: str, content: bytes, suffix: str) -> str:
    """A figure, within the page."""
    title, alt = FIGURES.get(name, (_plain_title(name), f"The figure {name}."))
    source = f"data:{FIGURE_TYPES[suffix]};base64,{base64.b64encode(content).decode()}"
    return markup('<h3 id="{}">{}</h3>\n<figure><img src="{}" alt="{}"></figure>\n', name, title, source, alt)


def _markup(table: Table) -> str:
    return _without_folder(table.html())


def _without_folder(text: str) -> str:
    """HTML that we wrote, without the project's folder where a note names a file in it."""
    return text.replace(f"{files.project()}/", "")


def _plain_title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def count_verdicts(numbers: Mapping[str, pd.DataFrame]) -> Table:
    """How many claims hold, do not hold, or stay open here; one row for each table of claims, and one for all.

    `numbers`: what the claims are about -> the numbers of their table, with the columns claim and verdict, one row for
    each comparison that a claim is made of.
    """
    rows, total = {}, Counter[str]()
    for about, comparisons in numbers.items():
        verdicts = [together(list(parts)) for _, parts in comparisons.groupby("claim", sort=False)["verdict"]]
        total.update(verdicts)
        rows[about] = Counter(verdicts)
    rows["together"] = total
    counts = [
        {"claims": about, **{name: of[name] for name in VERDICTS}, "of": of.total()} for about, of in rows.items()
    ]
    return records_table("verdict_counts", "How many claims hold here", counts, align="r")


def missing(study: Study) -> tuple[str, ...]:
    """What the study lacks, a sentence each: runs, with the cause of those that failed, and analysis notebooks."""
    lacking, failed = [], failures(study)
    for name, runs in sections(study).items():
        absent = [run.name for run in runs if not run.complete and f"{name}/{run.name}" not in failed]
        if absent:
            lacking.append(f"Section '{name}': {_counted(len(absent), 'run')} not complete ({first(absent, most=8)}).")
    lacking += [f"{name} failed: {cause}" for name, cause in failed.items()]
    absent = [path.stem for path in study.analysis if not (study.folder / "analysis" / path.name).exists()]
    if absent:
        lacking.append(f"Not executed yet: {_counted(len(absent), 'analysis notebook')} ({first(absent, most=12)}).")
    return tuple(lacking)


def paper_tables() -> list[Table]:
    """What is known of the paper: what it fixes, which of its markers follow from its numbers, and what came after."""
    facts = [
        {"fact": f"{row.part}: {row.fact}", "value": row.value, "how it is known": row.meaning, "note": row.note}
        for row in published.facts().itertuples()
    ]
    return [
        records_table("paper_facts", "What the paper fixes, and what it does not", facts),
        _markers_table(),
        _beyond_table(),
    ]


def _markers_table() -> Table:
    tests, exceptions = published.markers_recomputed(), published.exceptions()
    records, below = [], []
    for (number, against), group in tests.groupby(["table", "against"], sort=False):
        records.append(
            {
                "table": f"Table {number}, against {registry.MODELS.label(against)}",
                "could be marked": len(group),
                "marked": int(group["printed"].sum()),
                "as the printed numbers say": int(group["agrees"].sum()),
            }
        )
    for row in exceptions.itertuples():
        corpora = f"{registry.CORPORA.label(row.train_corpus)} → {registry.CORPORA.label(row.test_corpus)}"
        where = f"Table {row.table}, {registry.MODELS.label(row.model)}, {corpora}, {row.target}"
        below.append(f"{where}: {row.why}.")
    below.append(
        f"Each fusion model's cells, tested again from the printed mean (sd, ddof 0) of {published.SEEDS} seeds; where "
        "p is below .05 there should be a marker."
    )
    title = "Do the paper's significance markers follow from its numbers?"
    return records_table("paper_markers", title, records, below, align="r")


def _beyond_table() -> Table:
    records = [
        {
            "of": f"{row.target}, {registry.METRICS.label(row.metric)}",
            "score": tables.number_text(row.score, row.metric),
            "the paper": tables.number_text(row.paper, row.metric),
            "model": row.model,
            "test": f"{registry.CORPORA.label(row.corpus)} {row.test}",
            "source": row.source,
        }
        for row in published.beyond().itertuples()
    ]
    return records_table("paper_beyond", "What others have reached since", records)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
