"""The benchmark on public speech: its baseline learns, its tables hold its results, its parameters fit the data."""

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from benchmarks import pretrained, real_speech

from sercore import corpora, files, schema
from sercore.corpora.synthetic.sentences import TELLING_NOTHING
from sercore.study import config

CLASSES = ("angry", "happy", "neutral", "sad")
LEVEL = dict(zip(CLASSES, (0.3, 0.1, 0.03, 0.01), strict=True))


@pytest.fixture
def recordings(tmp_path):
    """The utterance table of three speakers whose loudness is their emotion, beside its sound."""
    random = np.random.default_rng(0)
    rows = []
    for speaker in ("ann", "bob", "cem"):
        for emotion, level in LEVEL.items():
            for take in range(3):
                name = f"{speaker}-{emotion}-{take}"
                soundfile.write(tmp_path / f"{name}.wav", random.normal(0, level, 4000), 16_000, subtype="PCM_16")
                rows.append({"utterance": name, "file": f"{name}.wav", "speaker": speaker, "emotion": emotion})
    table = pd.DataFrame(rows)
    table.to_csv(tmp_path / "utterances.csv", index=False)
    return table


@pytest.fixture
def plan(recordings, tmp_path):
    """A study of them; CNN14 is right, BERT always predicts the same."""

    def predict(run, rows):
        return rows["emotion"].mask(rows["speaker"].notna() & (run.parameters["model"] == "bert"), "sad")

    return _studied("emodb", recordings, tmp_path, predict)


def _studied(name: str, rows: pd.DataFrame, folder: Path, predict) -> Path:
    """The parameters file of study `name`, whose runs have predicted `predict(run, rows)`."""
    path = real_speech._point(config.load(f"parameters/{name}.yaml").path, folder / "outputs", {"root": str(folder)})
    for run in config.load(path).runs:
        _answer(run, rows, predict(run, rows))
    return path


def _answer(run, rows: pd.DataFrame, predicted: pd.Series) -> None:
    table = rows[["utterance", "speaker"]].assign(
        section="categories",
        model=run.parameters["model"],
        train_corpus="emodb",
        test_corpus="emodb",
        fold=rows["speaker"],
        seed=run.parameters["seed"],
        gender=None,
        style=None,
        target="emotion",
        truth=rows["emotion"],
        prediction=predicted,
        simulated=False,
        **{f"p_{name}": (predicted == name).astype(float) for name in CLASSES},
    )
    both = pd.concat([table.assign(partition=name) for name in ("development", "test")])
    files.write_table(run.folder / files.PREDICTIONS, both)


def test_the_table_names_chance_and_whether_fusion_lost(plan):
    table = real_speech.emodb_table(plan)
    assert "EMO-DB, 36 utterances of 3 actors, leave one speaker out, seeds 0" in table
    assert "| CNN14 | 100.0 (100.0 to 100.0) |  |" in table
    assert "| BERT | 25.0 (25.0 to 25.0) | -75.0 (-75.0 to -75.0) |" in table
    assert "the text model is at chance: 25.0, where emotions shuffled within each speaker give 25.0 to 25.0" in table
    assert "MFCNN14 does not lose to CNN14: +0.0" in table


def test_what_text_costs_is_said_with_and_without_dropout(recordings, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(real_speech, "DRAWS", 100)

    def predict(run, rows):
        wrong = {"all": rows["utterance"].str.endswith("-0"), "s6-dropped": rows["speaker"].eq("ann")}
        return rows["emotion"].mask(wrong.get(run.parameters["change"], rows["speaker"].isna()), "sad")

    path = _studied("emodb-where", recordings, tmp_path, predict)
    assert (
        real_speech.main(["--emodb", str(tmp_path), "--where", "--show", "--outputs", str(tmp_path / "outputs")]) == 0
    )
    table = capsys.readouterr().out
    assert "EMO-DB, 36 utterances of 3 actors, leave one speaker out, seeds 0, 1, 2" in table
    assert "| mel statistics, logistic | 100.0 (100.0 to 100.0) |  |  |" in table
    assert "| text at no stage: CNN14 | 100.0 (100.0 to 100.0) |  |  |" in table
    assert "| text at 6 | 100.0 (100.0 to 100.0) | +0.0 (+0.0 to +0.0) |  |" in table
    assert "| text at 1, 2, 3, 4, 5, 6 | 75.0 (75.0 to 75.0) | -25.0 (-25.0 to -25.0) |  |" in table
    assert "6; 40% left out | 100.0 (100.0 to 100.0) | +0.0 (+0.0 to +0.0) | +25.0 (+25.0 to +25.0) |" in table
    assert "- text at 6: within 2 points of CNN14" in table
    assert "- text at 1, 2, 3, 4, 5, 6: by more than 2 points worse than CNN14" in table
    assert "- text at 1, 2, 3, 4, 5, 6; 40% left out: by more than 2 points better than the same without" in table
    assert "- text at 6; 40% left out: not decided: " in table
    for run in config.load(path).runs:  # but one seed without dropout and one with are not there yet
        if run.parameters["seed"] or run.parameters["change"] not in ("none", "all", "s6-dropped"):
            (run.folder / files.PREDICTIONS).unlink()
    table = real_speech.emodb_where_table(path)
    assert "seeds 0\n" in table
    assert "| text at no stage: CNN14 | 100.0 (100.0 to 100.0) |  |  |" in table
    assert "| text at 6; 40% left out | 75.0 (25.0 to 100.0) | -25.0 (-75.0 to +0.0) |  |" in table
    for run in config.load(path).runs:
        if run.parameters["change"] == "s6-dropped":
            (run.folder / files.PREDICTIONS).unlink(missing_ok=True)
    assert "left out" not in real_speech.emodb_where_table(path)


def test_the_recipe_is_compared_with_the_same_models_without_and_with_mel_statistics(
    recordings, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(real_speech, "DRAWS", 100)

    def predict(run, rows):
        wrong = run.study == "emodb-where" and run.parameters["change"] == "all"
        return rows["emotion"].mask(rows["utterance"].str.endswith("-0") & wrong, "sad")

    for name in ("emodb-where", "emodb-recipe"):
        path = _studied(name, recordings, tmp_path, predict)
    size = {"utterances": 12, "speakers": 1}
    for run in config.load(path).runs:
        recipe = {"name": "by_size", "size": size, "chose": {"network": {"dropout": 0.2}}}
        files.write_record(run.folder / files.PROVENANCE, {"recipe": recipe})
    show = ["--recipe", "--show", "--outputs", str(tmp_path / "outputs")]
    assert real_speech.main(["--emodb", str(tmp_path), *show]) == 0
    table = capsys.readouterr().out
    same = "100.0 (100.0 to 100.0)"
    none = "+0.0 (+0.0 to +0.0)"
    assert "EMO-DB, 36 utterances of 3 actors, leave one speaker out, seeds 0, 1, 2" in table
    assert f"| mel statistics, as recorded | {same} |  |  |  |" in table
    assert "| mel statistics, as the recipe normalises |" in table
    assert "\n| the recipe's regression alone |" in table
    assert f"| CNN14, recipe | {same} | {none} | {none} |" in table
    worse = "75.0 (75.0 to 75.0)"
    assert f"| text at 1, 2, 3, 4, 5, 6, without | {worse} |  | -25.0 (-25.0 to -25.0) |" in table
    assert f"| text at 1, 2, 3, 4, 5, 6, recipe | {same} | +25.0 (+25.0 to +25.0) |" in table
    assert "- CNN14: with the recipe within 2 points of without" in table
    said = "Recipe by_size, for 12 training utterances of 1 known speakers, chose network.dropout 0.2."
    assert table.count(said) == 1


def test_the_recipe_between_the_embedded_corpora_is_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(real_speech, "DRAWS", 100)
    content = files.read_yaml(config.load("parameters/cross-recipe.yaml").path)
    files.write_yaml(tmp_path / "cross-recipe.yaml", {**content, "outputs": str(tmp_path)})
    for run in config.load(tmp_path / "cross-recipe.yaml").runs:
        train, change = run.parameters["corpus"], run.parameters["change"]
        folds = ["official"] if train == "msp-podcast" else ["Ses01F", "Ses03M"]
        rows = pd.DataFrame({"utterance": range(24), "speaker": np.repeat(list("abcdef"), 4), "truth": CLASSES * 6})
        parts = []
        for other in content["corpora"]:
            wrong = other != train and change == "without"
            prediction = rows["truth"].mask(rows["truth"].eq("angry") & wrong, "sad")
            keys = {"section": "categories", "model": "cnn14", "train_corpus": train, "test_corpus": other}
            keys |= {"gender": None, "style": None, "target": "emotion", "partition": "test", "simulated": True}
            shares = {f"p_{name}": (prediction == name).astype(float) for name in CLASSES}
            of = rows.assign(seed=run.parameters["seed"], prediction=prediction, **keys, **shares)
            parts += [of.assign(fold=fold) for fold in folds[: len(folds) if other != train else 1]]
        files.write_table(run.folder / files.PREDICTIONS, pd.concat(parts))
        record = {"name": "by_size", "size": {"utterances": 9, "speakers": 2}, "chose": {}}
        files.write_record(run.folder / files.PROVENANCE, {"recipe": record})
    assert real_speech.main(["--embedded", "--show", "--parameters", str(tmp_path)]) == 0
    table = capsys.readouterr().out
    same, worse = "100.0 (100.0 to 100.0)", "75.0 (75.0 to 75.0)"
    assert f"| iemocap → iemocap | {same} | {same} | +0.0 (+0.0 to +0.0) |" in table
    assert f"| iemocap → msp-podcast | {same} | {worse} | +25.0 (+25.0 to +25.0) |" in table
    assert "- msp-podcast → iemocap loses 0.0 points with the recipe, 25.0 without" in table
    assert "Recipe by_size, for 9 training utterances of 2 known speakers, chose nothing: all is given." in table


def test_chance_is_what_shuffled_emotions_give():
    random = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "utterance": range(120),
            "speaker": np.resize(["a", "b", "c"], 120),
            "seed": 0,
            "truth": random.choice(CLASSES, 120),
            "prediction": random.choice(CLASSES, 120),
        }
    )
    low, high = real_speech.by_chance(rows, list(CLASSES))
    assert low < 25 < high
    assert high - low == pytest.approx(4 * 100 * np.sqrt(0.25 * 0.75 / 120), rel=0.3)  # of a proportion
    assert real_speech.by_chance(rows.assign(prediction=rows["truth"]), list(CLASSES))[1] < 100


def test_the_baseline_learns_from_other_speakers_only(plan):
    predictions = real_speech.mel_statistics(config.load(plan))
    assert len(predictions) == 36
    assert (predictions["truth"] == predictions["prediction"]).mean() > 0.9
    assert not list(config.load(plan).folder.glob("baseline/fold=*"))


def test_the_parameters_point_at_the_data_and_stay_the_study_s_own(plan):
    content = yaml.safe_load(plan.read_text())
    own = yaml.safe_load(config.load("parameters/emodb.yaml").path.read_text())
    assert content["sections"] == own["sections"]
    assert content["corpora"]["emodb"]["reader"] == "table"
    assert config.load(plan).corpora["emodb"]["root"] != own["corpora"]["emodb"]["root"]


def test_other_epochs_are_a_study_of_their_own(tmp_path):
    source = config.load("parameters/emodb.yaml").path
    runs = config.load(real_speech._point(source, tmp_path, {"root": str(tmp_path)}, epochs=60)).runs
    assert {run.parameters["model"]: run.parameters["training"]["epochs"] for run in runs} == {
        "cnn14": 60,
        "sfcnn14": 60,
        "mfcnn14": 60,
        "bert": 2,
    }
    assert (tmp_path / "emodb-60" / "emodb.yaml").exists()


def test_a_mean_outside_the_scale_is_reported():
    rows = pd.DataFrame({"model": ["cnn14", "bert"], "target": "valence", "prediction": [-5.1, 4.0]})
    assert real_speech._off_the_scale(rows) == ["- the mean of CNN14's valence is -5.1, off the scale of 1 to 7"]


def test_pretrained_and_scratch_differ_in_their_first_weights_alone_and_are_compared(plan, tmp_path):
    root = config.load(plan).corpora["emodb"]["root"]
    pair = pretrained.derived("emodb", {"reader": "table", "root": root}, pretrained.EMODB, tmp_path)
    starts, scratch = (config.load(path).runs for path in pair.values())
    assert [run.parameters["network"] for run in starts] == [{"width": 64, "pretrained": "aisfx"}]
    assert [run.parameters["network"] for run in scratch] == [{"width": 64}]
    (start,), (other,) = (run.parameters for run in starts), (run.parameters for run in scratch)
    assert {**start, "network": None} == {**other, "network": None}
    rows = pd.read_csv(f"{root}/utterances.csv")
    for run in (*starts, *scratch):
        _answer(run, rows, rows["emotion"])
    table = pretrained.table([pair])
    assert "| emodb, emotion, UAR | 36 | 3 | 1 | 100.0 (100.0 to 100.0) | 100.0 (100.0 to 100.0) | +0.0 (" in table


def test_emobank_is_synthesised_from_the_rated_sentences_and_its_stages_are_shown(tmp_path, capsys):
    random = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "id": [f"s{number}" for number in range(400)],
            "split": ["train", "train", "dev", "test"] * 100,
            **{letter: random.uniform(1, 5, 400).round(1) for letter in "VAD"},
            "text": [f"This is the sentence of number {number}." for number in range(400)],
        }
    )
    rows.to_csv(tmp_path / "emobank.csv", index=False)
    path = real_speech._point(config.load("parameters/emobank-where.yaml").path, tmp_path / "out", {})
    for run in config.load(path).runs:
        change, seed = run.parameters["change"], run.parameters["seed"]
        if seed == 0 and (change in ("none", "all") or change in [f"s{stage}" for stage in range(1, 7)]):
            _rate(run, right=change in ("all", "s6"))
    where = ["--emobank", str(tmp_path), "--where", "--show", "--size", "0.02", "--outputs", str(tmp_path / "out")]
    assert real_speech.main(where) == 0
    printed = capsys.readouterr().out
    assert "estimated from 8 sets" in printed
    assert "| 6 | +1.000 (" in printed
    assert "| 5 | +.000 (" in printed
    assert "| H2 | PCC of arousal | what stages 1 to 3 take away | +.000 (" in printed
    options = config.load(path).corpora["emobank"]
    corpus = corpora.read("emobank", options["root"], reader="msp-podcast", transcripts=options["transcripts"])
    assert corpus.simulated
    common = corpus.utterances["transcript"].isin(TELLING_NOTHING)
    assert 0.1 < common.mean() < 0.5
    test = corpus.utterances[(corpus.utterances["partition"] == "test") & ~common]
    assert test["transcript"].isin(rows.loc[rows["split"] == "test", "text"]).all()
    assert corpus.utterances.loc[~common, "transcript"].isin(rows["text"]).all()


def test_make_passes_on_what_it_is_given():
    command = ["make", "--dry-run", "--no-print-directory", "--assume-old=.venv/installed", "bench-real"]
    project = Path(__file__).parents[2]
    for given, passed in (
        ("EMODB=/a EPOCHS=60", "--emodb /a --epochs 60"),
        ("EMOBANK=/b WHERE=yes", "--emobank /b --where"),
    ):
        said = subprocess.run([*command, *given.split()], cwd=project, capture_output=True, text=True, check=True)
        assert " ".join(said.stdout.split()).endswith(passed)


def _rate(run, right: bool) -> None:
    truth = pd.Series([1.0, 2.0, 3.0, 4.0])
    table = pd.DataFrame({"utterance": list("abcd"), "speaker": list("aabb"), "truth": truth}).assign(
        section="multitask",
        model=run.parameters["model"],
        train_corpus="emobank",
        test_corpus="emobank",
        fold="official",
        seed=run.parameters["seed"],
        gender=None,
        style=None,
        partition="test",
        prediction=truth if right else [2.0, 4.0, 1.0, 3.0],  # r is 0
        simulated=True,
    )
    files.write_table(
        run.folder / files.PREDICTIONS, pd.concat([table.assign(target=target) for target in schema.DIMENSIONS])
    )
