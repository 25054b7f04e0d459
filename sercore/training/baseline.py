"""What a network must beat: a linear regression on the mean and the deviation of every mel band of an utterance.

It learns from the training utterances of a split in seconds, and says what the level and the colour of the sound tell
without any network. Categories: multinomial logistic regression, with half the squared weights as a penalty beside the
summed cross-entropy. Dimensions: ridge regression, with the squared weights beside the summed squared error. Both take
standardised features; to both every training utterance counts the same.

Where such a regression has a share in the model itself (`network: {regression: ...}`), that one is what it must beat:
`of_shape`, without the level, of the bands that a telephone passes, and with as much weight on rare classes as the
network is trained with.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from sercore.datasets import normalisation
from sercore.datasets.source import CATEGORIES, Source
from sercore.features.packed import Frames
from sercore.models.cnn14 import spectral_shape
from sercore.settings import NormalisationSettings

STEPS = 5_000  # of the solver, at most
LEAST = 0.01  # standard deviation of a feature over utterances, below which it counts as constant [dB]
SPREAD = 2.0  # standard deviations that a feature counts as at most in a shared regression: no few bands outweigh all
AS_RECORDED = NormalisationSettings(over="utterance", of="channel")  # which would leave no mean to go by


class Regression(NamedTuple):
    """A fitted regression: logits of the classes, or ratings, follow from standardised features; float64."""

    center: np.ndarray  # what features are standardised by, (2 x bands,)
    scale: np.ndarray  # infinite for one that is constant
    spread: np.ndarray  # from 0, beyond which a standardised feature counts as that far; infinite: none does
    weight: np.ndarray  # (outputs, 2 x bands)
    bias: np.ndarray  # (outputs,)
    reach: np.ndarray  # the farthest training utterance from the center, root of the mean square of its features

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(utterances, 2 x bands) -> (utterances, outputs)."""
        standard = (features - self.center) / self.scale
        return standard.clip(-self.spread, self.spread) @ self.weight.T + self.bias


def answers(
    source: Source, frames: Frames, train: Sequence[str], asked: Sequence[str], bands: int | None = None
) -> np.ndarray:
    """What the baseline, trained on the utterances `train`, answers for those of `asked`.

    Args:
        source: The corpus, with the targets; its normalisation is that of the run.
        frames: The log-mels of its utterances.
        train: Utterances of every class of the source.
        asked: Utterances.
        bands: Of how many a regression has a share in the run's own model, see `of_shape`; None: there is none.

    Returns:
        (asked, classes) logits, or (asked, dimensions) ratings, in the order of the source.
    """
    if bands is not None:
        return of_shape(source, frames, train, bands)(statistics(source, frames, asked, bands))
    return fitted(source, statistics(source, frames, train), train)(statistics(source, frames, asked))


def of_shape(source: Source, frames: Frames, train: Sequence[str], bands: int) -> Regression:
    """The regression that has a share in a model, see `fitted`: on cnn14.spectral_shape of the lowest `bands`."""
    return fitted(source, statistics(source, frames, train, bands), train, shared=True)


def fitted(source: Source, features: np.ndarray, train: Sequence[str], shared: bool = False) -> Regression:
    """The regression of the targets of the utterances `train` on their `features`, (utterances, 2 x bands) [dB].

    Where it is `shared` with a model, rare classes weigh as much as others, and features count within SPREAD.
    ValueError, of scikit-learn, where all `train` are of one class.
    """
    from sklearn.linear_model import LogisticRegression, Ridge  # a second, which most runs do not need

    categories, weights = source.targets == CATEGORIES, "balanced" if shared else None
    model = LogisticRegression(max_iter=STEPS, class_weight=weights) if categories else Ridge()
    center, deviation = features.mean(0), features.std(0)
    scale = np.where(deviation < LEAST, np.inf, deviation)
    standard = (features - center) / scale
    spread = np.array(SPREAD if shared else np.inf)
    model.fit(standard.clip(-spread, spread), source.dataset(train).target.numpy())
    weight, bias = np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
    if categories and len(weight) == 1:  # of two classes scikit-learn has the second's logit alone
        weight, bias = np.concatenate([0 * weight, weight]), np.concatenate([0 * bias, bias])
    return Regression(center, scale, spread, weight, bias, np.sqrt((standard**2).mean(1)).max())


def statistics(source: Source, frames: Frames, utterances: Sequence[str], bands: int | None = None) -> np.ndarray:
    """Mean and standard deviation over time of each mel band of `utterances`: (utterances, 2 x bands) float64 [dB].

    Of the log-mels as the source normalises them; but as they were recorded where that is the channel over the
    utterance, since then all means would be the same. Given `bands`, the cnn14.spectral_shape of the lowest so many.
    """
    of = source.normalisation if source.normalisation != AS_RECORDED or bands is not None else None
    rows = source.rows.set_index("utterance", drop=False).loc[list(utterances)]
    offsets = None if of is None else normalisation.offsets(frames, source.corpus.utterances, rows, of)
    found = []
    for number, place in enumerate(frames.positions(utterances)):
        logmel = torch.tensor(frames.rows(place), dtype=torch.float32)
        if offsets is not None:
            logmel = normalisation.moved(logmel, torch.from_numpy(offsets[number]))
        logmel = logmel.double()
        if bands is None:
            found.append(torch.cat(torch.std_mean(logmel, 0, correction=0)[::-1]))
        else:
            found.append(spectral_shape(logmel[None, :, :bands], torch.tensor([len(logmel)]), None)[0])
    return torch.stack(found).numpy()
