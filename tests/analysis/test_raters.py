"""Models are compared with single raters, and raters with each other, on the same utterances."""

from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import trees
import yaml
from trees import Row

from sercore import files, schema
from sercore.analysis import raters, results
from sercore.analysis.nothing import Nothing
from sercore.study import config

WORDS = {"A": "Angry", "S": "Sad", "N": "Neutral", "H": "Happy"}
CLASSES = {"A": "angry", "S": "sad", "N": "neutral", "H": "happy"}
SPEAKERS = 6
# what three raters said of a speaker's four utterances; the release's label is their majority
VOTES = ("AAS", "SSS", "NNH", "HHH")
CHANGES = {"majority": 0.99, "votes": 2 / 3}  # -> probability of what is predicted, which is the label
ROWS = [
    Row(f"MSP-PODCAST_{speaker:04d}_{number:04d}", votes[0], speaker=str(speaker), split="Test1")
    for speaker in range(SPEAKERS)
    for number, votes in enumerate(VOTES)
]


def write_release(root: Path, detailed: bool = True) -> Path:
    trees.write_msp(root, ROWS)
    lines = [
        f"{row.name}.wav,W{place}; {WORDS[vote]}; ; A:{place + 1}; V:4; D:4;"
        for row in ROWS
        for place, vote in enumerate(VOTES[int(row.name[-4:])])
    ]
    if detailed:
        (root / "Labels" / "labels_detailed.csv").write_text("FileName,EmoDetail\n" + "\n".join(lines) + "\n")
    return root


def predictions(run) -> pd.DataFrame:
    """Right in every utterance, with the probability of the change; development has the same ones."""
    rows = []
    for row, partition in [(row, partition) for partition in ("development", "test") for row in ROWS]:
        label, sure = CLASSES[row.emotion], CHANGES[run.parameters["change"]]
        own = {
            "partition": partition,
            "utterance": row.name,
            "speaker": row.speaker,
            "gender": None,
            "style": "podcast",
        }
        rest = {f"p_{name}": sure if name == label else (1 - sure) / 3 for name in schema.CLASSES}
        rows.append({**own, "target": "emotion", "truth": label, "prediction": label, "simulated": False, **rest})
    keys = {"section": "categories", "model": "cnn14", "fold": "official", "seed": run.parameters["seed"]}
    return pd.DataFrame(rows).assign(**keys, train_corpus="msp-podcast", test_corpus="msp-podcast")


def write_study(folder: Path, **of_release) -> Path:
    fixed = {"features": {}, "network": {}, "training": {}, "changes": {name: {} for name in CHANGES}}
    grid = {"change": list(CHANGES), "model": ["cnn14"], "corpus": ["msp-podcast"], "seed": [0, 1]}
    content = {
        "study": "people",
        "outputs": str(folder / "outputs"),
        "corpora": {"msp-podcast": {"root": str(write_release(folder / "release", **of_release))}},
        "sections": {
            "categories": {"notebook": "notebooks/5_labels.ipynb", "blocks": [{"grid": grid, "fixed": fixed}]}
        },
    }
    path = folder / "people.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    for run in config.load(path).runs:
        files.write_table(run.folder / files.PREDICTIONS, predictions(run))
    return path


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def found(study):
    return raters.read(study)


def test_models_raters_and_labels_are_compared_with_labels_and_with_votes(found):
    table = raters.scores(found, draws=20).query("metric == 'uar'").set_index(["who", "against"])
    score = table["score"]
    assert score["CNN14, votes", "label"] == 100
    # votes on angry: 2 of 2 right; on sad: 3 of 4, one was said of what is labelled angry; neutral 2/2; happy 3/4
    expected = 100 * (1 + 3 / 4 + 1 + 3 / 4) / 4
    assert score["CNN14, votes", "votes"] == score["CNN14, majority", "votes"] == pytest.approx(expected)
    assert score[raters.MAJORITY, "votes"] == pytest.approx(expected)
    # AAS: the others of an A are A and S, tied: no label; those of S say A. Angry 0/1, sad 3/3, neutral 0/1, happy 3/3
    assert score[raters.RATER, "label"] == 50
    # as truth and prediction, AAS has the ordered pairs AA twice, AS twice, SA twice, and SSS has SS six times:
    # angry 2 of 4, sad 6 of 8, and so on
    assert score[raters.RATER, "votes"] == pytest.approx(100 * (1 / 2 + 3 / 4) / 2)
    assert table.loc[("CNN14, votes", "votes"), "pairs"] == 2 * 3 * len(ROWS)  # seeds, raters
    assert (table["speakers"] == SPEAKERS).all()


def test_probabilities_are_nearest_to_the_votes_where_they_are_the_votes(found):
    table = raters.probabilities(found).set_index("who")["cross_entropy"]
    # half of the utterances are 2 to 1, half are unanimous: half of the entropy of a third
    least = -(2 * np.log(2 / 3) + np.log(1 / 3)) / 3 / 2
    assert table[raters.MAJORITY] == pytest.approx(least)
    for change, sure in CHANGES.items():
        other = np.log((1 - sure) / 3)
        assert table[f"CNN14, {change}"] == pytest.approx(-(np.log(sure) + (2 * np.log(sure) + other) / 3) / 2)
    assert least < table["CNN14, votes"] < table["CNN14, majority"]


def test_the_calibration_error_is_that_of_each_change_before_and_after_the_temperature(found):
    errors = raters.probabilities(found).set_index("who")
    for change, sure in CHANGES.items():  # everything is right
        assert errors.loc[f"CNN14, {change}", "ece"] == pytest.approx(1 - sure)
        assert errors.loc[f"CNN14, {change}", "tempered_ece"] < 1e-3
    frame = raters.table(found, draws=20).frame["probabilities"]
    assert frame.loc[("MSP-Podcast", "CNN14, majority"), ["ECE (%)", "ECE at T (%)"]].tolist() == ["1.0", "0.0"]


def test_ratings_are_compared_with_the_mean_of_the_others():
    judged = pd.DataFrame({"utterance": list("aaabbb"), "prediction": [1.0, 2.0, 3.0, 4.0, 4.0, 7.0]})
    assert raters._of_others(judged).tolist() == [2.5, 2.0, 1.5, 5.5, 5.5, 4.0]
    assert raters._of_others(judged.iloc[[0]]).isna().all()


def test_a_study_of_ratings_has_ccc_in_place_of_uar(found):
    part = next(iter(found.by_change.values()))
    rated = part.predictions.assign(target="arousal", truth=2.0, prediction=np.arange(len(part.predictions)) % 3)
    found = raters.Raters({"None": results.Results(None, "multitask", rated)}, found.votes, found.classes)
    table = raters.scores(found, draws=10)
    assert set(table["metric"]) == {"ccc"}
    assert set(table["who"]) == {"CNN14", raters.RATER, raters.MAJORITY}
    assert raters.probabilities(found).empty


def test_the_notebook_shows_and_writes_the_table(study, monkeypatch):
    monkeypatch.setattr(raters, "DRAWS", 10)
    notebook = nbformat.read(Path(__file__).parents[2] / "notebooks/analysis/raters.ipynb", as_version=4)
    names: dict = {}
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        exec(cell.source, names)
        if "parameters" in cell.metadata.get("tags", []):
            names["study"] = str(study)
    text = names["table"].markdown()
    assert "CNN14, votes" in text
    assert "the label itself" in text
    assert "cross-entropy with the votes" in text
    assert (config.load(study).folder / "tables" / "raters.md").is_file()


def test_without_votes_there_is_nothing_to_show(tmp_path):
    found = raters.read(write_study(tmp_path, detailed=False))
    assert isinstance(raters.table(found), Nothing)
    assert "no corpus of the study has the votes of single raters" in str(raters.table(found))


def test_runs_of_several_sets_of_classes_are_refused(study, tmp_path):
    content = files.read_yaml(study)
    (block,) = content["sections"]["categories"]["blocks"]
    other = {
        "grid": {**block["grid"], "seed": [7]},
        "fixed": {**block["fixed"], "classes": {"a": ["angry"], "s": ["sad"]}},
    }
    content["sections"]["categories"]["blocks"].append(other)
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(ValueError, match="runs of 2 sets of classes; expected one"):
        raters.read(tmp_path / "two.yaml", incomplete="show")
