"""All tasks at once: the measures are those of the literature, and one run's scores are resampled together."""

from dataclasses import replace

import made_up
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sercore.analysis import profiles, results
from sercore.study import config


@pytest.fixture(scope="module")
def sections(tmp_path_factory):
    study = config.load(made_up.write_study(tmp_path_factory.mktemp("study"), seeds=3, utterances=16))
    return [results.read(study, name) for name in ("categories", "dimensions", "multitask")]


@pytest.fixture(scope="module")
def numbers(sections):
    return profiles.numbers(sections, draws=200)


def test_scores_are_of_every_task_and_chance_is_0(sections):
    scores = profiles.task_scores(sections)
    tasks = scores.index.droplevel("seed").unique()
    assert len(tasks) == 4 + 3 * 4 + 3 * 2
    assert list(scores.columns) == ["bert", "cnn14", "lf", "sfcnn14", "mfcnn14"]
    known = sections[0].scores.query(
        "model == 'lf' and partition == 'test' and seed == 1 and metric == 'uar' "
        "and train_corpus == test_corpus == 'msp-podcast'"
    )
    found = scores.loc[("categories", "msp-podcast", "msp-podcast", "emotion", "", 1), "lf"]
    assert found == pytest.approx((known["score"].item() / 100 - 0.25) / 0.75)
    alone = scores.loc["dimensions"]
    assert alone["bert"].isna().all()
    assert set(alone.index.get_level_values("trained_for")) == {"arousal", "valence", "dominance"}


def test_the_seeds_of_a_training_are_drawn_together_and_of_others_apart(sections):
    scores = profiles.shared(profiles.task_scores(sections))
    rows = profiles.draw(scores, np.random.default_rng(0), 50)
    assert rows.shape == (50, len(scores))
    seeds = scores.index.get_level_values("seed").to_numpy()
    names = scores.index.droplevel("seed").to_frame(index=False)
    for drawn in rows:
        of_task = {}
        for row in drawn:
            of_task.setdefault(tuple(names.iloc[row]), []).append(seeds[row])
        by_training = {}
        for (section, train, _, _, target), own in of_task.items():
            by_training.setdefault((section, train, target), set()).add(tuple(own))
        assert {len(own) for own in of_task.values()} == {3}
        assert {len(own) for own in by_training.values()} == {1}
    assert len(by_training) == 3


def test_the_interquartile_mean_is_of_the_middle_half_and_the_profile_falls():
    scores = np.array([[0.0, 1.0], [0.4, 1.0], [0.6, 1.0], [9.0, 1.0]])
    assert profiles.interquartile_mean(scores) == pytest.approx([0.5, 1.0])
    assert profiles.profile(scores, [-1, 0, 0.5, 1]).tolist() == [[1, 1], [0.75, 1], [0.5, 1], [0.25, 0]]


def test_the_chance_to_improve_agrees_with_mann_and_whitney(sections, numbers):
    scores = profiles.task_scores(sections)
    for row in numbers[numbers["measure"] == "probability of improvement"].itertuples():
        both = scores[[row.model, row.other]].dropna()
        each = [
            stats.mannwhitneyu(task[row.model], task[row.other]).statistic / len(task) ** 2
            for _, task in both.groupby(both.index.droplevel("seed"))
        ]
        assert (row.value, row.tasks) == (pytest.approx(np.mean(each)), len(each))
        assert row.low <= row.value <= row.high


def test_a_model_is_no_better_than_itself_and_ties_count_half():
    names = [*profiles.TASK, "trained_for", "seed"]
    index = pd.MultiIndex.from_tuples([("s", "a", "a", "x", "", seed) for seed in range(3)], names=names)
    scores = pd.DataFrame({"one": [0.1, 0.2, 0.3], "same": [0.3, 0.2, 0.1], "none": np.nan}, index)
    assert profiles.improvement(scores, "one", "same", np.random.default_rng(0), 50)[0] == 0.5
    nothing = profiles.improvement(scores, "one", "none", np.random.default_rng(0), 50)
    assert (np.isnan(nothing[0]), nothing[3]) == (True, 0)


def test_a_seed_that_lacks_a_task_is_left_out(sections):
    scores = profiles.task_scores(sections).copy()
    whole = profiles.shared(scores)
    scores.loc[("multitask", "msp-podcast", "msp-podcast", "valence", "", 2), "bert"] = np.nan
    assert len(profiles.shared(scores)) == len(whole) - 6


def test_the_fusion_models_lead_where_they_are_made_to(numbers):
    means = numbers[numbers["measure"] == "interquartile mean"].set_index("model")
    assert means.loc["mfcnn14", "low"] > means.loc["cnn14", "high"]
    assert ((means["low"] <= means["value"]) & (means["value"] <= means["high"])).all()


def test_one_figure_has_three_panels_and_its_table_the_numbers(sections, numbers):
    figure = profiles.plot(numbers, simulated=True)
    assert [axis.get_title() for axis in figure.axes] == [
        "interquartile mean",
        "probability of improvement",
        "performance profile",
    ]
    assert "simulated speech" in [text.get_text() for text in figure.texts]
    assert len(figure.axes[1].get_yticklabels()) == 10
    table = profiles.table(sections, numbers)
    assert "simulated speech" in table.title
    row = numbers[numbers["measure"] == "interquartile mean"].iloc[-1]
    assert table.frame.loc[("interquartile mean", "MFCNN14")].iloc[0] == f"{row['value']:.2f}"
    assert ("share above 0.50", "LF") in table.frame.index


def test_models_without_a_common_task_are_refused(sections):
    def of(results, model):
        table = results.predictions
        return replace(results, predictions=table[table["model"].astype(object) == model])

    with pytest.raises(ValueError, match="no task and seed has a score of all of bert, cnn14"):
        profiles.numbers([of(sections[0], "bert"), of(sections[2], "cnn14")])
