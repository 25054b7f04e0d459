"""A study as a page to be passed on: `sercore report`."""

import argparse
import time

from sercore import files
from sercore.commands import seconds
from sercore.study import config


def add(commands: argparse._SubParsersAction) -> None:
    """Register the commands of this module."""
    report = commands.add_parser("report", help="write a study's results as one HTML page that needs no network")
    report.add_argument("parameters", help="the study's parameters file")
    report.add_argument("--output", help="the file to write (default: report.html in the study's outputs)")
    report.set_defaults(do=_report)


def _report(asked: argparse.Namespace) -> int:
    from sercore.analysis.report import missing, write  # seconds: only where they are needed

    start = time.monotonic()
    plan = config.load(asked.parameters)
    lacking = missing(plan)
    path = write(plan, files.resolve(asked.output) if asked.output else None)
    print(f"study {plan.name}: {path} ({path.stat().st_size / 1e6:.1f} MB, {seconds(start)})")
    for what in lacking:
        print(f"  {what}")
    return 0
