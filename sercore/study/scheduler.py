"""Give the jobs of a batch to Dask workers, and compute how long a study takes on so many workers.

A job is a call: of a run, attempt.run, which executes its notebook. It begins after those that it needs, the longest
first. Dask gets one job a worker, so that the order is decided when a worker is free, and workers may come and go. A
worker that dies is replaced and its job given to another; a job that has killed several workers fails.
"""

import contextlib
import heapq
import os
import queue
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from dask.distributed import Client, Future, KilledWorker
from distributed.comm.core import CommClosedError

from sercore import files
from sercore.study.attempt import Outcome
from sercore.study.workers import PREFIX, Cluster

SECONDS_BETWEEN_LOOKS = 1.0  # for workers that have joined
SECONDS_BETWEEN_CONFIRMATIONS = 0.01
SECONDS_WITHOUT_SCHEDULER = 60.0
FULL = ("No space left on device", "Disk quota exceeded")  # what a cause says where nothing more can be written

Call = Callable[[Sequence[Outcome], bool], Outcome]


@dataclass(frozen=True, kw_only=True)
class Job:
    """Something to do on a worker: `call(outcomes of the jobs it needs, whether to wait for another batch)`."""

    name: str
    call: Call
    needs: tuple[str, ...] = ()  # names of jobs
    cost: float = 0.0  # expected seconds
    trains: bool = True  # and so must have a GPU where some workers have one


def perform(jobs: Sequence[Job], cluster: Cluster) -> Iterator[Outcome]:
    """Do `jobs` on the workers of `cluster` and yield each outcome as it arrives.

    A job that another batch has locked is put off until all others are done, and then waited for. When the iteration
    ends early, the jobs that run are stopped. Raises OSError where the scheduler is lost or the disk is full,
    ValueError for jobs that need each other.
    """
    scheduler = Scheduler(jobs, cluster)
    try:
        while scheduler.open:
            yield from scheduler.step()
    except CommClosedError as error:
        raise OSError(scheduler.lost) from error
    finally:
        if scheduler.open:  # an error, Ctrl-C, or the caller iterates no further: no kernel may go on unseen
            scheduler.abandon()


class Scheduler:
    """The state of `perform`."""

    def __init__(self, jobs: Sequence[Job], cluster: Cluster) -> None:
        self.cluster = cluster
        self.waiting = sorted(jobs, key=lambda job: -job.cost)
        self.known = {job.name for job in jobs}
        self.done: dict[str, Outcome] = {}
        self.locked: list[Job] = []  # by another batch
        self.wait_for_locks = False
        self.running: dict[str, tuple[Job, Future]] = {}
        self.ended: queue.Queue[str] = queue.Queue()
        self.lost_at = 0.0
        self.lost = f"the scheduler at {cluster.address} was lost; completed runs are kept, run the same command again"

    @property
    def open(self) -> bool:
        """Whether something is left to do."""
        return bool(self.waiting or self.running or self.locked)

    @property
    def client(self) -> Client:
        """The connection to Dask."""
        return self.cluster.client

    def step(self) -> Iterator[Outcome]:
        """Give jobs to the free workers, then wait a while for one that ends."""
        self._submit()
        if not self.running:
            if not self.locked and self.waiting:
                stuck = ", ".join(job.name for job in self.waiting[:3])
                raise ValueError(f"{stuck} need each other: nothing can begin")
            self.waiting, self.locked, self.wait_for_locks = self.locked + self.waiting, [], True
            return
        try:
            name = self.ended.get(timeout=SECONDS_BETWEEN_LOOKS)
        except queue.Empty:
            self._check_scheduler()
            return
        job, future = self.running.pop(name)
        outcome = self._outcome(job, future)
        if outcome.state == "locked":
            self.locked.append(job)
            return
        self.done[name] = outcome
        yield outcome
        if outcome.state == "failed" and any(text in outcome.cause for text in FULL):
            raise OSError(f"{outcome.name}: {outcome.cause}; free some space; completed runs are kept")

    def _submit(self) -> None:
        free = self._workers() - len(self.running)
        gpu = self.cluster.resources() if self.waiting and free > 0 else {}
        for job in [job for job in self.waiting if free > 0 and self._ready(job)][: max(free, 0)]:
            self.waiting.remove(job)
            resources = gpu if job.trains else {}
            needed = [self.done[name] for name in job.needs if name in self.done]
            future = self.client.submit(job.call, needed, self.wait_for_locks, pure=False, resources=resources or None)
            self.running[job.name] = (job, future)
            future.add_done_callback(lambda _, name=job.name: self.ended.put(name))

    def _ready(self, job: Job) -> bool:
        return all(name in self.done or name not in self.known for name in job.needs)

    def _workers(self) -> int:
        """How many jobs can run at once; 1 before the first worker has joined, so that a job waits at Dask for it."""
        return max(1, sum(self.client.nthreads().values()))

    def _outcome(self, job: Job, future: Future) -> Outcome:
        """The outcome of the job whose `future` is done, which Dask then never computes again."""
        if future.status == "cancelled":
            raise OSError(self.lost)
        error = future.exception()
        if error is None:
            outcome = replace(future.result(), name=job.name)
        elif isinstance(error, KilledWorker):
            outcome = Outcome(job.name, "failed", cause=f"its worker died, {error.allowed_failures + 1} times")
        else:  # of a worker that cannot even begin: the other jobs go on
            outcome = Outcome(job.name, "failed", cause=f"{type(error).__name__}: {error}")
        self._release(future)
        return outcome

    def _release(self, future: Future) -> None:
        """Release `future` and wait until the scheduler has dropped its task.

        Dask computes a task again whose worker leaves while the scheduler still believes that its result is wanted.
        """
        key, start = future.key, time.monotonic()
        future.release()
        while time.monotonic() - start < SECONDS_WITHOUT_SCHEDULER:
            connection = self.client.scheduler
            if connection is None:  # it was closed
                break
            try:
                status = self.client.sync(connection.get_task_status, keys=[key])
            except OSError as error:
                raise OSError(self.lost) from error
            if status[key] is None:
                return
            time.sleep(SECONDS_BETWEEN_CONFIRMATIONS)
        raise OSError(self.lost)

    def _check_scheduler(self) -> None:
        if self.client.status == "running":
            self.lost_at = 0.0
        elif not self.lost_at:
            self.lost_at = time.monotonic()
        elif time.monotonic() - self.lost_at > SECONDS_WITHOUT_SCHEDULER:
            raise OSError(self.lost)

    def abandon(self) -> None:
        """Stop the jobs that run."""
        self.cluster.stop()
        if self.client.status == "running":  # a lost scheduler has nothing to cancel
            self.client.cancel([future for _, future in self.running.values()], force=True)


@contextlib.contextmanager
def batch_marker(folder: Path, cluster: Cluster) -> Iterator[Path]:
    """Record in `folder`, while the block runs, that a batch is under way.

    Yields a folder that all workers of the batch must see; no other batch has one of this name.
    """
    start = time.monotonic()
    path = folder / files.BATCH
    with files.private_folder(folder, PREFIX) as marker:
        content: dict[str, Any] = {
            "marker": marker.name,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "process_started": files.process_started(os.getpid()),
            "workers": sum(cluster.client.nthreads().values()),
            "started": time.time(),
            "dashboard": cluster.dashboard,
            "address": cluster.address,
            "certificates": cluster.certificates,
        }
        files.write_record(path, content, private=True)  # whoever knows the address can give the workers jobs
        try:
            yield marker
        finally:
            _add_batch(folder / files.BATCHES, content | {"seconds": round(time.monotonic() - start, 2)})
            if (files.find_json(path) or {}).get("marker") == marker.name:
                path.unlink(missing_ok=True)


def _add_batch(path: Path, content: dict[str, Any]) -> None:
    """Add `content` to the list of the study's batches."""
    columns = ("host", "workers", "started", "seconds")
    with contextlib.suppress(OSError):  # a full disk must not hide why the batch ended
        earlier = files.find_entries(path, "batches")
        files.write_record(path, {"batches": [*earlier, {key: content[key] for key in columns}]})


Edges = Mapping[int, Collection[int]]
"""Of a task: the tasks that must end before it begins."""


class Schedule(NamedTuple):
    """How long a set of tasks takes on workers."""

    wall: float  # seconds from the begin of the first task to the end of the last
    idle: float  # share of workers x wall in which no task runs


def computed(lengths: Sequence[float], edges: Edges, workers: int, begun: Collection[int] = ()) -> Schedule:
    """The schedule of tasks that take `lengths` seconds, where a free worker takes the longest task that can begin.

    `begun`: tasks that already run; their lengths are the seconds that are left of them. Raises
    ValueError for fewer than one worker and for tasks that need each other.
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
    return Schedule(now, max(0.0, 1 - sum(lengths) / (now * workers)) if now else 0.0)  # not -0.0, by rounding
