"""What is said of a run beside its baseline, and of what its recipe chose, in notes, on the terminal and in a card."""

import pandas as pd
import pytest

from sercore import files
from sercore.analysis import baseline, captions, results
from sercore.commands import run as command
from sercore.inference import card
from sercore.study import config

TRUTH = ["angry", "sad"] * 4
FLIPPED = ["sad", *TRUTH[1:]]


@pytest.fixture
def study(tmp_path):
    """A study of two seeds: the first one is right of all utterances, the second one of all but one."""
    content = {
        "study": "mine",
        "outputs": str(tmp_path),
        "corpora": {"mine": {"reader": "table", "root": str(tmp_path)}},
        "sections": {
            "categories": {
                "notebook": "notebooks/1_categories.ipynb",
                "blocks": [
                    {
                        "grid": {"model": ["cnn14"], "corpus": ["mine"], "seed": [0, 1]},
                        "fixed": {"training": {"recipe": "by_size"}},
                    }
                ],
            }
        },
    }
    files.write_yaml(tmp_path / "mine.yaml", content)
    study = config.load(tmp_path / "mine.yaml")
    for run, predicted in zip(study.runs, (TRUTH, FLIPPED), strict=True):
        files.write_table(run.folder / files.PREDICTIONS, table(predicted, run.parameters["seed"]))
        baseline_s = table(FLIPPED, run.parameters["seed"]).assign(model="mel statistics")
        files.write_table(run.folder / files.MEL_STATISTICS, baseline_s)
        chose = {"network": {"normalisation": {"over": "speaker"}}, "training": {"epochs": 60}}
        record = {"name": "by_size", "size": {"utterances": 40, "speakers": 2}, "chose": chose}
        files.write_record(run.folder / files.PROVENANCE, {"recipe": record})
    return study


def table(predicted, seed):
    """A predictions table whose development utterances are those of the test."""
    rows = pd.DataFrame({"utterance": list("abcdefgh"), "speaker": list("aabbccdd"), "truth": TRUTH})
    keys = {"section": "categories", "model": "cnn14", "train_corpus": "mine", "test_corpus": "mine", "fold": "x"}
    keys |= {"seed": seed, "gender": None, "style": None, "target": "emotion", "simulated": False}
    shares = {f"p_{name}": [float(one == name) for one in predicted] for name in ("angry", "sad")}
    made = rows.assign(prediction=predicted, **keys, **shares)
    return pd.concat([made.assign(partition=name) for name in ("development", "test")], ignore_index=True)


RECIPE = (
    "Recipe by_size, for 40 training utterances of 2 known speakers, chose network.normalisation.over speaker, "
    "training.epochs 60."
)
SCORES = "CNN14 87.5, mel statistics 87.5 (UAR (%) of emotion)"


def test_runs_that_are_not_better_than_mel_statistics_are_named_in_the_notes(study):
    read = results.read(study, "categories")
    assert set(read.predictions["model"]) == {"cnn14"}  # the baseline is no model of the study
    (warned,) = captions.short_of_baseline(read)
    assert warned.startswith("WARNING: not better than mel statistics, a regression on mean and deviation of each mel")
    assert f"model=cnn14,corpus=mine,seed=1 ({SCORES})" in warned
    assert "seed=0" not in warned
    notes = captions.notes(read, read.scores)
    assert warned in notes
    assert RECIPE in notes
    assert any("Unlabelled test recordings are used: log-mels are normalised over all" in note for note in notes)
    assert any("augmentation gain_decibels 10" in note for note in notes)  # as it differs from the paper
    (study.runs[1].folder / files.MEL_STATISTICS).unlink()
    assert captions.short_of_baseline(read) == ()


def test_the_terminal_shows_recipe_scores_and_warnings(study, capsys):
    command._print_beside(study.runs)
    printed = capsys.readouterr().out.splitlines()
    first, second = (f"categories/{run.name}" for run in study.runs)
    assert printed[:4] == [
        "",
        RECIPE,
        f"{first}: CNN14 100.0, mel statistics 87.5 (UAR (%) of emotion)",
        f"{second}: {SCORES}",
    ]
    assert printed[4].startswith(f"WARNING: {second} is not better than mel statistics: {SCORES}")
    (study.runs[1].folder / files.PROVENANCE).unlink()
    assert (
        captions.recipe_of(study.runs[1].folder) == f"What the recipe of {study.runs[1].name} chose was not recorded."
    )
    command._print_beside([])
    assert capsys.readouterr().out == ""


def test_a_card_says_what_the_model_gains(study):
    better, worse = (baseline.gains(run.folder) for run in study.runs)
    assert card._beside([]) == ""
    assert card._beside(better).endswith("CNN14 100.0, mel statistics 87.5 (UAR (%) of emotion).")
    assert card._beside(worse).endswith(f"{SCORES}. **For emotion the model is not better than that.**")
