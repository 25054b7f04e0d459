"""The results of a study as one page: `sercore report`."""

import argparse
import time

from sercore.commands import path as given
from sercore.commands import seconds
from sercore.study import config


def add(commands: argparse._SubParsersAction) -> None:
    """Register the commands of this module."""
    report = commands.add_parser("report", help="write a study's results as one HTML page that needs no network")
    report.add_argument("parameters", type=given, help="the study's parameters file")
    report.add_argument("--output", type=given, help="the file to write (default: report.html in the study's outputs)")
    report.set_defaults(do=_report)


def _report(args: argparse.Namespace) -> int:
    from sercore.analysis.report import missing, write  # seconds: only where they are needed

    start = time.monotonic()
    study = config.load(args.parameters)
    lacking = missing(study)
    path = write(study, args.output)
    print(f"study {study.name}: {path} ({path.stat().st_size / 1e6:.1f} MB, {seconds(start)})")
    for what in lacking:
        print(f"  {what}")
    return 0
