"""Seconds and memory of `sercore check` on a large table of utterances, and on one of four times as many rows.

`python -m tests.benchmarks.large_table --trees ../before .` compares checkouts, by turns.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

FILES = 10  # on which all rows lie: what is measured is the table
SPEAKERS = 500


def write(folder: Path, rows: int) -> None:
    """A corpus of `rows` utterances with a speaker, a gender, an emotion, a transcript and two ratings each."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(FILES):
        soundfile.write(folder / f"{number}.wav", 0.1 * random.standard_normal(16_000), 16_000, subtype="PCM_16")
    words = np.array(["the", "green", "dog", "saw", "how", "many", "people", "went", "over"])
    said = [" ".join(some) for some in random.choice(words, (9_999, 8))]
    place = np.arange(rows)
    table = pd.DataFrame(
        {
            "utterance": [f"u{number:07d}" for number in place],
            "file": [f"{number % FILES}.wav" for number in place],
            "speaker": [f"S{number % SPEAKERS:03d}" for number in place],
            "gender": np.where(place % 2, "female", "male"),
            "emotion": random.choice(["angry", "happy", "neutral", "sad"], rows),
            "transcript": random.choice(said, rows),
            "arousal": random.uniform(1, 5, rows).round(3),
            "valence": random.uniform(1, 5, rows).round(3),
        }
    )
    table.to_csv(folder / "utterances.csv", index=False)


def check(folder: Path, tree: Path) -> tuple[float, float]:
    """Seconds of the processor and peak memory [MB] of `sercore check` by the checkout `tree`."""
    command = [sys.executable, "-m", "sercore", "check", "table", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(tree.resolve()), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=tree, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=250_000, help="of the smaller table (default: %(default)s)")
    parser.add_argument("--trees", type=Path, nargs="+", default=[Path()], help="checkouts of the project")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for rows in (args.rows, 4 * args.rows):
            corpus = Path(folder) / str(rows)
            writer = multiprocessing.Process(target=write, args=(corpus, rows))  # a child's memory counts its parent's
            writer.start()
            writer.join()
            for tree in args.trees:
                seconds, memory = check(corpus, tree)
                print(f"{tree}: {rows:,} rows, {seconds:.1f} s of the processor, {memory:,.0f} MB", flush=True)


if __name__ == "__main__":
    main()
