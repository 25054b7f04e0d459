"""What a network must beat: a linear regression on the mean and the deviation of every mel band of an utterance.

It learns from the training utterances of a split in seconds, and says what the level and the colour of the sound tell
without any network. Categories: multinomial logistic regression, with half the squared weights as a penalty beside the
summed cross-entropy. Dimensions: ridge regression, with the squared weights beside the summed squared error. Both take
standardised features; to both every training utterance counts the same.
"""

from collections.abc import Sequence

import numpy as np
import torch

from sercore.datasets import normalisation
from sercore.datasets.source import CATEGORIES, Source
from sercore.features.packed import Frames
from sercore.settings import NormalisationSettings

STEPS = 5_000  # of the solver, at most
AS_RECORDED = NormalisationSettings(over="utterance", of="channel")  # which would leave no mean to go by


def answers(source: Source, frames: Frames, train: Sequence[str], asked: Sequence[str]) -> np.ndarray:
    """What the baseline, trained on the utterances `train`, answers for those of `asked`.

    Args:
        source: The corpus, with the targets; its normalisation is that of the run.
        frames: The log-mels of its utterances.
        train: Utterances of every class of the source.
        asked: Utterances.

    Returns:
        (asked, classes) logarithms of probabilities, or (asked, dimensions) ratings, in the order of the source.
    """
    from sklearn.linear_model import LogisticRegression, Ridge  # a second, which most runs do not need
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = LogisticRegression(max_iter=STEPS) if source.targets == CATEGORIES else Ridge()
    fitted = make_pipeline(StandardScaler(), model)
    fitted.fit(statistics(source, frames, train), source.dataset(train).target.numpy())
    features = statistics(source, frames, asked)
    if source.targets == CATEGORIES:
        return fitted.predict_log_proba(features)
    return fitted.predict(features).reshape(len(features), -1)  # of one dimension it has no axis


def statistics(source: Source, frames: Frames, utterances: Sequence[str]) -> np.ndarray:
    """Mean and standard deviation over time of each mel band of `utterances`: (utterances, 2 x mels) float64 [dB].

    Of the log-mels as the source normalises them; but as they were recorded where that is the channel over the
    utterance, since then all means would be the same.
    """
    of = source.normalisation if source.normalisation != AS_RECORDED else None
    rows = source.rows.set_index("utterance", drop=False).loc[list(utterances)]
    offsets = None if of is None else normalisation.offsets(frames, source.corpus.utterances, rows, of)
    found = []
    for number, place in enumerate(frames.positions(utterances)):
        logmel = torch.tensor(frames.rows(place), dtype=torch.float32)
        if offsets is not None:
            logmel = normalisation.moved(logmel, torch.from_numpy(offsets[number]))
        found.append(torch.cat(torch.std_mean(logmel.double(), 0, correction=0)[::-1]))
    return torch.stack(found).numpy()
