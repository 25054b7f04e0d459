"""Names and words of a corpus are text in the browsers and in the report, never markup."""

from html.parser import HTMLParser

import ipywidgets
import odd_studies
import pandas as pd
import pytest

from sercore import files
from sercore.analysis import report, results
from sercore.analysis.markup import markup
from sercore.study import config
from sercore.widgets import confusions, residuals, runs

EVIL = ("<script>alert(1)</script>", "<b>", "'\"><img src=x onerror=alert(1)>", "{0.__class__}", "&amp;")
OURS = {"p", "b", "i", "h4", "div", "span", "br", "pre", "code", "img", "style", "table", "thead", "tbody", "tr", "th"}
OURS |= {"td"}


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.words = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)


def pages(widget, seen=None):
    """The HTML of `widget` and of all that it holds."""
    seen = set() if seen is None else seen
    if id(widget) in seen:
        return
    seen.add(id(widget))
    if isinstance(widget, ipywidgets.HTML):
        yield widget.value
    for child in getattr(widget, "children", ()):
        yield from pages(child, seen)


def check(widget):
    texts = list(pages(widget))
    tags = [tag for text in texts for tag in Tags(text).found]
    assert {name for name, _ in tags} <= OURS
    assert not [attributes for _, attributes in tags if "onerror" in attributes]
    return "".join(word for text in texts for word in Tags(text).words)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Classes and speakers of evil names, without the corpus's files: no disk holds them."""
    shape = odd_studies.Shape(classes=EVIL, speakers=EVIL, utterances=6, models=("bert", "cnn14"), seeds=1)
    return config.load(odd_studies.write_study(tmp_path_factory.mktemp("study"), shape, with_audio=False))


@pytest.fixture(scope="module")
def utterances(study):
    rows = pd.read_csv(study.folder.parent.parent / "mine" / "utterances.csv", keep_default_na=False)
    return rows.assign(corpus="mine", transcript=EVIL[0], seconds=1.0, low=1, high=5, dialog=None)


def nowhere(*_):
    raise KeyError(f"no audio of {EVIL[2]}")


def test_of_the_confusion_browser(study, utterances, tmp_path):
    found = results.read(study, "categories")
    browser = confusions.browse(found.predictions, utterances, found.best, nowhere, tmp_path)
    browser.controls.lists["other"].value = "bert"
    for speaker in EVIL:
        browser.controls.lists["speaker"].value = speaker
    for truth in EVIL:
        browser.one.grid.choose([(truth, truth)])
        if len(browser.list.rows):
            browser.list.open_row(0)
            words = check(browser)
            assert all(word in words for word in (truth, EVIL[0], EVIL[2]))
    browser.list.toggle_mark()
    browser.list.write()
    check(browser)


def test_of_the_residual_browser(study, utterances, tmp_path):
    found = results.read(study, "multitask")
    browser = residuals.browse(found.predictions, utterances, found.best, nowhere, tmp_path)
    browser.controls.lists["speaker"].value = EVIL[1]
    counts = browser.state.counts(browser.controls.choice, browser.controls.choice.model)
    browser.grid.choose([counts.stack().idxmax()])
    browser.list.open_row(0)
    assert EVIL[1] in check(browser)


def test_of_the_run_browser(study):
    table, epochs = runs.read(study)
    table = table.assign(state="failed", cause=EVIL[2])
    browser = runs.browse(table, epochs)
    check(browser)
    assert EVIL[2] in set(browser.listed.df["cause"]), "which the page shows as text, see test_browser_table"


def test_of_the_report(study, monkeypatch):
    monkeypatch.setattr(report, "MAKERS", {"table_1": report.MAKERS["table_1"]})
    (study.folder / "tables").mkdir(exist_ok=True)
    files.write_text(study.folder / "tables" / "own<b>.md", EVIL[0])
    page = Tags(report.page(study))
    assert not [tag for tag, attributes in page.found if tag == "script" or "onerror" in attributes]
    assert EVIL[0] in page.words


def test_what_is_markup_stays_markup():
    assert markup("<p>{}</p>{}", markup("<b>{}</b>", "<"), "<") == "<p><b>&lt;</b></p>&lt;"
