"""The Dask workers of a batch: on this machine, at the address of a running scheduler, or as jobs of a queue.

A worker executes one notebook at a time, in a kernel, which is the process that uses the GPU. Whoever may send a worker
jobs runs code as its user: the schedulers that are started here speak TLS, with a certificate made for the batch, and
only to those who have it.
"""

import contextlib
import logging
import os
import re
import shlex
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import dask
from dask.distributed import Client, Nanny, Scheduler, Security, SpecCluster, Status, WorkerPlugin

from sercore import files
from sercore.schema import did_you_mean
from sercore.study import kernels

GPU = "GPU"  # the resource of a worker that has one
DEVICE = "SERCORE_DEVICE"
CONNECT = "30 s"
SECONDS_TO_STOP = 20.0  # that the workers may take to end their kernels
STARTS = 5  # of a worker that is killed while it starts
LATE = 5.0  # seconds by which a check of the workers may come late without anything having stood still
QUIET = {"distributed.worker.profile.enabled": False, "distributed.admin.tick.interval": "1 s"}
"""Settings of Dask for workers on this machine: otherwise each takes a twentieth of a core to see, 100 times a second,
what it computes, and 50 times whether it answers."""
LOOPBACK = "127.0.0.1"
PREFIX = f".batch-{socket.gethostname()}-"  # begins the names of a batch's private folders beside its runs
CERTIFICATE, KEY = "tls.crt", "tls.key"  # in a private folder: for those who join the scheduler
QUEUES = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "htcondor": "HTCondorCluster",
    "lsf": "LSFCluster",
    "oar": "OARCluster",
    "moab": "MoabCluster",
}
JOB = {"cores": 1, "processes": 1, "memory": "16 GB"}  # of a job, unless the file sets it
KEYS = {"queue_system", "jobs", "gpus", "options"}


@dataclass(frozen=True, kw_only=True)
class Where:
    """Which workers execute the notebooks."""

    workers: int | None = None  # on this machine; default: one a GPU, else one a core
    per_gpu: int = 1  # notebooks that share a GPU
    scheduler: str = ""  # address of a running scheduler, whose workers are used
    queue: str = ""  # YAML file of a queueing system's jobs


class _IgnoreInterrupt(WorkerPlugin):
    """Lets a worker ignore Ctrl-C, which reaches every process of a terminal: the process of the batch handles it."""

    name = "sercore-ignore-interrupt"

    def setup(self, worker: Any) -> None:  # noqa: ARG002 - Dask's signature
        with contextlib.suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Scheduler(Scheduler):
    """Dask's, for which the time in which this process stood still, as while the machine slept, is no worker's silence.

    Dask compares times of day, and would end every worker when the machine wakes.
    """

    checked: float | None = None

    async def check_worker_ttl(self) -> None:
        now = time.time()
        if self.checked is not None and abs(now - self.checked - (self.worker_ttl or 0)) > LATE:
            for worker in self.workers.values():
                worker.last_seen = now
        self.checked = now
        await super().check_worker_ttl()


class _Nanny(Nanny):
    """Dask's, which starts a worker again that was killed while it started."""

    async def instantiate(self) -> Status:
        for _ in range(STARTS):
            status = await super().instantiate()
            if status != Status.stopped:
                break
        return status


def _end_quietly() -> None:
    """Let this worker say no more: that its scheduler has ended before it, on a busy machine, is no error."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)


class Cluster:
    """The workers of a batch, started at their first use; as a context manager it ends them."""

    def __init__(self, where: Where | None = None, tasks: int | None = None, folder: Path | None = None) -> None:
        self.where = where or Where()
        self.batch_id = uuid.uuid4().hex
        self.tasks = tasks  # more workers than notebooks are never started
        self.folder = folder or Path.cwd()  # that a queue's workers see too: their certificate lies below it
        self.certificates: Path | None = None  # the folder of CERTIFICATE and KEY; None: those of Dask's configuration
        self._own: Any = None
        self._client: Client | None = None
        self._ending = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Start nothing yet."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the workers that were started here; after an error, end their kernels first."""
        with self._ending:
            if self._client is not None and kind is not None:
                self.stop()
            if self._client is not None and self._own is not None:
                self._run(_end_quietly)
            for part in (self._client, self._own):
                if part is not None:
                    with contextlib.suppress(OSError):  # the scheduler is lost
                        part.close(timeout=10)

    def stop(self) -> None:
        """End the kernels of this batch on every worker."""
        self._run(kernels.stop, self.batch_id)

    def _run(self, function: Callable[..., None], *arguments: str) -> None:
        """Call `function` on every worker that answers in time."""
        if self.client.status == "running":  # else the scheduler is lost, and its workers end their kernels themselves
            with contextlib.suppress(OSError):  # it is being lost now, or a worker does not answer
                self.client.sync(
                    self.client._run, function, *arguments, on_error="ignore", callback_timeout=SECONDS_TO_STOP
                )

    @property
    def client(self) -> Client:
        """The connection to the workers' scheduler, which is started or looked up at first use.

        Raises OSError where no scheduler answers or no worker starts, ValueError for a mistake in a queue's file.
        """
        if self._client is None:
            if self.where.scheduler:
                self._client = _connect(self.where.scheduler)
            else:
                self._own = self._queue(files.resolve(self.where.queue)) if self.where.queue else self._local()
                self._client = Client(self._own, set_as_default=False)
            if not self.where.scheduler and not self.where.queue:
                self._client.register_plugin(_IgnoreInterrupt())
        return self._client

    def _certify(self, place: contextlib.AbstractContextManager[Path]) -> tuple[Security, Path]:
        """A certificate for this batch alone, and the private folder `place` in which those who join find it."""
        security = Security.temporary()
        folder = self.certificates = self._ending.enter_context(place)
        files.write_text(folder / CERTIFICATE, security.tls_ca_file, private=True)
        files.write_text(folder / KEY, security.tls_client_key, private=True)
        return security, folder

    @property
    def dashboard(self) -> str:
        """The address of the scheduler's web page."""
        link = self.client.dashboard_link or ""
        server = None if self._own is None else self._own.scheduler.http_server
        # Dask names the scheduler's own host, also where the page is for this machine alone
        return f"http://{LOOPBACK}:{server.port}/status" if server and server.address == LOOPBACK else link

    @property
    def address(self) -> str:
        """The scheduler's address, which further workers may join."""
        return str(self.client.scheduler_info(n_workers=0)["address"])

    def resources(self) -> dict[str, float]:
        """The Dask resources that a task which trains needs: a GPU where some workers have one."""
        workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
        return {GPU: 1} if any(GPU in worker.get("resources", {}) for worker in workers) else {}

    def _local(self) -> SpecCluster:
        specification = local_workers(self.where.workers, self.where.per_gpu, self.tasks)
        loud = {"silence_logs": logging.ERROR}
        security, _ = self._certify(files.private_folder())
        common = {"host": LOOPBACK, "protocol": "tls://", "security": security}
        worker = {"nthreads": 1, "memory_limit": 0, "dashboard_address": None, **common, **loud}
        workers = {number: {"cls": _Nanny, "options": worker | options} for number, options in enumerate(specification)}
        scheduler = {"cls": _Scheduler, "options": {"dashboard_address": f"{LOOPBACK}:0", **common}}
        try:
            with dask.config.set(QUIET):
                return SpecCluster(workers=workers, scheduler=scheduler, security=security, **loud)
        except RuntimeError as error:
            raise OSError(
                f"no worker could be started on this machine: its process ended {STARTS} times while it started; "
                "free some memory, or give fewer --workers"
            ) from error

    def _queue(self, path: Path) -> Any:
        """The cluster that the YAML file `path` describes, with its jobs submitted."""
        content = files.read_yaml(path)
        _, certificates = self._certify(files.private_folder(self.folder, PREFIX))
        cluster, jobs = job_cluster(content, str(path), certificates)
        cluster.scale(jobs=jobs)
        return cluster


def local_workers(workers: int | None = None, per_gpu: int = 1, tasks: int | None = None) -> list[dict[str, Any]]:
    """The environment and resources of each worker of this machine.

    `per_gpu` workers for each GPU, which see no other; without GPUs one for each core. Threads times workers are the
    cores: more of them are many times slower. `workers` sets the number, and there are never more than `tasks`.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    devices = [gpu for gpu in gpus() for _ in range(per_gpu)]
    number = workers or len(devices) or cores
    if tasks is not None:
        number = max(1, min(number, tasks))
    threads = str(max(1, cores // number))
    environments = [{"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads} for _ in range(number)]
    if not devices:
        return [{"env": environment} for environment in environments]
    return [
        {"env": environment | {"CUDA_VISIBLE_DEVICES": devices[place % len(devices)]}, "resources": {GPU: 1}}
        for place, environment in enumerate(environments)
    ]


def gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; none where SERCORE_DEVICE is another."""
    if not os.environ.get(DEVICE, "cuda").startswith("cuda"):
        return []
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [name for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if name not in ("", "-1")]
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in listed.splitlines() if line.strip().isdigit()]


def _connect(address: str) -> Client:
    if not re.fullmatch(r"(tcp|tls)://\S+:\d+", address):
        raise ValueError(f"'{address}' is no address of a Dask scheduler; expected tls://host:8786 or the like")
    security, encrypted = Security(), address.startswith("tls://")
    certificates = "Dask's configuration, distributed.comm.tls (docs/batches.md)"
    try:
        certified = security.get_connection_args("client")["ssl_context"] is not None
    except OSError as error:  # also ssl's
        used = security.get_tls_config_for_role("client")
        raise ValueError(f"no certificate and key in the files that {certificates}, names: {used} ({error})") from error
    if encrypted and not certified:
        raise ValueError(f"{address} needs a certificate: name its files in {certificates}")
    if security.require_encryption and not encrypted:
        raise ValueError(f"{address} is not encrypted, which {certificates}, requires: expected tls://host:8786")
    try:
        return Client(address, timeout=CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise OSError(
            f"no Dask scheduler answers at {address} within {CONNECT}; start one: dask scheduler ({error})"
        ) from error


def job_cluster(content: Mapping[str, Any], where: str, certificates: Path) -> tuple[Any, int]:
    """A dask-jobqueue cluster without jobs, and the number of jobs that it is to have.

    Its scheduler and its workers have the certificate in the folder `certificates`.

    `queue_system`: slurm, pbs, ...; `jobs`: how many, each one worker; `gpus`: whether each has one; `options`: of
    dask-jobqueue's class (queue, account, walltime, memory, cores, job_script_prologue, ...).
    Raises ValueError for an unknown key or queue, ImportError where dask-jobqueue is not installed.
    """
    for key in content:
        if key not in KEYS:
            raise ValueError(f"{where}: unknown key '{key}'{did_you_mean(key, sorted(KEYS))}")
    system = content.get("queue_system", "")
    if system not in QUEUES:
        raise ValueError(f"{where}: unknown queue_system '{system}'{did_you_mean(system, QUEUES)}; known: {[*QUEUES]}")
    try:
        import dask_jobqueue
    except ImportError as error:
        raise ImportError(f"{where} needs dask-jobqueue: pip install 'sercore[cluster]'") from error
    options: dict[str, Any] = JOB | dict(content.get("options") or {})
    cores = options["cores"]
    # one notebook a worker, with all the job's cores for its kernel
    arguments = ["--nthreads", "1", "--dashboard-address", f"{LOOPBACK}:0", *options.pop("worker_extra_args", [])]
    if content.get("gpus"):
        arguments += ["--resources", f"{GPU}=1"]
    tls = _tls(certificates)
    exported = [f"export {_variable(name)}={shlex.quote(value)}" for name, value in tls.items()]
    prologue = [f"export OMP_NUM_THREADS={cores}", *exported, *options.pop("job_script_prologue", [])]
    options |= {"worker_extra_args": arguments, "job_script_prologue": prologue}
    options["scheduler_options"] = {"dashboard_address": f"{LOOPBACK}:0"} | (options.get("scheduler_options") or {})
    options |= {"protocol": "tls://", "scheduler_cls": _Scheduler}
    with dask.config.set({"distributed.worker.memory.terminate": False, **tls}):
        try:
            cluster = getattr(dask_jobqueue, QUEUES[system])(**options)
        except (TypeError, ValueError) as error:  # of which the first line names the option, others list all of them
            raise ValueError(f"{where}: options: {str(error).partition(chr(10))[0]}") from error
    return cluster, int(content.get("jobs", 1))


def _tls(certificates: Path) -> dict[str, str]:
    """Dask's settings for the certificate in the folder `certificates`, which every part of the batch has."""
    certificate, key = str(certificates / CERTIFICATE), str(certificates / KEY)
    settings = {"distributed.comm.require-encryption": "True", "distributed.comm.tls.ca-file": certificate}
    for part in ("client", "scheduler", "worker"):
        settings |= {f"distributed.comm.tls.{part}.cert": certificate, f"distributed.comm.tls.{part}.key": key}
    return settings


def _variable(setting: str) -> str:
    """The environment variable that Dask reads `setting` from."""
    return "DASK_" + setting.upper().replace(".", "__").replace("-", "_")


@contextlib.contextmanager
def ended_by_signal() -> Iterator[None]:
    """Let SIGTERM (a queue's time limit) end a batch as Ctrl-C does, so that its kernels are stopped."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread: a notebook's
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
