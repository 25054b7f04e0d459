"""The results of a study as one page: `sercore report`."""

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


def _report(args: argparse.Namespace) -> int:
    from sercore.analysis.report import missing, write  # seconds: only where they are needed

    start = time.monotonic()
    study = config.load(args.parameters)
    lacking = missing(study)
    path = write(study, files.resolve(args.output) if args.output else None)
    print(f"study {study.name}: {path} ({path.stat().st_size / 1e6:.1f} MB, {seconds(start)})")
    for what in lacking:
        print(f"  {what}")
    return 0
