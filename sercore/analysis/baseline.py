"""A run beside the regression on mel statistics that it must beat: what it gains over that, or that it gains nothing.

The predictions of that baseline lie in a file of the run's folder, where no table of models reads them. A run that has
none, as of a corpus of the paper, is scored without.
"""

import warnings
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from sercore import files
from sercore.analysis.results import main_metric, scores
from sercore.registry import METRICS, MODELS
from sercore.schema import MEL_STATISTICS

KEYS = ["section", "train_corpus", "test_corpus", "seed", "partition", "target", "metric", "pooling"]
WHAT = "a regression on mean and deviation of each mel band, learnt from the same training utterances"


class Gain(NamedTuple):
    """A run on its own corpus's test utterances, folds pooled, beside its baseline, by the main metric of a target."""

    model: str
    target: str
    metric: str
    score: float  # printed units
    baseline: float

    @property
    def better(self) -> bool:
        """Whether the run has the higher score, by however little."""
        return self.score > self.baseline

    def __str__(self) -> str:
        """Both scores in print."""
        spec = METRICS[self.metric]
        own, other = (f"{value:.{spec.digits}f}" for value in (self.score, self.baseline))
        return f"{MODELS.label(self.model)} {own}, {MEL_STATISTICS} {other} ({spec.axis} of {self.target})"


def beside(predictions: pd.DataFrame, folder: str | Path) -> pd.DataFrame:
    """`results.scores` of the `predictions` of the run in `folder`; beside them, where it has one, its baseline's.

    These are the column "mel statistics", NaN for another corpus, of which the baseline was asked nothing. Where the
    model is not better than its baseline in testing on its own corpus, there is a warning.
    """
    table = _beside(predictions, folder)
    for gain in _gains(table):
        if not gain.better:
            warnings.warn(short(gain), stacklevel=2)
    return table


def gains(folder: str | Path) -> list[Gain]:
    """What the complete run in `folder` gains over its baseline, one a target; nothing where it has no baseline."""
    folder = Path(folder)
    if not (folder / files.MEL_STATISTICS).exists():
        return []
    return _gains(_beside(files.read_table(folder / files.PREDICTIONS), folder))


def short(gain: Gain) -> str:
    """That a model is not better than its baseline, in a sentence."""
    return (
        f"not better than mel statistics: {gain}. That is {WHAT}; so the model has learnt nothing that level and "
        "colour of the sound do not tell: see notebooks/own_corpus.md"
    )


def _beside(predictions: pd.DataFrame, folder: str | Path) -> pd.DataFrame:
    path, table = Path(folder) / files.MEL_STATISTICS, scores(predictions)
    if not path.exists():
        return table
    return table.join(scores(files.read_table(path)).set_index(KEYS)["score"].rename(MEL_STATISTICS), on=KEYS)


def _gains(table: pd.DataFrame) -> list[Gain]:
    if MEL_STATISTICS not in table:
        return []
    main = table["target"].map(lambda target: main_metric(str(target), in_domain=True))
    own = table["partition"].eq("test") & table["train_corpus"].eq(table["test_corpus"]) & table["pooling"].ne("folds")
    rows = table[own & table["metric"].eq(main)]
    return [
        Gain(*values) for values in rows[["model", "target", "metric", "score", MEL_STATISTICS]].itertuples(index=False)
    ]
