"""Provenance keeps every session of a run, and the seconds of all of them."""

import made_up
import pytest

from sercore import files
from sercore.training import experiment

ORIGIN = {"parameters": {"seed": 0}, "settings": {}, "corpora": {}}
FOLDS = {
    "a": {"device": "cpu", "seconds": {"loading": 1.0, "training": 20.0}},
    "b": {"device": "cpu", "seconds": {"loading": 1.0, "training": 30.0}},
}


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("SERCORE_DEVICE", "cpu")


def read(folder):
    return files.read_json(folder / files.PROVENANCE)


def test_the_seconds_of_all_sessions_and_folds_add_up(tmp_path):
    experiment.begin_session(tmp_path, ORIGIN, 3.0)
    experiment.begin_session(tmp_path, ORIGIN, 4.0)
    assert "seconds" not in read(tmp_path)
    experiment.end_session(tmp_path, ORIGIN, FOLDS)
    provenance = read(tmp_path)
    assert [session["seconds"] for session in provenance["sessions"]] == [{"loading": 3.0}, {"loading": 4.0}]
    assert provenance["seconds"] == {"loading": 9.0, "training": 50.0}
    assert provenance["folds"] == FOLDS


def test_sessions_of_other_parameters_are_not_of_this_run(tmp_path):
    experiment.begin_session(tmp_path, {**ORIGIN, "parameters": {"seed": 1}}, 3.0)
    experiment.begin_session(tmp_path, ORIGIN, 4.0)
    (session,) = read(tmp_path)["sessions"]
    assert session["seconds"] == {"loading": 4.0}
    assert session["device"] == "cpu"


def test_a_provenance_that_was_lost_or_damaged_is_made_anew(tmp_path):
    (tmp_path / files.PROVENANCE).write_text('{"commit": "abc')
    experiment.begin_session(tmp_path, ORIGIN, 3.0)
    assert len(read(tmp_path)["sessions"]) == 1
    (tmp_path / files.PROVENANCE).unlink()
    experiment.end_session(tmp_path, ORIGIN, FOLDS)
    assert {"commit", "versions", "sessions", "folds"} <= read(tmp_path).keys()


def test_nothing_is_written_beside_a_result(tmp_path):
    files.write_table(tmp_path / files.PREDICTIONS, made_up.DONE)
    experiment.begin_session(tmp_path, ORIGIN, 3.0)
    assert not (tmp_path / files.PROVENANCE).exists()
