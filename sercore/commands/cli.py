"""The command line: `sercore --help` lists the commands; each module of `commands/` adds some."""

import argparse
import io
import sys
from importlib.metadata import version

import pyarrow as pa

from sercore import files
from sercore.commands import (
    archive,
    browse,
    corpora,
    escaped,
    log,
    models,
    new,
    plan,
    report,
    run,
    site,
    status,
    tidy,
    transcripts,
)

COMMANDS = (new, corpora, transcripts, plan, run, status, models, report, browse, site, log, archive, tidy)


def main(arguments: list[str] | None = None) -> int:
    """Execute the command that `arguments` (default: those of the process) name, and return the exit status.

    A mistake of the user (a wrong path, an unknown name, a broken file) is printed without a traceback, with status 2.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may be no UTF-8
    pa.set_memory_pool(pa.system_memory_pool())  # the default one keeps what is free: 150 MB of a million rows
    with escaped():
        return _main(arguments)


def _main(arguments: list[str] | None) -> int:
    args = _parser().parse_args(arguments)
    try:
        return args.do(args)
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        print(f"sercore {args.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            f"\nsercore {args.command}: interrupted; what is complete is kept, run the same command again to go on",
            file=sys.stderr,
        )
        return 130


class _Version(argparse.Action):
    """Prints the package's version and, of a checkout, the commit; git is not asked before that."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(" ".join(filter(None, ["sercore", version("sercore"), files.commit()])))
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sercore", description="A study of where language should enter a network that listens."
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version, and the commit of a checkout")
    commands = parser.add_subparsers(dest="command", required=True)
    for module in COMMANDS:
        module.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
