"""Another processor rounds otherwise and trains other weights: the means over seeds stay within each other's intervals.

The other processor is this one without its vector instructions and with another number of threads.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

from sercore.corpora import synthetic
from sercore.metrics import concordance_correlation
from sercore.training import experiment

ROOT = Path(__file__).parents[2]
CELLS = [("cnn14", "arousal"), ("sfcnn14", "valence")]
SEEDS = range(5)
HERE = {"OMP_NUM_THREADS": "1"}
ELSEWHERE = {"OMP_NUM_THREADS": "2", "ATEN_CPU_CAPABILITY": "default"}


def train(model, target, home):
    """CCC of each seed, trained as parameters/demo.yaml does."""
    (block,) = [
        block
        for block in yaml.safe_load((ROOT / "parameters" / "demo.yaml").read_text())["sections"]["multitask"]["blocks"]
        if model in block["grid"]["model"]
    ]
    corpora = {"msp-podcast": {"root": f"{home}/corpus", "transcripts": f"{home}/transcripts.csv"}}
    scores = []
    for seed in SEEDS:
        folder = f"{home}/{os.environ['OMP_NUM_THREADS']}/{model}-{seed}"
        keys = {"model": model, "corpus": "msp-podcast", "seed": seed}
        run = experiment.define(
            "multitask", **keys, **block["fixed"], corpora=corpora, folder=folder, cache=f"{home}/cache"
        )
        table = experiment.run(run, experiment.load(run))
        rows = table[(table["partition"] == "test") & (table["target"] == target)]
        scores.append(concordance_correlation(rows["truth"].astype(float), rows["prediction"].astype(float)))
    return scores


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
    scores = {}
    for name, environment in {"here": HERE, "elsewhere": ELSEWHERE}.items():
        command = [sys.executable, __file__, model, target, str(home)]
        done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, check=True)
        scores[name] = np.array(json.loads(done.stdout.splitlines()[-1]))
    assert not np.array_equal(*scores.values())  # else it was the same processor
    for one, other in (("here", "elsewhere"), ("elsewhere", "here")):
        low, high = stats.t.interval(0.95, len(SEEDS) - 1, scores[other].mean(), stats.sem(scores[other]))
        assert low <= scores[one].mean() <= high, scores


if __name__ == "__main__":
    print(json.dumps(train(*sys.argv[1:])))
