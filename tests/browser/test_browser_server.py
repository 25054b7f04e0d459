"""The web app of the browsers: whom it answers, and what a page does not show."""

import json
import sys
import urllib.error
import urllib.request

import nbformat
import pytest
from conftest import rendered, serve_voila
from nbformat.v4 import new_code_cell, new_notebook

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def app(serve, tmp_path_factory):
    """A server on one notebook, of a user who has another kernel called python3."""
    folder = tmp_path_factory.mktemp("served")
    cells = [new_code_cell("import sys\nprint(sys.executable)"), new_code_cell("raise ValueError('not shown')")]
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / "page.ipynb")
    foreign = folder / "kernels" / "python3"
    foreign.mkdir(parents=True)
    content = {"argv": ["/nowhere/python", "-f", "{connection_file}"], "display_name": "x", "language": "python"}
    (foreign / "kernel.json").write_text(json.dumps(content))
    return serve_voila(serve, folder, JUPYTER_PATH=str(folder))


def get(url, **headers):
    """Status, address and content of the page at `url`."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
            return answer.status, answer.url, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, url, error.read().decode()


@pytest.mark.parametrize("path", ["", "voila/render/page.ipynb", "?token=wrong"])
def test_without_the_token_a_page_is_a_login(app, path):
    _, url, content = get(f"{app}/{path}")
    assert url.startswith(f"{app}/login")
    assert sys.executable not in content


@pytest.mark.parametrize("path", ["voila/api/contents/", "api/kernels/0-0-0-0-0", "api/kernels/0-0-0-0-0/channels"])
def test_without_the_token_nothing_else_is_given(app, path):
    assert get(f"{app}/{path}")[0] == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8866", "192.0.2.1"])
def test_an_address_that_is_not_this_machine_s_is_refused(app, host):
    assert get(rendered(app, "page"), Host=host)[0] == 403


def test_a_page_is_computed_by_this_python_and_shows_no_traceback(app):
    status, _, content = get(rendered(app, "page"))
    assert status == 200
    assert sys.executable in content
    assert "not shown" not in content
