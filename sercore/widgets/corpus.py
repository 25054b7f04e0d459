"""The corpus browser: filters on the utterances of the corpora, a picture of those that are left, and their sound."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ipywidgets
import pandas as pd

from sercore.analysis import corpus_statistics, figures
from sercore.corpora import Corpus
from sercore.registry import CORPORA
from sercore.schema import DIMENSIONS
from sercore.widgets import sound
from sercore.widgets.appearance import image, style_sheet
from sercore.widgets.sound import AudioSource
from sercore.widgets.utterances import EMOTION, SECONDS, SPEAKER, TRANSCRIPT, UTTERANCE, Column, UtteranceList

NAMED = ("corpus", "partition", "emotion", "gender", "style", "speaker")  # columns that are filtered by a value
MEASURED = ("seconds", *DIMENSIONS)  # columns that are filtered by a range
UNKNOWN = "not known"
PICTURES = {
    "emotions": corpus_statistics.plot_classes,
    "ratings": corpus_statistics.plot_ratings,
    "durations and speakers": corpus_statistics.plot_durations_and_speakers,
}
COLUMNS = (
    UTTERANCE,
    TRANSCRIPT,
    SPEAKER,
    EMOTION,
    SECONDS,
    *(Column(name=name, digits=2) for name in DIMENSIONS),
)
LISTED = ("corpus", *(column.name for column in COLUMNS))


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Conditions on utterances, all of which must hold."""

    values: tuple[tuple[str, str], ...] = ()  # column of NAMED, value; UNKNOWN stands for a missing one
    ranges: tuple[tuple[str, float, float], ...] = ()  # column of MEASURED, lowest, highest; a missing value is outside
    words: str = ""  # in the transcript, whatever case

    def value(self, column: str, value: str | None) -> "Filters":
        """The same with `value` as the condition on `column`; None takes the condition away."""
        others = tuple(pair for pair in self.values if pair[0] != column)
        return replace(self, values=others if value is None else (*others, (column, value)))

    def within(self, column: str, low: float | None, high: float | None) -> "Filters":
        """The same with `low` to `high` as the condition on `column`; None takes the condition away."""
        others = tuple(triple for triple in self.ranges if triple[0] != column)
        return replace(self, ranges=others if low is None or high is None else (*others, (column, low, high)))

    def of(self, utterances: pd.DataFrame) -> pd.DataFrame:
        """The rows of `utterances`, a table of sound.gather, that meet the conditions."""
        selected = pd.Series(True, index=utterances.index)
        for column, value in self.values:
            selected &= utterances[column].isna() if value == UNKNOWN else utterances[column] == value
        for column, low, high in self.ranges:
            selected &= utterances[column].between(low, high)
        if self.words.strip():
            selected &= utterances["transcript"].fillna("").str.contains(self.words.strip(), case=False, regex=False)
        return utterances[selected]


def options(utterances: pd.DataFrame, column: str) -> list[str]:
    """The values of `column`, and UNKNOWN last where some are missing."""
    values = sorted(utterances[column].dropna().unique())
    return [*values, UNKNOWN] if utterances[column].isna().any() else values


def narrowed(corpora: Sequence[Corpus], rows: pd.DataFrame) -> list[Corpus]:
    """The `corpora` with those of their utterances that are in `rows`; a corpus without any is left out."""
    remaining = {name: set(part["utterance"]) for name, part in rows.groupby("corpus")}
    return [
        replace(corpus, utterances=corpus.utterances[corpus.utterances["utterance"].isin(remaining[corpus.name])])
        for corpus in corpora
        if corpus.name in remaining
    ]


def browse(
    corpora: Sequence[Corpus], audio: AudioSource, marked: Path, frames: sound.FrameSource = sound.no_frames
) -> ipywidgets.VBox:
    """The corpus browser of `corpora`; marked utterances are exported to the folder `marked`.

    Raises ValueError where there are no corpora.
    """
    utterances = sound.gather(corpora)
    return CorpusBrowser(corpora, utterances, UtteranceList(utterances, audio, marked, "corpus", frames))


class CorpusBrowser(ipywidgets.VBox):
    """Filters, a picture of the utterances that are left, and their list."""

    def __init__(self, corpora: Sequence[Corpus], utterances: pd.DataFrame, listed: UtteranceList) -> None:
        self.corpora, self.utterances, self.list, self.filters = corpora, utterances, listed, Filters()
        self.lists = {name: self._list(name) for name in NAMED}
        self.ranges = {name: self._range(name) for name in MEASURED if utterances[name].notna().any()}
        self.words = ipywidgets.Text(description="words", placeholder="in the transcript", continuous_update=False)
        self.words.observe(lambda change: self._filter(replace(self.filters, words=change["new"])), "value")
        self.kind = ipywidgets.Dropdown(description="picture", options=list(PICTURES))
        self.kind.observe(lambda _: self._draw(), "value")
        self.picture = ipywidgets.HTML()
        boxes = [
            ipywidgets.HBox([*self.lists.values(), self.words]),
            ipywidgets.HBox([field for pair in self.ranges.values() for field in pair]),
        ]
        for box in boxes:
            box.add_class("sercore-choices")
        super().__init__([style_sheet(), *boxes, self.kind, self.picture, self.list])
        self._filter(self.filters)

    def chosen(self) -> pd.DataFrame:
        """The utterances that the filters leave."""
        return self.filters.of(self.utterances)

    def _list(self, name: str) -> ipywidgets.Dropdown:
        given = [("all", None), *((CORPORA.label(value), value) for value in options(self.utterances, name))]
        chosen = ipywidgets.Dropdown(description=name, options=given, layout={"width": "230px"})
        chosen.observe(lambda change: self._filter(self.filters.value(name, change["new"])), "value")
        return chosen

    def _range(self, name: str) -> tuple[ipywidgets.BoundedFloatText, ipywidgets.BoundedFloatText]:
        """Fields for the lowest and the highest value of the column `name`."""
        low = math.floor(100 * self.utterances[name].min()) / 100
        high = math.ceil(100 * self.utterances[name].max()) / 100
        fields = tuple(
            ipywidgets.BoundedFloatText(
                value=value,
                min=low,
                max=high,
                step=0.01,
                description=f"{name} {end}",
                layout={"width": "200px"},
                style={"description_width": "110px"},
            )
            for end, value in (("from", low), ("to", high))
        )
        for each in fields:
            each.observe(lambda _: self._narrow(name), "value")
        return fields

    def _narrow(self, name: str) -> None:
        """Take the range of the fields; the whole of it is no condition, so that unrated utterances stay."""
        first, last = self.ranges[name]
        whole = (first.value, last.value) == (first.min, last.max)
        self._filter(self.filters.within(name, *((None, None) if whole else (first.value, last.value))))

    def _filter(self, filters: Filters) -> None:
        self.filters = filters
        rows = self.chosen()
        conditions = [f"{name} {value}" for name, value in filters.values]
        conditions += [f"{name} {low:.2f} to {high:.2f}" for name, low, high in filters.ranges]
        conditions += [f"“{filters.words.strip()}”"] if filters.words.strip() else []
        size = f"{len(rows):,} utterances, {rows['seconds'].sum() / 60:.1f} minutes"
        heading = f"{', '.join(conditions) or 'everything'}: {size}"
        self.list.show(rows[list(LISTED)].sort_values("utterance"), heading, COLUMNS)
        self._draw()

    def _draw(self) -> None:
        left = narrowed(self.corpora, self.chosen())
        if not left:
            self.picture.value = "<p>No utterance is left: remove a filter.</p>"
            return
        counts = ", ".join(f"{len(corpus.utterances):,} of {CORPORA.label(corpus.name)}" for corpus in left)
        drawn = figures.picture(PICTURES[self.kind.value](left), dpi=70)
        self.picture.value = image(drawn, f"{self.kind.value} of {counts}")
