"""A study seen from outside: `sercore status`."""

import argparse
import sys
import time
from datetime import datetime

import pandas as pd

from sercore.commands.run import add_workers, perform
from sercore.schema import first
from sercore.study import config, progress
from sercore.study.progress import STATES, duration

MOST = 20  # runs of one kind that are listed
SOURCE_LINES = 6  # of a failing cell
EXIT = """exit status: 0 as it should be; 1 a run has failed, or with --verify a run's inputs have changed;
2 a mistake in what was asked; 130 interrupted. With --failed it is that of `sercore run`."""


def add(commands: argparse._SubParsersAction) -> None:
    """Register the command of this module."""
    status = commands.add_parser(
        "status",
        help="what of a study is done, running, waiting or failed, and when all of it will be done",
        epilog=EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    status.add_argument("parameters", help="the study's parameters file")
    what = status.add_mutually_exclusive_group()
    what.add_argument("--watch", action="store_true", help="again and again, until no batch is under way")
    what.add_argument("--failed", action="store_true", help="run the failed ones again, and nothing else")
    what.add_argument("--verify", action="store_true", help="which complete runs were made from other inputs than now")
    status.add_argument("--every", type=float, default=2.0, metavar="SECONDS", help="with --watch (default: 2)")
    add_workers(status)
    status.set_defaults(do=_status)


def _status(asked: argparse.Namespace) -> int:
    plan = config.load(asked.parameters)
    if asked.failed:
        return _again(plan, asked)
    if asked.verify:
        return _verify(plan)
    if asked.watch:
        table = _watch(plan, asked.every, asked.workers)
    else:
        table = progress.state(plan)
        print("\n".join(describe(plan, table, asked.workers)))
    return 1 if (table["state"] == "failed").any() else 0


def _watch(plan: config.Study, every: float, workers: int | None) -> pd.DataFrame:
    """Print the study's state whenever it has changed; in a terminal in place of the one before."""
    shown: list[str] = []
    while True:
        began = time.monotonic()
        ended = not progress.under_way(plan)
        table = progress.state(plan)
        lines = describe(plan, table, workers)
        if lines != shown:
            if sys.stdout.isatty():
                print("\x1b[H\x1b[2J", end="")
            elif shown:
                print()
            print("\n".join(lines), flush=True)
            shown = lines
        if ended:
            return table
        time.sleep(progress.pause(every, time.monotonic() - began))


def _again(plan: config.Study, asked: argparse.Namespace) -> int:
    table = progress.state(plan)
    failed = {(row.section, row.run) for row in table.itertuples() if row.state == "failed"}
    if not failed:
        print(f"study {plan.name}: no run has failed")
        return 0
    return perform(plan, failed, asked)


def _verify(plan: config.Study) -> int:
    """Print what has changed since the complete runs were made, one line a change with the runs that it touches."""
    from sercore.study import verify

    changes = verify.changed(plan)
    for severity, rows in changes.groupby("severity", sort=False):
        for what, touched in rows.groupby("what", sort=False)["run"]:
            print(f"  {severity}: {what}: {len(touched)} runs, {first(list(touched), 2)}")
    inputs = changes.loc[changes["severity"] == verify.INPUT, "run"].nunique()
    complete = sum(run.complete for run in plan.runs)
    print(f"study {plan.name}: the inputs of {inputs} of {complete} complete runs have changed since they were made")
    return 1 if inputs else 0


def describe(plan: config.Study, table: pd.DataFrame, workers: int | None = None) -> list[str]:
    """The state of the study as lines to print: sections, running runs and curves, failing cells."""
    counts = table["state"].value_counts()
    lines = [f"study {plan.name}: {', '.join(f'{counts.get(name, 0)} {name}' for name in STATES)}, of {len(table)}"]
    told = progress.batch(plan)
    if told:
        since = datetime.fromtimestamp(float(told["started"])).strftime("%d %b %H:%M")
        lines.append(f"batch on {told['host']}, process {told['pid']}, {told['workers']} workers, since {since}")
        lines.append(f"dashboard: {told.get('dashboard') or 'none'}")
    left = progress.remaining(plan, workers, table)
    if left:
        if told or counts.get("running", 0):
            lines.append(f"about {duration(left)} to go")
        else:
            lines.append(f"no batch is under way; about {duration(left)} to go once `sercore run` goes on")
    elif left is None:
        lines.append("no run has been measured yet: nothing tells how long it will take")
    if told and not counts.get("running", 0) and not counts.get("done", 0):
        lines.append("no run has begun: caches are filled before")
    for section, rows in table.groupby("section", sort=False):
        each = rows["state"].value_counts()
        lines.append(f"{section}: {', '.join(f'{each.get(name, 0)} {name}' for name in STATES)}, of {len(rows)}")
    runs = dict(zip(table.index, plan.runs, strict=True))
    for state, tell in (("running", _running), ("failed", _failed)):
        rows = table[table["state"] == state]
        for row in rows.head(MOST).itertuples():
            lines += tell(row, runs[row.Index], left is not None)
        if len(rows) > MOST:
            lines.append(f"  ... and {len(rows) - MOST} more {state}")
    blocked = table[(table["state"] == "waiting") & table["cause"].str.endswith("failed")]
    lines += [f"  waiting {row.section}/{row.run}: {row.cause}" for row in blocked.head(MOST).itertuples()]
    return lines


def _running(row: tuple, run: config.Run, measured: bool) -> list[str]:
    """A running run: where it stands, how it learns, and how long it still takes."""
    left = f", about {duration(row.left)} to go" if measured else ""
    lines = [f"  running {row.section}/{row.run}: {duration(row.seconds)}{left}"]
    past = progress.history(run)
    if past is not None and len(past):
        curve = past.loc[past["fold"].astype(str) == row.fold, "development"].tolist()
        lines.append(
            f"    fold {row.fold}, epoch {row.epoch} of {row.epochs}, loss {row.loss:.3f}, "
            f"development {row.development:.3f} {progress.sparkline(curve)}"
        )
    return lines


def _failed(row: tuple, run: config.Run, measured: bool) -> list[str]:  # noqa: ARG001 - as _running
    """A failed run: its cause, when, and the cell that failed."""
    told = progress.failure(run) or {}
    lines = [f"  failed {row.section}/{row.run}: {row.cause}"]
    details = [str(told["time"])] if "time" in told else []
    if told.get("attempts", 1) > 1:
        details.append(f"after {told['attempts']} attempts")
    if details:
        lines.append(f"    {', '.join(details)}; all of it: {run.folder}")
    source = str(told.get("source") or "").splitlines()
    lines += [f"    | {line}" for line in source[:SOURCE_LINES]]
    if len(source) > SOURCE_LINES:
        lines.append(f"    | ... {len(source) - SOURCE_LINES} more lines")
    return lines
