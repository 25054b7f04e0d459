"""The workers of a batch: their threads and GPUs, a queueing system's job script, mistakes in its file."""

import contextlib
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import yaml
from dask.distributed import Client

from sercore import files
from sercore.study import workers as workers_module
from sercore.study.workers import KEY, QUEUES, Cluster, Where, job_cluster, local_workers


@pytest.fixture
def machine(monkeypatch):
    def _machine(cores, gpus=""):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
        monkeypatch.delenv("SERCORE_DEVICE", raising=False)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)

    return _machine


@pytest.mark.parametrize(("cores", "workers", "threads"), [(2, None, 1), (16, 4, 4), (2, 8, 1), (6, 4, 1)])
def test_threads_times_workers_are_at_most_the_cores(machine, cores, workers, threads):
    machine(cores)
    specification = local_workers(workers)
    assert len(specification) == (workers or cores)
    assert {worker["env"]["OMP_NUM_THREADS"] for worker in specification} == {str(threads)}
    assert not any("resources" in worker for worker in specification)


def test_no_more_workers_are_started_than_there_are_notebooks(machine):
    machine(8)
    assert len(local_workers(tasks=3)) == 3
    assert local_workers(tasks=1)[0]["env"]["OMP_NUM_THREADS"] == "8"


def test_each_worker_sees_one_gpu(machine):
    machine(16, "0,2,5")
    assert [worker["env"]["CUDA_VISIBLE_DEVICES"] for worker in local_workers()] == ["0", "2", "5"]
    assert all(worker["resources"] == {"GPU": 1} for worker in local_workers())
    assert [w["env"]["CUDA_VISIBLE_DEVICES"] for w in local_workers(per_gpu=2)] == ["0", "0", "2", "2", "5", "5"]


def test_a_study_on_the_processor_takes_no_gpu(machine, monkeypatch):
    machine(4, "0,1")
    monkeypatch.setenv("SERCORE_DEVICE", "cpu")
    assert workers_module.gpus() == []


def test_workers_of_a_batch_that_ends_say_no_more(monkeypatch):
    levels = []

    def loud():
        return logging.getLogger("distributed").isEnabledFor(logging.ERROR)

    with Cluster(Where(workers=1)) as cluster:
        client = cluster.client
        close = client.close

        def closing(**options):
            levels.extend(client.run(loud).values())
            close(**options)

        levels.extend(client.run(loud).values())
        monkeypatch.setattr(client, "close", closing)
    assert levels == [True, False]


def test_an_address_without_a_scheduler_is_an_error(monkeypatch):
    monkeypatch.setattr(workers_module, "CONNECT", "1 s")
    with (
        Cluster(Where(scheduler="tcp://127.0.0.1:1")) as cluster,
        pytest.raises(OSError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1"),
    ):
        _ = cluster.client


@pytest.fixture
def certified(tmp_path):
    """A folder, with a blank in its path, with a certificate."""
    folder = tmp_path / "the certificates"
    with Cluster() as cluster:
        cluster._certify(files.private_folder(folder))
        yield cluster.certificates


def test_the_job_script_has_the_options_of_the_file(certified):
    path = Path(__file__).parents[2] / "parameters" / "clusters" / "slurm.yaml"
    cluster, jobs = job_cluster(yaml.safe_load(path.read_text()), str(path), certified)
    with cluster:
        script = cluster.job_script()
    assert jobs == 8
    for line in (
        "#SBATCH -p gpu",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --mem=30G",
        "#SBATCH -t 24:00:00",
        "#SBATCH --gres=gpu:1",
        "export OMP_NUM_THREADS=4",
    ):
        assert line in script
    assert "distributed.cli.dask_worker" in script
    assert "--nthreads 1" in script
    assert "--resources GPU=1" in script
    assert f"export DASK_DISTRIBUTED__COMM__TLS__WORKER__KEY='{certified / KEY}'" in script
    assert "--dashboard-address 127.0.0.1:0" in script


@pytest.mark.parametrize("system", sorted(QUEUES))
def test_every_queue_writes_a_job_script(system, certified):
    cluster, jobs = job_cluster(
        {"queue_system": system, "options": {"cores": 2, "memory": "8 GB"} | REQUIRED.get(system, {})}, "x", certified
    )
    with cluster:
        assert "dask_worker" in cluster.job_script()
    assert jobs == 1


REQUIRED = {"htcondor": {"disk": "1 GB"}, "oar": {"memory_per_core_property_name": "memcore"}}


@pytest.mark.filterwarnings("ignore:Exception ignored in.*Cluster.__del__")  # Dask's, of a cluster that failed
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"queue_system": "slrum"}, "unknown queue_system 'slrum'; did you mean 'slurm'"),
        ({"queue_system": "slurm", "job": 3}, "unknown key 'job'; did you mean 'jobs'"),
        ({"queue_system": "slurm", "options": {"wall_time": "1:00"}}, r"slurm\.yaml: options: .*'wall_time'"),
    ],
)
def test_a_mistake_in_the_file_is_an_error(content, message, certified):
    with pytest.raises(ValueError, match=message):
        job_cluster(content, "slurm.yaml", certified)


def test_a_worker_that_is_killed_while_it_starts_is_started_again():
    with Cluster(Where(workers=1)) as cluster, ThreadPoolExecutor(1) as threads:
        started = threads.submit(lambda: cluster.client.submit(os.getpid).result())
        killed = starting_worker()
        killed.kill()
        assert started.result(timeout=60) != killed.pid


@pytest.mark.filterwarnings("ignore:Exception ignored in.*Cluster.__del__")  # Dask's, of a cluster that failed
def test_a_worker_that_cannot_start_ends_the_batch_in_words(monkeypatch):
    monkeypatch.setattr(workers_module, "STARTS", 1)
    with Cluster(Where(workers=1)) as cluster, ThreadPoolExecutor(1) as threads:
        started = threads.submit(lambda: cluster.client)
        starting_worker().kill()
        with pytest.raises(OSError, match="no worker could be started on this machine: its process ended 1 times"):
            started.result(timeout=60)


def starting_worker():
    """The process of the worker that is being started."""
    until, before = time.monotonic() + 60, set(psutil.Process().children())
    while time.monotonic() < until:
        for process in set(psutil.Process().children()) - before:
            with contextlib.suppress(psutil.Error):
                if "spawn_main" in " ".join(process.cmdline()):
                    return process
        time.sleep(0.01)
    raise AssertionError("no worker is being started")


SBATCH = """#!/bin/sh
cp "$1" "$1.job"  # a queue keeps the script, which is deleted as soon as it is handed in
bash "$1.job" > "$1.log" 2>&1 &
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
kill "$1"
"""


@pytest.mark.long
def test_the_jobs_of_a_queue_have_the_certificate_of_their_batch(tmp_path, monkeypatch):
    queue, study = tmp_path / "queue", tmp_path / "a study"
    queue.mkdir()
    for name, script in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (queue / name).write_text(script)
        (queue / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{queue}:{os.environ['PATH']}")
    jobs = tmp_path / "jobs.yaml"
    jobs.write_text(yaml.safe_dump({"queue_system": "slurm", "options": {"memory": "1 GB"}}))
    with Cluster(Where(queue=str(jobs)), folder=study) as cluster:
        assert cluster.client.submit(os.getpid).result(timeout=200) != os.getpid()
        assert cluster.address.startswith("tls://")
        assert cluster.dashboard.startswith("http://127.0.0.1:")
        assert cluster.certificates.parent == study
        listening = [one.laddr for one in psutil.Process().net_connections("inet") if one.status == psutil.CONN_LISTEN]
        open_to_others = {address.port for address in listening if address.ip != "127.0.0.1"}
        assert open_to_others == {int(cluster.address.rpartition(":")[2])}
        with pytest.raises(TypeError):
            Client(cluster.address, timeout="5 s", set_as_default=False)
    assert not list(study.iterdir())
