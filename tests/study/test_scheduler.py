"""Jobs on workers: their order and needs, workers and schedulers that are lost, a worker that joins."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import dask
import psutil
import pytest
from dask.distributed import Security
from distributed.comm import connect

from sercore import files
from sercore.study import workers
from sercore.study.attempt import Outcome
from sercore.study.scheduler import Job, batch_marker, perform
from sercore.study.workers import CERTIFICATE, KEY, Cluster, Where

WITH_TESTS = os.environ | {
    "PYTHONPATH": os.pathsep.join(map(str, Path(__file__).parents[:2]))
}  # other processes import its functions


def log_call(log, name, needed, wait, seconds=0.0, state="complete"):
    with Path(log).open("a") as lines:
        lines.write(f"{name} {os.getpid()} {wait} {','.join(outcome.name for outcome in needed)}\n")
    time.sleep(seconds)
    return Outcome(name, state)


def lines(log):
    return [line.split(" ") for line in Path(log).read_text().splitlines()] if Path(log).exists() else []


def jobs_for(log, names, **options):
    return [
        Job(name=name, call=partial(log_call, str(log), name, **options), cost=cost) for name, cost in names.items()
    ]


def die_once(log, name, needed, wait):
    first = not lines(log)
    log_call(log, name, needed, wait)
    if first:
        os.kill(os.getpid(), signal.SIGKILL)
    return Outcome(name, "complete")


def locked_at_first(log, name, needed, wait):
    return log_call(log, name, needed, wait, state="complete" if wait else "locked")


def fill_disk(log, name, needed, wait, cause):
    log_call(log, name, needed, wait)
    return Outcome(name, "failed", cause=f"OSError: {cause}")


@pytest.fixture(scope="module")
def one():
    with Cluster(Where(workers=1)) as cluster:
        yield cluster


def test_a_worker_is_rarely_interrupted_to_see_how_it_is(one):
    def callbacks(dask_worker):
        return {name: callback.callback_time for name, callback in dask_worker.periodic_callbacks.items()}

    (found,) = one.client.run(callbacks).values()
    assert min(found.values()) >= 200, found  # milliseconds
    assert "profile" not in found


def test_the_longest_job_begins_first(one, tmp_path):
    outcomes = list(perform(jobs_for(tmp_path / "log", {"a": 1, "b": 3, "c": 2}), one))
    assert [outcome.name for outcome in outcomes] == ["b", "c", "a"]
    assert [line[0] for line in lines(tmp_path / "log")] == ["b", "c", "a"]


def test_a_job_gets_the_outcomes_of_the_jobs_that_it_needs(one, tmp_path):
    log = tmp_path / "log"
    later = Job(name="later", call=partial(log_call, str(log), "later"), needs=("a", "not a job"), cost=9)
    list(perform([later, *jobs_for(log, {"a": 1, "b": 2})], one))
    assert [line[0] for line in lines(log)] == ["b", "a", "later"]
    assert lines(log)[-1][3] == "a"


def test_jobs_that_need_each_other_are_an_error(one, tmp_path):
    call = partial(log_call, str(tmp_path / "log"), "x")
    with pytest.raises(ValueError, match="x, y need each other"):
        list(perform([Job(name="x", call=call, needs=("y",)), Job(name="y", call=call, needs=("x",))], one))


def test_a_job_that_another_batch_has_locked_is_waited_for_at_the_end(one, tmp_path):
    log = tmp_path / "log"
    jobs = [Job(name="x", call=partial(locked_at_first, str(log), "x"), cost=9), *jobs_for(log, {"a": 1})]
    assert [outcome.name for outcome in perform(jobs, one)] == ["a", "x"]
    assert [(line[0], line[2]) for line in lines(log)] == [("x", "False"), ("a", "False"), ("x", "True")]


def test_a_worker_that_dies_is_replaced_and_its_job_run_again(one, tmp_path):
    log = tmp_path / "log"
    jobs = [Job(name="x", call=partial(die_once, str(log), "x"), cost=9), *jobs_for(log, {"a": 1, "b": 0})]
    assert {outcome.name: outcome.state for outcome in perform(jobs, one)} == dict.fromkeys("xab", "complete")
    assert [line[0] for line in lines(log)].count("x") == 2


@pytest.mark.long
def test_a_job_whose_outcome_has_arrived_is_not_run_again_when_its_worker_leaves(tmp_path):
    log = tmp_path / "log"
    with Cluster(Where(workers=2)) as cluster:
        wait_for_workers(cluster, 2)
        cluster.client.scheduler_comm.interval = 3.0  # seconds between two messages to the scheduler: a slow connection
        jobs = [*jobs_for(log, {"first": 2}), *jobs_for(log, {"second": 1}, seconds=1.0)]
        for outcome in perform(jobs, cluster):
            pids = {line[0]: int(line[1]) for line in lines(log)}
            if outcome.name == "first":
                os.kill(pids["first"], signal.SIGKILL)
    assert sorted(line[0] for line in lines(log)) == ["first", "second"]


@pytest.mark.parametrize("cause", ["No space left on device", "Disk quota exceeded"])
def test_a_full_disk_ends_the_batch(one, tmp_path, cause):
    log = tmp_path / "log"
    jobs = [Job(name="x", call=partial(fill_disk, str(log), "x", cause=cause), cost=9), *jobs_for(log, {"a": 1})]
    with pytest.raises(OSError, match=rf"{cause}; free some space; completed runs are kept"):
        list(perform(jobs, one))
    assert len(lines(log)) == 1


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def answers(address):
    host, _, port = address.removeprefix("tcp://").partition(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) == 0


@pytest.fixture
def scheduler():
    """A scheduler in a process of its own, and its address."""
    address = f"tcp://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", address, "--dashboard-address", ":0"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=WITH_TESTS)
    until = time.monotonic() + 60
    while not answers(address):
        assert time.monotonic() < until
        time.sleep(0.1)
    yield process, address
    process.kill()
    process.wait()


def join(address, name, certificates=None):
    files_of = {"ca-file": CERTIFICATE, "cert": CERTIFICATE, "key": KEY} if certificates else {}
    command = [
        sys.executable,
        "-m",
        "distributed.cli.dask_worker",
        address,
        "--nthreads",
        "1",
        "--name",
        name,
        "--no-dashboard",
        "--memory-limit",
        "0",
        *(f"--tls-{kind}={certificates / name}" for kind, name in files_of.items()),
    ]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, env=WITH_TESTS)


def wait_for_workers(cluster, number):
    cluster.client.wait_for_workers(number, timeout=60)


@pytest.mark.long
def test_a_worker_that_joins_by_address_takes_its_share(tmp_path):
    with Cluster(Where(workers=1)) as cluster:
        second = join(cluster.address, "second", cluster.certificates)
        try:
            wait_for_workers(cluster, 2)
            names = {f"run {number}": 1 for number in range(8)}
            outcomes = list(perform(jobs_for(tmp_path / "log", names, seconds=0.4), cluster))
        finally:
            second.terminate()
            second.wait()
    assert [outcome.state for outcome in outcomes] == ["complete"] * 8
    pids = [line[-3] for line in lines(tmp_path / "log")]
    shares = sorted(pids.count(pid) for pid in set(pids))
    assert shares in ([3, 5], [4, 4])  # other programs may slow one of them


def test_only_who_has_the_certificate_of_a_batch_may_send_it_jobs(one):
    assert one.address.startswith("tls://127.0.0.1:")
    modes = {path.name: path.stat().st_mode & 0o777 for path in (one.certificates, *one.certificates.glob("tls.*"))}
    assert modes == {one.certificates.name: 0o700, CERTIFICATE: 0o600, KEY: 0o600}
    for address, security in (
        (one.address, Security()),
        (one.address, Security.temporary()),
        (one.address.replace("tls", "tcp"), Security()),
    ):
        with pytest.raises((TypeError, OSError)):  # without a certificate, with another one, without encryption
            asyncio.run(connect(address, timeout=3, **security.get_connection_args("client")))


def test_a_scheduler_with_tls_is_used_with_the_certificate_of_dask_s_configuration(one):
    with dask.config.set(workers._tls(one.certificates)), Cluster(Where(scheduler=one.address)) as cluster:
        assert cluster.client.submit(os.getpid).result() != os.getpid()


@pytest.mark.parametrize(
    ("address", "message", "certificate"),
    [
        ("tls://127.0.0.1:1", "needs a certificate: name its files in Dask's configuration", None),
        ("tls://127.0.0.1:1", "no certificate and key in the files that Dask's .*nowhere", "nowhere"),
        ("tls://127.0.0.1:1", "no certificate and key in the files that Dask's .*empty", "empty"),
        ("tcp://127.0.0.1:1", "is not encrypted, which Dask's configuration", ""),
    ],
)
def test_certificates_that_do_not_fit_a_scheduler_are_an_error_at_once(one, tmp_path, address, message, certificate):
    folder = one.certificates if certificate == "" else tmp_path / str(certificate)
    if certificate == "empty":
        folder.mkdir()
        for name in (CERTIFICATE, KEY):
            (folder / name).touch()
    with (
        dask.config.set({} if certificate is None else workers._tls(folder)),
        pytest.raises(ValueError, match=message),
    ):
        workers._connect(address)


def test_a_batch_on_this_machine_listens_on_loopback_alone(one):
    assert one.dashboard.startswith("http://127.0.0.1:")
    this = psutil.Process()
    listening = {
        connection.laddr.ip
        for process in (this, *this.children(recursive=True))
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_workers_are_not_ended_when_a_machine_wakes(one, monkeypatch):
    pid = one.client.submit(os.getpid, pure=False).result()
    scheduler = one._own.scheduler
    one.client.sync(scheduler.check_worker_ttl)
    later = time.time() + 10 * scheduler.worker_ttl
    for clock in ("distributed.scheduler.time", "sercore.study.workers.time.time"):
        monkeypatch.setattr(clock, lambda: later)
    one.client.sync(scheduler.check_worker_ttl)
    monkeypatch.undo()
    assert one.client.submit(os.getpid, pure=False).result() == pid


def test_a_scheduler_that_is_lost_ends_the_batch_with_its_address(scheduler, tmp_path, monkeypatch):
    process, address = scheduler
    monkeypatch.setattr(workers, "CONNECT", "3 s")
    worker = join(address, "worker")
    try:
        with ThreadPoolExecutor(1) as threads, Cluster(Where(scheduler=address)) as cluster:
            wait_for_workers(cluster, 1)
            jobs = jobs_for(tmp_path / "log", {"a": 1, "b": 0}, seconds=5)
            running = threads.submit(lambda: list(perform(jobs, cluster)))
            until = time.monotonic() + 60
            while not lines(tmp_path / "log"):
                assert time.monotonic() < until
                time.sleep(0.1)
            process.send_signal(signal.SIGKILL)
            with pytest.raises(OSError, match=f"the scheduler at {address} was lost; completed runs are kept"):
                running.result(timeout=60)
    finally:
        worker.kill()
        worker.wait()


def test_a_damaged_list_of_batches_begins_anew(one, tmp_path):
    (tmp_path / files.BATCHES).write_text("{")
    with batch_marker(tmp_path, one) as marker:
        assert marker.exists()
        assert [path.stat().st_mode & 0o777 for path in (marker, tmp_path / files.BATCH)] == [0o700, 0o600]
    assert not list(tmp_path.glob(".batch-*"))
    assert len(files.read_json(tmp_path / files.BATCHES)["batches"]) == 1


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:8786", "tcp://127.0.0.1", "tcp://host:port"])
def test_an_address_that_is_none_is_refused_at_once(address):
    with pytest.raises(ValueError, match=f"'{address}' is no address of a Dask scheduler; expected tls://host:8786"):
        workers._connect(address)
