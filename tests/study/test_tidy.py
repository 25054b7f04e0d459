"""What a study could do without: what is listed, what goes, and that results never do."""

import os
import shutil
import socket

import made_up
import pytest
import yaml

from sercore import files
from sercore.commands import cli
from sercore.study import config, tidy

STATE = b"s" * 1000
WEIGHTS = b"w" * 5000


@pytest.fixture
def study(tmp_path):
    """A complete study of BERT and CNN14 with all that may go: states, leftovers, caches, an old run, networks."""
    path = made_up.write_study(tmp_path, seeds=1, sections=(), utterances=1)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["sections"] = {"categories": content["sections"]["categories"]}
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    made = config.load(path)
    for run in made.runs:
        held = {"iemocap": {"utterances": 1, "tokens": "tokens-1"}}
        files.write_record(run.folder / files.PROVENANCE, {"corpora": held})
        files.write_yaml(run.folder / files.PARAMETERS, run.parameters)
        files.write_table(run.folder / files.PREDICTIONS, made_up.DONE)
        fold = next(iter(files.fold_folders(run.folder, ["official"]).values()))
        files.write_bytes(fold / files.STATE, STATE)
        files.write_bytes(fold / files.CHECKPOINT, WEIGHTS)
    files.write_bytes(made.runs[0].folder / ".best.safetensors.99-0.part", b"killed")
    for entry in ("iemocap/tokens-1", "iemocap/text-2", "iemocap/log-mel-3", "iemocap/damaged/text-4"):
        files.write_text(made.outputs / "cache" / entry / "about.json", "{}")
    other = made.outputs / "other" / "caches" / "corpus=iemocap" / files.PREPARED
    files.write_json(other, {"entries": ["/elsewhere/cache/iemocap/log-mel-3"]})
    shutil.copytree(made.runs[0].folder, made.folder / "categories" / "seed=99")
    return made


def found(study: config.Study) -> dict[str, set[str]]:
    return {
        group.name: {path.relative_to(study.outputs).as_posix() for path in group.paths} for group in tidy.find(study)
    }


def test_it_finds_what_nothing_needs(study):
    groups = found(study)
    folds = {f"made-up/categories/{run.name}/fold=official" for run in study.runs}
    assert groups["states"] == {f"{fold}/{files.STATE}" for fold in folds}
    assert groups["caches"] == {"cache/iemocap/text-2", "cache/iemocap/damaged"}, "what another study names stays"
    assert groups["superseded"] == {"made-up/categories/seed=99"}
    assert groups["checkpoints"] == {f"{fold}/{files.CHECKPOINT}" for fold in folds if "model=bert" in fold}
    assert len(groups["leftovers"]) == 2  # of a run and of the copy of it


def test_results_stay_whatever_goes(study, capsys):
    before = {run.name: (run.folder / run.result).read_bytes() for run in study.runs}
    weight = tidy.weigh(study.folder)
    assert cli.main(["tidy", str(study.path), "--superseded", "--checkpoints", "delete"]) == 0
    listed = capsys.readouterr().out
    assert tidy.weigh(study.folder) == weight, "it is only listed"
    assert "would be freed; --delete frees it" in listed
    expected = listed.splitlines()[-1].removesuffix(" after that")
    assert cli.main(["tidy", str(study.path), "--superseded", "--checkpoints", "delete", "--delete"]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == f"{expected} now", "it frees what it said"
    assert {run.name: (run.folder / run.result).read_bytes() for run in study.runs} == before
    assert all(run.complete for run in study.runs)
    assert {name: paths for name, paths in found(study).items() if paths} == {}
    assert (study.outputs / "cache" / "iemocap" / "tokens-1").is_dir()
    assert (study.outputs / "cache" / "iemocap" / "log-mel-3").is_dir()


def test_networks_and_runs_go_by_name_alone(study, capsys):
    assert cli.main(["tidy", str(study.path), "--delete"]) == 0
    printed = capsys.readouterr().out
    assert "stays, unless --superseded" in printed
    assert "stays, unless --checkpoints" in printed
    groups = found(study)
    assert groups["superseded"]
    assert groups["checkpoints"]
    assert not groups["states"] | groups["caches"] | groups["leftovers"]


def test_caches_stay_while_runs_are_to_be_made(study, capsys):
    (study.runs[0].folder / study.runs[0].result).unlink()
    assert found(study)["caches"] == set()
    assert len(found(study)["states"]) == len(study.runs) - 1, "it goes on from its state"
    assert cli.main(["tidy", str(study.path)]) == 0
    assert "not known: not every run of the study is complete" in capsys.readouterr().out
    files.write_table(study.runs[0].folder / study.runs[0].result, made_up.DONE)
    files.write_json(study.outputs / "other" / files.BATCH, {})
    (group,) = (group for group in tidy.find(study) if group.name == "caches")
    assert not group.paths
    assert group.reason.endswith("batch.json says that a batch is under way")


def test_a_study_that_is_executed_is_left_alone(study, capsys):
    files.write_json(study.folder / files.BATCH, {"pid": os.getpid(), "host": socket.gethostname()})
    assert cli.main(["tidy", str(study.path), "--delete"]) == 2
    assert "study made-up is executed now: tidy it when its batch has ended" in capsys.readouterr().err


def test_nothing_of_a_locked_run_goes(study):
    group = tidy.find(study)[0]
    with files.lock(study.runs[0].folder / ".notebook.lock"):
        tidy.delete(group)
    assert [path.parents[1] for path in tidy.find(study)[0].paths] == [study.runs[0].folder]
