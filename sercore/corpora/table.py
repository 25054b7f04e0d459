"""Any other corpus: a table of its utterances, as CSV or Parquet, and such a table made from the names of its files.

`read` reads the table. `tabulate` makes it from a folder of audio and a pattern of its names, such as
`{speaker}_{emotion}_*.wav`; the table is written beside the audio as utterances.csv.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from sercore import schema
from sercore.corpora import cells, corpus
from sercore.corpora.corpus import Corpus, Finding, assemble, contents, locate, out_of_scale, walk
from sercore.corpora.headers import in_threads, read_headers, unusual
from sercore.corpora.names import FIELDS, compile_pattern
from sercore.corpora.transcripts import read_for, unmatched

AUDIO = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff")
DEPTH = 8  # folders below the top that are looked through
TEXT_SUFFIX = ".txt"  # of the transcript beside an audio file
TRANSLATED = ("emotion", "gender", "partition", "style")
NAMES = ("utterances.csv", "utterances.parquet")
CLOSE = 0.1  # a duration that differs by more from the audio's own is reported [s]
EXPECTED = "a .csv or .parquet file of utterances, or the folder that holds utterances.csv or utterances.parquet"


def read(
    root: str | Path,
    *,
    scale: Sequence[float] = (1.0, 5.0),
    columns: Mapping[str, str | None] | None = None,
    emotions: Mapping[str, str | None] | None = None,
    transcripts: str | Path | None = None,
    name: str = "table",
) -> Corpus:
    """The corpus described by the table `root`, or by utterances.csv or utterances.parquet in the folder `root`.

    The table has the columns of schema.UTTERANCE_COLUMNS, of which `utterance` and `file` are needed; `file` is
    relative to the table's folder, which is the corpus's root. A cell of cells.BLANKS is missing. Durations that the
    table lacks are those of the audio. A table may lack `speaker`, but no split of it can keep speakers apart.

    `scale` is the lowest and highest rating. `columns` renames the table's own columns (path -> file); one renamed to
    None is left out. `emotions` translates the table's labels (W -> angry, boredom -> None: missing); other words for
    the names of a column (anger, F, dev) need no translation.
    Utterances without a transcript take it from the CSV `transcripts` (utterance, transcript). `name` is what the
    corpus is called.

    Raises ValueError for an unknown or absent column, an unknown name in a column, an absolute path, audio that is
    absent or cannot be read, a rating outside `scale`; FileNotFoundError where there is no table.
    """
    if len(scale) != 2 or not scale[0] < scale[1]:
        raise ValueError(f"scale is {scale}; expected the lowest and the highest rating, as (1, 5)")
    path = _find(locate(root, EXPECTED))
    rows = _renamed(_load(path), columns or {}, path)
    _check_columns(rows, path)
    findings = []
    if "speaker" not in rows:
        meaning = "every speaker counts as unknown; a split cannot keep speakers apart"
        findings.append(Finding.of("no column 'speaker'", rows["utterance"], meaning))
        rows["speaker"] = np.nan
    rows, found = corpus.tidy(rows, emotions or ())
    findings += found
    if emotions and schema.EMOTION in rows:
        findings.append(corpus.unused(emotions, rows[schema.EMOTION], schema.EMOTION, path))
    for column in rows.columns.intersection(TRANSLATED):
        given = emotions if column == schema.EMOTION else None
        rows[column] = corpus.translate(rows[column], column, given, str(path))
    foreign = rows["file"].str.contains("[^ -~]", na=False)
    if foreign.any():
        spelt = cells.translated(rows["file"][foreign], partial(cells.spelt_on_disk, path.parent))
        rows["file"] = rows["file"].mask(foreign, spelt)
    table = schema.check_utterances(rows, str(path))
    del rows  # a million take 200 MB
    headers = _read_content(table, path, (float(scale[0]), float(scale[1])))
    folder = path.parent
    differs = (table["seconds"] - headers["seconds"]).abs() > CLOSE
    without_speaker = table["speaker"].isna()
    findings += [
        Finding.of("duration that is not the audio's", table["utterance"][differs], "the table's was kept"),
        unusual(table["file"], headers),
        Finding.of(
            "same file in several rows",
            table["utterance"][schema.repeated(table["file"])],
            "kept; the file counts more than once",
        ),
    ]
    if not without_speaker.all():
        findings.append(
            Finding.of("missing speaker", table["utterance"][without_speaker], "kept; belongs to no speaker")
        )
    table["seconds"] = table["seconds"].fillna(headers["seconds"])
    if transcripts is not None:
        written = read_for(transcripts, table["utterance"])
        silent = table["utterance"][table["transcript"].isna()]
        findings += unmatched(transcripts, written, silent, table["utterance"])
        table["transcript"] = table["transcript"].fillna(table["utterance"].map(written))
    return assemble(name, folder, (float(scale[0]), float(scale[1])), table, findings)


def _find(given: Path) -> Path:
    if given.is_file():
        return given
    tables = [given / name for name in NAMES if (given / name).is_file()]
    if not tables:
        raise FileNotFoundError(
            f"no table in {given}; expected {EXPECTED}\n  it holds {contents(given)}\n"
            "  `sercore table` makes one from the names of audio files"
        )
    if len(tables) > 1:
        raise ValueError(f"{given} holds both {' and '.join(NAMES)}; give the one to read")
    return tables[0]


def _load(path: Path) -> pd.DataFrame:
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise ValueError(f"{path}: expected {EXPECTED}, found a '{path.suffix}' file")
    return cells.read_table(path)


def _renamed(rows: pd.DataFrame, columns: Mapping[str, str | None], path: Path) -> pd.DataFrame:
    """`rows` with their columns renamed by `columns`.

    Raises ValueError for a column that is not there, and where two columns get the same name.
    """
    for column in columns:
        if column not in rows:
            raise ValueError(f"{path}: no column '{column}' to rename{schema.did_you_mean(column, rows.columns)}")
    rows = rows.drop(columns=[column for column, name in columns.items() if name is None])
    rows = rows.rename(columns={column: name for column, name in columns.items() if name is not None})
    twice = rows.columns[rows.columns.duplicated()]
    if len(twice):
        raise ValueError(f"{path}: two columns are called '{twice[0]}'; rename one of them, or leave it out")
    return rows


def _check_columns(rows: pd.DataFrame, path: Path) -> None:
    """Raise ValueError that names every column that is unknown and every one that is needed and absent."""
    unknown = [column for column in rows.columns if column not in schema.UTTERANCE_COLUMNS]
    absent = [column for column in ("utterance", "file") if column not in rows.columns]
    problems = [
        f"unknown column '{name}'{schema.did_you_mean(str(name), schema.UTTERANCE_COLUMNS)}" for name in unknown
    ]
    if absent:
        problems.append(f"no column {', '.join(absent)}; an utterance table needs utterance and file")
    if problems:
        if unknown:
            problems.append(
                f"the reader's option `columns` renames a column, as {{{unknown[0]}: transcript}}, "
                f"or leaves it out, as {{{unknown[0]}: null}}"
            )
        raise ValueError(f"{path}: " + "\n  ".join(problems))


def _read_content(table: pd.DataFrame, path: Path, scale: tuple[float, float]) -> pd.DataFrame:
    """The headers of the audio of `table`, as headers.read_headers gives them.

    Raises ValueError where rows have an absolute path, audio that is absent or cannot be read, or a rating outside
    `scale`; all are named.
    """
    named = table["file"].unique().tolist()
    absolute = [file for file in named if os.path.isabs(file)]  # noqa: PTH117 -- of a million in half a second
    relative = set(named).difference(absolute)
    held = in_threads(lambda file: _held(f"{path.parent}/{file}"), named)
    absent = [file for file, there in zip(named, held, strict=True) if file in relative and not there]
    outside = out_of_scale(table, scale)
    problems = []
    if absolute:
        problems.append(
            f"{len(absolute)} absolute paths, {schema.first(absolute)}; write them relative to {path.parent}"
        )
    if absent:
        problems.append(
            f"{len(absent)} of {len(named)} audio files {schema.are(len(absent))} not there, {schema.first(absent)}; "
            f"expected them below {path.parent}; correct the column 'file' or drop the rows"
        )
    if outside:
        problems.append(
            f"{len(outside)} ratings outside {scale[0]:g} to {scale[1]:g}, {schema.first(outside)}; "
            "give the corpus's own scale, as --scale 1 7 (in a parameters file `scale: [1, 7]`)"
        )
    unreadable = [*absolute, *absent]
    try:
        headers = read_headers(
            path.parent, table["file"][~cells.are_among(table["file"], unreadable)] if unreadable else table["file"]
        )
    except ValueError as error:
        problems.append(str(error))
    if problems:
        raise ValueError(f"{path}: " + "\n  ".join(problems))
    return headers


def _held(file: str) -> bool:
    """Whether `file` is there, of whatever kind."""
    try:
        os.stat(file)  # noqa: PTH116 -- half the time of Path.exists
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class Listing:
    """The utterance table made from the names below a folder, and the files that are not in it."""

    utterances: pd.DataFrame  # `utterance`, `file`, and the columns whose fields are in the pattern
    unmatched: tuple[str, ...]  # audio whose names do not fit the pattern
    without_emotion: tuple[str, ...]  # utterances whose label is to count as missing
    transcripts: int  # utterances with a text file beside the audio
    unused: tuple[str, ...] = ()  # labels that were given a name, and no file has


def tabulate(root: str | Path, pattern: str, emotions: Mapping[str, str | None] | None = None) -> Listing:
    """The table of the audio below `root`, from names that fit `pattern`.

    `emotions` translates the labels in the names (W -> angry; boredom -> None: missing); schema.EMOTION_NAMES and their
    nouns need no translation. A text file with the name of an audio file is its transcript. An utterance's id is its
    file's name, or its path where files of two folders share a name. Dialogs are called after their partition too where
    one occurs in two partitions: they are numbered in each. What a name says of a speaker, a dialog or a label is clean
    and may be missing, see cells.

    Raises ValueError for a pattern that is wrong or fits no name, and for unknown labels.
    """
    folder = locate(root, "a folder of audio files")
    if not folder.is_dir():
        raise ValueError(f"{folder} is a file; expected a folder of audio files")
    expression = compile_pattern(pattern)
    names = audio_below(folder)
    if not names:
        raise ValueError(f"no audio ({', '.join(AUDIO)}) below {folder}; it holds {contents(folder)}")
    matches = {name: expression.match(name) if schema.printable(name) == name else None for name in names}
    rows = [{"file": name, **match} for name, match in matches.items() if match]
    if not rows:
        raise ValueError(
            f"none of {len(names)} audio files below {folder} fits '{pattern}'; the first are {schema.first(names, 3)}"
        )
    table = pd.DataFrame(rows)
    if "utterance" not in table:
        table["utterance"] = _ids(table["file"])
    table, _ = corpus.tidy(table, emotions or ())
    labels = table[schema.EMOTION] if schema.EMOTION in table else pd.Series(dtype="str")
    unused = corpus.unused(emotions, labels, schema.EMOTION, folder)
    for column in table.columns.intersection(TRANSLATED):
        table[column] = corpus.translate(table[column], column, emotions if column == "emotion" else None, str(folder))
    if "dialog" in table and "partition" in table:
        table["dialog"] = _dialogs(table)
    transcripts = [_transcript_beside(folder / name) for name in table["file"]]
    if any(text is not None for text in transcripts):
        table["transcript"] = transcripts
    without_emotion = table["utterance"][table["emotion"].isna()] if "emotion" in table else ()
    order = [column for column in schema.UTTERANCE_COLUMNS if column in table]
    return Listing(
        utterances=table[order],
        unmatched=tuple(_named(name) for name, match in matches.items() if not match),
        without_emotion=tuple(without_emotion),
        transcripts=sum(text is not None for text in transcripts),
        unused=unused.examples,
    )


def beside(utterances: pd.DataFrame, folder: Path, home: Path) -> pd.DataFrame:
    """`utterances` whose files, relative to `folder`, are relative to `home`, the table's folder."""
    place = Path(os.path.relpath(folder, home))
    return utterances.assign(file=[(place / file).as_posix() for file in utterances["file"]])


def audio_below(folder: Path) -> list[str]:
    """The audio files below `folder`, relative to it, sorted; hidden files and folders are left out."""
    return [
        name if place == "." else f"{place}/{name}"
        for place, _, names in walk(folder, DEPTH)
        for name in names
        if Path(name).suffix.lower() in AUDIO and not name.startswith(".")
    ]


def describe(listing: Listing, shown: int = 5) -> list[str]:
    """Lines to print: the first `shown` rows, how often each value occurs, and what was left out."""
    table = listing.utterances
    lines = [*table.head(shown).to_string(index=False, na_rep="").splitlines(), f"{len(table):,} utterances"]
    for column in FIELDS:
        if column in table and column != "utterance":
            counts = table[column].value_counts()
            values = schema.first((f"{value} {count:,}" for value, count in counts.items()), 12)
            lines.append(f"  {column:<10} {len(counts):,}: {values}")
    beside_audio = f"a {TEXT_SUFFIX} file beside the audio"
    number = f"{listing.transcripts:,} with {beside_audio}" if listing.transcripts else f"none ({TEXT_SUFFIX})"
    lines.append(f"  {'transcript':<10} {number}")
    for what, names in (
        ("names do not fit, left out", listing.unmatched),
        ("no emotion", listing.without_emotion),
        ("labels that were named, and no file has", listing.unused),
    ):
        if names:
            lines.append(f"  {len(names):,} {what}: {schema.first(names, 3)}")
    if "speaker" in table:
        near = cells.doubted(table["speaker"].value_counts().sort_index().to_dict())
        lines += [f"  speakers that may be one person: {schema.first(near)}"] if near else []
    else:
        lines.append(
            "  no speaker: a split cannot keep speakers apart, and its scores are too high; name {speaker} if you can"
        )
    return lines


def _named(name: str) -> str:
    """`name` for print, with what is to be done where a table cannot hold it."""
    text = schema.printable(name)
    return text if text == name else f"{text} (not in UTF-8: rename it)"


def _ids(paths: Sequence[str]) -> list[str]:
    stems = [Path(path).stem for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    return [corpus.id_of(path) for path in paths]


def _dialogs(table: pd.DataFrame) -> pd.Series:
    """The dialogs of `table`, behind their partition where one of them occurs in two partitions."""
    twice = table.groupby("dialog")["partition"].nunique().gt(1).any()
    return table["partition"].fillna("none") + "-" + table["dialog"] if twice else table["dialog"]


def _transcript_beside(audio: Path) -> str | None:
    """The transcript in the text file beside `audio`, .txt or .TXT; None where there is none."""
    for path in (audio.with_suffix(TEXT_SUFFIX), audio.with_suffix(TEXT_SUFFIX.upper())):
        if path.is_file():
            return cells.clean(cells.read_text(path))
    return None
