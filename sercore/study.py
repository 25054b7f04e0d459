"""Running a study: its notebooks through papermill, side by side on Dask, each run executed once.

A run is complete when its folder holds a predictions table, which its notebook writes last. Complete runs are
skipped, whatever else is in their folder; a run that fails is recorded with its cause and the others go on.
"""

import ast
import json
import logging
import os
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

import papermill
from dask.distributed import Client, LocalCluster, as_completed

from sercore import files, kernels
from sercore.config import Run, Study
from sercore.schema import did_you_mean, first

PLACES = ("study", "corpora", "folder", "cache")  # parameters that say where things lie: no part of what a run is


@dataclass(frozen=True)
class Outcome:
    """What became of one notebook: `complete`, `skipped` or `failed`, after how many seconds, and why it failed."""

    name: str
    state: str
    seconds: float = 0.0
    cause: str = ""


def defaults(notebook: Path) -> dict[str, Any]:
    """The parameters that `notebook` declares, with the values that it gives them.

    Raises FileNotFoundError for a notebook that is not there and ValueError for a parameter that is no literal.
    """
    if not notebook.exists():
        near = first(sorted(other.name for other in notebook.parent.glob("*.ipynb")))
        raise FileNotFoundError(f"no notebook {notebook}; found in that folder: {near}")
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


def pending(runs: tuple[Run, ...]) -> list[Run]:
    """Those of `runs` that have no result yet.

    Raises ValueError where a run's folder holds the result of other parameters than are asked for now.
    """
    changed = []
    for run in runs:
        differs = files.other_parameters(run.folder, asked(run))
        if differs:
            changed.append(f"{run.section}/{run.name} ({', '.join(differs)})")
    if changed:
        raise ValueError(
            f"{len(changed)} run folders below {runs[0].folder.parent.parent} hold other parameters than "
            f"the study asks for: {first(changed, 3)}; give the study another name, or remove these folders"
        )
    return [run for run in runs if not run.complete]


def execute(study: Study, workers: int | None = None, sections: tuple[str, ...] = ()) -> Iterator[Outcome]:
    """Run what the study still lacks, `workers` notebooks at a time (default: one a core), and yield each outcome.

    Everything is checked before anything runs. A run that fails is recorded in its folder and the rest goes on.
    Raises ValueError for parameters that do not fit their notebook and for results of other parameters.
    """
    wanted = tuple(run for run in study.runs if not sections or run.section in sections)
    todo = pending(wanted)
    waiting = {(run.section, run.name) for run in todo}
    for run in wanted:
        if (run.section, run.name) not in waiting:
            yield Outcome(f"{run.section}/{run.name}", "skipped")
    for group in _in_order(todo):
        unmet = [need for need in group[0].needs if not all(run.complete for run in study.section(need))]
        if unmet:
            cause = f"waits for section '{unmet[0]}', which is not complete"
            yield from (Outcome(f"{run.section}/{run.name}", "failed", cause=cause) for run in group)
        else:
            jobs = [(f"{run.section}/{run.name}", lambda run=run: _train(study, run)) for run in group]
            yield from _side_by_side(jobs, workers)


def _in_order(runs: list[Run]) -> list[list[Run]]:
    """`runs` in groups that can run side by side: first those that need no other section, then each that does."""
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.section, *run.needs) if run.needs else (), []).append(run)
    return sorted(groups.values(), key=lambda group: len(group[0].needs))


def analyse(study: Study, workers: int | None = None) -> Iterator[Outcome]:
    """Execute the study's analysis notebooks that are older than what they read, and yield each outcome."""
    jobs = []
    for notebook in study.analysis:
        output = study.folder / "analysis" / notebook.name
        key = _inputs(study, notebook)
        recorded = output.with_suffix(".inputs")
        if output.exists() and recorded.exists() and recorded.read_text(encoding="utf-8") == key:
            yield Outcome(f"analysis/{notebook.stem}", "skipped")
        else:
            jobs.append((f"analysis/{notebook.stem}", lambda n=notebook, o=output, k=key: _analyse(study, n, o, k)))
    if jobs:
        yield from _side_by_side(jobs, workers)


def _side_by_side(jobs: list[tuple[str, Callable[[], None]]], workers: int | None) -> Iterator[Outcome]:
    """Run `jobs` as Dask tasks, `workers` at a time, each in a thread of this process that waits for its kernel.

    Threads, because kernels started from several processes at once race for ports.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(workers or cores, len(jobs))
    kernels.allow()
    threads = os.environ.get("OMP_NUM_THREADS")
    # inherited by the kernels: more threads than cores are many times slower
    os.environ["OMP_NUM_THREADS"] = str(max(1, cores // workers))
    try:
        with (
            LocalCluster(
                n_workers=1,
                threads_per_worker=workers,
                processes=False,
                dashboard_address=":0",
                silence_logs=logging.ERROR,
            ) as cluster,
            Client(cluster) as client,
        ):
            futures = [client.submit(_attempt, name, job, pure=False) for name, job in jobs]
            try:
                for future in as_completed(futures):
                    yield future.result()
            except BaseException:  # Ctrl-C, or the caller has enough: kernels must not train on unseen
                kernels.stop()
                raise
    finally:
        if threads is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = threads


def _attempt(name: str, job: Callable[[], None]) -> Outcome:
    """The outcome of `job`, whatever it raised: one failed notebook must not take the others with it."""
    start = time.monotonic()
    try:
        job()
    except Exception as error:  # noqa: BLE001 - a notebook may fail in any way, and its cause is what is wanted
        return Outcome(name, "failed", time.monotonic() - start, kernels.cause(error))
    return Outcome(name, "complete", time.monotonic() - start)


def _train(study: Study, run: Run) -> None:
    """Execute the notebook of `run`. Raises RuntimeError where it ends without a result."""
    places = {
        "study": str(study.path),
        "corpora": study.corpora,
        "folder": str(run.folder),
        "cache": str(study.outputs / "cache"),
    }
    declared = defaults(run.notebook)
    try:
        files.write_yaml(run.folder / files.PARAMETERS, asked(run))
        given = run.parameters | {name: place for name, place in places.items() if name in declared}
        kernels.execute(run.notebook, run.folder / files.NOTEBOOK, given)
        if not run.complete:
            raise RuntimeError(f"{run.notebook.name} ended without a result; expected {run.folder / run.result}")
    except kernels.StoppedError:
        raise
    except Exception as error:
        _record(run.folder / files.FAILURE, error)
        raise
    (run.folder / files.FAILURE).unlink(missing_ok=True)


def _analyse(study: Study, notebook: Path, output: Path, key: str) -> None:
    """Execute an analysis notebook and record what it was made from."""
    kernels.execute(notebook, output, {"study": str(study.path)})
    files.write_text(output.with_suffix(".inputs"), key)


def _record(path: Path, error: Exception) -> None:
    """Write down why a run failed, beside its notebook."""
    files.write_json(path, {"time": datetime.now(UTC).isoformat(timespec="seconds"), "cause": kernels.cause(error),
                            "trace": "".join(traceback.format_exception(error))[-8000:]})  # fmt: skip


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
