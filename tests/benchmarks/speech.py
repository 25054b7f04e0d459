"""A corpus to measure on: the sound of the embedded corpora, laid end to end and cut anew as MSP-Podcast's is.

Segments last 2 to 11 s, log-normally, 5.5 s on average; their transcripts are the words of the embedded corpora, at
the pace of speech. The same seed gives the same files.
"""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from sercore import corpora, files, schema
from sercore.corpora import corpus
from sercore.datasets import source
from sercore.features import audio

RATE = 16_000
SHORTEST, LONGEST, MEDIAN, SPREAD = 2.0, 11.0, 5.2, 0.4  # seconds, and the deviation of their logarithm
WORDS_PER_SECOND = 2.6


def lay_out(folder: Path, hours: float, seed: int = 0) -> Path:
    """A corpus of `hours` of speech, as a table with its audio, below `folder`; made where it is not there yet."""
    place = folder / f"speech-{hours:g}h"
    if (place / "utterances.csv").is_file():
        return place
    chance = np.random.default_rng(seed)
    sound, words = _sound(), itertools.cycle(_words())
    left, at, rows = hours * 3600, 0, []
    with files.atomic_folder(place) as temporary:
        while left > 0:
            seconds = float(np.clip(chance.lognormal(np.log(MEDIAN), SPREAD), SHORTEST, LONGEST))
            samples = sound[(at + np.arange(int(seconds * RATE))) % len(sound)]
            at, left = at + len(samples), left - seconds
            name = f"u{len(rows):06d}"
            soundfile.write(temporary / f"{name}.wav", samples, RATE, subtype="PCM_16")
            transcript = " ".join(itertools.islice(words, int(seconds * WORDS_PER_SECOND)))
            rows.append(
                {
                    "utterance": name,
                    "file": f"{name}.wav",
                    "speaker": f"s{len(rows) % 20}",
                    "transcript": transcript,
                    "emotion": schema.CLASSES[len(rows) % 4],
                }
            )
        files.write_table(temporary / "utterances.csv", pd.DataFrame(rows))
    return place


def _embedded() -> list[corpora.Corpus]:
    read = []
    for name, options in source.EMBEDDED_CORPORA.items():
        places = corpus.located(options, name)
        read.append(corpora.read(name, places.pop("root"), **places))
    return read


def _sound() -> np.ndarray:
    """All sound of the embedded corpora, end to end: (samples,) float32."""
    paths = [one.root / file for one in _embedded() for file in one.utterances["file"]]
    return np.concatenate([audio.read_audio(path, RATE).numpy() for path in paths])


def _words() -> list[str]:
    """All words of their transcripts."""
    transcripts = pd.concat([one.utterances["transcript"].dropna() for one in _embedded()])
    return " ".join(transcripts).split()
