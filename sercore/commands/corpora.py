"""Preparing a corpus for training: `sercore speak · table · check`."""

import argparse
import math
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from sercore import files
from sercore.commands import number, progress, seconds, transcripts
from sercore.commands import path as given
from sercore.schema import PARTITIONS
from sercore.study import config

EMBEDDED_CORPORA = "outputs/corpora"
EXAMPLE = "parameters/own.yaml"


def add(commands: argparse._SubParsersAction) -> None:
    """Register the commands of this module."""
    speak = commands.add_parser(
        "speak", help="synthesise the embedded corpora, in the native layouts of IEMOCAP and MSP-Podcast"
    )
    speak.add_argument("name", nargs="?", choices=("iemocap", "msp-podcast"), help="one of them (default: both)")
    speak.add_argument(
        "--folder",
        type=given,
        help=f"where they go (default: {EMBEDDED_CORPORA}); "
        f"their transcripts go to {transcripts.TRANSCRIPTS}, or below another folder",
    )
    speak.add_argument("--seed", type=number(int, 0), default=0)
    speak.add_argument(
        "--sentences", type=given, help="a CSV of rated sentences to synthesise instead of the project's own"
    )
    speak.add_argument(
        "--size", type=number(float, 0, above=True), default=1.0, help="factor of the number of turns (default: 1)"
    )
    speak.set_defaults(do=_speak)

    table = commands.add_parser(
        "table", help="make the utterance table of a folder of audio from the names of its files"
    )
    table.add_argument("folder", type=given, help="the folder of audio; the table goes there, as utterances.csv")
    table.add_argument(
        "--pattern",
        required=True,
        help="the fields in the names: '{speaker}_{emotion}_*.wav', '{emotion}/{speaker:2}*.wav'",
    )
    table.add_argument(
        "--emotions",
        nargs="+",
        default=[],
        metavar="LABEL=NAME",
        help="emotion of each label in the names: W=angry; boredom= counts as missing",
    )
    table.add_argument("--output", type=given, help="the table, if not beside the audio")
    table.add_argument("--preview", action="store_true", help="print the table, write nothing")
    table.add_argument("--overwrite", action="store_true", help="replace a table that is there")
    table.add_argument("--parameters", type=given, help="also write a parameters file that trains on it")
    table.set_defaults(do=_table)

    check = commands.add_parser("check", help="read a corpus and print its summary, defects included")
    transcripts.add_corpus(check)
    check.add_argument(
        "--transcripts", type=given, help="a CSV of transcripts (utterance, transcript) for a release that has none"
    )
    check.add_argument(
        "--scale", type=number(float, -math.inf), nargs=2, metavar=("LOW", "HIGH"), help="lowest and highest rating"
    )
    check.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=YAML",
        help="another option of the reader, as in a parameters file: emotions='{W: angry}'",
    )
    check.set_defaults(do=_check)


def _speak(args: argparse.Namespace) -> int:
    from sercore import corpora
    from sercore.corpora import synthetic

    folder, texts = args.folder or files.resolve(EMBEDDED_CORPORA), files.resolve(transcripts.TRANSCRIPTS)
    if folder != files.resolve(EMBEDDED_CORPORA):  # whose transcripts these must not replace
        texts = folder / "transcripts"
    for name in [args.name] if args.name else ["iemocap", "msp-podcast"]:
        root = folder / name
        start = time.monotonic()
        made = synthetic.speak(
            name, root, seed=args.seed, sentences=args.sentences, size=args.size, progress=progress(name)
        )
        print(f"{name}: {'synthesised in ' + seconds(start) if made else 'there already'}: {root}")
        if name == "msp-podcast":  # IEMOCAP comes with transcripts
            transcripts.transcribe_corpus(corpora.read(name, root), texts / f"{name}.csv")
            transcripts.write_reference(name, root, texts / f"{name}-gold.csv", args.sentences)
    return 0


def _table(args: argparse.Namespace) -> int:
    from sercore.corpora.table import beside, describe, tabulate

    audio = args.folder
    path = args.output or audio / "utterances.csv"
    names = {label: name or None for label, name in _pairs(args.emotions, "--emotions")}
    listing = tabulate(audio, args.pattern, names)
    print("\n".join(describe(listing)))
    if args.preview:
        print("nothing written: this is a preview")
        return 0
    if path.exists() and not args.overwrite:
        raise FileExistsError(f"{path} is there already; --overwrite replaces it, --preview only prints the table")
    files.write_table(path, beside(listing.utterances, audio, path.parent))
    print(f"table: {path}")
    if args.parameters:
        _write_parameters(args.parameters, path, listing.utterances, args.overwrite)
    return 0


def _write_parameters(path: Path, table: Path, utterances: pd.DataFrame, overwrite: bool) -> None:
    """Write a parameters file that trains on `table`: the example, with a class for each of the emotions.

    Raises FileExistsError where `path` is there already, and ValueError for fewer than two emotions.
    """
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} is there already; --overwrite replaces it")
    emotions = sorted(utterances["emotion"].dropna().unique()) if "emotion" in utterances else []
    if len(emotions) < 2:
        raise ValueError(f"{table} has {len(emotions)} emotions; expected at least two: name {{emotion}}")
    content = files.read_yaml(files.resolve(EXAMPLE))
    name, (example,) = path.stem, content["corpora"]
    content |= {"study": name, "corpora": {name: {**content["corpora"][example], "root": str(table)}}}
    for block in content["sections"]["categories"]["blocks"]:
        block["grid"]["corpus"] = [name]
        block["fixed"]["classes"] = {emotion: [emotion] for emotion in emotions}
        if "transcript" not in utterances:
            block["grid"]["model"] = ["cnn14"]  # the others need transcripts
    files.write_yaml(path, content)
    print(f"parameters: {path}; `sercore run {path}` trains")
    for run in config.load(path).runs:
        print(f"  {run.folder}")


def _check(args: argparse.Namespace) -> int:
    from sercore import corpora
    from sercore.corpora.summary import describe

    options: dict[str, Any] = {
        name: files.parse_yaml(value, f"--option {name}")[0] for name, value in _pairs(args.option, "--option")
    }
    options |= {name: getattr(args, name) for name in ("reader", "transcripts", "scale") if getattr(args, name)}
    corpus = corpora.read(args.name, args.root, **options)
    print(describe(corpus))
    if corpus.utterances["partition"].isna().all():
        print(f"\n{_describe_split(corpus.utterances)}")
    return 0


def _describe_split(utterances: pd.DataFrame) -> str:
    """How a study splits a corpus without partitions, and the warnings about it."""
    from sercore.corpora import splits

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        defaults = splits.default_splits(utterances)
    if len(defaults) > 1:
        return f"split        leave one speaker out, {len(defaults)} folds (the corpus has none of its own)"
    (split,) = defaults
    sizes = ", ".join(f"{name} {len(getattr(split, name)):,}" for name in PARTITIONS)
    return "\n".join(
        [
            f"split        {split.name}: {sizes} (the corpus has none of its own)",
            *(f"WARNING: {warning.message}" for warning in caught),
        ]
    )


def _pairs(given: Iterable[str], option: str) -> list[tuple[str, str]]:
    """(name, value) of each `name=value` in `given`. Raises ValueError, naming `option`, for another form."""
    wrong = [pair for pair in given if not pair.partition("=")[0] or "=" not in pair]
    if wrong:
        raise ValueError(f"{option} '{wrong[0]}': expected name=value")
    return [(pair.partition("=")[0], pair.partition("=")[2]) for pair in given]
