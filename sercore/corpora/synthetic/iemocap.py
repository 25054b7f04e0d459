"""A miniature of IEMOCAP in its native layout: five sessions of two talkers, improvised and scripted dialogs, defects.

Scripted lines recur in all sessions and with both wearers of the markers, as in the release. Improvised sentences
occur once; half of a session's are made of words that no other session has.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sercore import schema
from sercore.corpora.synthetic import emotions
from sercore.corpora.synthetic.emotions import Intent, Speaker
from sercore.corpora.synthetic.espeak import SynthesisRequest
from sercore.corpora.synthetic.turns import APPLE_DOUBLE, Author, Channel, Turn, make_request, write_lines

SCALE = (1, 5)
TURNS = 13  # of a dialog at full size
SESSIONS = range(1, 6)
VOICES = {
    "F": ("en-us+f1", "en-us+f4", "en-us+anika", "en-us+belinda", "en-us+aunty"),
    "M": ("en-us+m3", "en-us+Nguyen", "en-us+antonio", "en-us+quincy", "en-us+david"),
}  # of each session's female and male talker
DIALOGS = (
    "F_impro01",
    "F_impro02",
    "M_impro05",
    "M_impro07",
    "F_script01_1",
    "M_script01_1",
    "F_script02_1",
    "M_script03_1",
)
ODD_DIALOGS = {(3, "M_impro05"): ("M_impro05a", "M_impro05b"), (5, "M_script01_1"): ("M_script01_1", "M_script01_1b")}
RATERS = ("E1", "E2", "E3", "E4")
CATEGORY_RATERS, DIMENSION_RATERS = 3, 2
CODES = {
    "angry": "ang",
    "disgusted": "dis",
    "excited": "exc",
    "fearful": "fea",
    "frustrated": "fru",
    "happy": "hap",
    "neutral": "neu",
    "other": "oth",
    "sad": "sad",
    "surprised": "sur",
    None: "xxx",
}
WORDS = {
    "angry": "Anger",
    "disgusted": "Disgust",
    "excited": "Excited",
    "fearful": "Fear",
    "frustrated": "Frustration",
    "happy": "Happiness",
    "neutral": "Neutral",
    "other": "Other",
    "sad": "Sadness",
    "surprised": "Surprise",
}
OUT_OF_SCALE = ("Ses03M_impro07_M", "valence", 5.5)  # the first such turn, as in the release
NO_DOMINANCE = ("Ses01M_script03_1_F", "dominance", 0.5)  # a missing rating that was averaged as 0, as in the release
SELF_RATED = ("F_impro01", "F_script01_1")  # dialogs whose actors rated themselves, in sessions 1 to 3
README = "A miniature in the layout of IEMOCAP_full_release. Its speech is synthesised: see SIMULATED.txt.\n"


@dataclass(frozen=True)
class Line:
    """One line of a script."""

    role: str
    text: str
    intent: Intent


@dataclass
class Script:
    """The turns of every dialog, in the order in which they take place."""

    dialogs: dict[str, list[Turn]]
    random: np.random.Generator

    @property
    def turns(self) -> list[Turn]:
        """All turns."""
        return [turn for turns in self.dialogs.values() for turn in turns]

    @property
    def requests(self) -> list[SynthesisRequest]:
        """The requests to the synthesiser."""
        return [turn.request for turn in self.turns]


def script(seed: int, size: float, sentences: str | Path | None, common: float = 0.0) -> Script:
    """The corpus of `seed`, its dialogs `size` times as long as at full size, with a CSV's `sentences` where given.

    `common` is as Author takes it.
    """
    random = np.random.default_rng([seed, 1])
    author = Author(sentences, random, common)
    length = max(3, round(TURNS * size))
    speakers = _speakers(random)
    scripts: dict[str, list[Line]] = {}
    dialogs: dict[str, list[Turn]] = {}
    for session in SESSIONS:
        room = Channel(low_cut=60, high_cut=7_600, noise=-70 + random.normal(0, 3), noise_colour=0.9)
        for usual in DIALOGS:
            for name in ODD_DIALOGS.get((session, usual), (usual,)):
                dialog = f"Ses0{session}{name}"
                play = name[2:]
                if "impro" in name:
                    lines = [_line(author, ("common", str(session)), random) for _ in range(length)]
                else:
                    if play not in scripts:
                        scripts[play] = [_line(author, ("common",), random) for _ in range(length)]
                    lines = [Line(line.role, line.text, emotions.vary(line.intent, random)) for line in scripts[play]]
                lines = [Line(line.role, author.said(line.text), line.intent) for line in lines]
                dialogs[dialog] = _perform(dialog, lines, speakers, room, random, seed)
    return Script(dialogs, random)


def _speakers(random: np.random.Generator) -> dict[str, Speaker]:
    return {
        f"Ses0{session}{letter}": Speaker(
            name=f"Ses0{session}{letter}",
            gender="female" if letter == "F" else "male",
            voice=VOICES[letter][session - 1],
            pitch=random.normal(0, 3),
            rate=random.normal(1, 0.03),
            expression=random.uniform(0.85, 1.15),
        )
        for session in SESSIONS
        for letter in "FM"
    }


def _line(author: Author, pools: tuple[str, ...], random: np.random.Generator) -> Line:
    text, intent = author.draw(pools, None)
    return Line(str(random.choice(["F", "M"])), text, intent)


def _perform(
    dialog: str, lines: list[Line], speakers: dict[str, Speaker], room: Channel, random: np.random.Generator, seed: int
) -> list[Turn]:
    turns: list[Turn] = []
    counts = {"F": 0, "M": 0}
    for number, line in enumerate(lines):
        role = "FM"[number] if number < 2 else line.role  # both actors speak in every dialog
        utterance = f"{dialog}_{role}{counts[role]:03d}"
        counts[role] += 1
        speaker = speakers[dialog[:5] + role]
        prosody = emotions.voice(line.intent, speaker, random)
        file = f"Session{dialog[4]}/sentences/wav/{dialog}/{utterance}.wav"
        turn = Turn(
            utterance=utterance,
            dialog=dialog,
            speaker=speaker,
            text=line.text,
            intent=line.intent,
            request=make_request(file, line.text, speaker, prosody, room, seed),
        )
        turn.named = emotions.name(line.intent, list(WORDS), CATEGORY_RATERS, random)
        for dimension in schema.DIMENSIONS:
            turn.ratings[dimension] = emotions.rate(getattr(line.intent, dimension), SCALE, DIMENSION_RATERS, random)
        turns.append(turn)
    return turns


def write(folder: Path, script: Script, seconds: dict[str, float]) -> None:
    """Write all but the audio below `folder`; `seconds` are the durations of the files."""
    (folder / "README.txt").write_text(README)
    for dialog, turns in script.dialogs.items():
        times, clock = {}, 5.0 + script.random.uniform(0, 3)
        for turn in turns:
            times[turn.utterance] = (clock, clock + seconds[turn.request.file])
            clock += seconds[turn.request.file] + script.random.uniform(-0.3, 1.2)
        session = folder / f"Session{dialog[4]}" / "dialog"
        write_lines(session / "transcriptions" / f"{dialog}.txt", _transcription(dialog, turns, times, script.random))
        evaluation = session / "EmoEvaluation"
        self_rated = dialog[5:] in SELF_RATED and dialog[4] in "123"
        write_lines(evaluation / f"{dialog}.txt", _evaluation(turns, times, self_rated, script.random))
        for name, content in _single_raters(dialog, turns).items():
            write_lines(evaluation / name, content)
    for name in (
        "dialog/EmoEvaluation/._Ses01F_impro01.txt",
        "dialog/transcriptions/._Ses01F_impro01.txt",
        "sentences/wav/Ses01F_impro01/._Ses01F_impro01_F000.wav",
    ):
        (folder / "Session1" / name).write_bytes(APPLE_DOUBLE)


def _transcription(
    dialog: str, turns: list[Turn], times: dict[str, tuple[float, float]], random: np.random.Generator
) -> list[str]:
    """One dialog as it was typed, with turns that were never labelled, notes without a name, and bracketed events."""
    lines = []
    for turn in turns:
        start, end = times[turn.utterance]
        tag = "[LAUGHTER] " if turn.intent.valence > 0.9 and random.random() < 0.3 else ""
        tag = tag or ("[BREATHING] " if random.random() < 0.02 else "")
        lines.append(f"{turn.utterance} [{start:08.4f}-{end:08.4f}]: {tag}{turn.text}")
    start = times[turns[-1].utterance][1] + 0.5
    if "impro" in dialog:
        lines.append(f"{dialog}_FXX0 [{start:08.4f}-{start + 0.6:08.4f}]: Mmhmm.")
    if dialog[5:] == "M_impro07":
        lines.append("M: sorry")
    return lines


def _evaluation(
    turns: list[Turn], times: dict[str, tuple[float, float]], self_rated: bool, random: np.random.Generator
) -> list[str]:
    """One dialog's label file: the turns of F, then those of M."""
    lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
    for turn in sorted(turns, key=lambda turn: turn.utterance[-4]):
        means = {dimension: float(np.mean(ratings)) for dimension, ratings in turn.ratings.items()}
        cells = {dimension: [str(rating) for rating in ratings] for dimension, ratings in turn.ratings.items()}
        for prefix, dimension, value in (OUT_OF_SCALE, NO_DOMINANCE):
            if turn.utterance == f"{prefix}000":
                means[dimension] = value
                cells[dimension] = ["6", "5"] if value > SCALE[1] else ["", "1"]
        start, end = times[turn.utterance]
        values = ", ".join(f"{means[dimension]:.4f}" for dimension in ("valence", "arousal", "dominance"))
        code = CODES[emotions.agree(turn.named)]
        lines.append(f"[{start:.4f} - {end:.4f}]\t{turn.utterance}\t{code}\t[{values}]")
        own = turn.utterance[-4] + "1"
        named = dict(zip(RATERS, turn.named, strict=False))
        if self_rated:
            named[own] = turn.named[int(random.integers(CATEGORY_RATERS))]
        for rater, emotion in named.items():
            second = " Frustration;" if emotion == "angry" and random.random() < 0.1 else ""
            lines.append(f"C-{rater}:\t{WORDS[emotion]};{second}\t()")
        for number, rater in enumerate(RATERS[-DIMENSION_RATERS:]):
            note = "(mildly: so to speak, staying polite; attitude)" if random.random() < 0.05 else "()"
            lines.append(_dimensions(rater, note, *(cells[dimension][number] for dimension in schema.DIMENSIONS)))
        if self_rated:
            lines.append(_dimensions(own, "()", *(str(random.integers(1, 6)) for _ in schema.DIMENSIONS)))
        lines.append("")
    return lines


def _dimensions(rater: str, note: str, arousal: str, valence: str, dominance: str) -> str:
    return f"A-{rater}:\tval {valence}; act {arousal}; dom  {dominance};\t{note}"


def _single_raters(dialog: str, turns: list[Turn]) -> dict[str, list[str]]:
    """Single raters' answers, which come in other orders and below the label files."""
    answers: dict[str, list[str]] = {}
    for turn in turns:
        arousal, valence, dominance = (turn.ratings[dimension][0] for dimension in schema.DIMENSIONS)
        word = {"Neutral": "Neutral state"}.get(WORDS[turn.named[1]], WORDS[turn.named[1]])
        answers.setdefault(f"Categorical/{dialog}_e2_cat.txt", []).append(f"{turn.utterance} :{word}; ()")
        rated = f"{turn.utterance} :act {arousal}; :val {valence}; :dom  {dominance};"
        answers.setdefault(f"Attribute/{dialog}_e3_atr.txt", []).append(rated)
        if turn.utterance[-4] == "F":
            own = f"{turn.utterance} :act {SCALE[1]}; :val {SCALE[0]}; :dom  {valence};"
            answers.setdefault(f"Self-evaluation/{dialog}_f1_atr.txt", []).append(own)
            answers.setdefault(f"Self-evaluation/{dialog}_f1_cat.txt", []).append(f"{turn.utterance} :{word}; ()")
    return answers
