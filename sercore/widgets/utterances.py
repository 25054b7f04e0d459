"""A list of utterances that can be opened, played, marked and exported: what every browser ends in.

In order: the `Listing` in an order and pages; rows joined to the utterance tables; the `Marks` and their export; the
`UtteranceList`, which shows all of this.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import ipywidgets
import pandas as pd

from sercore import files
from sercore.analysis import figures
from sercore.analysis.markup import markup
from sercore.registry import CORPORA
from sercore.schema import DIMENSIONS, UTTERANCE_COLUMNS, did_you_mean, first
from sercore.widgets import sound
from sercore.widgets.appearance import button, set_shown, style_sheet

PAGE = 20  # utterances
KEY = ["corpus", "utterance"]
FACTS = ("file", "dialog", "transcript", "seconds", "emotion", "arousal", "valence", "dominance", "low", "high")
"""Columns of the utterances that a list adds to its rows."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """A way to sort a list: its name in the drop-down list, the column, and which end comes first."""

    name: str
    column: str
    ascending: bool = True


BY_UTTERANCE = Order(name="utterance", column="utterance")
BY_SPEAKER = Order(name="speaker", column="speaker")
SHORTEST = Order(name="shortest", column="seconds")
ORDERS = (BY_UTTERANCE, BY_SPEAKER, SHORTEST)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Rows (at least `corpus` and `utterance`) in an order, of which one page is shown."""

    rows: pd.DataFrame
    page: int = 0

    @property
    def pages(self) -> int:
        """How many pages there are, at least one."""
        return max(1, -(-len(self.rows) // PAGE))

    def shown(self) -> pd.DataFrame:
        """The rows of the page."""
        return self.rows.iloc[self.page * PAGE : (self.page + 1) * PAGE]

    def turned(self, pages: int) -> "Listing":
        """The listing `pages` further; it stops at either end."""
        return replace(self, page=min(max(self.page + pages, 0), self.pages - 1))

    def sorted(self, order: Order) -> "Listing":
        """The first page of the listing in `order`; rows that are equal there keep their places."""
        if order.column not in self.rows:
            raise ValueError(f"no column '{order.column}' to sort by{did_you_mean(order.column, self.rows.columns)}")
        rows = self.rows.sort_values(order.column, ascending=order.ascending, kind="stable", ignore_index=True)
        return Listing(rows=rows)


def with_utterances(rows: pd.DataFrame, utterances: pd.DataFrame) -> pd.DataFrame:
    """`rows` with the columns FACTS of `utterances` that they lack; missing values for an unknown utterance.

    `utterances` is indexed by (corpus, utterance), see `indexed`.
    """
    absent = [column for column in FACTS if column not in rows.columns]
    keys = pd.MultiIndex.from_arrays([rows[column].astype("str") for column in KEY])
    facts = utterances.reindex(columns=absent).reindex(keys)
    return rows.reset_index(drop=True).join(facts.reset_index(drop=True))


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


class Marks:
    """The marked utterances in the order in which they were marked, each with the list that it was in."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], dict[str, Any]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, row: Mapping[str, Any]) -> bool:
        return self._key(row) in self._rows

    def toggle(self, row: Mapping[str, Any], seen: str, facts: Mapping[str, Any]) -> bool:
        """Mark the utterance of `row`, or take its mark away; returns whether it is marked now.

        `seen` is the heading of the list that it is in; `facts` are further columns of the export.
        """
        key = self._key(row)
        if key in self._rows:
            del self._rows[key]
            return False
        columns = [column for column in UTTERANCE_COLUMNS if column in row]
        self._rows[key] = {"corpus": key[0], **{column: row[column] for column in columns}, "seen": seen, **facts}
        return True

    def table(self) -> pd.DataFrame:
        """One row a marked utterance: corpus, columns of the utterance table, `seen`, and the facts."""
        return pd.DataFrame(list(self._rows.values()))

    def export(self, folder: Path, name: str, now: Callable[[], datetime] = datetime.now) -> Path:
        """Write `table` into `folder` as CSV, named after `name` and the time; returns the path.

        Raises ValueError where nothing is marked.
        """
        if not self._rows:
            raise ValueError("no utterance is marked: open one and mark it first")
        path = folder / f"{name}-{now().strftime('%Y-%m-%dT%H-%M-%S')}.csv"
        files.write_table(path, self.table())
        return path

    @staticmethod
    def _key(row: Mapping[str, Any]) -> tuple[str, str]:
        return str(row["corpus"]), str(row["utterance"])


@dataclass(frozen=True, kw_only=True)
class Details:
    """What a browser shows of an open utterance beside its sound: a piece of HTML, and columns for the export."""

    shown: str = ""  # of appearance.markup
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the list: where its text comes from and how many characters it has."""

    name: str
    width: int
    text: Callable[[Any], str] = str
    title: str | None = None  # None: the name


def text_or_blank(value: Any) -> str:
    """`value` as text; nothing where it is missing."""
    return "" if pd.isna(value) else str(value)


SPEAKER = Column(name="speaker", width=8, text=text_or_blank)


class UtteranceList(ipywidgets.VBox):
    """A list of buttons, each of which opens its utterance: sound, log-mel, transcript, ratings, predictions.

    `show` fills it; `details` gives what is shown of an open row beside its sound. Sound and picture are made when an
    utterance is opened, and only those of the open one are held.
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
        self.frames, self.marks = frames, Marks()
        self.details: Callable[[pd.Series], Details] = lambda _: Details()
        self.listing, self.seen = Listing(rows=pd.DataFrame()), ""
        self.columns: tuple[Column, ...] = ()
        self.opened: pd.Series | None = None
        self._make_list()
        self._make_detail()
        rows = ipywidgets.VBox(
            [self.heading, ipywidgets.HBox([self.order, self.back, self.place, self.on]), self.head, *self.rows]
        )
        marking = ipywidgets.HBox([self.mark, self.export, self.status])
        self.detail = ipywidgets.VBox([self.text, self.sound, self.predictions, self.picture, self.no_picture])
        both = ipywidgets.HBox([rows, self.detail])
        for widget, kind in ((rows, "list"), (self.detail, "detail"), (both, "both"), (marking, "marking")):
            widget.add_class(f"sercore-{kind}")
        super().__init__([style_sheet(), marking, both])
        self.show(pd.DataFrame({"corpus": [], "utterance": []}), "Nothing chosen yet", ())

    def _make_list(self) -> None:
        self.heading = ipywidgets.HTML()
        self.heading.add_class("sercore-heading")
        self.head = ipywidgets.HTML()
        self.rows = [button("row") for _ in range(PAGE)]
        for number, row in enumerate(self.rows):
            row.on_click(lambda _, number=number: self.open_row(number))
        self.order = ipywidgets.Dropdown(description="sorted by", layout={"width": "270px"})
        self.order.observe(self._sort, "value")
        self.back, self.on = button("step", "◂ back", "previous page"), button("step", "on ▸", "next page")
        self.back.on_click(lambda _: self.turn(-1))
        self.on.on_click(lambda _: self.turn(1))
        self.place = ipywidgets.Label()

    def _make_detail(self) -> None:
        self.text, self.predictions = ipywidgets.HTML(), ipywidgets.HTML()
        self.picture = ipywidgets.Image(format="png", layout={"display": "none", "max_width": "100%"})
        self.no_picture = ipywidgets.HTML()  # in its place
        self.sound = ipywidgets.VBox()  # of one player, or of none
        self.mark = button("step", "☆ mark", "mark the open utterance", disabled=True)
        self.mark.on_click(lambda _: self.toggle_mark())
        self.export = button("step", "export marked", "write the marked utterances to a CSV file", disabled=True)
        self.export.on_click(lambda _: self.write())
        self.status = ipywidgets.HTML("nothing marked")

    def show(self, rows: pd.DataFrame, seen: str, columns: Sequence[Column], orders: Sequence[Order] = ORDERS) -> None:
        """List `rows` (corpus, utterance and the `columns`) under the heading `seen`, in the first of `orders`."""
        self.columns, self.seen = tuple(columns), seen
        self.listing = Listing(rows=with_utterances(rows, self.utterances))
        orders = [order for order in orders if order.column in self.listing.rows]
        self.order.unobserve(self._sort, "value")
        if [order for _, order in self.order.options] != orders:
            self.order.options = [(order.name, order) for order in orders]
        self.order.value = orders[0] if orders else None
        self.order.observe(self._sort, "value")
        if orders:
            self.listing = self.listing.sorted(orders[0])
        titles = "".join((column.title or column.name).ljust(column.width + 1) for column in self.columns)
        self.head.value = markup('<pre class="sercore-head">  {}</pre>', titles)
        self.close_utterance()
        self._draw()
        self.heading.value = markup("<b>{}</b>", seen)

    def turn(self, pages: int) -> None:
        """Show the page that is `pages` further."""
        self.listing = self.listing.turned(pages)
        self._draw()

    def open_row(self, number: int) -> None:
        """Open the row `number` of the page: play its sound, draw its log-mel frames, show what is known of it."""
        self.opened = row = self.listing.shown().iloc[number]
        self._silence()
        self.text.value = _about(row)
        self.predictions.value = self.details(row).shown
        self._draw_marks()
        try:
            path = self.audio(row["corpus"], row["utterance"])
            samples, rate = sound.read(path)
        except (KeyError, OSError, ValueError) as error:
            self.text.value += markup('<p class="sercore-problem">No sound: {}</p>', error.args[-1])
            return
        self.sound.children = [ipywidgets.Audio(value=sound.wav(samples, rate), autoplay=True, loop=False)]
        try:
            spectrogram = self.frames(row["corpus"], row["utterance"], path)
        except LookupError as error:
            self.no_picture.value = markup("<p>No spectrogram: {}.</p>", error.args[-1])
            return
        self.picture.value = figures.picture(sound.plot(spectrogram), dpi=100)
        set_shown(self.picture, True)

    def close_utterance(self) -> None:
        """Show no utterance, and hold no sound."""
        self.opened = None
        self._silence()
        self.text.value = "<p>Open an utterance to play it.</p>" if len(self.listing.rows) else ""
        self.predictions.value = ""
        self._draw_marks()

    def toggle_mark(self) -> None:
        """Mark the open utterance, or take its mark away."""
        if self.opened is not None:
            self.marks.toggle(self.opened, self.seen, self.details(self.opened).facts)
            self._draw()
            self._draw_marks()

    def write(self) -> None:
        """Write the marked utterances into the folder, and say where they are."""
        path = self.marks.export(self.folder, self.name)
        home = files.project()
        shown = path.relative_to(home) if path.is_relative_to(home) else path
        self.status.value = markup("{} written to <code>{}</code>", len(self.marks), shown)

    def _sort(self, change: Mapping[str, Any]) -> None:
        self.listing = self.listing.sorted(change["new"])
        self._draw()

    def _draw(self) -> None:
        page = self.listing.shown()
        rows = [*page.to_dict("records"), *[None] * (PAGE - len(page))]
        for widget, row in zip(self.rows, rows, strict=True):
            if row is not None:
                cells = (_cell(column.text(row[column.name]), column.width) for column in self.columns)
                star = "★ " if row in self.marks else "  "
                with widget.hold_sync():
                    widget.description = (star + "".join(cells)).rstrip()
                    widget.tooltip = f"open {row['utterance']}"
            set_shown(widget, row is not None)
        first = self.listing.page * PAGE
        total = len(self.listing.rows)
        self.place.value = f"{first + 1:,} to {first + len(page):,} of {total:,}" if total else "no utterances"
        self.back.disabled = self.listing.page == 0
        self.on.disabled = self.listing.page == self.listing.pages - 1

    def _draw_marks(self) -> None:
        marked = self.opened is not None and self.opened in self.marks
        self.mark.disabled, self.mark.description = self.opened is None, "★ marked" if marked else "☆ mark"
        self.export.disabled = not len(self.marks)
        self.status.value = f"{len(self.marks)} marked" if len(self.marks) else "nothing marked"

    def _silence(self) -> None:
        """Remove the sound and the picture, so that neither stays in the notebook's state."""
        players, self.sound.children = self.sound.children, ()
        for player in players:
            player.value = b""
            player.close()
        set_shown(self.picture, False)
        self.picture.value, self.no_picture.value = b"", ""


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


def _cell(text: str, width: int) -> str:
    return (text if len(text) <= width else text[: width - 1] + "…").ljust(width + 1)


def _known(value: Any) -> bool:
    return value is not None and not pd.isna(value)
