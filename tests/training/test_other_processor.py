"""Another processor rounds otherwise and trains other weights: the means stay within each other's printed intervals.

The other processor is this one without its vector instructions and with another number of threads.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from sercore.analysis import statistics
from sercore.corpora import synthetic
from sercore.training import experiment

ROOT = Path(__file__).parents[2]
CELLS = [("cnn14", "arousal"), ("sfcnn14", "valence")]
SEEDS = range(5)
HERE = {"OMP_NUM_THREADS": "1"}
ELSEWHERE = {"OMP_NUM_THREADS": "2", "ATEN_CPU_CAPABILITY": "default"}


def train(model, target, home):
    """The test predictions of all seeds, trained as parameters/demo.yaml does, in the file of that name in `home`."""
    (block,) = [
        block
        for block in yaml.safe_load((ROOT / "parameters" / "demo.yaml").read_text())["sections"]["multitask"]["blocks"]
        if model in block["grid"]["model"]
    ]
    corpora = {"msp-podcast": {"root": f"{home}/corpus", "transcripts": f"{home}/transcripts.csv"}}
    parts = []
    for seed in SEEDS:
        folder = f"{home}/{os.environ['OMP_NUM_THREADS']}/{model}-{seed}"
        keys = {"model": model, "corpus": "msp-podcast", "seed": seed}
        run = experiment.define(
            "multitask", **keys, **block["fixed"], corpora=corpora, folder=folder, cache=f"{home}/cache"
        )
        table = experiment.run(run, experiment.load(run))
        parts.append(table[(table["partition"] == "test") & (table["target"] == target)])
    pd.concat(parts).to_parquet(f"{home}/{os.environ['OMP_NUM_THREADS']}/{model}.parquet")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processors")
    synthetic.speak("msp-podcast", folder / "corpus")
    texts = synthetic.reference_transcripts(folder / "corpus")
    pd.Series(texts, name="transcript").rename_axis("utterance").to_csv(folder / "transcripts.csv")
    return folder


@pytest.mark.long
@pytest.mark.parametrize(("model", "target"), CELLS)
def test_means_lie_in_the_intervals_of_another_processor(home, model, target):
    found = []
    for environment in (HERE, ELSEWHERE):
        subprocess.run(
            [sys.executable, __file__, model, target, home], cwd=ROOT, env=os.environ | environment, check=True
        )
        predictions = pd.read_parquet(home / environment["OMP_NUM_THREADS"] / f"{model}.parquet")
        sums = statistics.sums(predictions, "ccc")
        found.append((sums, statistics.crossed_interval(sums, np.random.default_rng(0))))
    (here, inside), (elsewhere, outside) = found
    assert not np.array_equal(here.values, elsewhere.values)  # else it was the same processor
    assert inside.low <= outside.score <= inside.high
    assert outside.low <= inside.score <= outside.high


if __name__ == "__main__":
    train(*sys.argv[1:])
