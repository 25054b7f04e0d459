"""CNN14 whose first four blocks start from `aisfx`'s weights against the same from Xavier initial weights.

The embedded corpora by the studies parameters/pretrained.yaml and parameters/scratch.yaml; and, where it is given,
EMO-DB's real speech, some of its actors left out in turn. Differences are paired over the test speakers. What is
complete is not run again.

    make bench-pretrained EMODB=/data/emodb
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sercore import cli, config, files, results, schema, significance

from .real_speech import DRAWS, interval

STUDIES = {"pretrained": "aisfx", "scratch": "Xavier"}
FOLDS = ["03", "08", "13", "16"]  # two men, two women
TRAINING = {"epochs": 15, "batch": 16, "crop_seconds": 1.92, "schedule": "epochs", "precision": "bfloat16"}
FEATURES = {"mels": 64, "hop": 512}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is not complete, print a table; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.pretrained", description=__doc__)
    parser.add_argument("--emodb", help="the folder of EMO-DB's utterances.csv")
    parser.add_argument("--outputs", default="outputs")
    asked = parser.parse_args(arguments)
    paths = {name: files.resolve(f"parameters/{name}.yaml") for name in STUDIES}
    studies = dict.fromkeys(config.load(paths["scratch"]).corpora, paths)
    if asked.emodb:
        root, outputs = files.resolve(asked.emodb), files.resolve(asked.outputs)
        studies["emodb"] = {name: on_emodb(path, root, outputs) for name, path in paths.items()}
    for path in dict.fromkeys(path for pair in studies.values() for path in pair.values()):
        if status := cli.main(["run", str(path)]):
            return status
    print(f"\n{table(studies)}")
    return 0


def on_emodb(path: Path, root: Path, outputs: Path) -> Path:
    """The study of `path` on EMO-DB in `root`, as a parameters file of its own."""
    content = files.read_yaml(path)
    section = content["sections"]["categories"]
    (block,) = section["blocks"]
    fixed = block["fixed"] | {
        "folds": FOLDS, "classes": {name: [name] for name in schema.CLASSES}, "features": FEATURES, "training": TRAINING
    }  # fmt: skip
    grid = {**block["grid"], "corpus": ["emodb"], "seed": [0]}
    content |= {"study": f"{content['study']}-emodb", "outputs": str(outputs)}
    content["corpora"] = {"emodb": {"reader": "table", "root": str(root)}}
    content["sections"] = {"categories": {**section, "blocks": [{"grid": grid, "fixed": fixed}]}}
    written = outputs / content["study"] / path.name
    files.write_yaml(written, content)
    return written


def table(studies: dict[str, dict[str, Path]]) -> str:
    """UAR on each corpus's test set from either start, and their difference, in Markdown."""
    lines = []
    for corpus, pair in studies.items():
        test = {name: _tested(path, corpus) for name, path in pair.items()}
        labels = list(schema.CLASSES)
        scored = [
            significance.bootstrap_interval(part, "uar", np.random.default_rng(0), draws=DRAWS, labels=labels)
            for part in test.values()
        ]
        apart = significance.bootstrap_difference(
            *test.values(), "uar", np.random.default_rng(0), draws=DRAWS, labels=labels
        )
        about = test["scratch"]
        simulated = " (simulated)" if about["simulated"].all() else ""
        counts = (about["utterance"].nunique(), about["speaker"].nunique(), about["seed"].nunique())
        cells = [*(interval(one, 100, ".1f") for one in scored), interval(apart, 100, "+.1f")]
        lines.append(f"| {corpus}{simulated} | {' | '.join(map(str, counts))} | {' | '.join(cells)} |")
    return "\n".join([
        f"| UAR [%] | test utterances | speakers | seeds | {' | '.join(STUDIES.values())} | difference |",
        "|---|---:|---:|---:|---:|---:|---:|", *lines, "",
        "in brackets: 95 %, test speakers resampled; chance is 25",
    ])  # fmt: skip


def _tested(path: Path, corpus: str) -> pd.DataFrame:
    """Predictions of a study's test set, in-domain."""
    found = results.read(config.load(path), "categories").predictions
    inside = (found["partition"] == "test") & (found["train_corpus"] == corpus) & (found["test_corpus"] == corpus)
    return found[inside]


if __name__ == "__main__":
    raise SystemExit(main())
