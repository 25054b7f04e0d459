"""The residual browser without a browser: bins, lines and utterances are those of the predictions."""

from pathlib import Path

import made_up
import numpy as np
import pandas as pd
import pytest

from sercore import schema
from sercore.analysis import residuals
from sercore.registry import MODELS
from sercore.study import config
from sercore.widgets import residuals as browser_of
from sercore.widgets.residuals import Residuals, describe_bin
from sercore.widgets.selection import bin_of

PAPER_MODELS = [name for name, model in MODELS.items() if model.in_paper]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return config.load(made_up.write_study(folder, seeds=2, sections=("multitask", "dimensions"), utterances=16))


@pytest.fixture(scope="module")
def state(multitask):
    return Residuals(multitask.predictions, multitask.best)


@pytest.fixture(scope="module")
def utterances():
    tables = [made_up.made_up_corpus(name, 16).assign(corpus=name) for name in made_up.SCALES]
    return pd.concat(tables, ignore_index=True)


def errors(results, model, seed, target):
    table = results.predictions
    table = table[(table["partition"] == "test") & (table["model"] == model) & (table["seed"] == seed)]
    table = table[table["target"] == target]
    return residuals.residual_table(table[table["train_corpus"] == table["test_corpus"]])


class TestBins:
    def test_every_utterance_is_in_one(self, state, multitask):
        for target in schema.DIMENSIONS:
            choice = state.selection.start().but(target=target, seed=1)
            counts = state.counts(choice, "bert")
            assert counts.to_numpy().sum() == len(errors(multitask, "bert", 1, target))

    def test_they_are_the_same_for_every_model_and_filter(self, state):
        choice = state.selection.start().but(target="valence")
        assert state.edges(choice.but(model="bert", gender="female")) == state.edges(choice)

    def test_a_bin_holds_its_utterances_the_largest_error_first(self, state, multitask):
        choice = state.selection.start().but(target="valence", seed=0)
        counts = state.counts(choice, "cnn14")
        assert counts.loc[-0.5].max() > 1
        truth = counts.loc[-0.5].idxmax()
        rows = state.bins(choice, "cnn14", [(-0.5, truth)])
        table = errors(multitask, "cnn14", 0, "valence")
        expected = table[
            table["truth"].between(truth, truth + 1, "left") & table["residual"].between(-0.5, 0.5, "left")
        ]
        assert len(rows) == len(expected) == counts.loc[-0.5, truth]
        assert set(rows["utterance"]) == set(expected["utterance"])
        assert rows["size"].is_monotonic_decreasing

    def test_all_bins_hold_every_error(self, state):
        choice = state.selection.start().but(target="valence", seed=0)
        counts = state.counts(choice, "cnn14")
        rows = state.bins(choice, "cnn14", [(error, truth) for error in counts.index for truth in counts.columns])
        assert len(rows) == len(state.errors(choice, "cnn14"))

    def test_the_last_bin_is_closed(self):
        assert bin_of(np.array([1.0, 1.5, 2.0, 3.0, 3.1, 0.9]), (1.0, 2.0, 3.0)).tolist() == [0, 0, 1, 1, -1, -1]

    def test_an_error_beyond_the_bands_is_in_the_outermost(self, multitask):
        far = multitask.predictions.assign(prediction=lambda table: table["prediction"] + 50)
        state = Residuals(far, multitask.best)
        choice = state.selection.start()
        counts = state.counts(choice, "cnn14")
        assert counts.loc[2.5].sum() == counts.to_numpy().sum() == len(state.errors(choice, "cnn14"))
        assert describe_bin(2.5, 2.0, 1) == "truth 2 to 3, error +2.5 and above: 1 utterance"

    def test_a_bin_is_described_in_words(self):
        assert describe_bin(-1.5, 2.0, 3) == "truth 2 to 3, error −1.5 to −0.5: 3 utterances"

    def test_predictions_across_corpora_alone_are_refused(self, multitask):
        with pytest.raises(ValueError, match="no predictions of dimensions within a corpus"):
            Residuals(multitask.predictions.assign(test_corpus="iemocap"), multitask.best)


class TestLinesAndPredictions:
    def test_the_line_is_that_of_figure_3(self, state, multitask):
        choice = state.selection.start().but(target="arousal", seed=0)
        table = errors(multitask, "mfcnn14", 0, "arousal")
        expected = residuals.fit_line(table["truth"], table["residual"])
        assert state.line(choice, "mfcnn14").slope == pytest.approx(expected.slope)

    def test_every_model_has_predictions_of_every_dimension(self, state):
        choice = state.selection.start().but(target="valence", seed=0)
        row = state.errors(choice, "cnn14").iloc[0]
        predictions = state.of_models(choice, row)
        assert predictions.index.tolist() == PAPER_MODELS
        assert predictions.notna().all().all()
        assert predictions.loc["cnn14", "valence"] == row["prediction"]

    def test_models_of_single_dimensions_are_shown_together(self, dimensions):
        state = Residuals(dimensions.predictions, dimensions.best)
        choice = state.selection.start()
        predictions = state.of_models(choice, state.errors(choice, "cnn14").iloc[0])
        assert set(predictions.columns) == set(schema.DIMENSIONS)
        assert predictions.index.tolist() == ["cnn14", "sfcnn14", "mfcnn14"]


class TestWidget:
    @pytest.fixture
    def browser(self, multitask, utterances, tmp_path):
        return browser_of.browse(
            multitask.predictions, utterances, multitask.best, lambda _, name: Path("nowhere") / name, tmp_path
        )

    def test_bins_open_their_utterances(self, browser):
        counts = browser.state.counts(browser.controls.choice, browser.controls.choice.model)
        place = counts.stack().idxmax()
        browser.grid.choose([place])
        assert len(browser.list.rows) == int(browser.grid.text(place)) == counts.max().max()
        browser.list.open_row(0)
        assert browser.list.predictions.value.count("<tr") == 2 + len(PAPER_MODELS)
        browser.grid.choose([(place[0], truth) for truth in counts.columns])
        assert len(browser.list.rows) == counts.loc[place[0]].sum()
        assert f"{counts.shape[1]} bins" in browser.list.heading.value

    def test_another_dimension_and_a_filter_change_picture_and_counts(self, browser):
        def shown():
            return sum(int(text.replace("·", "0")) for line in browser.grid.cells for text, *_ in line)

        before = browser.points.places
        browser.controls.lists["target"].value = "valence"
        everyone = shown()
        assert len(browser.points.places) == len(before) == everyone
        assert not browser.points.places.equals(before)
        lines = len(browser.points.scatter.widget.annotations)
        browser.controls.lists["other"].value = "bert"
        assert len(browser.points.scatter.widget.annotations) == lines + 3
        browser.controls.lists["gender"].value = "female"
        assert 0 < shown() == len(browser.points.places) < everyone

    def test_bins_stay_chosen_when_a_filter_changes(self, browser):
        browser.grid.choose([(-0.5, 3.0)])
        browser.controls.lists["gender"].value = "female"
        assert "female" in browser.list.heading.value
        assert set(browser.list.rows["gender"]) == {"female"}

    def test_the_points_in_a_lasso_are_listed_the_largest_errors_first(self, browser):
        browser.grid.choose([(-0.5, 3.0)])
        rows = browser.state.errors(browser.controls.choice, browser.controls.choice.model)
        browser.points.scatter.widget.selection = [7, 3, 11]
        assert browser.list.rows["utterance"].tolist() == (
            rows.iloc[[3, 7, 11]].sort_values("size", ascending=False)["utterance"].tolist()
        )
        assert browser.grid.places() == []
        assert "3 points" in browser.list.heading.value
        browser.points.scatter.widget.selection = []
        assert browser.list.rows.empty

    def test_a_click_on_a_point_opens_its_utterance(self, browser):
        browser.points.scatter.widget.selection = [5]
        opened = browser.list.opened
        drawn = browser.points.places.iloc[5]
        assert (opened["truth"], opened["residual"]) == (drawn["truth"], drawn["residual"])

    def test_the_points_of_bins_are_marked_until_no_bin_is_chosen(self, browser):
        browser.grid.choose([(-0.5, 3.0)])
        marked = browser.points.places.iloc[browser.points.chosen]
        assert len(marked) == len(browser.list.rows) > 0
        assert marked["truth"].between(3, 4, inclusive="left").all()
        assert marked["residual"].between(-0.5, 0.5, inclusive="left").all()
        browser.grid.choose([])
        assert browser.points.chosen == []
        assert browser.list.rows.empty
