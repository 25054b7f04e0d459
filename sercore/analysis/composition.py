"""What a study is made of, as tables: its runs, its settings, and where its results come from.

They are read from the parameters file and the run folders; nothing is computed from predictions.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sercore import files, registry, settings
from sercore.analysis import captions, published
from sercore.analysis.tables import Table
from sercore.schema import first
from sercore.study.config import Run, Study

SETTING_KINDS = {**captions.KINDS, "training": settings.TrainingSettings}
NOT_DOUBTED = "not doubted"
COMMIT_DIGITS = 10
MOST_VALUES = 12  # of one parameter of a grid, in a cell


def sections(study: Study) -> dict[str, tuple[Run, ...]]:
    """Name -> runs of each section of the study, in the order of its parameters file."""
    return {name: study.section(name) for name in dict.fromkeys(run.section for run in study.runs)}


def simulated(study: Study) -> bool | None:
    """Whether any result of the study is about synthesised speech; None while there is no result."""
    paths = [run.folder / files.PREDICTIONS for run in study.runs]
    columns = [pq.read_table(path, columns=["simulated"])["simulated"] for path in paths if path.exists()]
    return any(pc.any(column).as_py() for column in columns) if columns else None


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
    return records_table("what_was_run", "What was run", records)


Used = dict[tuple[str, str], dict[tuple[str, str, str], set[tuple[str, str]]]]
"""Kind and name of a setting -> value, the paper's, what makes that doubtful, in print -> section, model with it."""


def used_settings(study: Study) -> Used:
    """Every setting that a run uses, with all of its values."""
    used: Used = {}
    for run in study.runs:
        model = run.parameters.get("model")
        if run.needs or model is None:  # trains nothing, or the notebook alone knows what
            continue
        for kind, name, value, paper, doubt in captions.compared(model, run.parameters, captions.size_of(run)):
            group = used.setdefault((kind, name), {}).setdefault((in_print(value), in_print(paper), doubt), set())
            group.add((run.section, model))
    return used


def settings_table(study: Study) -> Table:
    """Every setting that a run uses: its value, the paper's, and whether the paper's text confirms that."""
    used = used_settings(study)
    records = []
    for kind, settings_of in SETTING_KINDS.items():
        for f in [f for f in fields(settings_of) if (kind, f.name) in used]:
            groups = used[kind, f.name]
            everywhere = set().union(*groups.values())
            for (here, paper, doubt), users in groups.items():
                records.append(
                    {
                        "setting": f"{kind}: {f.name}",
                        "here": here,
                        "the paper's": "the same" if here == paper else paper,
                        "is that certain?": f"not confirmed: {doubt}" if doubt else NOT_DOUBTED,
                        "of": users_in_print(users, everywhere),
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
    return records_table("settings_table", "Settings", records, [below])


def provenance_table(study: Study) -> Table:
    """Commits, devices, seconds and days of the complete runs, one row a section."""
    records = []
    for name, runs in sections(study).items():
        done = [run for run in runs if run.complete]
        origins = [record for record in map(provenance, done) if record]
        folds = [fold for record in origins for fold in record.get("folds", {}).values()]
        spent = {stage: sum(fold["seconds"].get(stage, 0.0) for fold in folds) for stage in ("training", "evaluation")}
        records.append(
            {
                "section": name,
                "runs": len(done),
                "commit": tally((record.get("commit") or "outside a checkout")[:COMMIT_DIGITS] for record in origins),
                "device": tally(fold["device"] for fold in folds),
                "training": duration(spent["training"]) if folds else "",
                "evaluation": duration(spent["evaluation"]) if folds else "",
                "results written": _days([run.folder / run.result for run in done]),
            }
        )
    dirty = any("-dirty" in (record.get("commit") or "") for record in map(provenance, study.runs) if record)
    below = ["Commits with changes that were not committed are among these."] if dirty else []
    return records_table("origins", "Where the results come from", records, below)


def versions_table(study: Study) -> Table:
    """The software of the complete runs, one row a package."""
    counts: dict[str, Counter[str]] = {}
    for record in filter(None, map(provenance, study.runs)):
        packages = {"python": record.get("python"), **record.get("versions", {}), "platform": record.get("platform")}
        for name, value in packages.items():
            counts.setdefault(name, Counter())[str(value)] += 1
    records = [{"package": name, "version": tally(versions)} for name, versions in counts.items()]
    return records_table("software", "Software", records)


def records_table(
    name: str, title: str, records: Sequence[Mapping[str, Any]], notes: Iterable[str] = (), align: str = "l"
) -> Table:
    """A table of `records`, one a row and all with the same keys; the first of these is the row's name."""
    numbers = pd.DataFrame(records)
    frame = numbers.astype(str).set_index(numbers.columns[0]) if len(numbers) else numbers
    return Table(name, title, frame, numbers, tuple(notes), align)


def provenance(run: Run) -> dict[str, Any] | None:
    """What the complete `run` was made from, see training.experiment; None where it is not complete or recorded."""
    return files.find_json(run.folder / files.PROVENANCE) if run.complete else None


def _values(runs: tuple[Run, ...], key: str) -> str:
    """The values that the parameter `key` takes, in print."""
    values = list(dict.fromkeys(run.parameters[key] for run in runs if key in run.parameters))
    if key == "model":
        values = sorted(values, key=registry.MODELS.position)
    printed = {"model": registry.MODELS.label, "corpus": registry.CORPORA.label}.get(key, in_print)
    return first(map(printed, values), most=MOST_VALUES)


def users_in_print(users: set[tuple[str, str]], everywhere: set[tuple[str, str]]) -> str:
    """Which models of which sections: the sections are named where they do not all have the same."""
    names, of = {model for _, model in users}, sorted({section for section, _ in users})
    models = ", ".join(registry.MODELS.label(model) for model in sorted(names, key=registry.MODELS.position))
    same = of == sorted({section for section, model in everywhere if model in names})
    return models if same else f"{models} in {', '.join(of)}"


def in_print(value: object) -> str:
    """A parameter's value as a table shows it."""
    if is_dataclass(value):  # a group of settings, which says itself how it is printed
        return str(value)
    return value if isinstance(value, str) else "none" if value is None else json.dumps(value)


def tally(values: Iterable[str] | Counter[str]) -> str:
    """Distinct values, with how many have each where there are several."""
    counts = Counter(values)
    several = ", ".join(f"{value} ({count})" for value, count in counts.most_common())
    return next(iter(counts)) if len(counts) == 1 else several or "not recorded"


def duration(seconds: float) -> str:
    """`seconds` in the unit that a reader takes in at a glance."""
    minutes, hours = seconds / 60, seconds / 3600
    return f"{hours:.1f} h" if hours >= 2 else f"{minutes:.1f} min" if minutes >= 2 else f"{seconds:.0f} s"


def _days(paths: list[Path]) -> str:
    """First and last day on which one of `paths` was written, in UTC."""
    days = sorted({f"{datetime.fromtimestamp(path.stat().st_mtime, UTC):%Y-%m-%d}" for path in paths})
    return " to ".join(dict.fromkeys([days[0], days[-1]])) if days else ""
