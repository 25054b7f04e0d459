"""What is done to a corpus before any training: `sercore speak · table · check`."""

import argparse
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from sercore import files
from sercore.commands import progress, seconds, transcripts
from sercore.schema import PARTITIONS
from sercore.study import config

EMBEDDED_CORPORA = "outputs/corpora"
EXAMPLE = "parameters/own.yaml"


def add(commands: argparse._SubParsersAction) -> None:
    """Register the commands of this module."""
    speak = commands.add_parser("speak", help="make the embedded corpora: synthesised speech in the two native layouts")
    speak.add_argument("name", nargs="?", choices=("iemocap", "msp-podcast"), help="one of them (default: both)")
    speak.add_argument(
        "--folder",
        default=EMBEDDED_CORPORA,
        help=f"where they go (default: {EMBEDDED_CORPORA}); "
        f"what is said goes to {transcripts.TRANSCRIPTS}, or below another folder",
    )
    speak.add_argument("--seed", type=int, default=0)
    speak.add_argument("--sentences", help="a CSV of rated sentences to speak instead of the project's own")
    speak.add_argument("--size", type=float, default=1.0, help="so many times as many turns")
    speak.set_defaults(do=_speak)

    table = commands.add_parser("table", help="describe a folder of audio that no reader knows, from its names")
    table.add_argument("folder", help="the folder of audio; the table goes there, as utterances.csv")
    table.add_argument(
        "--pattern",
        required=True,
        help="what the names tell: '{speaker}_{emotion}_*.wav', '{emotion}/{speaker:2}*.wav'",
    )
    table.add_argument(
        "--emotions",
        nargs="+",
        default=[],
        metavar="LABEL=NAME",
        help="what the names' labels are called here: W=angry; boredom= counts as missing",
    )
    table.add_argument("--output", help="the table, if not beside the audio")
    table.add_argument("--preview", action="store_true", help="print what was found, write nothing")
    table.add_argument("--overwrite", action="store_true", help="replace a table that is there")
    table.add_argument("--parameters", help="also write a parameters file that trains on it")
    table.set_defaults(do=_table)

    check = commands.add_parser("check", help="read a corpus and print what was found, defects included")
    check.add_argument("name", help="iemocap, msp-podcast, table or audformat; any name with --reader")
    check.add_argument("root", help="the release's folder, or the table")
    check.add_argument("--reader", help="how it is read, where its name does not say so")
    check.add_argument("--transcripts", help="a CSV of transcripts (utterance, transcript) for a release that has none")
    check.add_argument("--scale", type=float, nargs=2, metavar=("LOW", "HIGH"), help="lowest and highest rating")
    check.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=YAML",
        help="another option of the reader, as in a parameters file: emotions='{W: angry}'",
    )
    check.set_defaults(do=_check)


def _speak(asked: argparse.Namespace) -> int:
    from sercore import corpora
    from sercore.corpora import synthetic

    folder, told = files.resolve(asked.folder), files.resolve(transcripts.TRANSCRIPTS)
    if folder != files.resolve(EMBEDDED_CORPORA):  # whose transcripts these must not replace
        told = folder / "transcripts"
    for name in [asked.name] if asked.name else ["iemocap", "msp-podcast"]:
        root = folder / name
        start = time.monotonic()
        made = synthetic.speak(
            name, root, seed=asked.seed, sentences=asked.sentences, size=asked.size, progress=progress(name)
        )
        print(f"{name}: {'spoken in ' + seconds(start) if made else 'already spoken'}: {root}")
        if name == "msp-podcast":  # IEMOCAP comes with transcripts
            transcripts.transcribe_corpus(corpora.read(name, root), told / f"{name}.csv")
            transcripts.write_reference(name, root, told / f"{name}-gold.csv", asked.sentences)
    return 0


def _table(asked: argparse.Namespace) -> int:
    from sercore.corpora.table import beside, describe, tabulate

    folder_of_audio = files.resolve(asked.folder)
    path = files.resolve(asked.output) if asked.output else folder_of_audio / "utterances.csv"
    names = {label: name or None for label, name in _pairs(asked.emotions, "--emotions")}
    listing = tabulate(folder_of_audio, asked.pattern, names)
    print("\n".join(describe(listing)))
    if asked.preview:
        print("nothing written: this is a preview")
        return 0
    if path.exists() and not asked.overwrite:
        raise FileExistsError(f"{path} is there already; --overwrite replaces it, --preview only shows what was found")
    files.write_table(path, beside(listing.utterances, folder_of_audio, path.parent))
    print(f"table: {path}")
    if asked.parameters:
        _start(files.resolve(asked.parameters), path, listing.utterances, asked.overwrite)
    return 0


def _start(path: Path, table: Path, utterances: pd.DataFrame, overwrite: bool) -> None:
    """Write a parameters file that trains on `table`: as the example, a class for every emotion that is there."""
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} is there already; --overwrite replaces it")
    found = sorted(utterances["emotion"].dropna().unique()) if "emotion" in utterances else []
    if len(found) < 2:
        raise ValueError(f"{table} has {len(found)} emotions; expected at least two to tell apart: name {{emotion}}")
    content = files.read_yaml(files.resolve(EXAMPLE))
    name, (example,) = path.stem, content["corpora"]
    content |= {"study": name, "corpora": {name: {**content["corpora"][example], "root": str(table)}}}
    for block in content["sections"]["categories"]["blocks"]:
        block["grid"]["corpus"] = [name]
        block["fixed"]["classes"] = {emotion: [emotion] for emotion in found}
        if "transcript" not in utterances:
            block["grid"]["model"] = ["cnn14"]  # the others read
    files.write_yaml(path, content)
    print(f"parameters: {path}; `sercore run {path}` trains")
    for run in config.load(path).runs:
        print(f"  {run.folder}")


def _check(asked: argparse.Namespace) -> int:
    from sercore import corpora
    from sercore.corpora.summary import describe

    options: dict[str, Any] = {name: yaml.safe_load(value) for name, value in _pairs(asked.option, "--option")}
    options |= {name: getattr(asked, name) for name in ("reader", "transcripts", "scale") if getattr(asked, name)}
    corpus = corpora.read(asked.name, asked.root, **options)
    print(describe(corpus))
    if corpus.utterances["partition"].isna().all():
        print(f"\n{_split_made(corpus.utterances)}")
    return 0


def _split_made(utterances: pd.DataFrame) -> str:
    """How a study splits a corpus that has no partitions."""
    from sercore.corpora import splits

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        made = splits.default_splits(utterances)
    if len(made) > 1:
        return f"split        leave one speaker out, {len(made)} folds (the corpus has none of its own)"
    (split,) = made
    sizes = ", ".join(f"{name} {len(getattr(split, name)):,}" for name in PARTITIONS)
    return "\n".join(
        [
            f"split        {split.name}: {sizes} (the corpus has none of its own)",
            *(f"WARNING: {warning.message}" for warning in told),
        ]
    )


def _pairs(given: Iterable[str], option: str) -> list[tuple[str, str]]:
    """`name=value` of every argument of `option`. Raises ValueError where one is not of that form."""
    wrong = [pair for pair in given if not pair.partition("=")[0] or "=" not in pair]
    if wrong:
        raise ValueError(f"{option} '{wrong[0]}': expected name=value")
    return [(pair.partition("=")[0], pair.partition("=")[2]) for pair in given]
