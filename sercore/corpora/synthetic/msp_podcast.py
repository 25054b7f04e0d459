"""A miniature of MSP-Podcast in the native layout of release 1.7: noisy podcasts, no transcripts, defects."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from sercore import schema
from sercore.corpora.synthetic import emotions
from sercore.corpora.synthetic.emotions import NEUTRAL_LEVEL, Speaker
from sercore.corpora.synthetic.espeak import SAMPLE_RATE, SynthesisRequest
from sercore.corpora.synthetic.turns import APPLE_DOUBLE, Author, Channel, Turn, make_request, write_lines

SCALE = (1, 7)
SEGMENTS = {"Train": 500, "Validation": 240, "Test1": 360, "Test2": 16}  # at full size
POOLS = {
    "Train": ("common", "common", "3", "4", "5"),
    "Validation": ("common", "1", "2"),
    "Test1": ("common", "test", "test"),
    "Test2": ("common", "test", "test"),
}  # of the lexicon, each as often as it is there
PARTITIONS = {"Train": "train", "Validation": "development", "Test1": "test", "Test2": "test"}  # of rated sentences
VOICES = {
    "Train": (
        "en+f2",
        "en-gb-x-rp+f2",
        "en-us-nyc+f2",
        "en+f3",
        "en-gb-x-rp+f3",
        "en-us-nyc+f3",
        "en+Annie",
        "en-gb-x-rp+Annie",
        "en-gb-x-gbclan+f2",
        "en-us-nyc+Annie",
        "en+rob",
        "en-gb-x-rp+rob",
        "en-gb-x-gbclan+rob",
        "en+sandro",
        "en-gb-x-rp+sandro",
        "en-us-nyc+sandro",
        "en+robert",
        "en-gb-x-rp+robert",
        "en-gb-x-gbclan+robert",
        "en-gb-x-rp+edward2",
        "en+benjamin",
        "en-gb-x-rp+max",
    ),
    "Validation": (
        "en+grandma",
        "en-gb-x-rp+grandma",
        "en+john",
        "en-gb-x-rp+john",
        "en+linda",
        "en-gb-x-rp+linda",
        "en+Henrique",
        "en-gb-x-rp+Henrique",
        "en+adam",
        "en-gb-x-rp+adam",
        "en+Michael",
        "en-gb-x-rp+Michael",
        "en+Gene",
        "en-gb-x-rp+Gene",
        "en+m7",
        "en-gb-x-rp+m7",
    ),
    "Test1": (
        "en+f5",
        "en-gb-x-rp+f5",
        "en+steph",
        "en-gb-x-rp+steph",
        "en+Andrea",
        "en-gb-x-rp+Andrea",
        "en+steph3",
        "en-gb-x-rp+steph3",
        "en+victor",
        "en-gb-x-rp+victor",
        "en+m8",
        "en-gb-x-rp+m8",
        "en+Andy",
        "en-gb-x-rp+Andy",
        "en+Denis",
        "en-gb-x-rp+Denis",
        "en+m4",
        "en-gb-x-rp+m4",
        "en+Diogo",
        "en-gb-x-rp+Diogo",
        "en+pablo",
        "en-gb-x-rp+pablo",
        "en+Alex",
        "en-gb-x-rp+Alex",
    ),
    "Test2": ("en-us-nyc+steph", "en+Mike"),
}  # no variant is in two of the first three, or in the miniature of IEMOCAP
FEMALE = ("Andrea", "Annie", "f2", "f3", "f5", "grandma", "linda", "steph", "steph3")
UNKNOWN = (2, 5, 12, 15)  # of the training voices: the release does not know who they are, nor the first two's gender
RATERS = 5
CODES = {
    "angry": "A",
    "sad": "S",
    "happy": "H",
    "surprised": "U",
    "fearful": "F",
    "disgusted": "D",
    "contemptuous": "C",
    "neutral": "N",
    "other": "O",
    None: "X",
}
WORDS = {
    "angry": "Angry",
    "sad": "Sad",
    "happy": "Happy",
    "surprised": "Surprise",
    "fearful": "Fear",
    "disgusted": "Disgust",
    "contemptuous": "Contempt",
    "neutral": "Neutral",
    "other": 'Other-calm (not bored; "ok")',
}
SECOND = {"angry": "Angry,Annoyed", "sad": "Sad,Depressed", "happy": "Happy,Amused", "neutral": ""}
THREE_PARTS = 0.24  # share of names with a third number
BANDS = (4_500, 5_500, 6_500, 7_200, 7_600)  # upper edges of the podcasts' channels [Hz]
SNR = (24.0, 40.0)  # of neutral speech in the podcasts [dB]
MISSING_FROM = 101  # rows, from which on one of them has no wav: fewer would exceed what a reader tolerates
COLUMNS = ("FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set")
README = "A miniature in the layout of MSP-Podcast 1.7. Its speech is synthesised: see SIMULATED.txt.\n"


@dataclass
class Segment:
    """A turn and where the release puts it."""

    turn: Turn
    split: str
    speaker: str
    gender: str


@dataclass
class Script:
    """The segments, in the order of their names."""

    segments: list[Segment]
    random: np.random.Generator

    @property
    def turns(self) -> list[Turn]:
        """All turns."""
        return [segment.turn for segment in self.segments]

    @property
    def requests(self) -> list[SynthesisRequest]:
        """The requests to the synthesiser."""
        return [segment.turn.request for segment in self.segments]


def script(seed: int, size: float, sentences: str | Path | None, common: float = 0.0) -> Script:
    """The corpus of `seed`, with `size` times as many segments as at full size, of a CSV's `sentences` where given.

    A CSV's partition that has too few sentences for that gives as many segments as it has. `common` is as Author takes
    it.
    """
    random = np.random.default_rng([seed, 2])
    author = Author(sentences, random, common)
    talkers = sum(len(voices) for voices in VOICES.values())
    numbers = [int(number) for number in random.choice(np.arange(3, 1_500), size=talkers, replace=False)]
    podcasts = [int(number) for number in random.choice(np.arange(1, 2_000), size=talkers, replace=False)]
    segments: list[Segment] = []
    counts = _counts(size, author)
    for split, voices in VOICES.items():
        for place, voice in enumerate(voices):
            speaker = _speaker(str(numbers.pop()), voice, random)
            channel = _channel(random)
            turns = len(range(place, counts[split], len(voices)))  # shared out evenly
            names = _names(podcasts.pop(), turns, random)
            drawn = [_turn(name, split, speaker, channel, author, random, seed) for name in names]
            unknown = UNKNOWN.index(place) if split == "Train" and place in UNKNOWN else None
            label = speaker.name if unknown is None else "Unknown"
            gender = "Unknown" if unknown in (0, 1) else speaker.gender.capitalize()
            segments += [Segment(turn, split, label, gender) for turn in drawn]
    segments.sort(key=lambda segment: segment.turn.utterance)
    sad = [s.turn for s in segments if s.split == "Train" and emotions.agree(s.turn.named) == "sad"]
    for turn in sad[:1]:
        turn.request = replace(turn.request, odd=True)
    return Script(segments, random)


def _counts(size: float, author: Author) -> dict[str, int]:
    """Split -> its segments: at least one a talker, and no more than the author has sentences for."""
    counts = {split: max(len(voices), round(SEGMENTS[split] * size)) for split, voices in VOICES.items()}
    for split, voices in VOICES.items():
        same = [other for other in counts if PARTITIONS[other] == PARTITIONS[split]]
        lacking = sum(counts[other] for other in same) - author.sentences(PARTITIONS[split])
        counts[split] = int(max(len(voices), counts[split] - max(lacking, 0)))
    return counts


def _speaker(name: str, voice: str, random: np.random.Generator) -> Speaker:
    return Speaker(
        name=name,
        gender="female" if voice.split("+")[1] in FEMALE else "male",
        voice=voice,
        pitch=random.normal(0, 4),
        rate=random.normal(1, 0.04),
        expression=random.uniform(0.8, 1.2),
    )


def _channel(random: np.random.Generator) -> Channel:
    return Channel(
        low_cut=random.uniform(60, 220),
        high_cut=float(random.choice(BANDS)),
        noise=NEUTRAL_LEVEL - random.uniform(*SNR),
        noise_colour=random.uniform(0.6, 0.97),
        gain=random.normal(0, 0.7),
    )


def _names(podcast: int, count: int, random: np.random.Generator) -> list[str]:
    """So many names of one podcast, some with a third number."""
    names, number = [], 0
    for _ in range(count):
        number += int(random.integers(1, 12))
        part = f"_{random.integers(1, 5):04d}" if random.random() < THREE_PARTS else ""
        names.append(f"MSP-PODCAST_{podcast:04d}_{number:04d}{part}")
    return names


def _turn(
    name: str, split: str, speaker: Speaker, channel: Channel, author: Author, random: np.random.Generator, seed: int
) -> Turn:
    text, intent = author.draw(POOLS[split], PARTITIONS[split])
    text = author.said(text)
    request = make_request(f"Audios/{name}.wav", text, speaker, emotions.voice(intent, speaker, random), channel, seed)
    turn = Turn(utterance=name, dialog=name[:16], speaker=speaker, text=text, intent=intent, request=request)
    turn.named = emotions.name(intent, list(WORDS), RATERS, random)
    for dimension in schema.DIMENSIONS:
        turn.ratings[dimension] = emotions.rate(getattr(intent, dimension), SCALE, RATERS, random)
    return turn


def write(folder: Path, script: Script, _seconds: dict[str, float]) -> None:
    """Write all but the audio below `folder`, and the audio that no row is about; take one row's audio away."""
    (folder / "readme.txt").write_text(README)
    labels = folder / "Labels"
    labels.mkdir()
    rows = [_row(segment) for segment in script.segments]
    _write_csv(labels / "labels_concensus.csv", rows)
    consensus = {row["FileName"]: {key: row[key] for key in COLUMNS[1:]} for row in rows}
    (labels / "labels_concensus.json").write_text(json.dumps(consensus, indent=1))
    detailed, blocks = ["FileName,EmoDetail"], []
    for segment, row in zip(script.segments, rows, strict=True):
        workers = _workers(segment.turn, script.random)
        detailed += [f'{row["FileName"]},"{worker.replace(chr(34), chr(34) * 2)}"' for worker in workers]
        a, v, d = row["EmoAct"], row["EmoVal"], row["EmoDom"]
        blocks += [f"{row['FileName']}; {row['EmoClass']}; A:{a:f}; V:{v:f}; D:{d:f};", *workers, ""]
    write_lines(labels / "labels_detailed.csv", detailed)
    write_lines(labels / "labels.txt", blocks)
    write_lines(folder / "Partitions.txt", [f"{row['Split_Set']}; {row['FileName']}" for row in rows])
    genders = {row["SpkrID"]: row["Gender"] for row in rows if row["SpkrID"] != "Unknown"}
    write_lines(
        folder / "Speaker_ids.txt",
        [f"Speaker_{speaker}; {gender}" for speaker, gender in genders.items()]
        + [f"{row['FileName']};{row['SpkrID']}" for row in rows],
    )
    _write_defects(folder, script, rows)


def _write_defects(folder: Path, script: Script, rows: list[dict]) -> None:
    """Another release's labels and audio, audio without rows, a row without audio, metadata of another system."""
    previous = folder / "Previous_releases_information"
    old = previous / "v1.6" / "Labels"
    old.mkdir(parents=True)
    others = [{**row, "EmoClass": "N", "EmoAct": 1.0, "EmoVal": 7.0, "Split_Set": "Train"} for row in rows[::2]]
    _write_csv(old / "labels_consensus.csv", others)
    removed = previous / "files_removed_from_prev_versions" / "v1.6_removed_files" / "MSP-PODCAST_0000_0001.wav"
    removed.parent.mkdir(parents=True)
    hush = script.random.normal(0, 0.01, 2 * SAMPLE_RATE)
    for path in (removed, folder / "Audios" / "MSP-PODCAST_test3_0001.wav"):
        soundfile.write(path, hush, SAMPLE_RATE, subtype="PCM_16")
    (folder / "Audios" / f"._{rows[0]['FileName']}").write_bytes(APPLE_DOUBLE)
    if len(rows) >= MISSING_FROM:
        lost = next(segment for segment in script.segments if segment.split == "Train" and not segment.turn.request.odd)
        (folder / lost.turn.request.file).unlink()


def _row(segment: Segment) -> dict:
    """A segment's line of the label file."""
    arousal, valence, dominance = (float(np.mean(segment.turn.ratings[d])) for d in schema.DIMENSIONS)
    code = CODES[emotions.agree(segment.turn.named)]
    values = (
        f"{segment.turn.utterance}.wav",
        code,
        arousal,
        valence,
        dominance,
        segment.speaker,
        segment.gender,
        segment.split,
    )
    return dict(zip(COLUMNS, values, strict=True))


def _workers(turn: Turn, random: np.random.Generator) -> list[str]:
    """A line for each rater of a turn, as in labels.txt."""
    lines = []
    for number, emotion in enumerate(turn.named):
        a, v, d = (turn.ratings[dimension][number] for dimension in schema.DIMENSIONS)
        worker = f"WORKER{random.integers(1, 400):07d}"
        lines.append(
            f"{worker}; {WORDS[emotion]}; {SECOND.get(emotion, 'Concerned,Confused')}; A:{a:f}; V:{v:f}; D:{d:f};"
        )
    return lines


def _write_csv(path: Path, rows: list[dict]) -> None:
    write_lines(path, [",".join(COLUMNS), *(",".join(str(row[column]) for column in COLUMNS) for row in rows)])
