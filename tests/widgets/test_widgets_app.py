"""All browsers on one page: which studies are there, and what each tab has of one of them."""

from pathlib import Path

import made_up
import pytest

from sercore.study import config
from sercore.widgets import app

TABS = list(app.TABS)
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.fixture(scope="module")
def project(tmp_path_factory, embedded):
    """A project with a made-up study of the small embedded corpora, one that has not been run, and a broken file."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "notebooks").symlink_to(NOTEBOOKS)
    (folder / "parameters").mkdir()
    path = made_up.write_study(folder, seeds=1, sections=("categories", "multitask"), utterances=16)
    content = path.read_text(encoding="utf-8")
    for name in embedded:
        content = content.replace(f"nowhere/{name}", embedded[name]["root"])
    path.unlink()
    (folder / "parameters" / "made.yaml").write_text(content, encoding="utf-8")
    other = content.replace("study: made-up", "study: later")
    (folder / "parameters" / "later.yaml").write_text(other, encoding="utf-8")
    (folder / "parameters" / "broken.yaml").write_text("study: [", encoding="utf-8")
    return folder


def no_model(folder):
    raise ValueError(f"no <model> in {folder.name}")


def no_embeddings(_corpora, _cache):
    def find(*_, **__):
        raise ValueError("no embeddings here")

    return find


@pytest.fixture
def shown(project, monkeypatch):
    monkeypatch.chdir(project)
    return app.browse([], no_model, no_embeddings)


def test_the_studies_that_have_outputs_are_listed(shown):
    assert shown.table.df.to_numpy().tolist() == [["made-up", "parameters/made.yaml", "12 of 30", "simulated"]]
    assert shown.table.selected_rows == [0]
    assert shown.nothing.value == ""


def test_named_parameters_files_are_listed_also_without_outputs(project, monkeypatch):
    monkeypatch.chdir(project)
    later = app.browse(["parameters/later.yaml"], no_model, no_embeddings)
    assert later.table.df["finished runs"].tolist() == ["0 of 30"]
    assert later.table.df["speech"].tolist() == [""]
    assert "make them with" in text(later, "confusions")
    shown = text(later, "prediction")
    assert "the study has no trained model" in shown


def test_without_a_study_the_page_says_how_to_run_one(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "parameters").mkdir()
    monkeypatch.chdir(tmp_path)
    empty = app.browse([], no_model, no_embeddings)
    assert "make smoke" in empty.nothing.value
    assert empty.tabs.layout.display == "none"
    assert empty.opened is None


def content(shown, tab):
    """What the tab holds, once it is shown."""
    shown.show(tab)
    return shown.tabs.children[TABS.index(tab)].children


def text(shown, tab):
    return content(shown, tab)[0].value


def test_a_tab_is_built_when_it_is_shown_and_only_once(shown):
    filled = [bool(box.children) for box in shown.tabs.children]
    assert filled == [True, *[False] * (len(TABS) - 1)]
    before = content(shown, "confusions")[0]
    for tab, kind in (
        ("residuals", "ResidualBrowser"),
        ("map", "MapBrowser"),
        ("corpus", "CorpusBrowser"),
        ("confusions", "ConfusionBrowser"),
    ):
        assert type(content(shown, tab)[0]).__name__ == kind, content(shown, tab)[0].value
        assert "<details>" in content(shown, tab)[1].value
    assert content(shown, "confusions")[0] is before


def test_runs_are_of_the_section_that_is_chosen(shown):
    section, browser = content(shown, "runs")[0].children
    assert section.options == ("categories", "dimensions", "multitask")
    section.value = "multitask"
    assert browser.children[0].count.value == "4 runs: 4 done"


def test_a_model_that_cannot_be_loaded_is_said(shown):
    chosen, output = content(shown, "prediction")[0].children
    chosen.value = chosen.options[1][1]
    assert "no &lt;model&gt; in model=bert" in output.outputs[0]["data"]["text/html"]
    chosen.value = None
    assert output.outputs == ()


def test_reading_again_finds_new_studies_and_stays_with_the_open_one(shown, project):
    study = config.load(project / "parameters" / "later.yaml")
    study.folder.mkdir()
    shown.refresh.click()
    study.folder.rmdir()
    assert shown.table.df["study"].tolist() == ["later", "made-up"]
    assert shown.opened.study.name == "made-up"
    shown.table.selected_rows = [0]
    assert shown.opened.study.name == "later"
    assert "make them with" in text(shown, "confusions")
