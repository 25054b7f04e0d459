"""Expected seconds: measured ones first, then those of similar runs, then utterances and epochs at an assumed rate."""

import made_up
import pytest
import yaml

from sercore import files
from sercore.study import config, costs

SECTIONS = """\
study: costed
corpora:
  iemocap: {{root: nowhere}}
  msp-podcast: {{root: nowhere}}
outputs: {outputs}
sections:
  categories:
    notebook: notebooks/1_categories.ipynb
    blocks:
      - grid: {{model: [cnn14, mfcnn14, bert], corpus: [msp-podcast, iemocap], seed: [0, 1]}}
        fixed: &fixed {{folds: [], training: {{}}}}
  multitask:
    notebook: notebooks/3_multitask.ipynb
    blocks:
      - grid: {{model: [cnn14], corpus: [msp-podcast], seed: [0, 1]}}
        fixed: {{folds: [], training: {{epochs: 30}}}}
  residuals:
    notebook: notebooks/4_residuals.ipynb
    needs: [multitask]
    result: residuals.parquet
    blocks:
      - grid: {{model: [cnn14], corpus: [msp-podcast], seed: [0, 1]}}
"""


@pytest.fixture
def study(tmp_path):
    (tmp_path / "costed.yaml").write_text(SECTIONS.format(outputs=tmp_path / "outputs"), encoding="utf-8")
    return config.load(tmp_path / "costed.yaml")


def complete(study, section, seconds, **like):
    """Complete the runs of `section` that are `like` these, each executed once."""
    for run in study.section(section):
        if like.items() <= run.parameters.items():
            files.write_json(
                run.folder / files.EXECUTIONS, {"executions": [{"seconds": seconds, "outcome": "complete"}]}
            )
            files.write_table(run.folder / run.result, made_up.DONE)


def of(study, section, **like):
    seconds = costs.expected(study)
    (one,) = {seconds[section, run.name] for run in study.section(section) if like.items() <= run.parameters.items()}
    return one


def test_every_run_has_a_cost_before_anything_is_measured(study):
    seconds = costs.expected(study)
    assert list(seconds) == [(run.section, run.name) for run in study.runs]
    assert min(seconds.values()) > 0


def test_a_complete_run_keeps_its_own_seconds_and_its_seeds_share_them(study):
    complete(study, "categories", 100.0, model="cnn14", corpus="iemocap", seed=0)
    assert of(study, "categories", model="cnn14", corpus="iemocap", seed=0) == 100
    assert of(study, "categories", model="cnn14", corpus="iemocap", seed=1) == pytest.approx(100)


def test_unmeasured_runs_are_scaled_by_their_utterances_and_epochs(study):
    complete(study, "categories", 100.0, model="cnn14", corpus="iemocap", seed=0)
    expected, works = costs.expected(study), costs.works(study)
    seconds = 100 / works["categories", "model=cnn14,corpus=iemocap,seed=0"].passed
    for name in ("model=mfcnn14,corpus=iemocap,seed=0", "model=bert,corpus=msp-podcast,seed=1"):
        assert expected["categories", name] == pytest.approx(seconds * works["categories", name].passed)
    assert expected["residuals", "model=cnn14,corpus=msp-podcast,seed=0"] == costs.READING  # it trains nothing


def test_a_run_without_training_takes_as_long_as_others_without(study):
    complete(study, "residuals", 3.0, seed=0)
    assert of(study, "residuals", seed=1) == 3


def test_without_any_measurement_the_rate_is_assumed(study):
    run = study.section("categories")[0]
    seconds = costs.START + costs.works(study)[run.key].passed / costs.ASSUMED_RATE
    assert costs.expected(study)[run.key] == pytest.approx(seconds)


def test_half_of_the_epochs_in_another_section_are_half_of_the_seconds(study):
    complete(study, "categories", 10_000.0, model="cnn14", corpus="msp-podcast")
    assert of(study, "multitask") == pytest.approx(5_000, rel=0.01)


def test_the_median_of_the_nearest_is_taken(study):
    for seed, seconds in ((0, 10.0), (1, 30.0)):
        complete(study, "categories", seconds, model="mfcnn14", corpus="iemocap", seed=seed)
    complete(study, "categories", 999.0, model="cnn14", corpus="msp-podcast", seed=0)
    seconds = costs.expected(study)
    assert seconds["categories", "model=mfcnn14,corpus=iemocap,seed=0"] == 10
    assert seconds["categories", "model=cnn14,corpus=msp-podcast,seed=1"] == pytest.approx(999)


def test_ten_speakers_are_ten_trainings_and_an_official_split_is_one(study):
    works = costs.works(study)
    assert works["categories", "model=cnn14,corpus=iemocap,seed=0"].trainings == 10
    official = works["categories", "model=cnn14,corpus=msp-podcast,seed=0"]
    assert (official.trainings, official.epochs) == (1, 60)  # the paper's
    assert works["residuals", "model=cnn14,corpus=msp-podcast,seed=0"] is None


def test_named_folds_count_only_where_speakers_are_left_out(study):
    content = yaml.safe_load(study.path.read_text(encoding="utf-8"))
    content["sections"]["categories"]["blocks"][0]["fixed"]["folds"] = ["Ses01F", "Ses03M"]
    study.path.write_text(yaml.safe_dump(content), encoding="utf-8")
    study = config.load(study.path)
    works = costs.works(study)
    trainings = {run.parameters["corpus"]: works[run.key].trainings for run in study.section("categories")}
    assert trainings == {"msp-podcast": 1, "iemocap": 2}


def test_time_that_an_interrupted_execution_lost_is_no_cost(study):
    complete(study, "categories", 100.0, model="cnn14", corpus="iemocap", seed=0)
    run = next(run for run in study.runs if run.complete)
    past = [{"seconds": 9_000, "outcome": "failed"}, {"seconds": 10, "outcome": "complete"}]
    files.write_json(run.folder / files.EXECUTIONS, {"executions": past})
    assert costs.measured(run) == 10
    files.write_text(run.folder / files.HISTORY, "epoch,seconds\n1,20\n2,22\n")
    assert costs.measured(run) == costs.START + 42


def test_a_run_recorded_by_its_history_alone_is_measured_too(study):
    run = study.runs[0]
    files.write_text(run.folder / files.HISTORY, "epoch,seconds\n1,20\n2,22\n")
    assert costs.measured(run) is None  # it is not complete
    files.write_table(run.folder / run.result, made_up.DONE)
    assert costs.measured(run) == costs.START + 42


def test_the_size_of_a_corpus_is_what_lies_in_its_folder(study, tmp_path):
    for number in range(20):
        files.write_bytes(tmp_path / f"release/Session1/{number}.wav", bytes(64_000))  # 2 s of 16 bits at 16 kHz
    content = yaml.safe_load(study.path.read_text(encoding="utf-8"))
    content["corpora"]["iemocap"] = {"root": str(tmp_path / "release")}
    study.path.write_text(yaml.safe_dump(content), encoding="utf-8")
    extents = costs.extents(config.load(study.path))
    assert extents["iemocap"] == (20, pytest.approx(2.0))
    assert extents["msp-podcast"] == (58_619, pytest.approx(5.8))  # nothing lies there: the published counts


def test_a_complete_run_knows_the_size_of_a_corpus_and_its_folds(study):
    content = yaml.safe_load(study.path.read_text(encoding="utf-8"))
    content["corpora"] = {
        "mine": {"root": "nowhere", "reader": "table"},
        "theirs": {"root": "away", "reader": "iemocap"},
    }
    content["sections"]["categories"]["blocks"][0]["grid"]["corpus"] = ["mine"]
    study.path.write_text(yaml.safe_dump(content), encoding="utf-8")
    study = config.load(study.path)
    assert costs.extents(study) == {"mine": costs.UNKNOWN, "theirs": (10_039, pytest.approx(4.5))}
    run = study.section("categories")[0]
    assert costs.works(study)[run.key].trainings == 1
    files.write_table(run.folder / run.result, made_up.DONE)
    record = {"corpora": {"mine": {"utterances": 70}, "gone": {"utterances": 1}}, "folds": {"A": {}, "B": {}, "C": {}}}
    files.write_json(run.folder / files.PROVENANCE, record)
    assert costs.extents(study)["mine"].utterances == 70
    assert costs.works(study)[run.key].trainings == 3


def test_a_change_of_the_epochs_and_of_the_share_of_the_data_counts(study):
    content = yaml.safe_load(study.path.read_text(encoding="utf-8"))
    (block,) = content["sections"]["multitask"]["blocks"]
    block["fixed"] |= {"change": "less", "changes": {"less": {"training": {"epochs": 15, "data_share": 0.5}}}}
    study.path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    changed = config.load(study.path)
    work, before = (costs.works(of)["multitask", "model=cnn14,corpus=msp-podcast,seed=0"] for of in (changed, study))
    assert work.epochs == 15
    trained, predicted = costs.TRAINED["official"], costs.DEVELOPMENT["official"] / costs.TRAINING
    assert work.utterances / before.utterances == pytest.approx((trained / 2 + predicted) / (trained + predicted))
