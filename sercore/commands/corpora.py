"""What is done to a corpus before any training: `sercore speak · check · transcribe`."""

import argparse
import time
from pathlib import Path

from sercore import files
from sercore.commands import progress, seconds

EMBEDDED_CORPORA = "outputs/corpora"
TRANSCRIPTS = "outputs/transcripts"


def add(commands: argparse._SubParsersAction) -> None:
    """Register the commands of this module."""
    speak = commands.add_parser("speak", help="make the embedded corpora: synthesised speech in the two native layouts")
    speak.add_argument("name", nargs="?", choices=("iemocap", "msp-podcast"), help="one of them (default: both)")
    speak.add_argument("--folder", default=EMBEDDED_CORPORA, help=f"where they go (default: {EMBEDDED_CORPORA})")
    speak.add_argument("--seed", type=int, default=0)
    speak.add_argument("--sentences", help="a CSV of rated sentences to speak instead of the project's own")
    speak.set_defaults(do=_speak)

    check = commands.add_parser("check", help="read a corpus and print what was found, defects included")
    check.add_argument("name", help="iemocap, msp-podcast or table")
    check.add_argument("root", help="the release's folder")
    check.add_argument("--transcripts", help="a CSV of transcripts (utterance, transcript) for a release that has none")
    check.set_defaults(do=_check)

    transcribe = commands.add_parser("transcribe", help="recognise the speech of a corpus that has no transcripts")
    transcribe.add_argument("name", help="msp-podcast or table")
    transcribe.add_argument("root", help="the release's folder")
    transcribe.set_defaults(do=_transcribe)


def _speak(asked: argparse.Namespace) -> int:
    from sercore.corpora import spoken

    for name in [asked.name] if asked.name else ["iemocap", "msp-podcast"]:
        root = files.resolve(asked.folder) / name
        start = time.monotonic()
        made = spoken.speak(name, root, seed=asked.seed, sentences=asked.sentences, progress=progress(name))
        print(f"{name}: {'spoken in ' + seconds(start) if made else 'already spoken'}: {root}")
        if name == "msp-podcast":  # IEMOCAP comes with transcripts
            _hear(name, root)
    return 0


def _transcribe(asked: argparse.Namespace) -> int:
    _hear(asked.name, asked.root)
    return 0


def _hear(name: str, root: str | Path) -> None:
    """Transcribe a corpus into the file that its parameters files name."""
    from sercore import corpora, transcripts

    start = time.monotonic()
    folder = files.resolve(TRANSCRIPTS)
    heard = transcripts.transcribe(corpora.read(name, root), folder, progress=progress("transcripts"))
    path = folder / f"{name}.csv"
    files.write_bytes(path, heard.read_bytes())
    print(f"{name}: transcripts by speech recognition, {seconds(start)}: {path}")


def _check(asked: argparse.Namespace) -> int:
    from sercore import corpora
    from sercore.corpora.report import describe

    options = {"transcripts": asked.transcripts} if asked.transcripts else {}
    print(describe(corpora.read(asked.name, asked.root, **options)))
    return 0
