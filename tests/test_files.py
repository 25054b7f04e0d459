"""Files appear whole or not at all, locks are inherited, settings and results are read."""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest

from sercore import files
from sercore.corpora import cells


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
    ("text", "complaint"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: 'a' is there twice, first in line 1"),
        ("a: {x: 1, x: 2}", "line 1: 'x' is there twice"),
        ("- {x: 1, x: 2}", "'x' is there twice"),
        ("a: &a {x: 1}\nb: {<<: *a, <<: *a}", "'<<' is there twice"),
        ("a: &a [*a]", "line 1: an alias stands for what it is in"),
        ("[1, 2]: x", "not valid YAML"),
        ("a: 2024-13-45", "not valid YAML"),
        ("a: " + "[" * 2000, "not valid YAML"),
        ("a: \x07", "not valid YAML"),
        (
            "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
            + "\n".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]" for n in range(9)),
            "more than 100,000 values",
        ),
    ],
)
def test_yaml_that_means_two_things_or_none_is_refused(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        files.parse_yaml(text, "x.yaml")


def test_each_value_has_its_line_and_what_is_written_there():
    content, places = files.parse_yaml("a: &a {x: no, y: 'no'}\nb:\n  <<: [*a, {z: 1}]\n  01: [yes, 2]\n", "x.yaml")
    assert content["b"] == {"x": False, "y": "no", "z": 1, 1: [True, 2]}
    assert places["b", "x"] == files.Place(1, "x", "no")
    assert places["b", "y"] == files.Place(1, "y", "")
    assert places["b", 1] == files.Place(4, "01", "")
    assert places["b", 1, 0] == files.Place(4, "", "yes")
    assert files.parse_yaml("", "x.yaml") == (None, {})


def test_a_file_in_another_encoding_is_named(tmp_path):
    (tmp_path / "x.yaml").write_bytes("a: \xe4".encode("latin-1"))
    with pytest.raises(ValueError, match=r"x\.yaml is not text in UTF-8"):
        files.read_yaml(tmp_path / "x.yaml")


@pytest.mark.parametrize("plain", ["Ses01F", "model=cnn14,corpus=a b,seed=0", "fold=by_speaker_0", "corruption=0.25"])
def test_what_every_disk_takes_stays_as_it_is(plain):
    assert files.folder_name(plain) == plain


ODD = [
    "..",
    ".",
    "",
    "../up",
    "x/../../evil",
    "a\\b",
    "x:y",
    "{width}",
    "nul",
    "CON",
    "com1.wav",
    "a.",
    "a ",
    " a",
    ".a",
]
ODD += ["~", "%2F", "a/b", "a%2Fb", "ä", "a\u0308", "😀", "a\0b", "\udcff", "*", "x" * 300, "x" * 301, "日本" * 60]


def test_every_name_is_a_folder_of_its_own_inside():
    names = [files.folder_name(text) for text in ODD]
    assert len({name.lower() for name in names}) == len(ODD)
    for name in names:
        assert re.fullmatch(r"[ -~]{1,100}", name)
        assert not re.search(r'[<>:"/\\|?*{}]|[. ]$|^[. ]', name)
        assert name.split(".")[0].lower() not in files.RESERVED
    assert unquote(files.folder_name("x/../é{1}")) == "x/../é{1}"


def test_names_that_differ_in_case_alone_have_folders_apart(tmp_path):
    folders = files.fold_folders(tmp_path, ["A", "a", "b"])
    assert len({folder.name.lower() for folder in folders.values()}) == 3
    assert folders["b"] == tmp_path / "fold=b"


def test_another_process_of_the_same_number_is_not_the_one_that_was_recorded():
    started = files.process_started(os.getpid())
    assert files.process_alive(os.getpid(), started)
    assert not files.process_alive(os.getpid(), started - 3600)
    assert files.process_started(-1) is None


def test_a_merged_mapping_may_be_changed(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n")
    assert files.read_yaml(path)["b"] == {"x": 1, "y": 3}


@pytest.mark.parametrize("fold", ["01", "NA", "True", "1e5", "nan"])
def test_a_history_is_read_back_as_it_was_written(tmp_path, fold):
    written = pd.DataFrame({"fold": [fold, fold], "epoch": [1, 2], "loss": [0.5, None], "seconds": [1.0, 2.0]})
    files.write_table(tmp_path / files.HISTORY, written)
    read = files.read_history(tmp_path / files.HISTORY)
    pd.testing.assert_frame_equal(read, written.astype({"fold": "str"}))
    (tmp_path / "broken.csv").write_bytes(b"")
    with pytest.raises(ValueError, match=r"broken\.csv is not a table of epochs"):
        files.read_history(tmp_path / "broken.csv")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+a", "'+a"),
        ("-a.wav", "'-a.wav"),
        ("@cmd", "'@cmd"),
        ("'=1", "''=1"),
        ("''-x", "'''-x"),
        ("'tis", "'tis"),
        ("-3.5e-2", "-3.5e-2"),
        ("+1", "+1"),
        ("a=b", "a=b"),
    ],
)
def test_a_spreadsheet_computes_no_text_of_a_csv_and_we_read_it_as_it_was(tmp_path, text, written):
    path = tmp_path / "table.csv"
    files.write_table(path, pd.DataFrame({"text": [text], "number": [-1.5]}))
    assert path.read_text() == f"text,number\n{written},-1.5\n"
    assert cells.read_csv(path)["text"].tolist() == [text]
    assert files.unguarded(pd.read_csv(path, dtype={"text": "str"})).to_dict("list") == {
        "text": [text],
        "number": [-1.5],
    }


def test_a_fold_that_looks_like_a_formula_keeps_its_name_in_the_history(tmp_path):
    path = tmp_path / files.HISTORY
    files.write_table(path, pd.DataFrame({"fold": ["=ada", "-01"], "epoch": [1, 2]}))
    assert files.read_history(path)["fold"].tolist() == ["=ada", "-01"]


HOLDER = """
import sys, time
from pathlib import Path
from sercore import files
with files.private_folder(Path(sys.argv[1])) as folder:
    print(folder, flush=True)
    time.sleep(600)
"""


def test_private_folders_of_processes_that_were_killed_are_removed_at_the_next_start(tmp_path):
    held = [
        subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    killed, alive = [Path(process.stdout.readline().strip()) for process in held]
    held[0].kill()
    held[0].communicate()
    foreign = tmp_path / f"{files.PRIVATE}without-a-lock"
    foreign.mkdir()
    with files.private_folder(tmp_path) as mine:
        assert mine.stat().st_mode & 0o777 == 0o700
        assert not killed.exists()
        assert alive.exists()
        assert foreign.exists()
    assert not mine.exists()
    held[1].kill()
    held[1].communicate()


def test_a_private_folder_is_not_looked_for_behind_a_link(tmp_path):
    elsewhere, parent = tmp_path / "elsewhere", tmp_path / "parent"
    for folder in (elsewhere, parent):
        folder.mkdir()
    (elsewhere / files.LOCK).touch()
    (parent / f"{files.PRIVATE}x").symlink_to(elsewhere)
    with files.private_folder(parent):
        assert (elsewhere / files.LOCK).exists()
