"""Runs on workers, the longest that can begin first: how long it takes and how much stands idle.

Computed exactly, and simulated by the batch's own machinery with jobs that sleep.
"""

import heapq
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from dask.distributed import LocalCluster

from sercore import batch
from sercore.attempts import Outcome
from sercore.clusters import Cluster, Where

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
        batch.Job(
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
        for outcome in batch.perform(jobs, cluster):
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
