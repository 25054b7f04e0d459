"""Where the seconds of a study's workers went: how much of them was training and evaluation.

python -m tests.benchmarks.overhead parameters/demo.yaml     after `sercore run` of it, from what it recorded
"""

import argparse
from collections import Counter

import pandas as pd

from sercore import files
from sercore.study import config, costs

WANTED = 0.80


def shares(plan: config.Study) -> pd.DataFrame:
    """Worker-seconds of the study's batches by what they were spent on, and their share. Raises ValueError if unrun."""
    record = plan.folder / files.BATCHES
    runs = [run for run in plan.runs if run.complete]
    if not record.exists() or not runs:
        raise ValueError(f"{plan.folder} records no batch: sercore run {plan.path}")
    available = sum(batch["workers"] * batch["seconds"] for batch in files.read_json(record)["batches"])
    spent: Counter[str] = Counter()
    for run in runs:
        inside = files.read_json(run.folder / files.PROVENANCE).get("seconds", {})
        spent.update(inside)
        executed = sum(one["seconds"] for one in costs.executions(run))
        spent["start of the kernel, imports, the rest of the notebook"] += executed - sum(inside.values())
    spent["caches, analyses, workers that start or wait"] = available - sum(spent.values())
    table = pd.DataFrame({"worker-seconds": pd.Series(dict(spent))})
    table["share"] = table["worker-seconds"] / available
    return table.round({"worker-seconds": 1, "share": 3})


def main() -> None:
    """Print the table and the share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parameters", nargs="?", default="parameters/demo.yaml")
    plan = config.load(parser.parse_args().parameters)
    try:
        table = shares(plan)
    except ValueError as error:
        print(f"where the seconds of study {plan.name} went is not known yet: {error}")
        return
    print(table.to_string())
    useful = table.loc[["training", "evaluation"], "share"].sum()
    print(f"\nstudy {plan.name}: {useful:.2f} of the workers' seconds were training and evaluation (wanted: {WANTED})")


if __name__ == "__main__":
    main()
