"""CNN14 in our training loop, in autrainer's and in one written with care: same corpus, width 64, batch 32, by turns.

autrainer (the toolkit for computer audition on PyTorch) lives in an environment of its own, `.venv-peer`. It trains its
own Cnn14, 64 wide, on log-mels that it computed before, in float32 (it knows no other precision), in random batches
that are padded to the longest. Ours trains in whichever precision is faster here, and in float32 as well, so that the
ratio is not of precision alone. The careful loop (loops.Careful) is plain PyTorch: bfloat16, channels_last, compiled,
worker processes, our network. The first step of each warms up.

    make bench-peer
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import torch

from sercore import files, schema
from sercore.corpora import corpus
from sercore.datasets.source import read
from sercore.settings import FeatureSettings, TextSettings
from sercore.training import loop
from sercore.training.device import memory_kept

from . import limits, speech, throughput
from .loops import Careful, Ours, Size

PYTHON = ".venv-peer/bin/python"
TURN = "turn:"
CAREFUL, AUTRAINER = "careful loop, bfloat16", "autrainer, float32"
DEVELOPMENT = 4  # utterances, so that it has something to evaluate
TEXT = TextSettings(encoder="all-minilm-l6-v2")
DATASET = {
    "id": "Speech",
    "_target_": "autrainer.datasets.BaseClassificationDataset",
    "path": "data/Speech",
    "features_subdir": "log_mel_16k",
    "index_column": "file",
    "target_column": "emotion",
    "file_type": "npy",
    "file_handler": "autrainer.datasets.utils.NumpyFileHandler",
    "criterion": "autrainer.criterions.CrossEntropyLoss",
    "metrics": ["autrainer.metrics.UAR"],
    "tracking_metric": "autrainer.metrics.UAR",
    "transform": {"type": "grayscale", "base": ["peer_side.PadToLongest"]},
}
OPTIMISER = {"id": "Nesterov", "_target_": "torch.optim.SGD", "momentum": 0.9, "nesterov": True}


def main(arguments: Sequence[str] | None = None) -> dict:
    """Measure, print, write the numbers as JSON, and return them."""
    args = _parser().parse_args(arguments)
    python, began = files.resolve(PYTHON), time.perf_counter()
    if not python.exists():
        raise FileNotFoundError(f"no {python}; autrainer is installed there by: make .venv-peer/installed")
    folder = files.resolve(args.folder)
    root = speech.lay_out(folder, args.hours)
    device = loop.pick_device()
    project = folder / "peer"
    _lay_out(project, root, args.batch, args.turns, device)
    threads = torch.get_num_threads()
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(Path(__file__).parent)}
    with (project / "log.txt").open("w") as log:
        _preprocess(python, project, environment, log)
        source = read(
            "table",
            corpus.located({"root": root}, "speech"),
            model="cnn14",
            targets=(schema.EMOTION,),
            classes=schema.FOUR_CLASSES,
            features=FeatureSettings(),
            text=TEXT,
            cache_folder=folder / "cache",
        )
        limit = limits.measure(device)
        size = Size(width=64, features=FeatureSettings(), batch=args.batch, ours=2, plain=1, slow=True)
        precision = throughput._faster(source, size, "cnn14", TEXT, device, limit)
        ours = {name: Ours(source, size, "cnn14", TEXT, name) for name in dict.fromkeys((precision, "float32"))}
        careful = Careful(source, size, compiled=args.compiled)
        theirs = _steps(python, project, environment, log)
        turns: list[dict[str, float]] = []
        for number in range(1 + args.turns):  # the first warms up
            turn = {f"ours, {name}": _steady(one, device) for name, one in ours.items()}
            turn |= {CAREFUL: careful.train(), AUTRAINER: next(theirs)}
            turns += [turn] if number else []
            rates = ", ".join(f"{name} {rate:.2f}" for name, rate in turn.items())
            print(f"turn {number} of {args.turns}, utterances/s: {rates}", flush=True)
        theirs.close()
    numbers = {
        "device": str(device),
        "processor": throughput.processor(),
        "threads": threads,
        "batch": args.batch,
        "utterances": len(source.rows),
        "precision": precision,
        "utterances_per_second": {name: statistics.median(turn[name] for turn in turns) for name in turns[0]},
        "ratios": {
            f"{one} / {other}": throughput._spread([turn[one] / turn[other] for turn in turns])
            for one in turns[0]
            for other in (CAREFUL, AUTRAINER)
            if one != other
        },
        "turns": turns,
        "limits": limit,
        "seconds": time.perf_counter() - began,
    }
    files.write_json(files.resolve(args.output), numbers)
    print(f"CNN14, width 64, batch {args.batch}, {len(source.rows)} utterances, {args.turns} turns\n")
    print("| loop | utterances/s |\n|---|---:|")
    for name, rate in numbers["utterances_per_second"].items():
        print(f"| {name} | {rate:.2f} |")
    print("\n| ratio of speeds | median (lowest-highest) |\n|---|---:|")
    for name, of in numbers["ratios"].items():
        print(f"| {name} | {of['median']:.2f} ({of['low']:.2f}-{of['high']:.2f}) |")
    print(
        f"\n{numbers['processor']}, {threads} threads, {numbers['seconds'] / 60:.1f} minutes; written to {args.output}"
    )
    return numbers


def _steady(ours: Ours, device: torch.device) -> float:
    """Utterances a second of our loop as within an epoch, which is longer than a turn."""
    with memory_kept(device):
        ours.train()
        return ours.train()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peer", description=__doc__)
    parser.add_argument("--hours", type=float, default=0.75, help="of speech")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--not-compiled", dest="compiled", action="store_false", help="the careful loop")
    parser.add_argument("--folder", default="outputs/bench")
    parser.add_argument("--output", default="outputs/bench/peer.json")
    return parser


def _lay_out(project: Path, root: Path, batch: int, turns: int, device: torch.device) -> None:
    """A project of autrainer: its configuration and the corpus in its layout."""
    shutil.rmtree(project, ignore_errors=True)
    table = pd.read_csv(root / "utterances.csv")[["file", "emotion"]]
    audio = project / "data" / "Speech" / "default"
    audio.parent.mkdir(parents=True)
    audio.symlink_to(root, target_is_directory=True)
    for part, rows in (("train", table), ("dev", table[:DEVELOPMENT]), ("test", table[:DEVELOPMENT])):
        files.write_table(audio.parent / f"{part}.csv", rows)
    parts = {"dataset": "Speech", "model": "Cnn14", "optimizer": "Nesterov"}
    steps = 1 + turns
    course = {
        "training_type": "step",
        "iterations": steps,
        "eval_frequency": steps,
        "device": str(device),
        "reproducible": False,
        "progress_bar": False,
        "continue_training": False,
        "save_train_outputs": False,
        "save_dev_outputs": False,
        "save_test_outputs": False,
        "callbacks": ["peer_side.TakeTurns"],
    }
    sweep = {"+seed": 1, "+batch_size": batch, "+learning_rate": 0.0001, **parts}
    files.write_yaml(
        project / "conf" / "config.yaml",
        {
            "defaults": ["_autrainer_", "_self_"],
            "results_dir": "results",
            "experiment_id": "speed",
            **course,
            "hydra": {"sweeper": {"params": sweep}},
        },
    )
    files.write_yaml(project / "conf" / "dataset" / "Speech.yaml", DATASET)
    files.write_yaml(project / "conf" / "optimizer" / "Nesterov.yaml", OPTIMISER)


def _preprocess(python: Path, project: Path, environment: dict[str, str], log: object) -> None:
    """Its log-mels."""
    command = [python.with_name("autrainer"), "preprocess"]
    done = subprocess.run(command, cwd=project, env=environment, stdout=log, stderr=log)
    if done.returncode:
        raise RuntimeError(f"autrainer's preprocessing failed, see {project / 'log.txt'}")


def _steps(python: Path, project: Path, environment: dict[str, str], log: object) -> Iterator[float]:
    """Utterances a second of each step of its training, which waits until the next is wanted."""
    command = [python.with_name("autrainer"), "train"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log, "text": True}
    with subprocess.Popen(command, cwd=project, env=environment, **pipes) as process:
        try:
            for line in process.stdout:
                log.write(line)
                if line.startswith(TURN):
                    step = json.loads(line.removeprefix(TURN))
                    yield step["utterances"] / step["seconds"]
                    process.stdin.write("\n")
                    process.stdin.flush()
            raise RuntimeError(f"autrainer ended before its last turn, see {project / 'log.txt'}")
        finally:
            process.kill()


if __name__ == "__main__":
    main()
