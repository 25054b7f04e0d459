"""A link to what a browser shows: what is written is read again, and what is gone is named."""

from pathlib import Path

import made_up
import pandas as pd
import pytest

from sercore.study import config
from sercore.widgets import confusions, links


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return config.load(made_up.write_study(folder, seeds=2, sections=("categories",), utterances=16))


@pytest.fixture(scope="module")
def utterances():
    tables = [made_up.made_up_corpus(name, 16).assign(corpus=name) for name in made_up.SCALES]
    return pd.concat(tables, ignore_index=True)


@pytest.fixture
def browse(study, categories, utterances, tmp_path):
    def _browse(state="", of=study):
        made = categories.predictions, utterances, categories.best
        return confusions.browse(*made, lambda *_: Path("nowhere"), tmp_path, study=of, state=state)

    return _browse


@pytest.mark.parametrize("name", ["sad", "a:b", "a,b", "& = ?", "ü / %3A", "+ 1"])
def test_any_name_comes_back(name):
    places = [(name, "happy"), ("x", name)]
    query = links.write({"cells": links.write_places(places), "speaker": name, "seed": None, "style": ""})
    assert links.read(f"?{query}") == {"cells": links.write_places(places), "speaker": name}
    assert links.read_places(links.read(query)["cells"]) == places


def test_what_is_shown_is_shown_again(browse):
    one = browse()
    one.controls.lists["model"].value = "bert"
    one.controls.lists["seed"].value = 1
    one.controls.lists["gender"].value = "female"
    one.one.grid.choose([("sad", "sad"), ("happy", "neutral")])
    one.list.table.search, one.list.table.filters = "the keys", {"conf.": ">0.5", "truth": "sad"}
    one.list.table.order = ["conf.", "ascending"]
    one.list.open_row(0)
    query = one.link.query
    assert links.read(query) == {
        "study": "made-up",
        "train_corpus": "msp-podcast",
        "test_corpus": "msp-podcast",
        "model": "bert",
        "seed": "1",
        "gender": "female",
        "cells": "happy:neutral,sad:sad",
        "search": "the keys",
        "filters": "conf.:%3E0.5,truth:sad",
        "order": "conf.:ascending",
        "utterance": one.list.rows["utterance"][0],
    }
    again = browse(query)
    assert again.problem.value == ""
    assert again.link.query == query
    assert again.controls.choice == one.controls.choice
    assert again.list.heading.value == one.list.heading.value
    for name in ("search", "filters", "order"):
        assert getattr(again.list.table, name) == getattr(one.list.table, name)
    assert again.list.opened["utterance"] == one.list.opened["utterance"]


def test_the_difference_of_two_models_is_shown_again(browse):
    one = browse()
    one.controls.lists["other"].value = "mfcnn14"
    one.difference.grid.choose([("happy", "happy")])
    again = browse(one.link.query)
    assert again.difference.grid.places() == [("happy", "happy")]
    assert again.list.heading.value == one.list.heading.value
    again.difference.grid.choose([])
    assert "cells" not in links.read(again.link.query)


def test_what_is_gone_is_named_and_the_rest_is_shown(browse):
    shown = browse(
        "study=elsewhere&model=mfcnn15&seed=9&speaker=nobody&gender=female&cells=sad:sad,sad:bored&utterance=u&matrix=two"
    )
    for lost in ("study elsewhere (this is made-up)", "model mfcnn15", "seed 9", "speaker nobody", "matrix two"):
        assert lost in shown.problem.value
    assert "cell sad:bored" in shown.problem.value
    assert "utterance u" in shown.problem.value
    assert shown.controls.choice.gender == "female"
    assert shown.one.grid.places() == [("sad", "sad")]
    assert links.read(shown.link.query)["cells"] == "sad:sad"


def test_an_order_that_is_none_is_no_order(browse):
    assert browse("cells=sad:sad&order=conf.:sideways").list.table.order == []


def test_a_name_in_a_link_is_no_html(browse):
    assert "<b>" not in browse("speaker=%3Cb%3E").problem.value


def test_a_page_that_opens_with_a_link_shows_it(browse):
    browser = browse()
    browser.link.address = "?token=x&model=bert&cells=sad:sad"
    assert browser.controls.choice.model == "bert"
    assert browser.one.grid.places() == [("sad", "sad")]
    assert browser.problem.value == ""


def test_a_browser_of_no_study_takes_a_link_of_any(browse):
    assert browse("study=elsewhere&model=bert", of=None).problem.value == ""


def test_without_a_study_there_is_no_panel_of_other_words(browse):
    assert browse(of=None).what_if is None


def test_an_open_utterance_can_be_asked_about_other_words(browse):
    browser = browse("cells=sad:sad")
    assert browser.what_if in browser.list.detail.children
    assert browser.what_if.question is None
    browser.list.open_row(0)
    asked = browser.what_if.question
    assert asked.readers == ["bert", "sfcnn14", "mfcnn14"]
    assert (asked.section, asked.corpus, asked.fold) == ("categories", "msp-podcast", "official")
    browser.what_if.ask()
    assert "no audio file" in browser.what_if.answer.value
    browser.one.grid.choose([])
    assert browser.what_if.question is None
