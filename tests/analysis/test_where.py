"""Shapley values of stages: exact where they are known, estimated from fewer sets, with intervals that hold them."""

import itertools
import math

import numpy as np
import pytest

from sercore.analysis import where
from sercore.analysis.where import CORE, STAGES

SETS = [stages for k in range(7) for stages in itertools.combinations(STAGES, k)]


def by_orders(value):
    """The definition: the mean over all orders of what a stage adds when its turn comes."""
    total = np.zeros(6)
    for order in itertools.permutations(STAGES):
        for place, stage in enumerate(order):
            before, after = tuple(sorted(order[:place])), tuple(sorted(order[: place + 1]))
            total[stage - 1] += value[after] - value[before]
    return total / math.factorial(6)


def test_all_sets_give_the_shapley_values_of_the_definition():
    chance = np.random.default_rng(0)
    value = {stages: chance.normal() for stages in SETS}
    found = where.shapley({stages: np.array(score) for stages, score in value.items()})
    np.testing.assert_allclose(found, by_orders(value), atol=1e-10)
    assert found.sum() == pytest.approx(value[STAGES] - value[()])


def test_the_core_sets_give_them_where_scores_add_up():
    parts = np.array([0.3, -0.2, 0.0, 0.05, 0.5, 1.0])
    value = {stages: np.array([7 + sum(parts[stage - 1] for stage in stages)] * 3) for stages in CORE}
    assert len(CORE) == 16
    np.testing.assert_allclose(where.shapley(value), [parts] * 3, atol=1e-10)


def test_what_cannot_be_told_apart_is_refused():
    with pytest.raises(ValueError, match="need the runs without any stage and those with all"):
        where.shapley({(): np.array(0.0), (6,): np.array(1.0)})
    with pytest.raises(ValueError, match="1 sets between none and all do not tell the six stages apart"):
        where.shapley({(): np.array(0.0), (6,): np.array(1.0), STAGES: np.array(2.0)})
