"""The command line: `sercore --help` lists the commands; each module of `commands/` has some."""

import argparse
import sys

from sercore.commands import corpora, models, plan, report, run, status, transcripts

COMMANDS = (corpora, transcripts, plan, run, status, models, report)


def main(arguments: list[str] | None = None) -> int:
    """Parse `arguments` (default: the process's), do what they ask for, and return the exit status.

    A mistake in what was asked (a wrong path, an unknown name, a broken file) is told in words, with status 2.
    """
    asked = _parser().parse_args(arguments)
    try:
        return asked.do(asked)
    except (ValueError, OSError, ImportError) as error:
        print(f"sercore {asked.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            f"\nsercore {asked.command}: interrupted; what is complete is kept, the same command goes on",
            file=sys.stderr,
        )
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sercore", description="A study of where language should enter a network that listens."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for module in COMMANDS:
        module.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
