"""Whatever is written appears whole or not at all."""

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


def test_broken_yaml_is_told_with_its_line(tmp_path):
    (tmp_path / "x.yaml").write_text("a: [1\nb: 2")
    with pytest.raises(ValueError, match="line 2"):
        files.read_yaml(tmp_path / "x.yaml")


def test_the_project_is_found_from_a_folder_inside_it(tmp_path, monkeypatch):
    for name in ("notebooks", "parameters"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert files.resolve("outputs") == tmp_path / "outputs"


def test_provenance_names_the_commit_and_the_versions():
    found = files.provenance(answer=42)
    assert found["answer"] == 42
    assert found["versions"]["torch"]
