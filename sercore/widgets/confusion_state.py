"""Confusions without their drawing: counts, shares and changes of a choice, the utterances of a cell, every answer."""

import numpy as np
import pandas as pd

from sercore.schema import EMOTION, PROBABILITY
from sercore.scores import classes
from sercore.widgets.selection import Choice, Selection

PERCENT = 100


class Confusions:
    """The confusion matrices of a section's emotion predictions; every method is a function of a Choice."""

    def __init__(self, predictions: pd.DataFrame, best: pd.DataFrame) -> None:
        """Raises ValueError where no prediction is of emotions, and as Selection does."""
        emotions = predictions[predictions["target"] == EMOTION]
        if emotions.empty:
            raise ValueError("no predictions of emotions; the confusion browser needs those of section 'categories'")
        self.labels = classes(emotions)
        self.selection = Selection(emotions, best)
        kind = pd.CategoricalDtype(self.labels)
        rows = self.selection.rows
        self.selection.rows = rows.assign(**{name: rows[name].astype(kind) for name in ("truth", "prediction")})

    def counts(self, choice: Choice, model: str) -> pd.DataFrame:
        """How many utterances of each true class (rows) `model` took for each (columns); folds are pooled."""
        rows = self.selection.predictions(choice, model)
        size = len(self.labels)
        cells = rows["truth"].cat.codes.to_numpy().astype("int64") * size + rows["prediction"].cat.codes.to_numpy()
        counted = np.bincount(cells, minlength=size * size).reshape(size, size)
        return pd.DataFrame(counted, index=pd.Index(self.labels, name="truth"), columns=self.labels)

    def changes(self, choice: Choice) -> pd.DataFrame:
        """The row shares of `choice.other` minus those of `choice.model`, in points; NaN where a row is empty."""
        one, other = (shares(self.counts(choice, model)) for model in (choice.model, choice.other))
        return PERCENT * (other - one)

    def cell(self, choice: Choice, model: str, truth: str, prediction: str) -> pd.DataFrame:
        """The predictions of one cell, the most confident first; `confidence` is the probability of the prediction."""
        rows = self.selection.predictions(choice, model)
        rows = rows[(rows["truth"] == truth) & (rows["prediction"] == prediction)]
        rows = rows.assign(confidence=rows[PROBABILITY + prediction], true=rows[PROBABILITY + truth])
        return rows.sort_values("confidence", ascending=False, kind="stable", ignore_index=True)

    def moved(self, choice: Choice, truth: str, prediction: str) -> pd.DataFrame:
        """The utterances that only one of the two models puts into a cell; `moved` says whether they come or go.

        `confidence` is that of the model which puts them there.
        """
        one, other = (self.cell(choice, model, truth, prediction) for model in (choice.model, choice.other))
        keys = ["fold", "utterance"]
        here, there = (pd.MultiIndex.from_frame(cell[keys].astype("str")) for cell in (one, other))
        parts = [other[~there.isin(here)].assign(moved="comes"), one[~here.isin(there)].assign(moved="goes")]
        return pd.concat(parts).sort_values("confidence", ascending=False, kind="stable", ignore_index=True)

    def answers(self, choice: Choice, row: pd.Series) -> pd.DataFrame:
        """Every model's probabilities of the utterance in `row`, one row a model: seed, prediction, the classes."""
        found = self.selection.of_utterance(choice, row["utterance"], row["fold"]).set_index("model")
        found = found[["seed", "prediction", *(PROBABILITY + label for label in self.labels)]]
        return found.rename(columns=lambda name: name.removeprefix(PROBABILITY))


def shares(counts: pd.DataFrame) -> pd.DataFrame:
    """Each row's shares (0 to 1); NaN where a row is empty."""
    return counts.div(counts.sum(axis=1).replace(0, np.nan), axis=0)


def said(truth: str, prediction: str, count: int, share: float) -> str:
    """A cell in words."""
    of = "" if share != share else f", {PERCENT * share:.0f} % of {truth}"
    return f"truth {truth} taken for {prediction}: {count:,} utterance{'s' * (count != 1)}{of}"


def said_of_change(truth: str, prediction: str, change: float) -> str:
    """A change of a cell in words."""
    if change != change:
        return f"truth {truth} taken for {prediction}: no utterances"
    return f"truth {truth} taken for {prediction}: {points(change)} points"


def points(change: float) -> str:
    """A change in points, with its sign; a dash where there is none."""
    if change != change:
        return "–"
    return f"{change:+.0f}".replace("-", "−") if abs(change) >= 0.5 else "0"
