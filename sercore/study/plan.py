"""A study as a batch of jobs: the runs that are left to do, what each needs, the caches, and the analyses.

A run is complete when its folder holds its result, which its notebook writes last. Complete runs are skipped,
whatever else is in their folder; the cause of a run that fails is recorded, and the others go on.
"""

import json
import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

from sercore import files, settings
from sercore.registry import MODELS
from sercore.schema import did_you_mean, first
from sercore.study import attempt, check, costs, scheduler
from sercore.study.attempt import Outcome, Task
from sercore.study.config import Run, Study
from sercore.study.notebooks import PLACES, defaults
from sercore.study.workers import Cluster, Where

PREPARATION = "notebooks/0_corpora.ipynb"
CACHES = "caches"  # the names of jobs that fill caches begin with it
READS = {"corpus", "model", "features", "text"}  # parameters of a notebook that reads caches
PATIENCE = 1800.0  # seconds without a sign of life after which a kernel is ended
WARM = 3  # from so many runs per worker on it pays to fork kernels from a process that has imported everything


def run_parameters(run: Run) -> dict[str, Any]:
    """The parameters of `run`, with its notebook's defaults for those that it does not set; without PLACES.

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

    In each section that its own section needs: those of the same corpus, seed, ... and model, or of the models that its
    model is made from.
    """
    needed: list[Run] = []
    model = run.parameters.get("model")
    models = (MODELS[model].made_from if isinstance(model, str) and model in MODELS else ()) or (model,)
    for section in run.needs:
        others = study.section(section)
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
        needed += alike or others
    return needed


def label(run: Run) -> str:
    """The name of `run` in messages: section/name."""
    return f"{run.section}/{run.name}"


def task(study: Study, run: Run, common: Mapping[str, Any]) -> Task:
    """The execution of the notebook of `run`, with its parameters and paths; `common` are the fields of every task."""
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

    Without these jobs the first runs of each corpus would fill the caches while the others wait.
    """
    readers: dict[str, list[Run]] = {}
    models: dict[str, set[str]] = {}
    for run in study.runs:
        values = run_parameters(run)
        if values.keys() >= READS:
            text = {k: v for k, v in settings.values_of(values, "text").items() if k not in settings.CONDITION}
            front = json.dumps({"features": values["features"], "text": text}, sort_keys=True)
            readers.setdefault(front, []).append(run)
            models.setdefault(front, set()).add(values["model"])
    waiting, jobs = {run.key for run in runs}, []
    needs: dict[tuple[str, str], tuple[str, ...]] = {}
    for front, of_front in readers.items():
        reading = [run for run in of_front if run.key in waiting]
        for corpus in study.corpora if reading else ():
            parameters = {"corpus": corpus, "models": sorted(models[front]), **json.loads(front)}
            job = _filling(study, parameters, common)
            if job is not None:
                jobs.append(job)
                needs |= {run.key: (*needs.get(run.key, ()), job.name) for run in reading}
    return jobs, needs


def _filling(study: Study, parameters: dict[str, Any], common: Mapping[str, Any]) -> scheduler.Job | None:
    """The job that executes PREPARATION with `parameters` to fill one corpus's cache; None where it is filled."""
    digest = blake2b(json.dumps(parameters, sort_keys=True).encode(), digest_size=4).hexdigest()
    name = f"{CACHES}/" + files.folder_name(f"corpus={parameters['corpus']},{digest}")
    folder = study.folder / name
    result = folder / files.PREPARED
    filled = files.find_json(result, entries=list)
    if filled is not None and all(isinstance(entry, str) and Path(entry).is_dir() for entry in filled["entries"]):
        return None
    result.unlink(missing_ok=True)
    places = {"corpora": study.corpora, "folder": str(folder), "cache": str(study.outputs / "cache")}
    filling = Task(
        name=name,
        notebook=files.resolve(PREPARATION),
        output=folder / files.NOTEBOOK,
        parameters=parameters | places,
        result=result,
        **common,
    )
    return scheduler.Job(name=name, call=partial(attempt.run, filling), cost=float("inf"))


def pending(runs: tuple[Run, ...]) -> list[Run]:
    """Those of `runs` that have no result yet.

    Raises ValueError where a run's folder holds the result of other parameters than the study has now.
    """
    changed = []
    for run in runs:
        differs = files.other_parameters(run.folder, run_parameters(run))
        if differs:
            changed.append(f"{label(run)} ({', '.join(differs)})")
    if changed:
        raise ValueError(
            f"{len(changed)} run folders below {runs[0].folder.parent.parent} hold other parameters than "
            f"the study has: {first(changed, 3)}; give the study another name, or remove these folders"
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
            raise ValueError(f"no run has {key}={value}; there is {first(values)}")
    return {run.key for run in runs}


def execute(
    study: Study,
    cluster: Cluster | None = None,
    *,
    only: Collection[tuple[str, str]] | None = None,
    workers: int | None = None,
    retries: int = attempt.RETRIES,
    patience: float = PATIENCE,
) -> Iterator[Outcome]:
    """Run what the study, or those of its runs in `only`, still lacks on `cluster`, and yield each outcome.

    Everything is checked before anything runs. The longest runs begin first, each after the runs that it needs and
    the caches that it reads. A run that fails is recorded in its folder, and the rest goes on.

    Args:
        study: what is to be run.
        cluster: the workers; None starts some on this machine.
        only: (section, name) of the runs; None for all.
        workers: how many to start, where no cluster is given.
        retries: how often a kernel is replaced that was lost, or had no heartbeat for `patience` seconds.
        patience: seconds; 0 waits for ever.

    Raises: ValueError for parameters that do not fit their notebook and for results of other parameters.
    """
    if retries < 0 or not 0 <= patience < math.inf:
        raise ValueError(f"retries {retries}, patience {patience}: expected 0 or more retries and seconds")
    wanted = [run for run in study.runs if only is None or run.key in only]
    todo = pending(tuple(wanted))
    check.check(study, todo)
    waiting = {run.key for run in todo}
    yield from (Outcome(label(run), "skipped") for run in wanted if run.key not in waiting)
    if not todo:
        return
    with _own(cluster, workers, len(todo)) as used, scheduler.batch_marker(study.folder, used) as marker:
        warm = len(todo) >= WARM * sum(used.client.nthreads().values())
        common = {
            "batch_id": used.batch_id,
            "batch_marker": marker,
            "retries": retries,
            "patience": patience,
            "warm": warm,
        }
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
    """`cluster`, which stays when the block ends, or one for this batch."""
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
        with _own(cluster, workers, len(tasks)) as used, scheduler.batch_marker(study.folder, used) as marker:
            common: dict[str, Any] = {"batch_id": used.batch_id, "batch_marker": marker, "patience": PATIENCE}
            planned = [
                scheduler.Job(
                    name=task.name,
                    call=partial(attempt.run, replace(task, **common)),
                    trains=False,
                )
                for task in tasks
            ]
            yield from scheduler.perform(planned, used)


def failures(study: Study) -> dict[str, str]:
    """Name -> cause of the runs whose last execution failed."""
    records = {
        label(run): files.find_json(run.folder / files.FAILURE, cause=str) for run in study.runs if not run.complete
    }
    return {name: record["cause"] for name, record in records.items() if record}


def _inputs(study: Study, notebook: Path) -> str:
    """A digest of what an analysis notebook's output depends on: the notebook, the package, and the study's results."""
    digest = blake2b(notebook.read_bytes() + study.path.read_bytes() + files.source().encode())
    for run in study.runs:
        result = run.folder / run.result
        if result.exists():
            status = result.stat()
            digest.update(f"{result}:{status.st_size}:{status.st_mtime_ns}".encode())
    return digest.hexdigest()
