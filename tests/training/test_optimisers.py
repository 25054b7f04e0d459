"""Learning rates and updates, by hand."""

import numpy as np
import pytest
import torch

from sercore.settings import TrainingSettings
from sercore.training.optimisers import DecoupledAdam, optimiser, rate, total_steps


def test_adam_follows_its_formula():
    gradients = [torch.tensor([0.5, -2.0]), torch.tensor([1.0, 0.1]), torch.tensor([0.0, 3.0])]
    weight = torch.nn.Parameter(torch.tensor([1.0, -1.0]))
    unused = torch.nn.Parameter(torch.ones(1))
    adam = DecoupledAdam([weight, unused], lr=0.1, betas=(0.9, 0.99), eps=0.01, decay=0.5)
    for gradient in gradients:
        weight.grad = gradient.clone()
        adam.step()
    for i in range(2):
        p, m, v = (1.0, -1.0)[i], 0.0, 0.0
        for gradient in gradients:
            g = gradient[i].item()
            m = 0.9 * m + 0.1 * g
            v = 0.99 * v + 0.01 * g**2
            p -= 0.1 * m / (v**0.5 + 0.01)
            p -= 0.1 * 0.5 * p
        assert weight[i].item() == pytest.approx(p, rel=1e-5)
    assert unused.item() == pytest.approx(0.95**3)  # decays, as its gradient is zero
    assert adam.param_groups[0]["lr"] == 0.1


def test_adam_does_not_correct_its_bias():
    weight = torch.nn.Parameter(torch.tensor([0.0]))
    adam = DecoupledAdam([weight], lr=1e-3)
    weight.grad = torch.tensor([7.0])
    adam.step()
    # (1 - .9) g / sqrt((1 - .999) g^2) = .1 / sqrt(.001) = 3.162 learning rates; torch's own would go one
    assert weight.item() == pytest.approx(-3.1623e-3, rel=1e-3)


def test_sgd_is_nesterovs():
    weight = torch.nn.Parameter(torch.tensor([1.0]))
    sgd = optimiser([("weight", weight)], TrainingSettings(learning_rate=0.1, momentum=0.9))
    velocity, expected = 0.0, 1.0
    for gradient in (1.0, 0.5):
        weight.grad = torch.tensor([gradient])
        sgd.step()
        velocity = 0.9 * velocity + gradient
        expected -= 0.1 * (gradient + 0.9 * velocity)
        assert weight.item() == pytest.approx(expected)
    assert optimiser([("weight", weight)], TrainingSettings(momentum=0.0)).param_groups[0]["nesterov"] is False


def test_fine_tuning_takes_the_papers_optimiser():
    adam = optimiser([("weight", torch.nn.Parameter(torch.ones(1)))], TrainingSettings.fine_tuning())
    assert isinstance(adam, DecoupledAdam)
    assert {key: adam.param_groups[0][key] for key in ("lr", "betas", "eps", "weight_decay")} == {
        "lr": 2e-5,
        "betas": (0.9, 0.999),
        "eps": 1e-6,
        "weight_decay": 0,
    }
    assert adam.decay == 0


def rates(settings, steps_per_epoch, steps):
    total = total_steps(settings, steps_per_epoch)
    return [rate(step, settings, total) for step in steps]


def test_schedules_by_hand():
    fixed = TrainingSettings(learning_rate=1.0, schedule="steps", total_steps=20, warmup_steps=4)
    assert rates(fixed, 1000, [0, 2, 4, 12, 19, 20, 30]) == pytest.approx([0, 0.5, 1, 0.5, 1 / 16, 0, 0])
    whole = TrainingSettings(learning_rate=1.0, schedule="epochs", epochs=4, warmup_steps=4)
    assert rates(whole, 5, [0, 2, 4, 12, 19]) == rates(fixed, 1, [0, 2, 4, 12, 19])
    constant = TrainingSettings(learning_rate=0.5, warmup_steps=4, epochs=4)
    assert rates(constant, 5, [0, 2, 4, 100]) == [0, 0.25, 0.5, 0.5]
    assert total_steps(constant, 5) is None


def test_a_cosine_goes_from_the_rate_to_zero_and_is_at_half_of_it_half_way():
    cosine = TrainingSettings(learning_rate=1.0, schedule="cosine", epochs=4, warmup_steps=4)  # 20 steps in all
    assert rates(cosine, 5, [0, 2, 4, 12, 20, 30]) == pytest.approx([0, 0.5, 1, 0.5, 0, 0])
    assert rates(cosine, 5, [8, 16]) == pytest.approx([(1 + 0.5**0.5) / 2, (1 - 0.5**0.5) / 2])
    line = TrainingSettings(learning_rate=1.0, schedule="epochs", epochs=4, warmup_steps=4)
    differences = np.subtract(rates(cosine, 5, range(20)), rates(line, 5, range(20)))
    assert (differences[5:12] > 0).all()
    assert (differences[13:20] < 0).all()
    assert total_steps(cosine, 5) == 20


def test_warming_up_until_the_end_is_refused():
    with pytest.raises(ValueError, match="warmup_steps is 100 of 40 steps in all; expected fewer, such as 4"):
        total_steps(TrainingSettings(schedule="epochs", epochs=4, warmup_steps=100), 10)


def test_the_fused_update_is_that_of_single_operations_but_for_rounding():
    chance = torch.Generator().manual_seed(0)
    start, slope = torch.randn(100, generator=chance), torch.randn(100, generator=chance)
    ends = []
    for fused in (False, True):
        parameter = torch.nn.Parameter(start.clone())
        course = optimiser([("weight", parameter)], TrainingSettings(fused=fused))
        for _ in range(5):
            parameter.grad = slope.clone()
            course.step()
        ends.append(parameter.detach())
    torch.testing.assert_close(*ends, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_what_reads_the_text_may_learn_at_another_rate(kind):
    """Both parameters have the same gradient; the projection moves three times as far."""
    settings = TrainingSettings(optimiser=kind, learning_rate=0.1, text_learning_rate=3.0)
    parts = {name: torch.nn.Parameter(torch.zeros(2)) for name in ("fc1.weight", "project.6.weight")}
    course = optimiser(parts.items(), settings)
    for group in course.param_groups:
        group["lr"] = rate(0, settings, None) * group.get("factor", 1)
    for parameter in parts.values():
        parameter.grad = torch.ones(2)
    course.step()
    torch.testing.assert_close(parts["project.6.weight"], 3 * parts["fc1.weight"])
    assert parts["fc1.weight"].abs().min() > 0


def test_a_rate_of_the_text_needs_a_network_that_reads():
    with pytest.raises(ValueError, match="text_learning_rate is of a network that text conditions"):
        optimiser([("fc1.weight", torch.nn.Parameter(torch.ones(1)))], TrainingSettings(text_learning_rate=2.0))
