"""Kernels in threads that share a context, as those of Dask do, and kernels that end."""

import contextvars
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from jupyter_core.utils import ensure_event_loop

from sercore import files
from sercore.study import forkserver, kernels
from sercore.study.notebooks import literal


def test_notebooks_side_by_side_do_not_share_an_event_loop(make, tmp_path):
    study = make([0])
    study.runs[0].folder.mkdir(parents=True)
    loop = ensure_event_loop()  # an earlier notebook in this thread leaves one in the context

    def execute(number):
        parameters = {"folder": str(study.runs[0].folder), "seed": number}
        kernels.execute(study.runs[0].notebook, tmp_path / f"{number}.ipynb", parameters)

    with ThreadPoolExecutor(2) as threads:
        started = [threads.submit(contextvars.copy_context().run, execute, number) for number in (0, 1)]
    assert [future.result() for future in started] == [None, None]
    assert not loop.is_closed()
    loop.close()
    assert all(nbformat.read(tmp_path / f"{n}.ipynb", as_version=4).cells[-1].execution_count for n in (0, 1))


def test_a_kernel_that_ends_is_not_interrupted(tmp_path):
    interrupted, notebook = tmp_path / "interrupted", nbformat.v4.new_notebook()
    source = f"""
from pathlib import Path
kernel = get_ipython().kernel
kernel.saved_sigint_handler = lambda *_: Path({str(interrupted)!r}).touch()  # the kernel restores it when the cell ends
"""
    notebook.cells = [
        nbformat.v4.new_code_cell("folder = ''", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(source),
    ]
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "template.ipynb")
    kernels.execute(tmp_path / "template.ipynb", tmp_path / "done.ipynb", {"folder": str(tmp_path)})
    assert not interrupted.exists()


@pytest.mark.parametrize("step", [-3600.0, 0.0])
def test_a_silent_kernel_is_ended_whatever_the_clock_says(step, monkeypatch):
    ended = threading.Event()
    process = SimpleNamespace(kill=ended.set)
    now = time.time()
    monkeypatch.setattr(kernels.time, "time", lambda: now + step)  # a clock that stands, or was set back
    watch = kernels.Watch(alive=lambda: now, patience=0.2, process=process)
    with kernels._watched(watch):
        assert ended.wait(30)
    assert "no sign of life" in watch.ended_because


def test_a_kernel_that_makes_progress_is_not_ended_by_a_clock_that_is_set_forward(monkeypatch):
    changes = itertools.count()
    process = SimpleNamespace(kill=lambda: None)
    monkeypatch.setattr(kernels.time, "time", lambda: 1e12)
    monkeypatch.setattr(kernels, "SECONDS_BETWEEN_LOOKS", 0.01)
    watch = kernels.Watch(alive=lambda: float(next(changes)), patience=20.0, process=process)
    with kernels._watched(watch):
        time.sleep(0.3)
    assert watch.ended_because == ""


def test_time_in_which_this_process_stood_still_is_no_silence(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(kernels.time, "monotonic", lambda: clock[0])
    silence = kernels.Silence(lambda: 0.0, pause=1.0)
    clock[0] = 3600.0
    assert silence.seconds() == kernels.MOST_BETWEEN_LOOKS
    clock[0] += 1.0
    assert silence.seconds() == kernels.MOST_BETWEEN_LOOKS + 1.0


def test_python_is_this_one_whatever_kernels_are_installed(tmp_path, monkeypatch):
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    content = {"argv": ["/nowhere/python", "-f", "{connection_file}"], "display_name": "x", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(content))
    shutil.copytree(folder, folder.with_name("other"))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    assert kernels._Kernel(kernel_name="python3").kernel_spec.argv[0] == sys.executable
    programs = {name: kernel["spec"]["argv"][0] for name, kernel in kernels.ThisPython().get_all_specs().items()}
    assert programs["python3"] == sys.executable
    assert programs["other"] == "/nowhere/python"


def test_a_kernel_leaves_nothing_and_its_sockets_are_short_whatever_the_folders_are(make, tmp_path, monkeypatch):
    study = make([0])
    long = tmp_path.joinpath(*["a-long-name" * 8] * 2)
    long.mkdir(parents=True)
    for variable in ("JUPYTER_RUNTIME_DIR", "HOME"):
        monkeypatch.setenv(variable, str(long / variable))
    monkeypatch.setattr(kernels.files.tempfile, "tempdir", str(long))
    run, watch = study.runs[0], kernels.Watch()
    kernels.execute(run.notebook, long / "done.ipynb", {"folder": str(long), "seed": 0}, watch)
    assert (long / files.PREDICTIONS).exists()
    assert len(os.fsencode(watch.folder)) < 40
    assert not watch.folder.exists()
    assert not (long / "JUPYTER_RUNTIME_DIR").exists()


def test_a_fork_server_that_stands_still_is_left(make, tmp_path, monkeypatch):
    study = make([0])
    monkeypatch.setattr(kernels, "SECONDS_TO_FORK", 1.0)
    server = kernels._fork_server()
    server.process.send_signal(signal.SIGSTOP)
    kernels.execute(
        study.runs[0].notebook, tmp_path / "x.ipynb", {"folder": str(tmp_path), "seed": 0}, kernels.Watch(warm=True)
    )
    assert (tmp_path / files.PREDICTIONS).exists()
    assert server.process.returncode == -signal.SIGKILL


def test_a_kernel_whose_end_a_fork_server_does_not_report_has_ended(monkeypatch):
    monkeypatch.setattr(forkserver, "SECONDS_TO_REPORT", 0.1)
    server = forkserver.ForkServer()
    server.process.send_signal(signal.SIGSTOP)
    kernel = subprocess.Popen(["sleep", "60"])
    process = forkserver.KernelProcess(server, kernel.pid)
    assert process.poll() is None
    process.kill()
    assert process.wait() == -signal.SIGKILL
    kernel.wait()
    server.close()


def test_braces_in_a_path_are_no_parameters_of_papermill():
    assert literal(Path("/a/{x}/b")).format() == str(Path("/a/{x}/b"))
