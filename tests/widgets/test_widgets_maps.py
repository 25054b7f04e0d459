"""The map without a browser: its rows are those of the predictions, and what cannot be had is said."""

from pathlib import Path

import made_up
import numpy as np
import pandas as pd
import pytest

from sercore import files
from sercore.analysis.embedded import Embedded, NotComputedError
from sercore.analysis.nothing import Nothing
from sercore.study import config
from sercore.widgets import maps

LATENT = ["latent_arousal", "latent_valence", "latent_dominance"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return config.load(made_up.write_study(folder, seeds=2, utterances=16))


@pytest.fixture(scope="module")
def utterances():
    tables = [made_up.made_up_corpus(name, 16).assign(corpus=name) for name in made_up.SCALES]
    return pd.concat(tables, ignore_index=True)


class Source:
    """Embeddings that are the latent ratings of the made-up corpora; `there` are the folders that have them."""

    def __init__(self, utterances, folder):
        self.latent = utterances.set_index("utterance")[LATENT]
        self.folder, self.there, self.asked, self.error = folder, set(), [], None

    def __call__(self, folder, compute, progress=None):
        self.asked.append((folder, compute))
        if self.error:
            raise self.error
        if folder not in self.there and not compute:
            raise NotComputedError("not there yet")
        if progress:
            progress(1, 2, "embeddings")
        self.there.add(folder)
        run = folder.parent
        table = files.read_table(run / files.PREDICTIONS)
        own = table[(table["test_corpus"] == table["train_corpus"]) & (table["partition"] == "test")]
        own = own[own["fold"] == folder.name.removeprefix(files.FOLD)]
        names = pd.Index(sorted(own["utterance"].unique()))
        place = self.folder / run.parent.name / run.name / folder.name
        place.mkdir(parents=True, exist_ok=True)
        return Embedded(names, self.latent.loc[names].to_numpy("float32"), place)


@pytest.fixture
def source(utterances, tmp_path):
    return Source(utterances, tmp_path / "cache")


def nowhere(_, name):
    return Path("nowhere") / name


@pytest.fixture
def browse(study, utterances, source, tmp_path):
    def _browse(outcome, runs=None):
        runs = study.section(outcome.section) if runs is None else runs
        return maps.browse(outcome.predictions, utterances, outcome.best, nowhere, tmp_path, runs, source)

    return _browse


@pytest.fixture
def browser(browse, categories):
    return browse(categories)


@pytest.fixture
def drawn(browser):
    browser.compute.click()
    return browser


def predictions_of(outcome, model, corpus, **keys):
    table = outcome.predictions
    table = table[(table["model"] == model) & (table["partition"] == "test")]
    table = table[(table["train_corpus"] == corpus) & (table["test_corpus"] == corpus)]
    for column, value in keys.items():
        table = table[table[column] == value]
    return table


def choose(browser, **values):
    for name, value in values.items():
        browser.controls.lists[name].value = value


def test_nothing_is_computed_before_it_is_asked_for(browser, source):
    assert source.asked
    assert not any(compute for _, compute in source.asked)
    assert "not there yet" in browser.about.value
    assert browser.points.layout.display == "none"
    assert browser.compute.layout.display is None


def test_the_points_are_the_models_test_utterances(drawn, categories):
    seed = drawn.state.selection.seed(drawn.controls.choice, "cnn14")
    expected = predictions_of(categories, "cnn14", "msp-podcast", seed=seed)
    assert sorted(drawn.rows["utterance"]) == sorted(expected["utterance"])
    assert drawn.points.layout.display is None
    assert drawn.compute.layout.display == "none"
    assert f"{len(expected)} utterances" in drawn.about.value
    held = drawn.state.embedded(drawn.controls.choice)
    one = drawn.rows.iloc[5]
    np.testing.assert_allclose(
        one[["across", "up"]].astype(float), held.plane()[held.utterances.get_loc(one["utterance"])]
    )


def test_embeddings_that_are_there_are_drawn_at_once(browse, categories, source):
    browse(categories).compute.click()
    source.asked.clear()
    assert len(browse(categories).rows)
    assert not any(compute for _, compute in source.asked)


def test_a_lasso_lists_its_points_and_a_click_opens_one(drawn):
    drawn.points.scatter.widget.selection = [9, 2]
    assert drawn.list.rows["utterance"].tolist() == drawn.rows["utterance"].iloc[[2, 9]].tolist()
    drawn.points.scatter.widget.selection = [4]
    assert drawn.list.opened["utterance"] == drawn.rows["utterance"].iloc[4]
    assert drawn.list.predictions.value.count("<tr") == 2 + 5  # the truth, four models and late fusion
    drawn.points.scatter.widget.selection = []
    assert drawn.list.rows.empty


def test_all_points_can_be_listed_without_a_mouse(drawn):
    drawn.everything.click()
    assert len(drawn.list.rows) == len(drawn.rows)
    assert f"all {len(drawn.rows)} points" in drawn.list.heading.value


def test_the_nearest_are_those_of_the_whole_embedding(drawn, utterances):
    drawn.similar.click()
    assert "Open an utterance first" in drawn.about.value
    drawn.points.scatter.widget.selection = [4]
    name = drawn.rows["utterance"].iloc[4]
    vectors = utterances.set_index("utterance")[LATENT].loc[drawn.rows["utterance"].astype(str)]
    lengths = np.linalg.norm(vectors, axis=1)
    cosines = (vectors @ vectors.loc[name] / lengths / np.linalg.norm(vectors.loc[name])).drop(name)
    expected = cosines.sort_values(ascending=False).head(10).index.tolist()
    drawn.similar.click()
    assert drawn.list.rows["utterance"].tolist() == expected
    marked = drawn.rows.iloc[drawn.points.chosen]["utterance"]
    assert sorted(marked) == sorted(expected)
    assert name in drawn.list.heading.value


def test_a_filter_leaves_points_out_and_the_nearest_are_among_the_rest(drawn):
    everyone = len(drawn.rows)
    choose(drawn, gender="female")
    assert set(drawn.rows["gender"]) == {"female"}
    assert 0 < len(drawn.rows) < everyone
    drawn.points.scatter.widget.selection = [0]
    drawn.similar.click()
    assert set(drawn.list.rows["gender"]) == {"female"}


@pytest.mark.parametrize("by", maps.COLOURS)
def test_categories_are_coloured_by_names(drawn, by):
    drawn.colour.value = by
    codes = drawn.points.scatter.widget.points[:, 2]
    expected = {
        "truth": drawn.rows["truth"],
        "prediction": drawn.rows["prediction"],
        "error": drawn.rows["truth"].astype(str) == drawn.rows["prediction"].astype(str),
        "speaker": drawn.rows["speaker"],
    }[by]
    assert len(set(zip(codes, expected, strict=True))) == len(set(codes)) == expected.nunique() > 1
    assert drawn.points.legend.value.count("●") >= expected.nunique()


def test_a_speaker_who_is_not_known_has_a_colour():
    rows = pd.DataFrame({"speaker": ["a", None]})
    assert "unknown" in maps.colours(rows, "speaker", ["x"]).legend


@pytest.mark.parametrize("by", ["truth", "prediction", "error"])
def test_ratings_are_coloured_on_a_scale(browse, multitask, by):
    browser = browse(multitask)
    browser.compute.click()
    browser.colour.value = by
    low, high = browser.points.scatter.widget.color_domain
    if by == "error":
        assert -low == high == round(browser.rows["error"].abs().max(), 1)
        np.testing.assert_allclose(browser.rows["error"], browser.rows["prediction"] - browser.rows["truth"])
    else:
        assert low <= browser.rows[by].min() < browser.rows[by].max() <= high
    browser.points.scatter.widget.selection = [0]
    assert f"{browser.list.opened['truth']:.2f}" in browser.list.predictions.value


def test_models_of_one_dimension_each_are_found_by_it(browse, dimensions, source):
    browser = browse(dimensions)
    choose(browser, target="valence")
    assert "target=valence" in str(source.asked[-1][0])


def test_each_fold_has_a_map_of_its_own(browser, source):
    choose(browser, train_corpus="iemocap")
    browser.compute.click()
    first, second = made_up.FOLDS
    assert set(browser.rows["fold"]) == {first}
    assert f"fold {first}" in browser.about.value
    choose(browser, fold=second)
    assert browser.compute.layout.display is None
    browser.compute.click()
    assert set(browser.rows["fold"]) == {second}
    assert len({folder for folder, _ in source.asked if "iemocap" in str(folder)}) == 2


def test_late_fusion_has_no_network(browser):
    choose(browser, model="lf")
    assert "has no network of its own" in browser.about.value
    assert browser.compute.layout.display == "none"


def test_a_run_that_the_study_does_not_have_is_said(browse, categories):
    assert "0 runs of the study trained" in browse(categories, runs=()).about.value


@pytest.mark.parametrize("error", [FileNotFoundError("run has lost its networks"), ValueError("another corpus")])
def test_what_stands_in_the_way_is_said_and_another_model_can_be_chosen(drawn, source, error):
    source.error = error
    choose(drawn, model="bert")
    assert error.args[0] in drawn.about.value
    assert "sercore-problem" in drawn.about.value
    assert drawn.rows.empty
    assert drawn.points.layout.display == drawn.similar.layout.display == "none"
    source.error = None
    choose(drawn, model="cnn14")
    assert len(drawn.rows)


def test_an_error_while_computing_is_said(browser, source):
    source.error = FileNotFoundError("no audio here")
    browser.compute.click()
    assert "no audio here" in browser.about.value
    assert not browser.compute.disabled


def test_a_study_across_corpora_alone_has_no_map(categories, utterances):
    across = categories.predictions[
        categories.predictions["train_corpus"].astype(str) != categories.predictions["test_corpus"].astype(str)
    ]
    nothing = maps.browse(across, utterances, categories.best, None, Path(), (), None)
    assert isinstance(nothing, Nothing)
    assert "within a corpus" in str(nothing)
