"""What a disk changed in a run's folder is noticed and named, and the next `sercore run` makes it again."""

import json
import logging
import random
import shutil

import made_up
import pandas as pd
import pytest
import torch

from sercore import files
from sercore.analysis import results
from sercore.commands import cli
from sercore.models import checkpoint
from sercore.study import config, costs, integrity, plan, progress
from sercore.training import resume


def write_table(path):
    table = {"utterance": [f"u{number}" for number in range(40)], "prediction": [number / 7 for number in range(40)]}
    files.write_table(path, pd.DataFrame(table))


def write_record(path):
    files.write_record(path, {"executions": [{"seconds": 1.5, "outcome": "complete"}] * 3})


def write_checkpoint(path):
    checkpoint.save(torch.nn.Linear(5, 3), {"kind": "made-up"}, path)


def write_state(path):
    model = torch.nn.Linear(5, 3)
    epochs = [{"epoch": 1, "loss": 0.5, "best": True}]
    state = resume.TrainingState(path, {"seed": 0})
    state.save(model, torch.optim.Adam(model.parameters()), torch.Generator(), resume.Progress(1, epochs, None))


WRITERS = {
    files.PREDICTIONS: write_table,
    files.EXECUTIONS: write_record,
    files.CHECKPOINT: write_checkpoint,
    files.STATE: write_state,
}


@pytest.mark.parametrize("name", WRITERS)
def test_no_flipped_bit_and_no_cut_goes_unnoticed(tmp_path, name):
    path, chance = tmp_path / name, random.Random(0)
    WRITERS[name](path)
    assert files.damage(path) == ""
    whole = path.read_bytes()
    mark = whole.index(files.MARK)  # the checksum's own place is drawn from too
    places = [chance.randrange(len(whole)) for _ in range(240)] + list(range(mark, mark + len(files.SEAL), 2))
    silent = []

    def notice(what):
        if not files.damage(path) and (path.suffix != ".json" or files.find_json(path) is not None):
            silent.append(what)

    for place in places:
        bit = chance.randrange(8)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
        notice((place, bit))
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        notice(length)
    assert silent == []


def test_a_checksum_at_the_border_of_two_blocks_is_found(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_record(path)
    for size in range(1, 60):
        monkeypatch.setattr(files, "BLOCK", size)
        files._DAMAGE.clear()
        assert files.damage(path) == ""


def test_data_that_hold_the_words_of_a_checksum_stay_as_they_are(tmp_path):
    path = tmp_path / "a.parquet"
    table = pd.DataFrame({"utterance": [files.SEAL, "b"]})
    files.write_table(path, table)
    assert files.read_table(path).equals(table)


def test_a_table_without_a_checksum_is_read_and_its_end_must_be_there(tmp_path):
    path = tmp_path / "a.parquet"
    made_up.DONE.to_parquet(path, index=False)
    assert files.read_table(path).equals(made_up.DONE)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"a\.parquet is damaged \(it is not whole"):
        files.read_table(path)


def test_a_damaged_network_is_named(tmp_path):
    write_checkpoint(tmp_path / files.CHECKPOINT)
    flip(tmp_path / files.CHECKPOINT)
    with pytest.raises(ValueError, match=r"best\.safetensors is damaged \(its content does not have the checksum"):
        checkpoint.load(tmp_path / files.CHECKPOINT)


def test_a_file_that_cannot_be_read_is_damaged(tmp_path, monkeypatch):
    write_table(tmp_path / "a.parquet")

    def refuse(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(files, "_damage", refuse)
    assert files.damage(tmp_path / "a.parquet") == "it cannot be read: Input/output error"


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def garble(path, how):
    damaged = {"emptied": b"", "garbled": b"\xff\x00{", "other": b"[1]"}
    files.write_bytes(path, damaged[how])


RECORDS = (files.PROVENANCE, files.EXECUTIONS, files.FAILURE, files.RUNNING)


@pytest.fixture
def study(tmp_path):
    """A study of which one section was run."""
    return config.load(made_up.write_study(tmp_path, seeds=1, sections=("categories",), utterances=8))


@pytest.mark.parametrize("how", ["emptied", "garbled", "other"])
def test_damaged_records_are_named_and_stop_nothing(study, how, caplog, capsys):
    done, other = study.section("categories")[0], study.section("dimensions")[0]
    names = [*RECORDS, files.HISTORY]
    for run in (done, other):
        for name in names:
            garble(run.folder / name, how)
    for path in (study.folder / files.BATCH, study.folder / files.BATCHES):
        garble(path, how)
    assert cli.main(["status", str(study.path)]) == 0
    assert progress.batch(study) is None
    assert costs.executions(done) == []
    assert plan.failures(study) == {}
    assert len(results.read(study, "categories").predictions)
    with pytest.raises(FileNotFoundError, match="not complete"):
        results.read(study, "dimensions")
    for name in (files.EXECUTIONS, files.RUNNING, files.BATCH):
        assert f"{name} is damaged" in caplog.text
    assert caplog.text.count(str(done.folder / files.EXECUTIONS)) == 1  # and not at each look
    capsys.readouterr()


def test_a_record_that_lacks_a_value_counts_as_absent(tmp_path, caplog):
    files.write_record(tmp_path / files.FAILURE, {"task": "a"})
    assert files.find_json(tmp_path / files.FAILURE, cause=str) is None
    assert "failure.json is damaged (it has no right cause)" in caplog.text
    files.write_text(tmp_path / files.HISTORY, "fold,epoch,best\na,1,perhaps\n")
    assert files.find_history(tmp_path / files.HISTORY) is None
    files.write_text(tmp_path / files.HISTORY, "fald,epoch\na,1\n")
    assert files.find_history(tmp_path / files.HISTORY, "fold") is None
    assert "it has no column fold" in caplog.text


def test_parameters_that_are_damaged_are_those_of_the_provenance(tmp_path):
    write_table(tmp_path / files.PREDICTIONS)
    files.write_text(tmp_path / files.PARAMETERS, "")
    assert files.other_parameters(tmp_path, {"seed": 1}) == []  # nobody knows
    files.write_record(tmp_path / files.PROVENANCE, {"parameters": {"seed": 0}})
    assert files.other_parameters(tmp_path, {"seed": 1}) == ["seed"]


def test_verify_finds_what_is_damaged_and_sets_it_aside(study, capsys):
    done, other, third = study.section("categories")[:3]
    fold = done.folder / "fold=official"
    for path, write in ((fold / files.CHECKPOINT, write_checkpoint), (fold / files.STATE, write_state)):
        write(path)
        flip(path)
    flip(other.folder / files.PREDICTIONS)
    write_record(third.folder / files.EXECUTIONS)
    flip(third.folder / files.EXECUTIONS)
    assert results.read(study, "categories", incomplete="show").missing == (other,)
    assert cli.main(["status", str(study.path), "--verify"]) == 1
    printed = capsys.readouterr().out
    for path in (fold / files.CHECKPOINT, fold / files.STATE, other.folder / files.PREDICTIONS):
        assert f"damaged: {path} is damaged (" in printed
        assert files.aside_of(path).exists()
        assert not path.exists()
    assert f"{third.folder / files.EXECUTIONS} is damaged" in printed
    assert "4 damaged files; `sercore run" in printed
    assert not done.complete
    assert third.complete
    assert cli.main(["status", str(study.path)]) == 0


def test_what_is_set_aside_or_was_half_saved_is_made_again(make, capsys):
    study = make([0, 1, 2])
    damaged, half, whole = study.runs
    for run in study.runs:
        files.write_table(run.folder / run.result, made_up.DONE)
        files.write_yaml(run.folder / files.PARAMETERS, {"model": "cnn14", "seed": run.parameters["seed"]})
        shutil.copy(run.notebook, run.folder / files.NOTEBOOK)
    flip(damaged.folder / damaged.result)
    files.write_record(half.folder / files.RUNNING, {"pid": 0, "started": 0.0})
    (half.folder / files.NOTEBOOK).write_text('{"cells": [')
    assert cli.main(["run", str(study.path), "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert f"damaged: {damaged.folder / damaged.result} is damaged (its content" in printed
    assert f"{half.folder} is executed again: it was killed before notebook.ipynb was saved" in printed
    assert "study small: 3 runs, 1 complete" in printed
    assert all(run.complete for run in study.runs)
    assert not (whole.folder / "log.txt").exists()
    assert not list(study.folder.rglob(files.DAMAGED))
    assert "outputs" not in json.loads((half.folder / files.NOTEBOOK).read_text())


def test_a_run_that_is_executed_now_is_left_alone(make):
    (run,) = make([0]).runs
    files.write_table(run.folder / run.result, made_up.DONE)
    (run.folder / files.PROVENANCE).touch()
    with files.lock(run.folder / ".notebook.lock"):
        assert integrity.mend(run) == []
    assert run.complete
    assert integrity.mend(run) == [
        f"{run.folder / files.PROVENANCE} is damaged (it is empty): it is made again, what was there is in "
        f"{run.folder / files.DAMAGED} until then"
    ]
    assert not run.complete


def test_what_cannot_be_moved_is_named(make, monkeypatch, caplog):
    caplog.set_level(logging.WARNING)
    (run,) = make([0]).runs
    for name in (files.EXECUTIONS, files.PROVENANCE):
        garble(run.folder / name, "emptied")

    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(files.Path, "replace", refuse)
    monkeypatch.setattr(files.Path, "unlink", refuse)
    monkeypatch.setattr(files, "lock", refuse)
    lines = integrity.mend(run)
    assert [("cannot be removed: [Errno 30]" in line, "cannot be set aside: [Errno 30]" in line) for line in lines] == [
        (True, False),
        (False, True),
    ]
