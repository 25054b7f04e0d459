"""Expected seconds: what was measured wins, what is alike is next, and the settings' work fills the rest."""

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
def plan(tmp_path):
    (tmp_path / "costed.yaml").write_text(SECTIONS.format(outputs=tmp_path / "outputs"), encoding="utf-8")
    return config.load(tmp_path / "costed.yaml")


def complete(plan, section, seconds, **like):
    """Complete the runs of `section` that are `like` these, each executed once."""
    for run in plan.section(section):
        if like.items() <= run.parameters.items():
            files.write_json(
                run.folder / files.EXECUTIONS, {"executions": [{"seconds": seconds, "outcome": "complete"}]}
            )
            files.write_text(run.folder / run.result, "done")


def of(plan, section, **like):
    seconds = costs.expected(plan)
    found = {seconds[section, run.name] for run in plan.section(section) if like.items() <= run.parameters.items()}
    assert len(found) == 1, found
    return found.pop()


def test_every_run_has_a_cost_before_anything_is_measured(plan):
    seconds = costs.expected(plan)
    assert list(seconds) == [(run.section, run.name) for run in plan.runs]
    assert min(seconds.values()) > 0


def test_a_complete_run_keeps_its_own_seconds_and_its_seeds_share_them(plan):
    complete(plan, "categories", 100.0, model="cnn14", corpus="iemocap", seed=0)
    assert of(plan, "categories", model="cnn14", corpus="iemocap", seed=0) == 100
    assert of(plan, "categories", model="cnn14", corpus="iemocap", seed=1) == pytest.approx(100)


def test_what_is_measured_scales_what_is_not_by_the_work_that_it_asks_for(plan):
    before = costs.expected(plan)
    complete(plan, "categories", 100.0, model="cnn14", corpus="iemocap", seed=0)
    after = costs.expected(plan)
    ratio = 100 / before["categories", "model=cnn14,corpus=iemocap,seed=0"]
    for name in ("model=mfcnn14,corpus=iemocap,seed=0", "model=bert,corpus=msp-podcast,seed=1"):
        assert after["categories", name] == pytest.approx(ratio * before["categories", name])
    assert after["residuals", "model=cnn14,corpus=msp-podcast,seed=0"] == costs.READING  # it trains nothing


def test_half_of_the_epochs_in_another_section_are_half_of_the_seconds(plan):
    complete(plan, "categories", 10_000.0, model="cnn14", corpus="msp-podcast")
    assert of(plan, "multitask") == pytest.approx(5_000, rel=0.01)


def test_the_median_of_the_nearest_is_taken(plan):
    for seed, seconds in ((0, 10.0), (1, 30.0)):
        complete(plan, "categories", seconds, model="mfcnn14", corpus="iemocap", seed=seed)
    complete(plan, "categories", 999.0, model="cnn14", corpus="msp-podcast", seed=0)
    alike = costs.expected(plan)
    assert alike["categories", "model=mfcnn14,corpus=iemocap,seed=0"] == 10
    assert alike["categories", "model=cnn14,corpus=msp-podcast,seed=1"] == pytest.approx(999)


def test_ten_speakers_are_ten_trainings_and_an_official_split_is_one(plan):
    corpora, folds = costs.extents(plan), costs.fold_counts(plan)
    found = {
        (run.section, run.parameters["corpus"]): costs.work(run, corpora, folds)
        for run in plan.runs
        if run.parameters["model"] == "cnn14"
    }
    assert found["categories", "iemocap"].trainings == 10
    assert found["categories", "msp-podcast"].trainings == 1
    assert found["categories", "msp-podcast"].epochs == 60  # the paper's
    assert found["residuals", "msp-podcast"] is None


def test_named_folds_count_only_where_speakers_are_left_out(plan):
    content = yaml.safe_load(plan.path.read_text(encoding="utf-8"))
    content["sections"]["categories"]["blocks"][0]["fixed"]["folds"] = ["Ses01F", "Ses03M"]
    plan.path.write_text(yaml.safe_dump(content), encoding="utf-8")
    plan = config.load(plan.path)
    trainings = {
        run.parameters["corpus"]: costs.work(run, costs.extents(plan), costs.fold_counts(plan)).trainings
        for run in plan.section("categories")
    }
    assert trainings == {"msp-podcast": 1, "iemocap": 2}


def test_time_that_an_interrupted_execution_lost_is_no_cost(plan):
    complete(plan, "categories", 100.0, model="cnn14", corpus="iemocap", seed=0)
    run = next(run for run in plan.runs if run.complete)
    past = [{"seconds": 9_000, "outcome": "failed"}, {"seconds": 10, "outcome": "complete"}]
    files.write_json(run.folder / files.EXECUTIONS, {"executions": past})
    assert costs.measured(run) == 10
    files.write_text(run.folder / files.HISTORY, "epoch,seconds\n1,20\n2,22\n")
    assert costs.measured(run) == costs.START + 42


def test_a_run_recorded_by_its_history_alone_is_measured_too(plan):
    run = plan.runs[0]
    files.write_text(run.folder / files.HISTORY, "epoch,seconds\n1,20\n2,22\n")
    assert costs.measured(run) is None  # it is not complete
    files.write_text(run.folder / run.result, "done")
    assert costs.measured(run) == costs.START + 42


def test_the_size_of_a_corpus_is_what_lies_in_its_folder(plan, tmp_path):
    for number in range(20):
        files.write_bytes(tmp_path / f"release/Session1/{number}.wav", bytes(64_000))  # 2 s of 16 bits at 16 kHz
    content = yaml.safe_load(plan.path.read_text(encoding="utf-8"))
    content["corpora"]["iemocap"] = {"root": str(tmp_path / "release")}
    plan.path.write_text(yaml.safe_dump(content), encoding="utf-8")
    found = costs.extents(config.load(plan.path))
    assert found["iemocap"] == (20, pytest.approx(2.0))
    assert found["msp-podcast"] == (58_619, pytest.approx(5.8))  # nothing lies there: the published counts


def test_wider_networks_and_longer_crops_cost_more(plan):
    corpora, folds = costs.extents(plan), costs.fold_counts(plan)

    def flop(**parameters):
        run = next(run for run in plan.runs if run.parameters["model"] == "cnn14")
        changed = config.Run(**{**vars(run), "parameters": run.parameters | parameters})
        return costs.work(changed, corpora, folds).flop

    assert flop(network={"width": 32}) == pytest.approx(flop() / 4)
    assert flop(features={"mels": 32}) == pytest.approx(flop() / 2)
    assert flop(training={"crop_seconds": 2.9}) == pytest.approx(flop() / 2)
    assert flop() == pytest.approx(3 * 23.2e9, rel=0.01)  # a training step of 5.8 s, counted by torch's FLOP counter
