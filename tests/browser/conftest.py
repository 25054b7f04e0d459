"""Chromium without a window, a JupyterLab and a Voila server, and the notebooks of notebooks/browse on a real study.

SERCORE_STUDY names another parameters file than the embedded study's. Pictures of every page go to outputs/browser.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from playwright.sync_api import sync_playwright

from sercore.analysis import corpus_statistics, results
from sercore.study import config

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "outputs" / "browser"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",  # WebGL without a GPU
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]
TOKEN = "a-token-of-the-tests"
ROWS = """n => {
  const told = document.querySelector(".sercore-rows .found")?.textContent.trim();
  const drawn = document.querySelectorAll(".sercore-rows .lines [role=row]").length;  // few at first
  return told?.startsWith((n ? n.toLocaleString("en") : "no") + " utterances") && drawn >= Math.min(n, 9);
}"""
SOUND_AND_PICTURE = """() => {
  const [sound, picture] = ["audio", "img"].map(name => document.querySelector(".sercore-player " + name));
  return sound && sound.duration > 0 && picture && picture.naturalWidth > 0;
}"""
COLUMN = """name => {
  const titles = [...document.querySelectorAll(".sercore-rows .title")].map(title => title.textContent);
  const rows = [...document.querySelectorAll(".sercore-rows .lines [role=row]")];
  return rows.map(row => row.children[titles.indexOf(name)].innerText);
}"""


def row(page, utterance):
    """The row of `utterance`, which is drawn."""
    return page.locator(".sercore-rows .lines [role=row]", has=page.get_by_text(utterance, exact=True))


def export_marked(page, root):
    """Mark what is selected, export it, and return the table and its path."""
    page.locator(".sercore-marking button", has_text="mark").first.click()
    page.get_by_role("button", name="export marked").and_(page.locator(":enabled")).click()
    written = page.locator(".sercore-marking code")
    written.wait_for()
    path = root / written.inner_text()
    return pd.read_csv(path), path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_up(url, process, log, seconds=120):
    """Wait until `url` answers."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    raise RuntimeError(f"{url} does not answer:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="module", params=["voila", "lab"])
def where(request):
    """Where a notebook is opened."""
    return request.param


@pytest.fixture(scope="session")
def study():
    """The study that is browsed: SERCORE_STUDY, else demo, else smoke."""
    named = os.environ.get("SERCORE_STUDY")
    for path in [named] if named else ["parameters/demo.yaml", "parameters/smoke.yaml"]:
        found = config.load(path)
        if all(run.complete for name in ("categories", "multitask") for run in found.section(name)):
            return found
    pytest.skip("no study has been run: `make study` or `make smoke` first")


@pytest.fixture(scope="session")
def categories(study):
    return results.read(study, "categories")


@pytest.fixture(scope="session")
def multitask(study):
    return results.read(study, "multitask")


@pytest.fixture(scope="session")
def held(study):
    return {corpus.name: corpus for corpus in corpus_statistics.read(study)}


@pytest.fixture(scope="session")
def notebooks(study):
    """A folder below the project with notebooks that are given the study, or a run of it."""
    folder = PICTURES / "notebooks"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    fused = next(run for run in study.section("multitask") if run.parameters["model"] == "mfcnn14" and run.complete)
    of_study, of_run = {"study": str(study.path.relative_to(ROOT))}, {"run": str(fused.folder.relative_to(ROOT))}
    browsers = [(f"browse/{name}", of_study) for name in ("confusions", "residuals", "map", "corpus", "runs")]
    for path, given in (*browsers, ("predict", of_run)):
        notebook = load_notebook_node(str(ROOT / "notebooks" / f"{path}.ipynb"))
        nbformat.write(parameterize_notebook(notebook, given), folder / f"{Path(path).name}.ipynb")
    return folder


@pytest.fixture(scope="session")
def serve(tmp_path_factory):
    """Start a Jupyter program with settings of its own; it is ended with the session."""
    started = []

    def _serve(program, *options, url, **variables):
        home = tmp_path_factory.mktemp("jupyter")
        places = ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_WORKSPACES_DIR", "JUPYTERLAB_SETTINGS_DIR")
        environment = {**os.environ, **{name: str(home / name.lower()) for name in places}, "OMP_NUM_THREADS": "1"}
        environment |= {"JUPYTER_TOKEN": TOKEN, **variables}
        quiet = home / "jupyterlab_settings_dir" / "@jupyterlab" / "apputils-extension"
        quiet.mkdir(parents=True)
        (quiet / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
        log = home / "log.txt"
        with log.open("w") as written:
            process = subprocess.Popen(
                [str(Path(sys.executable).with_name(program)), *options],
                cwd=ROOT,
                env=environment,
                stdout=written,
                stderr=subprocess.STDOUT,
            )
        started.append(process)
        wait_until_up(url, process, log)

    yield _serve
    for process in started:
        process.terminate()
    for process in started:
        process.wait(30)


def serve_voila(serve, folder, **variables):
    """Address of a web app on the notebooks in `folder`, or on one notebook."""
    port = free_port()
    serve("sercore", "browse", str(folder), f"--port={port}", url=f"http://127.0.0.1:{port}/", **variables)
    return f"http://127.0.0.1:{port}"


def rendered(voila, name):
    """Address of a notebook in a Voila server."""
    return f"{voila}/voila/render/{name}.ipynb?token={TOKEN}"


@pytest.fixture(scope="session")
def lab(serve, notebooks):
    """Address of a JupyterLab on the notebooks."""
    port = free_port()
    serve(
        "jupyter-lab",
        "--no-browser",
        "--allow-root",
        f"--port={port}",
        f"--ServerApp.root_dir={notebooks}",
        url=f"http://127.0.0.1:{port}/api?token={TOKEN}",
    )
    return f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
def voila(serve, notebooks):
    """Address of a Voila server on the notebooks."""
    return serve_voila(serve, notebooks)


@pytest.fixture(scope="session")
def chromium():
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    """An empty page; `elsewhere` lists what it requests from other hosts."""
    context = chromium.new_context(viewport={"width": 1500, "height": 2100})
    opened = context.new_page()
    opened.set_default_timeout(90_000)
    opened.elsewhere = []
    opened.on(
        "request",
        lambda request: (
            opened.elsewhere.append(request.url)
            if request.url.startswith("http") and "//127.0.0.1:" not in request.url
            else None
        ),
    )
    yield opened
    context.close()


@pytest.fixture
def open_in_voila(page, voila):
    def _open(name):
        page.goto(rendered(voila, name))
        page.locator(".sercore-rows").first.wait_for(state="attached", timeout=180_000)
        return page

    return _open


@pytest.fixture
def open_in_lab(page, lab):
    """Open a notebook in JupyterLab and run all of it from the menu."""

    def _open(name):
        page.goto(f"{lab}/lab/tree/{name}.ipynb?token={TOKEN}&reset")
        page.locator(".jp-Notebook").wait_for()
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        end = time.monotonic() + 180
        while not page.locator(".sercore-rows").count() and time.monotonic() < end:
            page.locator(".jp-WindowedPanel-outer").evaluate("panel => panel.scrollTo(0, panel.scrollHeight)")
            page.wait_for_timeout(500)  # a cell outside the window is not on the page
        page.locator(".sercore-rows").first.wait_for(state="attached", timeout=10_000)
        return page

    return _open
