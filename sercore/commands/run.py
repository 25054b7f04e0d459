"""Execute a study: `sercore run`."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import nullcontext

import pandas as pd
from tqdm import tqdm

from sercore import files, settings
from sercore.commands import MOST_WORKERS, YEAR, log, number, path, seconds, unescaped
from sercore.study import attempt, check, config, integrity, progress, verify, workers
from sercore.study.plan import CACHES, PATIENCE, analyse, execute, label, pending, select
from sercore.study.workers import Cluster, Where

SHOWN = ("ground_truth_*.md", "claims_*.md", "table_?.md", "intervals.md", "raters.md")
"""Tables with which a study ends; others are longer."""


def add(commands: argparse._SubParsersAction) -> None:
    """Register the command of this module."""
    run = commands.add_parser(
        "run", help="execute the runs of a study that are not complete, then its analysis notebooks"
    )
    run.add_argument("parameters", type=path, help="the study's parameters file")
    run.add_argument("--section", action="append", default=[], help="only this section (may be given again)")
    run.add_argument("--where", default="", metavar="KEY=VALUE,...", help="only runs with these parameters")
    add_workers(run)
    run.set_defaults(do=_run)


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add the options of `perform` to `parser`: which workers execute the notebooks, and when they give up."""
    parser.add_argument(
        "--workers", type=number(int, 1, MOST_WORKERS), help="notebooks at a time (default: one a GPU, else one a core)"
    )
    parser.add_argument(
        "--workers-per-gpu", type=number(int, 1, 100), default=1, help="notebooks that share a GPU (default: 1)"
    )
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--scheduler", default="", metavar="ADDRESS", help="a running Dask scheduler: tls://host:8786")
    place.add_argument("--cluster", type=path, metavar="FILE", help="a queue, as in parameters/clusters/slurm.yaml")
    parser.add_argument(
        "--log",
        action="append",
        default=[],
        choices=log.KINDS,
        help="live curves there, see `sercore log` (may be given again)",
    )
    parser.add_argument(
        "--retries",
        type=number(int, 0, 100),
        default=attempt.RETRIES,
        help="of a run whose kernel died or hung (default: %(default)s)",
    )
    parser.add_argument(
        "--patience",
        type=number(float, 0, YEAR),
        default=PATIENCE,
        metavar="SECONDS",
        help="without a heartbeat after which a kernel is ended (0: never; default: %(default).0f)",
    )


def _run(args: argparse.Namespace) -> int:
    study = config.load(args.parameters)
    return perform(study, select(study, args.section, _pairs(args.where)), args)


def _pairs(text: str) -> dict[str, str]:
    """`corpus=iemocap,seed=0` as a mapping. Raises ValueError for anything else."""
    pairs = [part.partition("=") for part in text.split(",") if part]
    wrong = [key + sign + value for key, sign, value in pairs if not key or not value]
    if wrong:
        raise ValueError(f"--where: expected KEY=VALUE,KEY=VALUE,..., not '{wrong[0]}'")
    return {key.strip(): value.strip() for key, _, value in pairs}


def perform(study: config.Study, only: Collection[tuple[str, str]], args: argparse.Namespace) -> int:
    """Execute the runs of the study that are in `only`, then its analyses if all runs are complete."""
    start = time.monotonic()
    where = Where(
        workers=args.workers, per_gpu=args.workers_per_gpu, scheduler=args.scheduler, queue=str(args.cluster or "")
    )
    chosen = [run for run in study.runs if run.key in only]
    for line in [line for run in chosen for line in integrity.mend(run)]:
        print(f"damaged: {line}")
    changes = verify.other_corpora(study, chosen)
    todo = [run for run in chosen if not run.complete]
    print(f"study {study.name}: {len(only)} runs, {len(only) - len(todo)} complete", flush=True)
    outcomes, analysed = Counter[str](), Counter[str]()
    with (
        workers.ended_by_signal(),
        log.following(study, args.log),
        Cluster(where, max(len(todo), len(study.analysis)), study.folder) as cluster,
    ):
        if todo:
            pending(tuple(todo))  # its errors come before any worker is started
            check.check(study, todo, data=True)
            for line in check.languages(study, todo):
                print(f"WARNING: {line}", flush=True)
            print(f"Dask: {cluster.address}, dashboard {cluster.dashboard or 'none'}", flush=True)
        with (
            progress.followed(study, leave=False, file=unescaped(sys.stderr))
            if todo and sys.stderr.isatty()
            else nullcontext()
        ):
            for outcome in execute(study, cluster, only=only, retries=args.retries, patience=args.patience):
                counted = not outcome.name.startswith(CACHES)
                outcomes[outcome.state] += counted  # runs alone: those that wait for a cache that failed fail too
                _print_outcome(outcome, f"[{outcomes.total()}/{len(only)}]" if counted else "[caches]")
        if not outcomes["failed"] and all(run.complete for run in study.runs):
            for outcome in analyse(study, cluster):
                analysed[outcome.state] += 1
                _print_outcome(outcome, "")
            _print_results(study)
        elif study.analysis:
            print("analysis notebooks wait until every run of the study is complete")
        if outcomes["failed"]:
            print(f"why: {study.folder}/*/*/{files.FAILURE}; once that is mended, the same command executes them again")
    _print_beside([run for run in chosen if run.complete])
    executed = outcomes["complete"] + outcomes["failed"] + analysed["complete"] + analysed["failed"]
    stale = _print_changes(study, changes)
    if not executed and stale:
        print(f"\nnothing was executed: every run and analysis of study {study.name} is there ({seconds(start)})")
    elif not executed:
        print(f"\nnothing to do: every run and analysis of study {study.name} is complete ({seconds(start)})")
    else:
        print(
            f"\nstudy {study.name}: {outcomes['complete']} runs executed, {outcomes['skipped']} skipped, "
            f"{outcomes['failed']} failed; {analysed['complete']} analyses executed, {seconds(start)}"
        )
    return 1 if outcomes["failed"] or analysed["failed"] or stale else 0


def _print_changes(study: config.Study, changes: pd.DataFrame) -> int:
    """Print `changes` of the corpora, and return how many runs have results of others than there are now."""
    stale = changes.loc[changes["severity"] == verify.INPUT, "run"].nunique()
    if len(changes):
        print("\n".join(["", "corpora that are not as they were:", *verify.lines(changes)]))
    if stale:
        print(
            f"{stale} runs keep the results of the corpora as they were; remove their folders below {study.folder} to "
            "have them made again, or give the study another name; `sercore status --verify` lists all changes"
        )
    return stale


def _print_results(study: config.Study) -> None:
    for pattern in SHOWN:
        for table in sorted((study.folder / "tables").glob(pattern)):
            print(f"\n{table.read_text(encoding='utf-8')}")
    for figure in sorted((study.folder / "figures").glob("*.png")):
        print(f"figure: {figure}")


def _print_beside(runs: Sequence[config.Run]) -> None:
    """Print what recipes chose for the complete `runs`, and the scores of those that have a baseline beside its."""
    scored = [run for run in runs if (run.folder / files.MEL_STATISTICS).exists()]
    chosen = [run for run in runs if settings.recipe_of(run.parameters)]
    if not scored and not chosen:
        return
    from sercore.analysis import baseline, captions

    print()
    for text in dict.fromkeys(captions.recipe_of(run.folder) for run in chosen):
        print(text)
    for run in scored:
        for gain in baseline.gains(run.folder):
            print(f"{label(run)}: {gain}")
            if not gain.better:
                print(f"WARNING: {label(run)} is {baseline.short(gain)}")


def _print_outcome(outcome: attempt.Outcome, count: str) -> None:
    with tqdm.external_write_mode(unescaped(sys.stderr)):  # above the bar, where there is one
        if outcome.state == "complete":
            print(f"{count} {outcome.name}: {outcome.seconds:.0f} s", flush=True)
        elif outcome.state == "failed":
            print(f"{count} {outcome.name}: FAILED after {outcome.seconds:.0f} s: {outcome.cause}", flush=True)
