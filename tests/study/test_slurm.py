"""A study as the jobs of a real Slurm: its daemons on this machine, for the time of the test (Debian: slurm-wlm)."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from sercore import files

ROOT = Path(__file__).parents[2]
DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch")
pytestmark = pytest.mark.long

CONFIGURATION = """
ClusterName=here
SlurmctldHost={host}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
NodeName={host} CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A Slurm of one node with two cores; its environment."""
    absent = [name for name in DAEMONS if not shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")]
    if absent or os.getuid() != 0:
        pytest.skip(f"needs root and {', '.join(absent or DAEMONS)}: apt install slurm-wlm")
    for name in ("state", "spool"):
        (tmp_path / name).mkdir()
    path = tmp_path / "slurm.conf"
    path.write_text(CONFIGURATION.format(host=socket.gethostname(), folder=tmp_path))
    monkeypatch.setenv("SLURM_CONF", str(path))
    monkeypatch.setenv("PATH", os.environ["PATH"] + ":/usr/sbin")
    munge = Path("/run/munge")
    munge.mkdir(exist_ok=True)
    shutil.chown(munge, "munge", "munge")
    daemons = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for command in (
            ["su", "-s", "/bin/sh", "munge", "-c", "munged --foreground --force"],
            ["slurmctld", "-D", "-f", str(path)],
            ["slurmd", "-D", "-f", str(path)],
        )
    ]
    until = time.monotonic() + 60
    while "idle" not in subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True).stdout:
        assert time.monotonic() < until, "Slurm has no idle node after a minute"
        time.sleep(0.5)
    yield tmp_path
    for daemon in reversed(daemons):
        daemon.terminate()
        daemon.wait()


def test_a_study_runs_as_slurm_jobs(slurm, make):
    plan = make([0, 1, 2, 3])
    jobs = slurm / "jobs.yaml"
    options = {
        "queue": "main",
        "cores": 1,
        "memory": "1 GB",
        "walltime": "00:10:00",
        "log_directory": str(slurm / "logs"),
    }
    jobs.write_text(yaml.safe_dump({"queue_system": "slurm", "jobs": 2, "options": options}))
    command = [sys.executable, "-m", "sercore.commands.cli", "run", str(plan.path), "--cluster", str(jobs)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(run.complete for run in plan.runs)
    executed = [files.read_json(run.folder / files.EXECUTIONS)["executions"] for run in plan.runs]
    assert [len(of_run) for of_run in executed] == [1, 1, 1, 1]
    assert len(list((slurm / "logs").glob("*.out"))) == 2
    queue = subprocess.run(["squeue", "-h"], capture_output=True, text=True).stdout
    assert not queue.strip() or " CG " in queue  # the jobs end with the study
