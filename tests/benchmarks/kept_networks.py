"""What it changes to keep fine-tuned networks as differences, whole or in half precision: bytes, and predictions.

The networks of a finished study's text models are kept in each way, in a temporary folder, and predict again what they
were evaluated on. Exact is what gives the same bits as the whole network on this machine.

    python -m tests.benchmarks.kept_networks parameters/demo.yaml       after `sercore run`: the runs of the first seed
"""

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from sercore import files
from sercore.analysis import results
from sercore.inference.shrink import KEPT
from sercore.models import checkpoint
from sercore.registry import MODELS
from sercore.schema import probability_columns
from sercore.study import config
from sercore.study.plan import run_parameters
from sercore.training import experiment

SECTION = "categories"
ENCODED = [name for name, spec in MODELS.items() if spec.features == "tokens"]


def main(arguments: list[str]) -> int:
    """Print a table; returns the exit status."""
    study = config.load(*arguments)
    runs = [run for run in study.section(SECTION) if run.parameters["model"] in ENCODED and not run.parameters["seed"]]
    rows = [row for run in runs for row in compared(study, run)]
    print(table(pd.DataFrame(rows)))
    return 0


def compared(study: config.Study, run: config.Run) -> Iterator[dict[str, Any]]:
    """A row for each fold of `run` and way to keep its network, see `departure`."""
    with tempfile.TemporaryDirectory() as folder:
        places = {"corpora": study.corpora, "folder": f"{folder}/run", "cache": str(study.outputs / "cache")}
        again = experiment.define(run.section, **run_parameters(run), **places)
        data = experiment.load(again)
        for split in experiment.folds(again, data):
            whole = experiment.fold_folder(replace(again, folder=run.folder), data, split) / files.CHECKPOINT
            exact = experiment.evaluate(again, data, split, checkpoint.load(whole)[0])
            yield {"kept": "whole", "bytes": whole.stat().st_size, **departure(exact, exact)}
            for kept in KEPT:
                path = Path(folder) / f"{kept}.safetensors"
                checkpoint.copy(whole, path, kept)
                other = experiment.evaluate(again, data, split, checkpoint.load(path)[0])
                yield {"kept": kept, "bytes": path.stat().st_size, **departure(exact, other)}


def departure(exact: pd.DataFrame, other: pd.DataFrame) -> dict[str, Any]:
    """How far predictions of the same utterances are apart: the largest change of a probability, classes, UAR [%]."""
    columns = probability_columns(exact)
    labels = results.classes(exact)
    uar = [results.score(rows[rows["partition"] == "test"], "uar", labels) for rows in (exact, other)]
    return {
        "probability": float((exact[columns] - other[columns]).abs().to_numpy().max()),
        "classes": int((exact["prediction"] != other["prediction"]).sum()),
        "utterances": len(exact),
        "uar": abs(uar[1] - uar[0]),
    }


def table(rows: pd.DataFrame) -> str:
    """Means and extremes over the networks, in Markdown."""
    lines = [
        "| kept | networks | MB each | largest change of a chance | classes that differ | largest change of UAR [%] |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for kept, part in rows.groupby("kept", sort=False):
        classes = f"{part['classes'].sum()} of {part['utterances'].sum():,}"
        lines.append(
            f"| {kept} | {len(part)} | {part['bytes'].mean() / 1e6:.1f} | {part['probability'].max():.1g} | {classes} "
            f"| {part['uar'].max():.2f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
