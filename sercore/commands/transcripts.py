"""What is said in a corpus: `sercore transcribe · wer`."""

import argparse
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from sercore import files
from sercore.commands import progress, seconds
from sercore.corpora import transcripts
from sercore.features.hub import ENGINE

if TYPE_CHECKING:
    from sercore.corpora import Corpus

TRANSCRIPTS = "outputs/transcripts"
GROUPS = ("emotion", "gender", "style", "speaker", "partition", "confidence")


def add(commands: argparse._SubParsersAction) -> None:
    """Register the commands of this module."""
    transcribe = commands.add_parser("transcribe", help="recognise the speech of a corpus")
    _add_corpus(transcribe)
    transcribe.add_argument(
        "--model",
        default=ENGINE,
        help="a folder of weights, a Hugging Face id (openai/whisper-small, "
        "facebook/wav2vec2-base-960h), or a name of faster-whisper's "
        f"(default: {ENGINE})",
    )
    transcribe.add_argument("--beam", type=int, default=1, help="hypotheses that are followed at a time (default: 1)")
    transcribe.add_argument("--language", default="en", help="of the speech, for a model of several (default: en)")
    transcribe.add_argument("--workers", type=int, help="utterances at a time (default: one a core)")
    transcribe.add_argument("--output", help=f"the CSV (default: {TRANSCRIPTS}/NAME.csv, of another model NAME-MODEL)")
    transcribe.set_defaults(do=_transcribe)

    rates = commands.add_parser("wer", help="word error rate of a corpus's transcripts, by emotion and by speaker")
    _add_corpus(rates)
    rates.add_argument("--heard", help=f"the CSV of recognised transcripts (default: {TRANSCRIPTS}/NAME.csv)")
    rates.add_argument(
        "--said",
        help="a CSV of what was said (default: the corpus's own; of an embedded corpus, what it was made to say)",
    )
    rates.add_argument(
        "--by",
        nargs="+",
        default=["emotion", "gender", "speaker"],
        choices=GROUPS,
        metavar="COLUMN",
        help=f"of {', '.join(GROUPS)} (default: emotion gender speaker)",
    )
    rates.add_argument("--output", help="also write the table there, as CSV")
    rates.set_defaults(do=_rates)


def _add_corpus(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", help="iemocap, msp-podcast, table or audformat; any name with --reader")
    command.add_argument("root", help="the release's folder, or the table")
    command.add_argument("--reader", help="how it is read, where its name does not say so")


def _read(asked: argparse.Namespace) -> "Corpus":
    from sercore import corpora

    return corpora.read(asked.name, asked.root, reader=asked.reader)


def _transcribe(asked: argparse.Namespace) -> int:
    if asked.output:
        path = files.resolve(asked.output)
    else:
        apart = "" if asked.model == ENGINE else "-" + re.sub(r"\W+", "-", asked.model.strip("./~")).strip("-")
        path = files.resolve(TRANSCRIPTS) / f"{asked.name}{apart}.csv"
    options = {"engine": asked.model, "beam": asked.beam, "workers": asked.workers, "language": asked.language}
    transcribe_corpus(_read(asked), path, **options)
    return 0


def transcribe_corpus(corpus: "Corpus", path: Path, **options: object) -> None:
    """Transcribe `corpus` into the CSV `path`; `options` are those of transcribe.transcribe."""
    from sercore.features import transcribe  # torch takes seconds to import

    start = time.monotonic()
    heard = transcribe.transcribe(corpus, path.parent, progress=progress("transcripts"), **options)
    files.write_bytes(path, heard.read_bytes())
    print(f"{corpus.name}: transcripts by speech recognition, {seconds(start)}: {path}")


def write_reference(name: str, root: Path, path: Path, sentences: str | None) -> None:
    """Write what the embedded corpus `name` in `root` was made to say into the CSV `path`."""
    from sercore.corpora import synthetic

    files.write_table(
        path,
        pd.DataFrame(synthetic.reference_transcripts(root, sentences).items(), columns=["utterance", "transcript"]),
    )
    print(f"{name}: what is said: {path}")


def _rates(asked: argparse.Namespace) -> int:
    from sercore.corpora.transcripts import read_transcripts

    corpus = _read(asked)
    path = files.resolve(asked.heard or f"{TRANSCRIPTS}/{asked.name}.csv")
    if not path.is_file():
        raise FileNotFoundError(f"no {path}; make it with `sercore transcribe {asked.name} {asked.root}`")
    ids = corpus.utterances["utterance"]
    said, source = _reference(asked, corpus)
    table = corpus.utterances.assign(transcript=said, heard=ids.map(read_transcripts(path)))
    held = pd.read_csv(path, dtype={"utterance": "str"})
    if "confidence" in held:
        table["confidence"] = ids.map(held.set_index("utterance")["confidence"])
    elif "confidence" in asked.by:
        raise ValueError(f"{path} has no column confidence; leave it out of --by")
    found = transcripts.error_table(table, asked.by)
    print(f"{corpus.name}{' (simulated)' if corpus.simulated else ''}: {path}\nagainst {source}\n")
    print(_shown(found).to_string(index=False))
    if asked.output:
        files.write_table(files.resolve(asked.output), found)
    return 0


def _reference(asked: argparse.Namespace, corpus: "Corpus") -> tuple[pd.Series, str]:
    """The gold transcript of each utterance of `corpus`, and where it comes from."""
    from sercore.corpora import synthetic
    from sercore.corpora.transcripts import read_transcripts

    ids = corpus.utterances["utterance"]
    if asked.said:
        return ids.map(read_transcripts(asked.said)), asked.said
    if corpus.utterances["transcript"].notna().any():
        return corpus.utterances["transcript"], "the corpus's own transcripts"
    if corpus.simulated:
        return ids.map(synthetic.reference_transcripts(corpus.root)), "what the corpus was made to say"
    raise ValueError(f"{corpus.root} has no transcripts of its own; name a CSV of what was said with --said")


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """The table of wer.error_table for the eye: rates in %, a group's name once."""
    percent = table.assign(**{f"{name} %": (100 * table[name]).map("{:.1f}".format) for name in ("wer", "empty")})
    percent["by"] = percent["by"].where(percent["by"] != percent["by"].shift(), "")
    return percent[["by", "value", "utterances", *transcripts.COUNTS, "wer %", "empty %"]]
