"""Marks: what is exported, what is read back, and how far two people's agree."""

from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from sercore.widgets import marks
from sercore.widgets.marks import Marks

KNOWN = pd.MultiIndex.from_product([["c"], [f"u{n}" for n in range(9)]])


@pytest.fixture
def corpus():
    names = [f"u{n}" for n in range(9)]
    return pd.DataFrame({"corpus": "c", "utterance": names, "transcript": 'a <b>bold</b> "word"'})


def test_the_export_holds_what_is_marked_where_it_was_seen_the_notes_and_the_facts(corpus, tmp_path):
    marked = Marks()
    for place in (3, 1, 2):
        marked.toggle(corpus.iloc[place], "a cell", {"bert": "sad"})
    marked.toggle(corpus.iloc[1], "a cell", {})
    marked.note(corpus.iloc[3], "comment", "two voices")
    path = marked.export(tmp_path / "marked", "confusions", now=lambda: datetime(2026, 1, 2, 3, 4, 5))
    assert path.name == "confusions-2026-01-02T03-04-05.csv"
    table = pd.read_csv(path, keep_default_na=False)
    assert table["utterance"].tolist() == ["u3", "u2"]
    shown = table[["corpus", "transcript", "seen", "comment", "corrected", "bert"]]
    assert shown.iloc[0].tolist() == ["c", 'a <b>bold</b> "word"', "a cell", "two voices", "", "sad"]


def test_nothing_marked_is_nothing_to_write(tmp_path):
    with pytest.raises(ValueError, match="no utterance is marked"):
        Marks().export(tmp_path, "confusions")


def test_what_was_exported_is_read_as_it_was(corpus, tmp_path):
    marked = Marks()
    marked.toggle(corpus.iloc[3], "a cell", {"bert": "sad"})
    marked.note(corpus.iloc[3], "corrected", "=angry")
    path = marked.export(tmp_path, "confusions")
    again = Marks()
    again.add(marks.read(path.read_bytes(), path.name, KNOWN))
    assert again.table().to_dict("records") == marked.table().to_dict("records")


def test_an_imported_mark_counts_over_one_that_is_there(corpus):
    marked = Marks()
    marked.toggle(corpus.iloc[3], "a cell", {})
    marked.add(marks.read(b"corpus,utterance,comment\nc,u3,theirs\nc,u4,\n", "x.csv", KNOWN))
    assert marked.table()["utterance"].tolist() == ["u3", "u4"]
    assert marked.notes(corpus.iloc[3]) == {"comment": "theirs", "corrected": ""}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "x.csv is no CSV of marks"),
        (b"\xff\xfe\x00", "x.csv is no CSV of marks"),
        (b"utterance\nu1\n", "x.csv has no column corpus"),
        (b"corpus,utterance\nc,u1\nd,u1\n", r"1 utterances are in no corpus of this study, u1 \(line 3\)"),
        (b"corpus,utterance\nc,u1\nc,u1\n", r"1 utterances are there twice, u1 \(line 3\)"),
    ],
)
def test_a_file_that_holds_no_marks_is_refused_with_its_name(content, why):
    with pytest.raises(ValueError, match=why):
        marks.read(content, "x.csv", KNOWN)


def of(**labels):
    return pd.DataFrame({"corpus": "c", "utterance": list(labels), "corrected": list(labels.values())})


def test_agreement_is_of_what_both_marked_and_of_what_both_gave_a_label():
    agreed = marks.agreement(of(u1="sad", u2="sad", u3="", u4="angry"), of(u1="sad", u2="angry", u3="sad", u5="sad"))
    assert (agreed.both, agreed.one, agreed.other, agreed.same) == (3, 1, 1, 1)
    assert agreed.different.to_numpy().tolist() == [["c", "u2", "sad", "angry"]]
    # units {sad, sad} and {sad, angry}: D_o = 1/4 * 2 = 1/2, D_e = 2 * 3 * 1 / (4 * 3) = 1/2
    assert agreed.alpha == pytest.approx(0)


@pytest.mark.parametrize(("one", "other"), [(pd.DataFrame(), pd.DataFrame()), (pd.DataFrame(), of(u1="sad"))])
def test_of_nothing_there_is_no_agreement(one, other):
    agreed = marks.agreement(one, other)
    assert (agreed.both, agreed.one, agreed.other) == (0, 0, len(other))
    assert np.isnan(agreed.alpha)
    assert str(agreed).endswith("the same label for 0 of the 0 that both gave one")
