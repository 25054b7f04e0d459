"""The study's own training loop on some of its batches, and the loop that one writes first."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from sercore import losses, schema
from sercore.datasets.batches import Batch, Dataset
from sercore.datasets.source import Source
from sercore.features import audio
from sercore.features.text import TextEncoder
from sercore.models import checkpoint
from sercore.models.text import TextModel
from sercore.registry import MODELS
from sercore.settings import FeatureSettings, TextSettings, TrainingSettings
from sercore.settings import training as settings_of
from sercore.training import device, loop, optimisers

from . import limits

OUTPUTS = len(schema.FOUR_CLASSES)


@dataclass(frozen=True, kw_only=True)
class Size:
    """What is trained, and on how much of the corpus in one repeat."""

    width: int
    features: FeatureSettings
    batch: int
    ours: int  # batches a repeat of our loop
    plain: int  # batches a repeat of the plain one
    repeats: int = 3
    slow: bool = False  # so that a step takes seconds
    mechanism: str = "shift"  # of the models that text conditions

    def build(self, model: str, source: Source, encoder: str) -> dict[str, Any]:
        """What models.build takes."""
        if not MODELS[model].uses_audio:
            return {"kind": "text", "encoder": encoder, "outputs": OUTPUTS}
        text_width = source.embeddings.array.shape[1] if source.embeddings is not None else 0
        return {
            "kind": "cnn14",
            "outputs": OUTPUTS,
            "text_stages": MODELS[model].text_stages,
            "text_width": text_width,
            "width": self.width,
            "mels": self.features.mels,
            "mechanism": self.mechanism,
        }


def schedule(model: str, batch: int, epochs: int, precision: str) -> TrainingSettings:
    """Each model's own optimiser; at a constant rate, because a schedule may end before the repeats do."""
    course = {
        "epochs": epochs,
        "batch": batch,
        "schedule": "constant",
        "total_steps": None,
        "warmup_steps": 0,
        "stop_when_worse": False,
        "precision": precision,
        "evaluation_precision": precision,
        "fused": True,
        "learning_rate": 1e-4,
    }
    return settings_of(model, course)


class Sample:
    """A dataset whose epochs are `number` batches of its own: every so manieth by length, so as long as all on average.

    The batches are the same in every epoch and for every model.
    """

    def __init__(self, dataset: Dataset, number: int) -> None:
        self._whole, self.number = dataset, number

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    def plan(
        self, size: int, generator: torch.Generator | None, crop_frames: int | None = None, sort: bool = True
    ) -> list[Any]:
        """Some of the batches of an epoch, or of an evaluation."""
        chance = None if generator is None else torch.Generator().manual_seed(0)
        whole = sorted(self._whole.plan(size, chance, crop_frames, sort), key=lambda plan: plan.padded)
        whole = [plan for plan in whole if len(plan.rows) == size] or whole  # the last one is short
        if self.number >= len(whole):
            return whole
        return [whole[int(place)] for place in (np.arange(self.number) + 0.5) * len(whole) / self.number]

    def batches(
        self, size: int, generator: torch.Generator | None, crop_frames: int | None = None, sort: bool = True
    ) -> Iterator[Any]:
        """The batches of `plan`."""
        for plan in self.plan(size, generator, crop_frames, sort):
            rows = torch.from_numpy(plan.rows)
            yield Batch(self._whole._inputs(plan), self.target[rows.to(self.device)], rows)


class Ours:
    """The study's fit, an epoch of a Sample at a time, and its evaluation of the same batches."""

    def __init__(self, source: Source, size: Size, model: str, text: TextSettings, precision: str) -> None:
        settings = schedule(model, size.batch, 10_000, precision)
        self._sample = Sample(source.dataset(source.rows["utterance"]), size.ours)
        few = source.dataset(source.rows.groupby(schema.EMOTION).head(2)["utterance"])
        goal = losses.objective("categories", few.target, OUTPUTS)
        self._model = checkpoint.build(size.build(model, source, text.encoder), torch.Generator().manual_seed(0))
        self._epochs = loop.fit(self._model, goal, self._sample, few, settings, seed=0)
        self._precision, self._batch, self._device = precision, size.batch, loop.pick_device()

    def train(self) -> float:
        """Utterances a second of one epoch."""
        return next(self._epochs).utterances_per_second

    def evaluate(self) -> float:
        """Utterances a second."""
        self._model.eval()
        seen, start = 0, time.perf_counter()
        kept = device.memory_kept(self._device)
        with torch.inference_mode(), device.autocast(self._device, self._precision), kept:
            for batch in self._sample.batches(self._batch, None):
                answer = self._model(*batch.inputs).logits
                seen += len(answer)
            float(answer.float().sum())
        return seen / (time.perf_counter() - start)

    def take(self, number: int) -> None:
        """Let an epoch be `number` batches from now on."""
        self._sample.number = number

    def lengths(self) -> np.ndarray:
        """True lengths of the utterances of an epoch [frames or tokens]."""
        return np.concatenate([plan.count for plan in self._sample.plan(self._batch, torch.Generator())])

    def flop(self, size: Size) -> float:
        """Of a training step and utterance, on average: three times forward; padding is not counted."""
        lengths = self.lengths()
        if isinstance(self._model, TextModel):
            return 3 * limits.encoder_flop(self._model.encoder, float(lengths.mean()))
        return 3 * float(np.mean([limits.convolutions_flop(size.width, size.features.mels, n) for n in lengths]))

    def traffic(self, size: Size, number: int, *, training: bool) -> float:
        """Bytes of feature maps of an utterance with numbers of `number` bytes, see limits.maps_bytes; 0 for text."""
        if isinstance(self._model, TextModel):
            return 0.0
        shape = size.width, size.features.mels
        return float(np.mean([limits.maps_bytes(*shape, n, number, training=training) for n in self.lengths()]))

    def close(self) -> None:
        """End the training."""
        self._epochs.close()


class Plain:
    """The loop that one writes first.

    Random batches padded to the longest, whose log-mels are computed from the wav files and whose text embeddings from
    the transcripts each time; float32, PyTorch's defaults. The network is the same.
    """

    def __init__(self, source: Source, size: Size, model: str, text: TextSettings) -> None:
        self.device = loop.pick_device()
        build = size.build(model, source, text.encoder)
        self.model = checkpoint.build(build, torch.Generator().manual_seed(0)).to(self.device)
        if MODELS[model].uses_audio:
            self.model.layout = "contiguous"
        settings = replace(schedule(model, size.batch, 1, "float32"), fused=False)
        self.optimiser = optimisers.optimiser(self.model.named_parameters(), settings)
        self.rows, self.root, self.size = source.rows, source.corpus.root, size
        codes = {name: code for code, name in enumerate(source.classes)}
        self.target = torch.tensor([codes[name] for name in self.rows[schema.EMOTION]])
        self.uses_text, self.uses_audio = model != "cnn14", MODELS[model].uses_audio
        self.encoder = TextEncoder(text, self.device) if self.uses_text else None
        self.order = torch.Generator().manual_seed(0)

    def train(self) -> float:
        """Utterances a second of some steps."""
        self.model.train()
        start = time.perf_counter()
        for rows in self._batches():
            loss = torch.nn.functional.cross_entropy(self._answer(rows), self.target[rows].to(self.device))
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            loss.item()
        return self.size.plain * self.size.batch / (time.perf_counter() - start)

    def evaluate(self) -> float:
        """Utterances a second of as many batches."""
        self.model.eval()
        start = time.perf_counter()
        with torch.no_grad():
            for rows in self._batches():
                self._answer(rows).cpu()
        return self.size.plain * self.size.batch / (time.perf_counter() - start)

    def _batches(self) -> list[torch.Tensor]:
        chosen = torch.randperm(len(self.rows), generator=self.order)[: self.size.plain * self.size.batch]
        return list(chosen.split(self.size.batch))

    def _answer(self, rows: torch.Tensor) -> torch.Tensor:
        inputs = [None if part is None else part.to(self.device) for part in self._inputs(self.rows.iloc[rows])]
        return self.model(*inputs).logits

    def _inputs(self, rows: pd.DataFrame) -> tuple[torch.Tensor | None, ...]:
        transcripts = list(rows["transcript"].fillna(""))
        if not self.uses_audio:
            tokens = [torch.tensor(ids) for ids in self.encoder.tokenize(transcripts)]
            counts = torch.tensor([len(ids) for ids in tokens])
            padded = pad_sequence(tokens, batch_first=True)
            return padded, torch.arange(padded.shape[1]) < counts[:, None]
        settings = self.size.features
        waveforms = [audio.read_audio(self.root / file, settings.sample_rate) for file in rows["file"]]
        logmels = [audio.log_mel(waveform, settings) for waveform in waveforms]
        text = self.encoder.embed(transcripts) if self.uses_text else None
        frames = torch.tensor([len(logmel) for logmel in logmels])
        return pad_sequence(logmels, batch_first=True), frames, text


class Careful:
    """The loop of somebody who knows PyTorch: log-mels at hand, worker processes, bfloat16, channels_last, compiled.

    Random batches padded to the longest, as nearly all of the field's code has them; CNN14 without text.
    """

    def __init__(
        self, source: Source, size: Size, precision: str = "bfloat16", workers: int = 2, compiled: bool = True
    ) -> None:
        self.device, self.precision, self.steps = loop.pick_device(), precision, size.ours
        build = size.build("cnn14", source, "")
        self.model = checkpoint.build(build, torch.Generator().manual_seed(0)).to(self.device)
        self.model.layout = "channels_last"
        self.model.to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.SGD(self.model.parameters(), 1e-4, momentum=0.9, nesterov=True, fused=True)
        self.compiled = torch.compile(self.model, dynamic=True) if compiled else self.model
        codes = {name: code for code, name in enumerate(source.classes)}
        frames, rows = source.frames, source.rows
        places = [(frames.start[n], frames.count[n]) for n in frames.positions(rows["utterance"])]
        logmels = [torch.from_numpy(np.array(frames.array[begin : begin + count])) for begin, count in places]
        data = list(zip(logmels, rows[schema.EMOTION].map(codes), strict=True))
        self.loader = DataLoader(
            data,
            size.batch,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            collate_fn=_padded,
            pin_memory=self.device.type == "cuda",
            persistent_workers=workers > 0,
            generator=torch.Generator().manual_seed(0),
        )
        self.size, self._batches = size.batch, iter(self.loader)

    def train(self) -> float:
        """Utterances a second of some steps."""
        self.model.train()
        start = time.perf_counter()
        for _ in range(self.steps):
            logmel, frames, target = self.next_batch()
            with device.autocast(self.device, self.precision):
                logits = self.compiled(logmel.to(self.device, non_blocking=True), frames, None).logits
            loss = torch.nn.functional.cross_entropy(logits.float(), target.to(self.device, non_blocking=True))
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.step()
        limits.wait(self.device)
        return self.steps * self.size / (time.perf_counter() - start)

    def next_batch(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Log-mels (batch, frames, mels), true frames and classes; after the last one, the first of another epoch."""
        try:
            return next(self._batches)
        except StopIteration:
            self._batches = iter(self.loader)
            return next(self._batches)


def _padded(items: list[tuple[torch.Tensor, int]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    logmels, codes = zip(*items, strict=True)
    padded = pad_sequence([logmel.float() for logmel in logmels], batch_first=True, padding_value=audio.FLOOR)
    return padded, torch.tensor([len(logmel) for logmel in logmels]), torch.tensor(codes)
