"""Runs as jobs: what a run's notebook is given, what it needs before it, and the caches that are filled for it.

A study as a batch: which of its runs are still to do, in which order, and which analyses are older than them.

A run is complete when its folder holds its result, which its notebook writes last. Complete runs are skipped,
whatever else is in their folder; a run that fails is recorded with its cause and the others go on.
"""

import ast
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cache, partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import papermill

from sercore import files
from sercore.schema import did_you_mean, first
from sercore.study import attempt, costs, scheduler
from sercore.study.attempt import Outcome, Task
from sercore.study.config import Run, Study
from sercore.study.workers import Cluster, Where

PLACES = ("study", "corpora", "folder", "cache")  # parameters that say where things lie: no part of what a run is
MADE_FROM = {"lf": ("bert", "cnn14")}  # models whose results are made from those of others
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


def run_parameters(run: Run) -> dict[str, Any]:
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


def dependencies(study: Study, run: Run) -> list[Run]:
    """The runs whose results the notebook of `run` reads.

    In each section that its own section needs: those of the same corpus, seed, ... and model, or of its halves.
    """
    found = []
    for section in run.needs:
        others = study.section(section)
        models = MADE_FROM.get(run.parameters.get("model", ""), (run.parameters.get("model"),))
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
        record=run_parameters(run),
        **common,
    )


def preparations(
    study: Study, runs: list[Run], common: Mapping[str, Any]
) -> tuple[list[scheduler.Job], dict[tuple[str, str], tuple[str, ...]]]:
    """Jobs that fill the caches which `runs` read, one for each corpus and front end; and run -> names of its jobs.

    Without them the first runs of each corpus would fill them, while the others wait.
    """
    readers: dict[str, list[Run]] = {}
    models: dict[str, set[str]] = {}
    for run in study.runs:
        values = run_parameters(run)
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


def _fill(study: Study, given: dict[str, Any], common: Mapping[str, Any]) -> scheduler.Job | None:
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
    return scheduler.Job(name=name, call=partial(attempt.run, filling), cost=float("inf"))


RETRIES = 1
PATIENCE = 1800.0  # seconds
WARM = 3  # runs of a worker from which on it pays to fork their kernels from one that has imported everything


def pending(runs: tuple[Run, ...]) -> list[Run]:
    """Those of `runs` that have no result yet.

    Raises ValueError where a run's folder holds the result of other parameters than are asked for now.
    """
    changed = []
    for run in runs:
        differs = files.other_parameters(run.folder, run_parameters(run))
        if differs:
            changed.append(f"{run.section}/{run.name} ({', '.join(differs)})")
    if changed:
        raise ValueError(
            f"{len(changed)} run folders below {runs[0].folder.parent.parent} hold other parameters than "
            f"the study asks for: {first(changed, 3)}; give the study another name, or remove these folders"
        )
    return [run for run in runs if not run.complete]


def select(
    study: Study, sections: Collection[str] = (), where: Mapping[str, str] | None = None
) -> set[tuple[str, str]]:
    """(section, name) of the study's runs in `sections` (none named: all) whose parameters have the values `where`.

    Raises ValueError for a section, a parameter or a value that no run has.
    """
    for section in sections:
        study.section(section)
    runs = [run for run in study.runs if not sections or run.section in sections]
    for key, value in (where or {}).items():
        having = [run for run in runs if key in run.parameters]
        if not having:
            known = sorted({name for run in runs for name in run.parameters})
            raise ValueError(f"no run has a parameter '{key}'{did_you_mean(key, known)}")
        values = sorted({str(run.parameters[key]) for run in having})
        runs = [run for run in having if str(run.parameters[key]) == value]
        if not runs:
            raise ValueError(f"no run has {key}={value}; found: {first(values)}")
    return {run.key for run in runs}


def execute(
    study: Study,
    cluster: Cluster | None = None,
    *,
    only: Collection[tuple[str, str]] | None = None,
    workers: int | None = None,
    retries: int = RETRIES,
    patience: float = PATIENCE,
) -> Iterator[Outcome]:
    """Run what the study, or those of its runs in `only`, still lacks on `cluster`, and yield each outcome.

    Everything is checked before anything runs. The longest runs begin first, each after the runs that it needs and
    the caches that it reads. A run that fails is recorded in its folder and the rest goes on. A kernel that is lost, or
    shows no sign of life for `patience` seconds, is replaced up to `retries` times. `workers`: of this machine, where
    no cluster is given.
    Raises ValueError for parameters that do not fit their notebook and for results of other parameters.
    """
    wanted = [run for run in study.runs if only is None or run.key in only]
    todo = pending(tuple(wanted))
    waiting = {run.key for run in todo}
    yield from (Outcome(label(run), "skipped") for run in wanted if run.key not in waiting)
    if not todo:
        return
    with _own(cluster, workers, len(todo)) as used, scheduler.batch_marker(study.folder, used) as token:
        warm = len(todo) >= WARM * sum(used.client.nthreads().values())
        common = {"owner": used.owner, "token": token, "retries": retries, "patience": patience, "warm": warm}
        expected = costs.expected(study)
        planned, prepared = preparations(study, todo, common)
        for run in todo:
            needs = [other for other in dependencies(study, run) if not other.complete]
            absent = [other for other in needs if other.key not in waiting]
            if absent:
                cause = f"waits for {label(absent[0])}, which is not complete"
                yield Outcome(label(run), "failed", cause=cause)
                continue
            made = task(study, run, common)
            planned.append(
                scheduler.Job(
                    name=made.name,
                    call=partial(attempt.run, made),
                    needs=(*map(label, needs), *prepared.get(run.key, ())),
                    cost=expected[run.key],
                )
            )
        yield from scheduler.perform(planned, used)


def _own(cluster: Cluster | None, workers: int | None, tasks: int) -> AbstractContextManager[Cluster]:
    """`cluster`, which its owner ends, or one for this batch."""
    return nullcontext(cluster) if cluster is not None else Cluster(Where(workers=workers), tasks)


def analyse(study: Study, cluster: Cluster | None = None, workers: int | None = None) -> Iterator[Outcome]:
    """Execute the study's analysis notebooks that are older than what they read, and yield each outcome."""
    tasks = []
    for notebook in study.analysis:
        output = study.folder / "analysis" / notebook.name
        task = Task(
            name=f"analysis/{notebook.stem}",
            notebook=notebook,
            output=output,
            parameters={"study": str(study.path)},
            result=output.with_suffix(".inputs"),
            mark=_inputs(study, notebook),
        )
        if task.complete and output.exists():
            yield Outcome(task.name, "skipped")
        else:
            tasks.append(task)
    if tasks:
        with _own(cluster, workers, len(tasks)) as used, scheduler.batch_marker(study.folder, used) as token:
            planned = [
                scheduler.Job(
                    name=task.name,
                    call=partial(attempt.run, replace(task, owner=used.owner, token=token, patience=PATIENCE)),
                    trains=False,
                )
                for task in tasks
            ]
            yield from scheduler.perform(planned, used)


def failures(study: Study) -> dict[str, str]:
    """Name -> cause of the runs whose last execution failed."""
    found = {}
    for run in study.runs:
        record = run.folder / files.FAILURE
        if record.exists() and not run.complete:
            found[f"{run.section}/{run.name}"] = json.loads(record.read_text(encoding="utf-8"))["cause"]
    return found


def _inputs(study: Study, notebook: Path) -> str:
    """A digest of what an analysis notebook's output depends on: the notebook, the package, and the study's results."""
    digest = blake2b(notebook.read_bytes() + study.path.read_bytes() + files.source().encode())
    for run in study.runs:
        result = run.folder / run.result
        if result.exists():
            status = result.stat()
            digest.update(f"{result}:{status.st_size}:{status.st_mtime_ns}".encode())
    return digest.hexdigest()
