"""Whether bfloat16 scores as float32 does: the embedded study's models in-domain, in either precision, on this machine.

The runs of parameters/demo.yaml on MSP-Podcast's layout are trained again in each precision, into studies of their own;
what is complete is not run again. A precision may be used where its difference is within the spread of the seeds.

    python -m tests.benchmarks.precision        after `sercore speak`: six minutes on two cores
"""

from pathlib import Path
from typing import Any

import pandas as pd

from sercore import files
from sercore.analysis import results, statistics
from sercore.commands import cli
from sercore.registry import MODELS

CORPUS = "msp-podcast"
SECTIONS = ("categories", "multitask")
PRECISIONS = ("float32", "bfloat16")
METRICS = ("uar", "ccc")


def main() -> int:
    """Run what is not complete, print a table; returns the exit status."""
    scores, history = [], []
    for precision in PRECISIONS:
        path = in_precision(files.resolve("parameters/demo.yaml"), files.resolve("outputs"), precision)
        if status := cli.main(["run", str(path)]):
            return status
        scores += [results.read(path, section).scores.assign(precision=precision) for section in SECTIONS]
        history += [results.read_history(path, section).assign(precision=precision) for section in SECTIONS]
    print(f"\n{table(pd.concat(scores))}\n{speeds(pd.concat(history))}")
    return 0


def in_precision(source: Path, outputs: Path, precision: str) -> Path:
    """The study of `source` on CORPUS alone with every training in `precision`, as a parameters file of its own."""
    content = files.read_yaml(source)
    content |= {"study": f"precision-{precision}", "outputs": str(outputs), "analysis": []}
    content["sections"] = {name: content["sections"][name] for name in SECTIONS}
    for section in content["sections"].values():
        section["blocks"] = [_block(block, precision) for block in section["blocks"]]
    written = outputs / content["study"] / source.name
    files.write_yaml(written, content)
    return written


def _block(block: dict[str, Any], precision: str) -> dict[str, Any]:
    fixed = dict(block["fixed"])
    return {
        "grid": {**block["grid"], "corpus": [CORPUS]},
        "fixed": fixed | {"training": {**fixed["training"], "precision": precision}},
    }


def table(scores: pd.DataFrame) -> str:
    """Mean (sd over seeds, ddof 1) in either precision and the t-interval of their difference, in Markdown."""
    inside = (scores["train_corpus"] == CORPUS) & (scores["test_corpus"] == CORPUS) & (scores["partition"] == "test")
    test = scores[inside & scores["metric"].isin(METRICS)]
    lines, tests, apart = [], 0, 0
    for (metric, target), rows in test.groupby(["metric", "target"], observed=True, sort=False):
        for model in (name for name in MODELS if name in set(rows["model"])):
            own = rows[rows["model"] == model]
            exact, coarse = (own.loc[own["precision"] == name, "score"].to_numpy() for name in PRECISIONS)
            compared = statistics.compare_seeds(coarse, exact)
            form = ".1f" if metric == "uar" else ".3f"
            cells = [f"{part.mean():{form}} ({part.std(ddof=1):{form}})" for part in (exact, coarse)]
            cells.append(f"{compared.difference:+{form}} ({compared.low:+{form}} to {compared.high:+{form}})")
            tests, apart = tests + 1, apart + (compared.low > 0 or compared.high < 0)
            of = "UAR [%]" if metric == "uar" else f"{target}, {metric.upper()}"
            lines.append(f"| {of} | {MODELS.label(model)} | {' | '.join(cells)} |")
    return "\n".join(
        [
            f"Simulated speech, {test['seed'].nunique()} seeds a precision, mean (sd over seeds)",
            "",
            f"| | | {' | '.join(PRECISIONS)} | difference, 95 % over seeds |",
            "|---|---|---:|---:|---:|",
            *lines,
            "",
            f"{apart} of {tests} differences exclude 0; 1 of 20 would by chance",
        ]
    )


def speeds(history: pd.DataFrame) -> str:
    """How many times as fast each model trained, by the medians of the epochs."""
    rates = history.groupby(["model", "precision"], observed=True)["utterances_per_second"].median().unstack()
    times = rates[PRECISIONS[1]] / rates[PRECISIONS[0]]
    ratios = ", ".join(f"{MODELS.label(name)} {times[name]:.2f}" for name in MODELS if name in times)
    return f"utterances/s of {PRECISIONS[1]} by those of {PRECISIONS[0]}, not taken by turns: {ratios}"


if __name__ == "__main__":
    raise SystemExit(main())
