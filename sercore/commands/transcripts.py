"""Transcripts of a corpus and their error rates: `sercore transcribe · wer`."""

import argparse
import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from sercore import files, schema
from sercore.commands import MOST_WORKERS, number, path_or_name, progress, refuse_overwriting, seconds
from sercore.commands import path as given
from sercore.corpora import cells, languages, transcripts
from sercore.corpora.corpus import Finding
from sercore.features.hub import ENGINE, LANGUAGE
from sercore.registry import CORPORA
from sercore.schema import are

if TYPE_CHECKING:
    from sercore.corpora import Corpus

TRANSCRIPTS = "outputs/transcripts"
GROUPS = ("emotion", "gender", "style", "speaker", "partition", "confidence")


def add(commands: argparse._SubParsersAction) -> None:
    """Register the commands of this module."""
    transcribe = commands.add_parser("transcribe", help="recognise the speech of a corpus")
    add_corpus(transcribe)
    transcribe.add_argument(
        "--model",
        type=path_or_name,
        default=ENGINE,
        help="a folder of weights, a Hugging Face id (openai/whisper-small, "
        "facebook/wav2vec2-base-960h), or a name of faster-whisper's "
        f"(default: {ENGINE})",
    )
    transcribe.add_argument(
        "--beam", type=number(int, 1, 1_000), default=1, help="hypotheses that are followed at a time (default: 1)"
    )
    transcribe.add_argument(
        "--language", default=LANGUAGE, help="of the speech, for a model of several (default: %(default)s)"
    )
    transcribe.add_argument(
        "--workers", type=number(int, 1, MOST_WORKERS), help="utterances at a time (default: one a core)"
    )
    transcribe.add_argument(
        "--output", type=given, help=f"the CSV (default: {TRANSCRIPTS}/NAME.csv, of another model NAME-MODEL)"
    )
    transcribe.set_defaults(do=_transcribe)

    rates = commands.add_parser("wer", help="word error rate of a corpus's transcripts, by emotion and by speaker")
    add_corpus(rates)
    rates.add_argument(
        "--recognised",
        "--heard",
        type=given,
        help=f"the CSV of recognised transcripts (default: {TRANSCRIPTS}/NAME.csv)",
    )
    rates.add_argument(
        "--reference",
        "--said",
        type=given,
        help="the CSV of reference transcripts (default: the corpus's own; of an embedded corpus, its sentences)",
    )
    rates.add_argument(
        "--by",
        nargs="+",
        default=["emotion", "gender", "speaker"],
        choices=GROUPS,
        metavar="COLUMN",
        help=f"of {', '.join(GROUPS)} (default: emotion gender speaker)",
    )
    rates.add_argument("--output", type=given, help="also write the table there, as CSV")
    rates.set_defaults(do=_rates)


def add_corpus(command: argparse.ArgumentParser) -> None:
    """Add the arguments of `command` that name a corpus and say how it is read."""
    command.add_argument("name", help=f"{', '.join(CORPORA)}; any name with --reader")
    command.add_argument("root", type=given, help="the release's folder, or the table")
    command.add_argument("--reader", help=f"how a corpus with a name of its own is read: {', '.join(CORPORA)}")


def _read(args: argparse.Namespace) -> "Corpus":
    from sercore import corpora

    return corpora.read(args.name, args.root, reader=args.reader)


def _transcribe(args: argparse.Namespace) -> int:
    if args.output:
        path = args.output
    else:
        suffix = "" if args.model == ENGINE else "-" + re.sub(r"\W+", "-", args.model.strip("./~")).strip("-")
        path = files.resolve(TRANSCRIPTS) / f"{files.folder_name(args.name)}{suffix}.csv"
    refuse_overwriting(path, [args.root, Path(args.root) / "utterances.csv"])
    corpus = _read(args)
    foreign = languages.not_english(corpus.utterances["transcript"]) if args.language == LANGUAGE else ""
    if foreign:
        print(f"WARNING: speech is recognised as English, and the corpus's own transcripts seem not to be: {foreign}")
    unusable = transcribe_corpus(corpus, path, args.model, args.beam, args.workers, args.language)
    for utterance, problem in unusable.items():
        print(f"{utterance}: {problem}", file=sys.stderr)
    return 1 if unusable else 0


def transcribe_corpus(
    corpus: "Corpus",
    path: Path,
    engine: str = ENGINE,
    beam: int = 1,
    workers: int | None = None,
    language: str = LANGUAGE,
) -> dict[str, str]:
    """Transcribe `corpus` by speech recognition into the CSV `path`; the others are as transcribe.transcribe's.

    Returns what is wrong with each utterance that is not in it.
    """
    from sercore.features import transcribe  # torch takes seconds to import

    start = time.monotonic()
    recognised = transcribe.transcribe(
        corpus, path.parent, engine, beam, workers, progress=progress("transcripts"), language=language
    )
    files.write_bytes(path, recognised.read_bytes())
    unusable = transcribe.unusable(corpus, recognised)
    left = f"; {len(unusable)} could not be used and {are(len(unusable))} not in it" if unusable else ""
    print(f"{corpus.name}: transcripts by speech recognition, {seconds(start)}: {path}{left}")
    return unusable


def write_reference(name: str, root: Path, path: Path, sentences: str | None) -> None:
    """Write the reference transcripts of the embedded corpus `name` in `root` to the CSV `path`.

    `sentences` is the CSV that it was synthesised from, None for the project's own.
    """
    from sercore.corpora import synthetic

    files.write_table(
        path,
        pd.DataFrame(synthetic.reference_transcripts(root, sentences).items(), columns=["utterance", "transcript"]),
    )
    print(f"{name}: reference transcripts: {path}")


def _rates(args: argparse.Namespace) -> int:
    corpus = _read(args)
    path = args.recognised or files.resolve(TRANSCRIPTS) / f"{files.folder_name(args.name)}.csv"
    if not path.is_file():
        raise FileNotFoundError(f"no {path}; make it with `sercore transcribe {args.name} {args.root}`")
    ids = corpus.utterances["utterance"]
    reference, source = _reference(args, corpus)
    recognised = transcripts.read_for(path, ids)
    table = corpus.utterances.assign(transcript=reference, recognised=ids.map(recognised))
    lacking = reference[~ids.isin(list(recognised))]
    _print_findings(transcripts.unmatched(path, recognised, ids[lacking.index[lacking.notna()]], ids))
    rows = cells.read_csv(path)
    if "confidence" in rows:
        confidence = pd.to_numeric(rows["confidence"], errors="coerce").set_axis(rows["utterance"].map(cells.clean))
        table["confidence"] = ids.map(confidence)
    elif "confidence" in args.by:
        raise ValueError(f"{path} has no column confidence; leave it out of --by")
    refuse_overwriting(args.output and files.resolve(args.output), [path, args.root, args.reference])
    rates = transcripts.error_table(table, args.by)
    print(f"{corpus.name}{' (simulated)' if corpus.simulated else ''}: {path}\nagainst {source}\n")
    print(_for_print(rates).to_string(index=False))
    if args.output:
        files.write_table(args.output, rates)
    return 0


def _reference(args: argparse.Namespace, corpus: "Corpus") -> tuple[pd.Series, str]:
    """The reference transcript of each utterance of `corpus`, and where it comes from."""
    from sercore.corpora import synthetic

    ids = corpus.utterances["utterance"]
    if args.reference:
        named = transcripts.read_for(args.reference, ids)
        _print_findings(transcripts.unmatched(args.reference, named, ids, ids))
        return ids.map(named), str(args.reference)
    if corpus.utterances["transcript"].notna().any():
        return corpus.utterances["transcript"], "the corpus's own transcripts"
    if corpus.simulated:
        reference = ids.map(synthetic.reference_transcripts(corpus.root))
        return reference, "the sentences that the corpus was synthesised from"
    raise ValueError(f"{corpus.root} has no transcripts of its own; name a CSV of them with --reference")


def _print_findings(findings: Iterable[Finding]) -> None:
    for finding in findings:
        if finding.count:
            print(f"{finding.count:,} {finding.kind}: {schema.first(finding.examples, 3)}")


def _for_print(table: pd.DataFrame) -> pd.DataFrame:
    """The table of transcripts.error_table as it is printed: rates in %, a group's name once."""
    percent = table.assign(**{f"{name} %": (100 * table[name]).map("{:.1f}".format) for name in ("wer", "empty")})
    percent["by"] = percent["by"].where(percent["by"] != percent["by"].shift(), "")
    return percent[["by", "value", "utterances", *transcripts.COUNTS, "wer %", "empty %"]]
