"""How fast the study trains, evaluates and reads, as shares of what this machine can do and as times a plain loop.

A plain loop is what one writes first: random batches padded to the longest, log-mels from the wav files and text
embeddings from the transcripts in every batch, float32. Ours is the study's own, in whichever precision is faster here.
Both train the same networks at the same width and batch, all models of both taking turns; the first turn warms up and
is not counted. Ratios are of the same turn; medians over the turns, lowest and highest in brackets.

The speech is that of the embedded corpora, cut anew into segments as long as MSP-Podcast's; or a release of yours:

    make bench
    python -m tests.benchmarks.throughput --corpus iemocap --root /data/IEMOCAP_full_release --widths 64
    python -m tests.benchmarks.throughput --mechanisms --widths 64     # every mechanism of MFCNN14 beside CNN14
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from sercore import files, schema
from sercore.corpora.corpus import located
from sercore.datasets import batches
from sercore.datasets.source import Source, read
from sercore.settings import MECHANISMS, FeatureSettings, TextSettings
from sercore.training.device import memory_kept
from sercore.training.loop import pick_device

from . import extraction, limits, report, speech
from .loops import Ours, Plain, Sample, Size

TEXT_MODEL = "bert"
TRAINED_MODELS = ("cnn14", "sfcnn14", "mfcnn14", TEXT_MODEL)
BATCH = 32
BESIDE = ("cnn14", "mfcnn14")  # whose batches take turns
PAIRS = 4  # of one batch of each
MOST_SECONDS = 240  # of a width's turns: no further one is begun then
SMALL = FeatureSettings(mels=32, hop=320)  # the demo's
DEEP = 32  # the width from which on a batch takes seconds on a CPU


def main(arguments: Sequence[str] | None = None) -> dict:
    """Measure, print tables, write the numbers as JSON, and return them."""
    args = _parser().parse_args(arguments)
    device = pick_device()
    if args.threads:
        torch.set_num_threads(args.threads)
    folder, began = files.resolve(args.folder), time.perf_counter()
    root = files.resolve(args.root) if args.root else speech.lay_out(folder, args.hours)
    options = {"root": root, **({"transcripts": args.transcripts} if args.transcripts else {})}
    text = TextSettings(encoder=args.encoder, tokens=args.tokens)
    numbers: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} ({processor()})",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "encoder": args.encoder,
        "corpus": args.corpus,
        "repeats": args.repeats,
        "limits": limits.measure(device),
        "sizes": {},
    }
    if args.corpus == "table" and not (args.no_extraction or args.mechanisms):
        numbers["extraction"] = extraction.measure(root, torch.get_num_threads())
        print(report.extraction(numbers), flush=True)
    for width in args.widths:
        size = _size(width, args, device)
        names = [name for name in args.models if args.all or name in _worth(width, device)]
        names = list(BESIDE) if args.mechanisms else names
        place = located(options, args.corpus)
        corpus = {
            name: read(
                args.corpus,
                place,
                model=name,
                targets=(schema.EMOTION,),
                classes=schema.FOUR_CLASSES,
                features=size.features,
                text=text,
                cache_folder=folder / "cache",
            )
            for name in names
        }
        if args.mechanisms:
            numbers["sizes"][str(width)] = measured = _mechanisms(corpus, size, text, device, numbers["limits"])
            print(report.mechanisms(width, measured), flush=True)
            continue
        numbers["sizes"][str(width)] = measured = _measure(corpus, size, text, device, numbers["limits"])
        numbers["limits"] = limits.best(numbers["limits"], measured["limits"])
        print(report.size(width, measured), flush=True)
    numbers["width"] = max(args.widths)
    numbers["utterances_per_second"] = {
        name: {"ours": row["training"]["ours"], "plain": row["training"]["plain"]}
        for width in sorted(args.widths)  # of the widest that has the model
        for name, row in numbers["sizes"][str(width)].get("models", {}).items()
        if width == max(args.widths) or name == TEXT_MODEL
    }
    numbers["seconds"] = time.perf_counter() - began
    files.write_json(files.resolve(args.output), numbers)
    print(report.machine(numbers, args.output))
    return numbers


def processor() -> str:
    """Name of the processor, and what of bfloat16 it has."""
    names = [line.split(":")[1].strip() for line in _cpuinfo().splitlines() if line.startswith("model name")]
    parts = [part for part in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if part in _cpuinfo()]
    return f"{names[0] if names else 'unknown'}, {parts[0] if parts else 'no AVX2'}"


def _cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.throughput", description=__doc__)
    parser.add_argument("--corpus", default="table")
    parser.add_argument("--root", help="the release's folder (default: speech of the embedded corpora)")
    parser.add_argument("--transcripts", help="a CSV of transcripts, for a release that has none")
    parser.add_argument("--hours", type=float, default=2.0, help="of speech, where no root is given")
    parser.add_argument("--folder", default="outputs/bench", help="of the speech and its features")
    parser.add_argument("--models", nargs="+", default=list(TRAINED_MODELS), choices=TRAINED_MODELS)
    parser.add_argument("--all", action="store_true", help="every model at every width, which takes longer")
    parser.add_argument("--widths", type=int, nargs="+", default=[8, 64], help="of CNN14")
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--steps", type=int, help="a turn of our loop (default: 8, or 2 of a wide network on a CPU)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--encoder", default="all-minilm-l6-v2")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, help="default: one a core")
    parser.add_argument("--no-extraction", action="store_true")
    parser.add_argument("--mechanisms", action="store_true", help="these alone, against CNN14, batch by batch")
    parser.add_argument("--output", default="outputs/bench/throughput.json")
    return parser


def _size(width: int, args: argparse.Namespace, device: torch.device) -> Size:
    slow = device.type == "cpu" and width >= DEEP
    steps = args.steps or (2 if slow else 8)
    front = SMALL if width < DEEP else FeatureSettings()
    return Size(
        width=width,
        features=front,
        batch=args.batch,
        ours=steps,
        plain=max(1, steps // 2),
        repeats=min(args.repeats, 2) if slow else args.repeats,
        slow=slow,
    )


def _worth(width: int, device: torch.device) -> tuple[str, ...]:
    """The models to measure at `width`: the text model has none, and single-stage fusion lies between the others."""
    return ("cnn14", "mfcnn14") if device.type == "cpu" and width >= DEEP else TRAINED_MODELS


def _measure(
    corpus: dict[str, Source],
    size: Size,
    text: TextSettings,
    device: torch.device,
    limit: dict[str, float],
) -> dict[str, Any]:
    """Every model at one width."""
    acoustic = next(name for name in corpus if name != TEXT_MODEL)
    kinds = {name: name if name == TEXT_MODEL else acoustic for name in corpus}  # all that use audio have the same one
    faster = {kind: _faster(corpus[kind], size, kind, text, device, limit) for kind in set(kinds.values())}
    precision = {name: faster[kind] for name, kind in kinds.items()}
    ours = {name: Ours(source, size, name, text, precision[name]) for name, source in corpus.items()}
    plain = {name: Plain(source, size, name, text) for name, source in corpus.items()}
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in corpus}
    peaks = dict.fromkeys(corpus, 0)
    began = time.perf_counter()
    for turn in range(1 + size.repeats):
        rates: dict[str, dict[str, float]] = {}
        with memory_kept(device):  # as it is within an epoch, which is longer than a turn
            ours[acoustic].train()
            for name in corpus:
                limits.reset_peak(device)
                rates[name] = {"training": ours[name].train(), "evaluation": ours[name].evaluate()}
                peaks[name] = max(peaks[name], limits.peak_bytes(device))
        if turn or not size.slow:
            for name in corpus:
                rates[name] |= {"plain training": plain[name].train(), "plain evaluation": plain[name].evaluate()}
        if turn:
            for name in corpus:
                turns[name].append(rates[name])
            if time.perf_counter() - began > MOST_SECONDS:
                break
    beside = _beside(ours, device) if set(BESIDE) <= corpus.keys() else {}
    limit = limits.best(limit, limits.measure(device))
    rows = {}
    for name, source in corpus.items():
        seconds = float(source.rows["seconds"].mean())
        ours[name].take(size.ours)
        flop, peak = ours[name].flop(size), limit[f"{precision[name]}_flop_per_second"]
        number = torch.empty(0, dtype=getattr(torch, precision[name])).element_size()
        rows[name] = {"precision": precision[name], "flop": flop, "peak_bytes": peaks[name]}
        for part, passes in (("training", 3), ("evaluation", 1)):
            rows[name][part] = compared = _compare(
                [turn[part] for turn in turns[name]], [turn[f"plain {part}"] for turn in turns[name]]
            )
            compared["audio_hours_per_second"] = compared["ours"] * seconds / 3600
            compared["share_of_peak"] = compared["ours"] * flop * passes / 3 / peak
            moved = ours[name].traffic(size, number, training=part == "training")
            compared["bytes"] = moved
            compared["share_of_copy"] = compared["ours"] * moved / (2 * limit["copy_bytes_per_second"])
        ours[name].close()
    with_audio = next(source for name, source in corpus.items() if source.frames is not None)
    fastest = max(row["training"]["ours"] for name, row in rows.items() if name != TEXT_MODEL)
    return {
        "width": size.width,
        "mels": size.features.mels,
        "hop_seconds": size.features.hop / size.features.sample_rate,
        "batch": size.batch,
        "steps": size.ours,
        "repeats": len(turns[acoustic]),
        "utterances": len(with_audio.rows),
        "mfcnn14_by_cnn14": beside,
        "data_path": _data_path(with_audio, size, fastest, limit),
        "limits": limit,
        "models": rows,
    }


def _faster(
    source: Source,
    size: Size,
    model: str,
    text: TextSettings,
    device: torch.device,
    limit: dict[str, float],
) -> str:
    """The precision that trains `model` faster: one turn of each, after one that warms up.

    Where a turn is slow, and on a GPU, that whose matrix products are faster.
    """
    if size.slow or device.type != "cpu":
        return max(("float32", "bfloat16"), key=lambda name: limit[f"{name}_flop_per_second"])
    rates = {}
    for precision in ("float32", "bfloat16"):
        loop = Ours(source, replace(size, ours=1), model, text, precision)
        rates[precision] = [loop.train() for _ in range(2)][-1]
        loop.close()
    return max(rates, key=rates.__getitem__)


def _mechanisms(
    corpus: dict[str, Source], size: Size, text: TextSettings, device: torch.device, limit: dict[str, float]
) -> dict[str, Any]:
    """The speed of training MFCNN14 by each mechanism, by that of CNN14, a batch of each in turn."""
    precision = _faster(corpus["cnn14"], size, "cnn14", text, device, limit)
    ratios = {}
    for mechanism in MECHANISMS:
        of = replace(size, mechanism=mechanism)
        both = {name: Ours(corpus[name], of, name, text, precision) for name in BESIDE}
        ratios[mechanism] = _beside(both, device, size.repeats)
        for loop in both.values():
            loop.close()
    return {"width": size.width, "batch": size.batch, "precision": precision, "mechanisms_by_cnn14": ratios}


def _beside(ours: dict[str, Ours], device: torch.device, pairs: int = PAIRS) -> dict[str, float]:
    """The speed of training MFCNN14 by that of CNN14: a batch of each in turn, the first of either first by turns."""
    ratios = []
    for name in BESIDE:
        ours[name].take(1)
    with memory_kept(device):
        for name in BESIDE:
            ours[name].train()  # which warms up
        for turn in range(pairs):
            rates = {name: ours[name].train() for name in (BESIDE if turn % 2 else reversed(BESIDE))}
            ratios.append(rates["mfcnn14"] / rates["cnn14"])
    return _spread(ratios)


def _data_path(source: Source, size: Size, trained: float, limit: dict[str, float]) -> dict[str, float]:
    """An epoch's batches without training on them."""
    dataset = source.dataset(source.rows["utterance"]).to(pick_device())
    rates, copied = [], 0
    for turn in range(4):
        seen = copied = 0
        start = time.perf_counter()
        for batch in dataset.batches(size.batch, torch.Generator().manual_seed(turn)):
            seen, copied = seen + len(batch.rows), copied + batch.inputs[0].nbytes
        limits.wait(dataset.device)
        taken = time.perf_counter() - start
        rates.append((seen / taken, copied / taken))
    speed, stream = (statistics.median(values) for values in zip(*rates[1:], strict=True))
    chance = torch.Generator().manual_seed(0)
    return {
        "utterances_per_second": speed,
        "times_training": speed / trained,
        "bytes_per_second": stream,
        "share_of_copy": stream / limit["copy_bytes_per_second"],
        "padding_share": batches.padding_share(dataset, size.batch, chance),
        "sample_padding_share": _padding(Sample(dataset, size.ours), size.batch),
        "evaluation_padding_share": batches.padding_share(dataset, size.batch, None),
        "plain_padding_share": _random_padding(dataset.plan(len(dataset), chance)[0].count, size.batch),
    }


def _padding(sample: Sample, batch: int) -> float:
    plans = sample.plan(batch, torch.Generator())
    return 1 - sum(int(plan.count.sum()) for plan in plans) / sum(len(plan.rows) * plan.padded for plan in plans)


def _random_padding(lengths: Any, batch: int) -> float:
    """Share of padding in random batches of utterances of these lengths."""
    order = torch.randperm(len(lengths), generator=torch.Generator().manual_seed(0))
    parts = torch.as_tensor(lengths)[order].split(batch)
    return 1 - float(sum(part.sum() for part in parts) / sum(len(part) * part.max() for part in parts))


def _compare(ours: list[float], plain: list[float]) -> dict[str, Any]:
    ratios = [mine / other for mine, other in zip(ours, plain, strict=True)]
    return {
        "ours": statistics.median(ours),
        "plain": statistics.median(plain),
        "ratio": _spread(ratios),
        "repeats": {"ours": ours, "plain": plain},
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


if __name__ == "__main__":
    main()
