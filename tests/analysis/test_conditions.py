"""Runs are grouped by transcript condition, and scored against the word error rate of each."""

import shutil

import pytest
import transcript_study

from sercore.analysis import transcript_quality
from sercore.corpora.transcripts import Condition
from sercore.study import config

GOLD = Condition("gold")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return transcript_study.write_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def by_condition(path):
    return transcript_quality.read(path)


def mean(by_condition, model, trained, tested):
    rows = by_condition.scores[by_condition.scores["model"] == model]
    rows = (
        rows[rows["trained"].isna()]
        if trained is None
        else rows[(rows["trained"] == trained) & (rows["tested"] == tested)]
    )
    assert len(rows) == 2  # seeds
    return rows["score"].mean()


def test_the_condition_of_a_run_is_in_its_parameters_or_in_its_text_settings(path):
    runs = config.load(path).runs
    conditions = {transcript_quality.of_run(run) for run in runs if run.parameters["model"] == "mfcnn14"}
    assert conditions == {
        GOLD,
        Condition("asr"),
        Condition("empty"),
        Condition("gold", 0.5),
        Condition("gold", 0.0, True),
    }
    acoustic = next(run for run in runs if run.parameters["model"] == "cnn14")
    assert transcript_quality.of_run(acoustic) is None


@pytest.mark.parametrize(
    ("condition", "label"),
    [
        (GOLD, "gold"),
        (Condition("asr", 0.25), "asr, 25 % corrupted"),
        (Condition("gold", 0.5, True), "gold, shuffled, 50 % corrupted"),
        (Condition("empty"), "empty"),
    ],
)
def test_a_condition_has_a_name(condition, label):
    assert condition.label == label


def test_error_rates_are_those_of_the_test_utterances(by_condition):
    rates = by_condition.error_rates
    assert rates[GOLD] == 0
    assert rates[Condition("asr")] == pytest.approx(1 / 5)
    assert rates[Condition("empty")] == 1
    assert rates[Condition("gold", 0.5)] == pytest.approx(0.5, abs=0.08)
    assert rates[Condition("gold", 0.0, True)] < 0.5  # only two of the five words differ between utterances
    assert set(by_condition.utterances[GOLD]["partition"]) == {"test"}


def test_models_are_scored_by_condition(by_condition):
    assert mean(by_condition, "cnn14", None, None) == pytest.approx(50)
    assert mean(by_condition, "mfcnn14", "gold", "gold") == pytest.approx(90)
    assert mean(by_condition, "mfcnn14", "gold, 50 % corrupted", "gold, 50 % corrupted") == pytest.approx(65)
    assert mean(by_condition, "mfcnn14", "gold, shuffled", "gold, shuffled") == pytest.approx(60)
    assert mean(by_condition, "bert", "gold", "gold") == pytest.approx(80)


def test_a_model_tested_with_other_transcripts_is_scored_apart(by_condition):
    assert mean(by_condition, "mfcnn14", "gold", "asr") == pytest.approx(65)
    assert mean(by_condition, "mfcnn14", "gold", "gold, shuffled") == pytest.approx(40)
    rows = by_condition.scores[(by_condition.scores["trained"] == "gold") & (by_condition.scores["tested"] == "asr")]
    assert rows["wer"].tolist() == pytest.approx([1 / 5] * len(rows))


def test_late_fusion_is_made_within_a_condition(by_condition):
    fused = by_condition.scores[by_condition.scores["model"] == "lf"]
    assert set(fused["tested"]) == {"gold", "gold, shuffled"}  # what BERT was run with
    # where one is right and the other takes the next class for it, the tie goes to the first of them: 3 of 4 are right
    expected = {"gold": 50 + 0.75 * 30, "gold, shuffled": 25 + 0.75 * 25}
    assert fused.groupby("tested")["score"].mean().to_dict() == pytest.approx(expected)


def test_missing_runs_are_refused_or_left_out(path, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(path.parent, copy)
    moved = copy / "parameters.yaml"
    moved.write_text(moved.read_text().replace(str(path.parent), str(copy)))
    for run in config.load(moved).runs:
        if transcript_quality.of_run(run) == Condition("asr"):
            shutil.rmtree(run.folder)
    with pytest.raises(FileNotFoundError, match="2 of 4 runs of section 'categories' are not complete"):
        transcript_quality.read(moved)
    assert Condition("asr") not in transcript_quality.read(moved, incomplete="show").parts


def test_conditions_are_compared_on_one_corpus(path, tmp_path):
    both = path.read_text().replace("- own\n", "- own\n        - other\n", 1)
    (tmp_path / "p.yaml").write_text(both)
    with pytest.raises(ValueError, match="trains on other, own; conditions are compared on one corpus"):
        transcript_quality.read(tmp_path / "p.yaml")
