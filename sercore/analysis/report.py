"""A study as one HTML page that needs nothing else: no network, no script, no file beside it.

Tables and figures are those that the analysis notebooks wrote. Where these are missing or older than a result, as in a
study that still runs, the main ones are made anew of the runs that are complete, and the page says what is missing.

In this order: the chapters and what they show, the page, the tables and figures of the chapters (`Material`), and the
tables about the study itself: its runs, its settings, and where its results come from.
"""

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from sercore import files, registry, settings
from sercore.analysis import calibration, captions, claims, figures, published, results, tables, words
from sercore.analysis.markup import markup
from sercore.analysis.nothing import Nothing
from sercore.analysis.results import Results
from sercore.analysis.tables import Table
from sercore.analysis.verdicts import VERDICTS, together
from sercore.analysis.words import ByWords
from sercore.schema import first
from sercore.study.config import Run, Study
from sercore.study.plan import failures

TEMPLATE = "report.html"
FIGURE_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}  # of a figure in both the first is taken
SETTING_KINDS = {**captions.KINDS, "training": settings.TrainingSettings}
NOT_DOUBTED = "not doubted"
COMMIT_DIGITS = 10
MOST_VALUES = 12  # of one parameter of a grid, in a cell
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
    chapters = list(_chapters(material))
    lacking = missing(study)
    reasons = {
        why: [name.replace("_", " ") for name, of in material.absent.items() if of == why]
        for why in material.absent.values()
    }
    lacking += tuple(f"{', '.join(names)}: {why}." for why, names in reasons.items())
    origins = [provenance_table(study), versions_table(study)]
    return _template().render(
        study=study.name,
        parameters=study.path.name,
        corpora=[registry.CORPORA.label(name) for name in study.corpora],
        simulated=material.simulated,
        runs=len(study.runs),
        complete=sum(run.complete for run in study.runs),
        missing=lacking,
        verdicts=_markup(count_verdicts(material.claims)) if material.claims else None,
        what_was_run=_markup(runs_table(study)),
        chapters=chapters,
        settings=_markup(settings_table(study)),
        paper=[_markup(table) for table in paper_tables()],
        origins=[_markup(table) for table in origins if len(table.frame)],
        made=f"{made or datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        **_own_origin(),
    )


def write(study: Study, path: Path | None = None) -> Path:
    """Write the report of `study` (default: report.html in the study's folder) and return its path."""
    path = path or study.folder / "report.html"
    files.write_text(path, page(study))
    return path


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
        self.simulated = simulated(study)
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
    return _table("verdict_counts", "How many claims hold here", counts, align="r")


def _table(
    name: str, title: str, records: Sequence[Mapping[str, Any]], notes: Iterable[str] = (), align: str = "l"
) -> Table:
    """A table of `records`, one a row and all with the same keys; the first of these is the row's name."""
    numbers = pd.DataFrame(records)
    frame = numbers.astype(str).set_index(numbers.columns[0]) if len(numbers) else numbers
    return Table(name, title, frame, numbers, tuple(notes), align)


def sections(study: Study) -> dict[str, tuple[Run, ...]]:
    """Name -> runs of each section of the study, in the order of its parameters file."""
    return {name: study.section(name) for name in dict.fromkeys(run.section for run in study.runs)}


def simulated(study: Study) -> bool | None:
    """Whether any result of the study is about synthesised speech; None while there is no result."""
    paths = [run.folder / files.PREDICTIONS for run in study.runs]
    columns = [pq.read_table(path, columns=["simulated"])["simulated"] for path in paths if path.exists()]
    return any(pc.any(column).as_py() for column in columns) if columns else None


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


def runs_table(study: Study) -> Table:
    """What the study is made of: one row a section, with what its runs differ in and how many are complete."""
    records = []
    for name, runs in sections(study).items():
        keys = dict.fromkeys(key for run in runs for key in run.grid)
        values = {key: _values(runs, key) for key in keys}
        records.append(
            {
                "section": name,
                "notebook": runs[0].notebook.stem,
                "what the runs differ in": "; ".join(f"{key}: {text}" for key, text in values.items()),
                "complete": f"{sum(run.complete for run in runs)} of {len(runs)}",
            }
        )
    return _table("what_was_run", "What was run", records)


def settings_table(study: Study) -> Table:
    """Every setting that a run uses: its value, the paper's, and whether the paper's text confirms that."""
    used: dict[str, dict[tuple[str, str, str], set[tuple[str, str]]]] = {}
    for run in study.runs:
        model = run.parameters.get("model")
        if run.needs or model is None:  # trains nothing, or the notebook alone knows what
            continue
        for name, value, paper, doubt in captions.compared(model, run.parameters, captions.size_of(run)):
            group = used.setdefault(name, {}).setdefault((_text(value), _text(paper), doubt), set())
            group.add((run.section, model))
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
    records += [
        {
            "setting": f"no setting: {choice.fact}",
            "here": choice.here,
            "the paper's": "not stated" if choice.doubt == published.CERTAINTY["-"] else "the same",
            "is that certain?": f"not confirmed: {choice.doubt}",
            "of": choice.models,
            "meaning": "",
        }
        for choice in captions.choices(run.parameters["model"] for run in study.runs if "model" in run.parameters)
    ]
    below = "Certain: whether the paper's text confirms the value that is taken for the paper's."
    return _table("settings_table", "Settings", records, [below])


def paper_tables() -> list[Table]:
    """What is known of the paper: what it fixes, which of its markers follow from its numbers, and what came after."""
    facts = [
        {"fact": f"{row.part}: {row.fact}", "value": row.value, "how it is known": row.meaning, "note": row.note}
        for row in published.facts().itertuples()
    ]
    return [
        _table("paper_facts", "What the paper fixes, and what it does not", facts),
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
    return _table("paper_markers", title, records, below, align="r")


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
    return _table("paper_beyond", "What others have reached since", records)


def provenance_table(study: Study) -> Table:
    """Commits, devices, seconds and days of the complete runs, one row a section."""
    records = []
    for name, runs in sections(study).items():
        done = [run for run in runs if run.complete]
        origins = [record for record in map(_provenance, done) if record]
        folds = [fold for record in origins for fold in record.get("folds", {}).values()]
        spent = {stage: sum(fold["seconds"].get(stage, 0.0) for fold in folds) for stage in ("training", "evaluation")}
        records.append(
            {
                "section": name,
                "runs": len(done),
                "commit": _tally((record.get("commit") or "outside a checkout")[:COMMIT_DIGITS] for record in origins),
                "device": _tally(fold["device"] for fold in folds),
                "training": _duration(spent["training"]) if folds else "",
                "evaluation": _duration(spent["evaluation"]) if folds else "",
                "results written": _days([run.folder / run.result for run in done]),
            }
        )
    dirty = any("-dirty" in (record.get("commit") or "") for record in map(_provenance, study.runs) if record)
    below = ["Commits with changes that were not committed are among these."] if dirty else []
    return _table("origins", "Where the results come from", records, below)


def versions_table(study: Study) -> Table:
    """The software of the complete runs, one row a package."""
    counts: dict[str, Counter[str]] = {}
    for record in filter(None, map(_provenance, study.runs)):
        packages = {"python": record.get("python"), **record.get("versions", {}), "platform": record.get("platform")}
        for name, value in packages.items():
            counts.setdefault(name, Counter())[str(value)] += 1
    records = [{"package": name, "version": _tally(versions)} for name, versions in counts.items()]
    return _table("software", "Software", records)


def _provenance(run: Run) -> dict[str, Any] | None:
    return files.find_json(run.folder / files.PROVENANCE) if run.complete else None


def _values(runs: tuple[Run, ...], key: str) -> str:
    """The values that the parameter `key` takes, in print."""
    values = list(dict.fromkeys(run.parameters[key] for run in runs if key in run.parameters))
    if key == "model":
        values = sorted(values, key=registry.MODELS.position)
    in_print = {"model": registry.MODELS.label, "corpus": registry.CORPORA.label}.get(key, _text)
    return first(map(in_print, values), most=MOST_VALUES)


def _users(users: set[tuple[str, str]], everywhere: set[tuple[str, str]]) -> str:
    """Which models of which sections: the sections are named where they do not all have the same."""
    names, of = {model for _, model in users}, sorted({section for section, _ in users})
    models = ", ".join(registry.MODELS.label(model) for model in sorted(names, key=registry.MODELS.position))
    same = of == sorted({section for section, model in everywhere if model in names})
    return models if same else f"{models} in {', '.join(of)}"


def _text(value: object) -> str:
    if is_dataclass(value):  # a group of settings, which says itself how it is printed
        return str(value)
    return value if isinstance(value, str) else "none" if value is None else json.dumps(value)


def _tally(values: Iterable[str] | Counter[str]) -> str:
    """Distinct values, with how many have each where there are several."""
    counts = Counter(values)
    several = ", ".join(f"{value} ({count})" for value, count in counts.most_common())
    return next(iter(counts)) if len(counts) == 1 else several or "not recorded"


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{hours:.1f} h" if hours >= 2 else f"{minutes:.1f} min" if minutes >= 2 else f"{seconds:.0f} s"


def _days(paths: list[Path]) -> str:
    """First and last day on which one of `paths` was written, in UTC."""
    days = sorted({f"{datetime.fromtimestamp(path.stat().st_mtime, UTC):%Y-%m-%d}" for path in paths})
    return " to ".join(dict.fromkeys([days[0], days[-1]])) if days else ""


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
