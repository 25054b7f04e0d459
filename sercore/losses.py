"""What training minimises (section 4.2): weighted cross-entropy for categories, MSE and CCC for dimensions.

Not the paper's, and chosen by the training setting `objective`: label smoothing, focal loss, and cross-entropy with the
distribution of the raters' votes in place of their majority.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 -- its name everywhere
from jaxtyping import Float, Int
from torch import Tensor

from sercore import metrics
from sercore.schema import did_you_mean, first


def weighted_cross_entropy(
    logits: Float[Tensor, "batch classes"], truth: Int[Tensor, " batch"], weights: Float[Tensor, " classes"]
) -> Float[Tensor, ""]:
    """Cross-entropy in which each sample counts as its class does (section 4.2).

        L = sum over i of w[truth_i] * -log softmax(logits_i)[truth_i] / sum over i of w[truth_i]

    It is a weighted mean, so a common factor of the weights has no influence. `truth` are codes into the classes.
    """
    return F.cross_entropy(logits, truth, weights.to(logits.device, logits.dtype, non_blocking=True))


SMOOTHING = 0.1
"""Share of a label that is spread evenly over all classes (Szegedy et al. 2016)."""
FOCUS = 2.0
"""Exponent of the focal loss: 0 is cross-entropy (Lin et al. 2017)."""


def smoothed_cross_entropy(
    logits: Float[Tensor, "batch classes"], truth: Int[Tensor, " batch"], weights: Float[Tensor, " classes"]
) -> Float[Tensor, ""]:
    """`weighted_cross_entropy` with labels that are smoothed: (1 - s) of the truth, s / K of each of K classes.

    L = sum over i and k of y[i, k] w[k] * -log softmax(logits_i)[k] / sum over i of w[truth_i],   s = SMOOTHING
    """
    weights = weights.to(logits.device, logits.dtype, non_blocking=True)
    return F.cross_entropy(logits, truth, weights, label_smoothing=SMOOTHING)


def focal_loss(
    logits: Float[Tensor, "batch classes"], truth: Int[Tensor, " batch"], weights: Float[Tensor, " classes"]
) -> Float[Tensor, ""]:
    """`weighted_cross_entropy` in which a sample counts the less, the surer the model is of its class.

        L = sum over i of w[truth_i] (1 - p_i)^g * -log p_i / sum over i of w[truth_i],   p = softmax(logits)[truth]

    with g = FOCUS, over all samples rather than over the hard ones (Lin et al. 2017, equation 5).
    """
    surprise = F.cross_entropy(logits, truth, reduction="none")  # -log p
    weight = weights.to(logits.device, logits.dtype, non_blocking=True)[truth]
    return (weight * (1 - torch.exp(-surprise)) ** FOCUS * surprise).sum() / weight.sum()


def votes_cross_entropy(
    logits: Float[Tensor, "batch classes"], truth: Float[Tensor, "batch classes"], weights: Float[Tensor, " classes"]
) -> Float[Tensor, ""]:
    """Cross-entropy against the distribution of the raters' votes, `truth`, whose rows sum to 1.

        L = sum over i and k of truth[i, k] w[k] * -log softmax(logits_i)[k] / sum over i and k of truth[i, k] w[k]

    Where all raters agree it is `weighted_cross_entropy`.
    """
    share = truth * weights.to(logits.device, logits.dtype, non_blocking=True)
    return -(share * F.log_softmax(logits, dim=1)).sum() / share.sum()


def inverse_frequency(codes: Int[Tensor, " samples"], classes: int) -> Float[Tensor, " classes"]:
    """Weight of each class, 1 / its share of `codes`, scaled such that the mean weight of the samples is 1.

        w[k] = samples / (classes * samples of class k)

    Raises ValueError for a class that no sample has, whose weight would be infinite, and for a code that is no class.
    """
    if len(codes) and not 0 <= codes.min() <= codes.max() < classes:
        raise ValueError(f"codes are between {codes.min()} and {codes.max()}; expected 0 to {classes - 1}")
    return _inverse(torch.bincount(codes.cpu(), minlength=classes))


def _inverse(counts: Tensor) -> Tensor:
    """The weights of `inverse_frequency` where each class has these `counts` (classes,), which may be fractions."""
    classes = len(counts)
    absent = (counts == 0).nonzero().flatten().tolist()
    if absent:
        raise ValueError(
            f"{len(absent)} of {classes} classes have no sample in the training set, codes {first(absent)}; leave them "
            "out, or train on a set that has them"
        )
    return counts.sum().item() / (classes * counts.float())


def mse_loss(
    prediction: Float[Tensor, "batch dimensions"], truth: Float[Tensor, "batch dimensions"]
) -> Float[Tensor, ""]:
    """Mean of (prediction - truth)^2 over samples and dimensions (section 6.1), in squared units of the scale."""
    return F.mse_loss(prediction, truth)


def ccc_loss(
    prediction: Float[Tensor, "batch dimensions"], truth: Float[Tensor, "batch dimensions"]
) -> Float[Tensor, ""]:
    """Mean over the dimensions of 1 - CCC (section 6.2), between 0 and 2; one CCC a dimension, population moments.

        CCC = 2 cov(prediction, truth) / (var(prediction) + var(truth) + (mean(prediction) - mean(truth))^2)

    Moments are of the utterances of the batch. None is masked: datasets.source.read leaves out what lacks a rating.

    Where prediction and truth are both constant and equal, the quotient is 0 / 0. Its value there is taken as 0, a
    loss of 1: a constant truth has no covariance with anything, so 0 is also the limit from every side. The gradient
    is 0 there (and where the denominator is less than the least normal number), and finite everywhere.
    """
    truth_mean, prediction_mean = truth.mean(0), prediction.mean(0)
    truth_part, prediction_part = truth - truth_mean, prediction - prediction_mean
    covariance = (truth_part * prediction_part).mean(0)
    distance = truth_part.square().mean(0) + prediction_part.square().mean(0) + (truth_mean - prediction_mean).square()
    concordance = 2 * covariance / torch.where(distance > torch.finfo(distance.dtype).tiny, distance, 1)
    return (1 - concordance).mean()


@dataclass(frozen=True)
class Objective:
    """What a model is trained for: the loss to be minimised, and the score by which the best epoch is chosen."""

    name: str
    loss: Callable[[Tensor, Tensor], Tensor]  # of (batch, outputs) logits and the batch's target
    score: Callable[[np.ndarray, np.ndarray], float]  # of truth and (n, outputs) logits; higher is better
    outputs: int


def objective(name: str, target: Tensor, outputs: int) -> Objective:
    """The objective `name` for a training set with this `target` (section 4.2).

    - categories: cross-entropy weighted by inverse class frequency, scored by UAR; target (n,) int64 codes
    - smoothed, focal: likewise, with that loss
    - votes: likewise, of target (n, outputs) float32, each rater's share; the development set has codes
    - mse, ccc: that loss, scored by the mean CCC over the dimensions; target (n, outputs) float32 ratings

    Args:
        name: A key of OBJECTIVES.
        target: Of the training set.
        outputs: Classes or dimensions.

    Raises:
        ValueError: Another name, a target of another shape, or a class without a sample.
    """
    if name not in OBJECTIVES:
        raise ValueError(f"unknown objective '{name}'{did_you_mean(name, OBJECTIVES)}")
    return OBJECTIVES[name](name, target, outputs)


def _of_categories(loss: Callable[..., Tensor], votes: bool = False) -> Callable[[str, Tensor, int], Objective]:
    """A function that makes the objective of a `loss` of categories with weights of the classes, for OBJECTIVES."""

    def make(name: str, target: Tensor, outputs: int) -> Objective:
        if votes:
            _check_target(name, target, outputs, (len(target), outputs), "float32 shares of the votes")
            weights = _inverse(target.sum(0).cpu())
        else:
            _check_target(name, target, outputs, (len(target),), "int64 codes")
            weights = inverse_frequency(target, outputs)
        return Objective(name, partial(loss, weights=weights), _recall, outputs)

    return make


def _of_dimensions(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[str, Tensor, int], Objective]:
    """A function that makes the objective of a `loss` of ratings, for OBJECTIVES."""

    def make(name: str, target: Tensor, outputs: int) -> Objective:
        _check_target(name, target, outputs, (len(target), outputs), "float32 ratings")
        return Objective(name, loss, _concordance, outputs)

    return make


OBJECTIVES = {
    "categories": _of_categories(weighted_cross_entropy),
    "smoothed": _of_categories(smoothed_cross_entropy),
    "focal": _of_categories(focal_loss),
    "votes": _of_categories(votes_cross_entropy, votes=True),
    "mse": _of_dimensions(mse_loss),
    "ccc": _of_dimensions(ccc_loss),
}
"""Name in a section's record -> function (name, target of the training set, outputs) that makes the objective.

A new loss is a function and an entry, `"mine": _of_dimensions(mine_loss)`; to train with it, name it as the `objective`
of a section in the registry, or, one of categories, among settings.CHOICES, so that runs can choose it.
"""


def _check_target(name: str, target: Tensor, outputs: int, shape: tuple[int, ...], kind: str) -> None:
    if target.shape != shape or target.is_floating_point() != kind.startswith("float"):
        raise ValueError(
            f"objective '{name}' with {outputs} outputs needs a target of shape {shape}, {kind}; found "
            f"{tuple(target.shape)}, {target.dtype}"
        )


def _recall(truth: np.ndarray, logits: np.ndarray) -> float:
    return metrics.unweighted_average_recall(truth, logits.argmax(1), range(logits.shape[1]))


def _concordance(truth: np.ndarray, logits: np.ndarray) -> float:
    return float(np.mean([metrics.concordance_correlation(truth[:, i], logits[:, i]) for i in range(truth.shape[1])]))
