"""The losses are the paper's, with one CCC a dimension, and never give a gradient that is not finite."""

import audmetric
import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from sercore import losses, metrics, settings
from sercore.losses import (
    ccc_loss,
    focal_loss,
    inverse_frequency,
    mse_loss,
    objective,
    smoothed_cross_entropy,
    votes_cross_entropy,
    weighted_cross_entropy,
)


def ratings(samples=20, dimensions=3, seed=0):
    chance = torch.Generator().manual_seed(seed)
    truth = 4 + torch.randn(samples, dimensions, generator=chance)
    return 0.6 * truth + 1 + 0.5 * torch.randn(samples, dimensions, generator=chance), truth


def test_cross_entropy_by_hand():
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6], [0.1, 0.1, 0.8]]))
    truth, weights = torch.tensor([0, 2, 2]), torch.tensor([2.0, 1.0, 1.0])
    # (2 * -ln .5 + -ln .6 + -ln .8) / (2 + 1 + 1) = (1.38629 + .51083 + .22314) / 4
    assert weighted_cross_entropy(logits, truth, weights).item() == pytest.approx(0.530066, abs=1e-5)


def test_a_common_factor_of_the_weights_changes_nothing():
    logits, truth, weights = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 4, None
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
    torch.testing.assert_close(
        weighted_cross_entropy(logits, truth, weights), weighted_cross_entropy(logits, truth, 100 * weights)
    )


def test_with_inverse_frequency_each_class_counts_the_same():
    truth = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1])
    weights = inverse_frequency(truth, 2)
    torch.testing.assert_close(weights, torch.tensor([8 / (2 * 6), 8 / (2 * 2)]))
    logits = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    each = torch.nn.functional.cross_entropy(logits, truth, reduction="none")
    torch.testing.assert_close(weighted_cross_entropy(logits, truth, weights), (each[:6].mean() + each[6:].mean()) / 2)


def test_a_class_that_no_sample_has_gets_no_weight():
    with pytest.raises(ValueError, match="2 of 4 classes have no sample in the training set, codes 1, 3"):
        inverse_frequency(torch.tensor([0, 2, 2]), 4)
    with pytest.raises(ValueError, match="between 0 and 4; expected 0 to 3"):
        inverse_frequency(torch.tensor([0, 4]), 4)


def categories(samples=12, classes=4):
    chance = torch.Generator().manual_seed(0)
    weights = 0.5 + torch.rand(classes, generator=chance)
    return torch.randn(samples, classes, generator=chance), torch.arange(samples) % classes, weights


def test_smoothed_labels_are_a_tenth_of_every_class():
    logits, truth, weights = categories()
    shares = 0.9 * torch.nn.functional.one_hot(truth, 4) + 0.1 / 4
    each = -(shares * weights * torch.log_softmax(logits, 1)).sum(1)
    torch.testing.assert_close(smoothed_cross_entropy(logits, truth, weights), each.sum() / weights[truth].sum())


def test_focal_loss_by_hand_and_without_focus(monkeypatch):
    logits, truth = torch.log(torch.tensor([[0.5, 0.5], [0.2, 0.8]])), torch.tensor([0, 1])
    # (2 * .5^2 * -ln .5 + .2^2 * -ln .8) / (2 + 1) = (.346574 + .008926) / 3
    assert focal_loss(logits, truth, torch.tensor([2.0, 1.0])).item() == pytest.approx(0.118500, abs=1e-5)
    monkeypatch.setattr(losses, "FOCUS", 0.0)
    torch.testing.assert_close(focal_loss(*categories()), weighted_cross_entropy(*categories()))


def test_a_focal_loss_of_what_is_certain_has_a_finite_gradient():
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    loss = focal_loss(logits, torch.tensor([0, 0]), torch.ones(2))
    loss.backward()
    assert loss.item() == pytest.approx(400 / 2)
    assert logits.grad.isfinite().all()


def test_votes_of_one_mind_are_the_majority_and_others_are_between():
    logits, truth, weights = categories()
    sure = torch.nn.functional.one_hot(truth, 4).float()
    torch.testing.assert_close(
        votes_cross_entropy(logits, sure, weights), weighted_cross_entropy(logits, truth, weights)
    )
    # the best answer to votes of 3 to 1 is 3/4, not certainty
    votes, even = torch.tensor([[0.75, 0.25]]), torch.ones(2)
    answers = [votes_cross_entropy(torch.tensor([[p, 1 - p]]).log(), votes, even).item() for p in (0.6, 0.75, 0.99)]
    assert min(answers) == answers[1]


def test_classes_weigh_by_the_votes_that_they_have():
    shares = torch.tensor([[0.75, 0.25], [0.5, 0.5], [1.0, 0.0]])
    made = objective("votes", shares, 2)
    torch.testing.assert_close(made.loss.keywords["weights"], torch.tensor([3 / (2 * 2.25), 3 / (2 * 0.75)]))
    assert made.score(np.array([0, 1]), np.eye(2)) == 1  # codes


def test_every_objective_that_a_run_can_choose_is_there():
    chosen = settings.CHOICES["objective"]
    assert settings.TrainingSettings().objective == chosen[0]
    assert set(chosen[1:]) < set(losses.OBJECTIVES)
    for name in chosen[1:]:
        target = torch.eye(2) if name == "votes" else torch.tensor([0, 1])
        assert objective(name, target, 2).loss(torch.zeros(2, 2), target).item() > 0


def test_squared_error_by_hand():
    # ((1 - 2)^2 + (3 - 3)^2 + (0 - 2)^2 + (1 - 0)^2) / 4
    assert mse_loss(torch.tensor([[1.0, 3.0], [0.0, 1.0]]), torch.tensor([[2.0, 3.0], [2.0, 0.0]])).item() == 1.5


def test_ccc_loss_is_one_minus_the_ccc_of_each_dimension():
    prediction, truth = ratings()
    mine = 1 - ccc_loss(prediction, truth).item()
    columns = [(truth[:, i].numpy(), prediction[:, i].numpy()) for i in range(3)]
    assert mine == pytest.approx(np.mean([metrics.concordance_correlation(*pair) for pair in columns]), abs=1e-6)
    assert mine == pytest.approx(np.mean([audmetric.concordance_cc(*pair) for pair in columns]), abs=1e-6)


def test_dimensions_are_never_pooled():
    truth = torch.tensor([[1.0, 11.0], [2.0, 12.0], [3.0, 13.0]])
    prediction = truth.flip(0)  # against the truth in both dimensions, though the pooled CCC is .97
    assert ccc_loss(prediction, truth).item() == pytest.approx(2)
    assert ccc_loss(prediction.reshape(-1, 1), truth.reshape(-1, 1)).item() < 0.1


def test_ccc_loss_is_0_for_the_truth_and_1_for_its_mean():
    _, truth = ratings()
    assert ccc_loss(truth, truth).item() == pytest.approx(0, abs=1e-6)
    assert ccc_loss(truth + 1, truth).item() > 0.2  # unlike 1 - PCC
    assert ccc_loss(truth.mean(0).expand_as(truth), truth).item() == pytest.approx(1)


def test_gradients_of_the_ccc_loss_are_right():
    prediction, truth = (part.double() for part in ratings(samples=5))
    assert torch.autograd.gradcheck(ccc_loss, (prediction.requires_grad_(), truth))


@pytest.mark.parametrize(
    ("prediction", "truth"),
    [
        ([2.0, 2.0], [2.0, 2.0]),
        ([3.0, 3.0], [2.0, 2.0]),
        ([1.0, 3.0], [2.0, 2.0]),
        ([2.0, 2.0], [1.0, 3.0]),
        ([2.0], [2.0]),
        ([0.0, 0.0], [0.0, 0.0]),
        ([1e-20, 0.0], [0.0, 0.0]),
    ],
)
def test_degenerate_ratings_have_a_loss_of_one_and_a_finite_gradient(prediction, truth):
    prediction = torch.tensor(prediction)[:, None].requires_grad_()
    loss = ccc_loss(prediction, torch.tensor(truth)[:, None])
    loss.backward()
    assert loss.item() == pytest.approx(1)
    assert prediction.grad.isfinite().all()


@pytest.mark.parametrize("loss", [mse_loss, ccc_loss])
def test_a_prediction_of_another_shape_than_the_truth_is_refused(loss):
    prediction, truth = ratings()
    with pytest.raises(TypeCheckError):
        loss(prediction[:, 0], truth[:, 0])
    with pytest.raises(TypeCheckError):
        loss(prediction[:, :1], truth)


def test_objectives_score_as_the_paper_evaluates():
    codes = torch.tensor([0, 0, 0, 1])
    categories = objective("categories", codes, 2)
    logits = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], dtype=np.float32)
    assert categories.score(codes.numpy(), logits) == pytest.approx((2 / 3 + 1) / 2)
    assert categories.loss(torch.from_numpy(logits), codes).item() == pytest.approx(
        weighted_cross_entropy(torch.from_numpy(logits), codes, torch.tensor([2 / 3, 2.0])).item()
    )
    prediction, truth = ratings()
    for name, loss in (("mse", mse_loss), ("ccc", ccc_loss)):
        chosen = objective(name, truth, 3)
        assert chosen.loss is loss
        assert chosen.score(truth.numpy(), prediction.numpy()) == pytest.approx(1 - ccc_loss(prediction, truth).item())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cc", torch.zeros(3, 2), 2), "unknown objective 'cc'; did you mean 'ccc'"),
        (("ccc", torch.zeros(3, 2), 3), r"needs a target of shape \(3, 3\), float32 ratings; found \(3, 2\)"),
        (("mse", torch.zeros(3), 1), r"of shape \(3, 1\)"),
        (("categories", torch.zeros(3), 2), "int64 codes; found .*float32"),
        (("categories", torch.zeros(3, dtype=torch.int64), 2), "1 of 2 classes have no sample"),
        (("votes", torch.zeros(3, dtype=torch.int64), 2), r"shape \(3, 2\), float32 shares of the votes; found \(3,\)"),
        (("votes", torch.tensor([[1.0, 0.0]]), 2), "1 of 2 classes have no sample"),
    ],
)
def test_an_objective_that_does_not_fit_its_target_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        objective(*arguments)


def test_a_new_objective_is_one_entry(monkeypatch):
    entry = losses._of_dimensions(lambda prediction, truth: (prediction - truth).abs().mean())
    monkeypatch.setitem(losses.OBJECTIVES, "mae", entry)
    goal = losses.objective("mae", torch.zeros(4, 2), 2)
    assert goal.loss(torch.full((4, 2), 3.0), torch.zeros(4, 2)) == 3
