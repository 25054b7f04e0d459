"""Lists of utterances: pages, orders, marks and their export; and the list as a widget."""

from datetime import datetime

import numpy as np
import pandas as pd
import pytest
import soundfile

from sercore.settings import FeatureSettings
from sercore.widgets import sound, utterances
from sercore.widgets.utterances import PAGE, Listing, Marks, Order

COLUMNS = (
    utterances.Column(name="confidence", width=5, text="{:.2f}".format),
    utterances.Column(name="utterance", width=8),
)
SURE = Order(name="surest", column="confidence", ascending=False)


@pytest.fixture
def corpus():
    """Fifty turns of a corpus, with quotes and markup in their transcripts."""
    rows = range(50)
    return pd.DataFrame(
        {
            "corpus": "c",
            "utterance": [f"u{n:02d}" for n in rows],
            "file": [f"u{n:02d}.wav" for n in rows],
            "speaker": "s",
            "gender": "female",
            "transcript": 'a <b>bold</b> "word"',
            "seconds": 0.5,
            "emotion": "sad",
            "arousal": 2.5,
            "valence": 3.0,
            "dominance": np.nan,
            "low": 1.0,
            "high": 5.0,
        }
    )


@pytest.fixture
def rows():
    return pd.DataFrame(
        {"corpus": "c", "utterance": [f"u{n:02d}" for n in range(45)], "confidence": np.linspace(0, 1, 45)}
    )


@pytest.fixture
def shown(corpus, rows, tmp_path):
    """A list whose sounds are there, all but the last one's."""
    for name in corpus["file"][:44]:
        soundfile.write(tmp_path / name, np.sin(np.arange(8000) / 5) / 2, 16_000)
    levels = np.linspace(-90, -10, 50 * 64, dtype="float32").reshape(50, 64)

    def frames(_corpus, utterance, _path):
        if utterance == "u42":
            raise LookupError("nothing has been computed")
        return sound.Spectrogram(levels, FeatureSettings())

    shown = utterances.UtteranceList(
        corpus, lambda _, name: tmp_path / f"{name}.wav", tmp_path / "marked", "trial", frames=frames
    )
    shown.show(rows, "forty-five", COLUMNS, (SURE, utterances.BY_UTTERANCE))
    return shown


class TestListing:
    def test_every_row_is_on_one_page(self, rows):
        first = Listing(rows=rows)
        pages = [first.turned(n).shown() for n in range(first.pages)]
        assert pd.concat(pages).equals(rows)
        assert [len(page) for page in pages] == [PAGE, PAGE, 5]

    def test_turning_stops_at_the_ends(self, rows):
        assert Listing(rows=rows).turned(-1).page == 0
        assert Listing(rows=rows).turned(9).page == 2

    def test_sorting_goes_back_to_the_first_page(self, rows):
        listing = Listing(rows=rows, page=2).sorted(SURE)
        assert listing.page == 0
        assert listing.rows["confidence"].is_monotonic_decreasing

    def test_an_order_by_a_column_that_is_not_there_is_an_error(self, rows):
        with pytest.raises(ValueError, match="did you mean 'confidence'"):
            Listing(rows=rows).sorted(Order(name="", column="confidnce"))

    def test_an_id_that_is_there_twice_is_an_error(self, corpus):
        with pytest.raises(ValueError, match="50 utterances are there twice"):
            utterances.indexed(pd.concat([corpus, corpus]))

    def test_an_unknown_utterance_keeps_its_row(self, corpus):
        rows = pd.DataFrame({"corpus": ["c", "c"], "utterance": ["u01", "stranger"]})
        joined = utterances.with_utterances(rows, utterances.indexed(corpus))
        assert joined["seconds"].tolist()[0] == 0.5
        assert joined["seconds"].isna().tolist() == [False, True]


class TestMarks:
    def test_the_export_holds_what_is_marked_where_it_was_seen_and_the_facts(self, corpus, tmp_path):
        marks = Marks()
        for place in (3, 1, 2):
            marks.toggle(corpus.iloc[place], "a cell", {"bert": "sad"})
        marks.toggle(corpus.iloc[1], "a cell", {})
        path = marks.export(tmp_path / "marked", "confusions", now=lambda: datetime(2026, 1, 2, 3, 4, 5))
        assert path.name == "confusions-2026-01-02T03-04-05.csv"
        table = pd.read_csv(path)
        assert table["utterance"].tolist() == ["u03", "u02"]
        assert table[["corpus", "transcript", "seen", "bert"]].iloc[0].tolist() == [
            "c",
            'a <b>bold</b> "word"',
            "a cell",
            "sad",
        ]

    def test_nothing_marked_is_nothing_to_write(self, tmp_path):
        with pytest.raises(ValueError, match="no utterance is marked"):
            Marks().export(tmp_path, "confusions")


class TestWidget:
    def test_a_page_has_a_button_a_row(self, shown):
        visible = [row for row in shown.rows if row.layout.display != "none"]
        assert len(visible) == PAGE
        assert visible[0].description.split() == ["1.00", "u44"]
        shown.turn(2)
        assert [row.layout.display for row in shown.rows].count(None) == 5
        assert shown.place.value == "41 to 45 of 45"
        assert shown.on.disabled

    def test_a_sound_is_held_only_while_its_utterance_is_open(self, shown):
        assert not shown.sound.children
        shown.rows[1].click()
        (player,) = shown.sound.children
        assert bytes(player.value).startswith(b"RIFF")
        assert bytes(shown.picture.value).startswith(b"\x89PNG")
        shown.rows[2].click()
        assert bytes(player.value) == b""
        shown.show(shown.listing.rows[["corpus", "utterance", "confidence"]], "again", COLUMNS, (SURE,))
        assert not shown.sound.children
        assert bytes(shown.picture.value) == b""

    def test_without_cached_frames_a_sentence_stands_in_the_place_of_the_picture(self, shown):
        shown.rows[2].click()  # u42
        assert shown.no_picture.value == "<p>No spectrogram: nothing has been computed.</p>"
        assert shown.picture.layout.display == "none"
        assert shown.sound.children
        shown.rows[1].click()
        assert shown.no_picture.value == ""

    def test_a_transcript_is_text_and_not_markup(self, shown):
        shown.rows[1].click()
        assert "&lt;b&gt;bold" in shown.text.value
        assert "scale 1 to 5" in shown.text.value
        assert "dominance" not in shown.text.value

    def test_a_missing_sound_is_reported_and_the_rest_is_shown(self, shown):
        shown.rows[0].click()
        assert "No sound: no audio file" in shown.text.value
        assert not shown.sound.children

    def test_marking_shows_a_star_and_exports(self, shown, tmp_path):
        shown.rows[1].click()
        shown.mark.click()
        assert shown.rows[1].description.startswith("★")
        shown.export.click()
        (written,) = (tmp_path / "marked").iterdir()
        assert pd.read_csv(written)["utterance"].tolist() == ["u43"]
        assert written.name in shown.status.value

    def test_another_order_is_chosen_from_the_list(self, shown):
        shown.order.value = utterances.BY_UTTERANCE
        assert shown.rows[0].tooltip == "open u00"
