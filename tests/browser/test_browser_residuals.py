"""The residual browser in Chromium, in Voila and in JupyterLab."""

import plots
import pytest
import soundfile
from conftest import COLUMN, PICTURES, ROWS, SOUND_AND_PICTURE, export_marked, row

from sercore.analysis import residuals, results

pytestmark = pytest.mark.browser


@pytest.fixture
def browsed(where, request):
    page = request.getfixturevalue(f"open_in_{where}")("residuals")
    page.locator(".sercore-both").first.scroll_into_view_if_needed()
    return page


def errors(outcome, model, target, **filters):
    """Residuals on MSP-Podcast's test set of the best seed of `model`."""
    table = results.of_best(outcome.predictions, outcome.best)
    table = table[(table["partition"] == "test") & (table["model"] == model) & (table["target"] == target)]
    for column, value in filters.items():
        table = table[table[column] == value]
    return residuals.residual_table(table[table["test_corpus"] == "msp-podcast"])


def inside(table, truth, low):
    return table[
        table["truth"].between(truth, truth + 1, inclusive="left")
        & table["residual"].between(low, low + 1, inclusive="left")
    ]


def bin_of(page, truth, low):
    title = f"truth {truth:g} to {truth + 1:g}, error {low:+g} to {low + 1:+g}:".replace("-", "−")
    return page.locator(f'.sercore-cell[title^="{title}"]')


def test_bins_lead_to_the_utterances_that_the_table_has_there(browsed, where, multitask, held, study):
    page = browsed
    table = errors(multitask, "cnn14", "arousal")
    chosen = inside(table, 4, -0.5).sort_values("residual", key=abs, ascending=False)
    assert len(chosen)
    bin_of(page, 4, -0.5).focus()
    page.keyboard.press("Enter")
    page.locator(".sercore-heading", has_text=f"truth 4 to 5, error −0.5 to +0.5: {len(chosen)} utterance").wait_for()
    page.wait_for_function(ROWS, arg=len(chosen))
    name = page.evaluate(COLUMN, "utterance")[0]
    assert name in chosen["utterance"][chosen["residual"].abs() == chosen["residual"].abs().max()].astype(str).tolist()

    row(page, name).click()
    page.wait_for_function(SOUND_AND_PICTURE)
    corpus = held["msp-podcast"]
    sound = soundfile.info(corpus.root / corpus.utterances.set_index("utterance").at[name, "file"])
    length = page.locator(".sercore-player audio").evaluate("a => a.duration")
    assert length == pytest.approx(sound.frames / sound.samplerate, abs=0.01)
    assert page.locator(".sercore-predictions tr").count() == 2 + multitask.predictions["model"].nunique()
    page.screenshot(path=PICTURES / f"residuals-{where}-utterance.png")

    exported, path = export_marked(page, study.folder.parents[1])
    assert exported["utterance"].tolist() == [name]
    path.unlink()

    page.get_by_label("dimension").select_option("valence")
    page.get_by_label("model", exact=True).select_option("BERT")
    page.locator(".sercore-heading", has_text="BERT").wait_for()
    other = errors(multitask, "bert", "valence")
    assert bin_of(page, 4, -0.5).inner_text() == (str(len(inside(other, 4, -0.5)) or "·"))
    page.get_by_label("gender").select_option("female")
    page.locator(".sercore-heading", has_text="female").wait_for()
    female = inside(errors(multitask, "bert", "valence", gender="female"), 4, -0.5)
    assert bin_of(page, 4, -0.5).get_attribute("title").split(": ")[1].split()[0] == str(len(female))
    page.screenshot(path=PICTURES / f"residuals-{where}-female.png")


def test_a_lasso_lists_the_points_inside_it_and_a_point_opens_its_utterance(browsed, where, multitask):
    page = browsed
    table = errors(multitask, "cnn14", "arousal").reset_index(drop=True)
    places = plots.pixels(page, table["truth"], table["residual"])
    edges, inside = plots.few(places)
    plots.lasso(page, edges)
    page.locator(".sercore-heading", has_text=f"{inside.sum()} points").wait_for()
    page.wait_for_function(ROWS, arg=int(inside.sum()))
    chosen = table[inside].sort_values("residual", key=abs, ascending=False)
    assert page.evaluate(COLUMN, "utterance") == chosen["utterance"].astype(str).tolist()
    page.screenshot(path=PICTURES / f"residuals-{where}-lasso.png")

    before = plots.ticks(page)
    one = plots.alone(places)
    name = str(table["utterance"][one])
    plots.hover(page, places[one], name)
    shown = page.locator(".sercore-points")
    for column in ("truth", "prediction"):
        assert shown.get_by_text(f"{table[column][one]:.2f}", exact=True).count()
    page.screenshot(path=PICTURES / f"residuals-{where}-hover.png")
    page.mouse.click(*places[one])
    page.locator(".sercore-detail h4", has_text=name).wait_for()
    page.wait_for_function(SOUND_AND_PICTURE)

    for _ in range(5):
        page.mouse.wheel(0, -200)
        page.wait_for_timeout(50)
    plots.changed(page, before)
    assert max(plots.ticks(page)) - min(plots.ticks(page)) < max(before) - min(before)
