"""The confusion browser in Chromium, in Voila and in JupyterLab: what it shows is what the predictions table says."""

import itertools

import pytest
import soundfile
from conftest import COLUMN, PICTURES, ROWS, SOUND_AND_PICTURE, export_marked, row

from sercore import metrics
from sercore.analysis import results
from sercore.widgets import sound

pytestmark = pytest.mark.browser


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
    page.wait_for_function(ROWS, arg=number)
    inside = table[(table["truth"] == truth) & (table["prediction"] == predicted)]
    order = inside.sort_values(f"p_{predicted}", ascending=False)["utterance"].astype(str).tolist()
    listed = page.evaluate(COLUMN, "utterance")
    assert listed == order[: len(listed)]

    row(page, order[0]).click()
    page.wait_for_function(SOUND_AND_PICTURE)
    corpus = held["msp-podcast"]
    turn = corpus.utterances.set_index("utterance").loc[order[0]]
    played = soundfile.info(corpus.root / turn["file"])
    element = page.locator(".sercore-player audio")
    assert element.evaluate("a => a.duration") == pytest.approx(played.frames / played.samplerate, abs=0.01)
    page.wait_for_function("() => document.querySelector('.sercore-player audio').currentTime > 0")  # it plays
    assert turn["transcript"] in page.locator(".sercore-transcript").inner_text()
    assert page.locator(".sercore-predictions tr").count() == 1 + categories.predictions["model"].nunique()
    page.screenshot(path=PICTURES / f"confusions-{where}-utterance.png")

    exported, path = export_marked(page, study.folder.parents[1])
    assert exported["utterance"].tolist() == [order[0]]
    assert exported["truth"].tolist() == [truth]
    path.unlink()

    page.get_by_label("beside").select_option("MFCNN14")
    page.locator(".sercore-cell").nth(3 * len(expected) ** 2 - 1).wait_for()
    page.screenshot(path=PICTURES / f"confusions-{where}-two.png")
    page.get_by_label("beside").select_option("no other model")
    page.get_by_label("model", exact=True).focus()
    page.keyboard.type("BERT")  # JupyterLab leaves the keys to the list
    other = of_model(categories, "bert")
    wait_for_list(page, "BERT")
    others = metrics.confusion(other["truth"], other["prediction"], list(expected.index))
    assert not others.equals(expected)
    assert [count(page, t, p) for t in others.index for p in others.columns] == others.to_numpy().ravel().tolist()

    speaker = str(other["speaker"].value_counts().idxmax())
    page.get_by_role("combobox", name="speaker", exact=True).select_option(speaker)
    wait_for_list(page, f"speaker {speaker}")
    mine = of_model(categories, "bert", speaker=speaker)
    own = metrics.confusion(mine["truth"], mine["prediction"], list(expected.index))
    assert [count(page, t, p) for t in own.index for p in own.columns] == own.to_numpy().ravel().tolist()
    page.screenshot(path=PICTURES / f"confusions-{where}-speaker.png")
    assert page.elsewhere == []


def choose(page, *selectors):
    """Click the first of the grid's `selectors`, and the others with ctrl."""
    for number, selector in enumerate(selectors):
        page.locator(f".sercore-grid {selector}").first.click(modifiers=["Control"] if number else [])


def test_several_cells_are_searched_filtered_sorted_and_walked_through(browsed, where, categories, held):
    page = browsed
    table = of_model(categories, "cnn14").astype({"truth": str, "prediction": str, "utterance": str, "speaker": str})
    words = held["msp-podcast"].utterances.set_index("utterance")["transcript"]
    table = table.assign(transcript=words.reindex(table["utterance"]).fillna("").to_numpy())
    labels = list(of_model(categories, "cnn14")["truth"].cat.categories)
    wrong = table[table["truth"] != table["prediction"]]

    choose(page, f'button[title^="truth {labels[0]} predicted as {labels[1]}"]')
    choose(page, f'th[scope="row"] button:text-is("{labels[0]}")', f'th[scope="row"] button:text-is("{labels[1]}")')
    page.wait_for_function(ROWS, arg=int(table["truth"].isin(labels[:2]).sum()))
    choose(page, f'th[scope="col"] button:text-is("{labels[2]}")')
    page.wait_for_function(ROWS, arg=int((table["prediction"] == labels[2]).sum()))
    choose(page, 'button:text-is("all errors")')
    wait_for_list(page, f"all errors, MSP-Podcast → MSP-Podcast: {len(wrong):,} utterances")
    page.wait_for_function(ROWS, arg=len(wrong))

    word = wrong["transcript"].str.findall("[a-z]{6,}").explode().value_counts().index[0]  # in no other column
    found = wrong[wrong["transcript"].str.contains(word, case=False, regex=False)]
    assert 0 < len(found) < len(wrong)
    search = page.get_by_label("search in all texts")
    search.press_sequentially(word)
    page.wait_for_function(ROWS, arg=len(found))
    search.fill("")
    speaker = max(wrong["speaker"], key=len)
    field = page.get_by_label("filter speaker")
    field.fill(speaker)
    page.wait_for_function(ROWS, arg=int(wrong["speaker"].str.contains(speaker).sum()))
    field.fill("")
    page.wait_for_function(ROWS, arg=len(wrong))

    page.locator(".sercore-rows .title", has_text="utterance").click()
    order = sorted(wrong["utterance"])
    page.wait_for_function(f"name => ({COLUMN})('utterance')[0] == name", arg=order[0])
    page.locator(".sercore-rows .grid").focus()  # with the keyboard alone
    for name in order[:3]:
        page.keyboard.press("ArrowDown")
        page.locator(".sercore-detail h4", has_text=name).wait_for()
        page.wait_for_function(SOUND_AND_PICTURE)
    page.keyboard.press("Shift+ArrowDown")
    page.locator(".sercore-marking button", has_text="mark (2)").wait_for()
    page.keyboard.press("End")
    page.locator(".sercore-detail h4", has_text=order[-1]).wait_for()
    row(page, order[-1]).wait_for()
    page.screenshot(path=PICTURES / f"confusions-{where}-errors.png")


STATE = """() => {
  const [audio, cursor] = ["audio", ".cursor"].map(name => document.querySelector(".sercore-player " + name));
  const share = parseFloat(cursor.style.left) / 100;
  return {time: audio.currentTime, share, paused: audio.paused, rate: audio.playbackRate};
}"""
HEARD = """async seconds => {
  const audio = document.querySelector(".sercore-player audio"), times = [], start = performance.now();
  while (performance.now() - start < 1000 * seconds) {
    times.push(audio.currentTime);
    await new Promise(requestAnimationFrame);
  }
  return times;
}"""
PAUSED = "paused => document.querySelector('.sercore-player audio').paused == paused"


def test_the_spectrogram_is_the_timeline_of_the_sound(browsed, where, categories, held, study):
    page = browsed
    table = of_model(categories, "cnn14").astype({"truth": str, "prediction": str, "utterance": str})
    truth, predicted = fullest(table)
    cell(page, truth, predicted).click()
    inside = table[(table["truth"] == truth) & (table["prediction"] == predicted)]
    name = inside.sort_values(f"p_{predicted}", ascending=False)["utterance"].iloc[0]
    row(page, name).click()
    page.wait_for_function(SOUND_AND_PICTURE)
    corpus = held["msp-podcast"]
    path = corpus.root / corpus.utterances.set_index("utterance").at[name, "file"]
    start, end = sound.span(sound.CachedFrames(study)("msp-podcast", name, path))

    def place():
        state = page.evaluate(STATE)
        for _ in range(5):  # a sound that has ended begins anew some frames after it was asked to
            if start + state["share"] * (end - start) == pytest.approx(state["time"], abs=0.005):
                break
            page.wait_for_timeout(40)
            state = page.evaluate(STATE)
        assert start + state["share"] * (end - start) == pytest.approx(state["time"], abs=0.005)
        return state["time"]

    timeline = page.locator(".sercore-player .timeline")
    page.locator(".sercore-rows .grid").focus()
    page.wait_for_function(PAUSED, arg=True)  # it was played to its end
    page.keyboard.press(" ")
    page.wait_for_function(PAUSED, arg=False)
    page.keyboard.press(" ")
    page.wait_for_function(PAUSED, arg=True)
    place()

    box = timeline.bounding_box()
    timeline.click(position={"x": box["width"] / 4, "y": box["height"] / 2})
    assert place() == pytest.approx(start + (end - start) / 4, abs=0.02)
    before = place()
    page.keyboard.press("ArrowRight")
    assert place() == pytest.approx(before + 0.1, abs=0.01)
    page.keyboard.press("Home")
    assert place() == 0
    page.keyboard.press(">")
    assert page.evaluate(STATE)["rate"] == 1.25
    page.get_by_label("speed").select_option("0.5")
    assert page.evaluate(STATE)["rate"] == 0.5
    page.get_by_label("speed").select_option("2")

    x, y = box["x"], box["y"] + box["height"] / 2
    page.mouse.move(x + 0.3 * box["width"], y)
    page.mouse.down()
    page.mouse.move(x + 0.5 * box["width"], y, steps=4)
    page.mouse.up()
    low, high = (start + share * (end - start) for share in (0.3, 0.5))
    times = page.evaluate(HEARD, 3 * (high - low))
    assert low - 0.02 <= min(times) < max(times) <= high + 0.2
    assert any(after < before for before, after in itertools.pairwise(times)), "it goes round"
    page.screenshot(path=PICTURES / f"confusions-{where}-loop.png")
    timeline.focus()
    page.keyboard.press("Escape")
    page.wait_for_function(PAUSED, arg=True)  # played to its end
    assert place() > high
