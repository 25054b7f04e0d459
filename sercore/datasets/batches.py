"""Cached features + targets -> batches: grouped by duration, the same ones for the same seed, and no worker processes.

Padding: a batch is as long as its longest utterance, rounded up to a multiple of 8 frames, but never longer than the
crop. (Each new length costs the convolution library a quarter of a step, once; multiples of 32 cost every step of short
utterances a tenth.) Padded frames hold digital silence (-100 dB), padded tokens and samples 0; a model is given the
true lengths and masks the rest.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sercore.datasets import normalisation
from sercore.datasets.sounds import Sounds
from sercore.features.audio import FLOOR, LEAST_FRAMES
from sercore.features.packed import FULL_SCALE, LEAST_SAMPLES, Embeddings, Frames, Kind, Packed, Tokens, Waveforms

if TYPE_CHECKING:
    from sercore.datasets.source import Source

GROUP = 50  # batches that are sorted by duration together in training: enough for little padding, and random enough
_RESIDENT: WeakKeyDictionary[Packed, dict[torch.device, Tensor]] = WeakKeyDictionary()  # arrays that lie on a GPU


class Batch(NamedTuple):
    """What one step takes."""

    inputs: tuple[Tensor | None, ...]  # of the model's forward, in its order; on the dataset's device, but true frames
    target: Tensor  # (batch,) int64 class codes, or (batch, dimensions) float32 ratings; on the dataset's device
    rows: Tensor  # (batch,) int64, positions in the dataset; on the CPU
    partner: Tensor | None = None  # as `target`, of the utterance that was mixed into each (augmentation.mixed)
    share: float = 1.0  # of `target` in the loss; the rest is that of `partner`
    offsets: Tensor | None = None  # (batch, mels) [dB], which normalised the log-mels


@dataclass(frozen=True)
class BatchIndex:
    """Which rows of the packed array make a batch."""

    rows: np.ndarray  # (batch,) positions in the dataset
    start: np.ndarray  # (batch,) first row in the packed array
    count: np.ndarray  # (batch,) rows from there
    padded: int  # rows that each utterance has after padding


class Dataset(ABC):
    """Utterances with their features and targets; its children make them a model's inputs."""

    multiple: int  # padded lengths are multiples of it
    least = LEAST_FRAMES  # rows of a crop
    sounds: Sounds | None = None  # that augmentation takes
    typical: int  # an evaluation batch holds as many rows as `size` utterances of this length, at most
    padding: float

    def __init__(self, packed: Packed, utterances: pd.DataFrame, target: Tensor) -> None:
        """Features of `utterances` (rows of the utterance table), in their order; `target` has a row for each.

        Raises ValueError for an empty table, one target too many or few, a target that is not finite, and an
        utterance without features.
        """
        if not len(utterances):
            raise ValueError("no utterances; expected at least one: is a partition or class empty?")
        if len(target) != len(utterances):
            raise ValueError(f"{len(target)} targets for {len(utterances)} utterances; expected one for each")
        if not torch.isfinite(target).all():
            raise ValueError(
                "targets that are not finite; drop the utterances without a rating (datasets.source.read does)"
            )
        positions = packed.positions(utterances["utterance"])
        self.utterances = utterances.reset_index(drop=True)
        self.target = target
        self.device = torch.device("cpu")
        self._packed = packed
        self._resident: Tensor | None = None
        self._start, self._count = packed.start[positions], packed.count[positions]

    def __len__(self) -> int:
        """Utterances."""
        return len(self.utterances)

    def to(self, device: str | torch.device) -> Self:
        """Give batches on `device` from now on; returns the dataset itself, as a module's `to` does.

        On a GPU with room, the packed array moves there once, for all datasets that are made of it.
        """
        self.device = torch.device(device)
        self.target = self.target.to(self.device)
        self._resident = resident(self._packed, self.device)
        return self

    def batches(
        self, size: int, generator: torch.Generator | None, crop_frames: int | None = None, sort: bool = True
    ) -> Iterator[Batch]:
        """Every utterance once, in batches of `size`; each of the two ways as `plan` describes it."""
        return self.read(self.plan(size, generator, crop_frames, sort))

    def read(self, plans: Iterable[BatchIndex]) -> Iterator[Batch]:
        """The batches that `plans`, some of those of `plan`, describe."""
        for plan in plans:
            rows = torch.from_numpy(plan.rows)
            there = self._there(rows)
            yield Batch(self._inputs(plan), self.target[there], rows, offsets=self._offsets_of(there))

    def plan(
        self, size: int, generator: torch.Generator | None, crop_frames: int | None = None, sort: bool = True
    ) -> list[BatchIndex]:
        """The batches of an epoch, before anything is read.

        With a generator, for training: utterances are shuffled, sorted by duration within groups of 50 batches, and
        the batches of a group are shuffled; what is longer than `crop_frames` is cut to it at random; an utterance
        that would be alone in a batch joins another one (batch normalisation needs two). Without `sort` a batch is
        of utterances of any duration.
        With None, for evaluation: whole utterances, the longest first; a batch of long ones holds fewer, so that it
        never takes more memory than `size` utterances of 10 s (128 tokens) would, or one that is longer.
        """
        if generator is None:
            if crop_frames is not None:
                raise ValueError("evaluation takes whole utterances: crop_frames needs a generator")
            padded = self._padded(self._count)
            batches = _evaluation_batches(padded, size, size * self.typical)
            return [BatchIndex(rows, self._start[rows], self._count[rows], int(padded[rows].max())) for rows in batches]
        if crop_frames is not None and crop_frames < self.least:
            raise ValueError(
                f"crop_frames is {crop_frames}; expected at least {self.least}, or the network has no answer"
            )
        count, padded = self._count, self._padded(self._count)
        if crop_frames is not None:
            count, padded = np.minimum(count, crop_frames), np.minimum(padded, crop_frames)
        batches = _training_batches(count if sort else np.zeros_like(count), size, generator, self.multiple)
        chance = torch.rand(len(self), generator=generator, dtype=torch.float64).numpy()
        start = self._start + (chance * (self._count - count + 1)).astype(np.int64)
        return [BatchIndex(rows, start[rows], count[rows], int(padded[rows].max())) for rows in batches]

    def _padded(self, count: np.ndarray) -> np.ndarray:
        return -(-count // self.multiple) * self.multiple

    @classmethod
    @abstractmethod
    def from_source(cls, source: "Source", utterances: pd.DataFrame, target: Tensor) -> Self:
        """The dataset of `utterances` with the features of `source`, the corpus as a run sees it."""

    @abstractmethod
    def _inputs(self, plan: BatchIndex) -> tuple[Tensor | None, ...]:
        """What the model's forward takes of the rows of `plan`."""

    def _offsets_of(self, rows: Tensor) -> Tensor | None:  # noqa: ARG002 -- of log-mels alone
        """What normalised the inputs of `rows`."""
        return None

    def _gather(self, plan: BatchIndex, dtype: torch.dtype) -> Tensor:
        """The plan's rows (batch, padded, ...) on the dataset's device, padding behind them."""
        if self._resident is not None:
            steps = torch.arange(plan.padded, device=self.device)
            start, count = (self._there(torch.from_numpy(part)) for part in (plan.start, plan.count))
            index = (start[:, None] + steps).clamp_(max=len(self._resident) - 1)
            behind = (steps >= count[:, None]).reshape(*index.shape, *[1] * (self._resident.ndim - 1))
            return self._resident[index].to(dtype).masked_fill_(behind, self.padding)
        array, shape = self._packed.array, (len(plan.rows), plan.padded, *self._packed.array.shape[1:])
        gathered = torch.empty(shape, dtype=dtype, pin_memory=self.device.type == "cuda")  # copied while the GPU works
        for row, start, count in zip(gathered.numpy(), plan.start, plan.count, strict=True):
            row[:count] = array[start : start + count]
            row[count:] = self.padding
        return self._there(gathered)

    def _there(self, part: Tensor) -> Tensor:
        """`part` on the dataset's device, without waiting for what the device is doing."""
        return part.to(self.device, non_blocking=True)


class SpeechDataset(Dataset):
    """For CNN14: inputs = (log-mel (batch, frames, mels) float32 dB, true frames (batch,) int64, text or None).

    The true frames are on the CPU, where the network looks at them without waiting for a GPU.
    """

    multiple = 8
    typical = 1000  # 10 s
    padding = FLOOR

    def __init__(
        self,
        frames: Frames,
        utterances: pd.DataFrame,
        target: Tensor,
        embeddings: Embeddings | None = None,
        offsets: np.ndarray | None = None,
        sounds: Sounds | None = None,
    ) -> None:
        """As a Dataset; `embeddings` of the transcripts are for a model that takes text.

        `offsets` (utterances, mels), in dB, are added to the log-mels of each (see datasets.normalisation). `sounds`
        are what datasets.augmentation makes them heard in.
        """
        super().__init__(frames, utterances, target)
        self.sounds = sounds
        self._offsets = None if offsets is None else torch.from_numpy(offsets)
        self.embeddings: Tensor | None = None  # (utterances, text_width)
        if embeddings is not None:
            self.embeddings = torch.from_numpy(
                np.array(embeddings.array[embeddings.positions(utterances["utterance"])])
            )

    @classmethod
    def from_source(cls, source: "Source", utterances: pd.DataFrame, target: Tensor) -> Self:
        """Log-mels, and text embeddings where the source has them."""
        frames, offsets = _present(source.frames, "log-mels"), None
        if source.normalisation is not None:
            offsets = normalisation.offsets(frames, source.corpus.utterances, utterances, source.normalisation)
        return cls(frames, utterances, target, source.embeddings, offsets, source.sounds)

    def to(self, device: str | torch.device) -> Self:
        """As Dataset.to; the embeddings always move."""
        super().to(device)
        if self._offsets is not None:
            self._offsets = self._offsets.to(self.device)
        if self.embeddings is not None:
            self.embeddings = self.embeddings.to(self.device)
        return self

    def _offsets_of(self, rows: Tensor) -> Tensor | None:
        return None if self._offsets is None else self._offsets[rows]

    def _inputs(self, plan: BatchIndex) -> tuple[Tensor | None, ...]:
        rows = self._there(torch.from_numpy(plan.rows))
        logmel = self._gather(plan, torch.float32)
        if self._offsets is not None:
            logmel = normalisation.moved(logmel, self._offsets[rows][:, None])
        text = None if self.embeddings is None else self.embeddings[rows]
        return logmel, torch.from_numpy(plan.count), text


class TextDataset(Dataset):
    """For the text model: inputs = (token ids (batch, tokens) int64, mask (batch, tokens) bool, true if real)."""

    multiple = 1
    typical = 128
    padding = 0

    def __init__(self, tokens: Tokens, utterances: pd.DataFrame, target: Tensor) -> None:
        """As a Dataset."""
        super().__init__(tokens, utterances, target)

    @classmethod
    def from_source(cls, source: "Source", utterances: pd.DataFrame, target: Tensor) -> Self:
        """Tokens of the transcripts."""
        return cls(_present(source.tokens, "tokens"), utterances, target)

    def _inputs(self, plan: BatchIndex) -> tuple[Tensor | None, ...]:
        counts = self._there(torch.from_numpy(plan.count))
        return self._gather(plan, torch.int64), torch.arange(plan.padded, device=self.device) < counts[:, None]


class WaveformDataset(Dataset):
    """For speech encoders: inputs = (waveform (batch, samples) float32 in [-1, 1], true samples (batch,) int64)."""

    multiple = 320  # what an encoder of speech makes one vector of
    least = LEAST_SAMPLES
    typical = 160_000  # 10 s
    padding = 0

    def __init__(self, sound: Waveforms, utterances: pd.DataFrame, target: Tensor) -> None:
        """As a Dataset."""
        super().__init__(sound, utterances, target)

    @classmethod
    def from_source(cls, source: "Source", utterances: pd.DataFrame, target: Tensor) -> Self:
        """Samples at the features' rate."""
        return cls(_present(source.waveforms, "waveforms"), utterances, target)

    def _inputs(self, plan: BatchIndex) -> tuple[Tensor | None, ...]:
        samples = self._there(torch.from_numpy(plan.count))
        return self._gather(plan, torch.float32).div_(FULL_SCALE), samples


def _present(features: Kind | None, what: str) -> Kind:
    if features is None:
        raise ValueError(f"the source was read without {what}; read it for a model that takes them")
    return features


def _training_batches(lengths: np.ndarray, size: int, generator: torch.Generator, blur: int) -> list[np.ndarray]:
    """Positions of each batch of an epoch: lengths that are similar, but for `blur`, together; else at random."""
    ranks = lengths + blur * torch.rand(len(lengths), generator=generator).numpy()  # lest small sets have fixed batches
    order = torch.randperm(len(lengths), generator=generator).numpy()
    sizes = [size] * (len(order) // size)
    rest = len(order) % size
    if rest == 1 and sizes:
        sizes[-1] += 1  # an utterance alone joins another batch
    elif rest:
        sizes.append(rest)
    batches, begin = [], 0
    for group in np.array_split(sizes, -(-len(sizes) // GROUP)):
        group = group[
            torch.randperm(len(group), generator=generator).numpy()
        ]  # lest the short one be always of the longest
        members = order[begin : begin + group.sum()]
        begin += group.sum()
        members = members[np.argsort(ranks[members])]
        made = np.split(members, np.cumsum(group)[:-1])
        batches += [made[i] for i in torch.randperm(len(made), generator=generator)]
    return batches


def _evaluation_batches(lengths: np.ndarray, size: int, most: int) -> list[np.ndarray]:
    """Positions of each batch, the longest first: at most `size` of them, and `most` rows unless it is one alone."""
    order = np.argsort(-lengths, kind="stable")
    batches, begin = [], 0
    while begin < len(order):
        end = begin + min(size, max(1, most // lengths[order[begin]]))
        batches.append(order[begin:end])
        begin = end
    return batches


def resident(packed: Packed, device: torch.device) -> Tensor | None:
    """The packed array on `device`; None where it is read in place: on the CPU, and where room is short."""
    if device.type != "cuda":
        return None
    held = _RESIDENT.setdefault(packed, {})
    if device not in held:
        free, _ = torch.cuda.mem_get_info(device)
        if packed.array.nbytes > free / 2:
            return None
        held[device] = torch.empty(packed.array.shape, dtype=getattr(torch, str(packed.array.dtype)), device=device)
        step = 1 << 20
        for begin in range(0, len(packed.array), step):
            held[device][begin : begin + step] = torch.from_numpy(np.array(packed.array[begin : begin + step]))
    return held[device]


def padding_share(
    dataset: Dataset, size: int, generator: torch.Generator | None, crop_frames: int | None = None
) -> float:
    """Share of an epoch's frames (tokens) that is padding, 0 to 1."""
    plans = dataset.plan(size, generator, crop_frames)
    return 1 - sum(int(plan.count.sum()) for plan in plans) / sum(len(plan.rows) * plan.padded for plan in plans)
