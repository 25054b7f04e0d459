"""How fast a GPU trains, evaluates and reads, as shares of what it can do; which settings and kernels are the fastest.

Needs a GPU, torch, torchaudio and transformers, and of this project the package alone: all inputs are made up on the
spot. A step of training is the study's own (TrainLoop.train_step); what no setting asks for, as CUDA graphs, is added
here. Whatever has been measured is in FOLDER/gpu.json and gpu.md at once, and a part that fails is recorded as such, so
that a run that was cut still tells.

    make bench-gpu
    python -m tests.benchmarks.gpu --out FOLDER --minutes 2 --steps limits,eager
    python -m tests.benchmarks.gpu --out FOLDER --miniature       on anything, in seconds; its figures say nothing
"""

import argparse
import contextlib
import copy
import gc
import itertools
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from sercore import files, losses
from sercore.datasets.batches import Batch, Dataset, SpeechDataset, TextDataset
from sercore.features import audio
from sercore.features.packed import Embeddings, Frames, Tokens
from sercore.models import checkpoint, cnn14
from sercore.registry import MODELS
from sercore.settings import MECHANISMS, TrainingSettings
from sercore.settings import training as settings_of
from sercore.training import loop
from sercore.training.device import GRAPHS, kernels, memory_kept

from . import limits

OUTPUTS = 4
AUDIO_MODELS = ("cnn14", "mfcnn14", "sfcnn14")
BERT = {"model_type": "bert"}  # transformers' defaults are bert-base
WAITED = 60  # seconds for one of several processes


class Sizes(NamedTuple):
    """How large everything is."""

    width: int = 64
    mels: int = 64
    crop: int = 400  # frames
    mean: int = 580  # frames of a whole utterance, on average
    utterances: int = 2048
    batches: tuple[int, ...] = (32, 64, 128, 256)
    text_width: int = 768
    tokens: int = 22  # of a transcript, on average
    encoder: dict[str, Any] = BERT
    side: int = 8192  # of the matrices that are multiplied
    copied: int = 1 << 30  # bytes
    timed: float = 0.4  # seconds of each measurement
    curve: int = 50  # steps
    runs: tuple[int, ...] = (1, 2, 4)  # at once on one GPU

    @property
    def small(self) -> int:
        """The smallest batch."""
        return self.batches[0]

    @property
    def large(self) -> int:
        """A batch of a usual size for a GPU."""
        return self.batches[len(self.batches) // 2]


MINIATURE = Sizes(
    width=2,
    mels=32,
    crop=48,
    mean=64,
    utterances=24,
    batches=(4, 6, 8),
    text_width=8,
    tokens=6,
    encoder={
        "model_type": "bert",
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "vocab_size": 200,
    },
    side=64,
    copied=1 << 16,
    timed=0.002,
    curve=4,
    runs=(1,),
)


@dataclass(frozen=True, eq=False)
class Variant:
    """A way to train: settings of the study, and what is no setting."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    free: bool = False  # of cuDNN's choice of kernels: a seed need not give the same weights
    compiler: dict[str, Any] | None = None  # arguments of torch.compile, for each block
    graph: bool = False  # the whole step as one CUDA graph, of one batch


PLAIN = Variant("eager", {"layout": "contiguous"})
EAGER = Variant("channels_last", {"fused": True})
TUNED = Variant("tuned", {"fused": True, "tuned_kernels": True}, free=True)
COMPILED = Variant("compiled", {"fused": True, "compiled": True})
FUSED = Variant("fused", {"fused": True, "kernels": "fused"})
FUSED_TUNED = Variant("fused, tuned", {**FUSED.settings, "tuned_kernels": True}, free=True)
VARIANTS = (
    EAGER,
    FUSED,
    FUSED_TUNED,
    Variant("fused, graph", FUSED.settings, graph=True),
    Variant("fused, tuned, graph", FUSED_TUNED.settings, free=True, graph=True),
    PLAIN,
    Variant("one update a weight", {}),
    Variant("free", EAGER.settings, free=True),
    TUNED,
    Variant("graph", EAGER.settings, graph=True),
    COMPILED,
    Variant("compiled, static, tuned", TUNED.settings, free=True, compiler={"dynamic": False}),
    Variant("compiled, static, tuned, graph", TUNED.settings, free=True, compiler={"dynamic": False}, graph=True),
    Variant(
        "autotuned, tuned",
        TUNED.settings,
        free=True,
        compiler={"dynamic": False, "mode": "max-autotune-no-cudagraphs"},
    ),
)
TEXT_VARIANTS = (
    EAGER,
    COMPILED,
    Variant("graph", {}, graph=True),
    Variant("compiled, static, graph", {}, compiler={"dynamic": False}, graph=True),
)


class Bench:
    """What has been measured, and how much time is left."""

    def __init__(self, out: Path, sizes: Sizes, minutes: float) -> None:
        self.out, self.sizes, self.device = out, sizes, loop.pick_device()
        self.ends = time.monotonic() + 60 * minutes
        self.scale = 1.0  # of the parts' seconds
        self.until = self.ends
        self.numbers: dict[str, Any] = {"steps": {}, "errors": {}}
        self._data: dict[tuple[str, str], Dataset] = {}
        self._networks: dict[tuple[str, int], torch.nn.Module] = {}

    def run(self, name: str, work: Callable[["Bench"], Any], seconds: float) -> None:
        """Do a part within its seconds; what it raises is recorded, and the next part follows."""
        began = time.monotonic()
        if began > self.ends:
            self.numbers["steps"][name] = "no time left"
            return
        self.until = min(self.ends, began + seconds * self.scale)
        print(f"-- {name}", flush=True)
        with self.recorded(name):
            work(self)
        self.numbers["steps"][name] = round(time.monotonic() - began, 1)
        self.save()

    @contextlib.contextmanager
    def recorded(self, name: str) -> Iterator[None]:
        """Inside, an error is recorded under `name` and goes no further."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 -- whatever a GPU's software raises, the other figures are wanted
            self.numbers["errors"][name] = traceback.format_exc()[-3000:]
            print(f"{name}: {type(error).__name__}: {str(error).splitlines()[:1]}", flush=True)
        self.release()
        self.save()

    @property
    def late(self) -> bool:
        """Whether the part that is being done has used its time."""
        return time.monotonic() > self.until

    def add(self, part: str, row: dict[str, Any]) -> None:
        """Append a row to a part's, save and print it."""
        self.numbers.setdefault(part, []).append(row)
        self.save()
        print(json.dumps({key: _short(value) for key, value in row.items()}), flush=True)

    def save(self) -> None:
        """Write the numbers and the tables."""
        files.write_json(self.out / "gpu.json", self.numbers)
        (self.out / "gpu.md").write_text(tables(self.numbers), encoding="utf-8")
        if rates := self._as_the_paper_trains():
            size = {"width": self.sizes.width, "encoder": "bert-base-uncased"}
            about = {"device": self.numbers.get("device", self.device.type), **size}
            files.write_json(self.out / "throughput.json", {**about, "utterances_per_second": rates})

    def _as_the_paper_trains(self) -> dict[str, dict[str, float]]:
        """Utterances/s of the smallest batches of whole utterances, with the study's default kernels; for the plan."""
        texts = [row for row in self.numbers.get("training", []) if row["model"] == "bert"]
        rows = [*self.numbers.get("whole", []), *texts]
        return {
            row["model"]: {"ours": row["utterances_per_second"]}
            for row in rows
            if row["batch"] == self.sizes.small and row["variant"] == EAGER.name
        }

    def release(self) -> None:
        """Give back the GPU's memory that nothing holds."""
        if self.device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()

    def data(self, model: str, lengths: str) -> Dataset:
        """Made-up utterances for `model`: all longer than the crop ("crop"), or of all lengths ("whole")."""
        key = model if model == "bert" else "text" if MODELS[model.partition(":")[0]].uses_text else "audio", lengths
        if key not in self._data:
            self._data[key] = made_up(key[0], lengths, self.sizes)
        return self._data[key]

    def network(self, model: str, width: int) -> torch.nn.Module:
        """A network of `model` on the CPU, its weights always the same."""
        if (model, width) not in self._networks:
            self._networks[model, width] = build(model, self.sizes, width)
        return copy.deepcopy(self._networks[model, width])


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def made_up(kind: str, lengths: str, sizes: Sizes) -> Dataset:
    """A dataset whose classes differ in the level of some bands, or in their tokens.

    Args:
        kind: "audio", "text" (audio with embeddings of transcripts) or "bert" (tokens).
        lengths: "crop": all are as long as the crop, or a fifth longer; "whole": log-normal, as MSP-Podcast's.
        sizes: Of all.
    """
    chance, number = np.random.default_rng(0), sizes.utterances
    spread = np.exp(chance.normal(-0.08, 0.4, number))  # of mean 1
    codes = torch.arange(number) % OUTPUTS
    utterances = pd.DataFrame({"utterance": [f"u{row:06d}" for row in range(number)]})
    if kind == "bert":
        counts = np.clip((sizes.tokens * spread).astype(np.int64), 4, 4 * sizes.tokens)
        array = chance.integers(10, 150, counts.sum(), dtype=np.int32) + np.repeat(10 * codes.numpy(), counts)
        return TextDataset(Tokens(array.astype(np.int32), **_index(counts, utterances)), utterances, codes)
    shortest, longest = audio.LEAST_FRAMES, 2 * sizes.mean
    counts = np.clip((sizes.mean * spread).astype(np.int64), shortest, longest)
    if lengths == "crop":
        counts = chance.integers(sizes.crop, sizes.crop * 6 // 5, number)
    rows = chance.normal(-50, 10, (10_007, sizes.mels)).astype(np.float16)
    array = np.resize(rows, (int(counts.sum()), sizes.mels))
    band = np.repeat(codes.numpy(), counts) * (sizes.mels // OUTPUTS)
    array[np.arange(len(array)), band] += 10
    embeddings = None
    if kind == "text":
        vectors = chance.normal(0, 1, (number, sizes.text_width)).astype(np.float32)
        embeddings = Embeddings(vectors, **_index(np.ones(number, np.int64), utterances))
    return SpeechDataset(Frames(array, **_index(counts, utterances)), utterances, codes, embeddings)


def _index(counts: np.ndarray, utterances: pd.DataFrame) -> dict[str, Any]:
    return {
        "start": np.cumsum(counts) - counts,
        "count": counts,
        "utterances": pd.Index(utterances["utterance"]),
        "digests": ("",) * len(counts),
        "key": "made-up",
    }


def settings_for(model: str, batch: int, **values: Any) -> TrainingSettings:
    """The model's own settings, at a constant rate and in bfloat16 unless `values` say otherwise."""
    course = {"epochs": 10_000, "schedule": "constant", "total_steps": None, "warmup_steps": 0}
    course |= {"stop_when_worse": False, "precision": "bfloat16", "batch": batch}
    return settings_of(model.partition(":")[0], course | values)


class Training:
    """The study's training of a model, step by step on a few of its batches, in some variant."""

    def __init__(
        self,
        bench: Bench,
        model: str,
        batch: int,
        variant: Variant = EAGER,
        lengths: str = "crop",
        width: int | None = None,
        keep: int = 4,
        **values: Any,
    ) -> None:
        sizes, self.device, self.variant, self.batch = bench.sizes, bench.device, variant, batch
        data = bench.data(model, lengths)
        goal = losses.objective("categories", data.target, OUTPUTS)
        weights = losses.inverse_frequency(data.target, OUTPUTS).to(self.device)
        goal = replace(goal, loss=lambda logits, truth: losses.weighted_cross_entropy(logits, truth, weights))
        chosen = {key: value for key, value in variant.settings.items() if model != "bert" or key != "fused"}
        self.settings = settings_for(model, batch, **(chosen | values))
        network = bench.network(model, width or sizes.width)
        self.crop = sizes.crop if lengths == "crop" and model != "bert" else None
        self.loop = loop.TrainLoop(
            network, goal, data, data, self.settings, seed=0, crop_frames=self.crop, device=self.device
        )
        if variant.compiler is not None:
            torch._dynamo.config.recompile_limit = GRAPHS
            for name, part in network.named_children():
                if name.startswith("conv_block") or name == "encoder":
                    part.compile(**variant.compiler)
        network.train()
        self.batches = _some(data, batch, self.crop, keep)
        self.flop = 3 * float(np.mean([_flop(network, one, sizes, width or sizes.width) for one in self.batches]))
        self._turn = itertools.cycle(self.batches)
        self.step: Callable[[], Any] = self._eager
        if variant.graph:
            self._capture()

    def _eager(self) -> Tensor:
        return self.loop.train_step(next(self._turn))

    def _capture(self) -> None:
        """Make of a step one CUDA graph. Its times are those of training; its rate and batch never change."""
        one, optimiser = self.batches[0], self.loop.optimiser
        for group in optimiser.param_groups:
            if "capturable" in group:
                group["capturable"] = True
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream), self.kernels():
            for _ in range(3):
                self.loop.train_step(one)
            optimiser.zero_grad(set_to_none=True)
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        with self.kernels(), torch.cuda.graph(self._graph):
            self.loop.train_step(one)
        self.step = self._graph.replay

    @contextlib.contextmanager
    def kernels(self) -> Iterator[None]:
        """As within an epoch, but that a variant may leave the choice to cuDNN."""
        before = torch.backends.cudnn.deterministic
        torch.backends.cudnn.deterministic = not self.variant.free
        try:
            with kernels(self.settings), memory_kept(self.device):
                yield
        finally:
            torch.backends.cudnn.deterministic = before

    def measure(self, bench: Bench) -> dict[str, Any]:
        """Utterances and floating-point operations a second, memory, and how long the first steps took."""
        limits.reset_peak(self.device)
        with self.kernels():
            start = time.perf_counter()
            for _ in range(len(self.batches)):
                self.step()
            limits.wait(self.device)
            warm = time.perf_counter() - start
            taken = _seconds(self.step, self.device, bench.sizes.timed, len(self.batches))
        rates = sorted(self.batch / one for one in taken)
        speed = statistics.median(rates)
        peak = bench.numbers.get("limits", {}).get("bfloat16_flop_per_second", math.nan)
        return {
            "utterances_per_second": speed,
            "low": rates[0],
            "high": rates[-1],
            "step_ms": 1e3 * self.batch / speed,
            "tflop_per_second": speed * self.flop / 1e12,
            "share": speed * self.flop / peak,
            "peak_gb": limits.peak_bytes(self.device) / 1e9,
            "warm_seconds": warm,
        }


def build(model: str, sizes: Sizes, width: int) -> torch.nn.Module:
    """The network of `model`, its weights drawn anew."""
    chance = torch.Generator().manual_seed(0)
    if model == "bert":
        arguments = {"kind": "text", "encoder": "", "outputs": OUTPUTS, "architecture": sizes.encoder}
        with torch.random.fork_rng():
            torch.manual_seed(0)  # transformers draws from the global generator
            return checkpoint.build(arguments, chance)
    name, _, mechanism = model.partition(":")
    stages = MODELS[name].text_stages
    arguments = {"kind": "cnn14", "outputs": OUTPUTS, "text_stages": stages, "width": width, "mels": sizes.mels}
    arguments["mechanism"] = mechanism or "shift"
    return checkpoint.build({**arguments, "text_width": sizes.text_width if stages else 0}, chance)


def _some(data: Dataset, size: int, crop: int | None, number: int) -> list[Batch]:
    """Some whole batches of an epoch, on the device: every so manieth by length."""
    plans = data.plan(size, torch.Generator().manual_seed(0), crop)
    plans = sorted((plan for plan in plans if len(plan.rows) == size), key=lambda plan: plan.padded)
    places = (np.arange(number) + 0.5) * len(plans) / number if number < len(plans) else np.arange(len(plans))
    chosen = [plans[int(place)] for place in places]
    rows = [torch.from_numpy(plan.rows) for plan in chosen]
    return [
        Batch(data._inputs(plan), data.target[row.to(data.device)], row) for plan, row in zip(chosen, rows, strict=True)
    ]


def _flop(network: torch.nn.Module, batch: Batch, sizes: Sizes, width: int) -> float:
    """Floating-point operations of an utterance of `batch`, forward, on average; padding is not counted."""
    if not isinstance(network, cnn14.Cnn14):
        return limits.encoder_flop(network.encoder, float(batch.inputs[1].sum() / len(batch.rows)))
    return float(np.mean([limits.convolutions_flop(width, sizes.mels, int(n)) for n in batch.inputs[1]]))


def _seconds(
    work: Callable[[], Any], device: torch.device, timed: float, least: int = 1, chunks: int = 3
) -> list[float]:
    """Seconds of `work`, of some chunks that take `timed` in all."""
    limits.wait(device)
    start = time.perf_counter()
    for _ in range(least):
        work()
    limits.wait(device)
    once = (time.perf_counter() - start) / least
    number = max(least, math.ceil(timed / chunks / once / least) * least)
    taken = []
    for _ in range(chunks):
        start = time.perf_counter()
        for _ in range(number):
            work()
        limits.wait(device)
        taken.append((time.perf_counter() - start) / number)
    return taken


def _median(work: Callable[[], Any], bench: Bench, timed: float = 0.02) -> float:
    for _ in range(3):
        work()
    return statistics.median(_seconds(work, bench.device, min(timed, bench.sizes.timed), 2))


# Parts, the most important first


def measure_limits(bench: Bench) -> None:
    """The card, its software, the fastest matrix product and copy."""
    device, sizes = bench.device, bench.sizes
    bench.numbers |= {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "sizes": sizes._asdict(),
    }
    if device.type == "cuda":
        asked = ["nvidia-smi", "--query-gpu=driver_version,clocks.sm,power.limit", "--format=csv,noheader"]
        with contextlib.suppress(OSError):
            bench.numbers["driver"] = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
        bench.numbers["cudnn"] = torch.backends.cudnn.version()
    measured: dict[str, Any] = {"products": {}}
    n = sizes.side
    shapes = [(n, n, n), (n, n, n // 2), (2 * n, n, n // 2), (4 * n, n // 4, n // 2), (n, n // 4, 2 * n)]
    for rows, columns, inner in shapes:
        a = torch.randn(rows, inner, device=device, dtype=torch.bfloat16)
        b = torch.randn(columns, inner, device=device, dtype=torch.bfloat16)
        taken = _median(lambda a=a, b=b: a @ b.mT, bench, 0.3)
        measured["products"][f"{rows} x {columns} x {inner}"] = 2 * rows * columns * inner / taken
    measured["bfloat16_flop_per_second"] = measured["products"][f"{n} x {n} x {n}"]
    measured["best_bfloat16_flop_per_second"] = max(measured["products"].values())
    a = torch.randn(n // 2, n // 2, device=device)
    measured["float32_flop_per_second"] = 2 * (n // 2) ** 3 / _median(lambda: a @ a, bench, 0.2)
    source, target = torch.empty(2, sizes.copied // 4, device=device).fill_(1)
    measured["copy_bytes_per_second"] = 2 * sizes.copied / _median(lambda: target.copy_(source), bench, 0.2)
    bench.numbers["limits"] = measured
    bench.save()


def measure_check(bench: Bench) -> None:
    """Whether the fused kernels compute what PyTorch does, on this card."""
    if bench.device.type == "cuda":
        from . import fused_check  # needs Triton, which a GPU's PyTorch brings

        found = fused_check.main(resuming=False)
        bench.numbers["check"] = found
        if max(found.values()) > fused_check.ALLOWED:
            raise ValueError(f"{max(found, key=lambda name: found[name])} differs by {max(found.values()):.1e}")


def measure_mechanisms(bench: Bench) -> None:
    """CNN14 and MFCNN14 by every mechanism of conditioning, by turns."""
    measure_turns(bench, models=("cnn14", *(f"mfcnn14:{name}" for name in MECHANISMS)))


def measure_turns(bench: Bench, turns: int = 3, models: Sequence[str] = AUDIO_MODELS[:2]) -> None:
    """CNN14 and MFCNN14, with the fused kernels and without, by turns in one run: medians, and the ratios of turns."""
    sizes = bench.sizes
    for batch in (sizes.small, sizes.large):
        variants = _possible(bench, (EAGER, FUSED))
        every = {(model, v.name): Training(bench, model, batch, v) for v in variants for model in models}
        rates: dict[tuple[str, str], list[float]] = {key: [] for key in every}
        rows: dict[tuple[str, str], dict[str, Any]] = {}
        for _ in range(turns):
            for key, training in every.items():
                rows[key] = training.measure(bench)
                rates[key].append(rows[key]["utterances_per_second"])
        for key, row in rows.items():
            speed = statistics.median(rates[key])
            rest = {name: row[name] * speed / row["utterances_per_second"] for name in ("tflop_per_second", "share")}
            rest |= {"utterances_per_second": speed, "low": min(rates[key]), "high": max(rates[key])}
            rest |= {"step_ms": 1e3 * batch / speed}
            bench.add("turns", {"model": key[0], "batch": batch, "variant": key[1], **row, **rest})
        for one, other in itertools.permutations(every, 2):
            if (one[1] == other[1] and one[0] != other[0] == models[0]) or (one[0] == other[0] and one[1] > other[1]):
                ratios = sorted(a / b for a, b in zip(rates[one], rates[other], strict=True))
                row = {"batch": batch, "of": ", ".join(one), "to": ", ".join(other)}
                bench.add("ratios", {**row, "ratio": statistics.median(ratios), "low": ratios[0], "high": ratios[-1]})
        del every, training
        bench.release()


def measure_eager(bench: Bench) -> None:
    """Every model at every batch size, cut to the crop, as the study trains by default but for its fused update."""
    order = [(name, batch) for batch in bench.sizes.batches for name in (*AUDIO_MODELS[:2], "bert", AUDIO_MODELS[2])]
    _train_all(bench, "training", [(name, batch, EAGER) for name, batch in order])


def measure_variants(bench: Bench) -> None:
    """CNN14 in every variant, in the smallest batch and in one of four times as many; BERT in its own."""
    sizes = bench.sizes.large, bench.sizes.small
    _train_all(bench, "variants", [("cnn14", batch, variant) for variant in _possible(bench) for batch in sizes])


def measure_text(bench: Bench) -> None:
    """BERT in its variants."""
    sizes, chosen = (bench.sizes.small, bench.sizes.large), _possible(bench, TEXT_VARIANTS)
    _train_all(bench, "text", [("bert", batch, variant) for batch in sizes for variant in chosen])


def _possible(bench: Bench, variants: Sequence[Variant] = VARIANTS) -> list[Variant]:
    """Those that can run here: a graph needs a GPU, and so do its kernels; nothing is compiled in miniature."""
    if bench.device.type == "cuda":
        return list(variants)
    needing = ("compiled", "kernels")
    return [v for v in variants if not (v.graph or v.compiler or any(name in v.settings for name in needing))]


def measure_best(bench: Bench) -> None:
    """The other models in the fastest variants of CNN14, beside it, in every batch."""
    names = [variant.name for variant in _best(bench)]
    chosen = [variant for variant in VARIANTS if variant.name in names]
    rows = [
        (name, batch, variant)
        for variant in chosen
        for batch in bench.sizes.batches[::-1]
        for name in ("mfcnn14", "cnn14", "sfcnn14")
    ]
    _train_all(bench, "best", rows)


def _best(bench: Bench, number: int = 2) -> list[Variant]:
    """The fastest variants of CNN14 at the larger batch: the fastest one whose seeds repeat, and the fastest of all."""
    large = bench.sizes.large
    rows = [row for row in bench.numbers.get("variants", []) if row["model"] == "cnn14" and row["batch"] == large]
    speeds = {row["variant"]: row["utterances_per_second"] for row in rows}
    ordered = sorted(
        (v for v in VARIANTS if v.name in speeds and v.compiler is None), key=lambda v: speeds[v.name], reverse=True
    )
    repeatable = next((v for v in ordered if not v.free and not v.graph), EAGER)
    return list(dict.fromkeys([*ordered[:1], repeatable]))[:number] or [EAGER]


def _train_all(
    bench: Bench, part: str, rows: Sequence[tuple[str, int, Variant]], lengths: str = "crop", keep: int = 4
) -> None:
    before = None
    for model, batch, variant in rows:
        if before is not variant and before is not None and (before.compiler or before.settings.get("compiled")):
            torch.compiler.reset()
        before = variant
        if bench.late:
            bench.add("left_out", {"part": part, "model": model, "batch": batch, "variant": variant.name})
            continue
        about = {"model": model, "batch": batch, "lengths": lengths, "variant": variant.name}
        with bench.recorded(f"{part}: {model}, {batch}, {variant.name}"):
            training = Training(bench, model, batch, variant, lengths, keep=keep)
            bench.add(part, {**about, **training.measure(bench)})
            del training


def measure_whole(bench: Bench) -> None:
    """Whole utterances, of all lengths: padded frames are masked."""
    chosen = [v for v in dict.fromkeys([EAGER, *_best(bench)]) if not v.graph]
    sizes = bench.sizes.small, bench.sizes.large
    rows = [(model, batch, variant) for variant in chosen for batch in sizes for model in ("cnn14", "mfcnn14")]
    _train_all(bench, "whole", rows, "whole", keep=8)


def measure_layers(bench: Bench) -> None:
    """Each convolution's three products, and what comes after it: time, FLOP/s and bytes/s; the first one's ways."""
    sizes, device, batch = bench.sizes, bench.device, bench.sizes.large
    data, inputs = torch.bfloat16, 1
    for block in range(limits.BLOCKS):
        outputs, frames, bands = sizes.width << block, sizes.crop >> block, sizes.mels >> block
        for layer in (1, 2):
            if bench.late:
                return
            x = torch.randn(batch, frames, bands, inputs, device=device, dtype=data).permute(0, 3, 1, 2)
            weight = torch.randn(outputs, inputs, 3, 3, device=device, dtype=data)
            weight = weight.contiguous(memory_format=torch.channels_last)
            slope = torch.randn(batch, outputs, frames, bands, device=device, dtype=data)
            slope = slope.contiguous(memory_format=torch.channels_last)

            def backward(*wanted: bool, x: Tensor = x, weight: Tensor = weight, slope: Tensor = slope) -> Any:
                pair = [1, 1]
                return torch.ops.aten.convolution_backward(
                    slope, x, weight, None, pair, pair, pair, False, [0, 0], 1, [*wanted, False]
                )

            flop = 2 * 9 * inputs * outputs * batch * frames * bands
            row: dict[str, Any] = {"layer": f"{block + 1}.{layer}", "inputs": inputs, "outputs": outputs, "flop": flop}
            with torch.no_grad():
                for name, work in {
                    "forward": lambda x=x, weight=weight: cnn14.convolve(x, weight),
                    "by_input": lambda backward=backward: backward(True, False),
                    "by_weight": lambda backward=backward: backward(False, True),
                }.items():
                    row[f"{name}_ms"] = 1e3 * _median(work, bench)
                    with torch.backends.cudnn.flags(deterministic=True):
                        row[f"{name}_repeatable_ms"] = 1e3 * _median(work, bench)
            pool = 2 if layer == 2 and block < limits.BLOCKS - 1 else 1
            row["map_bytes"] = slope.nbytes
            row |= _rest(bench, slope, outputs, pool)
            bench.add("layers", row)
            inputs = outputs
            del x, weight, slope, backward
            bench.release()


def _rest(bench: Bench, y: Tensor, channels: int, pool: int) -> dict[str, float]:
    """Milliseconds of batch normalisation, ReLU and pooling, forward and backward, in PyTorch and in our kernels."""
    norm = torch.nn.BatchNorm2d(channels).to(y.device)
    leaf = y.detach().clone(memory_format=torch.preserve_format).requires_grad_()

    def plain() -> Tensor:
        x = torch.relu_(norm(leaf))
        return torch.nn.functional.avg_pool2d(x, pool) if pool > 1 else x

    ways: dict[str, Callable[[], Tensor]] = {"rest": plain}
    if y.device.type == "cuda":
        from sercore.models import fused  # needs Triton, which a GPU's PyTorch brings

        ways["fused"] = lambda: fused.norm_relu_pool(leaf, norm, pool)
    row, leaves = {}, (leaf, norm.weight, norm.bias)
    for name, work in ways.items():
        with bench.recorded(f"layers: {name}, {channels} channels"):
            slope = torch.randn_like(work())
            row[f"{name}_forward_ms"] = 1e3 * _median(work, bench)
            both = _median(lambda work=work, slope=slope: torch.autograd.grad(work(), leaves, slope), bench)
            row[f"{name}_backward_ms"] = 1e3 * both - row[f"{name}_forward_ms"]
    return row


def measure_first(bench: Bench) -> None:
    """Ways to compute the first convolution, of one input channel: forward and backward."""
    sizes, device, batch = bench.sizes, bench.device, bench.sizes.large
    x = torch.randn(batch, 1, sizes.crop, sizes.mels, device=device, dtype=torch.bfloat16, requires_grad=True)
    weight = torch.randn(sizes.width, 1, 3, 3, device=device, dtype=torch.bfloat16, requires_grad=True)
    slope = torch.randn(batch, sizes.width, sizes.crop, sizes.mels, device=device, dtype=torch.bfloat16)
    slope = slope.contiguous(memory_format=torch.channels_last)

    def library(layout: torch.memory_format, channels: int) -> Tensor:
        a, b = (
            part if channels == 1 else torch.nn.functional.pad(part, (0, 0, 0, 0, 0, channels - 1))
            for part in (x, weight)
        )
        a, b = a.contiguous(memory_format=layout), b.contiguous(memory_format=layout)
        if layout is torch.channels_last and channels == 1:  # which is either layout; its strides say which is meant
            a = a.view(batch, sizes.crop, sizes.mels, 1).permute(0, 3, 1, 2)
        return torch.nn.functional.conv2d(a, b, padding=1)

    ways: dict[str, Callable[[], Tensor]] = {
        "contiguous": lambda: library(torch.contiguous_format, 1),
        "channels_last": lambda: library(torch.channels_last, 1),
        "8 channels": lambda: library(torch.channels_last, 8),
        "product": lambda: cnn14._Product.apply(x, weight),
        "product of 16": lambda: _padded_product(x, weight),
    }
    row = {}
    for name, work in ways.items():
        with bench.recorded(f"first: {name}"):
            row[name] = 1e3 * _median(work, bench)
            row[f"{name}, with backward"] = 1e3 * _median(
                lambda work=work: torch.autograd.grad(work(), (x, weight), slope), bench
            )
    bench.add("first", row)


def _padded_product(x: Tensor, weight: Tensor) -> Tensor:
    """The convolution of one input channel as a product whose inner size is 16, which matrix units take."""
    batch, _, frames, bands = x.shape
    pad = torch.nn.functional.pad
    y = pad(cnn14._unfolded(x, weight.shape[2:]), (0, 7)) @ pad(cnn14._matrix(weight), (0, 7)).mT
    return y.view(batch, frames, bands, len(weight)).permute(0, 3, 1, 2)


def measure_profile(bench: Bench) -> None:
    """Which kernels take a step's time: eager, and in the fastest variants that are no graph."""
    for variant in dict.fromkeys([EAGER, *(v for v in _best(bench) if not v.graph)]):
        if bench.late:
            return
        training = Training(bench, "mfcnn14", bench.sizes.large, variant)
        kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (bench.device.type == "cuda")
        with training.kernels():
            for _ in range(4):
                training.step()
            with profile(activities=kinds) as profiled:
                training.step()
                limits.wait(bench.device)
        key = "self_device_time_total" if bench.device.type == "cuda" else "self_cpu_time_total"
        events = [event for event in profiled.key_averages() if bench.device.type == "cpu" or _on_device(event)]
        times = sorted(((getattr(event, key) / 1e3, event.count, event.key) for event in events), reverse=True)
        total = sum(taken for taken, *_ in times)
        rows = [{"ms": ms, "share": ms / total, "calls": calls, "name": name[:160]} for ms, calls, name in times[:16]]
        bench.numbers.setdefault("profile", {})[variant.name] = {"total_ms": total, "top": rows}
        bench.save()


def _on_device(event: Any) -> bool:
    return "CUDA" in str(getattr(event, "device_type", ""))


def measure_data(bench: Bench) -> None:
    """The data path alone, and a whole epoch with it."""
    sizes = bench.sizes
    for model, lengths in (("mfcnn14", "crop"), ("mfcnn14", "whole"), ("bert", "whole")):
        data = bench.data(model, lengths).to(bench.device)
        crop = sizes.crop if lengths == "crop" else None
        for batch in (sizes.small, sizes.large):

            def epoch(data: Dataset = data, batch: int = batch, crop: int | None = crop) -> None:
                for _ in data.batches(batch, torch.Generator().manual_seed(1), crop):
                    pass

            rate = len(data) / _median(epoch, bench)
            bench.add("data", {"model": model, "lengths": lengths, "batch": batch, "utterances_per_second": rate})
    for variant in dict.fromkeys([EAGER, *(v for v in _best(bench) if not v.graph)]):
        for model in ("cnn14", "mfcnn14"):
            if not bench.late:
                training = Training(bench, model, sizes.large, variant)
                with training.kernels():
                    rate = [training.loop.run_epoch().utterances_per_second for _ in range(2)][-1]
                bench.add("epochs", {"model": model, "variant": variant.name, "utterances_per_second": rate})


def measure_features(bench: Bench) -> None:
    """Log-mels on the device, of one utterance at a time and of many at once: times real time."""
    settings, seconds = audio.PAPER, 5.8
    transform = audio._mel_spectrogram(settings).to(bench.device)
    try:
        sound = torch.randn(64, int(seconds * settings.sample_rate), device=bench.device) / 10
        row = {"one": seconds / _median(lambda: audio.log_mel(sound[0]), bench)}

        def many() -> torch.Tensor:
            return transform(sound).mT.clamp(min=audio.LEAST_POWER).log10().mul(10.0).contiguous()

        row["64"] = 64 * seconds / _median(many, bench)
    finally:
        transform.cpu()
    bench.add("log_mel", row)


def measure_evaluation(bench: Bench) -> None:
    """Utterances a second of whole utterances, in each precision."""
    for model in ("mfcnn14", "bert"):
        data, network = bench.data(model, "whole"), bench.network(model, bench.sizes.width)
        for name, precision, settings in (
            ("bfloat16", "bfloat16", TrainingSettings()),
            ("TensorFloat-32", "float32", TrainingSettings(tensor_float32=True)),
            ("float32", "float32", TrainingSettings()),
        ):
            if bench.late:
                return
            with kernels(settings):
                start = time.perf_counter()
                loop.predict(network, data, bench.device, precision=precision)
                first = time.perf_counter() - start
                start = time.perf_counter()
                loop.predict(network, data, bench.device, precision=precision)
                taken = time.perf_counter() - start
            rate = len(data) / taken
            bench.add(
                "evaluation",
                {"model": model, "precision": name, "utterances_per_second": rate, "first_seconds": first},
            )


def measure_bytes(bench: Bench) -> None:
    """Whether a seed gives the same weights twice, to the last bit."""
    chosen = [("cnn14", EAGER), ("mfcnn14", EAGER), ("bert", EAGER)]
    chosen += [("mfcnn14", variant) for variant in _possible(bench, (FUSED, TUNED))]
    for model, variant in chosen:
        if bench.late:
            return
        with bench.recorded(f"bytes: {model}, {variant.name}"):
            states = []
            for _ in range(2):
                training = Training(bench, model, bench.sizes.small, variant)
                torch.manual_seed(0)
                with training.kernels():
                    for _ in range(8):
                        training.step()
                states.append([value.cpu() for value in training.loop.model.state_dict().values()])
            same = all(torch.equal(one, other) for one, other in zip(*states, strict=True))
            bench.add("bytes", {"model": model, "variant": variant.name, "same": same})


def measure_curves(bench: Bench, seeds: int = 3) -> None:
    """The loss of each of some steps from the same start on the same batches, in each precision and way, over seeds.

    A seed is that of dropout. Without dropout ("no dropout") the ways differ in nothing but rounding.
    """
    ways: dict[str, tuple[Variant, dict[str, Any]]] = {"bfloat16": (EAGER, {})}
    if bench.device.type == "cuda":
        ways["bfloat16, fused"] = (FUSED, {})
    float32 = {
        "TensorFloat-32": (EAGER, {"precision": "float32", "tensor_float32": True}),
        "float32": (EAGER, {"precision": "float32"}),
    }  # which take ten times as long
    rounds = [(ways, "no dropout", 0), *((ways, "dropout", seed) for seed in range(seeds))]
    for chosen, dropout, seed in [*rounds, (float32, "no dropout", 0), (float32, "dropout", 0)]:
        for name, (variant, values) in chosen.items():
            if bench.late:
                return
            with bench.recorded(f"curves: {name}, {dropout}, {seed}"):
                training = Training(bench, "mfcnn14", bench.sizes.small, variant, keep=16, **values)
                if dropout == "no dropout":
                    for block in training.loop.model.children():
                        block.dropout = 0.0  # of CNN14's blocks; no other part has or reads one
                torch.manual_seed(seed)
                with training.kernels():
                    curve = torch.stack([training.step() for _ in range(bench.sizes.curve)]).tolist()
                bench.numbers.setdefault("curves", {})[f"{name}, {dropout}, seed {seed}"] = curve
                bench.save()
                print(f"{name}, {dropout}, {seed}: {curve[0]:.4f} to {statistics.mean(curve[-10:]):.4f}", flush=True)


def measure_several(bench: Bench) -> None:
    """Several trainings at once on one GPU, each a process of its own: utterances a second of all."""
    for width in dict.fromkeys([bench.sizes.width, 8]):
        for number in bench.sizes.runs:
            if bench.late:  # a start takes ten seconds
                bench.add("left_out", {"part": "several", "runs": number, "width": width})
                continue
            with bench.recorded(f"several: {number} at width {width}"), tempfile.TemporaryDirectory() as folder:
                rates = _beside_each_other(bench, Path(folder), number, width)
                bench.add("several", {"width": width, "runs": number, "utterances_per_second": sum(rates)})


def _beside_each_other(bench: Bench, folder: Path, number: int, width: int) -> list[float]:
    """Utterances a second of each of `number` processes."""
    command = [sys.executable, "-m", "tests.benchmarks.gpu", "--out", str(folder)]
    command += ["--miniature"] if bench.sizes is MINIATURE else []
    parts = [[*command, "--worker", f"{place},{number},{width}"] for place in range(number)]
    workers = [subprocess.Popen(part, cwd=Path(__file__).parents[2]) for part in parts]
    try:
        statuses = [worker.wait(WAITED) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    if any(statuses):
        raise RuntimeError(f"{number} workers at width {width} ended with {statuses}")
    return [files.read_json(file)["utterances_per_second"] for file in folder.glob("*.json")]


def work_beside_others(bench: Bench, place: int, number: int, width: int) -> None:
    """One of several trainings: warm up, wait for the others, train for a while."""
    bench.sizes = bench.sizes._replace(utterances=min(bench.sizes.utterances, 512))
    training = Training(bench, "mfcnn14", bench.sizes.small, EAGER, width=width)
    with training.kernels():
        for _ in range(5):
            training.step()
        limits.wait(bench.device)
        (bench.out / f"{place}.ready").touch()
        given_up = time.monotonic() + WAITED / 2
        while len(list(bench.out.glob("*.ready"))) < number:
            time.sleep(0.01)
            if time.monotonic() > given_up:
                raise TimeoutError(f"not all of {number} workers are ready")
        seen, start, lasts = 0, time.perf_counter(), 10 * bench.sizes.timed
        while time.perf_counter() - start < lasts:
            for _ in range(4):
                training.step()
            limits.wait(bench.device)
            seen += 4 * training.batch
        rate = seen / (time.perf_counter() - start)
    files.write_json(bench.out / f"{place}.json", {"utterances_per_second": rate})


PARTS: dict[str, tuple[Callable[[Bench], None], float]] = {
    "limits": (measure_limits, 10),
    "check": (measure_check, 15),
    "turns": (measure_turns, 30),
    "mechanisms": (measure_mechanisms, 40),
    "curves": (measure_curves, 25),
    "several": (measure_several, 60),
    "text": (measure_text, 60),
    "eager": (measure_eager, 45),
    "variants": (measure_variants, 90),
    "best": (measure_best, 40),
    "profile": (measure_profile, 8),
    "whole": (measure_whole, 30),
    "layers": (measure_layers, 15),
    "first": (measure_first, 4),
    "data": (measure_data, 20),
    "bytes": (measure_bytes, 12),
    "evaluation": (measure_evaluation, 12),
    "features": (measure_features, 4),
}
"""Name -> part, and its share of the time, after which it begins nothing new: seconds, where all take eight minutes."""


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, write JSON and Markdown, print the tables, and return the numbers."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gpu", description=__doc__)
    parser.add_argument("--out", required=True, help="folder of the figures")
    parser.add_argument("--minutes", type=float, default=8.0, help="after which nothing new is begun")
    parser.add_argument("--steps", default=",".join(PARTS), help="parts, in their order")
    parser.add_argument("--batches", help="sizes of batches, such as 32,128; at least two")
    parser.add_argument("--miniature", action="store_true", help="everything tiny, to see whether it runs")
    parser.add_argument("--worker", help=argparse.SUPPRESS)  # place, number and width of one of several processes
    args = parser.parse_args(arguments)
    unknown = [name for name in args.steps.split(",") if name not in PARTS]
    if unknown:
        parser.error(f"no step '{unknown[0]}'; known: {', '.join(PARTS)}")
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path("/tmp") / f"inductor-{os.getuid()}"))
    sizes = MINIATURE if args.miniature else Sizes()
    if args.batches:
        sizes = sizes._replace(batches=tuple(int(size) for size in args.batches.split(",")))
    bench = Bench(out, sizes, args.minutes)
    if args.worker:
        work_beside_others(bench, *(int(part) for part in args.worker.split(",")))
        return {}
    bench.scale = 60 * args.minutes / sum(PARTS[name][1] for name in args.steps.split(","))
    for name in args.steps.split(","):
        bench.run(name, *PARTS[name])
    print(tables(bench.numbers))
    return bench.numbers


def tables(numbers: dict[str, Any]) -> str:
    """All that has been measured, in Markdown."""
    lines = [f"# {numbers.get('device', 'a GPU')}, torch {numbers.get('torch', '')}", ""]
    if "limits" in numbers:
        one = {name: value / 1e12 for name, value in numbers["limits"].items() if name != "products"}
        lines += [
            f"Matrix product in bfloat16 {one['bfloat16_flop_per_second']:,.0f} TFLOP/s (best shape "
            f"{one['best_bfloat16_flop_per_second']:,.0f}), float32 {one['float32_flop_per_second']:,.1f}; copy "
            f"{one['copy_bytes_per_second']:.2f} TB/s, read and written. {numbers.get('driver', '')}",
            "",
        ]
    for part in ("turns", "text", "training", "variants", "best", "whole"):
        if part in numbers:
            lines += [
                f"## {part}",
                "",
                "| model | batch | variant | utterances/s | low-high | TFLOP/s | share | GB | warm s |",
            ]
            lines += ["|---|---:|---|---:|---:|---:|---:|---:|---:|"]
            lines += [
                f"| {row['model']} | {row['batch']} | {row['variant']} | {row['utterances_per_second']:,.0f} "
                f"| {row['low']:,.0f}-{row['high']:,.0f} | {row['tflop_per_second']:.1f} | {row['share']:.1%} "
                f"| {row['peak_gb']:.1f} | {row['warm_seconds']:.1f} |"
                for row in numbers[part]
            ]
            lines.append("")
    for part in ("ratios", "layers", "first", "data", "epochs", "log_mel", "evaluation", "bytes", "several"):
        if part in numbers:
            table = pd.DataFrame(numbers[part])
            lines += [f"## {part}", "", "| " + " | ".join(table.columns) + " |", "|---" * len(table.columns) + "|"]
            lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in table.itertuples(index=False)]
            lines.append("")
    for name, one in numbers.get("profile", {}).items():
        lines += [f"## profile of MFCNN14, {name}: {one['total_ms']:.1f} ms a step", ""]
        lines += [
            f"- {row['share']:.1%} {row['ms']:.2f} ms x{row['calls']} {row['name'][:90]}" for row in one["top"][:10]
        ]
        lines.append("")
    if curves := numbers.get("curves"):
        lines += ["## loss, first and mean of the last ten steps", ""]
        lines += [f"- {name}: {curve[0]:.4f}, {statistics.mean(curve[-10:]):.4f}" for name, curve in curves.items()]
        lines.append("")
    if numbers["errors"]:
        lines += ["## errors", ""]
        lines += [f"- {name}: {text.strip().splitlines()[-1][:200]}" for name, text in numbers["errors"].items()]
        lines.append("")
    if left_out := numbers.get("left_out"):
        lines += [f"{len(left_out)} measurements were left out for lack of time.", ""]
    lines.append("Seconds: " + ", ".join(f"{name} {taken}" for name, taken in numbers["steps"].items()))
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


if __name__ == "__main__":
    main()
