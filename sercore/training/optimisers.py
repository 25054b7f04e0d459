"""The optimisers and learning rates of section 4.2."""

import math
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, overload

import torch
from torch import Tensor
from torch.optim import SGD, Adam, Optimizer

from sercore.settings import TrainingSettings

TEXT = "project."  # beginning of the names of what turns a text into a change of the blocks


class DecoupledAdam(Adam):
    """Adam with decoupled weight decay and no bias correction, as BERT was trained.

        m = b1 m + (1 - b1) g
        v = b2 v + (1 - b2) g^2
        p = p - lr m / (sqrt(v) + eps)
        p = p - lr decay p

    PyTorch's Adam divides m by c1 = 1 - b1^step and v by c2 = 1 - b2^step, and has no option to leave that out. But
    with the rate lr c1 / sqrt(c2) and eps / sqrt(c2) these cancel, and its fused update is five times as fast as one in
    single operations. Without the correction the first steps are three to seven times as long: hence the warm-up.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        decay: float = 0.0,
    ) -> None:
        """The defaults are BERT's."""
        super().__init__(parameters, lr, betas, eps, fused=True)
        self.decay = decay
        self.updates = 0

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> NoReturn: ...
    def step(self, closure: Callable[[], float] | None = None) -> None:
        """One update of every parameter; one that has no gradient is taken to have one of zero.

        Raises ValueError for a closure, which would have to be evaluated in between.
        """
        if closure is not None:
            raise ValueError("DecoupledAdam takes no closure: compute the gradients before the step")
        self.updates += 1
        usual = [(group["lr"], group["eps"]) for group in self.param_groups]
        for group, (rate, eps) in zip(self.param_groups, usual, strict=True):
            c1, root = 1 - group["betas"][0] ** self.updates, math.sqrt(1 - group["betas"][1] ** self.updates)
            group["lr"], group["eps"] = rate * c1 / root, eps / root
            for parameter in group["params"]:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
        super().step()
        for group, (rate, eps) in zip(self.param_groups, usual, strict=True):
            group["lr"], group["eps"] = rate, eps
            if self.decay:
                with torch.no_grad():
                    torch._foreach_mul_(group["params"], 1 - rate * self.decay)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Put the state of another one of the same parameters in place of this one's."""
        super().load_state_dict(state_dict)
        self.updates = max((int(held["step"]) for held in self.state.values()), default=0)


def optimiser(parameters: Iterable[tuple[str, Tensor]], settings: TrainingSettings) -> Optimizer:
    """What `settings.optimiser` names, SGD with Nesterov momentum or DecoupledAdam, of those that are to be trained.

    Args:
        parameters: Of the model, each with its name.
        settings: With a `text_learning_rate` other than 1, those named "project." are a group with it as `factor`.
    """
    wanted = [(name, parameter) for name, parameter in parameters if parameter.requires_grad]
    trained: Any = [parameter for _, parameter in wanted]
    if settings.text_learning_rate != 1:
        told = [parameter for name, parameter in wanted if name.startswith(TEXT)]
        rest = [parameter for name, parameter in wanted if not name.startswith(TEXT)]
        if not told:
            raise ValueError("text_learning_rate is of a network that text conditions, and this one has no projection")
        trained = [{"params": rest}, {"params": told, "factor": settings.text_learning_rate}]
    if settings.optimiser == "adam":
        return DecoupledAdam(trained, settings.learning_rate, decay=settings.weight_decay)
    rate, momentum, fused = settings.learning_rate, settings.momentum, settings.fused or None
    return SGD(trained, rate, momentum=momentum, nesterov=momentum > 0, fused=fused)


def total_steps(settings: TrainingSettings, steps_per_epoch: int) -> int | None:
    """Step at which the learning rate reaches 0, after which nothing is learnt; None for a constant rate.

    Raises ValueError where warming up would take all of it.
    """
    total = settings.epochs * steps_per_epoch if settings.total_steps is None else settings.total_steps
    if settings.warmup_steps >= total:
        raise ValueError(
            f"warmup_steps is {settings.warmup_steps} of {total} steps in all; expected fewer, such as {total // 10}"
        )
    return None if settings.schedule == "constant" else total


def rate(step: int, settings: TrainingSettings, total: int | None) -> float:
    """Learning rate at `step`, counted from 0 over all epochs: up from 0 over the warm-up, then down to 0 at `total`.

    Both ways are straight lines, but down is half a cosine where the schedule is "cosine"; where `total` is None the
    rate stays up.
    """
    factor = 1.0
    if step < settings.warmup_steps:
        factor = step / settings.warmup_steps
    elif total is not None:
        factor = max(0.0, (total - step) / (total - settings.warmup_steps))
        if settings.schedule == "cosine":
            factor = (1 - math.cos(math.pi * factor)) / 2
    return settings.learning_rate * factor
