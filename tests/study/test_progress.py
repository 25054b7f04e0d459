"""Read from run folders: which runs are done, running, waiting or failed, and the time that is left."""

import json
import os
import socket
import threading
import time

import made_up
import pytest
import yaml

from sercore import files
from sercore.study import config, progress

GONE = 2**22 + 1  # above the largest number of a process


@pytest.fixture
def study(make, tmp_path):
    """Three seeds of a run of two folds and four epochs, then a section that needs them."""
    make([0])  # its notebook declares model and seed
    content = yaml.safe_load((tmp_path / "small.yaml").read_text(encoding="utf-8"))
    fixed = {"model": "mfcnn14"}
    notebook = str(tmp_path / "trained.ipynb")
    trained = 'model = "cnn14"\nseed = 0\ncorpus = "mine"\nfolds = ["A", "B"]\ntraining = {"epochs": 4}'
    text = (tmp_path / "n.ipynb").read_text(encoding="utf-8")
    cells = json.loads(text)
    cells["cells"][0]["source"] = trained
    (tmp_path / "trained.ipynb").write_text(json.dumps(cells), encoding="utf-8")
    content["sections"] = {
        "s": {"notebook": notebook, "blocks": [{"grid": {"seed": [0, 1, 2]}, "fixed": fixed}]},
        "after": {"notebook": notebook, "needs": ["s"], "blocks": [{"grid": {"seed": [1, 2]}, "fixed": fixed}]},
    }
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return config.load(tmp_path / "small.yaml")


def complete(run, seconds):
    files.write_json(run.folder / files.EXECUTIONS, {"executions": [{"seconds": seconds, "outcome": "complete"}]})
    files.write_table(run.folder / run.result, made_up.DONE)


def train(run, fold, epochs, ended=False):
    """`epochs` epochs of 10 s, whose score climbs by a tenth each."""
    rows = [f"{fold},{epoch},{1 / epoch},{epoch / 10},10" for epoch in range(1, epochs + 1)]
    files.write_text(
        run.folder / f"fold={fold}" / files.HISTORY, "\n".join(["fold,epoch,loss,development,seconds", *rows])
    )
    if ended:
        files.write_table(run.folder / f"fold={fold}" / files.PREDICTIONS, made_up.DONE)


def begin(run, pid=None, ago=0.0, host=None):
    """A process executes `run`, whose last heartbeat was `ago` seconds before now."""
    now = {"host": host or socket.gethostname(), "pid": pid or os.getpid(), "started": time.time() - 100, "attempt": 1}
    files.write_json(run.folder / files.RUNNING, now)
    files.write_text(run.folder / files.HEARTBEAT, "")
    for name in (files.RUNNING, files.HEARTBEAT):
        os.utime(run.folder / name, (time.time() - ago,) * 2)


def fail(run, cause="cell 4: ValueError: no"):
    files.write_json(run.folder / files.FAILURE, {"cause": cause, "time": "2026-01-01T00:00:00+00:00"})


def states(study):
    return progress.state(study)["state"].tolist()


def test_a_study_begins_with_every_run_waiting(study):
    assert states(study) == ["waiting"] * 5
    assert progress.remaining(study, 2) is None  # nothing has been measured


def test_done_running_and_failed_runs_are_distinguished(study):
    complete(study.runs[0], 50)
    begin(study.runs[1])
    fail(study.runs[2])
    assert states(study) == ["done", "running", "failed", "waiting", "waiting"]


def test_a_running_run_has_its_fold_epoch_and_score(study):
    run = study.runs[1]
    train(run, "A", 4, ended=True)
    os.utime(run.folder / "fold=A" / files.HISTORY, (time.time() - 60,) * 2)
    train(run, "B", 3)
    begin(run)
    row = progress.state(study).iloc[1]
    assert row[["fold", "epoch", "epochs"]].tolist() == ["B", 3, 4]
    assert row["development"] == pytest.approx(0.3)
    assert row["loss"] == pytest.approx(1 / 3)
    assert row["seconds"] == pytest.approx(100, abs=20)
    assert row["left"] == pytest.approx(10)  # one epoch of the second fold


def test_a_failed_run_that_runs_again_is_running(study):
    fail(study.runs[0])
    begin(study.runs[0])
    assert states(study)[0] == "running"


def test_a_complete_run_is_done_whatever_lies_beside_it(study):
    complete(study.runs[0], 50)
    fail(study.runs[0])
    begin(study.runs[0])
    assert states(study)[0] == "done"


@pytest.mark.parametrize(
    ("pid", "ago", "host", "expected"),
    [
        (None, 10_000, None, "running"),  # its process lives: it may be in a long epoch
        (GONE, 10, None, "running"),  # its worker is gone, but its kernel had a heartbeat just now
        (GONE, 10_000, None, "waiting"),
        (GONE, 600, "elsewhere", "running"),  # its process cannot be seen from here
        (GONE, 10_000, "elsewhere", "waiting"),
    ],
)
def test_what_a_killed_worker_left_behind_does_not_run(study, pid, ago, host, expected):
    begin(study.runs[0], pid, ago, host)
    assert states(study)[0] == expected


def test_a_run_says_what_it_waits_for(study):
    complete(study.runs[0], 50)
    fail(study.runs[1])
    assert progress.state(study)["cause"].tolist() == [
        "",
        "cell 4: ValueError: no",
        "",
        "waits for s/seed=1, which failed",
        "waits for s/seed=2",
    ]


def test_the_time_that_is_left_counts_what_waits_and_the_rest_of_what_runs(study):
    complete(study.runs[0], 80)
    train(study.runs[1], "A", 2)
    begin(study.runs[1])
    reading = progress.state(study)["expected"].iloc[-1]
    # seed 1 has 6 of its 8 epochs of 10 s before it, seed 2 takes as long as seed 0; then the two that read them
    assert progress.remaining(study, 2) == pytest.approx(80 + reading)
    assert progress.remaining(study, 1) == pytest.approx(60 + 80 + 2 * reading)


def test_failed_runs_and_what_needs_them_are_not_waited_for(study):
    complete(study.runs[0], 80)
    complete(study.runs[1], 80)
    fail(study.runs[2])
    complete(study.runs[3], 5)
    assert states(study) == ["done", "done", "failed", "done", "waiting"]
    assert progress.remaining(study, 1) == 0


def test_a_batch_counts_while_its_process_lives(study):
    assert progress.batch(study) is None
    record = {"host": socket.gethostname(), "pid": os.getpid(), "workers": 2, "started": time.time(), "dashboard": "d"}
    files.write_json(study.folder / files.BATCH, record)
    assert progress.batch(study) == record
    assert progress.under_way(study)
    files.write_json(study.folder / files.BATCH, record | {"pid": GONE})
    assert not progress.under_way(study)


def test_following_ends_with_the_batch_and_draws_how_many_are_done(study, capsys):
    complete(study.runs[0], 80)
    fail(study.runs[1])
    table = progress.follow(study.path, every=0.01)
    assert table["state"].value_counts()["done"] == 1
    drawn = capsys.readouterr().err
    assert "small" in drawn
    assert "1/5" in drawn
    assert "1 failed" in drawn


def test_following_goes_on_while_a_batch_is_under_way(study):
    record = {"host": socket.gethostname(), "pid": os.getpid(), "workers": 2, "started": time.time(), "dashboard": "d"}
    files.write_json(study.folder / files.BATCH, record)

    def work():
        for run in study.runs:
            time.sleep(0.1)
            complete(run, 1)

    batch = threading.Thread(target=work)
    batch.start()
    assert (progress.follow(study, every=0.01, disable=True)["state"] == "done").all()
    batch.join()


def test_a_study_is_followed_while_it_is_run_and_no_longer(study, capsys):
    with progress.followed(study, every=60):
        complete(study.runs[0], 1)  # ends at once, and draws what is done by then
    assert "1/5" in capsys.readouterr().err


def test_a_curve_is_drawn_from_its_lowest_to_its_highest():
    assert progress.sparkline([0.1, 0.2, 0.8]) == "▁▂█"
    assert progress.sparkline([0.5, 0.5]) == "▅▅"
    assert len(progress.sparkline(list(range(100)), width=30)) == 30
    assert progress.sparkline([0.1, float("nan"), 0.2]) == "▁ █"


@pytest.mark.parametrize(
    ("seconds", "words"), [(45, "45 s"), (119, "119 s"), (600, "10 min"), (9_000, "2.5 h"), (5 * 86_400, "5.0 days")]
)
def test_durations_in_words(seconds, words):
    assert progress.duration(seconds) == words


def test_a_batch_whose_number_belongs_to_another_program_is_over(make):
    study = make([0])
    started = files.process_started(os.getpid())
    record = {"host": socket.gethostname(), "pid": os.getpid(), "process_started": started}
    files.write_json(study.folder / files.BATCH, record)
    assert progress.batch(study) == record
    files.write_json(study.folder / files.BATCH, record | {"process_started": started - 86_400})
    assert progress.batch(study) is None
