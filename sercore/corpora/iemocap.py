"""IEMOCAP as unpacked, Session1 to Session5: where the parts of a release are, and the corpus made of them.

The talker of a turn is the LAST F or M of its name; the first says who wore the markers in that recording. The label
files write valence, activation, dominance in this order. Both are easily got wrong, and published code does.
"""

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from sercore.corpora import cells, votes
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
from sercore.corpora.headers import read_headers, unusual
from sercore.schema import did_you_mean, first

EMOTIONS: dict[str, str | None] = {
    "ang": "angry",
    "dis": "disgusted",
    "exc": "excited",
    "fea": "fearful",
    "fru": "frustrated",
    "hap": "happy",
    "neu": "neutral",
    "oth": "other",
    "sad": "sad",
    "sur": "surprised",
    "xxx": None,
}  # xxx: no majority among the raters
RATINGS = ("valence", "arousal", "dominance")  # the order in the label files
SESSIONS = ("Session1", "Session2", "Session3", "Session4", "Session5")
EXPECTED = (
    "the folder that holds Session1 to Session5, each with dialog/EmoEvaluation, dialog/transcriptions, sentences/wav"
)
TURN = re.compile(r"(Ses0([1-5])[FM]_(impro|script)\d\d[ab]?(?:_\db?)?)_([FM])\d{3}")
SUMMARY = re.compile(r"\[[^\]]*\]\s+(\S+)\s+(\S+)\s+\[([^\]]*)\]\s*")
RATER = re.compile(r"A-[EFM]\d:")
VOTE = re.compile(r"([CA])-([EFM]\d):(.*)")  # emotions or ratings by an evaluator (E), or by the actors of themselves
RATED = re.compile(r"\b(val|act|dom)\s*(\d+(?:\.\d+)?)\s*;")
OF_RATED = {"val": "valence", "act": "arousal", "dom": "dominance"}
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
class Release:
    """Content of a release's files, and the oddities to be reported."""

    root: Path
    labels: list[Label] = field(default_factory=list)
    transcripts: dict[str, str] = field(default_factory=dict)
    wavs: dict[str, str] = field(default_factory=dict)  # turn -> path relative to root
    sessions: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    half_rated: list[str] = field(default_factory=list)
    never_labelled: list[str] = field(default_factory=list)
    loose_lines: list[str] = field(default_factory=list)
    tagged: list[str] = field(default_factory=list)


def collect(root: Path) -> Release:
    """Read every label file and transcript in `root` and find its wavs; audio is not opened.

    Raises FileNotFoundError for an absent label or audio folder, ValueError, naming file and line, for a label that
    cannot be read, two transcripts of a turn that differ, and two wavs of one name.
    """
    release = Release(root)
    for session in _session_folders(root):
        release.sessions.append(session.name.capitalize())
        inner = _unpacked(session)
        if inner != session:
            release.doubled.append(f"{session.name}/{session.name}")
            session = inner
        for path in _text_files(session, "EmoEvaluation", release):
            _read_labels(path, release)
        for path in _text_files(session, "transcriptions", release):
            _read_transcripts(path, release)
        _find_wavs(session, release)
    return release


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


def _unpacked(session: Path) -> Path:
    """The folder of a session's parts: itself, or the one of its name within it."""
    inner = session / session.name
    return inner if not (session / "dialog").is_dir() and inner.is_dir() else session


def _text_files(session: Path, kind: str, release: Release) -> list[Path]:
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
    release.hidden += [entry.name for entry in entries if entry.name.startswith(".")]
    visible = [entry for entry in entries if not entry.name.startswith(".")]
    if not visible and kind == "EmoEvaluation":
        raise FileNotFoundError(f"no label file in {folder}; expected one .txt a dialog, such as Ses01F_impro01.txt")
    return visible


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of each line; a byte that is not UTF-8 becomes a replacement mark."""
    return enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1)


def _read_labels(path: Path, release: Release) -> None:
    """Add the summary line of every turn in one label file."""
    labels: list[Label] = []
    for number, line in _lines(path):
        if line.startswith("["):
            labels.append(_read_summary(line, f"{path}, line {number}"))
        elif RATER.match(line) and NO_RATING.search(line.split("(")[0]) and labels:
            release.half_rated.append(labels[-1].utterance)
    if not labels:
        raise ValueError(
            f"{path}: no turn in it; expected lines like '[6.29 - 8.24] Ses01F_impro01_F000 neu [2.5, 2.5, 2.5]'"
        )
    release.labels += labels


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
    if len(ratings) != len(RATINGS) or any(math.isinf(rating) for rating in ratings):
        raise ValueError(f"{where}: expected three ratings (valence, activation, dominance), found [{listed}]")
    return Label(utterance, EMOTIONS[code.lower()], **dict(zip(RATINGS, ratings, strict=True)))


def read_votes(root: Path) -> pd.DataFrame:
    """The votes table of the sessions in `root`: what each rater said of each turn, in the label files themselves.

    A rater may name several emotions, in whose order the rows are; what the actors said of their own turns is
    self-rated. The files of single raters beside the label files hold the same answers again, and are not read.
    """
    rows: list[dict[str, object]] = []
    for session in _session_folders(root):
        for path in _text_files(_unpacked(session), "EmoEvaluation", Release(root)):
            rows += _votes_of(path)
    return pd.DataFrame(rows, columns=["utterance", "rater", "self_rated", "emotion", *RATINGS])


def _votes_of(path: Path) -> Iterator[dict[str, object]]:
    """The rows of one label file."""
    utterance: str | None = None
    raters: dict[str, tuple[list[str | None], dict[str, float]]] = {}
    for _, line in (*_lines(path), (0, "[")):  # the end ends a turn as the next one does
        if line.startswith("["):
            for rater, (named, ratings) in raters.items():
                for place, emotion in enumerate(named or [None]):
                    row: dict[str, object] = {"utterance": utterance, "rater": rater, "self_rated": rater[0] != "E"}
                    yield {**row, "emotion": emotion, **(ratings if place == 0 else {})}
            match = SUMMARY.fullmatch(line)
            utterance, raters = match[1] if match else None, {}
        elif utterance and (vote := VOTE.match(line)):
            named, ratings = raters.setdefault(vote[2], ([], {}))
            answer = vote[3].partition("(")[0]
            if vote[1] == "C":
                words = map(votes.named, answer.split(";"))
                named += [emotion for emotion in dict.fromkeys(words) if emotion is not None]
            else:
                ratings |= {OF_RATED[name]: float(number) for name, number in RATED.findall(answer)}


def _read_transcripts(path: Path, release: Release) -> None:
    """Add the transcript of each turn of one dialog; turns that were cut but not labelled (XX) are left out."""
    for number, line in _lines(path):
        match = TRANSCRIPT.fullmatch(line.strip())
        if not match:
            if line.strip():
                release.loose_lines.append(f"{path.name}, line {number}")
            continue
        utterance, text = match[1], match[2].strip()
        if utterance[-3:-1] == "XX":
            release.never_labelled.append(utterance)
            continue
        if release.transcripts.setdefault(utterance, text) != text:
            raise ValueError(f"{path}, line {number}: a second, other transcript of {utterance}; expected one a turn")
        if TAG.search(text):
            release.tagged.append(utterance)


def _find_wavs(session: Path, release: Release) -> None:
    """Add every wav below the session's sentences/wav."""
    top = session / "sentences" / "wav"
    if not top.is_dir():
        raise FileNotFoundError(f"no audio folder {top}; expected one folder a dialog there, holding one wav a turn")
    for folder, _, names in walk(top, depth=2):
        below = (top.relative_to(release.root) / folder).as_posix()
        for name in names:
            stem, suffix = os.path.splitext(name)  # noqa: PTH122 -- 10,039 times
            if suffix.lower() != ".wav":
                continue
            if name.startswith("."):
                release.hidden.append(name)
            elif stem in release.wavs:
                raise ValueError(
                    f"{release.root}: two wavs of one name, {release.wavs[stem]} and {below}/{name}; keep one"
                )
            else:
                release.wavs[stem] = f"{below}/{name}"


SCALE = (1.0, 5.0)
GENDERS = {"F": "female", "M": "male"}
STYLES = {"impro": "improvised", "script": "scripted"}
TAGS = ("strip", "keep")


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
    release = collect(root)
    table = pd.DataFrame(release.labels)
    twice = table["utterance"][table["utterance"].duplicated()].unique()
    if len(twice):
        raise ValueError(f"{root}: {len(twice)} turns are labelled twice, {first(twice)}; is a session unpacked twice?")
    table["file"] = table["utterance"].map(release.wavs)
    silent = table["utterance"][table["file"].isna()]
    if len(silent) > tolerance * len(table) or len(silent) == len(table):
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
    texts = table["utterance"].map(release.transcripts)
    table["transcript"] = texts if tags == "keep" else texts.map(strip_tags, na_action="ignore")
    findings = [*_findings(release, table, silent, tags), unusual(list(table["file"]), headers)]
    return assemble("iemocap", root, SCALE, table, findings, partial(read_votes, root))


def strip_tags(transcript: str) -> str:
    """`transcript` without [LAUGHTER] and its like; empty where it held nothing else."""
    return cells.clean(TAG.sub(" ", transcript))


def _findings(release: Release, table: pd.DataFrame, silent: pd.Series, tags: str) -> list[Finding]:
    texts, labelled = table["transcript"], {turn.utterance for turn in release.labels}
    absent = [session for session in SESSIONS if session not in release.sessions]
    done = "taken out of the transcript" if tags == "strip" else "kept in the transcript"
    return [
        Finding.of("absent session", absent, "the rest was read: a part of the release, its counts do not apply"),
        Finding.of("doubled session folder", release.doubled, "the inner folder was read"),
        Finding.of("hidden file", sorted(release.hidden), "ignored: another system's metadata, no label and no sound"),
        Finding.of("labelled turn without wav", silent, "dropped"),
        Finding.of("wav without label", sorted(set(release.wavs) - labelled), "not read"),
        Finding.of("rating outside the scale", out_of_scale(table, SCALE), "kept as written; the scale is 1 to 5"),
        Finding.of("missing rating", missing_ratings(table), "kept without it"),
        Finding.of("rater who left out a rating", release.half_rated, "the release's mean is kept; it may be low"),
        Finding.of("turn without transcript", table["utterance"][texts.isna()], "kept, transcript missing"),
        Finding.of("transcript without label", sorted(set(release.transcripts) - labelled), "ignored"),
        Finding.of("transcript with bracketed tags", release.tagged, done),
        Finding.of("empty transcript", table["utterance"][texts == ""], "kept: nothing but tags, or no words at all"),
        Finding.of("transcribed turn that was never labelled (XX)", release.never_labelled, "ignored"),
        Finding.of("line in a transcript that names no turn", release.loose_lines, "ignored"),
    ]
