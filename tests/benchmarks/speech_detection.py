"""How many frames of speech the detectors of `predict --segments` find, in utterances joined to a recording with noise.

    python -m tests.benchmarks.speech_detection /data/emodb/wav

Utterances of any folder, drawn by a seed, with pauses of half a second to two between them, until it is a minute; pink
noise at a ratio to the power of the speech. Speech is each utterance without what is 35 dB below its loudest frame at
its two ends, so pauses within an utterance count as speech. Frames are of 32 ms; nothing is padded, joined or cut.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from sercore.corpora.sound import AUDIO
from sercore.features.audio import read_audio
from sercore.inference import segments
from sercore.inference.segments import FRAME, RATE

RATIOS = (30.0, 10.0, 0.0)  # of speech to noise [dB]
TRIMMED = 35.0  # below the loudest frame [dB]


def main(arguments: Sequence[str] | None = None) -> pd.DataFrame:
    """Print and return precision and recall of the frames, in %, of each detector at each ratio."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.speech_detection", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    chance = np.random.default_rng(args.seed)
    speech, truth = _joined(args.folder, args.seconds, chance)
    noise = _pink(len(speech), chance)
    level = np.mean(speech[np.repeat(truth, FRAME)[: len(speech)]] ** 2)
    rows = []
    for ratio in RATIOS:
        heard = torch.from_numpy((speech + noise * np.sqrt(level / 10 ** (ratio / 10))).astype("float32"))
        for detector in (segments.SILERO, segments.ENERGY):
            found = _frames(segments.listen(heard.split(60 * RATE), detector).speech, len(truth))
            right = (found & truth).sum()
            rows.append((f"{ratio:g} dB", detector, 100 * right / max(found.sum(), 1), 100 * right / truth.sum()))
    table = pd.DataFrame(rows, columns=["speech to noise", "by", "precision", "recall"])
    print(f"{len(speech) / RATE:.0f} s, {100 * truth.mean():.0f} % of it speech, seed {args.seed}")
    print(table.to_string(index=False, float_format="{:.1f}".format))
    return table


def _joined(folder: Path, seconds: float, chance: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Utterances of `folder` with pauses between them, (samples,), and which frames (frames,) are speech."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO)
    parts, speech, length = [], [], 0
    while length < seconds * RATE:
        pause = FRAME * int(chance.uniform(0.5, 2) * RATE / FRAME)
        utterance = read_audio(paths[chance.integers(len(paths))], RATE).numpy()
        utterance = utterance[: len(utterance) // FRAME * FRAME]
        power = np.square(utterance).reshape(-1, FRAME).mean(1)
        loud = np.flatnonzero(power > power.max() / 10 ** (TRIMMED / 10))
        places = np.arange(len(power))
        parts += [np.zeros(pause, "float32"), utterance]
        speech += [np.zeros(pause // FRAME, bool), (places >= loud[0]) & (places <= loud[-1])]
        length += pause + len(utterance)
    return np.concatenate(parts), np.concatenate(speech)


def _pink(samples: int, chance: np.random.Generator) -> np.ndarray:
    """Noise (samples,) of mean power 1, which falls by 3 dB an octave."""
    spectrum = np.fft.rfft(chance.standard_normal(samples))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    noise = np.fft.irfft(spectrum, samples)
    return noise / noise.std()


def _frames(spans: list[segments.Span], frames: int) -> np.ndarray:
    """Which of `frames` have their middle in one of `spans`."""
    middle = (np.arange(frames) + 0.5) * FRAME / RATE
    return np.array([any(start <= place < end for start, end in spans) for place in middle])


if __name__ == "__main__":
    main()
