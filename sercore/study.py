"""A study as a batch: which of its runs are still to do, in which order, and which analyses are older than them.

A run is complete when its folder holds its result, which its notebook writes last. Complete runs are skipped,
whatever else is in their folder; a run that fails is recorded with its cause and the others go on.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from pathlib import Path

from sercore import attempts, batch, costs, files, jobs
from sercore.attempts import Outcome, Task
from sercore.clusters import Cluster, Where
from sercore.config import Run, Study
from sercore.schema import did_you_mean, first

RETRIES = 1
PATIENCE = 1800.0  # seconds
WARM = 3  # runs of a worker from which on it pays to fork their kernels from one that has imported everything


def pending(runs: tuple[Run, ...]) -> list[Run]:
    """Those of `runs` that have no result yet.

    Raises ValueError where a run's folder holds the result of other parameters than are asked for now.
    """
    changed = []
    for run in runs:
        differs = files.other_parameters(run.folder, jobs.asked(run))
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
    yield from (Outcome(jobs.label(run), "skipped") for run in wanted if run.key not in waiting)
    if not todo:
        return
    with _own(cluster, workers, len(todo)) as used, batch.announced(study.folder, used) as token:
        warm = len(todo) >= WARM * sum(used.client.nthreads().values())
        common = {"owner": used.owner, "token": token, "retries": retries, "patience": patience, "warm": warm}
        expected = costs.expected(study)
        planned, prepared = jobs.preparations(study, todo, common)
        for run in todo:
            needs = [other for other in jobs.needed(study, run) if not other.complete]
            absent = [other for other in needs if other.key not in waiting]
            if absent:
                cause = f"waits for {jobs.label(absent[0])}, which is not complete"
                yield Outcome(jobs.label(run), "failed", cause=cause)
                continue
            task = jobs.task(study, run, common)
            planned.append(
                batch.Job(
                    name=task.name,
                    call=partial(attempts.run, task),
                    needs=(*map(jobs.label, needs), *prepared.get(run.key, ())),
                    cost=expected[run.key],
                )
            )
        yield from batch.perform(planned, used)


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
        with _own(cluster, workers, len(tasks)) as used, batch.announced(study.folder, used) as token:
            planned = [
                batch.Job(
                    name=task.name,
                    call=partial(attempts.run, replace(task, owner=used.owner, token=token, patience=PATIENCE)),
                    trains=False,
                )
                for task in tasks
            ]
            yield from batch.perform(planned, used)


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
    digest = blake2b(notebook.read_bytes() + study.path.read_bytes())
    for source in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(source.read_bytes())
    for run in study.runs:
        result = run.folder / run.result
        if result.exists():
            status = result.stat()
            digest.update(f"{result}:{status.st_size}:{status.st_mtime_ns}".encode())
    return digest.hexdigest()
