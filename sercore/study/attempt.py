"""How a worker executes one notebook: it locks the run's folder, executes, tries again, and records what happened.

The worker that executes a run holds the lock file in its folder, and so does the kernel: while either of them lives,
no other worker of any batch touches that folder. A worker that finds a run locked leaves it and takes the next.
"""

import logging
import os
import shutil
import socket
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from papermill.exceptions import PapermillExecutionError

from sercore import files
from sercore.study import kernels

RETRIES = 1  # of a notebook whose kernel was lost
SECONDS_BETWEEN_TRIES = 2.0
WAITS = 2  # times the patience: for another batch, which may try again
TRACE = 8000  # characters of a traceback that are kept
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How one notebook ended, after how many seconds, and why it failed.

    `state` is complete, skipped (it was complete), failed, stopped, or locked (another batch executes it).
    """

    name: str
    state: str
    seconds: float = 0.0
    cause: str = ""
    worker: str = ""

    @property
    def usable(self) -> bool:
        """Whether the notebooks that need this one can go on."""
        return self.state in ("complete", "skipped")


@dataclass(frozen=True, kw_only=True)
class Task:
    """One notebook to execute, in plain values that can be sent to any worker."""

    name: str  # section/run
    notebook: Path
    output: Path
    parameters: dict[str, Any]  # of the notebook
    result: Path  # its presence means that the notebook is complete
    mark: str = ""  # written to `result` when the notebook has ended; empty: the notebook writes its result itself
    record: dict[str, Any] = field(default_factory=dict)  # parameters.yaml of a run
    batch_id: str = ""
    batch_marker: Path | None = None  # a folder of the batch: a worker that cannot see it is on another file system
    retries: int = RETRIES  # of a kernel that was lost
    patience: float = 0.0  # seconds without a sign of life after which a kernel is ended; 0: never
    warm: bool = False  # whether its kernel is forked from a process that has imported everything

    @property
    def folder(self) -> Path:
        """The folder of its lock, heartbeat and failure."""
        return self.output.parent

    @property
    def complete(self) -> bool:
        """Whether it has been executed, by this batch or another one, to its end."""
        return self.ended and files.complete(self.result)

    @property
    def ended(self) -> bool:
        """Whether its result is there and can be read."""
        if not self.result.exists() or files.damage(self.result):
            return False
        return not self.mark or self.result.read_bytes() == self.mark.encode()


def run(task: Task, needed: Sequence[Outcome] = (), wait: bool = False) -> Outcome:
    """Execute `task` unless something that it needs has failed, it is complete, or another batch has locked it.

    With `wait` it waits until the other batch has finished it, given it up, or shown no sign of life for long.
    A notebook that fails is an outcome, and final in its batch: Dask may give a job that has failed to a second worker,
    when the first one leaves.
    """
    start = time.monotonic()
    worker = f"{socket.gethostname()}:{os.getpid()}"
    unmet = next((outcome for outcome in needed if not outcome.usable), None)
    if unmet is not None:
        return Outcome(task.name, "locked" if unmet.state == "locked" else "failed", cause=_waits(unmet))
    try:
        _check_worker(task)
        with files.lock(task.folder / f".{task.output.stem}.lock", _waiting(task) if wait else None) as descriptors:
            if task.complete:
                return Outcome(task.name, "skipped", worker=worker)
            if descriptors is None:
                return Outcome(task.name, "locked", cause="another batch executes it", worker=worker)
            failure = _failure(task)
            if failure is not None:
                return Outcome(task.name, "failed", cause=failure["cause"], worker=worker)
            wrong = files.damage(task.result)
            if wrong:
                log.warning(files.set_aside(task.result, wrong))
            watch = kernels.Watch(batch_id=task.batch_id, inherit=descriptors, patience=task.patience, warm=task.warm)
            _try(task, watch, worker)
    except kernels.StoppedError:
        return Outcome(task.name, "stopped", time.monotonic() - start, worker=worker)
    except Exception as error:  # noqa: BLE001 -- whatever a library raises is why this run failed; the others go on
        return Outcome(task.name, "failed", time.monotonic() - start, kernels.cause(error), worker)
    return Outcome(task.name, "complete", time.monotonic() - start, worker=worker)


def _waiting(task: Task) -> Callable[[], None]:
    """What is called each second that another batch holds `task`. Raises TimeoutError where that batch hangs."""
    silence = kernels.Silence(lambda: _alive(task), files.SECONDS_BETWEEN_TRIES)

    def look() -> None:
        if task.patience and silence.seconds() > WAITS * task.patience + kernels.SECONDS_TO_FORK:
            holder = files.find_json(task.folder / files.RUNNING) or {}
            raise TimeoutError(
                f"another batch executes it, without a sign of life for {silence.counted:.0f} s: "
                f"process {holder.get('pid')} on {holder.get('host')}; end that batch, or let it go on"
            )

    return look


def _alive(task: Task) -> float:
    """Changes whenever the run makes progress."""
    return max(files.modified(task.folder / files.HEARTBEAT), files.modified(task.output))


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
            watch.ended_because, watch.process = "", None
            if attempt > task.retries:
                _write_failure(task, error, attempt)
                raise
            log.warning("%s: %s; attempt %d", task.name, error, attempt + 1)
            time.sleep(SECONDS_BETWEEN_TRIES)
        except Exception as error:
            _write_failure(task, error, attempt)
            raise
        else:
            (task.folder / files.FAILURE).unlink(missing_ok=True)
            return
        finally:
            if task.record:
                _add_execution(
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
    watch.alive = lambda: _alive(task)
    if task.record:
        files.write_yaml(task.folder / files.PARAMETERS, task.record)
        now = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "process_started": files.process_started(os.getpid()),
            "worker": worker,
            "started": started,
            "attempt": attempt,
        }
        files.write_record(task.folder / files.RUNNING, now)
        watch.started = lambda kernel: files.write_record(task.folder / files.RUNNING, {**now, "kernel": kernel})
    kernels.execute(task.notebook, task.output, task.parameters, watch)
    if task.mark:
        files.write_text(task.result, task.mark)
    if not task.ended:
        wrong = files.damage(task.result)
        problem = f"with a damaged result ({wrong})" if wrong else "without a result"
        raise RuntimeError(f"{task.notebook.name} ended {problem}; expected {task.result}")


def _add_execution(task: Task, execution: dict[str, Any]) -> None:
    """Add `execution`, which has ended, to those of the run."""
    path = task.folder / files.EXECUTIONS
    try:
        earlier = files.find_entries(path, "executions")
        files.write_record(path, {"executions": [*earlier, execution]})
    except OSError as error:  # a full disk, which must not hide the run's own outcome
        log.warning("%s: %s", path, error)
    try:
        if execution["outcome"] == "complete":
            shutil.rmtree(task.folder / files.DAMAGED, ignore_errors=True)  # all of it was made again
        else:
            task.result.unlink(missing_ok=True)  # of a notebook that was not saved to its end
        (task.folder / files.RUNNING).unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s: %s", task.folder, error)


def _write_failure(task: Task, error: Exception, attempts: int) -> None:
    """Write why a notebook failed to the failure file beside it."""
    content = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "cause": kernels.cause(error),
        "attempts": attempts,
        "task": task.name,
        "batch": task.batch_marker and task.batch_marker.name,
        "host": socket.gethostname(),
    }
    if isinstance(error, PapermillExecutionError):
        content |= {"cell": error.cell_index, "source": error.source, "trace": "\n".join(error.traceback)[-TRACE:]}
    else:
        content["trace"] = "".join(traceback.format_exception(error))[-TRACE:]
    try:
        files.write_record(task.folder / files.FAILURE, content)
    except OSError as problem:
        log.warning("%s could not be written: %s", task.folder / files.FAILURE, problem)


def _failure(task: Task) -> dict[str, Any] | None:
    """The recorded failure of `task` in this batch; None where it has not failed."""
    failure = files.find_json(task.folder / files.FAILURE, cause=str)
    if failure is None or task.batch_marker is None:
        return None
    same = failure.get("task") == task.name and failure.get("batch") == task.batch_marker.name
    return failure if same else None


def _check_worker(task: Task) -> None:
    """Raise RuntimeError where this worker does not share the file system of the batch."""
    if task.batch_marker is not None and not task.batch_marker.exists():
        raise RuntimeError(
            f"worker on {socket.gethostname()} does not see {task.batch_marker}: "
            "workers need the file system of the batch"
        )
