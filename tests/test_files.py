"""Files appear whole or not at all, locks are inherited, settings and results are read."""

import subprocess
import sys

import pandas as pd
import pytest

from sercore import files


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "table.csv"
    with pytest.raises(RuntimeError, match="in the middle"), files.atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("in the middle")
    assert list(path.parent.iterdir()) == []


def test_an_interrupted_write_leaves_the_old_content(tmp_path):
    path = tmp_path / "x.txt"
    files.write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), files.atomic(path) as temporary:
        temporary.write_text("new")
        raise KeyboardInterrupt
    assert path.read_text() == "old"


def test_a_table_is_written_by_its_suffix(tmp_path):
    table = pd.DataFrame({"a": [1, 2]})
    files.write_table(tmp_path / "t.parquet", table)
    files.write_table(tmp_path / "t.csv", table)
    assert pd.read_parquet(tmp_path / "t.parquet").equals(pd.read_csv(tmp_path / "t.csv"))
    with pytest.raises(ValueError, match=r"\.parquet or \.csv, not '\.xls'"):
        files.write_table(tmp_path / "t.xls", table)


def test_a_missing_parameters_file_names_those_that_are_there(tmp_path):
    (tmp_path / "demo.yaml").write_text("a: 1")
    with pytest.raises(FileNotFoundError, match=r"found: .*demo\.yaml"):
        files.read_yaml(tmp_path / "dmeo.yaml")


def test_the_error_for_broken_yaml_names_the_line(tmp_path):
    (tmp_path / "x.yaml").write_text("a: [1\nb: 2")
    with pytest.raises(ValueError, match="line 2"):
        files.read_yaml(tmp_path / "x.yaml")


def test_the_project_is_found_from_a_folder_inside_it(tmp_path, monkeypatch):
    for name in ("notebooks", "parameters"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert files.resolve("outputs") == tmp_path / "outputs"


def test_provenance_names_the_commit_and_the_versions():
    record = files.provenance(answer=42)
    assert record["answer"] == 42
    assert record["versions"]["torch"]


def test_json_that_cannot_be_read_is_none(tmp_path):
    path = tmp_path / "x.json"
    assert files.find_json(path) is None
    path.write_text('{"a": ')
    assert files.find_json(path) is None
    files.write_json(path, {"a": 1})
    assert files.find_json(path) == {"a": 1}


def test_a_process_is_alive_until_it_has_ended():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert files.process_alive(process.pid)
    process.communicate()
    assert not files.process_alive(process.pid)
    assert not files.process_alive(0)


def test_where_there_are_no_locks_the_block_runs_without(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(files.sys, "platform", "win32")
        with files.lock(tmp_path / "x.lock") as descriptors:
            assert descriptors == ()
    with monkeypatch.context() as patch:  # a file system without locks
        patch.setattr(files.fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError("not supported")))
        with files.lock(tmp_path / "x.lock") as descriptors:
            assert descriptors == ()


def test_a_lock_is_held_until_every_process_that_inherited_it_has_ended(tmp_path):
    path = tmp_path / "x.lock"
    with files.lock(path) as descriptors:
        assert len(descriptors) == 1
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=descriptors)
    with files.lock(path) as descriptors:
        assert descriptors is None
    waited = []

    def end_child():
        waited.append(True)
        child.communicate()

    with files.lock(path, end_child) as descriptors:
        assert len(descriptors) == 1
    assert waited == [True]


@pytest.mark.parametrize(
    ("content", "key", "line"),
    [
        ("seed: 0\nfixed:\n  a: 1\nseed: 1\n", "seed", 4),
        ("a: {W: angry, W: sad}", "W", 1),
        ("a:\n  - {b: 1}\n  - {b: 1, c: 2,\n     b: 3}", "b", 4),
        ("yes: 1\ntrue: 2\n", "True", 2),
    ],
)
def test_a_key_that_is_there_twice_is_named_with_its_line(tmp_path, content, key, line):
    path = tmp_path / "p.yaml"
    path.write_text(content)
    with pytest.raises(
        ValueError, match=rf"(?s)p\.yaml is not valid YAML: the key '{key}' is there twice.*line {line}, "
    ):
        files.read_yaml(path)


def test_a_merged_mapping_may_be_changed(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n")
    assert files.read_yaml(path)["b"] == {"x": 1, "y": 3}


def test_parameters_in_another_encoding_are_refused_by_name(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_bytes("a: très".encode("latin-1"))
    with pytest.raises(ValueError, match=r"p\.yaml is not text in UTF-8.*save it as UTF-8"):
        files.read_yaml(path)


@pytest.mark.parametrize("fold", ["01", "NA", "True", "1e5", "nan"])
def test_a_history_is_read_back_as_it_was_written(tmp_path, fold):
    written = pd.DataFrame({"fold": [fold, fold], "epoch": [1, 2], "loss": [0.5, None], "seconds": [1.0, 2.0]})
    files.write_table(tmp_path / files.HISTORY, written)
    read = files.read_history(tmp_path / files.HISTORY)
    pd.testing.assert_frame_equal(read, written.astype({"fold": "str"}))
    (tmp_path / "broken.csv").write_bytes(b"")
    with pytest.raises(ValueError, match=r"broken\.csv is not a table of epochs"):
        files.read_history(tmp_path / "broken.csv")
