"""Where the parts of an MSP-Podcast release lie, and its label files -> one table of text cells.

The releases spell the same things differently (Label, Labels; concensus, consensus; Audio, Audios; Audios/Audios), so
every part is looked for by name, in any case and at any depth, and nothing depends on the release's number.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from sercore.corpora.corpus import Finding, contents, walk
from sercore.schema import did_you_mean, first

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
}
OLD_RELEASE = re.compile(r"(?:publish|podcast|release|v)[-_ ]?v?1\.[0-5](?!\d)")
DEPTH = 5  # levels below the release's folder in which anything lies
PREVIOUS = ("previous_release", "files_removed")  # beginnings of folders that hold other releases' labels and audio
BLOCK = re.compile(r"(MSP-PODCAST_\S+?)\s*;\s*([^;]*?)\s*;(.*)", re.IGNORECASE)
BLOCK_RATING = re.compile(r"([AVD]):\s*([^;]*)")
BLOCK_COLUMNS = {"A": "EmoAct", "V": "EmoVal", "D": "EmoDom"}


@dataclass
class Release:
    """What lies where in a release; the keys of `wavs` and `transcripts` are file stems in lower case."""

    root: Path
    labels: dict[str, list[Path]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    wavs: dict[str, str] = field(default_factory=dict)  # -> path relative to root
    transcripts: dict[str, Path] = field(default_factory=dict)
    previous: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)

    def findings(self) -> list[Finding]:
        """What was met and not read."""
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
    of one name."""  # fmt: skip
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
    source = release.one("csv") or release.one("json") or release.one("txt")
    assert source is not None  # survey has seen to it
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
    try:
        cells = pd.read_csv(path, dtype="str", keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a CSV table in UTF-8: {error}") from None
    spelling = {column.lower(): column for column in COLUMNS}
    cells.columns = [spelling.get(column.strip().lower(), column) for column in cells.columns]
    cells["where"] = [f"line {number}" for number in range(2, len(cells) + 2)]
    return cells


def _read_json(path: Path) -> pd.DataFrame:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):
        raise ValueError(f'{path}: expected {{"MSP-PODCAST_0001_0008.wav": {{"EmoClass": ...}}, ...}}')
    return _cells([{"FileName": name, **entry, "where": f"entry {name}"} for name, entry in content.items()])


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
