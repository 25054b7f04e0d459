"""The confusion browser in Chromium, in Voila and in JupyterLab: what it shows is what the predictions table says."""

import re

import pandas as pd
import pytest
import soundfile
from conftest import PICTURES, ROWS, SOUND_AND_PICTURE

from sercore import metrics
from sercore.analysis import results
from sercore.widgets.utterances import PAGE

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module", params=["voila", "lab"])
def where(request):
    return request.param


@pytest.fixture
def browsed(where, request):
    page = request.getfixturevalue(f"open_in_{where}")("confusions")
    page.locator(".sercore-both").first.scroll_into_view_if_needed()
    return page


def of_model(outcome, model, **filters):
    """Test predictions of MSP-Podcast by the best seed of `model`."""
    table = results.of_best(outcome.predictions, outcome.best)
    table = table[(table["partition"] == "test") & (table["model"] == model)]
    table = table[(table["train_corpus"] == "msp-podcast") & (table["test_corpus"] == "msp-podcast")]
    for column, value in filters.items():
        table = table[table[column] == value]
    return table


def fullest(table):
    wrong = table[table["truth"].astype(str) != table["prediction"].astype(str)].astype(
        {"truth": str, "prediction": str}
    )
    return wrong.groupby(["truth", "prediction"]).size().idxmax()


def cell(page, truth, predicted, number=0):
    return page.locator(f'.sercore-cell[title^="truth {truth} predicted as {predicted}"]').nth(number)


def count(page, truth, predicted, number=0):
    return int(cell(page, truth, predicted, number).inner_text().split()[0].replace(",", ""))


def wait_for_list(page, text):
    page.locator(".sercore-heading", has_text=text).wait_for()


def shown_rows(page):
    return page.locator(".sercore-row:visible")


def test_what_is_shown_played_filtered_and_exported_is_what_the_table_says(browsed, where, categories, held, study):
    page = browsed
    table = of_model(categories, "cnn14")
    expected = metrics.confusion(table["truth"], table["prediction"], list(table["truth"].cat.categories))
    for truth in expected.index:
        for predicted in expected.columns:
            assert count(page, truth, predicted) == expected.loc[truth, predicted]

    truth, predicted = fullest(table)
    cell(page, truth, predicted).focus()  # with the keyboard alone
    page.keyboard.press("Enter")
    number = int(expected.loc[truth, predicted])
    wait_for_list(page, f"truth {truth} predicted as {predicted}, MSP-Podcast → MSP-Podcast: {number}")
    page.wait_for_function(ROWS, arg=min(number, PAGE))
    inside = table[(table["truth"] == truth) & (table["prediction"] == predicted)]
    order = inside.sort_values(f"p_{predicted}", ascending=False)["utterance"].tolist()
    listed = [row.get_attribute("title").removeprefix("open ") for row in shown_rows(page).all()]
    assert listed == [str(name) for name in order[:PAGE]]

    shown_rows(page).first.click()
    page.wait_for_function(SOUND_AND_PICTURE)
    corpus = held["msp-podcast"]
    turn = corpus.utterances.set_index("utterance").loc[order[0]]
    sound = soundfile.info(corpus.root / turn["file"])
    element = page.locator(".sercore-detail audio")
    assert element.evaluate("a => a.duration") == pytest.approx(sound.frames / sound.samplerate, abs=0.01)
    page.wait_for_function("() => document.querySelector('.sercore-detail audio').currentTime > 0")  # it plays
    assert turn["transcript"] in page.locator(".sercore-transcript").inner_text()
    assert page.locator(".sercore-predictions tr").count() == 1 + categories.predictions["model"].nunique()
    page.screenshot(path=PICTURES / f"confusions-{where}-utterance.png")

    page.locator(".sercore-marking button", has_text="mark").first.click()
    page.get_by_role("button", name="export marked").and_(page.locator(":enabled")).click()
    written = page.locator(".sercore-marking code")
    written.wait_for()
    exported = pd.read_csv(study.folder.parents[1] / written.inner_text())
    assert exported["utterance"].tolist() == [order[0]]
    assert exported["truth"].tolist() == [truth]
    (study.folder.parents[1] / written.inner_text()).unlink()

    page.get_by_label("beside").select_option("MFCNN14")
    page.locator(".sercore-cell").nth(3 * len(expected) ** 2 - 1).wait_for()
    page.screenshot(path=PICTURES / f"confusions-{where}-two.png")
    page.get_by_label("beside").select_option("no other model")
    page.get_by_label("model", exact=True).select_option("BERT")
    other = of_model(categories, "bert")
    wait_for_list(page, "BERT")
    others = metrics.confusion(other["truth"], other["prediction"], list(expected.index))
    assert not others.equals(expected)
    assert [count(page, t, p) for t in others.index for p in others.columns] == others.to_numpy().ravel().tolist()

    speaker = str(other["speaker"].value_counts().idxmax())
    page.get_by_label("speaker").select_option(speaker)
    wait_for_list(page, f"speaker {speaker}")
    mine = of_model(categories, "bert", speaker=speaker)
    own = metrics.confusion(mine["truth"], mine["prediction"], list(expected.index))
    assert [count(page, t, p) for t in own.index for p in own.columns] == own.to_numpy().ravel().tolist()
    page.screenshot(path=PICTURES / f"confusions-{where}-speaker.png")
    assert not [url for url in page.elsewhere if not re.search("fontawesome", url)]  # which Voila's template names
