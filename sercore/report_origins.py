"""Where the results of a report come from: what was run, with which settings, on what, when, and what is missing."""

import datetime
import json
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from sercore import files, notes, settings, study
from sercore.config import Run, Study
from sercore.report_tables import ShownTable, from_records
from sercore.schema import CORPUS_LABELS, MODEL_LABELS, MODELS, first

KINDS = {**notes.KINDS, "training": settings.TrainingSettings}
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
        records.append({
            "section": name,
            "notebook": runs[0].notebook.stem,
            "what the runs differ in": "; ".join(f"{key}: {values}" for key, values in grid.items()),
            "complete": f"{sum(run.complete for run in runs)} of {len(runs)}",
        })  # fmt: skip
    return from_records("What was run", records)


def missing(plan: Study) -> tuple[str, ...]:
    """What the study lacks, a sentence each: runs, with the cause of those that failed, and analysis notebooks."""
    told, failed = [], study.failures(plan)
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
        for name, *told in notes.compared(run.parameters["model"], run.parameters):
            group = used.setdefault(name, {}).setdefault(tuple(map(_text, told)), set())
            group.add((run.section, run.parameters["model"]))
    records = []
    for kind, settings_of in KINDS.items():
        for f in [f for f in fields(settings_of) if f.name in used]:
            groups = used[f.name]
            everywhere = set().union(*groups.values())
            for (here, paper, doubt), users in groups.items():
                records.append({
                    "setting": f"{kind}: {f.name}", "here": here,
                    "the paper's": "the same" if here == paper else paper,
                    "is that certain?": f"not confirmed: {doubt}" if doubt else NOT_DOUBTED,
                    "of": _users(users, everywhere), "meaning": f.metadata["meaning"],
                })  # fmt: skip
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
        records.append({
            "section": name,
            "runs": len(done),
            "commit": _tally((record.get("commit") or "outside a checkout")[:COMMIT_DIGITS] for record in told),
            "device": _tally(fold["device"] for fold in folds),
            "training": _duration(spent["training"]) if folds else "",
            "evaluation": _duration(spent["evaluation"]) if folds else "",
            "results written": _days([run.folder / run.result for run in done]),
        })  # fmt: skip
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
    days = sorted({f"{datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC):%Y-%m-%d}" for path in paths})
    return " to ".join(dict.fromkeys([days[0], days[-1]])) if days else ""


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
