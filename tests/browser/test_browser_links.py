"""Links to what the confusion browser shows, and other words for an open utterance, in Voila and in JupyterLab."""

import re
from urllib.parse import quote

import pytest
from conftest import PICTURES, TOKEN, rendered

from sercore.analysis import results
from sercore.inference import predictor
from sercore.widgets import what_if

pytestmark = pytest.mark.browser
OTHER = "the keys are on the table"


@pytest.fixture(scope="module")
def wrong(categories):
    """The best MFCNN14's predictions of a cell of MSP-Podcast, the most confident first."""
    table = results.of_best(categories.predictions, categories.best)
    table = table[(table["partition"] == "test") & (table["model"] == "mfcnn14")]
    table = table[(table["train_corpus"] == "msp-podcast") & (table["test_corpus"] == "msp-podcast")]
    table = table.astype({"truth": str, "prediction": str, "utterance": str})
    truth, predicted = table.groupby(["truth", "prediction"]).size().idxmax()
    rows = table[(table["truth"] == truth) & (table["prediction"] == predicted)]
    return rows.sort_values(f"p_{predicted}", ascending=False, kind="stable")


def link(study, wrong, /, **more):
    first = wrong.iloc[0]
    state = {
        "study": study.name,
        "train_corpus": "msp-podcast",
        "test_corpus": "msp-podcast",
        "model": "mfcnn14",
        "cells": f"{first['truth']}:{first['prediction']}",
        "utterance": first["utterance"],
        **more,
    }
    return "&".join(f"{name}={quote(value, safe=':')}" for name, value in state.items())


def wait_until_shown(page, wrong):
    first = wrong.iloc[0]
    heading = f"MFCNN14.*truth {first['truth']} predicted as {first['prediction']}.*: {len(wrong)} utterance"
    page.locator(".sercore-heading", has_text=re.compile(heading)).wait_for(timeout=180_000)
    page.locator(".sercore-detail h4", has_text=first["utterance"]).first.wait_for()


def test_in_voila_the_address_is_the_link(page, voila, study, wrong):
    page.goto(f"{rendered(voila, 'confusions')}&{link(study, wrong)}")
    wait_until_shown(page, wrong)
    assert f"token={TOKEN}" in page.url, "what is not the browser's stays in the address"
    page.get_by_label("gender", exact=True).select_option("female")
    page.wait_for_function("location.search.includes('gender=female')")
    shown = page.locator(".sercore-heading").first.inner_text().splitlines()[0]  # the speakers are below
    page.goto("about:blank")
    page.go_back()
    page.locator(".sercore-heading", has_text=shown).wait_for(timeout=180_000)
    assert "gender=female" in page.url


def test_what_is_gone_is_said_and_the_rest_is_shown(page, voila, study, wrong):
    page.goto(f"{rendered(voila, 'confusions')}&{link(study, wrong, speaker='nobody', study='elsewhere')}")
    wait_until_shown(page, wrong)
    said = page.get_by_role("alert").filter(has_text="The link names what is not here")
    assert f"study elsewhere (this is {study.name}); speaker nobody" in said.inner_text()
    assert "speaker" not in page.url
    page.screenshot(path=PICTURES / "confusions-voila-lost-link.png")


def test_in_jupyterlab_a_line_that_is_pasted_shows_it_again(open_in_lab, study, wrong):
    page = open_in_lab("confusions")
    page.locator(".jp-Notebook-cell").last.click()
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    page.keyboard.insert_text(f'browser.restore("{link(study, wrong)}")')
    page.keyboard.press("Shift+Enter")
    wait_until_shown(page, wrong)
    line = page.get_by_label("to show this again").input_value()
    assert line == f'browser.restore("{link(study, wrong)}")'
    assert "cells" not in page.url, "the address is JupyterLab's own"


def test_other_words_are_asked_with_the_keyboard(page, voila, study, wrong, held):
    page.goto(f"{rendered(voila, 'confusions')}&{link(study, wrong)}")
    wait_until_shown(page, wrong)
    page.get_by_label("asked model").select_option("MFCNN14")
    words = page.get_by_label("words", exact=True).and_(page.locator("input"))
    words.focus()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(OTHER)
    page.keyboard.press("Enter")
    button = page.get_by_role("button", name="ask the model")
    button.focus()
    page.keyboard.press("Enter")
    answer = page.locator(".sercore-what-if table")
    answer.first.wait_for(timeout=120_000)

    row = wrong.iloc[0]
    run = next(
        run
        for run in study.section("categories")
        if run.parameters["model"] == "mfcnn14"
        and run.parameters["corpus"] == "msp-podcast"
        and run.parameters["seed"] == row["seed"]
    )
    corpus = held["msp-podcast"]
    turn = corpus.utterances.set_index("utterance").loc[row["utterance"]]
    expected = what_if.ask(predictor.load(run.folder), corpus.root / turn["file"], turn["transcript"], OTHER)
    lines = [[cell.inner_text() for cell in line.locator("td").all()] for line in answer.nth(0).locator("tr").all()[1:]]
    for shown, values in zip(lines[:2], (expected.original, expected.changed), strict=True):
        assert [float(text) for text in shown] == pytest.approx(values.tolist(), abs=0.0051)
    assert answer.nth(1).locator("tr").count() == 1 + len(expected.stages)
    assert expected.original.idxmax() == row["prediction"]
    page.locator(".sercore-what-if").scroll_into_view_if_needed()
    page.screenshot(path=PICTURES / "confusions-voila-what-if.png")

    before = answer.nth(0).inner_text()
    page.get_by_label("change of level").focus()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text("-12")
    page.keyboard.press("Enter")
    page.wait_for_function(
        "before => ![undefined, before].includes(document.querySelector('.sercore-what-if table')?.innerText)",
        arg=before,
    )
    assert "-12 dB" in answer.nth(0).inner_text()
