"""Any other corpus, described by a table of its utterances: a CSV or Parquet file beside the audio.

A folder of audio that no reader knows -> the table that describes it, from the names of its files and folders.

`{speaker}_{emotion}_*.wav` says where the names tell what; the table goes beside the audio as utterances.csv.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sercore import schema
from sercore.corpora import corpus
from sercore.corpora.corpus import Corpus, Finding, assemble, contents, locate, out_of_scale, walk
from sercore.corpora.headers import read_headers, unusual
from sercore.corpora.transcripts import read_transcripts

AUDIO = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff")
FIELDS = ("speaker", "gender", "dialog", "style", "partition", "emotion", "utterance")
DEPTH = 8  # folders below the top that are looked through
WORDS = ".txt"  # what was said, in a file beside the audio
FIELD = re.compile(r"\{(\w+)(?::(\d+))?\}|(\*)|([^{}*]+)|(.)")
TRANSLATED = ("emotion", "gender", "partition", "style")


@dataclass(frozen=True)
class Listing:
    """What the names below a folder tell."""

    utterances: pd.DataFrame  # columns of the utterance table that the names tell, `utterance` and `file` first
    unmatched: tuple[str, ...]  # audio whose names do not fit the pattern
    without_emotion: tuple[str, ...]  # utterances whose label is to count as missing
    transcripts: int  # utterances with a text file beside the audio


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The expression that `pattern` stands for, for a path relative to the folder, with / between folders.

    `{field}` is one of FIELDS, as few characters as fit and no /; `{field:2}` is exactly two; `*` is anything but /.
    Raises ValueError for a field that is unknown or there twice, a brace that stands alone, and no field at all.
    """
    parts, seen = [], []
    for field, width, star, text, stray in FIELD.findall(pattern):
        if stray:
            raise ValueError(
                f"pattern '{pattern}': a brace stands alone; expected fields as {{speaker}} or {{emotion:1}}"
            )
        if field and field not in FIELDS:
            raise ValueError(f"pattern '{pattern}': unknown field '{field}'{schema.did_you_mean(field, FIELDS)}")
        if field in seen:
            raise ValueError(f"pattern '{pattern}': field '{field}' is there twice; write * where a name repeats it")
        if field:
            seen.append(field)
            parts.append(f"(?P<{field}>[^/]{{{width}}})" if width else f"(?P<{field}>[^/]+?)")
        else:
            parts.append("[^/]*" if star else re.escape(text))
    if not seen:
        raise ValueError(f"pattern '{pattern}' has no field; known: {', '.join(f'{{{name}}}' for name in FIELDS)}")
    return re.compile("".join(parts))


def tabulate(root: str | Path, pattern: str, emotions: Mapping[str, str | None] | None = None) -> Listing:
    """The table of the audio below `root`, from names that fit `pattern`.

    `emotions` says what the names' labels are called here (W -> angry; boredom -> None: missing); those of
    schema.EMOTION_NAMES and their nouns need no word. A text file of an audio file's name is its transcript. An
    utterance is called after its file, or after its path where files of two folders share a name.

    Raises ValueError for a pattern that is wrong or fits no name, and for labels that are not known.
    """
    folder = locate(root, "a folder of audio files")
    if not folder.is_dir():
        raise ValueError(f"{folder} is a file; expected a folder of audio files")
    expression = compile_pattern(pattern)
    names = audio_below(folder)
    if not names:
        raise ValueError(f"no audio ({', '.join(AUDIO)}) below {folder}; it holds {contents(folder)}")
    matches = {name: expression.fullmatch(name) for name in names}
    rows = [{"file": name, **match.groupdict()} for name, match in matches.items() if match]
    if not rows:
        raise ValueError(
            f"none of {len(names)} audio files below {folder} fits '{pattern}'; the first are {schema.first(names, 3)}"
        )
    table = pd.DataFrame(rows)
    for column in TRANSLATED:
        if column in table:
            table[column] = corpus.translate(table[column], column, emotions if column == "emotion" else None)
    if "utterance" not in table:
        table["utterance"] = _ids(table["file"])
    said = [_words(folder / name) for name in table["file"]]
    if any(words is not None for words in said):
        table["transcript"] = said
    nameless = table["utterance"][table["emotion"].isna()] if "emotion" in table else ()
    order = [column for column in schema.UTTERANCE_COLUMNS if column in table]
    return Listing(
        utterances=table[order],
        unmatched=tuple(name for name, match in matches.items() if not match),
        without_emotion=tuple(nameless),
        transcripts=sum(words is not None for words in said),
    )


def beside(utterances: pd.DataFrame, folder: Path, home: Path) -> pd.DataFrame:
    """`utterances` whose files, relative to `folder`, are relative to `home`: where the table is going to lie."""
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
    """Lines for a screen: the first rows, how often each value occurs, and what was left out."""
    table = listing.utterances
    lines = [*table.head(shown).to_string(index=False, na_rep="").splitlines(), f"{len(table):,} utterances"]
    for column in FIELDS:
        if column in table and column != "utterance":
            counts = table[column].value_counts()
            told = schema.first((f"{value} {count:,}" for value, count in counts.items()), 12)
            lines.append(f"  {column:<10} {len(counts):,}: {told}")
    said = f"{listing.transcripts:,} with a {WORDS} file beside the audio" if listing.transcripts else f"none ({WORDS})"
    lines.append(f"  {'transcript':<10} {said}")
    for what, names in (("names do not fit, left out", listing.unmatched), ("no emotion", listing.without_emotion)):
        if names:
            lines.append(f"  {len(names):,} {what}: {schema.first(names, 3)}")
    if "speaker" not in table:
        lines.append(
            "  no speaker: a split cannot keep voices apart, and its scores are too high; name {speaker} if you can"
        )
    return lines


def _ids(paths: Sequence[str]) -> list[str]:
    stems = [Path(path).stem for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    return [Path(path).with_suffix("").as_posix().replace("/", "-") for path in paths]


def _words(audio: Path) -> str | None:
    path = audio.with_suffix(WORDS)
    return " ".join(path.read_text(encoding="utf-8").split()) if path.is_file() else None


NAMES = ("utterances.csv", "utterances.parquet")
CLOSE = 0.1  # how far a given duration may lie from the audio's own before it is reported [s]
EXPECTED = "a .csv or .parquet file of utterances, or the folder that holds utterances.csv or utterances.parquet"
MAY_BE_BLANK = ("gender", "style", "partition", "emotion", *schema.DIMENSIONS, "seconds")


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
    relative to the table's folder, which is the corpus's root. An empty cell of a CSV is missing. Durations that the
    table lacks are those of the audio. A table without `speaker` is read, but no split of it can keep voices apart.

    `scale` is the lowest and highest rating. `columns` renames the table's own columns (path -> file); one renamed to
    None is left out. `emotions` says what the table's labels are called here (W -> angry, boredom -> None: missing).
    Utterances without a transcript take it from the CSV `transcripts` (utterance, transcript). `name` is what the
    corpus is called.

    Raises ValueError for an unknown or absent column, an unknown name in a column, an absolute path, audio that is
    absent or cannot be read, a rating outside `scale`; FileNotFoundError where there is no table.
    """
    if len(scale) != 2 or not scale[0] < scale[1]:
        raise ValueError(f"scale is {scale}; expected the lowest and the highest rating, as (1, 5)")
    path = _find(locate(root, EXPECTED))
    cells = _renamed(_load(path), columns or {}, path)
    _check_columns(cells, path)
    findings = []
    if "speaker" not in cells:
        meaning = "every speaker counts as unknown; a split cannot keep voices apart"
        findings.append(Finding.of("no column 'speaker'", cells["utterance"], meaning))
        cells["speaker"] = np.nan
    cells, finding = corpus.blank(cells, MAY_BE_BLANK)
    findings.append(finding)
    if emotions and schema.EMOTION in cells:
        cells[schema.EMOTION] = corpus.translate(cells[schema.EMOTION], schema.EMOTION, emotions)
    table = schema.check_utterances(cells, str(path))
    _check_content(table, path, (float(scale[0]), float(scale[1])))
    folder = path.parent
    headers = read_headers(folder, list(table["file"]))
    differs = (table["seconds"] - headers["seconds"]).abs() > CLOSE
    nameless = table["speaker"].isna()
    findings += [
        Finding.of("duration that is not the audio's", table["utterance"][differs], "the table's was kept"),
        unusual(list(table["file"]), headers),
        Finding.of(
            "same file in several rows", table["utterance"][table["file"].duplicated()], "kept; heard more than once"
        ),
    ]
    if not nameless.all():
        findings.append(Finding.of("missing speaker", table["utterance"][nameless], "kept; belongs to no speaker"))
    table["seconds"] = table["seconds"].fillna(headers["seconds"])
    if transcripts is not None:
        table["transcript"] = table["transcript"].fillna(table["utterance"].map(read_transcripts(transcripts)))
    return assemble(name, folder, (float(scale[0]), float(scale[1])), table, findings)


def _find(given: Path) -> Path:
    if given.is_file():
        return given
    found = [given / name for name in NAMES if (given / name).is_file()]
    if not found:
        raise FileNotFoundError(
            f"no table in {given}; expected {EXPECTED}\n  it holds {contents(given)}\n"
            "  `sercore table` makes one from the names of audio files"
        )
    if len(found) > 1:
        raise ValueError(f"{given} holds both {' and '.join(NAMES)}; give the one to read")
    return found[0]


def _load(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    if path.suffix != ".csv":
        raise ValueError(f"{path}: expected {EXPECTED}, found a '{path.suffix}' file")
    try:
        cells = pd.read_csv(path, dtype="str", keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a CSV table in UTF-8: {error}") from None
    return cells.replace("", np.nan)


def _renamed(cells: pd.DataFrame, columns: Mapping[str, str | None], path: Path) -> pd.DataFrame:
    """`cells` with the columns' own names; raises ValueError where one is not there, or two get the same name."""
    for column in columns:
        if column not in cells:
            raise ValueError(f"{path}: no column '{column}' to rename{schema.did_you_mean(column, cells.columns)}")
    cells = cells.drop(columns=[column for column, name in columns.items() if name is None])
    cells = cells.rename(columns={column: name for column, name in columns.items() if name is not None})
    twice = cells.columns[cells.columns.duplicated()]
    if len(twice):
        raise ValueError(f"{path}: two columns are called '{twice[0]}'; rename one of them, or leave it out")
    return cells


def _check_columns(cells: pd.DataFrame, path: Path) -> None:
    """Raise ValueError that names every column that is unknown and every one that is needed and absent."""
    unknown = [column for column in cells.columns if column not in schema.UTTERANCE_COLUMNS]
    absent = [column for column in ("utterance", "file") if column not in cells.columns]
    told = [f"unknown column '{name}'{schema.did_you_mean(str(name), schema.UTTERANCE_COLUMNS)}" for name in unknown]
    if absent:
        told.append(f"no column {', '.join(absent)}; an utterance table needs utterance and file")
    if told:
        if unknown:
            told.append(
                f"the reader's option `columns` renames a column, as {{{unknown[0]}: transcript}}, "
                f"or leaves it out, as {{{unknown[0]}: null}}"
            )
        raise ValueError(f"{path}: " + "\n  ".join(told))


def _check_content(table: pd.DataFrame, path: Path, scale: tuple[float, float]) -> None:
    """Raise ValueError that names every kind of row that cannot be used: its audio is not there, or its ratings."""
    absolute = [file for file in table["file"] if Path(file).is_absolute()]
    absent = [f for f in table["file"] if not Path(f).is_absolute() and not (path.parent / f).is_file()]
    outside = out_of_scale(table, scale)
    told = []
    if absolute:
        told.append(f"{len(absolute)} absolute paths, {schema.first(absolute)}; write them relative to {path.parent}")
    if absent:
        told.append(
            f"{len(absent)} of {len(table)} audio files are not there, {schema.first(absent)}; "
            f"expected them below {path.parent}; correct the column 'file' or drop the rows"
        )
    if outside:
        told.append(
            f"{len(outside)} ratings outside {scale[0]:g} to {scale[1]:g}, {schema.first(outside)}; "
            "give the corpus's own scale, as scale=(1, 7) (in a parameters file `scale: [1, 7]`)"
        )
    if told:
        raise ValueError(f"{path}: " + "\n  ".join(told))
