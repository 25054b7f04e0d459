"""The batch: runs a grid of real notebooks in real kernels, once each, past those that fail."""

import pytest
import yaml

from sercore.study import config
from sercore.study.plan import dependencies, execute, failures, preparations, run_parameters, select
from sercore.study.workers import Cluster, Where


@pytest.fixture(scope="module")
def cluster():
    with Cluster(Where(workers=2)) as cluster:
        yield cluster


@pytest.fixture
def run(cluster):
    return lambda study, **how: {outcome.name: outcome for outcome in execute(study, cluster, **how)}


def test_a_complete_run_is_not_executed_again(make, run):
    study = make([0, 1])
    assert {o.state for o in run(study).values()} == {"complete"}
    assert {o.state for o in run(study).values()} == {"skipped"}
    assert (study.runs[0].folder / "log.txt").read_text() == "executed "


def test_the_rest_goes_on_past_a_run_that_fails(make, run):
    study = make([13, 7, 1])
    outcomes = run(study)
    assert outcomes["s/seed=1"].state == "complete"
    assert "ValueError: seed 13 brings bad luck" in outcomes["s/seed=13"].cause
    assert "ended without a result" in outcomes["s/seed=7"].cause
    assert failures(study) == {name: outcomes[name].cause for name in ("s/seed=13", "s/seed=7")}


def test_a_misspelt_parameter_is_an_error_before_anything_runs(make, run):
    study = make([0], modle="bert")
    with pytest.raises(ValueError, match=r"n\.ipynb has no parameter 'modle'; did you mean 'model'"):
        run(study)
    assert not study.runs[0].folder.exists()


def test_a_result_of_other_parameters_is_an_error_and_is_kept(make, run):
    run(make([0]))
    study = make([0], model="bert")
    with pytest.raises(ValueError, match=r"hold other parameters .* s/seed=0 \(model\)"):
        run(study)
    assert study.runs[0].complete


def test_a_run_that_failed_may_be_given_other_parameters(make, run):
    run(make([13]))
    study = make([13], model="bert")
    assert run(study)["s/seed=13"].state == "failed"  # it was executed again, and not refused


def test_where_the_data_lies_is_no_part_of_a_run(make):
    study = make([0])
    assert run_parameters(study.runs[0]) == {"model": "cnn14", "seed": 0}


def test_a_missing_notebook_is_an_error(make, run, tmp_path):
    study = make([0])
    (tmp_path / "n.ipynb").rename(tmp_path / "other.ipynb")
    with pytest.raises(FileNotFoundError, match=r"no notebook .*n\.ipynb; that folder has other\.ipynb"):
        run(study)


def test_a_section_waits_for_those_that_it_needs(make, run):
    study = make([0, 13])
    content = yaml.safe_load(study.path.read_text())
    content["sections"]["later"] = content["sections"]["s"] | {"needs": ["s"], "blocks": [{"grid": {"seed": [1]}}]}
    study.path.write_text(yaml.safe_dump(content))
    study = config.load(study.path)
    outcomes = run(study)
    assert "waits for s/seed=13, which is not complete: cell" in outcomes["later/seed=1"].cause
    content["sections"]["s"]["blocks"] = [{"grid": {"seed": [0]}}]
    study.path.write_text(yaml.safe_dump(content))
    assert run(config.load(study.path))["later/seed=1"].state == "complete"


def test_a_run_that_needs_one_that_is_not_chosen_does_not_begin(make, run):
    study = make([0])
    content = yaml.safe_load(study.path.read_text())
    content["sections"]["later"] = content["sections"]["s"] | {"needs": ["s"]}
    study.path.write_text(yaml.safe_dump(content))
    study = config.load(study.path)
    outcomes = run(study, only=select(study, ["later"]))
    assert outcomes["later/seed=0"].cause == "waits for s/seed=0, which is not complete"


def test_late_fusion_needs_the_models_that_it_is_made_from(make):
    study = make([0, 1])
    content = yaml.safe_load(study.path.read_text())
    notebook = content["sections"]["s"]["notebook"]
    trained = {"grid": {"model": ["bert", "cnn14", "mfcnn14"], "seed": [0, 1]}}
    reading = {"grid": {"model": ["lf", "mfcnn14"], "seed": [1]}}
    content["sections"] = {
        "s": {"notebook": notebook, "blocks": [trained]},
        "later": {"notebook": notebook, "needs": ["s"], "blocks": [reading]},
    }
    study.path.write_text(yaml.safe_dump(content))
    study = config.load(study.path)
    fusion, single = study.section("later")
    assert [other.name for other in dependencies(study, fusion)] == ["model=bert,seed=1", "model=cnn14,seed=1"]
    assert [other.name for other in dependencies(study, single)] == ["model=mfcnn14,seed=1"]


def test_a_parameter_must_be_a_literal(make, run, tmp_path):
    study = make([0])
    text = (tmp_path / "n.ipynb").read_text(encoding="utf-8")
    (tmp_path / "n.ipynb").write_text(text.replace("seed = 0", "seed = min(0, 1)"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"parameter seed = min\(0, 1\) is no literal"):
        run(study)


@pytest.mark.long
def test_a_study_without_a_cluster_starts_its_own(make):
    (outcome,) = execute(make([0]), workers=1)
    assert outcome.state == "complete"


def test_caches_are_filled_for_the_encoder_of_a_change_too(tmp_path):
    changes = {"none": {}, "other": {"text": {"encoder": "b"}}, "shuffled": {"text": {"shuffled": True}}}
    fixed = {"text": {"encoder": "a"}, "changes": changes}
    block = {"grid": {"change": list(changes), "model": ["mfcnn14"], "corpus": ["mine"], "seed": [0]}, "fixed": fixed}
    content = {
        "study": "encoders",
        "corpora": {"mine": {"reader": "table", "root": "nowhere"}},
        "outputs": str(tmp_path),
        "sections": {"multitask": {"notebook": "notebooks/6_conditioning.ipynb", "blocks": [block]}},
    }
    (tmp_path / "encoders.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    study = config.load(tmp_path / "encoders.yaml")
    jobs, needs = preparations(study, list(study.runs), {})
    read = {job.name: job.call.args[0].parameters["text"]["encoder"] for job in jobs}
    assert sorted(read.values()) == ["a", "b"], "another order of the words needs no cache of its own"
    of_change = {run.parameters["change"]: [read[job] for job in needs[run.key]] for run in study.runs}
    assert of_change == {"none": ["a"], "other": ["b"], "shuffled": ["a"]}
