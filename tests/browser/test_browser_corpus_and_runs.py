"""The corpus and run browsers in Chromium, in Voila: filters give what the tables have, runs their numbers."""

import pytest
from conftest import COLUMN, PICTURES, ROWS, SOUND_AND_PICTURE, rendered, row

from sercore.widgets import runs

pytestmark = pytest.mark.browser


def choose(page, label, value):
    """Choose `value` in the drop-down list that is described as `label`."""
    page.locator(".widget-dropdown", has=page.get_by_text(label, exact=True)).locator("select").select_option(value)


def drawn(page, title):
    """The cells of a column of the table of runs."""
    titles = page.locator(".sercore-table .title").all_inner_texts()
    cells = page.locator(f".sercore-table .lines [aria-colindex='{titles.index(title) + 1}']")
    return cells.all_inner_texts()


def test_filters_lead_to_an_utterance_and_its_sound(open_in_voila, held):
    page = open_in_voila("corpus")
    table = held["iemocap"].utterances
    selected = table[(table["emotion"] == "sad") & (table["gender"] == "female")]
    assert 0 < len(selected) < len(table)
    for label, value in (("corpus", "IEMOCAP"), ("emotion", "sad"), ("gender", "female")):
        choose(page, label, value)
    page.locator(".sercore-heading", has_text=f": {len(selected)} utterances,").wait_for()
    page.wait_for_function(ROWS, arg=len(selected))
    listed = page.evaluate(COLUMN, "utterance")
    assert listed == sorted(selected["utterance"])[: len(listed)]
    row(page, listed[0]).click()
    page.wait_for_function(SOUND_AND_PICTURE)
    page.screenshot(path=PICTURES / "corpus-voila.png")


def test_the_runs_that_are_chosen_are_drawn_and_listed(page, voila, study):
    table, _ = runs.read(study, "categories")
    chosen = table[table["model"] == "mfcnn14"]
    page.goto(rendered(voila, "runs"))
    page.get_by_text(f"{len(table)} runs: {len(table)} done").wait_for(timeout=180_000)
    picture = page.locator('img[alt^="Learning curves of"]')
    before = picture.get_attribute("src")
    choose(page, "model", "MFCNN14")
    page.get_by_text(f"{len(chosen)} runs: {len(chosen)} done").wait_for()
    page.wait_for_function(
        "before => document.querySelector('img[alt=\"Learning curves of MFCNN14; kept epochs and "
        "their scores are in the table below.\"]')?.src !== before",
        arg=before,
    )
    assert picture.evaluate("image => image.naturalWidth") > 400
    page.locator(".found", has_text=f"{len(chosen)} runs").wait_for()
    assert drawn(page, "development score") == [f"{value:.4f}" for value in chosen["development"]]
    page.screenshot(path=PICTURES / "runs-voila.png")
