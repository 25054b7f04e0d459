"""What a worker does with one notebook: claim it, execute it, try again where that makes sense, say what came of it.

Whoever executes a run holds the lock file in its folder, and the kernel holds it too: while either lives, no other
worker of any batch touches that folder. A worker that finds a run claimed leaves it and takes the next.
"""

import logging
import os
import socket
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from papermill.exceptions import PapermillExecutionError

from sercore import files
from sercore.study import kernels

SECONDS_BETWEEN_TRIES = 2.0
TRACE = 8000  # characters of a traceback that are kept
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What became of one notebook, after how many seconds, and why it failed.

    `state` is complete, skipped (it was complete), failed, stopped, or claimed (another batch executes it).
    """

    name: str
    state: str
    seconds: float = 0.0
    cause: str = ""
    worker: str = ""

    @property
    def usable(self) -> bool:
        """Whether what needs this notebook can go on."""
        return self.state in ("complete", "skipped")


@dataclass(frozen=True, kw_only=True)
class Task:
    """One notebook to execute, in plain values that any worker understands."""

    name: str  # section/run
    notebook: Path
    output: Path
    parameters: dict[str, Any]  # that the notebook is given
    result: Path  # whose presence says that it is complete
    mark: str = ""  # what is written to `result` when the notebook has ended; empty: the notebook writes it itself
    record: dict[str, Any] = field(default_factory=dict)  # parameters.yaml of a run
    owner: str = ""  # the batch
    token: Path | None = None  # a file of the batch: a worker that does not see it is on another file system
    retries: int = 1  # of a kernel that was lost
    patience: float = 0.0  # seconds without a sign of life after which a kernel is ended; 0: for ever
    warm: bool = False  # whether its kernel is forked from one that has imported everything

    @property
    def folder(self) -> Path:
        """Where its claim, heartbeat and failure lie."""
        return self.output.parent

    @property
    def complete(self) -> bool:
        """Whether it has been done, be it by others."""
        return self.result.exists() and (not self.mark or self.result.read_text(encoding="utf-8") == self.mark)


def run(task: Task, needed: Sequence[Outcome] = (), wait: bool = False) -> Outcome:
    """Execute `task` unless something that it needs has failed, it is complete, or another batch has claimed it.

    `wait` waits for the other batch to finish it or to give it up. Never raises for what a notebook does.
    """
    start = time.monotonic()
    worker = f"{socket.gethostname()}:{os.getpid()}"
    unmet = next((outcome for outcome in needed if not outcome.usable), None)
    if unmet is not None:
        return Outcome(task.name, "claimed" if unmet.state == "claimed" else "failed", cause=_waits(unmet))
    try:
        _check_worker(task)
        with files.claim(task.folder / f".{task.output.stem}.claim", wait=wait) as held:
            if task.complete:
                return Outcome(task.name, "skipped", worker=worker)
            if held is None:
                return Outcome(task.name, "claimed", cause="another batch executes it", worker=worker)
            _try(task, kernels.Watch(owner=task.owner, inherit=held, patience=task.patience, warm=task.warm), worker)
    except kernels.StoppedError:
        return Outcome(task.name, "stopped", time.monotonic() - start, worker=worker)
    except Exception as error:  # noqa: BLE001 - a notebook may fail in any way, and its cause is what is wanted
        return Outcome(task.name, "failed", time.monotonic() - start, kernels.cause(error), worker)
    return Outcome(task.name, "complete", time.monotonic() - start, worker=worker)


def _waits(unmet: Outcome) -> str:
    return f"waits for {unmet.name}, which is not complete" + (f": {unmet.cause}" if unmet.cause else "")


def _try(task: Task, watch: kernels.Watch, worker: str) -> None:
    """Execute `task`, again where its kernel was lost; records each execution, and the failure of the last."""
    for attempt in range(1, task.retries + 2):
        started, begin, outcome = time.time(), time.monotonic(), "failed"
        try:
            _execute(task, watch, attempt, worker, started)
            outcome = "complete"
        except kernels.StoppedError:
            outcome = "stopped"
            raise
        except kernels.KernelLostError as error:
            watch.given_up, watch.process = "", None
            if attempt > task.retries:
                _record(task, error, attempt)
                raise
            log.warning("%s: %s; attempt %d", task.name, error, attempt + 1)
            time.sleep(SECONDS_BETWEEN_TRIES)
        except Exception as error:
            _record(task, error, attempt)
            raise
        else:
            (task.folder / files.FAILURE).unlink(missing_ok=True)
            return
        finally:
            if task.record:
                _failure_message(
                    task,
                    {
                        "started": round(started, 1),
                        "seconds": round(time.monotonic() - begin, 2),
                        "host": socket.gethostname(),
                        "worker": worker,
                        "attempt": attempt,
                        "outcome": outcome,
                    },
                )


def _execute(task: Task, watch: kernels.Watch, attempt: int, worker: str, started: float) -> None:
    """One execution. Raises RuntimeError where the notebook ends without a result."""
    beat = task.folder / files.HEARTBEAT
    watch.alive = lambda: max(_modified(beat), _modified(task.output))
    if task.record:
        files.write_yaml(task.folder / files.PARAMETERS, task.record)
        now = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "worker": worker,
            "started": started,
            "attempt": attempt,
        }
        files.write_json(task.folder / files.RUNNING, now)
        watch.started = lambda kernel: files.write_json(task.folder / files.RUNNING, {**now, "kernel": kernel})
    kernels.execute(task.notebook, task.output, task.parameters, watch)
    if task.mark:
        files.write_text(task.result, task.mark)
    if not task.complete:
        raise RuntimeError(f"{task.notebook.name} ended without a result; expected {task.result}")


def _failure_message(task: Task, execution: dict[str, Any]) -> None:
    """Add `execution` to those of the run, which is executed no longer."""
    path = task.folder / files.EXECUTIONS
    try:
        earlier = files.read_json(path)["executions"] if path.exists() else []
        files.write_json(path, {"executions": [*earlier, execution]})
        (task.folder / files.RUNNING).unlink(missing_ok=True)
    except OSError as error:  # a full disk: what happened to the run is told by its outcome
        log.warning("%s: %s", path, error)


def _record(task: Task, error: Exception, attempts: int) -> None:
    """Write down why a run failed, beside its notebook."""
    content = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "cause": kernels.cause(error),
        "attempts": attempts,
        "host": socket.gethostname(),
    }
    if isinstance(error, PapermillExecutionError):
        content |= {"cell": error.cell_index, "source": error.source, "trace": "\n".join(error.traceback)[-TRACE:]}
    else:
        content["trace"] = "".join(traceback.format_exception(error))[-TRACE:]
    try:
        files.write_json(task.folder / files.FAILURE, content)
    except OSError as problem:
        log.warning("%s could not be written: %s", task.folder / files.FAILURE, problem)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _check_worker(task: Task) -> None:
    """Raise RuntimeError where this worker sees other files than the batch."""
    if task.token is not None and not task.token.exists():
        raise RuntimeError(
            f"worker on {socket.gethostname()} does not see {task.token}: workers need the file system of the batch"
        )
