"""A folder of audio that no reader knows -> the table that describes it, from the names of its files and folders.

`{speaker}_{emotion}_*.wav` says where the names tell what; the table goes beside the audio as utterances.csv.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sercore import schema
from sercore.corpora import labels
from sercore.corpora.corpus import contents, locate, walk

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
            table[column] = labels.translate(table[column], column, emotions if column == "emotion" else None)
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
