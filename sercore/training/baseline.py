"""What a network must beat: a linear regression on the mean and the deviation of every mel band of an utterance.

It learns from the training utterances of a split in seconds, and says what the level and the colour of the sound tell
without any network. Categories: multinomial logistic regression, with half the squared weights as a penalty beside the
summed cross-entropy. Dimensions: ridge regression, with the squared weights beside the summed squared error. Both take
standardised features; to both every training utterance counts the same.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor

from sercore.datasets import normalisation
from sercore.datasets.batches import SpeechDataset
from sercore.datasets.source import CATEGORIES, Source
from sercore.features.packed import Frames
from sercore.models.cnn14 import spectral_shape
from sercore.settings import NormalisationSettings
from sercore.training import loop

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

STEPS = 5_000  # of the solver, at most
BATCH = 32  # utterances
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
    fitted = _fitted(statistics(source, frames, train), source, train)
    features = statistics(source, frames, asked)
    if source.targets == CATEGORIES:
        return fitted.predict_log_proba(features)
    return fitted.predict(features).reshape(len(features), -1)  # of one dimension it has no axis


def _fitted(features: np.ndarray, source: Source, train: Sequence[str]) -> "Pipeline":
    """The regression of the targets of the utterances `train` on their `features`."""
    from sklearn.linear_model import LogisticRegression, Ridge  # a second, which most runs do not need
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = LogisticRegression(max_iter=STEPS) if source.targets == CATEGORIES else Ridge()
    return make_pipeline(StandardScaler(), model).fit(features, source.dataset(train).target.numpy())


def of_spectral_shape(source: Source, train: Sequence[str]) -> tuple[Tensor, Tensor]:
    """The same regression on what cnn14.spectral_shape says of the utterances `train`: its weights and its biases.

    (outputs, 2 x mels) and (outputs,): products with it are the logits of the classes, or ratings.
    """
    dataset = source.dataset(train)
    if not isinstance(dataset, SpeechDataset):
        raise TypeError(f"'{source.model}' takes no log-mels, which the regression is on")
    rows, shapes = [], []
    for batch in dataset.batches(BATCH, None):
        logmel, frames, _ = cast(tuple[Tensor, ...], batch.inputs)
        rows.append(batch.rows)
        shapes.append(spectral_shape(logmel, frames, torch.arange(logmel.shape[1]) < frames[:, None]))
    features = loop.in_order(dataset, rows, shapes)
    scaler, model = (step for _, step in _fitted(features, source, train).steps)
    weight, bias = np.atleast_2d(model.coef_) / scaler.scale_, np.atleast_1d(model.intercept_)
    bias = bias - weight @ scaler.mean_
    if source.targets == CATEGORIES and len(weight) == 1:  # of two classes scikit-learn has the second's logit alone
        weight, bias = np.stack([0 * weight[0], weight[0]]), np.stack([0 * bias[0], bias[0]])
    return torch.from_numpy(weight).float(), torch.from_numpy(bias).float()


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
