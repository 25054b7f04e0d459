"""Preparing a corpus for training: `sercore speak · table · check`."""

import argparse
import math
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sercore import files
from sercore.commands import number, progress, seconds, transcripts
from sercore.commands import path as given
from sercore.schema import DIMENSIONS, EMOTION, FOUR_CLASSES, PARTITIONS, first, map_emotions
from sercore.study import config

if TYPE_CHECKING:
    from sercore.corpora import Corpus
    from sercore.corpora.audit import Sound
    from sercore.corpora.splits import Split

EMBEDDED_CORPORA = "outputs/corpora"
EXAMPLE = "parameters/own.yaml"
PAPER_CORPORA = ("iemocap", "msp-podcast")  # whose classes are the paper's four
SHOWN = 20  # errors, and warnings, that are printed


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
    speak.add_argument("--seed", type=number(int, 0), default=0, help="of who says what, and how (default: 0)")
    speak.add_argument(
        "--sentences", type=given, help="a CSV of rated sentences to synthesise instead of the project's own"
    )
    speak.add_argument(
        "--size",
        type=number(float, 0, 1_000, above=True),
        default=1.0,
        help="factor of the number of turns (default: 1)",
    )
    speak.add_argument(
        "--common",
        type=number(float, 0, 1),
        default=0.0,
        help="share of the turns whose words tell nothing: sentences that are said in every emotion (default: 0)",
    )
    speak.add_argument(
        "--no-recognition",
        action="store_true",
        help="of MSP-Podcast's layout write the reference transcripts alone, which saves a minute",
    )
    speak.set_defaults(do=_speak)

    table = commands.add_parser(
        "table",
        help="make the utterance table of a folder of audio from the names of its files, or understand a table",
    )
    table.add_argument(
        "folder",
        type=given,
        nargs="?",
        help="the folder of audio; the table goes there, as utterances.csv (--from: it reads audio there)",
    )
    source = table.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--pattern", help="the fields in the names: '{speaker}_{emotion}_*.wav', '{emotion}/{speaker:2}*.wav'"
    )
    source.add_argument(
        "--from",
        dest="source",
        type=given,
        metavar="TABLE",
        help="a table of any columns (.csv, .tsv, .txt, .parquet), which stays as it is: print what each column is",
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

    check = commands.add_parser(
        "check",
        help="read a corpus and print its summary, defects and splits; exit status 1 where audio does not decode",
    )
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
    check.add_argument(
        "--all-audio",
        action="store_true",
        help="decode every audio file, not 200 of them and those of an unusual format alone",
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
        how = {"seed": args.seed, "sentences": args.sentences, "size": args.size, "common": args.common}
        made = synthetic.speak(name, root, **how, progress=progress(name))
        print(f"{name}: {'synthesised in ' + seconds(start) if made else 'there already'}: {root}")
        if name == "msp-podcast":  # IEMOCAP comes with transcripts
            if not args.no_recognition:
                transcripts.transcribe_corpus(corpora.read(name, root), texts / f"{name}.csv")
            transcripts.write_reference(name, root, texts / f"{name}-gold.csv", args.sentences)
    return 0


def _table(args: argparse.Namespace) -> int:
    from sercore.corpora.table import beside, describe, tabulate

    if args.source:
        return _understand(args)
    if not args.folder:
        raise ValueError("--pattern is of the names in a folder of audio: give the folder, before --pattern")
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


def _understand(args: argparse.Namespace) -> int:
    """Print what the columns of the table `args.source` are, and the options that have it read so; or write these."""
    from sercore import corpora
    from sercore.corpora import columns, table
    from sercore.corpora.summary import describe_findings

    if args.output:
        raise ValueError("--output is of a table that is made from names; --from leaves the table as it is")
    rows = table.load(args.source).cells
    proposal = columns.propose(rows)
    print("\n".join(columns.describe(rows, proposal)))
    options = table.options(args.source, proposal, rows, args.folder)
    if args.emotions:
        options["emotions"] = {label: name or None for label, name in _pairs(args.emotions, "--emotions")}
    corpus = corpora.read(args.source.stem, args.source, reader="table", **options)
    print(f"{len(corpus.utterances):,} utterances")
    print("\n".join(describe_findings(corpus.findings)))
    if args.parameters and not args.preview:
        _write_parameters(args.parameters, args.source, corpus.utterances, args.overwrite, options)
    else:
        entry = {args.source.stem: {"reader": "table", "root": str(args.source), **options}}
        print(f"in a parameters file, which --parameters writes:\n{files.yaml_text({'corpora': entry})}")
    return 0


def _write_parameters(
    path: Path, table: Path, utterances: pd.DataFrame, overwrite: bool, options: Mapping[str, Any] | None = None
) -> None:
    """Write a parameters file that trains on `table`: the example, with a class for each of the emotions.

    `options` are those of the table's reader. Raises FileExistsError where `path` is there already, and ValueError for
    fewer than two emotions.
    """
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} is there already; --overwrite replaces it")
    emotions = sorted(utterances["emotion"].dropna().unique()) if "emotion" in utterances else []
    if len(emotions) < 2:
        raise ValueError(f"{table} has {len(emotions)} emotions; expected at least two: name {{emotion}} or its column")
    content = files.read_yaml(files.shipped() / EXAMPLE)
    name, (example,) = path.stem, content["corpora"]
    content |= {
        "study": name,
        "corpora": {name: {**content["corpora"][example], "root": str(table), **(options or {})}},
    }
    for block in content["sections"]["categories"]["blocks"]:
        block["grid"]["corpus"] = [name]
        block["fixed"]["classes"] = {emotion: [emotion] for emotion in emotions}
        if "transcript" not in utterances or utterances["transcript"].isna().all():
            block["grid"]["model"] = ["cnn14"]  # the others need transcripts
    files.write_yaml(path, content)
    print(f"parameters: {path}; `sercore run {path}` trains")
    for run in config.load(path).runs:
        print(f"  {run.folder}")


def _check(args: argparse.Namespace) -> int:
    from sercore import corpora
    from sercore.corpora import audit
    from sercore.corpora.languages import ADVICE, not_english
    from sercore.corpora.summary import describe

    options: dict[str, Any] = {
        name: files.parse_yaml(value, f"--option {name}")[0] for name, value in _pairs(args.option, "--option")
    }
    options |= {name: getattr(args, name) for name in ("reader", "transcripts", "scale") if getattr(args, name)}
    corpus = corpora.read(args.name, args.root, **options)
    print(describe(corpus))
    heard = audit.audit_sound(corpus, args.all_audio)
    print(f"\n{_describe_sound(corpus, heard)}\n")
    if foreign := not_english(corpus.utterances["transcript"]):
        print(f"WARNING: the words seem not to be English: {foreign}; {ADVICE}\n")
    rows = corpus.utterances[["utterance", "speaker", "dialog", "partition", EMOTION, *DIMENSIONS]]
    del corpus  # a million transcripts take 50 MB
    print(_describe_split(rows, args.reader or args.name))
    return 1 if heard.broken else 0


def _describe_sound(corpus: "Corpus", heard: "Sound") -> str:
    """What decoding the audio has found."""
    everything = corpus.utterances["file"].nunique()
    hint = "" if heard.decoded == everything else "; --all-audio decodes all of them"
    lines = [f"sound        {heard.decoded:,} of {everything:,} audio files decoded{hint}"]
    lines += [f"ERROR: {problem}" for problem in heard.broken[:SHOWN]]
    lines += _more(heard.broken, "files that cannot be used")
    lines += [
        f"WARNING: {finding.count:,}  {finding.kind}, {', '.join(finding.examples)}: {finding.meaning}"
        for finding in heard.findings
    ]
    return "\n".join(lines)


def _more(listed: Sequence[str], what: str) -> list[str]:
    return [f"and {len(listed) - SHOWN:,} more {what}"] if len(listed) > SHOWN else []


def _describe_split(rows: pd.DataFrame, reader: str) -> str:
    """How a study splits a corpus of the utterances `rows`, the warnings about it, and what its folds lack.

    The classes are those of schema.FOUR_CLASSES for the corpora of the paper, and every emotion of another one.
    """
    from sercore.corpora import audit

    if reader in PAPER_CORPORA:
        rows = rows.assign(emotion=map_emotions(rows[EMOTION], FOUR_CLASSES))
    classes, rated = sorted(rows[EMOTION].dropna().unique()), rows.dropna(subset=list(DIMENSIONS))
    whole = made, found = _splits(rows)
    origin = "its own" if rows["partition"].notna().any() else "the corpus has none of its own"
    lines = [f"split        leave one speaker out, {len(made)} folds ({origin})"]
    if len(made) < 2:
        sizes = [f"{name} {len(getattr(split, name)):,}" for split in made for name in PARTITIONS]
        lines = [f"split        {split.name}: {', '.join(sizes)} ({origin})" for split in made]
    if classes:
        labelled = rows.dropna(subset=EMOTION)
        made, refused = whole if len(labelled) == len(rows) else _splits(labelled)
        found = found + refused
        found += [line for split in made for line in audit.shortfalls(split, labelled, [EMOTION], classes)]
        found += [line for split in made for line in audit.unscored(split, labelled, classes)]
    if len(rated):
        made, refused = whole if len(rated) == len(rows) else _splits(rated)
        found += [*refused, *(line for split in made for line in audit.shortfalls(split, rated, DIMENSIONS))]
    elif len(classes) < 2:
        found.append(f"{first(classes) if classes else 'no emotion'} and no ratings: there is nothing to tell apart")
    if lone := audit.lone_speakers(rows):
        found.append(f"speakers with one utterance, {len(lone):,}: {first(lone)}; are their names misspelt?")
    found = list(dict.fromkeys(found))
    return "\n".join([*lines, *(f"WARNING: {line}" for line in found[:SHOWN]), *_more(found, "warnings")])


def _splits(rows: pd.DataFrame) -> tuple[list["Split"], list[str]]:
    """The splits that a run makes of `rows`, and the warnings about it; or why it would refuse to."""
    from sercore.corpora import splits

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            own = rows["partition"].notna().any()
            made = [splits.official(splits.with_development(rows))] if own else splits.default_splits(rows)
        except ValueError as error:
            return [], [f"a run would refuse this: {error}"]
    return made, [str(warning.message) for warning in caught]


def _pairs(given: Iterable[str], option: str) -> list[tuple[str, str]]:
    """(name, value) of each `name=value` in `given`. Raises ValueError, naming `option`, for another form."""
    wrong = [pair for pair in given if not pair.partition("=")[0] or "=" not in pair]
    if wrong:
        raise ValueError(f"{option} '{wrong[0]}': expected name=value")
    return [(pair.partition("=")[0], pair.partition("=")[2]) for pair in given]
