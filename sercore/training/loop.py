"""Training as a generator of epochs, and the way from a trained model to the predictions table."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from sercore import schema
from sercore.datasets.batches import Dataset
from sercore.losses import Objective
from sercore.settings import TrainingSettings
from sercore.training import optimisers, resume
from sercore.training.device import autocast, kernels, memory_kept, prepare

DEVICE = "SERCORE_DEVICE"  # environment variable that names a device in place of the one picked
LOSSES_CHECKED = 32  # steps; at each step, a GPU would have to wait
ORDER, RANDOMNESS = 1, 2  # what a seed is used for: each use has a stream of random numbers of its own


class Epoch(NamedTuple):
    """One pass over the training set and what came of it: one row of the history."""

    epoch: int  # from 1
    loss: float  # mean over the utterances
    development: float  # score
    best: bool  # so far; an equal score later is not better
    learning_rate: float  # of the last step
    seconds: float  # training and evaluation
    utterances_per_second: float  # training alone


def pick_device(name: str | torch.device | None = None) -> torch.device:
    """`name` where it is given, else the environment's SERCORE_DEVICE, else CUDA, MPS, CPU: the first there is.

    Raises ValueError for a device that PyTorch does not know or does not have here.
    """
    name = name or os.environ.get(DEVICE)
    if name:
        try:
            return torch.empty(0, device=name).device
        except (RuntimeError, AssertionError) as error:  # a build without CUDA asserts
            reason = str(error).splitlines()[0]
            raise ValueError(f"no device '{name}' here ({reason}); name another, or none, in {DEVICE}") from error
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def fit(
    model: nn.Module,
    objective: Objective,
    train: Dataset,
    development: Dataset,
    settings: TrainingSettings,
    seed: int,
    crop_frames: int | None = None,
    device: str | torch.device | None = None,
    memory: resume.TrainingState | None = None,
    beat: Callable[[], None] | None = None,
) -> Iterator[Epoch]:
    """Train `model` in place and yield each epoch, until `settings.epochs` or an early stop (section 4.2).

    When the iteration ends, in whatever way (the caller may close it, an error may end it), the model has the weights
    of the epoch that is best on `development`, the earlier of equal ones, and is in evaluation mode. A linear schedule
    ends the training where its rate reaches 0, if that is sooner.

    All chance (order, crops, dropout) comes from `seed`; PyTorch's global state is left as it was between epochs, and
    the same seed on the same device gives the same weights. `crop_frames`: see Dataset.plan. `device`: see pick_device.
    `settings.precision` "auto" is bfloat16 on a GPU that has it, else float32.

    With a `memory`, the training goes on where an interrupted one of the same memory was: its epochs are yielded first,
    as they were, and what follows is what would have followed. `beat` is called after each batch.

    Raises ValueError for settings that do not fit the data and a development set that has no score, such as one that
    lacks a class, and FloatingPointError, naming epoch and step, for a loss that is not finite.
    """
    device = pick_device(device)
    truth = development.target.cpu().numpy()
    if np.isnan(objective.score(truth, np.zeros((len(truth), objective.outputs), dtype=np.float32))):
        raise ValueError(
            f"the development set of {len(truth)} utterances has no score for '{objective.name}': it lacks a class or "
            "is too small; split the corpus otherwise"
        )
    order = torch.Generator().manual_seed(_seed(seed, ORDER))
    steps_per_epoch = len(train.plan(settings.batch, torch.Generator().manual_seed(0), crop_frames))
    total = optimisers.total_steps(settings, steps_per_epoch)
    course = TrainLoop(
        model=prepare(model.to(device), settings),
        objective=objective,
        optimiser=optimisers.optimiser(model.parameters(), settings),
        rate=partial(optimisers.rate, settings=settings, total=total),
        autocast=partial(autocast, device, settings.precision),
    )
    train.to(device)
    epochs: list[Epoch] = []
    kept = None
    try:
        held = memory.load(model, course.optimiser, order) if memory is not None else None
        if held is not None:
            course.step, kept = held.step, held.best
            epochs = [Epoch(**row) for row in held.epochs]
            yield from epochs
        while not _is_over(epochs, settings) and course.step != total:
            start = time.perf_counter()
            number = len(epochs) + 1
            with (
                _own_randomness(device, _seed(seed, RANDOMNESS, number)),
                kernels(settings),
                memory_kept(device),
            ):
                batches = resume.with_heartbeat(train.batches(settings.batch, order, crop_frames), beat)
                loss, seen = course.run(number, batches, total)
            trained = time.perf_counter()
            found = predict(model, development, device, settings.evaluation_batch, beat, settings.evaluation_precision)
            score = float(objective.score(truth, found))
            better = score > _best(epochs)
            if better:
                kept = {name: value.detach().clone() for name, value in model.state_dict().items()}
            epoch = Epoch(
                epoch=number,
                loss=loss,
                development=score,
                best=better,
                learning_rate=course.optimiser.param_groups[0]["lr"],
                seconds=time.perf_counter() - start,
                utterances_per_second=seen / (trained - start),
            )
            epochs.append(epoch)
            if memory is not None:
                state = resume.Progress(course.step, [row._asdict() for row in epochs], kept)
                over = _is_over(epochs, settings) or course.step == total
                memory.save(model, course.optimiser, order, state, over)
            yield epoch
    finally:
        if kept is not None:
            model.load_state_dict(kept)
        model.eval()


def _best(epochs: Sequence[Epoch]) -> float:
    """The best score so far."""
    return next((epoch.development for epoch in reversed(epochs) if epoch.best), -np.inf)


def _is_over(epochs: Sequence[Epoch], settings: TrainingSettings) -> bool:
    """Whether all epochs are done, or the last one was worse than the best where that is to end the training."""
    worse = bool(epochs) and epochs[-1].development < _best(epochs)
    return len(epochs) == settings.epochs or (settings.stop_when_worse and worse)


@dataclass
class TrainLoop:
    """What goes on from step to step."""

    model: nn.Module
    objective: Objective
    optimiser: torch.optim.Optimizer
    rate: Callable[[int], float]
    autocast: Callable[[], contextlib.AbstractContextManager]
    step: int = 0  # over all epochs

    def run(self, epoch: int, batches: Iterator[Any], total: int | None) -> tuple[float, int]:
        """Train on `batches` until step `total`. Mean loss, and utterances seen. Raises FloatingPointError."""
        self.model.train()
        found: list[Tensor] = []
        sizes: list[int] = []
        for batch in batches:
            if self.step == total:
                break
            for group in self.optimiser.param_groups:
                group["lr"] = self.rate(self.step)
            with self.autocast():
                logits = self.model(*batch.inputs).logits
            loss = self.objective.loss(logits.float(), batch.target)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.step()
            found.append(loss.detach())
            sizes.append(len(batch.rows))
            self.step += 1
            if len(found) % LOSSES_CHECKED == 0:
                self._check(epoch, found[-LOSSES_CHECKED:], len(found) - LOSSES_CHECKED)
        done = len(found) - len(found) % LOSSES_CHECKED
        self._check(epoch, found[done:], done)
        return float(np.average(torch.stack(found).tolist(), weights=sizes)), sum(sizes)

    def _check(self, epoch: int, found: list[Tensor], done: int) -> None:
        if not found:
            return
        values = torch.stack(found).cpu()
        wrong = (~values.isfinite()).nonzero().flatten()
        if len(wrong):
            first = int(wrong[0])
            raise FloatingPointError(
                f"the loss is {values[first]:g} at epoch {epoch}, step {done + first + 1}, with learning rate "
                f"{self.optimiser.param_groups[0]['lr']:g}: training diverged; lower learning_rate, or look for "
                "log-mels, embeddings or ratings that are not finite"
            )


def predict(
    model: nn.Module,
    dataset: Dataset,
    device: str | torch.device | None = None,
    batch: int = 64,
    beat: Callable[[], None] | None = None,
    precision: str = "float32",
) -> np.ndarray:
    """Logits of `model` for each utterance, (n, outputs) float32 in the dataset's order; it stays in evaluation mode.

    No chance is involved. `beat` is called after each batch. Raises FloatingPointError for one that is not finite.
    """
    device = pick_device(device)
    model.to(device).eval()
    dataset.to(device)
    rows, logits = [], []
    with torch.inference_mode(), autocast(device, precision), memory_kept(device):
        for part in resume.with_heartbeat(dataset.batches(batch, None), beat):
            rows.append(part.rows)
            logits.append(model(*part.inputs).logits.float())
    found = torch.cat(logits).cpu().numpy()
    ordered = np.empty_like(found)
    ordered[torch.cat(rows).numpy()] = found
    wrong = ~np.isfinite(ordered).all(1)
    if wrong.any():
        offenders = schema.first(dataset.utterances["utterance"][wrong])
        raise FloatingPointError(
            f"{wrong.sum()} of {len(wrong)} answers are not finite, of {offenders}: the model's weights or its "
            "inputs are not finite"
        )
    return ordered


def predictions_table(
    logits: np.ndarray, dataset: Dataset, keys: Mapping[str, Any], names: Sequence[str]
) -> pd.DataFrame:
    """The predictions table of `logits` (n, outputs) for the utterances of `dataset`, in its order.

    `keys` are the columns that all rows share (the run's keys, partition, simulated). `names` are the classes of a
    dataset of codes: one row an utterance, with the most probable class and a probability for each; or the dimensions
    of a dataset of ratings: one row an utterance and dimension. Raises ValueError where the parts do not fit.
    """
    own = {"utterance", "speaker", "gender", "style", "target", "truth", "prediction"}
    wrong = (set(schema.PREDICTION_COLUMNS) - own) ^ set(keys)
    if wrong:
        raise ValueError(f"keys of a predictions table: {schema.first(sorted(wrong))} missing, or too many")
    if logits.shape != (len(dataset), len(names)):
        raise ValueError(f"logits are {logits.shape}; expected {len(dataset)} utterances and {len(names)} {names}")
    truth = dataset.target.cpu().numpy()
    rows = dataset.utterances[["utterance", "speaker", "gender", "style"]].assign(**keys)
    if truth.ndim == 1:
        odds = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
        shares = odds / odds.sum(1, keepdims=True)
        classes = np.asarray(names, dtype=object)
        table = rows.assign(target=schema.EMOTION, truth=classes[truth], prediction=classes[logits.argmax(1)])
        table = table.assign(**{f"{schema.PROBABILITY}{name}": shares[:, i] for i, name in enumerate(names)})
    else:
        parts = [rows.assign(target=n, truth=truth[:, i], prediction=logits[:, i]) for i, n in enumerate(names)]
        table = pd.concat(parts, ignore_index=True)
    order = [*schema.PREDICTION_COLUMNS, *schema.probability_columns(table)]
    return schema.check_predictions(table[order], "predictions of the model")


def _seed(seed: int, *use: int) -> int:
    """A seed for one use, unrelated to those of the others."""
    return int(np.random.SeedSequence([seed, *use]).generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextlib.contextmanager
def _own_randomness(device: torch.device, seed: int) -> Iterator[None]:
    """PyTorch's global random numbers start at `seed` inside (dropout draws from them), and go on as before outside.

    Inside, cuDNN takes only algorithms whose sums are the same in every run.
    """
    devices = [device.index] if device.type == "cuda" else []
    deterministic = torch.backends.cudnn.deterministic
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        torch.backends.cudnn.deterministic = True
        try:
            yield
        finally:
            torch.backends.cudnn.deterministic = deterministic
