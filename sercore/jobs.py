"""Runs as jobs: what a run's notebook is given, what it needs before it, and the caches that are filled for it."""

import ast
import json
from collections.abc import Mapping
from functools import cache, partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import papermill

from sercore import attempts, batch, files
from sercore.attempts import Task
from sercore.config import Run, Study
from sercore.schema import did_you_mean, first

PLACES = ("study", "corpora", "folder", "cache")  # parameters that say where things lie: no part of what a run is
HALVES = {"lf": ("bert", "cnn14")}  # models whose results are made from those of others
PREPARATION = "notebooks/0_corpora.ipynb"
CACHES = "caches"  # what jobs are called that fill caches
READS = {"corpus", "model", "features", "text"}  # parameters of a notebook that reads them


def defaults(notebook: Path) -> dict[str, Any]:
    """The parameters that `notebook` declares, with the values that it gives them.

    Raises FileNotFoundError for a notebook that is not there and ValueError for a parameter that is no literal.
    """
    if not notebook.exists():
        near = first(sorted(other.name for other in notebook.parent.glob("*.ipynb")))
        raise FileNotFoundError(f"no notebook {notebook}; found in that folder: {near}")
    return dict(_declared(notebook, notebook.stat().st_mtime_ns))


@cache
def _declared(notebook: Path, modified: int) -> dict[str, Any]:  # noqa: ARG001 - `modified` tells when to look again
    found = {}
    for name, parameter in papermill.inspect_notebook(str(notebook)).items():
        try:
            found[name] = ast.literal_eval(parameter["default"])
        except (ValueError, SyntaxError):
            value = parameter["default"]
            raise ValueError(f"{notebook}: parameter {name} = {value} is no literal") from None
    return found


def asked(run: Run) -> dict[str, Any]:
    """Everything that makes `run` what it is: its notebook's defaults with its own values in their place.

    Raises ValueError for a parameter that the notebook does not declare.
    """
    declared = defaults(run.notebook)
    for name in run.parameters:
        if name not in declared:
            raise ValueError(
                f"{run.section}: {run.notebook.name} has no parameter '{name}'{did_you_mean(name, declared)}"
            )
    return {name: value for name, value in {**declared, **run.parameters}.items() if name not in PLACES}


def needed(study: Study, run: Run) -> list[Run]:
    """The runs whose results the notebook of `run` reads.

    In each section that its own section needs: those of the same corpus, seed, ... and model, or of its halves.
    """
    found = []
    for section in run.needs:
        others = study.section(section)
        models = HALVES.get(run.parameters.get("model", ""), (run.parameters.get("model"),))
        alike = [
            other
            for other in others
            if other.parameters.get("model") in models
            and all(
                other.parameters[key] == value
                for key, value in run.parameters.items()
                if key in other.parameters and key != "model"
            )
        ]
        found += alike or others
    return found


def label(run: Run) -> str:
    """What a run is called in messages."""
    return f"{run.section}/{run.name}"


def task(study: Study, run: Run, common: Mapping[str, Any]) -> Task:
    """The notebook of `run`, with what it is given."""
    places = {
        "study": str(study.path),
        "corpora": study.corpora,
        "folder": str(run.folder),
        "cache": str(study.outputs / "cache"),
    }
    declared = defaults(run.notebook)
    return Task(
        name=label(run),
        notebook=run.notebook,
        output=run.folder / files.NOTEBOOK,
        parameters=run.parameters | {name: place for name, place in places.items() if name in declared},
        result=run.folder / run.result,
        record=asked(run),
        **common,
    )


def preparations(
    study: Study, runs: list[Run], common: Mapping[str, Any]
) -> tuple[list[batch.Job], dict[tuple[str, str], tuple[str, ...]]]:
    """Jobs that fill the caches which `runs` read, one for each corpus and front end; and run -> names of its jobs.

    Without them the first runs of each corpus would fill them, while the others wait.
    """
    readers: dict[str, list[Run]] = {}
    models: dict[str, set[str]] = {}
    for run in study.runs:
        values = asked(run)
        if values.keys() >= READS:
            front = json.dumps({"features": values["features"], "text": values["text"]}, sort_keys=True)
            readers.setdefault(front, []).append(run)
            models.setdefault(front, set()).add(values["model"])
    waiting, jobs = {run.key for run in runs}, []
    needs: dict[tuple[str, str], tuple[str, ...]] = {}
    for front, of_front in readers.items():
        reading = [run for run in of_front if run.key in waiting]
        for corpus in study.corpora if reading else ():
            given = {"corpus": corpus, "models": sorted(models[front]), **json.loads(front)}
            job = _fill(study, given, common)
            if job is not None:
                jobs.append(job)
                needs |= {run.key: (*needs.get(run.key, ()), job.name) for run in reading}
    return jobs, needs


def _fill(study: Study, given: dict[str, Any], common: Mapping[str, Any]) -> batch.Job | None:
    """The job that fills one corpus's cache as `given` asks for; None where it is filled."""
    digest = blake2b(json.dumps(given, sort_keys=True).encode(), digest_size=4).hexdigest()
    name = f"{CACHES}/corpus={given['corpus']},{digest}"
    folder = study.folder / name
    result = folder / files.PREPARED
    if result.exists() and all(Path(entry).is_dir() for entry in files.read_json(result)["entries"]):
        return None
    result.unlink(missing_ok=True)
    places = {"corpora": study.corpora, "folder": str(folder), "cache": str(study.outputs / "cache")}
    filling = Task(
        name=name,
        notebook=files.resolve(PREPARATION),
        output=folder / files.NOTEBOOK,
        parameters=given | places,
        result=result,
        **common,
    )
    return batch.Job(name=name, call=partial(attempts.run, filling), cost=float("inf"))
