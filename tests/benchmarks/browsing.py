"""How fast the browsers answer: from click to repaint on 62,000 utterances and five models, in a kernel behind Voila.

    python -m tests.benchmarks.browsing                      3 minutes; needs Chromium
    python -m tests.benchmarks.browsing --utterances 13000

The study is made up. Prints the median and the worst of the first paint of the confusion browser and of the residual
browser, and of what a person does then; the status is 1 where the median of one of these takes more than 300 ms. A
figure is drawn where --figure names a file.
"""

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import nbformat
import numpy as np
import soundfile
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).parents[2]
UTTERANCES = 62_000
TIMES = 12
MOST = 300  # [ms] of an answer
PAINTS = ("first paint", "first paint of the residuals")
MOST_PAINT = 3000  # [ms]
TOKEN = "a-token-of-the-benchmark"
READY = "ready"  # a file that the notebook writes when it has run
CONFUSIONS, RESIDUALS = "speed.ipynb", "points.ipynb"
MADE = """
import sys; sys.path += {folders}
from pathlib import Path
import numpy as np
import test_widgets_confusions as made
from sercore.settings import FeatureSettings
from sercore.widgets import confusions, residuals, sound
predictions, utterances, best = made.large({utterances})
def frames(corpus, name, path):
    levels = np.random.default_rng(int(name[-5:])).normal(-40, 20, (301, 64))
    return sound.Spectrogram(levels, FeatureSettings())
def show(browse):
    browser = browse(predictions, utterances, best, lambda corpus, name: Path({tone!r}), Path("nowhere"), frames)
    Path({ready!r}).touch()
    return browser
"""
SHOW = {
    CONFUSIONS: "show(confusions.browse)",
    RESIDUALS: """
random = np.random.default_rng(1)
truth, error = random.uniform(1, 7, {utterances}), random.normal(size=len(predictions))
predictions = predictions.assign(section="multitask", target="arousal", truth=np.tile(truth, len(best)))
predictions, best = predictions.assign(prediction=predictions["truth"] + error), best.assign(target="arousal")
show(residuals.browse)
""",
}
TIMED = """async ([selector, place, watched]) => {
  const seen = () => document.querySelector(watched)?.outerHTML;
  const before = seen(), start = performance.now();
  ACT
  while (seen() == before && performance.now() - start < 20000) await new Promise(requestAnimationFrame);
  await new Promise(requestAnimationFrame);
  return performance.now() - start;
}"""
CLICKED = TIMED.replace("ACT", "document.querySelectorAll(selector)[place].click();")
CHOSEN = TIMED.replace(
    "ACT",
    "const list = document.querySelector(selector); list.selectedIndex = place;"
    "list.dispatchEvent(new Event('change', {bubbles: true}));",
)
TYPED = TIMED.replace(
    "ACT",
    "const field = document.querySelector(selector); field.value = place;"
    "field.dispatchEvent(new Event('input', {bubbles: true}));",
)
PICTURED = """async place => {
  const picture = () => document.querySelector(".sercore-player img");
  const before = picture()?.src, start = performance.now();
  const drawn = image => image && image.src != before && image.complete && image.naturalWidth && image.offsetParent;
  document.querySelectorAll(".sercore-rows .lines [role=row]")[place].click();
  while (!drawn(picture()) && performance.now() - start < 20000) await new Promise(requestAnimationFrame);
  await new Promise(requestAnimationFrame);
  return performance.now() - start;
}"""
LASSOED = """watched => {
  const seen = () => document.querySelector(watched)?.outerHTML, before = seen();
  window.took = new Promise(done => {
    const end = async event => {
      if (event.target.tagName != "CANVAS") return;
      removeEventListener("mouseup", end, true);
      const start = performance.now();
      while (seen() == before && performance.now() - start < 20000) await new Promise(requestAnimationFrame);
      await new Promise(requestAnimationFrame);
      done(performance.now() - start);
    };
    addEventListener("mouseup", end, true);
  });
}"""


def write_notebook(folder: Path, utterances: int, name: str = CONFUSIONS) -> Path:
    """A browser, `name` of SHOW, on made-up predictions; every utterance has the same sound of three seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    tone = np.sin(np.cumsum(np.linspace(0.02, 0.4, 48_000))) * np.hanning(48_000)
    soundfile.write(folder / "tone.wav", tone, 16_000)
    folders = [str(ROOT / "tests"), str(ROOT / "tests" / "widgets")]
    source = (MADE + SHOW[name]).format(
        folders=folders, utterances=utterances, tone=str(folder / "tone.wav"), ready=str(folder / READY)
    )
    (folder / READY).unlink(missing_ok=True)
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    path = folder / name
    nbformat.write(new_notebook(cells=[new_code_cell(source)], metadata={"kernelspec": kernel}), path)
    return path


def measure(page, address: str, times: int = TIMES) -> dict[str, list[float]]:
    """What is done in the confusion browser -> milliseconds of each time, in the Playwright `page` of a warm app."""
    took = {PAINTS[0]: [painted(page, address)]}
    cells, rows, heading = ".sercore-cell", ".sercore-rows .lines [role=row]", ".sercore-heading"
    search, found, label = ".sercore-rows .bar input", ".sercore-rows .found", ".sercore-rows [aria-label='{}']"

    def each(script: str, selector: str, places: Sequence[object], watched: str) -> list[float]:
        return [page.evaluate(script, [selector, place, watched]) for place in places]

    numbers = range(times)
    each(CLICKED, cells, [17 % 16], heading)  # the first is slower
    took["open a cell"] = each(CLICKED, cells, [(n + 2) % 16 for n in numbers], heading)
    took["open an utterance"] = each(CLICKED, rows, numbers, ".sercore-detail h4")
    took["see its log-mel"] = [page.evaluate(PICTURED, n) for n in numbers]
    sets = ".sercore-grid .set"
    took["list all errors"] = each(CLICKED, sets, [n % 2 for n in range(4)], heading)
    words = [f"{word} {other}" for word in ("long", "cold", "time") for other in ("night", "voice", "of", "the")]
    took["search"] = each(TYPED, search, [words[n % len(words)] for n in numbers], found)
    page.evaluate(TYPED, [search, "", found])
    took["filter numbers"] = each(TYPED, label.format("filter seconds"), [f">{2 + n / 10}" for n in numbers], found)
    page.evaluate(TYPED, [label.format("filter seconds"), "", found])
    took["open one of all errors"] = each(CLICKED, rows, numbers, ".sercore-detail h4")
    page.evaluate(CLICKED, [cells, 3, heading])
    model = f'[id="{page.get_by_label("model", exact=True).get_attribute("id")}"]'
    first = page.evaluate("model => document.querySelector(model).selectedIndex", model)
    took["switch the model"] = each(CHOSEN, model, [(first + 1 + n) % 5 for n in numbers], heading)
    return took


def measure_points(page, address: str, lasso: Callable[..., None], times: int = TIMES) -> dict[str, list[float]]:
    """As `measure`, of the residual browser; `lasso(page, edges)` draws one around a rectangle of pixels."""
    took: dict[str, list[float]] = {PAINTS[1]: [painted(page, address)], "lasso": []}
    drawn = page.locator(".sercore-points canvas").first
    drawn.scroll_into_view_if_needed()
    page.wait_for_timeout(2000)  # until the points are drawn
    box = drawn.bounding_box()
    for n in range(times):
        left, top = box["x"] + box["width"] * (0.2 + 0.04 * n), box["y"] + box["height"] * 0.4
        page.evaluate(LASSOED, ".sercore-heading")
        lasso(page, (left, top, left + box["width"] * 0.1, top + box["height"] * 0.2))
        took["lasso"].append(page.evaluate("window.took"))
    return took


def painted(page, address: str) -> float:
    """How long it takes from opening `address` until the browser is there [ms]."""
    start = time.perf_counter()
    page.goto(address)
    page.locator(".sercore-cell").first.wait_for(timeout=120_000)
    took = 1000 * (time.perf_counter() - start)
    page.wait_for_timeout(1000)
    return took


def slow(took: Mapping[str, Sequence[float]]) -> dict[str, int]:
    """What takes too long -> its median [ms]."""
    medians = {what: statistics.median(times) for what, times in took.items()}
    return {what: round(ms) for what, ms in medians.items() if ms > (MOST_PAINT if what in PAINTS else MOST)}


def table(took: Mapping[str, Sequence[float]]) -> str:
    """The median and the worst of each, in Markdown."""
    lines = ["| | median | worst |", "|---|---:|---:|"]
    for what, times in took.items():
        lines.append(f"| {what} | {statistics.median(times):,.0f} ms | {max(times):,.0f} ms |")
    return "\n".join(lines)


def draw(took: Mapping[str, Sequence[float]], utterances: int, path: Path) -> None:
    """A point each time, and the median of each, but for the first paint."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    from sercore.analysis import figures

    answers = {what: times for what, times in took.items() if what not in PAINTS}
    with plt.rc_context(figures.STYLE):
        figure, axis = plt.subplots(figsize=(9, 5), layout="constrained")
        sns.stripplot(data=answers, orient="h", ax=axis, size=8, alpha=0.6, color="#0072B2")
        medians = [statistics.median(times) for times in answers.values()]
        axis.plot(medians, range(len(answers)), "|", color="black", markersize=26, markeredgewidth=3, label="median")
        axis.axvline(MOST, color="#D55E00", linestyle="--", label=f"{MOST} ms")
        title = f"{utterances:,} utterances, 5 models, Chromium and Voila"
        axis.set(xlabel="click to repaint (ms)", title=title, xlim=(0, None))
        axis.legend()
        figure.savefig(path, dpi=120)
        plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 where something takes too long."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.browsing", description=__doc__)
    parser.add_argument("--utterances", type=int, default=UTTERANCES)
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args(arguments)
    chromium, took = shutil.which("chromium") or shutil.which("google-chrome"), {}
    sys.path.append(str(ROOT / "tests" / "browser"))
    import plots

    webgl = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]  # without a GPU
    for name, measured, flags in (
        (CONFUSIONS, measure, ["--disable-gpu"]),
        (RESIDUALS, partial(measure_points, lasso=plots.lasso), webgl),
    ):
        with served(name, args.utterances) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", *flags])
            took |= measured(browser.new_page(viewport={"width": 1500, "height": 1400}), address)
            browser.close()
    print(table(took))
    if args.figure:
        draw(took, args.utterances, args.figure)
    for what, ms in slow(took).items():
        print(f"too slow: {what}, {ms} ms")
    return bool(slow(took))


@contextmanager
def served(name: str, utterances: int) -> Iterator[str]:
    """The address of an app that serves the notebook `name` of SHOW, in which a kernel has run it."""
    with tempfile.TemporaryDirectory() as place, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        log = Path(place) / "log.txt"
        command = [sys.executable, "-m", "sercore", "browse", str(write_notebook(Path(place), utterances, name))]
        with log.open("w") as written:
            server = subprocess.Popen(
                [*command, "--port", str(port)],
                env={**os.environ, "JUPYTER_TOKEN": TOKEN},
                cwd=ROOT,
                stdout=written,
                stderr=written,
            )
        try:
            wait_until_warm(Path(place), log, server)
            yield f"http://127.0.0.1:{port}/?token={TOKEN}"
        finally:
            server.terminate()
            server.wait(30)


def wait_until_warm(folder: Path, log: Path, server: subprocess.Popen, seconds: float = 120) -> None:
    """Wait until a kernel has run the notebook in `folder`. Raises RuntimeError, with the log, where it does not."""
    end = time.monotonic() + seconds
    while not (folder / READY).exists():
        if server.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"the app does not start:\n{log.read_text()[-3000:]}")
        time.sleep(0.3)


if __name__ == "__main__":
    sys.exit(main())
