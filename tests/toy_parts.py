"""A model, a reader and a metric that the study does not have: what somebody would add, in as few lines as it takes."""

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from torch import nn

from sercore.corpora.corpus import Corpus, assemble
from sercore.models.cnn14 import Output, initialise

SCALE = (1.0, 7.0)


class MeanSpectrum(nn.Module):
    """A linear layer on the mean log-mel spectrum."""

    def __init__(self, outputs: int, mels: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.output = nn.Linear(mels, outputs)
        initialise(self.output, generator)

    def forward(self, logmel, frames, text=None) -> Output:  # noqa: ARG002 -- what CNN14 takes
        real = torch.arange(logmel.shape[1], device=logmel.device) < frames[:, None]
        mean = (logmel * real[:, :, None]).sum(1) / frames[:, None] / 100  # (batch, mels)
        return Output(self.output(mean), mean)


def arguments(experiment, source) -> dict:  # noqa: ARG001 -- what every model's function takes
    return {"outputs": experiment.outputs, "mels": experiment.features.mels}


def write_release(root: Path, speakers: int = 6, utterances: int = 6) -> None:
    """Tones whose level follows their arousal, in one folder a speaker."""
    rng = np.random.default_rng(0)
    for speaker in range(speakers):
        (root / f"s{speaker}").mkdir(parents=True)
        for number in range(utterances):
            arousal = 1 + number
            noise = rng.standard_normal(16_000).astype("float32")
            soundfile.write(root / f"s{speaker}" / f"{number}_{arousal}.wav", 0.002 * arousal * noise, 16_000)


def read(root: Path | str) -> Corpus:
    rows = [
        {
            "utterance": f"{path.parent.name}-{path.stem}",
            "file": str(path.relative_to(root)),
            "speaker": path.parent.name,
            "arousal": float(path.stem.split("_")[1]),
            "seconds": 1.0,
        }
        for path in sorted(Path(root).rglob("*.wav"))
    ]
    return assemble("toy", Path(root), SCALE, pd.DataFrame(rows), [])


def mean_absolute_error(truth, prediction) -> float:
    return float(np.abs(np.asarray(prediction, dtype=float) - np.asarray(truth, dtype=float)).mean())
