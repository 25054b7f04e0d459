"""The site of a study in Chromium, opened as a file with networking off: what it shows is what the predictions say."""

import re

import pandas as pd
import pytest
import soundfile
from conftest import PICTURES

from sercore.analysis import results
from sercore.registry import CORPORA, MODELS
from sercore.widgets import site

pytestmark = pytest.mark.browser
PAIR = ("msp-podcast", "msp-podcast")


@pytest.fixture(scope="module")
def written(study, tmp_path_factory):
    return site.write(site.gather(study), tmp_path_factory.mktemp("site") / "demo")


@pytest.fixture
def opened(request, chromium, written):
    """The page, without a network; every address that it asks for is `requested`."""
    options = {"viewport": {"width": 1400, "height": 1500}} | getattr(request, "param", {})
    context = chromium.new_context(**options)
    context.set_offline(True)
    page = context.new_page()
    page.requested, page.wrong = [], []
    page.on("request", lambda one: page.requested.append(one.url))
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("console", lambda line: page.wrong.append(line.text) if line.type == "error" else None)
    page.goto(written.page.as_uri())
    page.locator(".sercore-rows").first.wait_for()
    yield page
    assert not page.wrong
    assert all(re.match("file:|data:|blob:", url) for url in page.requested)
    context.close()


@pytest.fixture(scope="module")
def best(categories):
    table = results.of_best(categories.predictions, categories.best)
    return table[table["partition"] == "test"].astype({"truth": str, "prediction": str, "utterance": str})


def of(best, model, pair=PAIR):
    return best[(best["model"] == model) & (best["train_corpus"] == pair[0]) & (best["test_corpus"] == pair[1])]


def choose_pair(page, pair):
    page.get_by_label("trained → tested on").select_option(" → ".join(map(CORPORA.label, pair)))


def cell(page, truth, predicted):
    return page.locator(f'.sercore-cell[title^="truth {truth} predicted as {predicted}"]')


def listed(page):
    return int(
        re.match(r"([\d,]+) utterance", page.locator(".sercore-heading").inner_text().split(": ")[-1])[1].replace(
            ",", ""
        )
    )


def test_every_cell_of_every_matrix_is_what_the_predictions_say(opened, best, categories):
    labels = list(categories.predictions["truth"].cat.categories)
    pairs = best[["train_corpus", "test_corpus"]].astype(str).drop_duplicates().itertuples(index=False, name=None)
    compared = 0
    for pair in pairs:
        choose_pair(opened, pair)
        for option in opened.get_by_label("model").locator("option").all_inner_texts():
            opened.get_by_label("model").select_option(option)
            model = next(name for name in MODELS if MODELS.label(name) == option)
            rows = of(best, model, pair)
            counts = pd.crosstab(rows["truth"], rows["prediction"]).reindex(index=labels, columns=labels, fill_value=0)
            shown = [text.split()[0].replace(",", "") for text in opened.locator(".sercore-cell").all_inner_texts()]
            assert list(map(int, shown)) == counts.to_numpy().ravel().tolist()
            compared += 1
    assert compared == len(best[["train_corpus", "test_corpus", "model"]].drop_duplicates())


def test_several_cells_are_listed_and_a_row_plays(opened, best, held, written):
    page, rows = opened, of(best, "cnn14")
    wrong = rows[rows["truth"] != rows["prediction"]]
    (truth, predicted), (other, as_what) = wrong.groupby(["truth", "prediction"]).size().nlargest(2).index
    page.get_by_label("model").select_option("CNN14")
    assert listed(page) == len(rows)
    cell(page, truth, predicted).focus()
    page.keyboard.press("Enter")
    inside = rows[(rows["truth"] == truth) & (rows["prediction"] == predicted)]
    assert listed(page) == len(inside)
    cell(page, other, as_what).click(modifiers=["Control"])
    assert listed(page) == len(inside) + ((rows["truth"] == other) & (rows["prediction"] == as_what)).sum()
    page.get_by_role("button", name="all errors").click()
    assert listed(page) == len(wrong)
    cell(page, truth, predicted).click()

    first = inside.sort_values(f"p_{predicted}", ascending=False)["utterance"].iloc[0]
    corpus = held["msp-podcast"]
    turn = corpus.utterances.set_index("utterance").loc[first]
    page.locator(".sercore-rows").get_by_text(first, exact=True).click()
    page.wait_for_function(
        "() => { const one = document.querySelector('audio'); return one.currentTime > 0.05 && one.duration > 0; }"
    )
    played = soundfile.info(corpus.root / turn["file"])
    duration = page.locator("audio").evaluate("one => one.duration")
    assert duration == pytest.approx(played.frames / played.samplerate, abs=0.01)
    page.wait_for_function("() => document.querySelector('.sercore-player img').naturalWidth > 0")
    assert turn["transcript"] in page.locator(".sercore-transcript").inner_text()
    assert page.locator("#predictions table").first.locator("tr").count() == 1 + best["model"].nunique()
    assert written.sounds == written.utterances


def found(page):
    return int(page.locator(".sercore-rows .found").inner_text().split()[0].replace(",", "").replace("no", "0"))


def column(page, title):
    titles = page.locator(".sercore-rows [role=columnheader]").evaluate_all("all => all.map(one => one.ariaLabel)")
    lines = page.locator(".sercore-rows .lines [role=row]")
    return [
        text[titles.index(title)]
        for text in lines.evaluate_all("all => all.map(one => [...one.children].map(cell => cell.textContent))")
    ]


def test_rows_are_searched_sorted_and_walked_through_with_the_keyboard(opened, best, held):
    page, rows = opened, of(best, "cnn14")
    page.get_by_label("model").select_option("CNN14")
    words = held["msp-podcast"].utterances.set_index("utterance")["transcript"]
    words = words.loc[rows["utterance"]]
    word = max(words.iloc[0].split(), key=len)
    page.get_by_label("search in all texts").fill(word.upper())
    assert found(page) == words.str.lower().str.contains(word.lower(), regex=False).sum()
    page.get_by_label("search in all texts").fill("")
    page.get_by_label("filter truth").select_option("sad")
    assert found(page) == (rows["truth"] == "sad").sum()
    page.get_by_role("button", name="seconds", exact=True).click()
    shown = [float(text) for text in column(page, "seconds")]
    assert shown == sorted(shown)
    assert shown[0] == pytest.approx(
        held["msp-podcast"]
        .utterances.set_index("utterance")
        .loc[rows.loc[rows["truth"] == "sad", "utterance"], "seconds"]
        .min(),
        abs=0.006,
    )

    page.locator(".sercore-rows [role=grid]").focus()
    page.evaluate("""() => {
        window.events = [];
        for (const kind of ["play", "pause"]) document.addEventListener(kind, () => window.events.push(kind), true);
    }""")
    names = column(page, "utterance")
    for number in range(3):
        page.keyboard.press("ArrowDown")
        page.locator("#about h3", has_text=names[number]).wait_for()
        page.wait_for_function("n => window.events.filter(kind => kind == 'play').length > n", arg=number)
    before = page.evaluate("window.events.length")
    page.keyboard.press(" ")
    page.wait_for_function("n => window.events.length > n", arg=before)


@pytest.mark.parametrize(
    "opened",
    [
        {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
        for width in (390, 1400, 1920)
        for scheme in ("light", "dark")
    ],
    indirect=True,
    ids=lambda one: f"{one['viewport']['width']}-{one['color_scheme']}",
)
def test_it_fits_the_screen(opened, request):
    page = opened
    width = page.viewport_size["width"]
    page.get_by_role("button", name="all errors").click()
    page.locator(".sercore-rows [role=grid]").focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_function("() => document.querySelector('.sercore-player img').naturalWidth > 0")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"site-{request.node.callspec.id}.png", full_page=True)
