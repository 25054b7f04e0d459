"""Corpora on disk without speech: the folders, names and label files of the two releases around silent audio.

A test writes the turns that it needs, then adds the trap that it is about. The full-size trees have the sizes of the
real releases, whose label counts are public; their audio is a few hard-linked files.
"""

import csv
import itertools
import os
import random
import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

RATERS = """\
C-E2:\tNeutral;\t()
C-E4:\tAnger; Frustration;\t(a comment: with ; and , in it)
C-F1:\tNeutral;\t()
A-E3:\tval 3; act 2; dom  2;\t()
A-E4:\tval 2; act 3; dom  3;\t(mild)
A-F1:\tval 3; act 2; dom  1;\t()
"""


@dataclass(frozen=True)
class Turn:
    """One turn of IEMOCAP."""

    name: str
    code: str = "neu"
    ratings: tuple[float, float, float] = (2.5, 3.0, 3.5)  # valence, activation, dominance, as the release writes them
    transcript: str = "Excuse me."

    @property
    def dialog(self) -> str:
        return self.name[:-5]

    @property
    def session(self) -> str:
        return f"Session{self.name[4]}"


@dataclass(frozen=True)
class Row:
    """One row of MSP-Podcast's consensus labels."""

    name: str  # without .wav
    emotion: str = "N"
    act: str = "2.2"
    val: str = "4.0"
    dom: str = "2.6"
    speaker: str = "30"
    gender: str = "Male"
    split: str = "Train"


COLUMNS = ("FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set")

MINI_IEMOCAP = [
    Turn(f"Ses0{session}{dialog}_{speaker}00{number}", code)
    for session in range(1, 6)
    for dialog in ("F_impro01", "M_script01_1")
    for speaker in "FM"
    for number, code in enumerate(("neu", "exc"))
] + [Turn("Ses03M_impro05a_F000"), Turn("Ses05M_script01_1b_F000")]

MINI_MSP = [
    Row("MSP-PODCAST_0001_0008", "N", split="Train"),
    Row("MSP-PODCAST_0001_0009_0001", "A", speaker="31", gender="Female"),
    Row("MSP-PODCAST_0002_0001", "H", speaker="40", split="Validation"),
    Row("MSP-PODCAST_0003_0001", "X", speaker="50", split="Test1"),
    Row("MSP-PODCAST_0004_0001", "S", speaker="60", split="Test2"),
]


def wav(samples: int = 160, rate: int = 16_000, channels: int = 1) -> bytes:
    """A RIFF file of silence, 16 bits a sample."""
    size = samples * channels * 2
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * channels * 2, channels * 2, 16)
    return struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE") + form + struct.pack("<4sI", b"data", size) + bytes(size)


def write(path: Path, content: str | bytes) -> Path:
    """`content` in a new file, its folders made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def summary(turn: Turn, start: float = 0.0) -> str:
    """The line of a label file that says what the raters agreed on."""
    val, act, dom = turn.ratings
    return f"[{start:.4f} - {start + 2:.4f}]\t{turn.name}\t{turn.code}\t[{val:.4f}, {act:.4f}, {dom:.4f}]\n"


def write_iemocap(root: Path, turns: Iterable[Turn] = MINI_IEMOCAP, audio: Iterable[Path] = ()) -> Path:
    """The sessions of `turns` in `root`. With `audio`, wavs are hard links to these files in turn."""
    sources = itertools.cycle(audio) if audio else None
    dialogs: dict[tuple[str, str], list[Turn]] = {}
    for turn in turns:
        dialogs.setdefault((turn.session, turn.dialog), []).append(turn)
    for (session, dialog), members in dialogs.items():
        place = root / session
        blocks = [summary(turn, start) + RATERS for start, turn in enumerate(members)]
        head = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
        write(place / "dialog" / "EmoEvaluation" / f"{dialog}.txt", head + "\n".join(blocks))
        lines = [f"{t.name} [{start:08.4f}-{start + 2:08.4f}]: {t.transcript}\n" for start, t in enumerate(members)]
        write(place / "dialog" / "transcriptions" / f"{dialog}.txt", "".join(lines))
        folder = place / "sentences" / "wav" / dialog
        folder.mkdir(parents=True, exist_ok=True)
        for turn in members:
            if sources is None:
                write(folder / f"{turn.name}.wav", wav())
            else:
                os.link(next(sources), folder / f"{turn.name}.wav")
    return root


def write_msp(
    root: Path, rows: Iterable[Row] = MINI_MSP, labels: str = "Labels/labels_consensus.csv", audio: str = "Audios"
) -> Path:
    """A release in `root` with one wav a row; no label file where `labels` is empty."""
    rows = list(rows)
    if labels:
        write_consensus(root / labels, rows)
    for row in rows:
        write(root / audio / f"{row.name}.wav", wav())
    return root


def write_consensus(path: Path, rows: Iterable[Row]) -> Path:
    """The consensus labels of `rows` as a CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in rows:
            ratings = (row.act, row.val, row.dom)
            writer.writerow([f"{row.name}.wav", row.emotion, *ratings, row.speaker, row.gender, row.split])
    return path


# Public counts of IEMOCAP: turns of each speaker in all, and neutral, happy or excited, angry, sad ones.
SPEAKERS = {
    "1F": (873, 171, 132, 147, 78),
    "1M": (946, 213, 146, 82, 116),
    "2F": (859, 135, 166, 67, 113),
    "2M": (952, 227, 161, 70, 84),
    "3F": (1048, 130, 128, 92, 172),
    "3M": (1088, 190, 158, 148, 133),
    "4F": (987, 76, 185, 205, 62),
    "4M": (1116, 182, 118, 122, 81),
    "5F": (1033, 221, 159, 78, 132),
    "5M": (1137, 163, 283, 92, 113),
}
HAPPY = {"1": 135, "2": 117, "3": 135, "4": 65, "5": 143}  # of each session's happy and excited turns, the happy ones
OTHERS = {"fru": 1849, "sur": 107, "fea": 40, "dis": 2, "oth": 3, "xxx": 2507}
IMPROVISED = {"1": 759, "2": 788, "3": 1044, "4": 1060, "5": 1133}
OUTSIDE = {  # the ratings outside the scale that the release is known for
    "Ses03M_impro07_M003": (5.5, 3.0, 3.0),
    "Ses03M_impro07_M010": (5.5, 3.0, 3.0),
    "Ses03M_impro07_M013": (5.5, 3.0, 3.0),
    "Ses03M_impro07_M021": (5.5, 3.0, 3.0),
    "Ses01M_script03_1_F026": (2.0, 3.0, 0.5),
    "Ses02M_script02_2_F046": (2.0, 3.0, 0.5),
    "Ses04M_script03_2_M009": (2.0, 3.0, 0.5),
}


def iemocap_dialogs(session: str) -> list[str]:
    """The names of the 28 to 32 dialogs of one session."""
    scripts = ("01_1", "01_2", "01_3", "02_1", "02_2", "03_1", "03_2")
    names = []
    for actor in "FM":
        numbers = [f"{n:02d}" for n in range(1, 8 if session == "1" else 9)]
        if session + actor == "3M":
            numbers = ["01", "02", "03", "04", "05a", "05b", "06", "07", "08a", "08b"]
        names += [f"Ses0{session}{actor}_impro{number}" for number in numbers]
        extra = ("01_1b",) if session + actor == "5M" else ()
        names += [f"Ses0{session}{actor}_script{number}" for number in (*scripts, *extra)]
    return names


def full_iemocap() -> list[Turn]:
    """10,039 turns with the release's counts of speakers, sessions, styles and classes."""
    shuffle = random.Random(0).shuffle
    others = [code for code, count in OTHERS.items() for _ in range(count)]
    shuffle(others)
    turns = []
    for session in "12345":
        merged = sum(SPEAKERS[session + letter][2] for letter in "FM")
        happy = ["hap"] * HAPPY[session] + ["exc"] * (merged - HAPPY[session])
        shuffle(happy)
        codes_of_session = []  # (speaker's letter, code)
        for letter in "FM":
            everything, neutral, joyful, angry, sad = SPEAKERS[session + letter]
            rest = everything - neutral - joyful - angry - sad
            codes = ["neu"] * neutral + [happy.pop() for _ in range(joyful)] + ["ang"] * angry + ["sad"] * sad
            codes_of_session += [(letter, code) for code in codes + [others.pop() for _ in range(rest)]]
        shuffle(codes_of_session)
        styles = [[d for d in iemocap_dialogs(session) if style in d] for style in ("impro", "script")]
        numbers: dict[str, int] = {}
        for place, (letter, code) in enumerate(codes_of_session):
            dialogs = styles[place >= IMPROVISED[session]]
            stem = f"{dialogs[place % len(dialogs)]}_{letter}"
            numbers[stem] = numbers.get(stem, -1) + 1
            name = f"{stem}{numbers[stem]:03d}"
            turns.append(Turn(name, code, transcript=f"Line {place % 700} of it."))
    for name, ratings in OUTSIDE.items():
        last = max(place for place, turn in enumerate(turns) if turn.name[:-3] == name[:-3])
        here = next((place for place, turn in enumerate(turns) if turn.name == name), last)
        turns[here] = replace(turns[here], name=name, ratings=ratings)
    return turns


def link_sources(folder: Path, count: int = 40) -> list[Path]:
    """A few wavs of different length to link to: 0.1 s apart, so that durations differ."""
    return [write(folder / f"{n}.wav", wav(samples=1600 * (n + 6))) for n in range(count)]


PARTITIONS_1_7 = {"Train": 38_179, "Validation": 7_538, "Test1": 12_902, "Test2": 3_521}


def write_full_msp(root: Path, sources: list[Path]) -> Path:
    """62,140 rows in the partitions of release 1.7, a wav and a transcript each, every fourth name of three parts."""
    splits = [(split, place) for split, count in PARTITIONS_1_7.items() for place in range(count)]
    rows = []
    for number, (split, place) in enumerate(splits):
        name = f"MSP-PODCAST_{number // 40:04d}_{number % 40:04d}" + ("_0001" if number % 4 == 0 else "")
        talker = place // 200 + 1000 * list(PARTITIONS_1_7).index(split)
        speaker = "Unknown" if split == "Train" and number % 6 == 0 else str(talker)
        gender = ("Female", "Male")[talker % 2]
        rows.append(Row(name, "NHXUCASDFO"[number % 10], speaker=speaker, gender=gender, split=split))
    write_consensus(root / "Labels" / "labels_concensus.csv", rows)
    texts = [write(sources[0].parent / f"{n}.txt", f"Words number {n}, and more of them.\n") for n in range(40)]
    for folder, suffix, origins in (("Audios", ".wav", sources), ("Transcripts", ".txt", texts)):
        place = root / folder
        place.mkdir(parents=True)
        for row, origin in zip(rows, itertools.cycle(origins), strict=False):
            os.link(origin, place / f"{row.name}{suffix}")
    return root
