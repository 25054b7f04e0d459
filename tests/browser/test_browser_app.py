"""All browsers on one page, as `make browse` serves it: the studies, the tabs, narrow and wide, light and dark."""

import time
from itertools import pairwise

import made_up
import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import PICTURES, ROOT, TOKEN, serve_voila
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from sercore.study import config
from sercore.widgets import app as browsers

pytestmark = pytest.mark.browser
PHONE, DESK, WIDE = 390, 1400, 1920  # [px]
LABELS = """() => [...document.querySelectorAll(".sercore-points .x-axis .tick text")]
  .map(text => text.getBoundingClientRect()).filter(box => box.width).map(box => [box.left, box.right])"""
SERIOUS = ("serious", "critical")
SECONDS_TO_PAINT = 3.0


@pytest.fixture(scope="module")
def shown_study(embedded, tmp_path_factory):
    """A made-up study of the small embedded corpora."""
    path = made_up.write_study(tmp_path_factory.mktemp("app"), seeds=1, utterances=16)
    content = path.read_text(encoding="utf-8")
    for name in embedded:
        content = content.replace(f"nowhere/{name}", embedded[name]["root"])
    path.write_text(content, encoding="utf-8")
    return config.load(path)


@pytest.fixture(scope="module")
def address(serve, shown_study):
    """The address of the app on that study."""
    folder = PICTURES / "app"
    folder.mkdir(parents=True, exist_ok=True)
    notebook = load_notebook_node(str(ROOT / "notebooks" / "browse" / "browse.ipynb"))
    page = folder / "browse.ipynb"
    nbformat.write(parameterize_notebook(notebook, {"studies": [str(shown_study.path)]}), page)
    return f"{serve_voila(serve, page)}/?token={TOKEN}"


@pytest.fixture
def opened(page, address):
    page.goto(address)
    page.locator(".sercore-cell").first.wait_for()
    return page


def tab(page, name):
    """Open the tab of this name."""
    page.get_by_role("tab", name=name, exact=True).click()


def test_the_studies_are_listed_and_the_first_one_is_open(opened, shown_study):
    page = opened
    done = f"{len(shown_study.runs)} of {len(shown_study.runs)}"
    cells = page.locator(".sercore-studies .lines [role=row]").first.locator("[role=gridcell]").all_inner_texts()
    assert cells == [shown_study.name, str(shown_study.path), done, "simulated"]
    assert page.get_by_role("tab").all_inner_texts() == list(browsers.TABS)
    assert page.locator(".sercore-cell").count() == 16
    assert page.elsewhere == []


def test_a_tab_is_built_when_it_is_first_shown(opened):
    page = opened
    for name, sign in (
        ("residuals", ".sercore-grid.low .sercore-cell"),
        ("map", "text=coloured by"),
        ("runs", 'img[alt^="Learning curves of"]'),
        ("corpus", 'img[alt^="emotions of"]'),
        ("prediction", ".sercore-wide select"),
        ("confusions", ".sercore-grid"),
    ):
        if name != "confusions":
            assert page.locator(sign).locator("visible=true").count() == 0
        tab(page, name)
        page.locator(sign).locator("visible=true").first.wait_for(state="visible")
    assert page.elsewhere == []


def test_the_page_is_there_within_three_seconds(chromium, address):
    took = []
    for _ in range(3):
        context = chromium.new_context()
        page = context.new_page()
        time.sleep(15)  # for the next kernel
        start = time.monotonic()
        page.goto(address)
        page.locator(".sercore-cell").first.wait_for()
        took.append(time.monotonic() - start)
        context.close()
    assert min(took) < SECONDS_TO_PAINT, took  # the others when the machine is busy


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK, WIDE])
def test_every_tab_fits_is_readable_and_has_labels(chromium, address, width, scheme):
    context = chromium.new_context(viewport={"width": width, "height": 1100}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.goto(address)
    page.locator(".sercore-cell").first.wait_for()
    found = {}
    for name in browsers.TABS:
        tab(page, name)
        page.get_by_text("reading").locator("visible=true").first.wait_for(state="detached")
        page.wait_for_timeout(800)
        if name in ("confusions", "residuals"):
            page.locator(".sercore-cell").locator("visible=true").nth(2).click()
            page.locator(".sercore-rows").locator("visible=true").first.wait_for()
            page.wait_for_timeout(500)
        if name == "residuals":
            labels = page.evaluate(LABELS)
            assert len(labels) > 2
            assert all(left > before for (_, before), (left, _) in pairwise(labels)), "labels of the axis overlap"
        if name == "confusions":
            page.get_by_role("button", name="all errors").click()
            page.locator(".sercore-rows [role=grid]").first.focus()
            page.keyboard.press("ArrowDown")
            predictions = page.locator(".sercore-predictions").first
            predictions.wait_for()
            place, around = predictions.bounding_box(), page.locator(".sercore-detail").first.bounding_box()
            assert place["x"] + place["width"] <= around["x"] + around["width"], "no class is cut off"
        page.screenshot(path=PICTURES / f"app-{name}-{width}-{scheme}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        for violation in Axe().run(page).response["violations"]:
            if violation["impact"] in SERIOUS:
                found[name, violation["id"]] = [node["html"][:300] for node in violation["nodes"]]
    context.close()
    assert found == {}
