"""CNN14 whose first four blocks start from `aisfx`'s weights against the same from Xavier initial weights.

The embedded corpora by the studies parameters/pretrained.yaml and parameters/scratch.yaml; and, where they are given,
EMO-DB's real speech, some of its actors left out in turn, and EmoBank's rated sentences, synthesised. Differences are
paired over the test speakers. What is complete is not run again. Few epochs: from scratch more would help more.

    make bench-pretrained EMODB=/data/emodb EMOBANK=/data/emobank
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sercore import files, schema
from sercore.analysis import results, statistics
from sercore.commands import cli
from sercore.study import config

from .real_speech import DRAWS, SIZE, interval, speak_emobank

STUDIES = {"pretrained": "aisfx", "scratch": "Xavier"}
EMODB = {
    "folds": ["03", "08", "13", "16"],  # two men, two women
    "classes": {name: [name] for name in schema.CLASSES},
    "features": {"mels": 64, "hop": 512},
    "training": {"epochs": 10, "batch": 16, "crop_seconds": 1.92, "schedule": "epochs", "precision": "bfloat16"},
}
EMOBANK = {
    "features": {"mels": 64, "hop": 320},
    "training": {"epochs": 5, "batch": 32, "crop_seconds": 1.92, "precision": "bfloat16"},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is not complete, print a table; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.pretrained", description=__doc__)
    parser.add_argument("--emodb", help="the folder of EMO-DB's utterances.csv")
    parser.add_argument("--emobank", help="emobank.csv, or the folder that holds it")
    parser.add_argument("--outputs", default="outputs")
    args = parser.parse_args(arguments)
    outputs = files.resolve(args.outputs)
    embedded = {name: files.resolve(f"parameters/{name}.yaml") for name in STUDIES}
    pairs = [embedded]
    if args.emodb:
        read = {"reader": "table", "root": str(files.resolve(args.emodb))}
        pairs.append(derived("emodb", read, EMODB, outputs))
    if args.emobank:
        read = {"reader": "msp-podcast", **speak_emobank(args.emobank, outputs / "emobank", SIZE)}
        pairs.append(derived("emobank", read, EMOBANK, outputs))
    for pair in pairs:
        for path in pair.values():
            if status := cli.main(["run", str(path)]):
                return status
    print(f"\n{table(pairs)}")
    return 0


def derived(corpus: str, read: dict[str, Any], fixed: dict[str, Any], outputs: Path) -> dict[str, Path]:
    """The two studies on another corpus, as parameters files of their own: its section, CNN14 alone, one seed."""
    pair = {}
    for name in STUDIES:
        content = files.read_yaml(files.resolve(f"parameters/{name}.yaml"))
        ((_, of_start),) = content["sections"].items()
        ((section, of_corpus),) = files.read_yaml(files.resolve(f"parameters/{corpus}.yaml"))["sections"].items()
        block = {
            "grid": {"model": ["cnn14"], "corpus": [corpus], "seed": [0]},
            "fixed": {**fixed, "text": {}, "network": of_start["blocks"][0]["fixed"]["network"]},
        }
        content |= {
            "study": f"{name}-{corpus}",
            "outputs": str(outputs),
            "corpora": {corpus: read},
            "sections": {section: {**of_corpus, "blocks": [block]}},
        }
        pair[name] = outputs / content["study"] / f"{name}.yaml"
        files.write_yaml(pair[name], content)
    return pair


def table(pairs: Sequence[dict[str, Path]]) -> str:
    """Scores on each corpus's own test set from either start, and their difference, in Markdown."""
    lines = [line for pair in pairs for line in _rows(pair)]
    return "\n".join(
        [
            f"| | test utterances | speakers | seeds | {' | '.join(STUDIES.values())} | difference |",
            "|---|---:|---:|---:|---:|---:|---:|",
            *lines,
            "",
            "UAR in %, chance is 25; in brackets: 95 %, test speakers resampled, which says little of four of them",
        ]
    )


def _rows(pair: dict[str, Path]) -> Iterator[str]:
    predictions = {name: _tested(path) for name, path in pair.items()}
    about = predictions["scratch"]
    labels = list(schema.CLASSES)
    for (corpus, target), _ in about.groupby(["test_corpus", "target"], observed=True, sort=False):
        test = [part[(part["test_corpus"] == corpus) & (part["target"] == target)] for part in predictions.values()]
        metric, unit, form = ("uar", 100, ".1f") if target == schema.EMOTION else ("ccc", 1, ".3f")
        scored = [
            statistics.bootstrap_interval(part, metric, np.random.default_rng(0), draws=DRAWS, labels=labels)
            for part in test
        ]
        apart = statistics.bootstrap_difference(*test, metric, np.random.default_rng(0), draws=DRAWS, labels=labels)
        own = test[-1]
        of = f"{corpus}{' (simulated speech)' if own['simulated'].all() else ''}, {target}, {metric.upper()}"
        counts = [str(own[name].nunique()) for name in ("utterance", "speaker", "seed")]
        cells = [*(interval(one, unit, form) for one in scored), interval(apart, unit, f"+{form}")]
        yield f"| {of} | {' | '.join(counts + cells)} |"


def _tested(path: Path) -> pd.DataFrame:
    """Predictions of the study's test sets, in-domain."""
    plan = config.load(path)
    predictions = pd.concat([results.read(plan, section).predictions for section in {run.section for run in plan.runs}])
    inside = predictions["train_corpus"].astype(object) == predictions["test_corpus"].astype(object)
    return predictions[inside & (predictions["partition"] == "test")]


if __name__ == "__main__":
    raise SystemExit(main())
