"""A link to what a browser shows: what is written is read again, and what is gone is named."""

from functools import partial
from pathlib import Path

import made_up
import made_up_site
import pandas as pd
import pytest

from sercore import inference
from sercore.study import config
from sercore.widgets import confusions, links
from sercore.widgets.app import App, Opened


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


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """The app on two studies, of which the second is called "other"."""
    one = made_up_site.write(tmp_path_factory.mktemp("one"))
    other = made_up_site.write(tmp_path_factory.mktemp("other"))
    renamed = other.folder.with_name("other")
    other.folder.rename(renamed)
    other.path.write_text(other.path.read_text(encoding="utf-8").replace("study: made-up", "study: other"))
    opening = partial(Opened, load=inference.load, embeddings=inference.cached_embeddings)
    return App(lambda: [one, config.load(other.path)], opening)


def test_the_apps_link_names_study_and_tab(app):
    app.restore("study=other&model=bert&cells=sad:sad")
    assert app.problem.value == ""
    assert app.opened.study.name == "other"
    browser = app.tabs.children[0].children[0]
    assert browser.controls.choice.model == "bert"
    assert browser.one.grid.places() == [("sad", "sad")]
    query = app.link.query
    assert links.read(query)["study"] == "other"
    assert links.read(query)["cells"] == "sad:sad"
    app.show("residuals")
    assert links.read(app.link.query) == {"study": "other", "tab": "residuals"}
    app.show("confusions")
    assert app.link.query == query
    app.restore("study=made-up&tab=residuals")
    assert links.read(app.link.query) == {"study": "made-up", "tab": "residuals"}
    app.link.address = f"?{query}"
    assert app.link.query == query, "the address of the page when it opens"


def test_a_study_or_tab_that_is_gone_is_named_by_the_app(app):
    app.restore("study=elsewhere&tab=attic&model=bert&speaker=nobody")
    assert "study elsewhere; tab attic" in app.problem.value
    browser = app.tabs.children[0].children[0]
    assert "speaker nobody" in browser.problem.value
    assert browser.controls.choice.model == "bert"


def test_residuals_can_be_asked_about_other_words_too(app):
    app.restore("study=made-up&tab=residuals")
    browser = app.tabs.children[1].children[0]
    browser.list_points([0])
    assert browser.what_if.question.section == "multitask"
    assert browser.what_if.question.readers == ["bert", "sfcnn14", "mfcnn14"]
    browser.what_if.ask()
    assert "no folder" in browser.what_if.answer.value, "nothing was trained"
