"""`sercore status`: what it prints of a study, and what its exit status says."""

import os
import socket
import sys
import threading
import time

import made_up
import pytest
import yaml

from sercore import files
from sercore.commands import cli


def begin(study, run, curve=()):
    """A batch of this process executes `run`, whose fold has the development scores `curve`."""
    now = {"host": socket.gethostname(), "pid": os.getpid(), "started": time.time() - 600}
    files.write_json(study.folder / files.BATCH, now | {"workers": 2, "dashboard": "http://here:8787/status"})
    files.write_json(run.folder / files.RUNNING, now | {"attempt": 1})
    rows = [f"Ses01F,{epoch},{1 / epoch},{score},10" for epoch, score in enumerate(curve, 1)]
    table = "\n".join(["fold,epoch,loss,development,seconds", *rows])
    files.write_text(run.folder / "fold=Ses01F" / files.HISTORY, table)


def status(study, capsys, *options):
    code = cli.main(["status", str(study.path), *options])
    return code, capsys.readouterr().out


def test_a_study_without_a_batch_waits(make, capsys):
    code, printed = status(make([0, 1]), capsys)
    assert code == 0
    assert "study small: 0 done, 0 running, 2 waiting, 0 failed, of 2" in printed
    assert "no run has been measured yet" in printed


def test_a_running_batch_has_its_dashboard_and_the_curves_of_its_runs(make, capsys):
    study = make([0, 1])
    begin(study, study.runs[0], curve=[0.25, 0.3, 0.5, 0.4])
    code, printed = status(study, capsys)
    assert code == 0
    assert f"process {os.getpid()}, 2 workers" in printed
    assert "dashboard: http://here:8787/status" in printed
    assert "s: 0 done, 1 running, 1 waiting, 0 failed, of 2" in printed
    assert "running s/seed=0: 10 min" in printed
    assert "fold Ses01F, epoch 4 of 60, loss 0.250, development 0.400 ▁▂█▅" in printed
    assert " to go" in printed


def test_a_failed_run_shows_its_failing_cell_and_the_exit_status(make, capsys):
    study = make([0])
    source = "\n".join(f"line {number}" for number in range(9))
    record = {"time": "2026-01-02T03:04:05+00:00", "cause": "cell 4: ValueError: no", "cell": 4, "attempts": 2}
    files.write_json(study.runs[0].folder / files.FAILURE, record | {"source": source})
    code, printed = status(study, capsys)
    assert code == 1
    assert "failed s/seed=0: cell 4: ValueError: no" in printed
    assert "2026-01-02T03:04:05+00:00, after 2 attempts" in printed
    assert "| line 5" in printed
    assert "line 6" not in printed
    assert "3 more lines" in printed


def test_only_the_failed_ones_are_run_again(make, capsys):
    study = make([13, 1, 2])
    files.write_json(study.runs[0].folder / files.FAILURE, {"cause": "its kernel was killed"})
    files.write_table(study.runs[1].folder / study.runs[1].result, made_up.DONE)
    code, printed = status(study, capsys, "--failed", "--workers", "1")
    assert code == 1  # it fails again
    assert "seed 13 brings bad luck" in printed
    assert (study.runs[0].folder / "log.txt").read_text() == "executed "
    assert not study.runs[2].folder.exists()  # it waits, and has not failed


def test_where_nothing_has_failed_nothing_is_run_again(make, capsys):
    study = make([0])
    assert status(study, capsys, "--failed") == (0, "study small: no run has failed\n")
    assert not study.runs[0].folder.exists()


def test_watching_ends_when_no_batch_is_under_way(make, capsys):
    study = make([0])
    files.write_table(study.runs[0].folder / study.runs[0].result, made_up.DONE)
    code, printed = status(study, capsys, "--watch", "--every", "0.01")
    assert code == 0
    assert printed.count("study small: 1 done") == 1


def test_changed_inputs_are_listed_and_show_in_the_exit_status(make, capsys):
    study = make([0, 1])
    for run in study.runs:
        files.write_yaml(run.folder / files.PARAMETERS, {"model": "cnn14", "seed": run.parameters["seed"]})
        files.write_table(run.folder / run.result, made_up.DONE)
        files.write_bytes(run.folder / files.NOTEBOOK, run.notebook.read_bytes())
    code, printed = status(study, capsys, "--verify")
    assert code == 0
    assert "inputs of 0 of 2 complete runs have changed" in printed
    files.write_yaml(study.runs[1].folder / files.PARAMETERS, {"model": "bert", "seed": 1})
    files.write_bytes(study.runs[1].folder / "more.parquet", b"")  # it has results of these parameters
    code, printed = status(study, capsys, "--verify")
    assert code == 1
    assert "input: the study has another model now: 1 runs, s/seed=1" in printed


def test_options_that_exclude_each_other_are_refused(make, capsys):
    with pytest.raises(SystemExit) as ended:
        status(make([0]), capsys, "--watch", "--failed")
    assert ended.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


def test_the_help_says_what_the_exit_statuses_mean(capsys):
    with pytest.raises(SystemExit):
        cli.main(["status", "--help"])
    assert "exit status: 0" in capsys.readouterr().out


def test_a_batch_that_has_begun_no_run_fills_its_caches(make, capsys):
    study = make([0])
    begin(study, study.runs[0])
    (study.runs[0].folder / files.RUNNING).unlink()
    assert "no run has begun: the caches are filled first" in status(study, capsys)[1]


def test_a_study_without_a_batch_says_how_long_the_rest_takes(make, capsys):
    study = make([0, 1])
    record = {"executions": [{"seconds": 600, "outcome": "complete"}]}
    files.write_json(study.runs[0].folder / files.EXECUTIONS, record)
    files.write_table(study.runs[0].folder / study.runs[0].result, made_up.DONE)
    assert "no batch is under way; about 10 min to go once `sercore run` goes on" in status(study, capsys)[1]


def test_a_long_list_of_failed_runs_is_cut_and_what_waits_for_them_is_listed(make, capsys):
    study = make(list(range(22)))
    content = yaml.safe_load(study.path.read_text())
    content["sections"]["later"] = content["sections"]["s"] | {"needs": ["s"], "blocks": [{"grid": {"seed": [5]}}]}
    study.path.write_text(yaml.safe_dump(content))
    for run in study.runs:
        files.write_json(run.folder / files.FAILURE, {"cause": "no"})
    code, printed = status(study, capsys)
    assert code == 1
    assert printed.count("  failed s/seed=") == 20
    assert "... and 2 more failed" in printed
    assert "waiting later/seed=5: waits for s/seed=5, which failed" in printed


@pytest.mark.parametrize("terminal", [False, True])
def test_watching_prints_what_changes_while_a_batch_is_under_way(make, capsys, monkeypatch, terminal):
    study = make([0])
    begin(study, study.runs[0], curve=[0.25])
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)

    def end():
        files.write_table(study.runs[0].folder / study.runs[0].result, made_up.DONE)
        (study.folder / files.BATCH).unlink()

    batch = threading.Timer(1.5, end)
    batch.start()
    code, printed = status(study, capsys, "--watch", "--every", "0.01")
    batch.join()
    assert code == 0
    assert printed.index("study small: 0 done, 1 running") < printed.index("study small: 1 done, 0 running")
    assert ("\x1b[H" in printed) == terminal
