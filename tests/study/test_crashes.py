"""Real trainings that are killed in mid-epoch, and go on: the same bytes as undisturbed, nothing done twice."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
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
    """The bytes of the predictions of a study that nobody disturbed."""
    plan = make_study("undisturbed")
    assert start(plan).wait(PATIENCE) == 0
    return results(plan)


def results(plan):
    return {run.name: (run.folder / files.PREDICTIONS).read_bytes() for run in plan.runs}


def start(plan, *arguments, workers=1):
    local = [] if "--scheduler" in arguments else ["--workers", str(workers)]
    command = [sys.executable, "-m", "sercore.commands.cli", "run", str(plan.path), *local, *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)


def in_mid_epoch(plan):
    """(run, what running.json says) of a run that has kept the state of an epoch and trains on."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        for run in plan.runs:
            telling = run.folder / files.RUNNING
            if telling.exists() and "kernel" in telling.read_text() and list(run.folder.glob(f"fold=*/{files.STATE}*")):
                return run, json.loads(telling.read_text())
        time.sleep(0.05)
    raise AssertionError("no run has kept the state of an epoch")


def check(plan, undisturbed):
    assert results(plan) == undisturbed
    for run in plan.runs:
        outcomes = [one["outcome"] for one in files.read_json(run.folder / files.EXECUTIONS)["executions"]]
        assert outcomes.count("complete") == 1, (run.name, outcomes)
        assert not list(run.folder.glob(f"fold=*/{files.STATE}*"))
        assert not (run.folder / files.RUNNING).exists()
    assert not list(plan.folder.rglob("*.part"))
    assert start(plan).wait(PATIENCE) == 0  # nothing to do
    assert results(plan) == undisturbed


def test_a_kernel_that_is_killed(make_study, undisturbed):
    plan = make_study("kernel")
    study = start(plan)
    _, told = in_mid_epoch(plan)
    os.kill(told["kernel"], signal.SIGKILL)
    assert study.wait(PATIENCE) == 0
    check(plan, undisturbed)


def test_a_worker_that_is_killed(make_study, undisturbed):
    plan = make_study("worker")
    study = start(plan)
    _, told = in_mid_epoch(plan)
    os.kill(told["pid"], signal.SIGKILL)
    assert study.wait(PATIENCE) == 0
    check(plan, undisturbed)


def test_the_study_itself_is_killed_and_told_again(make_study, undisturbed):
    plan = make_study("itself")
    study = start(plan)
    run, _ = in_mid_epoch(plan)
    study.kill()
    study.wait()
    assert not run.complete
    assert start(plan).wait(PATIENCE) == 0
    check(plan, undisturbed)


def test_a_scheduler_that_is_killed(make_study, undisturbed):
    plan = make_study("scheduler")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{found.getsockname()[1]}"
    alike = os.environ | local_workers(1)[0]["env"]  # another number of threads gives other last digits
    quiet = {"stderr": subprocess.DEVNULL, "cwd": ROOT, "env": alike}
    scheduling = ["distributed.cli.dask_scheduler", "--host", address, "--no-dashboard"]
    scheduler = subprocess.Popen([sys.executable, "-m", *scheduling], **quiet)
    joining = ["distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard", "--memory-limit", "0"]
    worker = subprocess.Popen([sys.executable, "-m", *joining], **quiet)
    try:
        time.sleep(5)
        study = start(plan, "--scheduler", address)
        in_mid_epoch(plan)
        scheduler.kill()
        assert study.wait(PATIENCE) not in (0, None)
        assert not all(run.complete for run in plan.runs)
        assert start(plan).wait(PATIENCE) == 0  # while the old worker may still train: its claim is respected
        check(plan, undisturbed)
    finally:
        for process in (scheduler, worker):
            process.kill()
            process.wait()


def test_ctrl_c(make_study, undisturbed):
    plan = make_study("interrupted")
    study = start(plan)
    _, told = in_mid_epoch(plan)
    os.killpg(study.pid, signal.SIGINT)
    assert study.wait(60) == 130
    psutil.wait_procs([psutil.Process(told["kernel"])] if psutil.pid_exists(told["kernel"]) else [], timeout=10)
    assert not psutil.pid_exists(told["kernel"])
    assert not list(plan.folder.rglob(files.FAILURE))
    assert start(plan).wait(PATIENCE) == 0
    check(plan, undisturbed)


def test_two_at_once(make_study, undisturbed):
    plan = make_study("twice")
    first, second = start(plan), start(plan)
    assert first.wait(PATIENCE) == 0
    assert second.wait(PATIENCE) == 0
    check(plan, undisturbed)


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


def test_a_full_disk(make_study, undisturbed, small_disk):
    plan = make_study("full", outputs=small_disk)
    (small_disk / "cache").symlink_to(make_study("undisturbed").outputs / "cache")
    study = start(plan)
    assert study.wait(PATIENCE) not in (0, 130)
    assert not any(run.complete for run in plan.runs)
    subprocess.run(["mount", "-o", "remount,size=400m", str(small_disk)], check=True)
    assert start(plan).wait(PATIENCE) == 0
    check(plan, undisturbed)
