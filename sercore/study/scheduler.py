"""Many jobs on a cluster: those that others need before them, else the longest first; no loss but of what runs.

Jobs are handed to Dask one a worker, so that the order is decided when a worker is free, and workers may come and go.
A worker that dies is replaced, and its job given to another; a job that has killed several workers fails.

Runs on workers, the longest that can begin first: how long it takes and how much stands idle.

Computed exactly, and simulated by the batch's own machinery with jobs that sleep.
"""

import contextlib
import heapq
import logging
import os
import queue
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from dask.distributed import Client, Future, KilledWorker, LocalCluster
from distributed.comm import CommClosedError

from sercore import files
from sercore.study.attempt import Outcome
from sercore.study.workers import Cluster, Where

SECONDS_BETWEEN_LOOKS = 1.0  # for workers that have joined
SECONDS_WITHOUT_SCHEDULER = 60.0
NO_SPACE = "No space left on device"

Call = Callable[[Sequence[Outcome], bool], Outcome]


@dataclass(frozen=True, kw_only=True)
class Job:
    """Something to do on a worker: `call(outcomes of what it needs, whether to wait for another batch)`."""

    name: str
    call: Call
    needs: tuple[str, ...] = ()  # names of jobs
    cost: float = 0.0  # expected seconds
    trains: bool = True  # and so must have a GPU where some workers have one


def perform(jobs: Sequence[Job], cluster: Cluster) -> Iterator[Outcome]:
    """Do `jobs` on the workers of `cluster` and yield each outcome as it comes.

    What another batch has claimed is left until all else is done, and then waited for. However the iteration ends, no
    job goes on unseen. Raises OSError where the scheduler is lost or the disk is full, ValueError for needs that go
    round in a circle.
    """
    course = Scheduler(jobs, cluster)
    try:
        while course.open:
            yield from course.step()
    except CommClosedError as error:
        course.abandon()
        raise OSError(course.lost) from error
    except BaseException:  # Ctrl-C, or the caller has enough: kernels must not train on unseen
        course.abandon()
        raise


class Scheduler:
    """The state of `perform`."""

    def __init__(self, jobs: Sequence[Job], cluster: Cluster) -> None:
        self.cluster = cluster
        self.waiting = sorted(jobs, key=lambda job: -job.cost)
        self.known = {job.name for job in jobs}
        self.done: dict[str, Outcome] = {}
        self.claimed: list[Job] = []
        self.patient = False  # what is left is waited for
        self.running: dict[str, tuple[Job, Future]] = {}
        self.ended: queue.Queue[str] = queue.Queue()
        self.lost_at = 0.0
        self.lost = f"the scheduler at {cluster.address} was lost; what is complete is kept, the same command goes on"

    @property
    def open(self) -> bool:
        """Whether something is left to do."""
        return bool(self.waiting or self.running or self.claimed)

    @property
    def client(self) -> Client:
        """The connection to Dask."""
        return self.cluster.client

    def step(self) -> Iterator[Outcome]:
        """Give free workers something to do, and wait a while for what ends."""
        self._hand_out()
        if not self.running:
            if not self.claimed and self.waiting:
                stuck = ", ".join(job.name for job in self.waiting[:3])
                raise ValueError(f"{stuck} need each other: nothing can begin")
            self.waiting, self.claimed, self.patient = self.claimed + self.waiting, [], True
            return
        try:
            name = self.ended.get(timeout=SECONDS_BETWEEN_LOOKS)
        except queue.Empty:
            self._check_scheduler()
            return
        job, future = self.running.pop(name)
        outcome = self._outcome(job, future)
        if outcome.state == "claimed":
            self.claimed.append(job)
            return
        self.done[name] = outcome
        yield outcome
        if outcome.state == "failed" and NO_SPACE in outcome.cause:
            raise OSError(f"{outcome.name}: {outcome.cause}; free some space: what is complete is kept")

    def _hand_out(self) -> None:
        free = self._workers() - len(self.running)
        wanted = self.cluster.resources() if self.waiting and free > 0 else {}
        for job in [job for job in self.waiting if free > 0 and self._ready(job)][: max(free, 0)]:
            self.waiting.remove(job)
            resources = wanted if job.trains else {}
            needed = [self.done[name] for name in job.needs if name in self.done]
            future = self.client.submit(job.call, needed, self.patient, pure=False, resources=resources or None)
            self.running[job.name] = (job, future)
            future.add_done_callback(lambda _, name=job.name: self.ended.put(name))

    def _ready(self, job: Job) -> bool:
        return all(name in self.done or name not in self.known for name in job.needs)

    def _workers(self) -> int:
        """Notebooks that can be executed at once; one where workers are still awaited, so that it waits at Dask."""
        return max(1, sum(self.client.nthreads().values()))

    def _outcome(self, job: Job, future: Future) -> Outcome:
        if future.status == "cancelled":
            raise OSError(self.lost)
        try:
            return replace(future.result(), name=job.name)
        except KilledWorker as error:
            return Outcome(job.name, "failed", cause=f"its worker died, {error.allowed_failures + 1} times")
        except Exception as error:  # noqa: BLE001 - a worker that cannot even begin: its job has failed, others go on
            return Outcome(job.name, "failed", cause=f"{type(error).__name__}: {error}")
        finally:
            future.release()  # else Dask would do a job again whose worker leaves after it

    def _check_scheduler(self) -> None:
        if self.client.status == "running":
            self.lost_at = 0.0
        elif not self.lost_at:
            self.lost_at = time.monotonic()
        elif time.monotonic() - self.lost_at > SECONDS_WITHOUT_SCHEDULER:
            raise OSError(self.lost)

    def abandon(self) -> None:
        """Stop what runs."""
        self.cluster.stop()
        with contextlib.suppress(Exception):  # a lost scheduler has nothing to cancel
            self.client.cancel([future for _, future in self.running.values()], force=True)


@contextlib.contextmanager
def batch_marker(folder: Path, cluster: Cluster) -> Iterator[Path]:
    """Tell in `folder`, while the block runs, that a batch is under way; yields a file that its workers must see."""
    start = time.monotonic()
    token = folder / f".batch-{cluster.owner}"
    path = folder / files.BATCH
    content: dict[str, Any] = {
        "owner": cluster.owner,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "workers": sum(cluster.client.nthreads().values()),
        "started": time.time(),
        "dashboard": cluster.dashboard,
        "address": cluster.address,
    }
    files.write_text(token, cluster.owner)
    files.write_json(path, content)
    try:
        yield token
    finally:
        _remember(folder / files.BATCHES, content | {"seconds": round(time.monotonic() - start, 2)})
        token.unlink(missing_ok=True)
        with contextlib.suppress(OSError, ValueError):
            if files.read_json(path)["owner"] == cluster.owner:
                path.unlink(missing_ok=True)


def _remember(path: Path, content: dict[str, Any]) -> None:
    """Add `content` to the batches that the study has had."""
    kept = ("host", "workers", "started", "seconds")
    with contextlib.suppress(OSError, ValueError):  # a full disk: no reason to hide why the batch ended
        earlier = files.read_json(path)["batches"] if path.exists() else []
        files.write_json(path, {"batches": [*earlier, {key: content[key] for key in kept}]})


Edges = Mapping[int, Collection[int]]
"""Of a task: the tasks that must end before it begins."""


MACHINES = 8  # most that a simulation has: each of its Dask workers takes as many tasks at once as it has to


class Schedule(NamedTuple):
    """How a set of tasks lies on workers."""

    wall: float  # seconds from the first task's begin to the last one's end
    idle: float  # share of workers x wall in which no task runs


def computed(lengths: Sequence[float], edges: Edges, workers: int, begun: Collection[int] = ()) -> Schedule:
    """The schedule of tasks of `lengths` seconds where a free worker takes the longest that can begin.

    `begun` are those that have workers already, with what is left of them as their lengths; no task waits for another
    that is not among `lengths`. Raises ValueError for fewer than one worker and for edges that go round in a circle.
    """
    if workers < 1:
        raise ValueError(f"{workers} workers; expected at least 1")
    open_needs = {task: set(edges.get(task, ())) - {task} for task in range(len(lengths))}
    needed_by: dict[int, list[int]] = {}
    for task, needs in open_needs.items():
        for need in needs:
            needed_by.setdefault(need, []).append(task)
    ready = [(-lengths[task], task) for task, needs in open_needs.items() if not needs and task not in begun]
    heapq.heapify(ready)
    running = [(lengths[task], task) for task in begun]
    heapq.heapify(running)
    now, ended = 0.0, 0
    while ready or running:
        while ready and len(running) < workers:
            _, task = heapq.heappop(ready)
            heapq.heappush(running, (now + lengths[task], task))
        now, task = heapq.heappop(running)
        ended += 1
        for later in needed_by.get(task, ()):
            open_needs[later].discard(task)
            if not open_needs[later] and later not in begun:
                heapq.heappush(ready, (-lengths[later], later))
    if ended < len(lengths):
        raise ValueError(f"{len(lengths) - ended} of {len(lengths)} tasks need each other: nothing can begin")
    return _schedule(now, sum(lengths), workers)


def simulate(lengths: Sequence[float], edges: Edges, workers: int, scale: float) -> Schedule:
    """The schedule that comes of giving the tasks to a batch that has `workers` of Dask, where each sleeps.

    The workers are threads of this process, on up to MACHINES simulated machines. A second of a task is slept in
    `scale` seconds, and the answer is in the tasks' own seconds: the batch's own time, some 25 milliseconds between a
    run and the next, is in it, enlarged by 1 / `scale`.
    """
    jobs = [
        Job(
            name=str(task),
            call=partial(_sleep, str(task), length * scale),
            needs=tuple(map(str, edges.get(task, ()))),
            cost=length,
        )
        for task, length in enumerate(lengths)
    ]
    with _Threads(Where(workers=workers)) as cluster:
        cluster.client.wait_for_workers(1)
        start = time.perf_counter()
        for outcome in perform(jobs, cluster):
            if outcome.state != "complete":
                raise RuntimeError(f"task {outcome.name} of the simulation: {outcome.cause}")
        wall = (time.perf_counter() - start) / scale
    return _schedule(wall, sum(lengths), workers)


def _schedule(wall: float, busy: float, workers: int) -> Schedule:
    return Schedule(wall, 1 - busy / (wall * workers) if wall else 0.0)


def _sleep(name: str, seconds: float, needed: Sequence[Outcome], patient: bool) -> Outcome:  # noqa: ARG001 - a batch.Call
    time.sleep(seconds)
    return Outcome(name, "complete", seconds)


class _Threads(Cluster):
    """Workers that are threads of this process: cheap enough for many, and good for nothing but sleeping."""

    def _local(self) -> LocalCluster:
        wanted = self.where.workers or 1
        machines = max(count for count in range(1, MACHINES + 1) if wanted % count == 0)
        return LocalCluster(
            n_workers=machines,
            threads_per_worker=wanted // machines,
            processes=False,
            dashboard_address=None,
            silence_logs=logging.ERROR,
        )

    def resources(self) -> dict[str, float]:
        """None: nothing is asked of who only sleeps."""
        return {}
