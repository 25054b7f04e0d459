"""What of a study is done, running, waiting or failed, how the running ones learn, and when all of it will be done.

Read from the run folders alone, so any process on the same file system can look, while a batch runs or afterwards.
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
SILENCE = 120.0  # seconds without a sign of life after which a run whose process is gone does not run
SILENCE_ELSEWHERE = 1800.0  # likewise, where it cannot be seen whether the process is gone
OVERDUE = 0.25  # of the time that it took, which a run without epochs is still given when it takes longer than expected
BARS = "▁▂▃▄▅▆▇█"


def state(plan: Study) -> pd.DataFrame:
    """One row a run, in the study's order.

    Columns: section, run, state (one of STATES), fold (that it trains, or trained last), epoch and epochs (of that
    fold), loss and development (score, of the last epoch), seconds (that it took; of a running one until now),
    expected (seconds, of all of it), left (seconds, expected), cause (of a failure, or what it waits for).
    """
    asked = with_defaults(plan)
    expected = costs.expected(asked)
    corpora, folds = costs.extents(asked), costs.fold_counts(asked)
    rows = [_row(run, expected[run.key], costs.work(run, corpora, folds)) for run in asked.runs]
    return _blocked(plan, pd.DataFrame(rows))


def with_defaults(plan: Study) -> Study:
    """`plan` with its notebooks' defaults among the parameters of its runs, so that these tell all of their work."""
    runs = (dataclasses.replace(run, parameters=run_parameters(run)) for run in plan.runs)
    return dataclasses.replace(plan, runs=tuple(runs))


def _row(run: Run, expected: float, asked: costs.Work | None) -> dict[str, Any]:
    """The run's row of `state`, but for what it waits for."""
    row = {
        "section": run.section,
        "run": run.name,
        "state": "waiting",
        "fold": "",
        "epoch": 0,
        "epochs": asked.epochs if asked else 0,
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
        row["left"] = _left(run, past, expected, asked)
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


def _left(run: Run, past: pd.DataFrame, expected: float, asked: costs.Work | None) -> float:
    """Seconds that a run which has trained for some epochs still has, at the speed that it has had."""
    if asked is None or "seconds" not in past:
        return expected
    ended = {path.parent.name.removeprefix("fold=") for path in run.folder.glob(f"fold=*/{files.PREDICTIONS}")}
    begun = past.loc[~past["fold"].astype(str).isin(ended)]
    epochs = max(0, (asked.trainings - len(ended)) * asked.epochs - len(begun))
    return epochs * float(past["seconds"].mean())


def _blocked(plan: Study, table: pd.DataFrame) -> pd.DataFrame:
    """`table` with a cause where a run waits for others."""
    states = dict(zip(zip(table["section"], table["run"], strict=True), table["state"], strict=True))
    for place, run in enumerate(plan.runs):
        if run.needs and states[run.key] == "waiting":
            unmet = [other for other in dependencies(plan, run) if states[other.key] != "done"]
            worst = sorted(unmet, key=lambda other: states[other.key] != "failed")
            if worst:
                told = f"waits for {worst[0].section}/{worst[0].name}"
                table.loc[place, "cause"] = told + (", which failed" if states[worst[0].key] == "failed" else "")
    return table


def history(run: Run) -> pd.DataFrame | None:
    """The epochs that `run` has trained so far, those of the fold that grew last at the end; None before the first."""
    parts = sorted(run.folder.glob(f"fold=*/{files.HISTORY}"), key=lambda path: path.stat().st_mtime)
    tables = []
    for path in parts:
        try:
            tables.append(pd.read_csv(path))
        except (OSError, ValueError):  # it is being replaced on a file system that shows this
            continue
    return pd.concat(tables, ignore_index=True) if tables else None


def running(run: Run) -> dict[str, Any] | None:
    """Who executes `run` now: host, pid, worker, started, attempt; None where nobody does.

    What a killed worker left behind does not count: no sign of life for SILENCE, and its process is gone.
    """
    path = run.folder / files.RUNNING
    told = _read(path)
    if told is None:
        return None
    silent = time.time() - max(_modified(path), _modified(run.folder / files.HEARTBEAT))
    here = told.get("host") == socket.gethostname()
    gone = not _alive(int(told.get("pid", 0))) if here else silent > SILENCE_ELSEWHERE
    return None if gone and silent > SILENCE else told


def failure(run: Run) -> dict[str, Any] | None:
    """What is recorded of the run's last execution where it failed: time, cause, cell, source, trace, attempts."""
    return None if run.complete else _read(run.folder / files.FAILURE)


def batch(plan: Study) -> dict[str, Any] | None:
    """The batch that executes the study now: host, pid, workers, started, dashboard; None where there is none.

    What a killed batch left behind does not count: its process is gone or, on another machine, no run shows life.
    """
    path = plan.folder / files.BATCH
    told = _read(path)
    if told is None:
        return None
    if told.get("host") == socket.gethostname():
        return told if _alive(int(told.get("pid", 0))) else None
    return told if time.time() - _modified(path) < SILENCE_ELSEWHERE or _any_running(plan) else None


def remaining(plan: Study, workers: int | None = None, table: pd.DataFrame | None = None) -> float | None:
    """Expected seconds until every run is done that can be, on `workers` (default: those of the batch).

    The schedule of what waits and of what is left of the running ones, the longest first; failed runs and those that
    need them are left out. None where nothing of the study has been measured yet. `table`: its `state`, if at hand.
    """
    table = state(plan) if table is None else table
    told = batch(plan)
    workers = workers or (told or {}).get("workers") or os.cpu_count() or 1
    active = [place for place in table.index if table.at[place, "state"] in ("running", "waiting")]
    active = [place for place in active if not table.at[place, "cause"].endswith("failed")]
    if not active:
        return 0.0
    if not ((table["state"] == "done") & table["seconds"].notna()).any() and not (table["epoch"] > 0).any():
        return None
    number = {plan.runs[place].key: task for task, place in enumerate(active)}
    edges = {
        number[plan.runs[place].key]: [number[o.key] for o in dependencies(plan, plan.runs[place]) if o.key in number]
        for place in active
    }
    begun = [task for task, place in enumerate(active) if table.at[place, "state"] == "running"]
    return scheduler.computed([table.at[place, "left"] for place in active], edges, workers, begun).wall


def follow(plan: Study | str | Path, every: float = 2.0, **bar: Any) -> pd.DataFrame:
    """Draw how far a study is, in a terminal as in JupyterLab, until its batch has ended or everything is done.

    Looks every `every` seconds, more rarely where a look takes long, and ends at once where no batch is under way.
    `bar` are options of tqdm. Returns the last `state`.
    """
    plan = plan if isinstance(plan, Study) else config.load(plan)
    return _draw(plan, every, bar, lambda: not under_way(plan), time.sleep)


@contextlib.contextmanager
def followed(plan: Study, every: float = 2.0, **bar: Any) -> Iterator[None]:
    """Draw how far a study is while the block, which runs it, goes on."""
    ended = threading.Event()
    drawing = threading.Thread(target=_draw, args=(plan, every, bar, ended.is_set, ended.wait), daemon=True)
    drawing.start()
    try:
        yield
    finally:
        ended.set()
        drawing.join()


def _draw(
    plan: Study, every: float, bar: dict[str, Any], has_ended: Callable[[], bool], wait: Callable[[float], Any]
) -> pd.DataFrame:
    with tqdm(total=len(plan.runs), desc=plan.name, unit="run", **bar) as drawn:
        while True:
            began = time.monotonic()
            ended = has_ended()
            table = state(plan)
            counts = table["state"].value_counts()
            drawn.n = int(counts.get("done", 0))
            drawn.set_postfix_str(_postfix(counts, remaining(plan, table=table)), refresh=False)
            drawn.refresh()
            if ended or counts.get("done", 0) == len(table):
                return table
            wait(pause(every, time.monotonic() - began))


def pause(every: float, took: float) -> float:
    """Seconds between two looks of which the last one took `took`: looking must not take from those who train."""
    return max(every, 20 * took)


def under_way(plan: Study) -> bool:
    """Whether a batch executes the study, on this machine or another one."""
    return batch(plan) is not None or _any_running(plan)


def sparkline(values: list[float], width: int = 30) -> str:
    """`values` as a row of at most `width` bars from the lowest to the highest; the last ones where there are more."""
    shown = np.asarray(values[-width:], dtype=float)
    low, high = np.nanmin(shown), np.nanmax(shown)
    heights = np.full(len(shown), len(BARS) // 2) if high <= low else (shown - low) / (high - low) * (len(BARS) - 1)
    return "".join(" " if np.isnan(height) else BARS[round(height)] for height in heights)


def duration(seconds: float) -> str:
    """A span of time as a person would say it: 45 s, 12 min, 3.4 h, 5 days."""
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}" if seconds < 10 * size else f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.0f} s"


def _postfix(counts: pd.Series, left: float | None) -> str:
    told = [f"{counts[name]} {name}" for name in ("running", "failed") if counts.get(name, 0)]
    return ", ".join([*told, *([f"about {duration(left)} to go"] if left else [])])


def _any_running(plan: Study) -> bool:
    return any(running(run) is not None for run in plan.runs if not run.complete)


def _read(path: Path) -> dict[str, Any] | None:
    """The content of a JSON file that others write and remove."""
    try:
        return files.read_json(path)
    except (OSError, ValueError):
        return None


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _alive(pid: int) -> bool:
    """Whether a process of this machine has the number `pid`."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0
