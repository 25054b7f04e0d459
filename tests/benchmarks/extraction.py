"""Log-mels of a corpus into an empty cache: how many times faster than real time, and in how much memory.

python -m tests.benchmarks.extraction ROOT --share 0.25     one measurement, as JSON
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from sercore import corpora, files
from sercore.features import cache
from sercore.settings import FeatureSettings

from . import limits

SHARES = (1 / 16, 1 / 4, 1)
HUNDRED_HOURS = 360_000  # seconds


def measure(root: Path, threads: int) -> dict[str, Any]:
    """Each share of the corpus in a process of its own; what a hundred hours would take at the whole one's speed."""
    sizes = []
    for share in SHARES:
        command = [sys.executable, "-m", "tests.benchmarks.extraction", str(root), "--share", str(share)]
        done = subprocess.run(
            [*command, "--threads", str(threads)],
            cwd=files.project(),
            env=dict(os.environ),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"the extraction of {share:g} of {root} failed:\n{done.stderr}")
        sizes.append(json.loads(done.stdout.splitlines()[-1]))
    whole = sizes[-1]
    return {
        "times_real_time": whole["times_real_time"],
        "hundred_hours_seconds": HUNDRED_HOURS / whole["times_real_time"],
        "peak_growth": whole["peak_bytes"] / sizes[0]["peak_bytes"],
        "sizes": sizes,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """One measurement."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.extraction", description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    corpus = corpora.read("table", args.root)
    rows = corpus.utterances.iloc[: max(1, round(args.share * len(corpus.utterances)))]
    corpus = dataclasses.replace(corpus, utterances=rows.reset_index(drop=True))
    settings = FeatureSettings()
    before = limits.peak_bytes(torch.device("cpu"))
    with tempfile.TemporaryDirectory() as empty:
        start = time.perf_counter()
        frames = cache.log_mels(corpus, settings, empty)
        elapsed = time.perf_counter() - start
    seconds = float(frames.count.sum()) * settings.hop / settings.sample_rate
    measured = {
        "hours": seconds / 3600,
        "utterances": len(rows),
        "seconds": elapsed,
        "times_real_time": seconds / elapsed,
        "start_bytes": before,
        "peak_bytes": limits.peak_bytes(torch.device("cpu")),
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
