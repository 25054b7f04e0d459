"""MSP-Podcast, releases 1.6 to 2.0: where the parts of a release are, its label files, and the corpus made of them.

The releases spell the same names differently (Label, Labels; concensus, consensus; Audio, Audios; Audios/Audios), so
every part is searched for by name, in any case and at any depth, and nothing depends on the release's number.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sercore.corpora import votes
from sercore.corpora.cells import BLANKS, clean, is_blank, read_csv
from sercore.corpora.corpus import (
    Corpus,
    Finding,
    assemble,
    check_tolerance,
    contents,
    locate,
    missing_ratings,
    out_of_scale,
    walk,
)
from sercore.corpora.headers import in_threads, read_headers, unusual
from sercore.corpora.transcripts import read_for
from sercore.schema import UTTERANCE_COLUMNS, did_you_mean, first

EXPECTED = "a release as unpacked: Labels/labels_consensus.csv (or labels.txt), Audios/MSP-PODCAST_*.wav"
COLUMNS = ("FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set")
NEEDED = COLUMNS[:5]
PARTS = {"audio", "audios", "label", "labels", "labels.txt", "partition.txt", "partitions.txt", "speaker_ids.txt"}
KINDS = {
    "csv": re.compile(r"labels_con[cs]ensus\.csv"),
    "json": re.compile(r"labels_con[cs]ensus\.json"),
    "txt": re.compile(r"labels\.txt"),
    "partitions": re.compile(r"partitions?\.txt"),
    "speakers": re.compile(r"speaker_ids\.txt"),
    "votes_csv": re.compile(r"labels_detailed\.csv"),
    "votes_json": re.compile(r"labels_detailed\.json"),
}
OLD_RELEASE = re.compile(r"(?:publish|podcast|release|v)[-_ ]?v?1\.[0-5](?!\d)")
DEPTH = 5  # levels below the release's folder in which anything lies
PREVIOUS = ("previous_release", "files_removed")  # beginnings of folders that hold other releases' labels and audio
BLOCK = re.compile(r"(MSP-PODCAST_\S+?)\s*;\s*([^;]*?)\s*;(.*)", re.IGNORECASE)
VOTE = re.compile(r"(\w+)\s*;\s*(.*?)\s*;\s*[^;]*;\s*A:([^;]*);\s*V:([^;]*);\s*D:([^;]*);?", re.DOTALL)
"""A rater's `WORKER00000001; Other-confused; Concerned,Confused; A:3.0; V:3.0; D:4.0;`; own words may hold anything."""
WORKER = ("workerid", "workers", "worker")  # names of the column of raters, in lower case
BLOCK_RATING = re.compile(r"([AVD]):\s*([^;]*)")
BLOCK_COLUMNS = {"A": "EmoAct", "V": "EmoVal", "D": "EmoDom"}


@dataclass
class Release:
    """Paths of the parts of a release; the keys of `wavs` and `transcripts` are file stems in lower case."""

    root: Path
    labels: dict[str, list[Path]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    wavs: dict[str, str] = field(default_factory=dict)  # -> path relative to root
    transcripts: dict[str, Path] = field(default_factory=dict)
    previous: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)

    def findings(self) -> list[Finding]:
        """The files that are not read."""
        return [
            Finding.of(
                "folder of previous releases", self.previous, "ignored: labels and partitions change between releases"
            ),
            Finding.of("hidden file", self.hidden, "ignored: another system's metadata, no label and no sound"),
            Finding.of("wav outside the audio folder", self.elsewhere, "ignored"),
            Finding.of("label file that is there twice", self.repeated, "the same content: one was read"),
        ]

    def one(self, kind: str) -> Path | None:
        """The label file of `kind`; None where there is none. Raises ValueError where two differ."""
        found = self.labels[kind]
        if len({path.read_bytes() for path in found}) > 1:
            listed = first(path.relative_to(self.root) for path in found)
            raise ValueError(
                f"{self.root}: {len(found)} label files that differ, {listed}; give the folder of one release"
            )
        self.repeated += [str(path.relative_to(self.root)) for path in found[1:]]
        return found[0] if found else None


def find_root(given: Path) -> Path:
    """The release's folder: `given`, or the one below it that is called MSP... and looks like a release.

    Raises ValueError for several releases and for the releases 1.0 to 1.5, FileNotFoundError for a file.
    """
    if given.is_file():
        raise FileNotFoundError(f"{given} is a file; expected {EXPECTED}")
    root = given
    if not _looks_like_release(given):
        level = _msp_folders([given])
        level += _msp_folders(level)
        found = list(dict.fromkeys(folder.resolve() for folder in level if _looks_like_release(folder)))
        if len(found) > 1:
            raise ValueError(f"{given} holds {len(found)} releases, {first(found)}; they must not be mixed: give one")
        root = found[0] if found else given
    if OLD_RELEASE.search(root.name.lower()):
        raise ValueError(
            f"{root}: releases 1.0 to 1.5 have other label files and cannot be read; use release 1.6 or later"
        )
    return root


def _msp_folders(folders: list[Path]) -> list[Path]:
    entries = [entry for folder in folders for entry in sorted(folder.iterdir())]
    return [entry for entry in entries if entry.name.lower().startswith("msp") and entry.is_dir()]


def _looks_like_release(folder: Path) -> bool:
    names = {entry.name.lower() for entry in folder.iterdir()}
    return bool(names & PARTS) or any(KINDS["csv"].fullmatch(name) for name in names)


def survey(root: Path) -> Release:
    """Find everything in `root`. Raises FileNotFoundError where no wav or no labels are there, ValueError for two wavs
    of one name."""
    release = Release(root)
    audio: list[tuple[str, str, bool]] = []  # stem, path, whether it lies in a folder called audio
    for folder, subfolders, names in walk(root, DEPTH):
        below = "" if folder == "." else folder + "/"
        parts = below.lower().split("/")
        release.previous += [below + name for name in subfolders if name.lower().startswith(PREVIOUS)]
        subfolders[:] = [name for name in subfolders if not name.lower().startswith(PREVIOUS)]
        in_audio, in_transcripts = "audio" in parts or "audios" in parts, "transcripts" in parts
        for name in names:
            lower = name.lower()
            if lower.startswith("."):
                release.hidden.append(name)
            elif lower.startswith("msp-podcast_"):
                if lower.endswith(".wav"):
                    audio.append((lower[:-4], below + name, in_audio))
                elif in_transcripts and lower.endswith(".txt"):
                    release.transcripts[lower[:-4]] = root / (below + name)
            else:
                for kind, pattern in KINDS.items():
                    if pattern.fullmatch(lower):
                        release.labels[kind].append(root / (below + name))
    if not any(release.labels[kind] for kind in ("csv", "json", "txt")):
        raise FileNotFoundError(f"no labels of MSP-Podcast in {root}; expected {EXPECTED}\n  it holds {contents(root)}")
    if not audio:
        raise FileNotFoundError(f"no MSP-PODCAST_*.wav in {root}; expected {EXPECTED}\n  it holds {contents(root)}")
    proper = any(inside for _, _, inside in audio)
    for stem, path, inside in audio:
        if proper and not inside:
            release.elsewhere.append(path)
        elif stem not in release.wavs:
            release.wavs[stem] = path
        elif not (root / path).samefile(root / release.wavs[stem]):
            raise ValueError(f"{root}: two wavs of one name, {release.wavs[stem]} and {path}; keep one")
    return release


def read_labels(release: Release) -> tuple[pd.DataFrame, Path]:
    """Text cells in COLUMNS, one row a labelled turn, and `where` of its line; and the file that they come from.

    The consensus CSV, or the JSON, or labels.txt; whatever the file lacks comes from Partitions.txt and
    Speaker_ids.txt. Raises ValueError, naming the file, where it cannot be read or lacks a column.
    """
    source = next(path for kind in ("csv", "json", "txt") if (path := release.one(kind)) is not None)
    reader = {".csv": _read_csv, ".json": _read_json, ".txt": _read_txt}[source.suffix.lower()]
    cells = reader(source)
    absent = [column for column in NEEDED if column not in cells]
    if absent:
        raise ValueError(f"{source}: no column {', '.join(absent)}; found {', '.join(map(str, cells.columns))}")
    stems = cells["FileName"].str.strip().str.replace(r"\.wav$", "", case=False, regex=True)
    cells.insert(0, "utterance", stems)
    if "Split_Set" not in cells:
        path = release.one("partitions")
        cells["Split_Set"] = _look_up(stems.str.lower(), _read_partitions(path) if path else {})
    if "SpkrID" not in cells or "Gender" not in cells:
        path = release.one("speakers")
        speakers, genders = _read_speakers(path) if path else ({}, {})
        if "SpkrID" not in cells:
            cells["SpkrID"] = _look_up(stems.str.lower(), speakers)
        if "Gender" not in cells:
            cells["Gender"] = _look_up(cells["SpkrID"], genders)
    return cells[["utterance", *COLUMNS, "where"]], source


def _look_up(keys: pd.Series, values: dict[str, str]) -> pd.Series:
    return pd.Series([values.get(key, "") for key in keys], index=keys.index, dtype="object")


def _read_csv(path: Path) -> pd.DataFrame:
    cells = read_csv(path)
    spelling = {column.lower(): column for column in COLUMNS}
    cells.columns = [spelling.get(column.strip().lower(), column) for column in cells.columns]
    cells["where"] = [f"line {number}" for number in range(2, len(cells) + 2)]
    return cells


def _read_json(path: Path) -> pd.DataFrame:
    return _cells([{"FileName": name, **entry, "where": f"entry {name}"} for name, entry in _load(path).items()])


def _load(path: Path) -> dict[str, dict[str, Any]]:
    """The entries of a JSON file by turn."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):
        raise ValueError(f'{path}: expected {{"MSP-PODCAST_0001_0008.wav": {{"EmoClass": ...}}, ...}}')
    return content


def _cells(rows: list[dict[str, object]]) -> pd.DataFrame:
    """Text in every cell, empty where a row has no value."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    texts = [["" if row.get(column) is None else str(row[column]) for column in columns] for row in rows]
    return pd.DataFrame(texts, columns=columns, dtype="object")


def _read_txt(path: Path) -> pd.DataFrame:
    """The first line of each block of labels.txt; the raters' lines below it are passed over."""
    rows: list[dict[str, object]] = []
    for number, line in enumerate(_lines(path), 1):
        match = BLOCK.fullmatch(line.strip())
        if match:
            ratings = {BLOCK_COLUMNS[letter]: rating for letter, rating in BLOCK_RATING.findall(match[3])}
            rows.append({"FileName": match[1], "EmoClass": match[2], **ratings, "where": f"line {number}"})
    if not rows:
        raise ValueError(
            f"{path}: no turn in it; expected blocks that begin 'MSP-PODCAST_0001_0139.wav; N; A:2.4; V:4.0; D:2.8;'"
        )
    return _cells(rows)


def read_votes(release: Release) -> pd.DataFrame:
    """The votes table of `release`: labels_detailed as CSV or JSON, else the raters' lines of labels.txt.

    The emotion is the rater's primary one; those named second are another question, and are not read. A word of the
    rater's own counts as other. Raises ValueError, naming file and line, for a rater's line that cannot be read and a
    rating that is no number.
    """
    kinds = {"votes_csv": _votes_of_csv, "votes_json": _votes_of_json, "txt": _votes_of_txt}
    found = next(((path, read) for kind, read in kinds.items() if (path := release.one(kind)) is not None), None)
    if found is None:
        return pd.DataFrame(columns=["utterance", "rater"])
    source, read = found
    table = pd.DataFrame(read(source), columns=["utterance", "where", "rater", "word", *RATINGS], dtype="object")
    table["utterance"] = table["utterance"].str.strip().str.replace(r"\.wav$", "", case=False, regex=True)
    words = {word: votes.named(word) for word in table["word"].unique()}
    table["emotion"] = table["word"].map(words)
    for dimension in RATINGS:
        table[dimension] = _ratings(table, dimension, source)
    return table[["utterance", "rater", "emotion", *RATINGS]]


Vote = tuple[str, ...]  # utterance, where, rater, word, arousal, valence, dominance


def _votes_of_csv(path: Path) -> Iterator[Vote]:
    """The rows of labels_detailed.csv: of one cell a rater (1.7 to 1.12), or of a column each answer (1.6, 2.0)."""
    table = read_csv(path)
    table.columns = table.columns.str.lower()
    places = [f"line {number}" for number in range(2, len(table) + 2)]
    if {"filename", "emodetail"} <= set(table.columns):
        for where, name, line in zip(places, table["filename"], table["emodetail"], strict=True):
            yield _vote(name, line, path, where)
        return
    worker = next((name for name in WORKER if name in table), WORKER[0])
    wanted = [name.lower() for name in ("FileName", worker, "EmoClass_Major", *RATINGS.values())]
    if absent := [name for name in wanted if name not in table]:
        raise ValueError(
            f"{path}: no column {', '.join(absent)}; expected FileName, EmoDetail, or FileName, WorkerID, "
            f"EmoClass_Major, EmoAct, EmoVal, EmoDom; found {', '.join(table.columns)}"
        )
    for where, (name, *answers) in zip(places, table[wanted].to_numpy(), strict=True):
        yield (name, where, *answers)


def _votes_of_json(path: Path) -> Iterator[Vote]:
    keys = ("EmoClass_Major", *RATINGS.values())
    for name, raters in _load(path).items():
        for rater, answers in raters.items():
            if not isinstance(answers, dict):
                raise ValueError(f"{path}, entry {name}: expected answers of {rater} by name, found {answers!r}")
            yield (
                name,
                f"entry {name}",
                rater,
                *("" if answers.get(key) is None else str(answers[key]) for key in keys),
            )


def _votes_of_txt(path: Path) -> Iterator[Vote]:
    name = ""
    for place, line in enumerate(_lines(path), 1):
        if block := BLOCK.fullmatch(line.strip()):
            name = block[1]
        elif name and line.strip():
            yield _vote(name, line, path, f"line {place}")


def _vote(name: str, line: str, path: Path, where: str) -> Vote:
    match = VOTE.fullmatch(line.strip())
    if not match:
        raise ValueError(
            f"{path}, {where}: expected a rater's answers like 'WORKER00000001; Neutral; Sad; A:3.0; V:3.0; D:4.0;', "
            f"found '{line.strip()[:80]}'"
        )
    return (name, where, *match.groups())


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8-sig", errors="replace").splitlines()


def _fields(path: Path) -> list[tuple[str, str]]:
    """The two fields of every line that has a semicolon."""
    pairs = [line.split(";", 1) for line in _lines(path) if ";" in line]
    return [(left.strip(), right.strip(" ;")) for left, right in pairs]


def _stem(name: str) -> str:
    return name.lower().removesuffix(".wav")


def _read_partitions(path: Path) -> dict[str, str]:
    """Stem -> partition of every line `Train; MSP-PODCAST_0023_0048.wav`; other lines are prose."""
    return {_stem(name): part for part, name in _fields(path) if name.lower().startswith("msp-podcast_")}


def _read_speakers(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Stem -> speaker, and speaker -> gender, from the two kinds of lines in Speaker_ids.txt."""
    fields = _fields(path)
    speakers = {_stem(left): right for left, right in fields if left.lower().startswith("msp-podcast_")}
    genders = {left[len("speaker_") :]: right for left, right in fields if left.lower().startswith("speaker_")}
    return speakers, genders


def refuse(source: Path, cells: pd.DataFrame, wrong: pd.Series, column: str, known: list[str]) -> None:
    """Raise ValueError naming the first cell of `column` where `wrong` is true, and what it should have been."""
    if wrong.any():
        row = cells[wrong].iloc[0]
        hint = did_you_mean(row[column], known) if known else "; expected a number, or nothing where it is not known"
        raise ValueError(
            f"{source}, {row['where']}: {column} of {row['utterance']} is '{row[column]}'{hint}"
            f" ({wrong.sum()} such rows)"
        )


SCALE = (1.0, 7.0)
EMOTIONS: dict[str, str | None] = {
    "A": "angry",
    "S": "sad",
    "H": "happy",
    "U": "surprised",
    "F": "fearful",
    "D": "disgusted",
    "C": "contemptuous",
    "N": "neutral",
    "O": "other",
    "X": None,
    "": None,
}  # X: no plurality among the raters
PARTITIONS: dict[str, str | None] = {
    "train": "train",
    "validation": "development",
    "development": "development",
    "test": "test",
    "test1": "test",
    "test2": None,
    "test3": None,
    "": None,
}
UNUSED = {"test2": "of Test2", "test3": "of Test3", "": "without partition"}
GENDERS: dict[str, str | None] = {"female": "female", "male": "male", "unknown": None, "": None}
RATINGS = {"arousal": "EmoAct", "valence": "EmoVal", "dominance": "EmoDom"}
NAME = re.compile(r"MSP-PODCAST_(\d{4}|test3)_\d{4}(?:_\d{4})?$", re.IGNORECASE)  # podcast, turn, sometimes a part
TEST3 = "msp-podcast_test3"  # audio of a challenge, whose labels were never published


def read(root: str | Path, *, transcripts: str | Path | None = None, tolerance: float = 0.01) -> Corpus:
    """MSP-Podcast in `root`: the release's folder, or the one above it where it holds one release only.

    Transcripts are the release's own, one text file a turn; turns without one take it from `transcripts`, a CSV with
    the columns utterance and transcript (others are ignored), such as speech recognition writes. Test1 is the test
    partition; Test2 and Test3 belong to none. Rows without a wav are dropped, wavs without a row are not read, and both
    are reported; more of either than a share of `tolerance` of the rows is an error (Test3's wavs, which have no labels
    in any release, do not count). Unknown speakers and empty ratings are missing.

    Raises FileNotFoundError where labels or audio are not found, and ValueError, naming file and line, for releases
    before 1.6, two releases in one folder, an unknown class, partition or gender, a rating that is not a number, a turn
    that is there twice, and a wav that cannot be read.
    """
    check_tolerance(tolerance)
    root = find_root(locate(root, EXPECTED))
    release = survey(root)
    cells, source = read_labels(release)
    twice = cells["utterance"][cells["utterance"].duplicated()].unique()
    if len(twice):
        raise ValueError(f"{source}: {len(twice)} turns are labelled twice, {first(twice)}; expected one row a turn")
    table = _interpret(cells, source)
    keys = table["utterance"].str.lower()
    table["file"] = keys.map(release.wavs)
    findings = _compare(release, source, table, keys, tolerance)
    split = cells["Split_Set"].str.strip().str.lower().where(table["file"].notna())
    findings += [
        Finding.of(f"turn {which}", table["utterance"][split == name], "kept, in no partition")
        for name, which in UNUSED.items()
    ]
    table = table[table["file"].notna()].reset_index(drop=True)
    headers = read_headers(root, list(table["file"]))
    table["seconds"] = headers["seconds"]
    findings.append(unusual(list(table["file"]), headers))
    findings += _add_transcripts(table, release, transcripts)
    findings += [*_doubts(table, cells), *release.findings()]
    return assemble("msp-podcast", root, SCALE, table, findings, partial(read_votes, release))


def _interpret(cells: pd.DataFrame, source: Path) -> pd.DataFrame:
    """The utterance table of the label file's text cells, without audio and transcripts."""
    table = pd.DataFrame(index=cells.index, columns=list(UTTERANCE_COLUMNS), dtype="object")
    table["utterance"] = cells["utterance"]
    podcasts = cells["utterance"].str.extract(NAME, expand=False)
    strange = cells["FileName"][podcasts.isna()]
    if len(strange) > 0.5 * len(cells):
        raise ValueError(
            f"{source}: {len(strange)} of {len(cells)} names such as '{strange.iloc[0]}' are not those of "
            "releases 1.6 to 2.0 (MSP-PODCAST_0001_0008.wav); earlier releases cannot be read"
        )
    table["dialog"] = ("MSP-PODCAST_" + podcasts).where(podcasts.str.isdigit().eq(True))
    table["style"] = "podcast"
    table["emotion"] = _named(cells, "EmoClass", {code.lower(): name for code, name in EMOTIONS.items()}, source)
    table["gender"] = _named(cells, "Gender", GENDERS, source)
    table["partition"] = _named(cells, "Split_Set", PARTITIONS, source)
    table["speaker"] = cells["SpkrID"].map(clean)
    table["speaker"] = table["speaker"].mask(table["speaker"].map(is_blank))
    for dimension, column in RATINGS.items():
        table[dimension] = _ratings(cells, column, source)
    return table


def _ratings(cells: pd.DataFrame, column: str, source: Path) -> pd.Series:
    """The numbers in `column`, missing where nothing is written. Raises ValueError, naming the line, for other text."""
    text = cells[column].str.strip().str.lower()
    empty = text.isin(BLANKS)
    numbers = pd.to_numeric(text.where(~empty), errors="coerce").astype("float64")
    refuse(source, cells, ~empty & ~np.isfinite(numbers), column, [])
    return numbers


def _named(cells: pd.DataFrame, column: str, names: dict[str, str | None], source: Path) -> pd.Series:
    """The study's name of each cell. Raises ValueError, naming the line, for a cell that is none of `names`."""
    keys = cells[column].str.strip().str.lower()
    keys = keys.mask(keys.isin(BLANKS) & ~keys.isin(list(names)), "")
    refuse(source, cells, ~keys.isin(list(names)), column, [name for name in names if name])
    return keys.map(names)


def _compare(release: Release, source: Path, table: pd.DataFrame, keys: pd.Series, tolerance: float) -> list[Finding]:
    """Rows without wav and wavs without row. Raises ValueError where either is more than `tolerance` of the rows."""
    silent = table["utterance"][table["file"].isna()]
    nameless = sorted(set(release.wavs).difference(keys))
    test3 = [release.wavs[stem] for stem in nameless if stem.startswith(TEST3)]
    unknown = [release.wavs[stem] for stem in nameless if not stem.startswith(TEST3)]
    for offenders, what, hint in (
        (silent, "rows have no wav", "unpack the rest of the audio"),
        (unknown, "wavs have no row", "do labels and audio belong to the same release? If they do"),
    ):
        if len(offenders) > tolerance * len(table) or (what == "rows have no wav" and len(offenders) == len(table)):
            raise ValueError(
                f"{release.root}: {len(offenders)} {what} ({len(table)} rows in {source.name}, "
                f"{len(release.wavs)} wavs), {first(offenders)};\n"
                f"at most {tolerance:.0%} may; {hint}, or raise tolerance to go on without them"
            )
    return [
        Finding.of("row without wav", silent, "dropped"),
        Finding.of("wav without row", unknown, "not read"),
        Finding.of("wav of Test3 without row", test3, "not read: its labels were never published"),
    ]


def _add_transcripts(table: pd.DataFrame, release: Release, path: str | Path | None) -> list[Finding]:
    """Fill the column transcript of `table`, from the release and then from the file `path`."""
    paths = [release.transcripts.get(key) for key in table["utterance"].str.lower()]
    own = pd.Series(in_threads(_read_transcript, paths), index=table.index, dtype="object")
    written = read_for(path, table["utterance"]) if path is not None else {}
    table["transcript"] = own.where(own.notna(), table["utterance"].map(written))
    texts = table["transcript"]
    filled = table["utterance"][own.isna() & texts.notna()]
    unknown = sorted(set(written).difference(table["utterance"]))
    source = "" if path is None else Path(path).name
    return [
        Finding.of("transcript by speech recognition", filled, f"taken from {source}: not typed by a human"),
        Finding.of("transcript of a turn that is not read", unknown, "ignored"),
        Finding.of("turn without transcript", table["utterance"][texts.isna()], "kept, transcript missing"),
        Finding.of(
            "empty transcript", table["utterance"][texts == ""], "kept: nothing was said, or nothing recognised"
        ),
    ]


def _read_transcript(path: Path | None) -> str | None:
    return None if path is None else clean(path.read_text(encoding="utf-8-sig", errors="replace"))


def _doubts(table: pd.DataFrame, cells: pd.DataFrame) -> list[Finding]:
    """Oddities in the labels of the turns that were read."""
    classless = set(cells["utterance"][cells["EmoClass"].str.strip() == ""])
    strange = table["dialog"].isna() & ~table["utterance"].str.lower().str.startswith(TEST3)
    genders = table.dropna(subset=["speaker", "gender"]).groupby("speaker")["gender"].nunique()
    return [
        Finding.of("unknown speaker", table["utterance"][table["speaker"].isna()], "kept; belongs to no speaker"),
        Finding.of("speaker of two genders", genders.index[genders > 1], "kept as written"),
        Finding.of("missing rating", missing_ratings(table), "kept without it"),
        Finding.of("missing emotion", table["utterance"][table["utterance"].isin(classless)], "kept without it"),
        Finding.of("rating outside the scale", out_of_scale(table, SCALE), "kept as written; the scale is 1 to 7"),
        Finding.of("unusual name", table["utterance"][strange], "kept, podcast unknown"),
    ]
