"""A complete run whose corpus, notebook, parameters or software changed is listed with what changed."""

import csv
import io
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml

from sercore import corpora, files, settings
from sercore.commands import cli
from sercore.corpora import transcripts
from sercore.study import config, verify
from sercore.study.plan import run_parameters

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
MODELS = ["bert", "cnn14", "mfcnn14"]


def copy_of(corpus, folder):
    shutil.copytree(corpus["root"], folder)
    return {**corpus, "root": str(folder)}


@pytest.fixture
def study(embedded, tmp_path):
    """A study of three models whose runs say that they were made from what there is."""
    shutil.copytree(NOTEBOOKS, tmp_path / "notebooks")
    content = {
        "study": "s",
        "corpora": {name: copy_of(corpus, tmp_path / name) for name, corpus in embedded.items()},
        "outputs": str(tmp_path / "outputs"),
        "sections": {
            "multitask": {
                "notebook": str(tmp_path / "notebooks" / "3_multitask.ipynb"),
                "blocks": [{"grid": {"model": MODELS, "seed": [0]}}],
            },
            "residuals": {
                "notebook": str(tmp_path / "notebooks" / "4_residuals.ipynb"),
                "needs": ["multitask"],
                "result": files.RESIDUALS,
                "blocks": [{"grid": {"model": ["bert"], "seed": [0]}}],
            },
        },
    }
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(content))
    study = config.load(tmp_path / "s.yaml")
    for run in study.runs:
        complete(study, run)
    return study


def read(name, options):
    return corpora.read(name, options["root"], **{key: value for key, value in options.items() if key != "root"})


def complete(study, run):
    """Write what an execution of `run` leaves."""
    parameters = run_parameters(run)
    origin = {}
    if run.section == "multitask":
        used = {kind: asdict(settings.of_run(parameters, kind)) for kind in settings.SETTINGS}
        text = settings.build(settings.TextSettings, parameters["text"])
        held = {name: read(name, options) for name, options in study.corpora.items()}
        used_corpora = {
            name: transcripts.apply_transcripts(corpus, text) if parameters["model"] != "cnn14" else corpus
            for name, corpus in held.items()
        }
        origin = {
            "settings": used,
            "corpora": {name: {"fingerprint": corpus.fingerprint} for name, corpus in used_corpora.items()},
        }
    files.write_yaml(run.folder / files.PARAMETERS, parameters)
    files.write_json(run.folder / files.PROVENANCE, files.provenance(**origin))
    notebook = nbformat.read(run.notebook, as_version=4)
    notebook.cells.insert(3, nbformat.v4.new_code_cell("seed = 0", metadata={"tags": ["injected-parameters"]}))
    nbformat.write(notebook, run.folder / files.NOTEBOOK)
    files.write_table(run.folder / run.result, pd.DataFrame({"a": [1]}))


def changes(study, severity=verify.INPUT):
    table = verify.changed(study)
    assert list(table.columns) == list(verify.COLUMNS)
    rows_of_severity = table[table["severity"] == severity]
    return {name: list(rows["what"]) for name, rows in rows_of_severity.groupby("run", sort=False)}


def test_nothing_has_changed_right_after_the_runs(study):
    assert verify.changed(study).empty


def test_the_settings_that_a_change_asks_for_are_no_change_of_the_defaults(study):
    (run,) = [run for run in study.runs if run.name == "model=mfcnn14,seed=0" and run.section == "multitask"]
    notebook = nbformat.read(run.notebook, as_version=4)
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    changed = {"less": {"network": {"stages": [5, 6]}, "training": {"data_share": 0.5}}}
    cell.source += f'\nchange = "less"\nchanges = {changed}'
    nbformat.write(notebook, run.notebook)
    complete(study, run)
    assert files.read_json(run.folder / files.PROVENANCE)["settings"]["training"]["data_share"] == 0.5
    assert f"multitask/{run.name}" not in changes(study)


def test_a_run_that_is_not_complete_is_not_looked_at(study):
    for run in study.runs:
        (run.folder / run.result).unlink()
        (run.folder / files.PROVENANCE).unlink()
    assert verify.changed(study).empty


def test_a_changed_recording_matters_to_models_that_use_audio(study):
    corpus = read("msp-podcast", study.corpora["msp-podcast"])
    sound = corpus.root / corpus.utterances["file"].iloc[0]
    sound.write_bytes(sound.read_bytes() + b"\0\0")
    assert changes(study) == {
        f"multitask/model={model},seed=0": ["msp-podcast: its audio files changed"] for model in ("cnn14", "mfcnn14")
    }


def test_a_changed_transcript_matters_to_models_that_use_text(study, tmp_path):
    recognised = Path(study.corpora["msp-podcast"]["transcripts"])
    other = tmp_path / "other.csv"
    rows = list(csv.reader(io.StringIO(recognised.read_text(encoding="utf-8"))))
    rows[1][1] = "nothing of the kind"
    with other.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows(rows)
    study.corpora["msp-podcast"]["transcripts"] = str(other)
    assert changes(study) == {
        f"multitask/model={model},seed=0": ["msp-podcast: its transcripts changed"] for model in ("bert", "mfcnn14")
    }


def test_run_says_that_a_corpus_is_another_one_now(study, capsys):
    assert cli.main(["run", str(study.path)]) == 0
    assert "nothing to do" in capsys.readouterr().out
    root = Path(study.corpora["msp-podcast"]["root"])
    sound = next(root.rglob("*.wav"))
    sound.write_bytes(sound.read_bytes() + b"\0\0")
    assert cli.main(["run", str(study.path)]) == 1
    printed = capsys.readouterr().out
    runs = "2 runs, multitask/model=cnn14,seed=0, multitask/model=mfcnn14,seed=0"
    assert "input: msp-podcast: its " in printed
    assert runs in printed
    assert f"remove their folders below {study.folder} to have them made again" in printed
    assert "nothing was executed" in printed
    assert "nothing to do" not in printed
    shutil.rmtree(root)  # the results are read without it
    assert cli.main(["run", str(study.path)]) == 0
    printed = capsys.readouterr().out
    assert "unknown: msp-podcast cannot be compared" in printed
    assert "nothing to do" in printed


def test_an_executed_notebook_that_is_damaged_cannot_be_compared(study):
    (study.runs[0].folder / files.NOTEBOOK).write_text('{"cells": [')
    (what,) = changes(study, verify.UNKNOWN)["multitask/model=bert,seed=0"]
    assert what.startswith("the notebook that was executed is damaged: ")


def test_a_label_that_changed_matters_to_all(study):
    labels = Path(study.corpora["msp-podcast"]["root"]) / "Labels" / "labels_concensus.csv"
    rows = list(csv.DictReader(io.StringIO(labels.read_text(encoding="utf-8"))))
    known = set(read("msp-podcast", study.corpora["msp-podcast"]).utterances["utterance"])
    next(row for row in rows if row["FileName"].removesuffix(".wav") in known)["EmoVal"] = "6.25"
    with labels.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert changes(study) == {
        f"multitask/model={model},seed=0": ["msp-podcast: its table of utterances changed"] for model in MODELS
    }


def test_a_corpus_that_is_not_there_cannot_be_compared(study):
    shutil.rmtree(study.corpora["iemocap"]["root"])
    unknown = changes(study, verify.UNKNOWN)
    assert set(unknown) == {f"multitask/model={model},seed=0" for model in MODELS}
    assert all("iemocap cannot be compared" in what and "does not exist" in what for (what,) in unknown.values())


def test_a_corpus_that_joined_or_left_the_study_is_a_change(study):
    study.corpora["third"] = {**study.corpora.pop("iemocap"), "reader": "iemocap"}
    assert changes(study)["multitask/model=bert,seed=0"] == [
        "it was not tested on third, of the study's corpora",
        "iemocap is no corpus of the study now",
    ]


def change(path, kind, old, new):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == kind:
            cell.source = cell.source.replace(old, new)
    nbformat.write(notebook, path)


def test_the_code_of_a_notebook_matters_more_than_its_prose(study, tmp_path):
    template = tmp_path / "notebooks" / "3_multitask.ipynb"
    change(template, "markdown", "How does it learn", "How well does it learn")
    assert changes(study) == {}
    prose = changes(study, verify.SOFTWARE)
    assert prose["multitask/model=bert,seed=0"] == ["the notebook's prose changed: ## How well does it learn?"]
    change(template, "code", "experiment.load(run, live.Count())", "experiment.load(run)")
    code = changes(study)
    assert code["multitask/model=bert,seed=0"] == ["the notebook's code changed: data = experiment.load(run)"]
    assert len(code) == len(MODELS)


def test_other_parameters_and_other_defaults_are_changes(study):
    run = study.runs[1]
    recorded = files.read_json(run.folder / files.PROVENANCE)
    recorded["settings"]["training"]["momentum"] = 0.5
    files.write_json(run.folder / files.PROVENANCE, recorded)
    files.write_yaml(run.folder / files.PARAMETERS, {**run_parameters(run), "seed": 4})
    assert changes(study) == {
        "multitask/model=cnn14,seed=0": ["the study has another seed now", "training.momentum was 0.5, now 0.9"]
    }


def test_a_result_that_is_younger_than_what_was_made_from_it_is_a_change(study):
    bert = study.runs[0]
    files.write_table(bert.folder / bert.result, pd.DataFrame({"a": [2]}))
    assert changes(study) == {
        "residuals/model=bert,seed=0": ["multitask/model=bert,seed=0, which it reads, was written later"]
    }
    (bert.folder / bert.result).unlink()
    assert changes(study) == {
        "residuals/model=bert,seed=0": ["it was made from multitask/model=bert,seed=0, which is not complete"]
    }


def test_other_software_is_a_weaker_change(study):
    run = study.runs[0]
    recorded = files.read_json(run.folder / files.PROVENANCE)
    recorded["versions"]["numpy"] = "0.1"
    recorded["source"] = "other"
    recorded["commit"] = "0123456789-dirty"
    files.write_json(run.folder / files.PROVENANCE, recorded)
    assert changes(study) == {}
    code, versions = changes(study, verify.SOFTWARE)["multitask/model=bert,seed=0"]
    assert code.startswith("the package's code changed (commit 0123456-dirty, now ")
    assert versions.startswith("other versions: numpy 0.1, now ")


def test_what_was_not_recorded_is_unknown(study):
    run, other, *_ = study.runs
    recorded = files.read_json(run.folder / files.PROVENANCE)
    for corpus in recorded["corpora"].values():
        del corpus["fingerprint"]
    files.write_text(run.folder / files.PROVENANCE, json.dumps(recorded))
    (run.folder / files.NOTEBOOK).unlink()
    (other.folder / files.PROVENANCE).unlink()
    assert changes(study, verify.UNKNOWN) == {
        "multitask/model=bert,seed=0": [
            "no fingerprint of iemocap, msp-podcast was recorded",
            "the notebook that was executed is not in its folder",
        ],
        "multitask/model=cnn14,seed=0": [f"it has no {files.PROVENANCE}"],
    }


def test_settings_that_are_refused_or_gone_are_changes(study):
    bert, cnn14, *_ = study.runs
    record = files.read_json(bert.folder / files.PROVENANCE)
    record["settings"] |= {"text": record["settings"]["text"] | {"gone": 1}, "unknown": {}}
    files.write_json(bert.folder / files.PROVENANCE, record)
    cnn14.parameters["network"] = {"width": "wide"}
    inputs = changes(study)
    assert inputs["multitask/model=bert,seed=0"] == ["text.gone was 1, and is no setting now"]
    other, refused = inputs["multitask/model=cnn14,seed=0"]
    assert other == "the study has another network now"
    assert refused.startswith("its network are refused now: ")


def test_a_notebook_that_lost_a_cell_and_code_of_another_commit_are_changes(study):
    bert = study.runs[0]
    template = nbformat.read(bert.notebook, as_version=4)
    del template.cells[-1]
    nbformat.write(template, bert.notebook)
    record = files.read_json(bert.folder / files.PROVENANCE)
    del record["source"]
    record["commit"] = None
    files.write_json(bert.folder / files.PROVENANCE, record)
    assert any("changed: a cell is gone" in what for what in verify.changed(study)["what"])
    assert any("code may have changed (commit unknown" in what for what in verify.changed(study)["what"])
