"""The comparison of float32 and bfloat16: the same runs but for the precision, and a table that finds a difference."""

import numpy as np
import pandas as pd
import pytest
from benchmarks import precision

from sercore import files
from sercore.study import config

SCORES = ["model", "train_corpus", "test_corpus", "target", "metric", "partition", "seed", "score", "precision"]


def test_the_studies_differ_in_the_precision_alone(tmp_path):
    source = files.resolve("parameters/demo.yaml")
    exact, coarse = (config.load(precision.in_precision(source, tmp_path, name)).runs for name in precision.PRECISIONS)
    assert len(exact) == len(coarse) == 40
    for one, other in zip(exact, coarse, strict=True):
        assert {**one.parameters, "training": None} == {**other.parameters, "training": None}
        assert {**one.parameters["training"], "precision": "bfloat16"} == other.parameters["training"]
        assert one.parameters["training"]["precision"] == "float32"


@pytest.mark.parametrize(("lost", "apart"), [(0, 0), (20, 1)])
def test_a_difference_beyond_the_seeds_is_counted(lost, apart):
    spread = np.array([-1, 0, 1])
    rows = [
        ("cnn14", precision.CORPUS, precision.CORPUS, "emotion", "uar", "test", seed, 60 + spread[seed] - less, name)
        for name, less in zip(precision.PRECISIONS, (0, lost), strict=True)
        for seed in range(3)
    ]
    rows += [(*row[:2], "iemocap", *row[3:]) for row in rows]  # across corpora: left out
    table = precision.table(pd.DataFrame(rows, columns=SCORES))
    assert f"| UAR [%] | CNN14 | 60.0 (1.0) | {60 - lost}.0 (1.0) | {-lost:+.1f} (" in table
    assert f"{apart} of 1 differences" in table
