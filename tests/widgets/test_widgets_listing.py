"""Lists of utterances: rows of the utterance tables; and the list as a widget, its marks and their notes."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
import soundfile

from sercore.settings import FeatureSettings
from sercore.widgets import sound, utterances

COLUMNS = (utterances.Column(name="confidence", title="conf.", digits=2), utterances.UTTERANCE, utterances.TRANSCRIPT)


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
        {"corpus": "c", "utterance": [f"u{n:02d}" for n in range(45)], "confidence": np.linspace(1, 0, 45)}
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
    shown.show(rows, "forty-five", COLUMNS)
    return shown


class TestRows:
    def test_an_id_that_is_there_twice_is_an_error(self, corpus):
        with pytest.raises(ValueError, match="50 utterances are there twice"):
            utterances.indexed(pd.concat([corpus, corpus]))

    def test_an_unknown_utterance_keeps_its_row(self, corpus):
        rows = pd.DataFrame({"corpus": ["c", "c"], "utterance": ["u01", "stranger"]})
        joined = utterances.with_utterances(rows, utterances.indexed(corpus))
        assert joined["seconds"].tolist()[0] == 0.5
        assert joined["seconds"].isna().tolist() == [False, True]


class TestWidget:
    def test_the_table_has_every_row_in_its_order_with_numbers_as_numbers(self, shown):
        table = shown.table.df
        assert table["utterance"].tolist() == [f"u{n:02d}" for n in range(45)]
        assert table["conf."].tolist() == np.linspace(1, 0, 45).round(2).tolist()

    def test_what_is_not_known_is_blank(self, corpus, shown):
        rows = pd.DataFrame({"corpus": "c", "utterance": ["u01", "stranger"], "confidence": [np.nan, 0.5]})
        shown.show(rows, "two", COLUMNS)
        assert shown.table.df["transcript"].tolist() == [corpus["transcript"][1], ""]
        assert shown.table.df["conf."].isna().tolist() == [True, False]

    def test_a_sound_is_held_only_while_its_utterance_is_open(self, shown):
        assert shown.player.layout.display == "none"
        shown.open_row(1)
        assert shown.player.sound.startswith(b"RIFF")
        assert shown.player.picture.startswith(b"\x89PNG")
        assert shown.player.span == pytest.approx((-0.005, 0.495))  # 50 frames of 10 ms
        assert shown.player.layout.display is None
        shown.show(shown.rows[["corpus", "utterance", "confidence"]], "again", COLUMNS)
        assert shown.player.sound == shown.player.picture == b""
        assert shown.table.selected_rows == []

    def test_without_cached_frames_a_sentence_stands_in_the_place_of_the_picture(self, shown):
        shown.open_row(1)
        shown.open_row(42)
        assert shown.no_picture.value == "<p>No spectrogram: nothing has been computed.</p>"
        assert shown.player.sound
        assert shown.player.picture == b""
        shown.open_row(1)
        assert shown.no_picture.value == ""

    def test_a_transcript_is_text_and_not_markup(self, shown):
        shown.open_row(1)
        assert "&lt;b&gt;bold" in shown.text.value
        assert "scale 1 to 5" in shown.text.value
        assert "dominance" not in shown.text.value

    def test_a_missing_sound_is_reported_and_the_rest_is_shown(self, shown):
        shown.open_row(1)
        shown.open_row(44)
        assert "No sound: no audio file" in shown.text.value
        assert shown.player.sound == shown.player.picture == b""
        assert shown.player.layout.display == "none"

    def test_of_several_rows_the_one_that_was_selected_last_is_open(self, shown):
        shown.table.selected_rows = [3]
        shown.table.selected_rows = [1, 3]
        assert shown.opened["utterance"] == "u01"
        shown.table.selected_rows = [3]
        assert shown.opened["utterance"] == "u01", "the other one was only let go"

    def test_marking_shows_a_star_and_exports(self, shown, tmp_path):
        shown.open_row(1)
        shown.mark.click()
        assert shown.table.marked == [1]
        assert shown.mark.description == "★ marked"
        shown.export.click()
        (written,) = (tmp_path / "marked").iterdir()
        assert pd.read_csv(written)["utterance"].tolist() == ["u01"]
        assert written.name in shown.status.value

    def test_all_selected_rows_are_marked_and_let_go_together(self, shown):
        shown.open_row(1)
        shown.mark.click()
        shown.table.selected_rows = [0, 1, 2]
        assert shown.mark.description == "☆ mark (3)"
        shown.mark.click()
        assert [key for _, key in shown.marks.keys] == ["u01", "u00", "u02"]
        shown.mark.click()
        assert (len(shown.marks), shown.table.marked, shown.status.value) == (0, [], "nothing marked")


class TestNotes:
    def test_a_note_marks_what_is_selected_and_keeps_the_others(self, shown):
        shown.open_row(1)
        assert not shown.notes["comment"].disabled
        assert shown.notes["corrected"].options == ("sad",)
        shown.notes["comment"].value = "=clipped"
        shown.table.selected_rows = [1, 2]
        assert shown.notes["comment"].value == "", "of the open utterance"
        assert shown.marks.notes(shown.rows.iloc[1])["comment"] == "=clipped"
        shown.notes["corrected"].value = "angry"
        table = shown.marks.table().set_index("utterance")
        assert table["corrected"].to_dict() == {"u01": "angry", "u02": "angry"}
        assert table["comment"].to_dict() == {"u01": "=clipped", "u02": ""}

    def test_marks_come_back_from_their_csv(self, shown, corpus, tmp_path):
        shown.open_row(1)
        shown.notes["comment"].value = "=clipped"
        shown.export.click()
        (written,) = (tmp_path / "marked").iterdir()
        again = utterances.UtteranceList(corpus, shown.audio, tmp_path, "again")
        again.imported.value = [upload(written.name, written.read_bytes())]
        assert again.marks.table().iloc[0][["utterance", "comment", "seen"]].tolist() == [
            "u01",
            "=clipped",
            "forty-five",
        ]
        assert again.status.value == "1 marked"

    def test_another_s_marks_are_compared_and_those_with_another_label_listed(self, shown):
        for number, label in enumerate(["sad", "angry", "sad"]):
            shown.open_row(number)
            shown.notes["corrected"].value = label
        others = b"corpus,utterance,corrected\nc,u00,sad\nc,u01,sad\nc,u40,\n"
        shown.compared.value = [upload("theirs.csv", others)]
        assert shown.rows[["utterance", "one", "other"]].to_numpy().tolist() == [["u01", "angry", "sad"]]
        assert "2 marked by both, 1 only here, 1 only there; the same label for 1 of the 2" in shown.heading.value
        shown.open_row(0)
        assert "u01" in shown.text.value

    def test_what_is_wrong_with_a_file_is_said_and_nothing_is_marked(self, shown):
        shown.imported.value = [upload("<b>.csv", b"corpus,utterance\nc,stranger\n")]
        assert "&lt;b&gt;.csv: 1 utterances are in no corpus of this study, stranger (line 2)" in shown.status.value
        assert len(shown.marks) == 0
        assert shown.imported.value == ()


def upload(name, content):
    return {
        "name": name,
        "type": "text/csv",
        "size": len(content),
        "content": memoryview(content),
        "last_modified": datetime.now(UTC),
    }


@pytest.mark.parametrize(("speakers", "rest"), [(5, ""), (6, " and 1 other"), (7, " and 2 others")])
def test_speakers_beyond_the_most_frequent_are_counted(speakers, rest):
    shown = utterances._voices(pd.DataFrame({"speaker": [f"s{number}" for number in range(speakers)]}))
    assert shown == f'<div class="sercore-voices">speakers: s0 (1), s1 (1), s2 (1), s3 (1), s4 (1){rest}</div>'
