"""The results of a study as one page: `sercore report`."""

import argparse
import time

from sercore.commands import number, seconds
from sercore.commands import path as given
from sercore.study import config


def add(commands: argparse._SubParsersAction) -> None:
    """Register the commands of this module."""
    report = commands.add_parser("report", help="write a study's results as one HTML page that needs no network")
    report.add_argument("parameters", type=given, help="the study's parameters file")
    report.add_argument("--output", type=given, help="the file to write (default: report.html in the study's outputs)")
    report.add_argument(
        "--watts",
        type=number(float, 0, above=True),
        help="power that a run draws, for an estimate of energy on a device that we have no data sheet of",
    )
    report.set_defaults(do=_report)


def _report(args: argparse.Namespace) -> int:
    from sercore.analysis.report import missing, write  # seconds: only where they are needed

    start = time.monotonic()
    study = config.load(args.parameters)
    lacking = missing(study)
    path, appendix = write(study, args.output, args.watts)
    print(f"study {study.name}: {path} ({path.stat().st_size / 1e6:.1f} MB, {seconds(start)})")
    print(f"its last chapter, what reviewers ask, as a LaTeX appendix: {appendix}")
    for what in lacking:
        print(f"  {what}")
    return 0
