"""The optimisers and learning rates of section 4.2."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer

from sercore.config import TrainingSettings


class DecoupledAdam(Optimizer):
    """Adam with decoupled weight decay and no bias correction, as BERT was trained.

        m = b1 m + (1 - b1) g
        v = b2 v + (1 - b2) g^2
        p = p - lr m / (sqrt(v) + eps)
        p = p - lr decay p

    torch.optim.AdamW divides m and v by 1 - b^step and cannot be asked not to. Without that the first steps are three
    to seven times as long, which warming up makes up for.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        """The defaults are BERT's."""
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            for p in parameters:
                if not self.state[p]:
                    self.state[p] = {"mean": torch.zeros_like(p), "square": torch.zeros_like(p)}
            gradients = [p.grad for p in parameters]
            means = [self.state[p]["mean"] for p in parameters]
            squares = [self.state[p]["square"] for p in parameters]
            beta1, beta2 = group["betas"]
            torch._foreach_lerp_(means, gradients, 1 - beta1)
            torch._foreach_mul_(squares, beta2)
            torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
            lengths = torch._foreach_sqrt(squares)
            torch._foreach_add_(lengths, group["eps"])
            torch._foreach_addcdiv_(parameters, means, lengths, -group["lr"])
            if group["weight_decay"]:
                torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        return loss


def optimiser(parameters: Iterable[Tensor], settings: TrainingSettings) -> Optimizer:
    """What `settings.optimiser` names: SGD with Nesterov momentum, or DecoupledAdam."""
    if settings.optimiser == "adam":
        return DecoupledAdam(parameters, settings.learning_rate, weight_decay=settings.weight_decay)
    return SGD(parameters, settings.learning_rate, momentum=settings.momentum, nesterov=settings.momentum > 0)


def total_steps(settings: TrainingSettings, steps_per_epoch: int) -> int | None:
    """Step at which the learning rate reaches 0, after which nothing is learnt; None for a constant rate.

    Raises ValueError where warming up would take all of it.
    """
    total = settings.total_steps if settings.schedule == "steps" else settings.epochs * steps_per_epoch
    if settings.warmup_steps >= total:
        raise ValueError(
            f"warmup_steps is {settings.warmup_steps} of {total} steps in all; expected fewer, such as {total // 10}"
        )
    return None if settings.schedule == "constant" else total


def rate(step: int, settings: TrainingSettings, total: int | None) -> float:
    """Learning rate at `step`, counted from 0 over all epochs: up from 0 over the warm-up, then down to 0 at `total`.

    Both ways are straight lines; where `total` is None the rate stays up.
    """
    factor = 1.0
    if step < settings.warmup_steps:
        factor = step / settings.warmup_steps
    elif total is not None:
        factor = max(0.0, (total - step) / (total - settings.warmup_steps))
    return settings.learning_rate * factor
