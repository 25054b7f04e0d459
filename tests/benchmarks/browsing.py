"""How fast the browsers answer: from click to repaint on 62,000 utterances and five models, in a kernel behind Voila.

    python -m tests.benchmarks.browsing                      3 minutes; needs Chromium
    python -m tests.benchmarks.browsing --utterances 13000

The study is made up. Prints the median and the worst of the first paint, and of what a person does then; the status is
1 where one of these takes more than 300 ms. A figure is drawn where --figure names a file.
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
from collections.abc import Mapping, Sequence
from pathlib import Path

import nbformat
import numpy as np
import soundfile
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).parents[2]
UTTERANCES = 62_000
TIMES = 12
MOST = 300  # [ms] of an answer
PAINT = "first paint"
MOST_PAINT = 3000  # [ms]
TOKEN = "a-token-of-the-benchmark"
READY = "ready"  # a file that the notebook writes when it has run
SHOW = """
import sys; sys.path += {folders}
from pathlib import Path
import numpy as np
import test_widgets_confusions as made
from sercore.settings import FeatureSettings
from sercore.widgets import confusions, sound
predictions, utterances, best = made.large({utterances})
def frames(corpus, name, path):
    levels = np.random.default_rng(int(name[-5:])).normal(-40, 20, (301, 64))
    return sound.Spectrogram(levels, FeatureSettings())
browser = confusions.browse(predictions, utterances, best, lambda corpus, name: Path({tone!r}), Path("nowhere"), frames)
Path({ready!r}).touch()
browser
"""
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


def write_notebook(folder: Path, utterances: int) -> Path:
    """The confusion browser on made-up predictions; every utterance has the same sound of three seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    tone = np.sin(np.cumsum(np.linspace(0.02, 0.4, 48_000))) * np.hanning(48_000)
    soundfile.write(folder / "tone.wav", tone, 16_000)
    folders = [str(ROOT / "tests"), str(ROOT / "tests" / "widgets")]
    source = SHOW.format(
        folders=folders, utterances=utterances, tone=str(folder / "tone.wav"), ready=str(folder / READY)
    )
    (folder / READY).unlink(missing_ok=True)
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    path = folder / "speed.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(source)], metadata={"kernelspec": kernel}), path)
    return path


def measure(page, address: str, times: int = TIMES) -> dict[str, list[float]]:
    """What is done -> milliseconds of each time, in the Playwright `page` of an app whose kernel waits."""
    start = time.perf_counter()
    page.goto(address)
    page.locator(".sercore-cell").first.wait_for(timeout=120_000)
    took = {PAINT: [1000 * (time.perf_counter() - start)]}
    page.wait_for_timeout(1000)
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


def slow(took: Mapping[str, Sequence[float]]) -> dict[str, int]:
    """What takes too long -> its median [ms]."""
    medians = {what: statistics.median(times) for what, times in took.items()}
    return {what: round(ms) for what, ms in medians.items() if ms > (MOST_PAINT if what == PAINT else MOST)}


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

    answers = {what: times for what, times in took.items() if what != PAINT}
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
    with tempfile.TemporaryDirectory() as place, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        log = Path(place) / "log.txt"
        command = [sys.executable, "-m", "sercore", "browse", str(write_notebook(Path(place), args.utterances))]
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
            with sync_playwright() as playwright:
                chromium = shutil.which("chromium") or shutil.which("google-chrome")
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
                page = browser.new_page(viewport={"width": 1500, "height": 1400})
                took = measure(page, f"http://127.0.0.1:{port}/?token={TOKEN}")
                browser.close()
        finally:
            server.terminate()
            server.wait(30)
    print(table(took))
    if args.figure:
        draw(took, args.utterances, args.figure)
    for what, ms in slow(took).items():
        print(f"too slow: {what}, {ms} ms")
    return bool(slow(took))


def wait_until_warm(folder: Path, log: Path, server: subprocess.Popen, seconds: float = 120) -> None:
    """Wait until a kernel has run the notebook in `folder`. Raises RuntimeError, with the log, where it does not."""
    end = time.monotonic() + seconds
    while not (folder / READY).exists():
        if server.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"the app does not start:\n{log.read_text()[-3000:]}")
        time.sleep(0.3)


if __name__ == "__main__":
    sys.exit(main())
