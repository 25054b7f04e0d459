"""The batch: runs a grid of real notebooks in real kernels, once each, past those that fail."""

import pytest
import yaml

from sercore.study import config
from sercore.study.plan import execute, failures, run_parameters
from sercore.study.workers import Cluster, Where


@pytest.fixture(scope="module")
def cluster():
    with Cluster(Where(workers=2)) as cluster:
        yield cluster


@pytest.fixture
def run(cluster):
    return lambda plan, **how: {outcome.name: outcome for outcome in execute(plan, cluster, **how)}


def test_a_complete_run_is_not_executed_again(make, run):
    plan = make([0, 1])
    assert {o.state for o in run(plan).values()} == {"complete"}
    assert {o.state for o in run(plan).values()} == {"skipped"}
    assert (plan.runs[0].folder / "log.txt").read_text() == "executed "


def test_the_rest_goes_on_past_a_run_that_fails(make, run):
    plan = make([13, 7, 1])
    outcomes = run(plan)
    assert outcomes["s/seed=1"].state == "complete"
    assert "ValueError: seed 13 brings bad luck" in outcomes["s/seed=13"].cause
    assert "ended without a result" in outcomes["s/seed=7"].cause
    assert failures(plan) == {name: outcomes[name].cause for name in ("s/seed=13", "s/seed=7")}


def test_a_misspelt_parameter_is_an_error_before_anything_runs(make, run):
    plan = make([0], modle="bert")
    with pytest.raises(ValueError, match=r"n\.ipynb has no parameter 'modle'; did you mean 'model'"):
        run(plan)
    assert not plan.runs[0].folder.exists()


def test_a_result_of_other_parameters_is_an_error_and_is_kept(make, run):
    run(make([0]))
    plan = make([0], model="bert")
    with pytest.raises(ValueError, match=r"hold other parameters .* s/seed=0 \(model\)"):
        run(plan)
    assert plan.runs[0].complete


def test_a_run_that_failed_may_be_given_other_parameters(make, run):
    run(make([13]))
    plan = make([13], model="bert")
    assert run(plan)["s/seed=13"].state == "failed"  # it was executed again, and not refused


def test_where_the_data_lies_is_no_part_of_a_run(make):
    plan = make([0])
    assert run_parameters(plan.runs[0]) == {"model": "cnn14", "seed": 0}


def test_a_missing_notebook_is_told(make, run, tmp_path):
    plan = make([0])
    (tmp_path / "n.ipynb").rename(tmp_path / "other.ipynb")
    with pytest.raises(FileNotFoundError, match=r"no notebook .*n\.ipynb; found in that folder: other\.ipynb"):
        run(plan)


def test_a_section_waits_for_those_that_it_needs(make, run):
    plan = make([0, 13])
    content = yaml.safe_load(plan.path.read_text())
    content["sections"]["later"] = content["sections"]["s"] | {"needs": ["s"], "blocks": [{"grid": {"seed": [1]}}]}
    plan.path.write_text(yaml.safe_dump(content))
    plan = config.load(plan.path)
    outcomes = run(plan)
    assert "waits for s/seed=13, which is not complete: cell" in outcomes["later/seed=1"].cause
    content["sections"]["s"]["blocks"] = [{"grid": {"seed": [0]}}]
    plan.path.write_text(yaml.safe_dump(content))
    assert run(config.load(plan.path))["later/seed=1"].state == "complete"
