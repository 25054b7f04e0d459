"""A list of utterances that can be opened, played, marked and exported: what every browser ends in.

In order: rows joined to the utterance tables; columns in print; the `UtteranceList` around a `Table`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets
import pandas as pd

from sercore import files
from sercore.analysis.markup import markup
from sercore.registry import CORPORA
from sercore.schema import DIMENSIONS, first
from sercore.widgets import marks, sound
from sercore.widgets.appearance import button, set_shown, style_sheet
from sercore.widgets.marks import COMMENT, CORRECTED, KEY, NOTES, Marks
from sercore.widgets.table import Table

FACTS = ("file", "dialog", "transcript", "seconds", "emotion", "arousal", "valence", "dominance", "low", "high")
"""Columns of the utterances that a list adds to its rows."""
MOST_VOICES = 5  # speakers that are named above the list
FEW = 1_000  # categories of a column, up to which the page is sent a code a row in place of a text


def with_utterances(rows: pd.DataFrame, utterances: pd.DataFrame, facts: Sequence[str] = FACTS) -> pd.DataFrame:
    """`rows` with the columns `facts` of `utterances` that they lack; missing values for an unknown utterance.

    `utterances` is indexed by (corpus, utterance), see `indexed`.
    """
    absent = [column for column in facts if column not in rows.columns]
    keys = pd.MultiIndex.from_arrays([rows[column].astype("str") for column in KEY])
    known = utterances.reindex(columns=absent).reindex(keys)
    return rows.reset_index(drop=True).join(known.reset_index(drop=True))


def indexed(utterances: pd.DataFrame) -> pd.DataFrame:
    """`utterances` by corpus and id. Raises ValueError where one of these columns is missing or a pair occurs twice."""
    absent = [column for column in KEY if column not in utterances]
    if absent:
        raise ValueError(f"utterances have no column {', '.join(absent)}; expected a table of sound.gather")
    keys = [utterances[column].astype("str") for column in KEY]
    table = utterances.set_index(pd.MultiIndex.from_arrays(keys, names=KEY))
    twice = table.index[table.index.duplicated()]
    if len(twice):
        raise ValueError(f"{len(twice)} utterances are there twice, {first(twice)}; every corpus's ids must be unique")
    return table


@dataclass(frozen=True, kw_only=True)
class Details:
    """What a browser shows of an open utterance beside its sound: a piece of HTML, and columns for the export."""

    shown: str = ""  # of appearance.markup
    facts: Mapping[str, Any] = field(default_factory=dict)


def no_details(_: pd.Series) -> Details:
    """Nothing beside the sound."""
    return Details()


def _nothing_more(_: pd.Series | None) -> None:
    """Nothing happens when an utterance is opened or closed."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the list: of the rows or of the utterance tables."""

    name: str
    title: str | None = None  # None: the name
    digits: int | None = None  # of numbers, after the point
    choices: bool = False  # whether it is filtered by a list of its values

    @property
    def heading(self) -> str:
        """What stands above the column."""
        return self.title or self.name


UTTERANCE, SPEAKER, TRANSCRIPT = Column(name="utterance"), Column(name="speaker"), Column(name="transcript")
SECONDS, EMOTION = Column(name="seconds", digits=2), Column(name="emotion", choices=True)


def in_print(rows: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """The `columns` of `rows` under their titles: numbers rounded, text where it is known, nothing where it is not.

    A column of few categories stays one, with text for them.
    """
    shown = {}
    for column in columns:
        values = rows[column.name]
        if column.digits is not None:
            shown[column.heading] = values.astype("float64").round(column.digits)
        elif isinstance(values.dtype, pd.CategoricalDtype) and len(values.cat.categories) <= FEW:
            shown[column.heading] = values.cat.rename_categories(str)
        else:
            shown[column.heading] = values.astype("str").where(values.notna(), "")
    return pd.DataFrame(shown, index=rows.index)


class UtteranceList(ipywidgets.VBox):
    """A table of utterances; a selected row opens its utterance: sound, log-mel, transcript, ratings, predictions.

    `show` fills it. `opening` is called with each row that is opened, and with None when it is closed; `detail` is the
    part beside the table, which others may add to. Sound and picture are made when an utterance is opened, and only
    those of the open one are held.
    """

    def __init__(
        self,
        utterances: pd.DataFrame,
        audio: sound.AudioSource,
        folder: Path,
        name: str,
        frames: sound.FrameSource = sound.no_frames,
    ) -> None:
        """Make an empty list.

        Args:
            utterances: a table of sound.gather.
            audio: finds the sound of an utterance.
            folder: that marked utterances are exported to.
            name: that the exported files begin with.
            frames: finds the log-mel frames of an utterance.
        """
        self.utterances, self.audio, self.folder, self.name = indexed(utterances), audio, folder, name
        self.frames, self.marks, self._filling = frames, Marks(), False
        self.details: Callable[[pd.Series], Details] = no_details
        self.opening: Callable[[pd.Series | None], None] = _nothing_more
        self.rows, self.seen = pd.DataFrame(), ""
        self.opened: pd.Series | None = None
        self.heading = ipywidgets.HTML()
        self.table = Table(label="utterances", noun="utterances")
        self.table.observe(self._selected, "selected_rows")
        self.text, self.predictions, self.no_picture = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        self.player = sound.Player()
        self.mark = button("☆ mark", "mark the selected utterances", disabled=True)
        self.mark.on_click(lambda _: self.toggle_mark())
        self.export = button("export marked", "write the marked utterances to a CSV file", disabled=True)
        self.export.on_click(lambda _: self.write())
        labels = sorted(self.utterances["emotion"].dropna().astype("str").unique()) if "emotion" in utterances else []
        self.notes: dict[str, ipywidgets.Text] = {
            COMMENT: ipywidgets.Text(description="comment", continuous_update=False, disabled=True),
            CORRECTED: ipywidgets.Combobox(
                description="corrected label", options=labels, continuous_update=False, disabled=True
            ),
        }
        for name, field_of in self.notes.items():
            field_of.style.description_width = "initial"
            field_of.observe(partial(self._noted, name), "value")
        self.imported = self._upload("import marks", lambda table: self.marks.add(table))
        self.compared = self._upload("compare with another's marks", self.compare)
        self.status = ipywidgets.HTML("nothing marked")
        rows = ipywidgets.VBox([self.heading, self.table])
        marking = ipywidgets.HBox(
            [self.mark, *self.notes.values(), self.export, self.imported, self.compared, self.status]
        )
        self.detail = ipywidgets.VBox([self.text, self.player, self.no_picture, self.predictions])
        both = ipywidgets.HBox([rows, self.detail])
        kinds = ((rows, "list"), (self.detail, "detail"), (both, "both"), (marking, "marking"))
        for widget, kind in (*kinds, (self.heading, "heading"), (self.table, "rows")):
            widget.add_class(f"sercore-{kind}")
        super().__init__([style_sheet(), marking, both])
        self.show_nothing()

    def show(
        self,
        rows: pd.DataFrame,
        seen: str,
        columns: Sequence[Column],
        details: Callable[[pd.Series], Details] = no_details,
    ) -> None:
        """List `rows` (corpus, utterance and the `columns`), in their order, under the heading `seen`.

        `details` gives what is shown of an open row beside its sound.
        """
        shown = [column.name for column in columns]  # the other facts are read of the rows that are selected
        self.rows, self.seen, self.details = with_utterances(rows, self.utterances, shown), seen, details
        digits = {column.heading: column.digits for column in columns if column.digits is not None}
        choices = {column.heading for column in columns if column.choices}
        self.table.show(in_print(self.rows, columns), digits, choices)
        self.close_utterance()
        set_shown(self.table, bool(columns))
        self._draw_stars()
        self.heading.value = markup("<b>{}</b>{}", seen, _voices(self.rows))

    def show_nothing(self) -> None:
        """List nothing, before anything is chosen."""
        self.show(pd.DataFrame({"corpus": [], "utterance": []}), "Nothing chosen yet", ())

    def open_row(self, number: int) -> None:
        """Select the row `number` alone, and open it."""
        self.table.selected_rows = [number]

    def close_utterance(self) -> None:
        """Show no utterance, and hold no sound."""
        self.opened = None
        self._silence()
        self.text.value = "<p>Select an utterance to play it.</p>" if len(self.rows) else ""
        self.predictions.value = ""
        self._draw_marks()
        self.opening(None)

    def selected(self) -> pd.DataFrame:
        """The selected rows, with every fact of their utterances."""
        return with_utterances(self.rows.iloc[self.table.selected_rows], self.utterances)

    def toggle_mark(self) -> None:
        """Mark the selected utterances; where all of them are marked, take their marks away."""
        rows = self.selected().to_dict("records")
        remaining = [row for row in rows if row not in self.marks] or rows
        self._toggle(remaining)
        self._draw_stars()
        self._draw_marks()

    def note(self, name: str, text: str) -> None:
        """Write the note `name`, one of marks.NOTES, of the selected utterances, which marks them."""
        rows = self.selected().to_dict("records")
        self._toggle([row for row in rows if row not in self.marks])
        for row in rows:
            self.marks.note(row, name, text)
        self._draw_stars()
        self._draw_marks()

    def compare(self, others: pd.DataFrame) -> None:
        """Say how far the marks agree with `others`, a table of marks.read, and list what has another label there."""
        agreed = marks.agreement(self.marks.table(), others)
        columns = (
            Column(name="one", title="here", choices=True),
            Column(name="other", title="there", choices=True),
            UTTERANCE,
            TRANSCRIPT,
        )
        self.show(agreed.different, f"Marks with another label: {agreed}", columns)

    def write(self) -> None:
        """Write the marked utterances into the folder, and say where they are."""
        path = self.marks.export(self.folder, self.name)
        home = files.project()
        shown = path.relative_to(home) if path.is_relative_to(home) else path
        self.status.value = markup("{} written to <code>{}</code>", len(self.marks), shown)

    def _noted(self, name: str, change: Mapping[str, Any]) -> None:
        if not self._filling:
            self.note(name, change["new"])

    def _toggle(self, rows: Sequence[Mapping[str, Any]]) -> None:
        for row in rows:
            self.marks.toggle(row, self.seen, self.details(pd.Series(row)).facts)

    def _upload(self, text: str, take: Callable[[pd.DataFrame], None]) -> ipywidgets.FileUpload:
        """A button that reads a CSV of marks and gives it to `take`; what is wrong with it is said beside."""
        made = ipywidgets.FileUpload(description=text, accept=".csv", layout={"width": "auto"})

        def read(change: Mapping[str, Any]) -> None:
            for file in change["new"]:
                try:
                    take(marks.read(bytes(file["content"]), file["name"], self.utterances.index))
                except ValueError as error:
                    self.status.value = markup('<span class="sercore-problem">{}</span>', error)
                    continue
                self._draw_stars()
                self._draw_marks()
            made.value = ()

        made.observe(read, "value")
        return made

    def _selected(self, change: Mapping[str, Any]) -> None:
        """Open the row that is selected now and was not before; with several, the first of them."""
        before = set(change["old"])
        new = [number for number in change["new"] if number not in before]
        if new:
            self._open(with_utterances(self.rows.iloc[new[:1]], self.utterances).iloc[0])
        else:
            self._draw_marks()

    def _open(self, row: pd.Series) -> None:
        """Play the sound of `row`, draw its log-mel frames, show what is known of it."""
        self.opened = row
        self.text.value = _about(row)
        self.predictions.value = self.details(row).shown
        self._draw_marks()
        self.opening(row)
        try:
            path = self.audio(row["corpus"], row["utterance"])
            self.player.play(*sound.read(path))
        except (KeyError, OSError, ValueError) as error:
            self._silence()
            self.text.value += markup('<p class="sercore-problem">No sound: {}</p>', error.args[-1])
            return
        set_shown(self.player, True)
        try:
            self.player.show(self.frames(row["corpus"], row["utterance"], path))
            self.no_picture.value = ""
        except LookupError as error:
            self.player.picture = b""
            self.no_picture.value = markup("<p>No spectrogram: {}.</p>", error.args[-1])

    def _draw_stars(self) -> None:
        """A star before each row that is marked."""
        marked = enumerate(_keys(self.rows)) if len(self.marks) else ()
        self.table.marked = [number for number, key in marked if key in self.marks.keys]

    def _draw_marks(self) -> None:
        keys = _keys(self.selected())
        star = "★ marked" if keys and self.marks.keys >= set(keys) else "☆ mark"
        self.mark.disabled, self.mark.description = not keys, star + (f" ({len(keys)})" if len(keys) > 1 else "")
        self._filling = True
        noted = dict.fromkeys(NOTES, "") if self.opened is None else self.marks.notes(self.opened)
        for name, field_of in self.notes.items():
            field_of.value, field_of.disabled = noted[name], not keys
        self._filling = False
        self.export.disabled = not len(self.marks)
        self.status.value = f"{len(self.marks)} marked" if len(self.marks) else "nothing marked"

    def _silence(self) -> None:
        self.player.clear()
        self.no_picture.value = ""
        set_shown(self.player, False)


def _voices(rows: pd.DataFrame) -> str:
    """The speakers of the most of `rows`, and how many each has; empty with fewer than two."""
    counts = rows["speaker"].value_counts() if "speaker" in rows else pd.Series(dtype=int)
    counts = counts[counts > 0]
    if len(counts) < 2:
        return ""
    most = ", ".join(f"{name} ({count:,})" for name, count in counts.head(MOST_VOICES).items())
    more = len(counts) - MOST_VOICES
    others = f" and {more:,} other{'s' * (more > 1)}" if more > 0 else ""
    return markup('<div class="sercore-voices">speakers: {}{}</div>', most, others)


def _about(row: pd.Series) -> str:
    """Id, speaker, transcript and ratings of an utterance."""
    known = [("speaker", row.get("speaker")), ("gender", row.get("gender")), ("style", row.get("style"))]
    who = " · ".join([CORPORA.label(row["corpus"]), *(f"{name} {value}" for name, value in known if _known(value))])
    if _known(row.get("seconds")):
        who += f" · {row['seconds']:.2f} s"
    transcript = row.get("transcript")
    said = markup("“{}”", transcript) if _known(transcript) and transcript else markup("<i>no transcript</i>")
    rated = [markup("{} <b>{:.2f}</b>", name, row[name]) for name in DIMENSIONS if _known(row.get(name))]
    emotion = markup("rated <b>{}</b>", row["emotion"]) if _known(row.get("emotion")) else "no rated category"
    scale = f" (scale {row['low']:g} to {row['high']:g})" if rated and _known(row.get("low")) else ""
    return markup(
        '<h4>{}</h4><p>{}</p><p class="sercore-transcript">{}</p><p>{}{}</p>',
        row["utterance"],
        who,
        said,
        markup(" · ").join([emotion, *rated]),
        scale,
    )


def _keys(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """Corpus and id of each of `rows`."""
    return list(zip(*(rows[column].astype("str") for column in KEY), strict=True))


def _known(value: Any) -> bool:
    return value is not None and not pd.isna(value)
