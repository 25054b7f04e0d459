"""From click to repaint on 62,000 utterances and five models, in a kernel behind Voila; drawn into outputs/browser."""

import plots
import pytest
from benchmarks import browsing
from conftest import PICTURES, TOKEN, serve_voila

from sercore import files

pytestmark = pytest.mark.browser


@pytest.fixture
def address(serve, request):
    notebook = browsing.write_notebook(PICTURES / "speed", browsing.UTTERANCES, request.param)
    return f"{serve_voila(serve, notebook)}/?token={TOKEN}"


@pytest.mark.parametrize("address", [browsing.CONFUSIONS], indirect=True)
def test_a_click_is_repainted_in_under_300_ms(page, address):
    page.wait_for_timeout(20_000)  # until a kernel has run the notebook
    took = browsing.measure(page, address)
    browsing.draw(took, browsing.UTTERANCES, PICTURES / "click_to_repaint.png")
    files.write_json(PICTURES / "click_to_repaint.json", took)
    page.screenshot(path=PICTURES / "speed.png")
    assert browsing.slow(took) == {}


@pytest.mark.parametrize("address", [browsing.RESIDUALS], indirect=True)
def test_a_lasso_is_listed_in_under_300_ms(page, address):
    page.wait_for_timeout(20_000)
    took = browsing.measure_points(page, address, plots.lasso)
    page.screenshot(path=PICTURES / "speed-lasso.png")
    assert browsing.slow(took) == {}
