"""What comes of telling a stage something else: scores where there is a truth, else how far predictions move."""

import numpy as np
import pandas as pd
import pytest

from sercore import metrics
from sercore.analysis import figures, interventions
from sercore.analysis.nothing import Nothing

TOLD = ("mean text", "another's text", "0.5 x the text", "1.5 x the text", "2 x the text")
ASKED = [(0, "own text"), *((stage, told) for stage in (2, 6, 7) for told in TOLD)]
COUNT = 40


def ratings(folds=("official",), **about):
    """Predictions of valence that lie `stage` from those with own text, by turns above and below."""
    chance = np.random.default_rng(0)
    truth = chance.normal(4, 1, COUNT)
    own = truth + chance.normal(0, 0.5, COUNT)
    turns = np.where(np.arange(COUNT) % 2, 1.0, -1.0)
    fold = [folds[i % len(folds)] for i in range(COUNT)]
    parts = [
        pd.DataFrame(
            {"utterance": range(COUNT), "fold": fold, "truth": truth, "prediction": own + stage * turns}
        ).assign(
            stage=stage,
            told=told,
            target="valence",
            explained=stage / 10 if stage in (2, 6) else np.nan,
            opening=np.nan,
        )
        for stage, told in ASKED
    ]
    return pd.concat(parts, ignore_index=True).assign(**about)


def classes(truth=True):
    """Predictions of emotions: all are "sad" with .8; where stage 2 is told something else with .6."""
    rows = []
    for stage, told in ASKED:
        share = 0.6 if stage == 2 else 0.8
        part = pd.DataFrame({"utterance": range(COUNT), "fold": "official", "prediction": "sad"})
        part = part.assign(p_happy=1 - share, p_sad=share, stage=stage, told=told, target="emotion")
        rows.append(part.assign(explained=0.25, opening=0.7 if stage in (2, 6) else np.nan))
    table = pd.concat(rows, ignore_index=True)
    return table.assign(truth=np.where(table["utterance"] % 4, "happy", "sad")) if truth else table


def test_a_known_truth_is_scored_by_the_measures_of_its_kind():
    found = interventions.effects(ratings())
    assert found.groupby("measure").size().to_dict() == dict.fromkeys(("ccc", "pcc", "mse"), len(ASKED))
    rows = ratings().query("stage == 6 and told == 'mean text'")
    value = found.query("stage == 6 and told == 'mean text' and measure == 'ccc'")["value"].item()
    assert value == pytest.approx(metrics.concordance_correlation(rows["truth"], rows["prediction"]))
    of_classes = interventions.effects(classes()).groupby("measure")["value"]
    assert of_classes.unique()["uar"] == [50.0], "UAR in %: all of one class, none of the other"
    assert set(of_classes.groups) == {"uar", "macro_f1", "weighted_f1"}


def test_without_a_truth_it_is_how_far_predictions_move():
    found = interventions.effects(ratings().drop(columns="truth"))
    assert set(found["measure"]) == {"moved"}
    np.testing.assert_allclose(found["value"], found["stage"], atol=1e-12)
    found = interventions.effects(classes(truth=False))
    np.testing.assert_allclose(found["value"], np.where(found["stage"] == 2, 20.0, 0.0), atol=1e-12)


def test_folds_are_scored_together_and_count_alike_in_what_the_text_explains():
    table = ratings(("a", "b", "a"))
    table["explained"] = table["fold"].map({"a": 0.2, "b": 0.6})
    found = interventions.effects(table)
    np.testing.assert_allclose(found["value"], interventions.effects(ratings())["value"])
    np.testing.assert_allclose(found["explained"], 0.4)


def test_the_table_names_stages_and_measures_and_shows_what_there_is():
    table = interventions.table(interventions.effects(ratings()))
    assert list(table.columns) == [("valence", name) for name in ("CCC", "PCC", "MSE")] + [("text", "explained (%)")]
    assert list(table.index) == [({0: "none", 7: "all"}.get(stage, str(stage)), told) for stage, told in ASKED]
    assert table.loc[("6", "mean text"), ("text", "explained (%)")] == pytest.approx(60)
    table = interventions.table(interventions.effects(classes(truth=False)))
    assert list(table.columns) == [("emotion", "moved"), ("text", "explained (%)"), ("text", "gate open (%)")]
    assert table.loc[("2", "mean text"), ("text", "gate open (%)")] == pytest.approx(70)


def test_the_figure_has_a_panel_a_target_and_a_mark_an_intervention():
    figure = interventions.plot(interventions.effects(ratings()), "mine", simulated=True)
    valence, explained = figure.axes
    assert (valence.get_title(), valence.get_ylabel()) == ("valence", "CCC")
    line, *marks = valence.lines
    assert [mark.get_label() for mark in marks] == list(TOLD)
    assert all(len(mark.get_xdata()) == 3 for mark in marks)
    assert line.get_label() == "own text"
    assert [label.get_text() for label in explained.get_xticklabels()] == ["2", "6", "all"]
    assert [bar.get_height() for bar in explained.patches[:2]] == [20, 60]
    assert figure.legends[0].get_title().get_text() == "mine"
    assert figures.picture(figure).startswith(b"\x89PNG")


def test_gates_and_what_moves_are_drawn_from_zero():
    figure = interventions.plot(interventions.effects(classes(truth=False)), "mine", simulated=False)
    moved, explained = figure.axes
    assert moved.get_ylabel() == "probability moved (%)"
    assert moved.get_ylim()[0] == 0
    assert list(explained.lines[0].get_ydata()[:2]) == [70, 70]
    figure = interventions.plot(interventions.effects(ratings().drop(columns="truth")), "mine", simulated=False)
    assert figure.axes[0].get_ylabel() == "ratings moved (RMS)"


def test_a_model_without_text_has_nothing_to_show():
    found = interventions.effects(pd.DataFrame())
    assert interventions.table(found).empty
    assert isinstance(interventions.plot(found, "mine", simulated=True), Nothing)
