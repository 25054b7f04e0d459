"""Which runs of a study are done, running, waiting or failed, their learning curves, and the time that is left.

It is read from the run folders alone, so any process on the same file system can look, during a batch or afterwards.
"""

import contextlib
import dataclasses
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from sercore import files
from sercore.study import config, costs, scheduler
from sercore.study.config import Run, Study
from sercore.study.plan import dependencies, run_parameters

STATES = ("done", "running", "waiting", "failed")
SILENCE = 120.0  # seconds without a heartbeat after which a run whose process is gone counts as ended
SILENCE_ELSEWHERE = 1800.0  # likewise on another machine, whose processes cannot be seen from here
OVERDUE = 0.25  # a run without epochs that takes longer than expected is given this share of its time so far
BARS = "▁▂▃▄▅▆▇█"


def state(study: Study) -> pd.DataFrame:
    """One row a run, in the study's order.

    Columns: section, run, state (one of STATES), fold (that it trains, or trained last), epoch and epochs (of that
    fold), loss and development (score, of the last epoch), seconds (that it took; of a running one until now),
    expected (seconds, of all of it), left (seconds, expected), cause (of a failure, or what it waits for).
    """
    complete_study = with_defaults(study)
    expected, works = costs.expected(complete_study), costs.works(complete_study)
    rows = [_row(run, expected[run.key], works[run.key]) for run in complete_study.runs]
    return _with_causes(study, pd.DataFrame(rows))


def with_defaults(study: Study) -> Study:
    """`study` with the defaults of its notebooks among the parameters of its runs."""
    runs = (dataclasses.replace(run, parameters=run_parameters(run)) for run in study.runs)
    return dataclasses.replace(study, runs=tuple(runs))


def _row(run: Run, expected: float, work: costs.Work | None) -> dict[str, Any]:
    """The run's row of `state`, without what it waits for."""
    row = {
        "section": run.section,
        "run": run.name,
        "state": "waiting",
        "fold": "",
        "epoch": 0,
        "epochs": work.epochs if work else 0,
        "loss": np.nan,
        "development": np.nan,
        "seconds": np.nan,
        "expected": expected,
        "left": expected,
        "cause": "",
    }
    if run.complete:
        took = costs.measured(run)
        return row | {"state": "done", "seconds": np.nan if took is None else took, "left": 0.0}
    past = history(run)
    if past is not None and len(past):
        last = past.iloc[-1]
        row |= {
            "fold": str(last["fold"]),
            "epoch": int(last["epoch"]),
            "loss": float(last["loss"]),
            "development": float(last["development"]),
        }
        row["left"] = _left(run, past, expected, work)
    now = running(run)
    if now is not None:
        took = max(0.0, time.time() - float(now["started"]))
        left = row["left"] if row["epoch"] else max(expected - took, took * OVERDUE)
        return row | {"state": "running", "seconds": took, "left": left}
    failed = failure(run)
    if failed is not None:
        took = [float(one["seconds"]) for one in costs.executions(run)][-1:]
        return row | {"state": "failed", "cause": failed["cause"], "seconds": took[0] if took else np.nan}
    return row


def _left(run: Run, past: pd.DataFrame, expected: float, work: costs.Work | None) -> float:
    """Seconds that a run which has trained for some epochs still needs, at its mean speed so far."""
    if work is None or "seconds" not in past:
        return expected
    folders = files.fold_folders(run.folder, past["fold"].unique())
    ended = {fold for fold, folder in folders.items() if (folder / files.PREDICTIONS).exists()}
    begun = past.loc[~past["fold"].isin(ended)]
    epochs = max(0, (work.trainings - len(ended)) * work.epochs - len(begun))
    return epochs * float(past["seconds"].mean())


def _with_causes(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """`table` with a cause where a run waits for others."""
    states = dict(zip(zip(table["section"], table["run"], strict=True), table["state"], strict=True))
    for place, run in enumerate(study.runs):
        if run.needs and states[run.key] == "waiting":
            unmet = [other for other in dependencies(study, run) if states[other.key] != "done"]
            worst = sorted(unmet, key=lambda other: states[other.key] != "failed")
            if worst:
                cause = f"waits for {worst[0].section}/{worst[0].name}"
                table.loc[place, "cause"] = cause + (", which failed" if states[worst[0].key] == "failed" else "")
    return table


def history(run: Run) -> pd.DataFrame | None:
    """The epochs that `run` has trained so far, those of the fold that grew last at the end; None before the first."""
    parts = sorted(run.folder.glob(f"{files.FOLD}*/{files.HISTORY}"), key=files.modified)
    tables = []
    for path in parts:
        table = files.find_history(path, "fold", "loss", "development")
        if table is not None:
            tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else None


def running(run: Run) -> dict[str, Any] | None:
    """The process that executes `run` now: host, pid, worker, started, attempt; None where there is none.

    The record of a killed worker does not count: its process is gone, and there was no heartbeat for SILENCE seconds.
    """
    path = run.folder / files.RUNNING
    record = files.find_json(path, started=float | int, pid=int)
    if record is None:
        return None
    silent = time.time() - max(files.modified(path), files.modified(run.folder / files.HEARTBEAT))
    here = record.get("host") == socket.gethostname()
    gone = not files.process_alive(record["pid"], record.get("process_started")) if here else silent > SILENCE_ELSEWHERE
    return None if gone and silent > SILENCE else record


def failure(run: Run) -> dict[str, Any] | None:
    """The record of the run's last execution where it failed: time, cause, cell, source, trace, attempts."""
    return None if run.complete else files.find_json(run.folder / files.FAILURE, cause=str)


def batch(study: Study) -> dict[str, Any] | None:
    """The batch that executes the study now: host, pid, workers, started, dashboard; None where there is none.

    The record of a killed batch does not count: its process is gone or, on another machine, no run has a heartbeat.
    """
    path = study.folder / files.BATCH
    record = files.find_json(path, pid=int, host=str)
    if record is None:
        return None
    if record.get("host") == socket.gethostname():
        return record if files.process_alive(record["pid"], record.get("process_started")) else None
    return record if time.time() - files.modified(path) < SILENCE_ELSEWHERE or _any_running(study) else None


def remaining(study: Study, workers: int | None = None, table: pd.DataFrame | None = None) -> float | None:
    """Expected seconds until every run is done that can be, on `workers` (default: those of the batch).

    It is the schedule of the waiting runs and of the rest of the running ones, the longest first; failed runs and those
    that need them are left out. None where nothing of the study has been measured. `table`: its `state`, if at hand.
    """
    table = state(study) if table is None else table
    workers = workers or (batch(study) or {}).get("workers") or os.cpu_count() or 1
    active = [place for place in table.index if table.at[place, "state"] in ("running", "waiting")]
    active = [place for place in active if not table.at[place, "cause"].endswith("failed")]
    if not active:
        return 0.0
    if not ((table["state"] == "done") & table["seconds"].notna()).any() and not (table["epoch"] > 0).any():
        return None
    number = {study.runs[place].key: task for task, place in enumerate(active)}
    edges = {
        task: [number[other.key] for other in dependencies(study, study.runs[place]) if other.key in number]
        for task, place in enumerate(active)
    }
    begun = [task for task, place in enumerate(active) if table.at[place, "state"] == "running"]
    return scheduler.computed([table.at[place, "left"] for place in active], edges, workers, begun).wall


def follow(study: Study | str | Path, every: float = 2.0, **bar: Any) -> pd.DataFrame:
    """Draw a progress bar of a study, in a terminal or JupyterLab, until its batch has ended or everything is done.

    Args:
        study: the study, or its parameters file.
        every: seconds between two looks at the folders; more where a look takes long.
        bar: options of tqdm.

    Returns: the last `state`; at once where no batch is under way.
    """
    study = study if isinstance(study, Study) else config.load(study)
    return _draw(study, every, bar, lambda: not under_way(study), time.sleep)


@contextlib.contextmanager
def followed(study: Study, every: float = 2.0, **bar: Any) -> Iterator[None]:
    """Draw a progress bar of the study while the block runs it."""
    ended = threading.Event()
    drawing = threading.Thread(target=_draw, args=(study, every, bar, ended.is_set, ended.wait), daemon=True)
    drawing.start()
    try:
        yield
    finally:
        ended.set()
        drawing.join()


def _draw(
    study: Study, every: float, bar: dict[str, Any], has_ended: Callable[[], bool], wait: Callable[[float], Any]
) -> pd.DataFrame:
    with tqdm(total=len(study.runs), desc=study.name, unit="run", **bar) as drawn:
        while True:
            began = time.monotonic()
            ended = has_ended()
            table = state(study)
            counts = table["state"].value_counts()
            drawn.n = int(counts.get("done", 0))
            drawn.set_postfix_str(_postfix(counts, remaining(study, table=table)), refresh=False)
            drawn.refresh()
            if ended or counts.get("done", 0) == len(table):
                return table
            wait(pause(every, time.monotonic() - began))


def pause(every: float, took: float) -> float:
    """Seconds until the next look after one that took `took`: looking must not slow the training."""
    return max(every, 20 * took)


def under_way(study: Study) -> bool:
    """Whether a batch executes the study, on this machine or another one."""
    return batch(study) is not None or _any_running(study)


def sparkline(values: list[float], width: int = 30) -> str:
    """`values` as a row of at most `width` bars from the lowest to the highest; the last ones where there are more."""
    shown = np.asarray(values[-width:], dtype=float)
    low, high = np.nanmin(shown), np.nanmax(shown)
    heights = np.full(len(shown), len(BARS) // 2) if high <= low else (shown - low) / (high - low) * (len(BARS) - 1)
    return "".join(" " if np.isnan(height) else BARS[round(height)] for height in heights)


def duration(seconds: float) -> str:
    """A duration in words: 45 s, 12 min, 3.4 h, 5.0 days."""
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}" if seconds < 10 * size else f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.0f} s"


def _postfix(counts: pd.Series, left: float | None) -> str:
    parts = [f"{counts[name]} {name}" for name in ("running", "failed") if counts.get(name, 0)]
    return ", ".join([*parts, *([f"about {duration(left)} to go"] if left else [])])


def _any_running(study: Study) -> bool:
    return any(running(run) is not None for run in study.runs if not run.complete)
