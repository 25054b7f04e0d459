"""Training as a generator of epochs, and the way from a trained model to the predictions table."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from sercore import schema
from sercore.datasets.augmentation import augment
from sercore.datasets.batches import Batch, Dataset
from sercore.losses import Objective
from sercore.models.cnn14 import Output
from sercore.settings import TrainingSettings
from sercore.training import optimisers
from sercore.training.device import autocast, kernels, memory_kept, prepare
from sercore.training.resume import Progress, TrainingState

DEVICE = "SERCORE_DEVICE"  # environment variable that names a device in place of the one picked
LOSSES_CHECKED = 32  # steps; at each step, a GPU would have to wait
ORDER, RANDOMNESS, AUGMENTATION = 1, 2, 3  # what a seed is used for: each use has a stream of random numbers of its own


class Epoch(NamedTuple):
    """One pass over the training set and what came of it: one row of the history."""

    epoch: int  # from 1
    loss: float  # mean over the utterances
    development: float  # score
    best: bool  # so far; an equal score later is not better. Where the last epoch is kept, each is
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
    *,
    seed: int,
    crop_frames: int | None = None,
    device: str | torch.device | None = None,
    state: TrainingState | None = None,
) -> Iterator[Epoch]:
    """Train `model` in place and yield each epoch, until `settings.epochs` or an early stop (section 4.2).

    When the iteration ends, in whatever way (the caller may close it, an error may end it), the model has the weights
    of the epoch that is kept, and is in evaluation mode: of the best on `development`, the earlier of equal ones, or of
    the last, as the settings say. A linear schedule ends the training where its rate reaches 0, if that is sooner.

    All chance (order, crops, dropout, augmentation) comes from `seed`; PyTorch's global state is left as it was between
    epochs, and the same seed on the same device gives the same weights.

    Args:
        model: Its forward takes the inputs of the datasets' batches.
        objective: Loss, and score on the development set.
        train: Training set.
        development: Development set, which chooses the epoch that is kept, unless the settings say the last.
        settings: Optimiser, schedule, batch size; `precision` "auto" is bfloat16 on a GPU that has it, else float32.
        seed: Of all chance.
        crop_frames: Longest utterance in training; see Dataset.plan.
        device: See pick_device.
        state: Of an interrupted training, which goes on: its epochs are yielded first, as they were, and what follows
            is what would have followed. It is saved after each epoch.

    Yields:
        One Epoch after each pass over the training set.

    Raises:
        ValueError: Settings do not fit the data, or the development set has no score, as one that lacks a class.
        FloatingPointError: A loss is not finite; it names epoch and step.
    """
    loop = TrainLoop(model, objective, train, development, settings, seed=seed, crop_frames=crop_frames, device=device)
    try:
        if state is not None:
            yield from loop.resume(state)
        while not loop.is_over:
            epoch = loop.run_epoch()
            if state is not None:
                loop.save(state)
            yield epoch
    finally:
        loop.load_best()


class TrainLoop:
    """One training: what it starts from, and what changes from step to step."""

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        train: Dataset,
        development: Dataset,
        settings: TrainingSettings,
        *,
        seed: int,
        crop_frames: int | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        """As `fit`, which describes the arguments and what is raised."""
        self.objective, self.train, self.development, self.settings = objective, train, development, settings
        self.seed, self.crop_frames, self.device = seed, crop_frames, pick_device(device)
        self.truth = development.target.cpu().numpy()
        _check_score(objective, self.truth)
        if settings.output_bias == "mean" and development.target.is_floating_point():  # ratings, not votes on classes
            nn.utils.vector_to_parameters(train.target.mean(0), [model.get_submodule("output").get_parameter("bias")])
        self.order = torch.Generator().manual_seed(_seed(seed, ORDER))
        steps_per_epoch = len(train.plan(settings.batch, torch.Generator().manual_seed(0), crop_frames))
        self.total = optimisers.total_steps(settings, steps_per_epoch)
        self.model = prepare(model.to(self.device), settings)
        self.optimiser = optimisers.optimiser(model.named_parameters(), settings)
        train.to(self.device)
        self.step = 0  # over all epochs
        self.epochs: list[Epoch] = []
        self.recent: Sequence[
            dict[str, Tensor]
        ] = ()  # parameters after each of the last epochs, where they are averaged
        self.best: dict[str, Tensor] | None = None  # weights of the best epoch

    @property
    def is_over(self) -> bool:
        """Whether all epochs or steps are done, or the settings end it since the last epochs were no better."""
        worse = bool(self.epochs) and self.epochs[-1].development < self.best_score
        stopped = self.settings.stop_when_worse and worse
        waited = len(self.epochs) - max((epoch.epoch for epoch in self.epochs if epoch.best), default=0)
        stopped = stopped or waited == self.settings.patience
        return len(self.epochs) == self.settings.epochs or stopped or self.step == self.total

    @property
    def best_score(self) -> float:
        """The best score on the development set so far."""
        return next((epoch.development for epoch in reversed(self.epochs) if epoch.best), -np.inf)

    def run_epoch(self) -> Epoch:
        """Train on every utterance once, evaluate on the development set, and keep the weights if they are best."""
        start = time.perf_counter()
        number = len(self.epochs) + 1
        randomness = _own_randomness(self.device, _seed(self.seed, RANDOMNESS, number))
        with randomness, kernels(self.settings), memory_kept(self.device):
            loss, utterances = self._train(number)
        trained = time.perf_counter()
        with self._weights_averaged():
            if self.settings.batch_norm == "estimated":
                some = self.settings.batch_norm_utterances
                estimate_statistics(self.model, self.train, self.device, self.settings, some)
            score = self._evaluate()
            best = self.settings.kept_epoch == "last" or score > self.best_score
            if best:
                self.best = _copied(self.model.state_dict())
        epoch = Epoch(
            epoch=number,
            loss=loss,
            development=score,
            best=best,
            learning_rate=self.optimiser.param_groups[0]["lr"],
            seconds=time.perf_counter() - start,
            utterances_per_second=utterances / (trained - start),
        )
        self.epochs.append(epoch)
        return epoch

    def resume(self, state: TrainingState) -> list[Epoch]:
        """Go on from `state`, if it holds one of this training; the epochs that are done."""
        progress = state.load(self.model, self.optimiser, self.order)
        if progress is not None:
            self.step, self.best, self.recent = progress.step, progress.best, progress.recent
            self.epochs = [Epoch(**row) for row in progress.epochs]
        return list(self.epochs)

    def save(self, state: TrainingState) -> None:
        """Save the training as it is after the last epoch."""
        progress = Progress(self.step, [epoch._asdict() for epoch in self.epochs], self.best, self.recent)
        state.save(self.model, self.optimiser, self.order, progress, self.is_over)

    def load_best(self) -> None:
        """Put the weights of the best epoch, if there is one, into the model, in evaluation mode."""
        if self.best is not None:
            self.model.load_state_dict(self.best)
            if self.settings.batch_norm_utterances is not None:  # its statistics are of some of the utterances
                estimate_statistics(self.model, self.train, self.device, self.settings)
        self.model.eval()

    def _train(self, number: int) -> tuple[float, int]:
        """One pass over the training set, or less where the last step comes: mean loss, and utterances seen."""
        self.model.train()
        losses: list[Tensor] = []
        sizes: list[int] = []
        sort = self.settings.sorted_batches
        chance = np.random.default_rng(_seed(self.seed, AUGMENTATION, number))
        for batch in self.train.batches(self.settings.batch, self.order, self.crop_frames, sort):
            if self.step == self.total:
                break
            if self.settings.augmentation is not None:
                batch = augment(batch, self.settings.augmentation, chance, self.train.sounds)
            losses.append(self.train_step(batch))
            sizes.append(len(batch.rows))
            if len(losses) % LOSSES_CHECKED == 0:
                self._check_finite(number, losses[-LOSSES_CHECKED:], len(losses) - LOSSES_CHECKED)
        checked = len(losses) - len(losses) % LOSSES_CHECKED
        self._check_finite(number, losses[checked:], checked)
        return float(np.average(torch.stack(losses).tolist(), weights=sizes)), sum(sizes)

    def train_step(self, batch: Batch) -> Tensor:
        """The loss of `batch`, after one step down its gradient."""
        for group in self.optimiser.param_groups:
            group["lr"] = optimisers.rate(self.step, self.settings, self.total) * group.get("factor", 1)
        with autocast(self.device, self.settings.precision):
            logits = self.model(*batch.inputs).logits
        loss = self.objective.loss(logits.float(), batch.target)
        if batch.partner is not None:
            loss = batch.share * loss + (1 - batch.share) * self.objective.loss(logits.float(), batch.partner)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.step += 1
        return loss.detach()

    @contextlib.contextmanager
    def _weights_averaged(self) -> Iterator[None]:
        """Inside, the model has the mean of its weights after the last `averaged_epochs` epochs, this one included."""
        if self.settings.averaged_epochs == 1:
            yield
            return
        own = _copied(dict(self.model.named_parameters()))
        self.recent = [*self.recent, own][-self.settings.averaged_epochs :]
        mean = {name: torch.stack([weights[name] for weights in self.recent]).mean(0) for name in own}
        self.model.load_state_dict(mean, strict=False)
        try:
            yield
        finally:
            self.model.load_state_dict(own, strict=False)

    def _evaluate(self) -> float:
        """Score on the development set."""
        batch, precision = self.settings.evaluation_batch, self.settings.evaluation_precision
        logits = predict(self.model, self.development, self.device, batch=batch, precision=precision)
        return float(self.objective.score(self.truth, logits))

    def _check_finite(self, epoch: int, losses: list[Tensor], done: int) -> None:
        """Raise FloatingPointError for a loss of `losses`, which follow the `done` first of the epoch."""
        if not losses:
            return
        values = torch.stack(losses).cpu()
        wrong = (~values.isfinite()).nonzero().flatten()
        if len(wrong):
            first = int(wrong[0])
            raise FloatingPointError(
                f"the loss is {values[first]:g} at epoch {epoch}, step {done + first + 1}, with learning rate "
                f"{self.optimiser.param_groups[0]['lr']:g}: training diverged; lower learning_rate, or look for "
                "log-mels, embeddings or ratings that are not finite"
            )


def estimate_statistics(
    model: nn.Module,
    dataset: Dataset,
    device: torch.device,
    settings: TrainingSettings,
    utterances: int | None = None,
) -> None:
    """Set the means and variances of batch normalisation to those of `dataset` under the weights that `model` has.

    They are of all its utterances, or of about `utterances` of them: batches of all durations, the same at every call.

    The running averages of a training lag behind its weights, and are of crops, under dropout and augmentation. These
    are of whole utterances as they are, as in evaluation: the mean over its batches, but for a last one of a single
    utterance, which may leave one value a feature map. The weights do not change, and training does not depend on these
    statistics. A model without batch normalisation stays as it is.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    if not layers:
        return
    momentum = [layer.momentum for layer in layers]
    model.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.train().momentum = None  # the mean over all batches
    precision = settings.evaluation_precision
    plans = dataset.plan(settings.batch, None)
    if len(plans[-1].rows) == 1:
        del plans[-1]
    if utterances is not None:
        every = max(1, len(dataset) // utterances)
        plans = plans[min(every // 2, len(plans) - 1) :: every]
    with torch.inference_mode(), autocast(device, precision), memory_kept(device):
        for batch in dataset.read(plans):
            model(*batch.inputs)
    for layer, value in zip(layers, momentum, strict=True):
        layer.eval().momentum = value


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in tensors.items()}


def _check_score(objective: Objective, truth: np.ndarray) -> None:
    """Raise ValueError for a development set with this `truth` that has no score, whatever is predicted."""
    if np.isnan(objective.score(truth, np.zeros((len(truth), objective.outputs), dtype=np.float32))):
        raise ValueError(
            f"the development set of {len(truth)} utterances has no score for '{objective.name}': it lacks a class or "
            "is too small; split the corpus otherwise"
        )


def predict(
    model: nn.Module,
    dataset: Dataset,
    device: str | torch.device | None = None,
    *,
    batch: int = 64,
    precision: str = "float32",
) -> np.ndarray:
    """Logits of `model` for each utterance, (n, outputs) float32 in the dataset's order; it stays in evaluation mode.

    No chance is involved. Raises FloatingPointError for an answer that is not finite.
    """
    rows, logits = [], []
    for part, answer in _answers(model, dataset, device, batch, precision):
        rows.append(part)
        logits.append(answer.logits.float())
    return in_order(dataset, rows, logits)


def embed(
    model: nn.Module,
    dataset: Dataset,
    device: str | torch.device | None = None,
    *,
    batch: int = 64,
    step: Callable[[int, int], None] = lambda *_: None,
) -> np.ndarray:
    """What `model` makes of each utterance before its last layer, (n, width) float32 in the dataset's order.

    `step(done, total)` is called after each batch. Raises as `predict`.
    """
    rows, embeddings, done = [], [], 0
    for part, answer in _answers(model, dataset, device, batch, "float32"):
        rows.append(part)
        embeddings.append(answer.embedding)
        done += len(part)
        step(done, len(dataset.utterances))
    return in_order(dataset, rows, embeddings)


@torch.inference_mode()
def _answers(
    model: nn.Module, dataset: Dataset, device: str | torch.device | None, batch: int, precision: str
) -> Iterator[tuple[Tensor, Output]]:
    """The positions of each batch, and what `model`, which stays in evaluation mode, answers."""
    device = pick_device(device)
    model.to(device).eval()
    dataset.to(device)
    with autocast(device, precision), memory_kept(device):
        for part in dataset.batches(batch, None):
            yield part.rows, model(*part.inputs)


def in_order(dataset: Dataset, rows: Sequence[Tensor], logits: Sequence[Tensor]) -> np.ndarray:
    """`logits` (batch, ...) of batches with the positions `rows` (batch,), as one array in the dataset's order.

    Raises FloatingPointError for an answer that is not finite.
    """
    unordered = torch.cat(list(logits)).cpu().numpy()
    ordered = np.empty_like(unordered)
    ordered[torch.cat(list(rows)).numpy()] = unordered
    wrong = ~np.isfinite(ordered.reshape(len(ordered), -1)).all(1)
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
    groups = schema.group_columns(dataset.utterances)
    rows = dataset.utterances[["utterance", "speaker", "gender", "style", *groups]].assign(**keys)
    if truth.ndim == 1:
        shares = softmax(logits.astype(np.float64))
        classes = np.asarray(names, dtype=object)
        table = rows.assign(target=schema.EMOTION, truth=classes[truth], prediction=classes[logits.argmax(1)])
        table = table.assign(**{f"{schema.PROBABILITY}{name}": shares[:, i] for i, name in enumerate(names)})
    else:
        parts = [rows.assign(target=n, truth=truth[:, i], prediction=logits[:, i]) for i, n in enumerate(names)]
        table = pd.concat(parts, ignore_index=True)
    order = [*schema.PREDICTION_COLUMNS, *groups, *schema.probability_columns(table)]
    return schema.check_predictions(table[order], "predictions of the model")


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (n, classes) of `logits` (n, classes)."""
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True)


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
