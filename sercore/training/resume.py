"""What a training goes on from after an interruption: its state after an epoch, in one file that needs no pickle.

The file holds the weights, the optimiser's moments, the state of the generator that orders the batches, the best
weights so far, and the epochs' rows, from which early stopping and the schedule follow. All other chance is drawn from
the seed and the epoch's number. So a training that goes on gives the same numbers as one that nobody interrupted, to
the last bit on the same machine with as many threads.

It is written after the first epoch of a session, and then whenever the last write took less than a twentieth of the
time since: at most a twentieth of the time goes into it, however large the model is. What is trained beyond the last
write is trained again. After the last epoch only the best weights are in it.
"""

import contextlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from sercore import files
from sercore.schema import first

FORMAT = 3  # raise it when a state, or an epoch in it, has other parts than before
WRITING = 1 / 20  # share of the time that may go into it
ABOUT = "about"  # key of the file's metadata
MODEL, BEST, OPTIMISER, ORDER, RECENT = "model.", "best.", "optimiser.", "order", "recent."  # of its tensors
log = logging.getLogger(__name__)


class Progress(NamedTuple):
    """Where a training stands after an epoch, besides what model, optimiser and generator hold themselves."""

    step: int  # over all epochs
    epochs: list[dict[str, Any]]  # their rows of the history
    best: dict[str, Tensor] | None  # weights of the best epoch
    recent: Sequence[dict[str, Tensor]] = ()  # parameters after each of the last epochs, where they are averaged


class TrainingState:
    """The state of one training in the file `path`, for whoever trains with the same `identity`.

    `identity` is all that the training's numbers follow from, in what JSON can hold. `seconds` counts what sessions
    spent on the stages that the caller names, and on saving; `sessions` records which device trained from which epoch
    on. Both are saved with the state. Of two processes, only one may train at a time.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        """Nothing is read or written yet."""
        self._path = path
        self.identity = json.loads(json.dumps({"torch": torch.__version__, **identity}))
        self._written: float | None = None  # when, in this session
        self._took = 0.0
        self.seconds: dict[str, float] = {"saving": 0.0}
        self.sessions: list[dict[str, Any]] = []

    def spend(self, stage: str, seconds: float) -> None:
        """Add `seconds` to those of `stage`."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    @contextlib.contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the seconds that pass inside to those of `stage`."""
        start = time.monotonic()
        yield
        self.spend(stage, time.monotonic() - start)

    def load(self, model: nn.Module, optimiser: Optimizer, order: torch.Generator) -> Progress | None:
        """Put `model`, `optimiser` and `order` into the state of the last write, and return the rest of it.

        None, and nothing is changed, where there is none or one that is of no use: damaged, of another identity or of
        another network. The reason is logged.
        """
        self._sweep()
        device = next(model.parameters()).device
        about, tensors = self._read(model, optimiser) or ({}, {})
        progress = None
        if about:
            progress = _restore(about, tensors, model, optimiser, order)
            for stage, seconds in about["seconds"].items():
                self.spend(stage, seconds)
            self.sessions = about["sessions"]
        if progress is None or not about["over"]:
            self._begin(len(progress.epochs) + 1 if progress else 1, device)
        return progress

    def _read(self, model: nn.Module, optimiser: Optimizer) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        if not self._path.exists():
            return None
        try:
            about, tensors = _read(self._path)
            other = list(differing(about["identity"], self.identity))
            if other:
                raise ValueError(f"it is of another {first(other)}")
            _check_fit(about, tensors, model, optimiser)
        except (OSError, SafetensorError, ValueError) as error:
            log.warning("%s is not used, the fold starts anew: %s", self._path, error)
            return None
        return about, tensors

    def _begin(self, epoch: int, device: torch.device) -> None:
        """Add a session that trains from `epoch` on."""
        here = {"from": epoch, "device": str(device), "threads": torch.get_num_threads()}
        before = self.sessions[-1] if self.sessions else here
        self.sessions.append(here)
        if any(before[key] != here[key] for key in ("device", "threads")):
            log.warning(
                "%s was begun on %s with %d threads and goes on on %s with %d: its numbers may differ in the last "
                "digits from those of a training that was not interrupted",
                self._path,
                before["device"],
                before["threads"],
                here["device"],
                here["threads"],
            )

    def save(
        self, model: nn.Module, optimiser: Optimizer, order: torch.Generator, progress: Progress, over: bool = False
    ) -> None:
        """Write the state after the last of `progress.epochs`, if it is time to; `over`: it was the last one.

        Where the disk is full the state before it stays, and the training goes on: that is logged.
        """
        start = time.monotonic()
        if self._written is not None and self._took >= WRITING * (start - self._written):
            return
        tensors, numbers = _tensors(model, optimiser, order, progress, over)
        about = {
            "format": FORMAT,
            "identity": self.identity,
            "step": progress.step,
            "epochs": progress.epochs,
            "optimiser": numbers,
            "recent": 0 if over else len(progress.recent),
            "over": over,
            "seconds": self.seconds,
            "sessions": self.sessions,
        }
        try:
            with files.sealed(self._path) as temporary:
                save_file(tensors, temporary, metadata={ABOUT: json.dumps(about), files.CHECKSUM: files.SEAL})
        except (OSError, SafetensorError) as error:
            log.warning("%s could not be written, the training goes on without it: %s", self._path, error)
        self._written = time.monotonic()
        self._took = self._written - start
        self.spend("saving", self._took)

    def delete(self) -> None:
        """Remove the state: the training's result is there."""
        self._path.unlink(missing_ok=True)
        self._sweep()

    def _sweep(self) -> None:
        """Remove what killed writers left beside the state: it may be large."""
        if self._path.parent.is_dir():
            files.remove_leftovers(self._path.parent)


def _tensors(
    model: nn.Module, optimiser: Optimizer, order: torch.Generator, progress: Progress, over: bool
) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """All tensors of a state by their names in the file, and what an optimiser holds besides tensors."""
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, dict[str, Any]] = {}
    if over or progress.recent or not progress.epochs[-1]["best"]:  # else they are the model's
        tensors |= {BEST + name: value for name, value in (progress.best or {}).items()}
    if not over:
        tensors |= {MODEL + name: value for name, value in model.state_dict().items()}
        tensors |= {
            f"{RECENT}{n}.{name}": value for n, weights in enumerate(progress.recent) for name, value in weights.items()
        }
        tensors[ORDER] = order.get_state()
        for number, held in optimiser.state_dict()["state"].items():
            for key, value in held.items():
                if isinstance(value, Tensor):
                    tensors[f"{OPTIMISER}{number}.{key}"] = value
                else:
                    numbers.setdefault(str(number), {})[key] = value
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}, numbers


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `save` wrote. Raises SafetensorError or ValueError for a file that is damaged, or of another kind."""
    wrong = files.damage(path)
    if wrong:
        raise ValueError(wrong)
    with safe_open(path, "pt") as content:
        metadata = content.metadata() or {}
        tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 -- safe_open cannot be iterated
    if files.CHECKSUM not in metadata:
        raise ValueError("it has no checksum: it is of another version, or no state")
    about = json.loads(metadata[ABOUT])
    if about.get("format") != FORMAT:
        raise ValueError(f"it is of another format, {about.get('format')}")
    return about, tensors


def _check_fit(about: Mapping[str, Any], tensors: Mapping[str, Tensor], model: nn.Module, optimiser: Optimizer) -> None:
    """Raise ValueError where the state is of another network than `model`, or of another optimiser."""
    own = {name: (value.shape, value.dtype) for name, value in model.state_dict().items()}
    wanted = [BEST] if about["over"] else [MODEL, *([BEST] if any(name.startswith(BEST) for name in tensors) else [])]
    for prefix in wanted:
        held = {name: (value.shape, value.dtype) for name, value in _part(tensors, prefix).items()}
        if held != own:
            other = sorted(name for name in held.keys() | own.keys() if held.get(name) != own.get(name))
            raise ValueError(f"its weights are not those of the network, {first(other)}")
    parameters = len(_parameters(optimiser))
    beyond = [number for number, *_ in _moments(tensors) if number >= parameters]
    if beyond:
        raise ValueError(f"its optimiser has {max(beyond) + 1} or more parameters, the network's {parameters}")


def _restore(
    about: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    model: nn.Module,
    optimiser: Optimizer,
    order: torch.Generator,
) -> Progress:
    device = next(model.parameters()).device
    best = {name: value.to(device) for name, value in _part(tensors, BEST).items()}
    if not about["over"]:
        model.load_state_dict(_part(tensors, MODEL))
        order.set_state(tensors[ORDER])
        parameters = _parameters(optimiser)
        moments = {int(number): dict(held) for number, held in about["optimiser"].items()}
        for number, key, value in _moments(tensors):
            like = parameters[number]  # an update needs moments that lie in memory as the parameter does
            fits = value.shape == like.shape and value.dtype == like.dtype
            moments.setdefault(number, {})[key] = torch.empty_like(like).copy_(value) if fits else value
        optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
        if about["epochs"][-1]["best"] and not best:
            best = {name: value.detach().clone() for name, value in model.state_dict().items()}
    recent = (
        {name: value.to(device) for name, value in _part(tensors, f"{RECENT}{n}.").items()}
        for n in range(about["recent"])
    )
    return Progress(step=about["step"], epochs=about["epochs"], best=best or None, recent=list(recent))


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _moments(tensors: Mapping[str, Tensor]) -> Iterator[tuple[int, str, Tensor]]:
    """Number of the parameter, name and value of each tensor that the optimiser holds."""
    for name, value in _part(tensors, OPTIMISER).items():
        number, _, key = name.partition(".")
        yield int(number), key, value


def _parameters(optimiser: Optimizer) -> list[Tensor]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def differing(was: Any, now: Any, name: str = "") -> Iterator[str]:
    """Names of what differs in two nested mappings: training.learning_rate."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in sorted(was.keys() | now.keys()):
            yield from differing(was.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif was != now:
        yield name


@contextlib.contextmanager
def with_heartbeat(model: nn.Module, heartbeat: Callable[[], None]) -> Iterator[None]:
    """Inside, `heartbeat` is called after each batch that `model` has answered, in training and in evaluation."""

    def after_forward(*_: object) -> None:  # what a hook returns would take the place of the answer
        heartbeat()

    hook = model.register_forward_hook(after_forward)
    try:
        yield
    finally:
        hook.remove()
