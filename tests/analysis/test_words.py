"""Scores where words tell, tell nothing and mislead: of the right utterances, of every model, with intervals."""

import dataclasses

import made_up
import numpy as np
import pytest

from sercore.analysis import report, results, words
from sercore.corpora import wording
from sercore.study import config

EACH = 15  # utterances of a speaker


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = made_up.write_study(
        tmp_path_factory.mktemp("words"), seeds=2, sections=("categories", "multitask"), utterances=EACH
    )
    made_up.write_words(path, EACH)
    return config.load(path)


@pytest.fixture(scope="module")
def named(categories):
    return words.read(categories, draws=200)


@pytest.fixture(scope="module")
def rated(multitask):
    return words.read(multitask, draws=200)


def in_domain(found, **wanted):
    rows = found.predictions
    own = {"train_corpus": "msp-podcast", "test_corpus": "msp-podcast", "partition": "test"}
    for name, value in {**own, **wanted}.items():
        rows = rows[rows[name] == value]
    return rows


def number(rows):
    return rows["utterance"].astype(str).str[-5:].astype(int)


def uar(rows):
    return results.score(rows, "uar", made_up.CENTRES)


def score(by_words, **wanted):
    rows = by_words.scores
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    return rows["score"].item()


def test_common_sentences_tell_nothing_and_all_others_tell(named, categories):
    for model in ("bert", "cnn14", "lf"):
        rows = in_domain(categories, model=model, seed=1)
        common = number(rows) % 3 == 0
        assert score(named, name=model, seed=1, words=wording.NOTHING) == pytest.approx(uar(rows[common]))
        assert score(named, name=model, seed=1, words=wording.TELL) == pytest.approx(uar(rows[~common]))


def test_what_misleads_is_compared_on_the_same_utterances(named, categories):
    odd = in_domain(categories, model="bert", seed=0)
    odd = odd[odd["speaker"].isin(["4", "5"]) & (number(odd) % EACH < made_up.MISLED)]
    plain = in_domain(categories, model="cnn14", seed=0)
    plain = plain[plain["utterance"].isin(odd["utterance"])]
    assert score(named, name="cnn14", seed=0, words=wording.MISLEAD) == pytest.approx(uar(plain))
    swapped = odd.assign(p_angry=odd["p_happy"], p_happy=odd["p_angry"], p_neutral=odd["p_sad"], p_sad=odd["p_neutral"])
    names = [f"p_{name}" for name in made_up.CENTRES]
    both = (
        swapped.set_index("utterance")[names].astype(float) + plain.set_index("utterance")[names].astype(float)
    ).idxmax(axis=1)
    fused = plain.assign(prediction=plain["utterance"].astype(str).map(both.str[2:]))
    assert score(named, name="lf", seed=0, words=wording.MISLEAD) == pytest.approx(uar(fused))
    counts = named.numbers.groupby("words")["utterances"].unique()
    assert {kind: list(found) for kind, found in counts.items()} == {
        wording.TELL: [80],
        wording.NOTHING: [40],
        wording.MISLEAD: [24],
    }


def test_the_means_have_intervals_over_seeds_and_speakers(named, rated):
    numbers = named.numbers.set_index(["name", "words"])
    own = numbers.loc["mfcnn14", wording.TELL]
    assert own["mean"] == pytest.approx(named.scores.query("name == 'mfcnn14' and words == 'tell'")["score"].mean())
    assert own["low"] < own["mean"] < own["high"]
    assert (own["over"], own["speakers"], own["seeds"]) == ("seeds and speakers", 8, 2)
    assert numbers.loc["mfcnn14", wording.MISLEAD]["over"] == "seeds", "of two speakers"
    assert set(rated.numbers["metric"]) == {"ccc", "pcc"}
    fallen = rated.numbers.query("name == 'mfcnn14' and target == 'valence' and metric == 'pcc'").set_index("words")
    assert fallen.loc[wording.MISLEAD, "mean"] < -0.7 < 0.7 < fallen.loc[wording.NOTHING, "mean"]


def test_the_table_names_the_corpus_that_does_not_know_the_difference(named, rated, study):
    table = words.table(named)
    lines = table.markdown()
    assert "| in-domain | of | model | words tell UAR | words tell nothing UAR | words mislead UAR |" in lines
    assert "|  | utterances |  | 80 | 40 | 24 |" in lines
    assert list(table.frame.index.get_level_values("model"))[:-1] == ["BERT", "CNN14", "LF", "SFCNN14", "MFCNN14"]
    notes = " ".join(table.notes)
    assert "IEMOCAP: no such sentences" in notes
    assert "MSP-Podcast, words mislead: t-interval over seeds alone" in notes
    assert "Simulated" in notes
    assert [path.name for path in words.table(rated).write(study)][-1] == "words_multitask.csv"


def test_the_figure_has_a_row_a_metric_and_a_panel_a_dimension(rated):
    axes = words.plot(rated).axes
    panels = [(axis.get_title(), axis.get_ylabel()) for axis in axes]
    assert panels[:2] == [("arousal\nMSP-Podcast", "CCC"), ("valence\nMSP-Podcast", "CCC")]
    assert panels[3] == ("arousal\nMSP-Podcast", "PCC")
    (means,) = [points.get_ydata() for points in axes[1].lines if points.get_marker() == "s"]
    shown = rated.numbers.query("words == 'tell nothing' and target == 'valence' and metric == 'ccc'")
    assert np.allclose(means, shown["mean"])


def test_a_study_that_does_not_know_the_difference_says_so(categories):
    predictions = categories.predictions
    own = (predictions["train_corpus"] == "iemocap") & (predictions["test_corpus"] == "iemocap")
    plain = dataclasses.replace(categories, predictions=predictions[own])
    found = words.read(plain)
    assert words.table(found) is words.plot(found) is found
    assert str(found) == (
        "Nothing to show: no sentence of IEMOCAP is known to be said in every emotion, so that it tells nothing, and "
        "no run was tested with words that mislead."
    )
    assert "words" not in words.label_predictions(plain)


def test_the_report_shows_table_and_figure_and_says_once_where_there_is_nothing(study, categories, monkeypatch):
    (chapter,) = [chapter for chapter in report.CHAPTERS if chapter.name == "words"]
    material = report.Material(study)
    monkeypatch.setattr(material, "_results", lambda _: categories)
    short = dataclasses.replace(chapter, pieces=("words_categories", "scores_by_words_categories"))
    table, figure = material.chapter(short).values()
    assert "words tell nothing" in table
    assert "Scores by what the words tell, categories" in figure
    plain = dataclasses.replace(categories, predictions=categories.predictions.query("test_corpus == 'iemocap'"))
    monkeypatch.setattr(material, "_results", lambda _: plain)
    (sentence,) = material.chapter(chapter).values()
    assert sentence.startswith("<p>Nothing to show: no sentence of IEMOCAP is known")
    assert material.absent == {}
