"""One notebook on a worker: kernels that die or hang, locks of other batches, what is recorded."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import made_up
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from sercore import files
from sercore.study import attempt, kernels
from sercore.study.attempt import Outcome, Task

PARAMETERS = 'folder = ""\nmode = ""'
BODY = """
import os, pathlib, time
home = pathlib.Path(folder)
with (home / "log.txt").open("a") as log:
    log.write(f"{os.getpid()}\\n")
while mode == "gate" and not (home / "open").exists():
    (home / "heartbeat").touch()
    time.sleep(0.05)
if mode == "hang":
    time.sleep(60)
if mode == "die" and len((home / "log.txt").read_text().split()) == 1:
    os.kill(os.getpid(), 9)
if mode == "die always":
    os.kill(os.getpid(), 9)
if mode == "torn":
    (home / "predictions.parquet").write_text("half a table")
if mode == "full":
    raise OSError(28, "No space left on device")
"""
LAST = """
if mode != "torn":
    (home / "predictions.parquet").write_bytes((home.parent / "done.parquet").read_bytes())
if mode == "die late":
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def make_task(tmp_path):
    cells = [new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}), new_code_cell(BODY), new_code_cell(LAST)]
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), tmp_path / "n.ipynb")
    files.write_table(tmp_path / "done.parquet", made_up.DONE)

    def _make(mode="", **settings):
        folder = tmp_path / "run"
        return Task(
            name="s/run",
            notebook=tmp_path / "n.ipynb",
            output=folder / files.NOTEBOOK,
            parameters={"folder": str(folder), "mode": mode},
            result=folder / files.PREDICTIONS,
            record={"mode": mode},
            **settings,
        )

    return _make


def started(task, times=1):
    """The process ids of the kernels that `task` has had, once there are so many."""
    log = task.folder / "log.txt"
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if log.exists() and len(log.read_text().split()) >= times:
            return [int(word) for word in log.read_text().split()]
        time.sleep(0.05)
    raise AssertionError(f"{task.name} has not begun")


def alive(process):
    """Whether a process runs; a zombie does not."""
    state = Path(f"/proc/{process}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] not in "ZX"


def outcomes(task):
    return [one["outcome"] for one in files.read_json(task.folder / files.EXECUTIONS)["executions"]]


@pytest.mark.parametrize("warm", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_kernel_that_is_killed_is_replaced(make_task, monkeypatch, warm):
    monkeypatch.setattr(attempt, "SECONDS_BETWEEN_TRIES", 0.0)
    task = make_task("die", warm=warm)
    assert attempt.run(task).state == "complete"
    assert outcomes(task) == ["failed", "complete"]
    assert not (task.folder / files.RUNNING).exists()


def test_a_run_whose_kernels_are_always_killed_fails_with_the_likely_cause(make_task):
    outcome = attempt.run(make_task("die always", retries=0))
    assert outcome.state == "failed"
    assert outcome.cause == "the kernel was killed (SIGKILL): by hand, or by the system when memory ran out"


@pytest.mark.long
def test_a_kernel_without_a_sign_of_life_is_ended(make_task, monkeypatch):
    monkeypatch.setattr(kernels, "SECONDS_BETWEEN_LOOKS", 0.2)
    task = make_task("hang", patience=4.0, retries=0)
    begin = time.monotonic()
    outcome = attempt.run(task)
    assert "no sign of life for" in outcome.cause
    assert time.monotonic() - begin < 40


@pytest.mark.parametrize(
    ("mode", "cause"),
    [
        ("torn", "RuntimeError: n.ipynb ended with a damaged result (it is not whole: "),
        ("die late", "the kernel was killed (SIGKILL)"),
    ],
)
def test_a_result_is_none_that_cannot_be_read_or_came_before_the_end_of_the_notebook(make_task, mode, cause):
    task = make_task(mode, retries=0)
    outcome = attempt.run(task)
    assert outcome.state == "failed"
    assert outcome.cause.startswith(cause)
    assert not task.result.exists()


def test_a_folder_that_cannot_be_written_hides_no_outcome(make_task, monkeypatch, caplog):
    task = make_task()
    task.folder.mkdir()

    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(files, "write_record", refuse)
    monkeypatch.setattr(files.Path, "unlink", refuse)
    attempt._add_execution(task, {"outcome": "failed"})
    attempt._write_failure(task, ValueError("no"), 1)
    assert caplog.text.count("Read-only file system") == 3


def test_a_failure_record_holds_the_cell_and_its_source(make_task):
    task = make_task("full")
    assert "No space left on device" in attempt.run(task).cause
    failure = files.read_json(task.folder / files.FAILURE)
    assert failure["source"].strip().startswith("import os, pathlib, time")
    assert failure["cell"] == 2  # papermill writes the parameters into a cell of its own
    assert failure["attempts"] == 1


def test_a_notebook_that_papermill_cannot_use_is_a_failure_of_its_run_alone(make_task):
    task = make_task()
    task.notebook.write_text('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "code"}]}')
    outcome = attempt.run(task)
    assert outcome.state == "failed"
    assert files.read_json(task.folder / files.FAILURE)["cause"] == outcome.cause
    assert outcome.cause


def test_a_failure_is_final_in_its_batch_and_tried_again_by_the_next(make_task, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).touch()
    task = make_task("full", batch_marker=tmp_path / "one")
    assert attempt.run(task).state == "failed"
    again = attempt.run(task)  # as Dask does when the worker leaves
    assert again.state == "failed"
    assert "No space left on device" in again.cause
    assert len(started(task)) == 1
    attempt.run(make_task("full", batch_marker=tmp_path / "two"))
    assert len(started(task)) == 2


def test_a_run_that_another_batch_has_locked_is_left_or_waited_for(make_task):
    task = make_task("gate")
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(attempt.run, task)
        (kernel,) = started(task)
        assert attempt.run(task).state == "locked"
        assert files.read_json(task.folder / files.RUNNING)["attempt"] == 1
        second = threads.submit(attempt.run, task, (), True)
        time.sleep(0.5)
        (task.folder / "open").touch()
        assert first.result().state == "complete"
        assert second.result().state == "skipped"
    assert started(task) == [kernel]


def test_waiting_for_a_batch_without_a_sign_of_life_ends(make_task, monkeypatch):
    monkeypatch.setattr(kernels, "SECONDS_TO_FORK", 0.0)
    monkeypatch.setattr(files, "SECONDS_BETWEEN_TRIES", 0.05)
    task = make_task(patience=0.1)
    task.folder.mkdir()
    files.write_json(task.folder / files.RUNNING, {"pid": 17, "host": "there"})
    with files.lock(task.folder / f".{task.output.stem}.lock"):
        outcome = attempt.run(task, wait=True)
    assert outcome.state == "failed"
    assert "another batch executes it, without a sign of life for" in outcome.cause
    assert "process 17 on there" in outcome.cause


@pytest.mark.long
def test_a_batch_that_was_stopped_for_longer_than_its_patience_goes_on(make_task):
    task = make_task("gate", patience=4.0, retries=0)
    given = {"patience": task.patience, "retries": 0}
    worker = start_worker(task, **given)
    (kernel,) = started(task)
    stopped = [worker.pid, kernel]
    for process in stopped:
        os.kill(process, signal.SIGSTOP)
    time.sleep(3 * task.patience)
    for process in stopped:
        os.kill(process, signal.SIGCONT)
    time.sleep(task.patience / 2)
    (task.folder / "open").touch()
    assert worker.wait(60) == 0
    assert task.complete
    assert started(task) == [kernel]


def test_a_stopped_notebook_has_not_failed(make_task):
    task = make_task("gate", batch_id="mine")
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(attempt.run, task)
        started(task)
        kernels.stop("another")
        kernels.stop("mine")
        assert running.result().state == "stopped"
    assert not (task.folder / files.FAILURE).exists()
    assert attempt.run(task).state == "stopped"  # a stopped batch starts no kernel


def test_a_notebook_that_needs_a_failed_one_fails_without_a_kernel(make_task):
    task = make_task()
    outcome = attempt.run(task, [Outcome("s/other", "failed", cause="bad luck")])
    assert outcome.cause == "waits for s/other, which is not complete: bad luck"
    assert not task.folder.exists()


def test_a_worker_on_another_file_system_is_an_error(make_task, tmp_path):
    outcome = attempt.run(make_task(batch_marker=tmp_path / "elsewhere"))
    assert "does not see" in outcome.cause
    assert "file system" in outcome.cause


def test_a_mark_makes_a_notebook_stale(make_task, tmp_path):
    task = make_task()
    marked = Task(
        name="a",
        notebook=task.notebook,
        output=tmp_path / "run" / "a.ipynb",
        parameters=task.parameters,
        result=tmp_path / "run" / "a.inputs",
        mark="made from x",
    )
    assert not marked.complete
    assert attempt.run(marked).state == "complete"
    assert attempt.run(marked).state == "skipped"
    marked.result.write_text("made from y")
    assert not marked.complete


ORPHAN = """
import json, sys
from pathlib import Path
from sercore.study import attempt
given = json.loads(sys.argv[1])
paths = {name: Path(given.pop(name)) for name in ("notebook", "output", "result")}
attempt.run(attempt.Task(**paths, **given))
"""


def start_worker(task, **options):
    """A process that executes `task`."""
    given = options | {
        "name": task.name,
        "notebook": str(task.notebook),
        "output": str(task.output),
        "result": str(task.result),
        "parameters": task.parameters,
        "record": task.record,
    }
    return subprocess.Popen([sys.executable, "-c", ORPHAN, json.dumps(given)], cwd=Path(__file__).parents[2])


@pytest.mark.long
@pytest.mark.parametrize("warm", [False, True])
def test_a_kernel_outlives_its_worker_by_a_moment_and_holds_the_lock_until_then(make_task, warm):
    task = make_task("gate")
    worker = start_worker(task, warm=warm)
    (kernel,) = started(task)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    threading.Timer(2.0, (task.folder / "open").touch).start()
    assert attempt.run(task, wait=True).state == "complete"
    mine = started(task, times=2)
    assert len(mine) == 2
    assert mine[0] == kernel
    assert not alive(kernel)
