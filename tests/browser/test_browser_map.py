"""The map in Chromium, in Voila and in JupyterLab: its points, by mouse and by keyboard, are the model's utterances."""

import plots
import pytest
from conftest import COLUMN, PICTURES, ROWS, SOUND_AND_PICTURE, row
from sklearn.metrics.pairwise import cosine_similarity

from sercore import files
from sercore.analysis import results
from sercore.inference.embeddings import CachedEmbeddings

pytestmark = pytest.mark.browser


@pytest.fixture
def browsed(where, request):
    page = request.getfixturevalue(f"open_in_{where}")("map")
    compute = page.get_by_role("button", name="compute the map")
    compute.or_(page.locator(".sercore-points canvas").first).first.wait_for()
    if compute.is_visible():
        compute.click()
    plots.canvas(page)
    return page


def points_of(categories, study):
    """The test predictions of MSP-Podcast by the best CNN14, the plane of its embeddings, and these."""
    table = results.of_best(categories.predictions, categories.best)
    table = table[(table["partition"] == "test") & (table["model"] == "cnn14")]
    table = table[(table["train_corpus"] == "msp-podcast") & (table["test_corpus"] == "msp-podcast")]
    seed = table["seed"].iloc[0]
    run = next(
        run
        for run in study.section("categories")
        if (run.parameters["model"], run.parameters["corpus"], run.parameters["seed"]) == ("cnn14", "msp-podcast", seed)
    )
    held = CachedEmbeddings(study.corpora, study.outputs / "cache")(run.folder / f"{files.FOLD}official", compute=False)
    return table.set_index(table["utterance"].astype(str)).loc[held.utterances], held


def test_a_lasso_lists_what_is_inside_and_a_point_opens_its_utterance(browsed, where, categories, study):
    page, (table, held) = browsed, points_of(categories, study)
    places = plots.pixels(page, *held.plane().T)
    edges, inside = plots.few(places)
    plots.lasso(page, edges)
    page.locator(".sercore-heading", has_text=f"{inside.sum()} points").wait_for()
    page.wait_for_function(ROWS, arg=int(inside.sum()))
    assert set(page.evaluate(COLUMN, "utterance")) == set(held.utterances[inside])

    before = plots.ticks(page)
    one = plots.alone(places)
    name = held.utterances[one]
    plots.hover(page, places[one], name)
    page.screenshot(path=PICTURES / f"map-{where}-hover.png")
    page.mouse.click(*places[one])
    page.locator(".sercore-detail h4", has_text=name).wait_for()
    page.wait_for_function(SOUND_AND_PICTURE)
    assert str(table.loc[name, "truth"]) in page.locator(".sercore-predictions").inner_text()
    page.screenshot(path=PICTURES / f"map-{where}-utterance.png")

    page.mouse.move(*places[one])
    for _ in range(5):
        page.mouse.wheel(0, -200)
        page.wait_for_timeout(50)
    plots.changed(page, before)
    assert max(plots.ticks(page)) - min(plots.ticks(page)) < max(before) - min(before)


def test_colour_list_and_neighbours_are_reached_by_keyboard(browsed, where, categories, study):
    page, (table, held) = browsed, points_of(categories, study)
    legend = page.locator(".sercore-points")
    for label in map(str, table["truth"].cat.remove_unused_categories().cat.categories):
        legend.get_by_text(label).first.wait_for()
    page.get_by_label("coloured by").focus()
    for _ in range(2):
        page.keyboard.press("ArrowDown")
    legend.get_by_text("wrong").first.wait_for()
    page.get_by_role("button", name="list all").focus()
    page.keyboard.press("Enter")
    page.locator(".sercore-heading", has_text=f"all {len(table):,} points").wait_for()
    page.wait_for_function(ROWS, arg=len(table))
    name = page.evaluate(COLUMN, "utterance")[2]
    row(page, name).click()
    page.locator(".sercore-detail h4", has_text=name).wait_for()
    page.get_by_role("button", name="nearest to this one").focus()
    page.keyboard.press("Enter")
    page.locator(".sercore-heading", has_text=f"nearest to {name}").wait_for()
    page.wait_for_function(ROWS, arg=10)
    place = held.utterances.get_loc(name)
    cosines = cosine_similarity(held.vectors)[place]
    expected = [held.utterances[other] for other in cosines.argsort()[::-1] if other != place][:10]
    assert page.evaluate(COLUMN, "utterance") == expected
    page.screenshot(path=PICTURES / f"map-{where}-nearest.png")
