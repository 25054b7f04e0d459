"""What a browser shows: a model and seed on a pair of corpora, filtered; and the predictions that this selects.

In order: the `Choice`; the `Selection` of predictions, which are grouped once so that a choice among hundreds of
thousands of rows takes milliseconds; the `Controls`, one drop-down list for each field of a choice.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd

from sercore.analysis.results import SELECTED, of_best
from sercore.analysis.words import WORDS
from sercore.corpora import wording
from sercore.registry import CORPORA, MODELS
from sercore.schema import check_predictions, first

FILTERS = ("fold", "speaker", "gender", "style")
LENGTH, LENGTHS = "length", ("short", "middle", "long")  # thirds of a corpus's utterances by their duration
RUN = ["train_corpus", "test_corpus", "target", "model", "seed"]
STEPS = ("train_corpus", "test_corpus", "target", "model")  # each is chosen among what its predecessors leave
HOME = "msp-podcast"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What is shown; None means all values, for `other` no second model, for `seed` the best on validation."""

    train_corpus: str
    test_corpus: str
    target: str
    model: str
    other: str | None = None
    seed: int | None = None
    fold: str | None = None
    speaker: str | None = None
    gender: str | None = None
    style: str | None = None
    words: str | None = None  # all: told what was said; a name of wording.LABELS
    length: str | None = None  # one of LENGTHS

    def but(self, **changes: Any) -> "Choice":
        """The same choice with other values. Raises TypeError for a field that it does not have."""
        return replace(self, **changes)

    def both(self) -> tuple[str, str]:
        """`model` and `other`. Raises ValueError where there is no second model."""
        if self.other is None:
            raise ValueError(f"no second model beside {self.model}: choose one as `other`")
        return self.model, self.other


class Selection:
    """The test predictions of one section, grouped by run; `best` is a table of results.best_on_validation.

    Predictions with the column `words`, as words.label_predictions gives it, have a filter more, and with `length`, as
    `with_length` gives it, another; those where words mislead are of utterances that are there already, and so are only
    selected by name.
    """

    def __init__(self, predictions: pd.DataFrame, best: pd.DataFrame) -> None:
        """Late fusion of the models in `best` is added, as late fusion that is best on validation.

        Raises ValueError for a table that is not one of predictions, is of several sections, or has no test rows.
        """
        sections = predictions["section"].unique() if "section" in predictions else []
        if len(sections) > 1:
            raise ValueError(f"predictions of {len(sections)} sections, {first(sections)}; a browser shows one")
        self.section = str(sections[0]) if len(sections) else ""
        check_predictions(predictions.iloc[:1].drop(columns=[WORDS, LENGTH], errors="ignore"), "predictions")
        test = predictions[predictions["partition"] == "test"].reset_index(drop=True)
        if test.empty:
            raise ValueError("no predictions of test utterances: there is nothing to browse")
        more = {WORDS: tuple(wording.LABELS), LENGTH: LENGTHS}
        self.filters = (*FILTERS, *(name for name in more if name in test))
        parts = [of_best(part, best.assign(section=sections[0])) for _, part in test.groupby(_misled(test))]
        fused = pd.concat([part[part["seed"] == SELECTED] for part in parts])
        test = pd.concat([test, fused], ignore_index=True) if len(fused) else test
        kinds = {name: "category" for name in (*RUN, *FILTERS, "utterance") if name != "seed"}
        self.rows = test.astype(
            kinds | {name: pd.CategoricalDtype(more[name]) for name in self.filters if name in more}
        )
        self._odd = _misled(test).to_numpy()
        groups = self.rows.groupby(RUN, observed=True, sort=False).indices
        self._groups = {_key(key): index for key, index in groups.items()}
        self._values: dict[tuple, dict[str, list]] = {}
        self._agreement: dict[Choice, np.ndarray] = {}
        keys = ("train_corpus", "target", "model", "seed")
        both = (best, fused.drop_duplicates(list(keys)))
        rows = (row for table in both for row in zip(*(table[key] for key in keys), strict=True))
        self._best = {(train, target, model): int(seed) for train, target, model, seed in rows}

    def start(self) -> Choice:
        """The first choice: the paper's corpus in-domain where it is there, the first target and model."""
        inside = sorted({key[:2] for key in self._groups}, key=lambda pair: (pair[0] != pair[1], pair[0] != HOME, pair))
        train, test = inside[0]
        return self.valid(Choice(train_corpus=train, test_corpus=test, target="", model="cnn14"))

    def options(self, choice: Choice) -> dict[str, list]:
        """What may be chosen for each field, given the fields before it; filters do not narrow one another."""
        options: dict[str, list] = {}
        keys = list(self._groups)
        for place, name in enumerate(STEPS):
            position = MODELS.position if name == "model" else list(self.rows[name].cat.categories).index
            options[name] = sorted(sorted({key[:4][place] for key in keys}), key=position)
            keys = [key for key in keys if key[place] == getattr(choice, name)]
        options["other"] = [None, *(model for model in options["model"] if model != choice.model)]
        options["seed"] = [None, *sorted(key[4] for key in keys if key[4] != SELECTED)]
        return options | (self._filters(keys[0]) if keys else {name: [None] for name in self.filters})

    def valid(self, choice: Choice) -> Choice:
        """`choice` with every field whose value is not among its options set to the first option."""
        for name in (*STEPS, "other", "seed", *self.filters):
            options = self.options(choice)[name]
            if getattr(choice, name) not in options:
                choice = choice.but(**{name: options[0]})
        return choice

    def restored(self, given: Mapping[str, str]) -> tuple[Choice, list[str]]:
        """The first choice with the fields that `given` has, as text; and what of it is no option here, in words."""
        choice, lost = self.start(), []
        for name in (*STEPS, "other", "seed", *self.filters):
            if name in given:
                options = {str(option): option for option in self.options(choice)[name] if option is not None}
                if given[name] in options:
                    choice = self.valid(choice.but(**{name: options[given[name]]}))
                else:
                    lost.append(f"{LABELS[name]} {given[name]}")
        return choice, lost

    def seed(self, choice: Choice, model: str) -> int:
        """The seed of `model` that is shown: the choice's, or the best on validation.

        Raises ValueError where `best` does not name one and there are several, or where there is no such run.
        """
        seeds = sorted(key[4] for key in self._groups if key[:4] == self._run(choice, model))
        if choice.seed is not None and choice.seed in seeds:
            return choice.seed
        best = self._best.get((choice.train_corpus, choice.target, model))
        if choice.seed is None and best in seeds:
            return best
        if choice.seed is None and len(seeds) == 1:
            return seeds[0]
        raise ValueError(f"no run of {model} with seed {choice.seed}, trained on {choice.train_corpus}; seeds: {seeds}")

    def predictions(self, choice: Choice, model: str) -> pd.DataFrame:
        """The predictions of `model` that the choice selects; `corpus` names the utterances' corpus."""
        rows = self.rows.iloc[self._index(choice, model)]
        selected = np.ones(len(rows), dtype=bool)
        for name in self.filters:
            value = getattr(choice, name)
            if value is not None:
                column = rows[name].cat
                selected &= (column.codes == column.categories.get_loc(value)).to_numpy()
        return (rows if selected.all() else rows[selected]).assign(corpus=choice.test_corpus)

    def models(self, choice: Choice) -> list[str]:
        """Every model that has predictions of the choice's corpora and target by the seed that is shown."""
        return [model for model in self.options(choice)["model"] if self._has(choice, model)]

    def agreeing(self, choice: Choice, rows: pd.DataFrame) -> np.ndarray:
        """How many models, by the seed that is shown, predict the class that `rows` of `predictions` have: (rows,)."""
        told = wording.MISLEAD if choice.words == wording.MISLEAD else None  # all other words are those that were said
        shown = Choice(**{name: getattr(choice, name) for name in STEPS[:3]}, model="", seed=choice.seed, words=told)
        if shown not in self._agreement:
            places = np.concatenate([self._index(shown, model) for model in self.models(shown)])
            keys = [self.rows[name].cat.codes.to_numpy()[places] for name in ("fold", "utterance", "prediction")]
            counts = np.zeros(len(self.rows), dtype=np.int64)
            counts[places] = pd.Series(1, index=places).groupby(keys, sort=False).transform("sum")
            self._agreement = {shown: counts}  # of the last choice alone
        return self._agreement[shown][rows.index]

    def of_utterance(self, choice: Choice, utterance: str, fold: str, targets: Iterable[str] = ()) -> pd.DataFrame:
        """Every model's prediction of `utterance` in `fold`, one row a model and target (by default the choice's)."""
        places = []
        for target in tuple(targets) or (choice.target,):
            of_target = choice.but(target=target)
            for model in self.models(of_target):
                index = self._index(of_target, model)
                column = self.rows["utterance"].cat
                same = column.codes.to_numpy()[index] == column.categories.get_loc(utterance)
                places += [place for place in index[same] if self.rows["fold"].iat[place] == fold]
        return self.rows.iloc[places]

    def _filters(self, run: tuple) -> dict[str, list]:
        """The values of each filter among the predictions of `run`, None first."""
        if run not in self._values:
            rows = self.rows.iloc[self._groups[run]]
            codes = {name: np.unique(rows[name].cat.codes) for name in self.filters}
            self._values[run] = {
                name: [None, *rows[name].cat.categories[present[present >= 0]]] for name, present in codes.items()
            }
        return self._values[run]

    def _has(self, choice: Choice, model: str) -> bool:
        try:
            self.seed(choice, model)
        except ValueError:
            return False
        return True

    def _index(self, choice: Choice, model: str) -> np.ndarray:
        """The places of the model's predictions, where words mislead or where they do not."""
        places = self._groups[(*self._run(choice, model), self.seed(choice, model))]
        return places[self._odd[places] == (choice.words == wording.MISLEAD)]

    @staticmethod
    def _run(choice: Choice, model: str) -> tuple[str, str, str, str]:
        return choice.train_corpus, choice.test_corpus, choice.target, model


def bin_of(values: np.ndarray, edges: tuple[float, ...]) -> np.ndarray:
    """The number of the bin [low, high) between `edges` that each value is in; the last is closed, -1 is outside."""
    place = np.searchsorted(edges, values, side="right") - 1
    place[values == edges[-1]] = len(edges) - 2
    return np.where(place < len(edges) - 1, place, -1)


def with_length(predictions: pd.DataFrame, utterances: pd.DataFrame) -> pd.DataFrame:
    """`predictions` with `length`, one of LENGTHS; as they are where no duration is known.

    `utterances` is a table of sound.gather, in which an utterance is once; `seconds` are their durations. The thirds
    are of those utterances of a corpus that are predicted; missing where the duration is.
    """
    keys = ["corpus", "utterance"]
    if "seconds" not in utterances or utterances["seconds"].isna().all():
        return predictions
    seconds = utterances.set_index([utterances[key].astype("str") for key in keys])["seconds"]
    there = predictions[["test_corpus", "utterance"]].astype("str").set_axis(keys, axis=1)
    known = pd.Series(seconds.reindex(pd.MultiIndex.from_frame(there)).to_numpy(), index=predictions.index)
    once = there.assign(seconds=known).drop_duplicates(keys).groupby("corpus")["seconds"]
    lower, upper = (there["corpus"].map(once.quantile(share)) for share in (1 / 3, 2 / 3))
    third = np.select([known.isna(), known <= lower, known <= upper], [-1, 0, 1], 2)
    return predictions.assign(**{LENGTH: pd.Categorical.from_codes(third, LENGTHS)})


def _misled(rows: pd.DataFrame) -> pd.Series:
    """Which of `rows` were told words that mislead."""
    return rows[WORDS] == wording.MISLEAD if WORDS in rows else pd.Series(data=False, index=rows.index)


def _key(key: tuple) -> tuple[str, str, str, str, int]:
    train, test, target, model, seed = key
    return str(train), str(test), str(target), str(model), int(seed)


LABELS = {
    "train_corpus": "trained on",
    "test_corpus": "tested on",
    "target": "dimension",
    "model": "model",
    "other": "beside",
    "seed": "seed",
    "fold": "fold",
    "speaker": "speaker",
    "gender": "gender",
    "style": "style",
    "words": "words",
    "length": "length",
}
ANY = ""  # stands for None in a list, where None would mean that nothing is chosen
NOTHING = {"other": "no other model", "seed": "best on validation"}


class Controls(ipywidgets.HBox):
    """One drop-down list for each of `fields` that the selection has; `changed()` is called after every new `choice`.

    A field whose value is no longer an option, such as a speaker of another corpus, goes back to its first option.
    """

    def __init__(self, selection: Selection, fields: Sequence[str], changed: Callable[[], None]) -> None:
        self.selection, self.choice, self.changed = selection, selection.start(), changed
        self.lists = {
            name: ipywidgets.Dropdown(
                description=LABELS[name], layout={"width": "230px"}, style={"description_width": "80px"}
            )
            for name in fields
            if name in selection.options(self.choice)
        }
        super().__init__(list(self.lists.values()))
        self.add_class("sercore-choices")
        self._busy = False
        self._fill()
        for name, widget in self.lists.items():
            widget.observe(lambda change, name=name: self._choose(name, change["new"]), "value")

    def choose(self, choice: Choice) -> None:
        """Show `choice`, or what comes nearest."""
        self.choice = self.selection.valid(choice)
        self._fill()
        self.changed()

    def _choose(self, name: str, value: Any) -> None:
        if not self._busy:
            self.choose(self.choice.but(**{name: None if value == ANY else value}))

    def _fill(self) -> None:
        self._busy = True
        options = self.selection.options(self.choice)
        for name, widget in self.lists.items():
            pairs = tuple((_in_print(name, option), ANY if option is None else option) for option in options[name])
            if widget.options != pairs:
                widget.options = pairs
            value = getattr(self.choice, name)
            widget.value = ANY if value is None else value
            widget.disabled = len(pairs) < 2
        self._busy = False


def describe_choice(choice: Choice) -> str:
    """Corpora and filters of a choice in words."""
    parts = [f"{CORPORA.label(choice.train_corpus)} → {CORPORA.label(choice.test_corpus)}"]
    parts += [f"{name} {getattr(choice, name)}" for name in ("fold", "speaker") if getattr(choice, name)]
    words = wording.LABELS[choice.words] if choice.words else None
    return ", ".join([*parts, *(value for value in (choice.gender, choice.style, words, choice.length) if value)])


def _in_print(name: str, option: Any) -> str:
    """What the list of the field `name` calls `option`."""
    if option is None:
        return NOTHING.get(name, "all")
    if name in ("train_corpus", "test_corpus"):
        return CORPORA.label(option)
    return MODELS.label(option) if name in ("model", "other") else str(option)
