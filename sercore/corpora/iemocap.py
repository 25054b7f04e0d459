"""IEMOCAP as unpacked: Session1 to Session5, each with its label files, transcripts and one wav a turn.

The talker of a turn is the LAST F or M of its name; the first says who wore the markers in that recording. The label
files write valence, activation, dominance in this order. Both are easily got wrong, and published code does.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from sercore.corpora.corpus import Corpus, Finding, assemble, check_tolerance, contents, locate, out_of_scale
from sercore.corpora.headers import read_headers, unusual
from sercore.schema import did_you_mean, first

SCALE = (1.0, 5.0)
EMOTIONS: dict[str, str | None] = {
    "ang": "angry", "dis": "disgusted", "exc": "excited", "fea": "fearful", "fru": "frustrated", "hap": "happy",
    "neu": "neutral", "oth": "other", "sad": "sad", "sur": "surprised", "xxx": None,
}  # fmt: skip  # xxx: no majority among the raters
RATINGS = ("valence", "arousal", "dominance")  # the order in the label files
GENDERS = {"F": "female", "M": "male"}
STYLES = {"impro": "improvised", "script": "scripted"}
SESSIONS = ("Session1", "Session2", "Session3", "Session4", "Session5")
TAGS = ("strip", "keep")
EXPECTED = (
    "the folder that holds Session1 to Session5, each with dialog/EmoEvaluation, dialog/transcriptions, sentences/wav"
)

TURN = re.compile(r"(Ses0([1-5])[FM]_(impro|script)\d\d[ab]?(?:_\db?)?)_([FM])\d{3}")
SUMMARY = re.compile(r"\[[^\]]*\]\s+(\S+)\s+(\S+)\s+\[([^\]]*)\]\s*")
RATER = re.compile(r"A-[EFM]\d:")
NO_RATING = re.compile(r"\b(?:val|act|dom)\s*;")
TRANSCRIPT = re.compile(r"(Ses0[1-5][FM]_\w+)\s+\[[^\]]*\]:(.*)")
TAG = re.compile(r"\[\w+\]")


class Label(NamedTuple):
    """The raters' summary of one turn."""

    utterance: str
    emotion: str | None
    valence: float
    arousal: float
    dominance: float


@dataclass
class Notes:
    """What a reader meets on its way and has to report."""

    hidden: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    half_rated: list[str] = field(default_factory=list)
    never_labelled: list[str] = field(default_factory=list)
    loose_lines: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)


def read(root: str | Path, *, tags: str = "strip", tolerance: float = 0.01) -> Corpus:
    """IEMOCAP in `root`: the folder of the sessions, the one above it, or a link to it.

    `tags`: "strip" takes [LAUGHTER] and its like out of the transcripts, "keep" leaves them in. Up to a share of
    `tolerance` of the labelled turns may lack their wav: they are dropped and reported; more is an error. Ratings
    outside 1 to 5 are kept and reported. Sessions that are not there are reported.

    Raises FileNotFoundError where no session, label folder or wav folder is there, and ValueError, naming file and
    line, for a label that cannot be read, a turn that is there twice, and a wav that cannot be read.
    """
    if tags not in TAGS:
        raise ValueError(f"tags is '{tags}'{did_you_mean(str(tags), TAGS)}")
    check_tolerance(tolerance)
    root = find_root(locate(root, EXPECTED))
    notes = Notes()
    labels: list[Label] = []
    transcripts: dict[str, str] = {}
    wavs: dict[str, str] = {}
    sessions = _sessions(root, notes)
    for session in sessions:
        for path in _text_files(session, "EmoEvaluation", notes):
            labels += _read_labels(path, notes)
        for path in _text_files(session, "transcriptions", notes):
            _read_transcripts(path, transcripts, notes)
        _find_wavs(root, session, wavs, notes)
    table = pd.DataFrame(labels)
    twice = table["utterance"][table["utterance"].duplicated()].unique()
    if len(twice):
        raise ValueError(f"{root}: {len(twice)} turns are labelled twice, {first(twice)}; is a session unpacked twice?")
    table["file"] = table["utterance"].map(wavs)
    silent = table["utterance"][table["file"].isna()]
    if len(silent) > tolerance * len(table):
        raise ValueError(
            f"{root}: {len(silent)} of {len(table)} labelled turns have no wav, {first(silent)}; expected "
            "SessionN/sentences/wav/<dialog>/<turn>.wav; unpack the rest, or raise tolerance to drop these turns"
        )
    table = table[table["file"].notna()].reset_index(drop=True)
    headers = read_headers(root, list(table["file"]))
    table["seconds"] = headers["seconds"]
    parts = table["utterance"].str.extract(TURN)
    table["dialog"] = parts[0]
    table["speaker"] = "Ses0" + parts[1] + parts[3]
    table["gender"] = parts[3].map(GENDERS)
    table["style"] = parts[2].map(STYLES)
    spoken = table["utterance"].map(transcripts)
    table["transcript"] = spoken if tags == "keep" else spoken.map(strip_tags, na_action="ignore")
    findings = _findings(notes, table, silent, set(wavs).difference(turn.utterance for turn in labels), transcripts)
    findings.append(unusual(list(table["file"]), headers))
    absent = [name for name in SESSIONS if name not in {session.name.capitalize() for session in sessions}]
    findings.append(
        Finding.of("absent session", absent, "the rest was read: a partial release, its counts do not apply")
    )
    stripped = "taken out of the transcript" if tags == "strip" else "kept in the transcript"
    findings.append(Finding.of("transcript with bracketed tags", notes.tags, stripped))
    return assemble("iemocap", root, SCALE, table, findings)


def speaker(utterance: str) -> str:
    """The talker of the turn `utterance`: session and last letter, as Ses01F. Raises ValueError for another name."""
    match = TURN.fullmatch(utterance)
    if not match:
        raise ValueError(f"'{utterance}' is no turn of IEMOCAP; expected a name like Ses01F_impro01_M000")
    return f"Ses0{match[2]}{match[4]}"


def strip_tags(transcript: str) -> str:
    """`transcript` without [LAUGHTER] and its like; empty where it held nothing else."""
    return " ".join(TAG.sub(" ", transcript).split())


def find_root(given: Path) -> Path:
    """The folder of the sessions at `given` or below it, under the release's usual names.

    Raises FileNotFoundError that lists what was tried, and ValueError where two different folders would do.
    """
    if given.is_file():
        raise FileNotFoundError(f"{given} is a file; expected {EXPECTED}")
    tried, level = [given], [given]
    for _ in range(2):
        level = [entry for folder in level for entry in _subfolders(folder) if entry.name.lower().startswith("iemocap")]
        tried += level
    found = list(dict.fromkeys(folder.resolve() for folder in tried if _session_folders(folder)))
    if not found:
        hint = "; this is one of the sessions: give the folder above it" if (given / "dialog").is_dir() else ""
        raise FileNotFoundError(
            f"no IEMOCAP in {given}; expected {EXPECTED}\n"
            f"  tried {first(tried)}\n  {given.name} holds {contents(given)}{hint}"
        )
    if len(found) > 1 and found[0] != given.resolve():
        raise ValueError(f"{given} holds IEMOCAP more than once: {first(found)}; give the one to read")
    return found[0]


def _subfolders(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _session_folders(folder: Path) -> list[Path]:
    return [entry for entry in _subfolders(folder) if entry.name.capitalize() in SESSIONS]


def _sessions(root: Path, notes: Notes) -> list[Path]:
    """The session folders; a doubled one (Session1/Session1) is entered."""
    sessions = []
    for session in _session_folders(root):
        inner = session / session.name
        if not (session / "dialog").is_dir() and inner.is_dir():
            notes.doubled.append(f"{session.name}/{session.name}")
            session = inner
        sessions.append(session)
    return sessions


def _text_files(session: Path, kind: str, notes: Notes) -> list[Path]:
    """The text files directly in dialog/`kind`: its subfolders hold single raters' answers in other orders."""
    folder = session / "dialog" / kind
    if not folder.is_dir():
        if kind == "transcriptions":
            return []
        there = contents(folder.parent) if folder.parent.is_dir() else f"no dialog folder either: {contents(session)}"
        raise FileNotFoundError(
            f"no label folder {folder}; {folder.parent} holds {there}\nunpack it, or remove {session.name}"
        )
    entries = sorted(entry for entry in folder.iterdir() if entry.suffix == ".txt" and entry.is_file())
    notes.hidden += [entry.name for entry in entries if entry.name.startswith(".")]
    visible = [entry for entry in entries if not entry.name.startswith(".")]
    if not visible and kind == "EmoEvaluation":
        raise FileNotFoundError(f"no label file in {folder}; expected one .txt a dialog, such as Ses01F_impro01.txt")
    return visible


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of each line; a byte that is not UTF-8 becomes a replacement mark."""
    return enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)


def _read_labels(path: Path, notes: Notes) -> list[Label]:
    """The summary line of every turn in one label file."""
    labels = []
    for number, line in _lines(path):
        if line.startswith("["):
            labels.append(_read_summary(line, f"{path}, line {number}"))
        elif RATER.match(line) and NO_RATING.search(line.split("(")[0]) and labels:
            notes.half_rated.append(labels[-1].utterance)
    if not labels:
        raise ValueError(
            f"{path}: no turn in it; expected lines like '[6.29 - 8.24] Ses01F_impro01_F000 neu [2.5, 2.5, 2.5]'"
        )
    return labels


def _read_summary(line: str, where: str) -> Label:
    match = SUMMARY.fullmatch(line)
    if not match:
        raise ValueError(
            f"{where}: expected '[start - end] turn emotion [valence, activation, dominance]', found '{line[:80]}'"
        )
    utterance, code, listed = match.groups()
    if not TURN.fullmatch(utterance):
        raise ValueError(f"{where}: '{utterance}' is no turn of IEMOCAP; expected a name like Ses01F_impro01_M000")
    if code.lower() not in EMOTIONS:
        raise ValueError(f"{where}: unknown emotion '{code}'{did_you_mean(code, EMOTIONS)}")
    try:
        ratings = [float(rating or "nan") for rating in listed.replace(" ", "").split(",")]
    except ValueError:
        raise ValueError(
            f"{where}: the ratings [{listed}] are not numbers; leave one empty where it is not known"
        ) from None
    if len(ratings) != len(RATINGS):
        raise ValueError(f"{where}: expected three ratings (valence, activation, dominance), found [{listed}]")
    return Label(utterance, EMOTIONS[code.lower()], **dict(zip(RATINGS, ratings, strict=True)))


def _read_transcripts(path: Path, transcripts: dict[str, str], notes: Notes) -> None:
    """Add what was said in each turn of one dialog; turns that were cut but not labelled (XX) are left out."""
    for number, line in _lines(path):
        match = TRANSCRIPT.fullmatch(line.strip())
        if not match:
            if line.strip():
                notes.loose_lines.append(f"{path.name}, line {number}")
            continue
        utterance, text = match[1], match[2].strip()
        if utterance[-3:-1] == "XX":
            notes.never_labelled.append(utterance)
            continue
        if transcripts.setdefault(utterance, text) != text:
            raise ValueError(f"{path}, line {number}: a second, other transcript of {utterance}; expected one a turn")
        if TAG.search(text):
            notes.tags.append(utterance)


def _find_wavs(root: Path, session: Path, wavs: dict[str, str], notes: Notes) -> None:
    """Add turn -> wav, relative to `root`, of every wav below the session's sentences/wav."""
    top = session / "sentences" / "wav"
    if not top.is_dir():
        raise FileNotFoundError(f"no audio folder {top}; expected one folder a dialog there, holding one wav a turn")
    for folder, subfolders, names in os.walk(top):
        subfolders.sort()
        below = Path(folder).relative_to(root).as_posix()
        for name in sorted(names):
            stem, suffix = os.path.splitext(name)  # noqa: PTH122 -- 10,039 times
            if suffix.lower() != ".wav":
                continue
            if name.startswith("."):
                notes.hidden.append(name)
                continue
            if stem in wavs:
                raise ValueError(f"{root}: two wavs of {stem}: {wavs[stem]} and {below}/{name}; keep one")
            wavs[stem] = f"{below}/{name}"


def _findings(
    notes: Notes, table: pd.DataFrame, silent: pd.Series, unlabelled: set[str], transcripts: dict[str, str]
) -> list[Finding]:
    told = table["transcript"]
    labelled = set(table["utterance"]).union(silent)
    missing = [
        f"{row.utterance} ({dimension})" for dimension in RATINGS for row in table[table[dimension].isna()].itertuples()
    ]
    return [
        Finding.of("hidden file", sorted(notes.hidden), "ignored: another system's metadata, no label and no sound"),
        Finding.of("doubled session folder", notes.doubled, "the inner folder was read"),
        Finding.of("labelled turn without wav", silent, "dropped"),
        Finding.of("wav without label", sorted(unlabelled), "not read"),
        Finding.of("rating outside the scale", out_of_scale(table, SCALE), "kept as written; the scale is 1 to 5"),
        Finding.of("missing rating", missing, "kept without it"),
        Finding.of(
            "rater without one of the three ratings", notes.half_rated, "the release's mean is kept; it may be low"
        ),
        Finding.of("turn without transcript", table["utterance"][told.isna()], "kept, transcript missing"),
        Finding.of("empty transcript", table["utterance"][told == ""], "kept: nothing but tags, or nothing, was said"),
        Finding.of("transcript without label", sorted(set(transcripts) - labelled), "ignored"),
        Finding.of("transcribed turn that was never labelled (XX)", notes.never_labelled, "ignored"),
        Finding.of("line in a transcript that names no turn", notes.loose_lines, "ignored"),
    ]
