"""A study as a batch: `sercore run`."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Collection
from contextlib import nullcontext

from tqdm import tqdm

from sercore.commands import seconds
from sercore.study import attempt, config, progress, workers
from sercore.study.plan import CACHES, PATIENCE, RETRIES, analyse, execute, pending, select
from sercore.study.workers import Cluster, Where

SHOWN = ("ground_truth_*.md", "claims_*.md", "table_?.md")  # the tables that a study ends with; the others are longer


def add(commands: argparse._SubParsersAction) -> None:
    """Register the command of this module."""
    run = commands.add_parser("run", help="run what a study still lacks, then its analysis notebooks")
    run.add_argument("parameters", help="the study's parameters file")
    run.add_argument("--section", action="append", default=[], help="only this section (may be given again)")
    run.add_argument("--where", default="", metavar="KEY=VALUE,...", help="only runs with these parameters")
    add_workers(run)
    run.set_defaults(do=_run)


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Let `parser` ask who executes the notebooks, and when they are given up."""
    parser.add_argument("--workers", type=_positive, help="notebooks at a time (default: one a GPU, else one a core)")
    parser.add_argument("--workers-per-gpu", type=_positive, default=1, help="notebooks that share a GPU (default: 1)")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--scheduler", default="", metavar="ADDRESS", help="a running Dask scheduler: tcp://host:8786")
    place.add_argument("--cluster", default="", metavar="FILE", help="a queue, as in parameters/clusters/slurm.yaml")
    parser.add_argument("--retries", type=int, default=RETRIES, help="of a run whose kernel died or hung")
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE,
        metavar="SECONDS",
        help="without a sign of life, after which a kernel is ended (0: never; default: %(default).0f)",
    )


def _positive(value: str) -> int:
    if not value.isdigit() or int(value) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, found {value}")
    return int(value)


def _run(asked: argparse.Namespace) -> int:
    plan = config.load(asked.parameters)
    return perform(plan, select(plan, asked.section, _pairs(asked.where)), asked)


def _pairs(text: str) -> dict[str, str]:
    """`corpus=iemocap,seed=0` as a mapping. Raises ValueError for anything else."""
    pairs = [part.partition("=") for part in text.split(",") if part]
    wrong = [key + sign + value for key, sign, value in pairs if not key or not value]
    if wrong:
        raise ValueError(f"--where: expected KEY=VALUE,KEY=VALUE,..., found '{wrong[0]}'")
    return {key.strip(): value.strip() for key, _, value in pairs}


def perform(plan: config.Study, only: Collection[tuple[str, str]], asked: argparse.Namespace) -> int:
    """Execute those of the study's runs that are in `only`, then its analyses where all runs are complete."""
    start = time.monotonic()
    where = Where(workers=asked.workers, per_gpu=asked.workers_per_gpu, scheduler=asked.scheduler, queue=asked.cluster)
    todo = [run for run in plan.runs if run.key in only and not run.complete]
    print(f"study {plan.name}: {len(only)} runs, {len(only) - len(todo)} complete", flush=True)
    outcomes, analysed = Counter[str](), Counter[str]()
    with workers.ended_by_signal(), Cluster(where, max(len(todo), len(plan.analysis))) as cluster:
        if todo:
            pending(tuple(todo))  # its errors come before any worker is started
            print(f"Dask: {cluster.address}, dashboard {cluster.dashboard or 'none'}", flush=True)
        with progress.followed(plan, leave=False) if todo and sys.stderr.isatty() else nullcontext():
            for outcome in execute(plan, cluster, only=only, retries=asked.retries, patience=asked.patience):
                counted = not outcome.name.startswith(CACHES)
                outcomes[outcome.state] += counted or outcome.state == "failed"
                _print_outcome(outcome, f"[{outcomes.total()}/{len(only)}]" if counted else "[caches]")
        if not outcomes["failed"] and all(run.complete for run in plan.runs):
            for outcome in analyse(plan, cluster):
                analysed[outcome.state] += 1
                _print_outcome(outcome, "")
            _print_runs(plan)
        elif plan.analysis:
            print("analysis notebooks wait until every run of the study is complete")
    if outcomes["complete"] + outcomes["failed"] + analysed["complete"] + analysed["failed"] == 0:
        print(f"\nnothing to do: every run and analysis of study {plan.name} is complete ({seconds(start)})")
    else:
        print(
            f"\nstudy {plan.name}: {outcomes['complete']} runs executed, {outcomes['skipped']} skipped, "
            f"{outcomes['failed']} failed; {analysed['complete']} analyses executed, {seconds(start)}"
        )
    return 1 if outcomes["failed"] or analysed["failed"] else 0


def _print_runs(plan: config.Study) -> None:
    for pattern in SHOWN:
        for table in sorted((plan.folder / "tables").glob(pattern)):
            print(f"\n{table.read_text(encoding='utf-8')}")
    for figure in sorted((plan.folder / "figures").glob("*.png")):
        print(f"figure: {figure}")


def _print_outcome(outcome: attempt.Outcome, count: str) -> None:
    with tqdm.external_write_mode():  # above the bar, where there is one
        if outcome.state == "complete":
            print(f"{count} {outcome.name}: {outcome.seconds:.0f} s", flush=True)
        elif outcome.state == "failed":
            print(f"{count} {outcome.name}: FAILED after {outcome.seconds:.0f} s: {outcome.cause}", flush=True)
