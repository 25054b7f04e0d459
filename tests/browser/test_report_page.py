"""The report in Chromium without a network: every picture shows, nothing is requested, phone and desk fit."""

from pathlib import Path

import pytest
from conftest import PICTURES

from sercore.analysis import report

pytestmark = pytest.mark.browser
PHONE, DESK = 390, 1280  # [px]


@pytest.fixture(scope="module")
def written(study, tmp_path_factory):
    page, _ = report.write(study, tmp_path_factory.mktemp("report") / "report.html")
    return page


@pytest.fixture(params=[PHONE, DESK])
def opened(request, chromium, written):
    """The report at a width, and every address that it requested, which is refused."""
    context = chromium.new_context(viewport={"width": request.param, "height": 850}, offline=True)
    requested, shown = [], context.new_page()
    context.route("http*://**/*", lambda route: (requested.append(route.request.url), route.abort()))
    shown.on("request", lambda request: requested.append(request.url))
    shown.goto(written.as_uri())
    yield shown, requested, request.param
    context.close()


def test_the_report_requests_nothing_and_no_picture_is_broken(opened, written):
    page, requested, width = opened
    page.locator("footer").scroll_into_view_if_needed()
    assert [url for url in requested if not url.startswith("data:")] == [written.as_uri()]
    sizes = page.eval_on_selector_all("img", "images => images.map(image => image.naturalWidth)")
    assert len(sizes) >= 5
    assert min(sizes) > 0
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=PICTURES / f"report-{width}-top.png")
    page.locator("#table_1").scroll_into_view_if_needed()
    page.screenshot(path=PICTURES / f"report-{width}-table.png")


def test_the_page_is_as_wide_as_the_screen_and_tables_scroll_inside_themselves(opened):
    page, _, width = opened
    assert page.evaluate("document.documentElement.scrollWidth") == width
    inside = page.eval_on_selector_all(".scroll", "boxes => boxes.map(box => box.scrollWidth - box.clientWidth)")
    assert max(inside) > 0 or width == DESK
    outside = page.eval_on_selector_all("img, .scroll", "all => all.map(one => one.getBoundingClientRect().right)")
    assert max(outside) <= width


def test_the_contents_lead_to_the_chapters(opened):
    page, _, _ = opened
    for link in page.locator("nav a").all():
        link.click()
        chapter = page.locator(page.evaluate("location.hash"))
        assert chapter.evaluate("heading => heading.tagName") == "H2"


def test_a_pdf_of_the_report_has_its_tables_and_figures_on_pages(chromium, written):
    page = chromium.new_page()
    page.goto(written.as_uri())
    PICTURES.mkdir(parents=True, exist_ok=True)
    path = Path(PICTURES / "report.pdf")
    page.pdf(path=path, prefer_css_page_size=True, print_background=True)
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 688, "height": 1000})  # what an A4 page leaves between its margins
    assert page.evaluate("document.documentElement.scrollWidth") <= 688 * 1.3  # Chromium shrinks that much to fit
    assert path.read_bytes().startswith(b"%PDF")
    page.close()
