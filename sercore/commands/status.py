"""How far a study has come: `sercore status`."""

import argparse
import sys
import time
from datetime import datetime
from functools import partial

import pandas as pd

from sercore.commands import DAY, number, path, unescaped
from sercore.commands.run import add_workers, perform
from sercore.study import config, integrity, progress
from sercore.study.progress import STATES, duration

MOST = 20  # runs of one kind that are listed
SOURCE_LINES = 6  # of a failing cell
EXIT = """exit status: 0 all is well; 1 a run has failed, or with --verify a file is damaged or inputs have changed;
2 a mistake in the arguments; 130 interrupted. With --failed it is that of `sercore run`."""


def add(commands: argparse._SubParsersAction) -> None:
    """Register the command of this module."""
    status = commands.add_parser(
        "status",
        help="which runs of a study are done, running, waiting or failed, and the time that is left",
        epilog=EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    status.add_argument("parameters", type=path, help="the study's parameters file")
    what = status.add_mutually_exclusive_group()
    what.add_argument(
        "--watch", action="store_true", help="print it again whenever it changes, until no batch is under way"
    )
    what.add_argument("--failed", action="store_true", help="execute the failed runs again, and nothing else")
    what.add_argument(
        "--verify",
        action="store_true",
        help="list damaged files, and complete runs whose inputs have changed since",
    )
    status.add_argument(
        "--every",
        type=number(float, 0, DAY, above=True),
        default=2.0,
        metavar="SECONDS",
        help="between two looks, with --watch (default: %(default).0f)",
    )
    add_workers(status)
    status.set_defaults(do=_status)


def _status(args: argparse.Namespace) -> int:
    study = config.load(args.parameters)
    if args.failed:
        return _run_failed(study, args)
    if args.verify:
        return _verify(study)
    if args.watch:
        table = _watch(study, args.every, args.workers)
    else:
        table = progress.state(study)
        print("\n".join(describe(study, table, args.workers)))
    return 1 if (table["state"] == "failed").any() else 0


def _watch(study: config.Study, every: float, workers: int | None) -> pd.DataFrame:
    """Print the study's state whenever it has changed; in a terminal in place of the one before."""
    shown: list[str] = []
    while True:
        began = time.monotonic()
        ended = not progress.under_way(study)
        table = progress.state(study)
        lines = describe(study, table, workers)
        if lines != shown:
            if sys.stdout.isatty():
                print("\x1b[H\x1b[2J", end="", file=unescaped(sys.stdout))
            elif shown:
                print()
            print("\n".join(lines), flush=True)
            shown = lines
        if ended:
            return table
        time.sleep(progress.pause(every, time.monotonic() - began))


def _run_failed(study: config.Study, args: argparse.Namespace) -> int:
    table = progress.state(study)
    failed = {(row.section, row.run) for row in table.itertuples() if row.state == "failed"}
    if not failed:
        print(f"study {study.name}: no run has failed")
        return 0
    return perform(study, failed, args)


def _verify(study: config.Study) -> int:
    """Print what is damaged, and what has changed since the complete runs were made, each with the runs it affects."""
    from sercore.study import verify

    damaged = [line for run in study.runs for line in integrity.mend(run, whole=True)]
    changes = verify.changed(study)
    for line in [*(f"  damaged: {line}" for line in damaged), *verify.lines(changes)]:
        print(line)
    inputs = changes.loc[changes["severity"] == verify.INPUT, "run"].nunique()
    complete = sum(run.complete for run in study.runs)
    if damaged:
        print(f"study {study.name}: {len(damaged)} damaged files; `sercore run {study.path}` makes them again")
    print(f"study {study.name}: the inputs of {inputs} of {complete} complete runs have changed")
    return 1 if inputs or damaged else 0


def describe(study: config.Study, table: pd.DataFrame, workers: int | None = None) -> list[str]:
    """The state of the study as lines to print: sections, running runs with their curves, failed cells."""
    counts = table["state"].value_counts()
    lines = [f"study {study.name}: {', '.join(f'{counts.get(name, 0)} {name}' for name in STATES)}, of {len(table)}"]
    batch = progress.batch(study)
    if batch:
        since = datetime.fromtimestamp(float(batch["started"])).strftime("%d %b %H:%M")
        lines.append(f"batch on {batch['host']}, process {batch['pid']}, {batch['workers']} workers, since {since}")
        lines.append(f"dashboard: {batch.get('dashboard') or 'none'}")
    left = progress.remaining(study, workers, table)
    if left:
        if batch or counts.get("running", 0):
            lines.append(f"about {duration(left)} to go")
        else:
            lines.append(f"no batch is under way; about {duration(left)} to go once `sercore run` goes on")
    elif left is None:
        lines.append("no run has been measured yet, so the time that is left is unknown")
    if batch and not counts.get("running", 0) and not counts.get("done", 0):
        lines.append("no run has begun: the caches are filled first")
    for section, rows in table.groupby("section", sort=False):
        each = rows["state"].value_counts()
        lines.append(f"{section}: {', '.join(f'{each.get(name, 0)} {name}' for name in STATES)}, of {len(rows)}")
    runs = dict(zip(table.index, study.runs, strict=True))
    describe_running = partial(_running, measured=left is not None)
    for state, describe_run in (("running", describe_running), ("failed", _failed)):
        rows = table[table["state"] == state]
        for index, row in rows.head(MOST).iterrows():
            lines += describe_run(row, runs[index])
        if len(rows) > MOST:
            lines.append(f"  ... and {len(rows) - MOST} more {state}")
    blocked = table[(table["state"] == "waiting") & table["cause"].str.endswith("failed")]
    lines += [f"  waiting {row.section}/{row.run}: {row.cause}" for row in blocked.head(MOST).itertuples()]
    return lines


def _running(row: pd.Series, run: config.Run, measured: bool) -> list[str]:
    """A running run: its fold and epoch, its learning curve, and the time that is left."""
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


def _failed(row: pd.Series, run: config.Run) -> list[str]:
    """A failed run: its cause, its time, and the cell that failed."""
    record = progress.failure(run) or {}
    lines = [f"  failed {row.section}/{row.run}: {row.cause}"]
    details = [str(record["time"])] if "time" in record else []
    if record.get("attempts", 1) > 1:
        details.append(f"after {record['attempts']} attempts")
    if details:
        lines.append(f"    {', '.join(details)}; all of it: {run.folder}")
    source = str(record.get("source") or "").splitlines()
    lines += [f"    | {line}" for line in source[:SOURCE_LINES]]
    if len(source) > SOURCE_LINES:
        lines.append(f"    | ... {len(source) - SOURCE_LINES} more lines")
    return lines
