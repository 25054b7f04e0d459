"""Cached sound + targets -> batches, for models that hear the waveform itself."""

import pandas as pd
import torch
from torch import Tensor

from sercore.datasets import Dataset, Plan
from sercore.packed import FULL_SCALE, LEAST_SAMPLES, Waveforms


class WaveformDataset(Dataset):
    """For speech encoders: inputs = (waveform (batch, samples) float32 in [-1, 1], true samples (batch,) int64)."""

    multiple = 320  # what an encoder of speech makes one vector of
    least = LEAST_SAMPLES
    typical = 160_000  # 10 s
    padding = 0

    def __init__(self, sound: Waveforms, utterances: pd.DataFrame, target: Tensor) -> None:
        """As a Dataset."""
        super().__init__(sound, utterances, target)

    def _inputs(self, plan: Plan) -> tuple[Tensor | None, ...]:
        samples = torch.from_numpy(plan.count).to(self.device)
        return self._gather(plan, torch.float32).div_(FULL_SCALE), samples
