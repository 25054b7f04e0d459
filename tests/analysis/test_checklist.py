"""What reviewers ask: answers come from the run folders, and what these do not hold is said to be missing."""

import re

import made_up
import pytest
import torch

from sercore import files
from sercore.analysis import checklist, composition, report, results
from sercore.commands import cli
from sercore.models import checkpoint
from sercore.models.cnn14 import Cnn14
from sercore.study import config

CODES = [*(f"A{n}" for n in (1, 2, 3)), *(f"B{n}" for n in range(1, 7)), *(f"C{n}" for n in range(1, 5)), "D1", "E1"]
NO_SCORES = composition.records_table("scores", "Scores", [])


def write(folder, seeds=1):
    """A study of which section 5 is complete."""
    return config.load(made_up.write_study(folder, seeds=seeds, sections=("categories",), utterances=8))


def record(study, **changed):
    """Give every complete run the provenance that a run leaves."""
    for run in study.section("categories"):
        fold = {
            "device": "cuda:0",
            "seconds": {"training": 1800.0, "evaluation": 1800.0},
            "utterances": {"training": 70, "development": 20, "test": 10},
        }
        corpora = {name: {"utterances": 120, "with_target": 100, "simulated": True} for name in made_up.SCALES}
        content = {
            "commit": "abc-dirty",
            "corpora": corpora,
            "sessions": [{"processor": "NVIDIA H200", "threads": 2}],
            "folds": {"official": fold},
            "seconds": {"training": 3600.0},
        }
        files.write_json(run.folder / files.PROVENANCE, content | changed)


def make(study, watts=None):
    asked = checklist.make(study, report.Material(study).by_change, watts)
    return asked, {item.code: item for item in asked.items}, {table.name: table for table in asked.tables}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write(tmp_path_factory.mktemp("study"), seeds=2)


@pytest.fixture(scope="module")
def bare(study):
    """Without provenance and checkpoints."""
    return make(study)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Every run took an hour of a known GPU."""
    study = write(tmp_path_factory.mktemp("recorded"))
    record(study)
    return study


def answers(study, watts=None):
    """The items alone, without tables of scores."""
    return {item.code: item for item in checklist.Evidence(study, watts).items(NO_SCORES)}


def test_every_item_is_answered_or_missing(bare, recorded):
    for items in (bare[1], answers(recorded)):
        assert [*CODES, "R1", "R2", "R3", "R4"] == list(items)
        assert all(item.answer or item.missing for item in items.values())


def test_what_is_not_recorded_is_missing_with_what_would_fill_it(study, bare):
    _, items, tables = bare
    assert "devices and seconds: complete runs" in items["C1"].missing
    assert "numbers of parameters: the checkpoints best.safetensors" in items["C1"].missing
    assert "Energy" not in items["C1"].answer
    assert "energy on a device that is not recorded" in items["C1"].missing
    assert "sizes: complete runs" in items["B6"].missing
    assert "versions: complete runs" in items["C4"].missing
    assert "checklist_data" not in tables
    assert f"{len(study.runs) - len(study.section('categories'))} runs: complete the study" in items["A1"].missing


def test_each_test_score_has_its_score_on_the_development_set_beside_it(study, bare):
    table = bare[2]["checklist_validation"].numbers.set_index(["model", "trained on"])
    scored = results.read(study, "categories").scores
    assert len(table) == 2 * 5  # late fusion too
    row = table.loc[("BERT", "IEMOCAP")]
    of = scored.query("model == 'bert' and train_corpus == 'iemocap' and metric == 'uar'")
    for partition in ("development", "test"):
        own = of.query("partition == @partition and test_corpus == 'iemocap' and pooling == 'pooled'")["score"]
        assert row[partition] == f"{own.mean():.1f} ({own.std(ddof=0):.1f})"
    away = of.query("test_corpus == 'msp-podcast'")["score"]
    assert row["test elsewhere"] == f"UAR {away.mean():.1f} ({away.std(ddof=0):.1f}) on MSP-Podcast"


def test_a_section_that_cannot_be_scored_is_named_and_the_others_are_shown(study):
    def results_of(section):
        raise ValueError(f"{section} has a prediction twice")

    asked = checklist.make(study, results_of)
    (scores,) = (item for item in asked.items if item.code == "R1")
    assert scores.missing == "Section 'categories' cannot be scored: categories has a prediction twice."
    assert "checklist_validation" not in {table.name for table in asked.tables}
    assert answers(study)["R1"].missing == "scores: complete runs"


def test_energy_is_the_design_power_of_a_known_device_times_the_hours(recorded):
    items = answers(recorded)
    assert "Energy: about 5.6 kWh, if a run draws 700 W for NVIDIA H200 (its design power)" in items["C1"].answer
    assert "in all of the 8.0 h" in items["C1"].answer
    assert "energy" not in items["C1"].missing


def test_the_power_of_another_device_is_given_or_missing(tmp_path):
    study = write(tmp_path)
    record(study, sessions=[{"processor": "x86_64 AVX512", "threads": 1}])
    assert "energy on x86_64 AVX512: its power in watts, by `sercore report --watts`" in answers(study)["C1"].missing
    assert "0.52 kWh, if a run draws 65 W for x86_64 AVX512 (given)" in answers(study, watts=65)["C1"].answer


def test_sizes_splits_and_exclusions_have_a_row_a_pair_of_corpora(recorded):
    evidence = checklist.Evidence(recorded, None)
    rows = evidence.data.numbers.set_index(["trained on", "corpus"])
    own, other = rows.loc[("iemocap", "iemocap")], rows.loc[("iemocap", "msp-podcast")]
    assert (own["utterances"], own["left out"], own["training"]) == ("120", "20", "70")
    assert (own["development"], own["test"]) == ("8", "8")  # of each fold
    assert own["why"] == "an emotion of none of the classes, or raters do not agree"
    assert (other["training"], other["development"], other["test"]) == ("", "", str(8 * 8))
    items = {item.code: item for item in evidence.items(NO_SCORES)}
    assert "trained on" not in items["B6"].missing
    assert "Sound: mono, 16000 Hz, log-mels in 32 bands" in items["B6"].answer


def test_sizes_of_earlier_runs_are_not_known(tmp_path):
    study = write(tmp_path)
    record(study, folds={"official": {"device": "cpu", "seconds": {}}})
    assert "how many utterances were trained on" in answers(study)["B6"].missing


def test_parameters_are_those_that_are_learnt(recorded):
    study = recorded
    run = next(run for run in study.section("categories") if run.parameters["model"] == "mfcnn14")
    model = Cnn14(outputs=4, text_stages=(1, 6), text_width=8, width=2, mels=32, generator=torch.Generator())
    settings = {"kind": "cnn14", "outputs": 4, "text_stages": [1, 6], "text_width": 8, "width": 2, "mels": 32}
    assert checklist.count_parameters(run) is None
    checkpoint.save(model, settings, run.folder / f"{files.FOLD}official" / files.CHECKPOINT)
    learnt = sum(parameter.numel() for parameter in model.parameters())
    assert checklist.count_parameters(run) == learnt
    assert len(list(model.buffers()))
    budget = checklist.Evidence(study, None).budget.numbers.set_index("model")
    assert budget.loc["MFCNN14", "parameters"] == f"{learnt:,}"
    assert budget.loc["MFCNN14", "each, mean"] == "60.0 min"
    assert budget.loc["BERT", "parameters"] == "not known"


def test_hyperparameters_say_which_values_and_how_they_were_chosen(bare):
    _, items, tables = bare
    rows = tables["checklist_hyperparameters"].numbers.set_index("hyperparameter")
    assert rows.loc["network: width", "values"] == "8"
    assert rows.loc["network: width", "how chosen"] == "fixed in parameters.yaml; the paper's: 64"
    seeds = rows.loc[["seed"]]
    assert set(seeds["values"]) == {"grid: 0, 1"}
    assert "how the values of" in items["C2"].missing
    assert "width" in items["C2"].missing


def test_a_last_epoch_that_is_kept_was_not_selected(tmp_path):
    study = write(tmp_path)
    assert (
        " The epoch is the best of those trained by the score on the development set; no" in answers(study)["C2"].answer
    )
    first, *others = [run for run in study.runs if "model" in run.parameters and run.complete]
    last = {"settings": {"training": {"kept_epoch": "last"}}}
    files.write_record(first.folder / files.PROVENANCE, last)
    assert (
        " Of 1 run the last epoch is kept; of the others it is the best of those trained" in answers(study)["C2"].answer
    )
    for run in others:
        files.write_record(run.folder / files.PROVENANCE, last)
    assert f" Of {1 + len(others)} runs the last epoch is kept; no test score" in answers(study)["C2"].answer


def test_what_a_recipe_chose_is_said_of_the_preprocessing(tmp_path):
    path = write(tmp_path).path
    text = (
        path.read_text(encoding="utf-8").replace("{epochs: 3}", "{recipe: by_size}").replace("[bert, cnn14,", "[cnn14,")
    )
    path.write_text(text, encoding="utf-8")
    study = config.load(path)
    chose = {"recipe": {"name": "by_size", "size": {"utterances": 300, "speakers": 9, "classes": 4}, "chose": {}}}
    for run in study.runs:
        files.write_record(run.folder / files.PROVENANCE, chose)
    known = checklist.Evidence(study, None)._preprocessing()
    assert ", mean removed: channel over the speaker; a regression on those below 4 kHz has a share of 50%" in known


def test_licences_are_known_or_missing(recorded, tmp_path):
    study, evidence = recorded, checklist.Evidence(recorded, None)
    rows = evidence.artefacts.numbers.set_index("what was used")["licence"]
    assert rows["IEMOCAP"] == checklist.SYNTHESISED
    assert rows["bert-base-uncased"] == "Apache 2.0 (its model card)"
    assert answers(study)["B2"].missing == ""
    path = tmp_path / "own.yaml"
    text = study.path.read_text(encoding="utf-8").replace("text: {}", "text: {encoder: someone/else}")
    network = "width: 8, pretrained: /a/Cnn14_16k_mAP=0.438.pth, regression: 0.5"
    text = text.replace("network: {width: 8}", f"network: {{{network}}}")
    path.write_text(
        text.replace("iemocap: {root: nowhere/iemocap}", "iemocap: {root: x, reader: table}"), encoding="utf-8"
    )
    other = checklist.Evidence(config.load(path), None)
    other.simulated = False
    assert dict(other._used_artefacts()) == {
        "IEMOCAP": "not known",
        "MSP-Podcast": checklist.registry.CORPORA["msp-podcast"].licence,
        "someone/else": "not known",
        "Cnn14_16k_mAP=0.438.pth": "CC BY 4.0 (PANNs; Zenodo record 3987831)",
    }
    assert "; a regression on those below 4 kHz has a share of 50%" in other._preprocessing()
    real = {item.code: item for item in other.items(NO_SCORES)}
    assert real["B2"].missing == "the licence of IEMOCAP, someone/else: where it was obtained"
    assert "their texts" in real["B3"].missing
    assert "their papers" in real["B4"].missing
    assert "who speaks what language in iemocap: its paper" in real["B5"].missing
    assert "raters: their papers" in real["D1"].missing


def test_misuse_names_the_article_and_its_exceptions(bare):
    answer = bare[1]["A2"].answer
    assert "workplace or in education institutions is prohibited" in answer
    assert "except for medical or safety reasons (AI Act, Regulation (EU) 2024/1689, article 5(1)(f)" in answer


def test_the_appendix_holds_every_item_and_table_and_escapes_what_latex_reads(recorded):
    asked, items, _ = make(recorded)
    appendix = asked.latex()
    for code, item in items.items():
        assert rf"\item[{code}]" in appendix
        assert (r"\textbf{Missing:}" in appendix.split(rf"\item[{code}]")[1].split(r"\item")[0]) == bool(item.missing)
    assert [f"\\label{{{table.name}}}" in appendix for table in asked.tables] == [True] * len(asked.tables)
    body = "\n".join(appendix.splitlines()[1:])
    assert not re.search(r"(?<!\\)[%#$_^~†→−]", re.sub(r"\$[^$]+\$|\\label\{\w+\}", "", body))
    assert appendix.count(r"\begin{") == appendix.count(r"\end{")
    for row in re.findall(r"^.*(?<!\\)&.*$", body, re.MULTILINE):
        assert row.endswith(r"\\")


def test_a_table_that_may_be_longer_than_a_page_breaks_over_pages():
    rows = [{"name": str(number), "a": "short", "b": "a sentence of some words"} for number in range(41)]
    long = composition.records_table("t", "T", rows).latex()
    assert long.startswith(r"\begin{longtable}{llp{0.80\linewidth}}")
    assert r"name & a & b \\" in long
    short = composition.records_table("t", "T", rows[:40]).latex()
    assert short.startswith(r"\begin{table}")


def test_the_command_writes_the_appendix_beside_the_page(tmp_path, capsys):
    study = config.load(made_up.write_study(tmp_path, sections=()))
    assert cli.main(["report", str(study.path), "--output", str(tmp_path / "page.html"), "--watts", "65"]) == 0
    appendix = tmp_path / "page_checklist.tex"
    assert f"as a LaTeX appendix: {appendix}" in capsys.readouterr().out
    assert r"\section{Reproducibility checklist of the study made-up}" in appendix.read_text(encoding="utf-8")
    assert '<h2 id="checklists">What reviewers ask</h2>' in (tmp_path / "page.html").read_text(encoding="utf-8")
    with pytest.raises(SystemExit):
        cli.main(["report", str(study.path), "--watts", "0"])
    assert "expected more than 0" in capsys.readouterr().err
