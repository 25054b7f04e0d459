"""The command line: what it prints, and that a mistake is told in words with status 2."""

import pytest
import yaml

from sercore.commands import cli


def test_check_prints_what_is_found(embedded, capsys):
    assert cli.main(["check", "iemocap", embedded["iemocap"]["root"]]) == 0
    printed = capsys.readouterr().out
    assert "SIMULATED" in printed
    assert "10: 5 female" in printed
    assert "rating outside the scale" in printed


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["check", "iemocp", "."], "unknown corpus 'iemocp'; did you mean 'iemocap'"),
        (["check", "iemocap", "nowhere"], "does not exist"),
        (["run", "parameters/dmeo.yaml"], "no parameters file"),
        (["run", "parameters/demo.yaml", "--section", "categoris"], "did you mean 'categories'"),
    ],
)
def test_a_mistake_is_told_on_one_screen(arguments, complaint, capsys):
    assert cli.main(arguments) == 2
    told = capsys.readouterr().err
    assert complaint in told
    assert len(told.splitlines()) < 20
    assert "Traceback" not in told


def test_run_says_what_it_did_and_a_second_run_that_there_is_nothing_to_do(make, capsys):
    plan = make([0, 1])
    assert cli.main(["run", str(plan.path)]) == 0
    assert "2 runs executed, 0 skipped, 0 failed" in capsys.readouterr().out
    assert cli.main(["run", str(plan.path)]) == 0
    assert "nothing to do: every run and analysis of study small is complete" in capsys.readouterr().out


def test_a_failed_run_shows_in_the_exit_status_and_in_status(make, capsys):
    plan = make([13, 1])
    assert cli.main(["run", str(plan.path)]) == 1
    assert "FAILED" in capsys.readouterr().out
    assert cli.main(["status", str(plan.path)]) == 1
    printed = capsys.readouterr().out
    assert "s: 1 done, 0 running, 0 waiting, 1 failed, of 2" in printed
    assert "seed 13 brings bad luck" in printed


def test_plan_counts_the_trainings_of_the_papers_grid(capsys):
    assert cli.main(["plan", "parameters/paper.yaml"]) == 0
    # (20 MSP-Podcast + 20 IEMOCAP x 10 folds) + (45 + 45 x 10) + 20
    assert "study paper: 175 runs, 735 trainings" in capsys.readouterr().out


def test_an_incomplete_study_is_not_analysed(make, capsys, tmp_path):
    plan = make([13])
    content = yaml.safe_load(plan.path.read_text()) | {"analysis": [str(tmp_path / "n.ipynb")]}
    plan.path.write_text(yaml.safe_dump(content))
    assert cli.main(["run", str(plan.path)]) == 1
    assert "analysis notebooks wait until every run of the study is complete" in capsys.readouterr().out
