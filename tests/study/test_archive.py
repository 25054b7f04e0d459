"""Results that travel: what an archive holds, that it comes out as it went in, and that a bad one does nothing."""

import hashlib
import io
import json
import re
import shutil
import tarfile
import zipfile
from pathlib import Path

import made_up
import pandas as pd
import pytest
import yaml

from sercore import corpora, files
from sercore.analysis import corpus_statistics, figures, results, tables, words
from sercore.commands import cli
from sercore.corpora.archived import TABLE
from sercore.study import archive, config, verify
from sercore.widgets import confusions, sound

PICTURE = b"\x89PNG made up"
EACH = 16  # utterances of a speaker
SPEAKERS = "model,speaker,score\ncnn14,Ses01F,61.5\n"


def finished(folder: Path, licensed: tuple[str, ...] = ()) -> config.Study:
    """A study whose eight runs are complete, with tables, a figure and transcripts; IEMOCAP with votes."""
    path = made_up.write_study(folder, seeds=2, sections=())
    made_up.write_words(path, EACH, misled=False)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["sections"] = {"categories": content["sections"]["categories"]}
    content["sections"]["categories"]["blocks"][0]["grid"]["model"] = ["bert", "cnn14"]
    others = {"typed": str(folder / "typed.csv")}
    content["corpora"]["iemocap"] |= {"votes": str(folder / "votes.csv"), "other_transcripts": others}
    (folder / "votes.csv").write_text("utterance,rater,emotion\niemocap-00000,A,sad\n", encoding="utf-8")
    (folder / "typed.csv").write_text("utterance,transcript\niemocap-00000,typed words\n", encoding="utf-8")
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    files.write_text(folder / corpora.SIMULATED, "made up")
    study = config.load(path)
    utterances = {name: made_up.made_up_corpus(name, EACH) for name in made_up.SCALES}
    for run in study.runs:
        made_up.write_run(run, utterances)
        held = {
            name: {"simulated": name not in licensed, "scale": scale, "fingerprint": {"table": "0"}}
            for name, scale in made_up.SCALES.items()
        }
        folds = {fold: {"seconds": {}} for fold in files.read_table(run.folder / files.PREDICTIONS)["fold"].unique()}
        about = {"corpora": held, "folds": folds, "parameters": run.parameters}
        files.write_record(run.folder / files.PROVENANCE, about)
        files.write_yaml(run.folder / files.PARAMETERS, run.parameters)
        for place in files.fold_folders(run.folder, folds).values():
            with files.sealed(place / files.CHECKPOINT) as network:
                network.write_text(f"weights {files.SEAL}", encoding="utf-8")
        files.write_text(run.folder / files.NOTEBOOK, "a notebook that was executed: the keys are on the table")
    for name, text in (("table_1", "model,score\ncnn14,61.5\n"), ("table_1_speakers", SPEAKERS)):
        files.write_text(study.folder / "tables" / f"{name}.csv", text)
        files.write_text(study.folder / "tables" / f"{name}.md", text)
    files.write_bytes(study.folder / "figures" / "figure_2.png", PICTURE)
    return study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return finished(tmp_path_factory.mktemp("simulated"))


@pytest.fixture(scope="module")
def licensed(tmp_path_factory):
    return finished(tmp_path_factory.mktemp("licensed"), licensed=("iemocap",))


@pytest.fixture(scope="module")
def packed(study, tmp_path_factory):
    """An archive of the simulated study."""
    path = tmp_path_factory.mktemp("packed") / "made-up.tar.gz"
    assert cli.main(["pack", str(study.path), str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def hashed(licensed, tmp_path_factory):
    """The licensed study, packed with hashes in place of ids and unpacked elsewhere; and the archive's folder."""
    folder = tmp_path_factory.mktemp("hashed")
    arguments = ["--with-labels", "--hash-ids", "--key", str(folder / "key"), "--checkpoints"]
    assert cli.main(["pack", str(licensed.path), str(folder / "study.zip"), *arguments]) == 0
    return config.load(archive.unpack(folder / "study.zip", folder / "there"))


def contents_of(folder: Path) -> dict[str, bytes]:
    """Path -> content of every file below `folder`."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def digests(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents_of(folder).items()}


def test_what_is_packed_comes_out_byte_for_byte(study, packed, tmp_path):
    there = config.load(archive.unpack(packed, tmp_path / "there"))
    before, after = digests(study.folder), digests(there.folder)
    assert {name: before[name] for name in after} == after
    left = {Path(name).name for name in before.keys() - after.keys()}
    assert left == {files.NOTEBOOK, files.CHECKPOINT}
    assert all(run.complete for run in there.runs)
    assert [run.parameters for run in there.runs] == [run.parameters for run in study.runs]
    zipped = tmp_path / "made-up.zip"
    assert cli.main(["pack", str(there.path), str(zipped)]) == 0, "what was unpacked can be packed again"
    again = config.load(archive.unpack(zipped, tmp_path / "again"))
    assert digests(again.folder) == after


@pytest.mark.long
def test_the_same_contents_give_the_same_archive(study, packed, tmp_path):
    assert cli.main(["pack", str(study.path), str(tmp_path / "a.tgz")]) == 0
    assert digests(tmp_path)["a.tgz"] == digests(packed.parent)[packed.name]


def test_the_corpora_of_an_unpacked_study_are_their_tables(study, packed, tmp_path):
    there = config.load(archive.unpack(packed, tmp_path / "there"))
    held = {corpus.name: corpus for corpus in corpus_statistics.read(there)}
    for name, corpus in held.items():
        pd.testing.assert_frame_equal(corpus.utterances, results.read_corpus(study, name).utterances)
        assert corpus.simulated
    assert held["iemocap"].votes["rater"].tolist() == ["A"]
    assert held["iemocap"].other_transcripts["typed"].read_text(encoding="utf-8").endswith("typed words\n")
    with pytest.raises(FileNotFoundError, match="unpacked from an archive, which holds no sound of iemocap"):
        sound.audio_of(list(held.values()))("iemocap", "iemocap-00000")
    changes = verify.other_corpora(there, there.runs)
    assert set(changes["severity"]) == {verify.UNKNOWN}
    assert set(changes["what"]) == {f"{name} cannot be compared: it is an archive's" for name in made_up.SCALES}


@pytest.mark.long
def test_the_analysis_works_without_the_corpora(study, packed, hashed, tmp_path):
    there = config.load(archive.unpack(packed, tmp_path / "there"))
    here, unpacked, private = (results.read(one, "categories") for one in (study, there, hashed))
    table = tables.table_1(here).frame
    drawn = set()
    for one in (here, unpacked, private):
        assert tables.table_1(one).frame.equals(table)
        picture = figures.picture(figures.plot_confusions(one, models=("bert", "cnn14")))
        drawn.add(hashlib.sha256(picture).hexdigest())
    assert len(drawn) == 1
    before, *after = (browse(one, tmp_path) for one in (study, there, hashed))
    choice = before.controls.choice
    for browser, said in zip(after, (f"{made_up.COMMON}|sentence number", "no transcript"), strict=True):
        for model in ("cnn14", "lf"):
            assert browser.state.counts(choice, model).equals(before.state.counts(choice, model))
        browser.open_cell(browser.one, "sad", "sad")
        browser.list.open_row(0)
        shown = browser.list.text.value
        assert "No sound: the study was unpacked from an archive, which holds no sound of msp-podcast" in shown
        assert re.search(said, shown)


def browse(study: config.Study, folder: Path) -> confusions.ConfusionBrowser:
    outcome, held = results.read(study, "categories"), corpus_statistics.read(study)
    labelled = words.label_predictions(outcome)
    return confusions.browse(labelled, sound.gather(held), outcome.best, sound.audio_of(held), folder)


def test_a_licensed_study_is_refused_unless_its_labels_may_be_passed_on(licensed, tmp_path, capsys):
    target = tmp_path / "study.tar.gz"
    assert cli.main(["pack", str(licensed.path), str(target), "--hash-ids"]) == 2
    printed = capsys.readouterr().err
    assert "the speech of iemocap is not simulated" in printed
    assert "--with-labels" in printed
    assert cli.main(["pack", str(licensed.path), str(target), "--with-labels"]) == 0
    assert "WARNING: it holds labels of iemocap" in capsys.readouterr().out
    there = config.load(archive.unpack(target, tmp_path / "there"))
    held = corpora.read("iemocap", there.corpora["iemocap"]["root"], reader="archived", scale=(1, 5)).utterances
    assert held["transcript"].isna().all()
    assert held["emotion"].isna().all(), "labels are in the predictions alone"
    assert set(held["utterance"]) == set(made_up.made_up_corpus("iemocap", EACH)["utterance"]), "ids stay unless asked"
    texts = b"".join(contents_of(tmp_path / "there").values())
    assert made_up.COMMON.encode() not in texts
    assert b"typed words" not in texts
    pd.testing.assert_frame_equal(*(results.read(one, "categories").scores for one in (there, licensed)))


def test_no_id_is_left_where_ids_are_hashed(hashed):
    everyone = pd.concat([made_up.made_up_corpus(name, EACH) for name in made_up.SCALES])
    ids, speakers = set(everyone["utterance"]), {name for name in everyone["speaker"] if name.startswith("Ses")}
    home = hashed.path.parents[1]
    for name, content in contents_of(home).items():
        assert not any(speaker in name for speaker in speakers), name
        if name.endswith(".parquet"):
            table = pd.read_parquet(io.BytesIO(content))
            text = [table[column] for column in table if pd.api.types.is_string_dtype(table[column].dtype)]
            assert not any((ids | speakers).intersection(column.unique()) for column in text), name
            assert table["utterance"].is_monotonic_increasing or "fold" in table, "else their order gives them away"
        elif not name.startswith("notebooks/"):  # whose defaults are those of the published notebooks
            assert not any(one.encode() in content for one in (*ids, *speakers)), name
    for run in hashed.runs:
        table = pd.read_parquet(run.folder / files.PREDICTIONS)
        assert all(rows["utterance"].is_monotonic_increasing for _, rows in table.groupby("fold"))
        assert table["fold"].is_monotonic_increasing
        assert set(table["fold"]) <= {"official"} | set(table["speaker"]), "a fold is called after its speaker"
        assert set(table["fold"]) == set(files.read_history(run.folder / files.HISTORY)["fold"])
        assert set(table["fold"]) == files.read_json(run.folder / files.PROVENANCE)["folds"].keys()
        assert all((place / files.CHECKPOINT).exists() for place in run.folder.glob(f"{files.FOLD}*"))
        assert len(list(run.folder.glob(f"{files.FOLD}*"))) == table["fold"].nunique()
        assert files.other_parameters(run.folder, run.parameters) == []
    assert {path.name for path in (hashed.folder / "tables").iterdir()} == {"table_1.csv", "table_1.md"}


def test_hashed_ids_give_the_same_scores(licensed, hashed):
    before, after = (results.read(one, "categories") for one in (licensed, hashed))
    pd.testing.assert_frame_equal(after.scores, before.scores, rtol=1e-12)
    right = [one.predictions["truth"] == one.predictions["prediction"] for one in (before, after)]
    means = [
        sorted(hits.groupby(one.predictions["speaker"].astype("str")).mean())
        for hits, one in zip(right, (before, after), strict=True)
    ]
    assert means[0] == pytest.approx(means[1]), "speakers are the same people"


def test_a_hash_is_the_keys_and_the_same_everywhere(hashed, tmp_path):
    key = archive.read_key(hashed.path.parents[2] / "key")
    names = archive.Pseudonyms(key)
    known = {names.of("utterance", one) for one in made_up.made_up_corpus("iemocap", EACH)["utterance"]}
    assert set(pd.read_parquet(Path(hashed.corpora["iemocap"]["root"]) / TABLE)["utterance"]) == known
    other = archive.Pseudonyms(archive.read_key(tmp_path / "new"))
    assert known.isdisjoint(other.of("utterance", one) for one in made_up.made_up_corpus("iemocap", EACH)["utterance"])
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0, "nobody else reads the key"
    (tmp_path / "bad").write_text("my password", encoding="utf-8")
    with pytest.raises(ValueError, match="bad holds no key; expected 64 hexadecimal digits"):
        archive.read_key(tmp_path / "bad")


def test_tables_of_a_licensed_study_that_hold_texts_or_ids_are_left_out(licensed, tmp_path):
    folder = tmp_path / "study"
    shutil.copytree(licensed.path.parent, folder)
    path = folder / "parameters.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace(str(licensed.path.parent), str(folder)), encoding="utf-8")
    own = config.load(path)
    for name, text in (
        ("said.csv", "transcript,score\nhello,1\n"),
        ("worst.csv", "who,score\niemocap-00003,1\n"),
        ("by_hand.md", "hello"),
        ("noted.csv", "score\n1\n"),
        ("noted.tex", "lacks a class: Ses01F."),
    ):
        files.write_text(own.folder / "tables" / name, text)
    files.write_text(own.runs[0].folder / "said.csv", "transcript,score\nhello,1\n")
    with files.private_folder() as staging:
        held = archive.gather(own, staging, with_labels=True, hash_ids=True)
        left = "\n".join(held.left_out)
    for line in (
        "said.csv: it has a column transcript",
        "worst.csv: it names iemocap-00003",
        "noted.tex: it names Ses01F",
        "by_hand.md: what is in it cannot be looked at, for there is no by_hand.csv",
        "table_1_speakers.csv: it has a column speaker",
        f"{own.runs[0].name}/said.csv: it has a column transcript",
    ):
        assert line in left
    run = own.runs[0]
    table = files.read_table(run.folder / files.PREDICTIONS)
    files.write_table(run.folder / files.PREDICTIONS, table.assign(group_recording=table["utterance"]))
    with (
        files.private_folder() as staging,
        pytest.raises(ValueError, match="ids of utterances are in its column group_recording"),
    ):
        archive.gather(own, staging, with_labels=True, hash_ids=True)


def test_a_dry_run_lists_what_would_be_written(study, tmp_path, capsys):
    target = tmp_path / "study.tar.gz"
    assert cli.main(["pack", str(study.path), str(target), "--dry-run", "--checkpoints"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert not target.exists()
    counts = {
        name.strip(): int(number) for name, number in re.findall(r"^  (.*?) +(\d+) files", "\n".join(lines), re.M)
    }
    runs = len(study.runs)
    assert counts["predictions"] == counts["history"] == counts["provenance"] == runs
    assert counts["tables"] == 4
    assert counts["figures"] == 1
    assert counts["checkpoints"] == sum(len(list(run.folder.glob("fold=*"))) for run in study.runs)
    assert lines[-1].endswith("is not written: a dry run")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["study.rar"], "an archive's name ends in .tar.gz, .tgz, .zip"),
        (["study.zip", "--key", "key"], "give --hash-ids too"),
        (["there.zip"], "there.zip is there already; name another file, or replace it with --force"),
    ],
)
def test_a_pack_that_cannot_be_says_why(study, tmp_path, monkeypatch, capsys, arguments, complaint):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.zip").write_bytes(b"mine")
    assert cli.main(["pack", str(study.path), *arguments]) == 2
    assert complaint in capsys.readouterr().err
    assert (tmp_path / "there.zip").read_bytes() == b"mine"


def test_a_corpus_that_is_not_what_it_was_is_not_packed(study, tmp_path, capsys):
    marker = study.path.parent / corpora.SIMULATED
    marker.rename(tmp_path / "marker")
    try:
        assert cli.main(["pack", str(study.path), str(tmp_path / "a.zip")]) == 2
        assert "is not simulated, the one that the study was run on was" in capsys.readouterr().err
    finally:
        (tmp_path / "marker").rename(marker)


def test_a_corpus_that_nothing_was_tested_on_is_licensed_too(study, tmp_path, capsys):
    path = tmp_path / "parameters.yaml"
    content = files.read_yaml(study.path)
    content["corpora"]["own"] = {"reader": "table", "root": "nowhere"}
    files.write_yaml(path, content)
    assert cli.main(["pack", str(path), str(tmp_path / "a.zip")]) == 2
    assert "the speech of own is not simulated" in capsys.readouterr().err
    assert cli.main(["pack", str(path), str(tmp_path / "a.zip"), "--with-labels"]) == 0
    there = config.load(archive.unpack(tmp_path / "a.zip", tmp_path / "there"))
    assert set(there.corpora) == {"iemocap", "msp-podcast"}, "there is nothing of it"


def test_an_unfinished_study_is_not_packed(make, tmp_path, capsys):
    assert cli.main(["pack", str(make([0]).path), str(tmp_path / "a.zip")]) == 2
    assert "1 of 1 runs of study small are not complete, seed=0; a finished study is packed" in capsys.readouterr().err


def test_unpack_goes_into_a_folder_of_the_archives_name_and_overwrites_nothing(packed, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["unpack", str(packed)]) == 0
    folder = tmp_path / "made-up"
    assert f"sercore report {folder}/parameters/parameters.yaml" in capsys.readouterr().out
    table = folder / "outputs" / "made-up" / "tables" / "table_1.md"
    table.write_text("mine", encoding="utf-8")
    (folder / "own.txt").write_text("mine", encoding="utf-8")
    assert cli.main(["unpack", str(packed)]) == 2
    assert "is there already, and holds" in capsys.readouterr().err
    assert table.read_text(encoding="utf-8") == "mine"
    assert cli.main(["unpack", str(packed), "--force"]) == 0
    assert table.read_text(encoding="utf-8") != "mine"
    assert (folder / "own.txt").read_text(encoding="utf-8") == "mine"
    assert cli.main(["unpack", str(packed), str(folder / "own.txt")]) == 2
    assert "own.txt is a file; name a folder" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"made-up"}, "nothing else is left"


def test_a_link_in_the_folder_does_not_lead_out_of_it(packed, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "outputs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"outputs.* is a link that leads out of"):
        archive.unpack(packed, tmp_path / "there", force=True)
    assert not [path for path in (tmp_path / "elsewhere").rglob("*") if path.is_file()]


GOOD = b"study: a\n"
ENTRY = "parameters/a.yaml"


def made(path: Path, entries: list[tuple[str, bytes | str | None]], listed=None, **manifest) -> Path:
    """An archive of `entries`: a name and its content; text stands for a link to it, None for a folder."""
    names = {ENTRY: GOOD} if listed is None else listed
    about = {name: {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()} for name, body in names.items()}
    content = {"format": archive.FORMAT, "parameters": ENTRY, "files": about, **manifest}
    entries = [(archive.MANIFEST, json.dumps(content).encode()), *entries]
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as out:
            for name, body in entries:
                info = zipfile.ZipInfo(name)
                info.external_attr = (0o120777 if isinstance(body, str) else 0o100644) << 16
                out.writestr(info, body or b"")
        return path
    with tarfile.open(path, "w:gz") as out:
        for name, body in entries:
            info = tarfile.TarInfo(name)
            if isinstance(body, bytes):
                info.size = len(body)
            else:
                info.type, info.linkname = (tarfile.DIRTYPE, "") if body is None else (tarfile.SYMTYPE, body)
            out.addfile(info, io.BytesIO(body) if isinstance(body, bytes) else None)
    return path


PATHS = (
    "../evil",
    "/etc/evil",
    "a/../../evil",
    "C:/evil",
    "..\\evil",
    "\\\\host\\evil",
    "a//b",
    "./a",
    "",
    "manifest.json",
)


@pytest.mark.parametrize("evil", PATHS)
def test_a_path_that_leads_out_is_refused_before_anything_is_written(tmp_path, evil):
    path = made(tmp_path / "a.tar.gz", [(ENTRY, GOOD), (evil, b"evil")], {ENTRY: GOOD, evil: b"evil"})
    with pytest.raises(ValueError, match=r"leads out of the folder|is no path of a file below the folder"):
        archive.unpack(path, tmp_path / "there")
    assert {entry.name for entry in tmp_path.iterdir()} == {"a.tar.gz"}


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ([(ENTRY, GOOD), ("b.txt", b"b")], "no b.txt is in its manifest.json"),
        ([(ENTRY, GOOD), (ENTRY, GOOD)], f"{ENTRY} is there twice"),
        ([(ENTRY, "/etc/passwd")], f"{ENTRY} is a link or no plain file"),
        ([(ENTRY, b"study: b\n")], f"the content of {ENTRY} is not what was packed"),
        ([(ENTRY, GOOD * 1000)], f"the content of {ENTRY} is not what was packed"),
        ([(ENTRY, GOOD[:3])], f"the content of {ENTRY} is not what was packed"),
        ([], f"it lacks {ENTRY}"),
    ],
)
@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip"])
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_an_archive_that_is_not_what_its_manifest_says_is_refused(tmp_path, name, entries, complaint):
    with pytest.raises(ValueError, match=complaint):
        archive.unpack(made(tmp_path / name, entries), tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_a_folder_in_place_of_a_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is a link or no plain file"):
        archive.unpack(made(tmp_path / "a.tgz", [(ENTRY, None)]), tmp_path / "there")


@pytest.mark.parametrize(
    ("manifest", "complaint"),
    [
        ({"format": 99}, "it is of format 99, expected 1: of another version of sercore"),
        ({"parameters": "b.yaml"}, "there is no b.yaml"),
        ({"files": {ENTRY: {"bytes": "9", "sha256": ""}}}, "has no size or checksum"),
        ({"files": None}, "cannot be used"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_named(tmp_path, manifest, complaint):
    with pytest.raises(ValueError, match=complaint):
        archive.unpack(made(tmp_path / "a.zip", [(ENTRY, GOOD)], **manifest), tmp_path / "there")


@pytest.mark.parametrize("body", [b"study: a\n", b"outputs: ../../outputs\ncorpora: {}\n", b"- a\n"])
def test_a_parameters_file_that_leads_elsewhere_is_refused(tmp_path, body):
    path = made(tmp_path / "a.zip", [(ENTRY, body)], {ENTRY: body})
    with pytest.raises(ValueError, match=f"{ENTRY} is none that `sercore pack` writes"):
        archive.unpack(path, tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_what_is_no_archive_of_ours_is_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as out:
        out.addfile(tarfile.TarInfo("holiday.jpg"))
    with pytest.raises(ValueError, match=r"begins with holiday.jpg, expected manifest.json"):
        archive.unpack(tmp_path / "a.tar.gz", tmp_path / "there")
    encrypted = made(tmp_path / "a.zip", [(ENTRY, GOOD)])
    content = bytearray(encrypted.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1  # the flag of the last file in the directory
    encrypted.write_bytes(content)
    with pytest.raises(ValueError, match="is encrypted"):
        archive.unpack(encrypted, tmp_path / "there")
    for name in ("b.tar.gz", "b.zip"):
        (tmp_path / name).write_bytes(b"no archive at all")
        with pytest.raises(ValueError, match=f"{name} is damaged or cut off, at manifest.json"):
            archive.unpack(tmp_path / name, tmp_path / "there")


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_an_archive_that_was_cut_off_is_an_error_that_names_the_file(packed, tmp_path, share, capsys):
    content = packed.read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(content[: int(share * len(content))])
    assert cli.main(["unpack", str(tmp_path / "cut.tar.gz"), str(tmp_path / "there")]) == 2
    assert "cut.tar.gz is damaged or cut off, at " in capsys.readouterr().err
    assert not (tmp_path / "there").exists()


def test_the_table_of_an_unpacked_corpus_must_be_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no utterances.parquet in .*: unpack the study again"):
        corpora.read("iemocap", tmp_path, reader="archived")
