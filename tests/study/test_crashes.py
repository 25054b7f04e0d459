"""Trainings that are killed in mid-epoch and go on: the same bytes as undisturbed ones, and nothing is done twice."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
import yaml

from sercore import files
from sercore.study import config
from sercore.study.workers import local_workers

ROOT = Path(__file__).parents[2]
PATIENCE = 300  # seconds that a step of these tests may take
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def make_study(embedded, tmp_path_factory):
    """A study of three trainings of a CNN14 with text, on a cache that all studies of this module share."""
    home = tmp_path_factory.mktemp("crashes")

    def _make(name, outputs=None):
        block = {
            "grid": {"model": ["sfcnn14"], "corpus": ["msp-podcast"], "seed": [0, 1, 2]},
            "fixed": {
                "features": {"mels": 32, "hop": 320},
                "text": {"encoder": "all-minilm-l6-v2", "tokens": 32},
                "network": {"width": 8},
                "training": {"epochs": 4, "batch": 16, "crop_seconds": 1.92},
            },
        }
        sections = {"categories": {"notebook": str(ROOT / "notebooks" / "1_categories.ipynb"), "blocks": [block]}}
        content = {"study": name, "corpora": embedded, "outputs": str(outputs or home), "sections": sections}
        path = home / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content))
        return config.load(path)

    return _make


@pytest.fixture(scope="module")
def undisturbed(make_study):
    """The bytes of the predictions of a study that nothing interrupts."""
    study = make_study("undisturbed")
    assert start(study).wait(PATIENCE) == 0
    return results(study)


def results(study):
    return {run.name: (run.folder / files.PREDICTIONS).read_bytes() for run in study.runs}


def start(study, *arguments, workers=1):
    local = [] if "--scheduler" in arguments else ["--workers", str(workers)]
    command = [sys.executable, "-m", "sercore.commands.cli", "run", str(study.path), *local, *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    interruptible = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # tests in a shell's background ignore Ctrl-C
    return subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, preexec_fn=interruptible)


def in_mid_epoch(study):
    """(run, content of running.json) of a run that has saved the state of an epoch and trains on."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        for run in study.runs:
            record = files.find_json(run.folder / files.RUNNING) or {}
            if "kernel" in record and list(run.folder.glob(f"fold=*/{files.STATE}*")):
                return run, record
        time.sleep(0.05)
    raise AssertionError("no run has saved the state of an epoch")


def check(study, undisturbed):
    assert results(study) == undisturbed
    for run in study.runs:
        outcomes = [one["outcome"] for one in files.read_json(run.folder / files.EXECUTIONS)["executions"]]
        assert outcomes.count("complete") == 1, (run.name, outcomes)
        assert not list(run.folder.glob(f"fold=*/{files.STATE}*"))
        assert not (run.folder / files.RUNNING).exists()
    assert not list(study.folder.rglob("*.part"))
    assert not list(study.folder.glob(".batch*"))
    assert start(study).wait(PATIENCE) == 0  # everything is complete
    assert results(study) == undisturbed


@pytest.mark.parametrize(("killed", "key"), [("kernel", "kernel"), ("worker", "pid")])
def test_the_study_goes_on_after_a_process_is_killed(make_study, undisturbed, killed, key):
    study = make_study(killed)
    process = start(study)
    _, running = in_mid_epoch(study)
    os.kill(running[key], signal.SIGKILL)
    assert process.wait(PATIENCE) == 0
    check(study, undisturbed)


def test_a_killed_study_goes_on_when_run_again(make_study, undisturbed):
    study = make_study("itself")
    process = start(study)
    run, _ = in_mid_epoch(study)
    process.kill()
    process.wait()
    assert not run.complete
    assert start(study).wait(PATIENCE) == 0
    check(study, undisturbed)


def test_a_study_goes_on_after_its_scheduler_is_killed(make_study, undisturbed):
    study = make_study("scheduler")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    alike = os.environ | local_workers(1)[0]["env"]  # another number of threads gives other last digits
    quiet = {"stderr": subprocess.DEVNULL, "cwd": ROOT, "env": alike}
    scheduling = ["distributed.cli.dask_scheduler", "--host", address, "--no-dashboard"]
    scheduler = subprocess.Popen([sys.executable, "-m", *scheduling], **quiet)
    joining = ["distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard", "--memory-limit", "0"]
    worker = subprocess.Popen([sys.executable, "-m", *joining], **quiet)
    try:
        time.sleep(5)
        process = start(study, "--scheduler", address)
        in_mid_epoch(study)
        scheduler.kill()
        assert process.wait(PATIENCE) not in (0, None)
        assert not all(run.complete for run in study.runs)
        assert start(study).wait(PATIENCE) == 0  # while the old worker may still train: its lock is respected
        check(study, undisturbed)
    finally:
        for process in (scheduler, worker):
            process.kill()
            process.wait()


def test_ctrl_c_ends_the_kernels_and_the_study_goes_on_when_run_again(make_study, undisturbed):
    study = make_study("interrupted")
    process = start(study)
    _, running = in_mid_epoch(study)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    psutil.wait_procs([psutil.Process(running["kernel"])] if psutil.pid_exists(running["kernel"]) else [], timeout=10)
    assert not psutil.pid_exists(running["kernel"])
    assert not list(study.folder.rglob(files.FAILURE))
    assert start(study).wait(PATIENCE) == 0
    check(study, undisturbed)


def test_two_studies_at_once_do_nothing_twice(make_study, undisturbed):
    study = make_study("twice")
    first, second = start(study), start(study)
    assert first.wait(PATIENCE) == 0
    assert second.wait(PATIENCE) == 0
    check(study, undisturbed)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MB, which a checkpoint does not fit on; grown by `mount -o remount`."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_study_goes_on_after_a_full_disk(make_study, undisturbed, small_disk):
    study = make_study("full", outputs=small_disk)
    (small_disk / "cache").symlink_to(make_study("undisturbed").outputs / "cache")
    process = start(study)
    assert process.wait(PATIENCE) not in (0, 130)
    assert not any(run.complete for run in study.runs)
    subprocess.run(["mount", "-o", "remount,size=400m", str(small_disk)], check=True)
    assert start(study).wait(PATIENCE) == 0
    check(study, undisturbed)
