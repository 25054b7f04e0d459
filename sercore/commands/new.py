"""A folder to work in: `sercore new`."""

import argparse

from sercore import files
from sercore.commands import path as given


def add(commands: argparse._SubParsersAction) -> None:
    """Register the command of this module."""
    new = commands.add_parser(
        "new", help="write the study's notebooks and parameters files into a folder, to work there"
    )
    new.add_argument("folder", type=given, help="an empty folder, or a new one")
    new.set_defaults(do=_new)


def _new(args: argparse.Namespace) -> int:
    written = files.new_project(args.folder)
    print(f"{args.folder}: {len(written)} files, {' '.join(files.PROJECT)}")
    print(f"go on there: cd {args.folder}; sercore speak; sercore run parameters/smoke.yaml")
    return 0
