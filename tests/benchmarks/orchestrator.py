"""What a batch itself costs: memory and processor time of `sercore run`'s own process over 1,000 runs that only sleep.

The workers are processes of this machine, as of a real batch; scheduler and client live in this process, and are in
its figures. At the end: how long one look at a study of so many runs takes (`sercore status`).

    python -m tests.benchmarks.orchestrator
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import psutil

from sercore import files
from sercore.study import config, progress, scheduler
from sercore.study.attempt import Outcome
from sercore.study.workers import Cluster, Where

STUDY = """\
study: simulated
corpora: {{}}
outputs: {outputs}
sections:
  categories:
    notebook: notebooks/1_categories.ipynb
    blocks:
      - grid: {{seed: [{seeds}]}}
"""


def main(arguments: Sequence[str] | None = None) -> list[dict[str, float]]:
    """Measure, print a line for every `--every` runs, and return them."""
    asked = _parser().parse_args(arguments)
    jobs = [scheduler.Job(name=f"sleep/{n}", call=partial(_sleep, n, asked.seconds)) for n in range(asked.runs)]
    process = psutil.Process()
    rows: list[dict[str, float]] = []
    with Cluster(Where(workers=asked.workers)) as cluster:
        cluster.client.wait_for_workers(asked.workers)
        rows.append(_row(process, 0, None))
        print(f"{'runs':>6} {'memory':>10} {'processor, a run':>18} {'wall, a run':>13}")
        print(f"{0:>6} {rows[0]['megabytes']:>7.0f} MB", flush=True)
        for done, outcome in enumerate(scheduler.perform(jobs, cluster), 1):
            if outcome.state != "complete":
                raise RuntimeError(f"{outcome.name}: {outcome.cause}")
            if done % asked.every == 0:
                rows.append(_row(process, done, rows[-1]))
                last = rows[-1]
                print(
                    f"{done:>6} {last['megabytes']:>7.0f} MB {last['processor']:>15.1f} ms {last['wall']:>10.1f} ms",
                    flush=True,
                )
    print(f"{asked.workers} workers, runs of {1000 * asked.seconds:.0f} ms")
    print(f"one look at {asked.runs} runs: {_look(asked.runs):.2f} s")
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.orchestrator", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--every", type=int, default=250, help="runs between two lines")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=0.05, help="that a run sleeps")
    return parser


def _sleep(number: int, seconds: float, needed: Sequence[Outcome], patient: bool) -> Outcome:  # noqa: ARG001 - a batch.Call
    time.sleep(seconds)
    return Outcome(str(number), "complete", seconds)


def _row(process: psutil.Process, done: int, before: dict[str, float] | None) -> dict[str, float]:
    """Memory [MB] and, a run since the row `before`, processor and wall time [ms]."""
    used, now = process.cpu_times(), time.perf_counter()
    row = {"runs": done, "megabytes": process.memory_info().rss / 1e6, "spent": used.user + used.system, "at": now}
    if before:
        runs = done - before["runs"]
        row |= {
            "processor": 1000 * (row["spent"] - before["spent"]) / runs,
            "wall": 1000 * (now - before["at"]) / runs,
        }
    return row


def _look(runs: int) -> float:
    """Seconds that the state of a study of `runs` complete runs takes to be read."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "simulated.yaml"
        path.write_text(STUDY.format(outputs=folder, seeds=", ".join(map(str, range(runs)))), encoding="utf-8")
        plan = config.load(path)
        for run in plan.runs:
            files.write_json(run.folder / files.EXECUTIONS, {"executions": [{"seconds": 9, "outcome": "complete"}]})
            files.write_text(run.folder / run.result, "done")
        start = time.perf_counter()
        progress.state(plan)
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
