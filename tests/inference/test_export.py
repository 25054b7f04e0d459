"""A model that is passed on gives the run's own predictions, as safetensors and as ONNX, and says what it is."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import torch
from small_runs import tiny_encoder, train

from sercore import corpora, files
from sercore.commands import cli
from sercore.features import audio, hub
from sercore.features.text import TextEncoder
from sercore.inference import artifact, card, export, predictor
from sercore.models import checkpoint


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return {"encoder": tiny_encoder(tmp_path_factory.mktemp("bert")), "tokens": 16}


@pytest.fixture(scope="module")
def fusion(embedded, text, tmp_path_factory):
    """Categories by MFCNN14, of a corpus with official partitions."""
    return train(tmp_path_factory.mktemp("fusion"), embedded, "categories", model="mfcnn14", text=text)


@pytest.fixture(scope="module")
def passed(fusion, tmp_path_factory):
    """The fusion model, passed on with ONNX."""
    return export.export(fusion, tmp_path_factory.mktemp("passed") / "fusion", onnx=True)


def of_test_set(run, embedded, utterances=40):
    """The run's own predictions of its test set, and the rows of the corpus that they are of."""
    table = pd.read_parquet(run / files.PREDICTIONS)
    home = table[(table["partition"] == "test") & (table["test_corpus"] == table["train_corpus"])]
    (name,) = home["train_corpus"].unique()
    options = dict(embedded[name])
    corpus = corpora.read(name, options.pop("root"), **options)
    own = home[home["utterance"].isin(home["utterance"].unique()[:utterances])]
    return own, corpus, corpus.utterances.set_index("utterance").loc[own["utterance"].unique()]


def test_the_folder_gives_the_runs_own_predictions(passed, fusion, embedded):
    own, corpus, rows = of_test_set(fusion, embedded)
    found = predictor.load(passed)([corpus.root / file for file in rows["file"]], rows["transcript"].tolist())
    for name in ("p_angry", "p_happy", "p_neutral", "p_sad"):
        np.testing.assert_allclose(found[name], own[name], atol=1e-4)


def test_onnx_gives_the_runs_own_predictions(passed, fusion, embedded):
    own, corpus, rows = of_test_set(fusion, embedded, 7)
    what = artifact.read(passed)
    sounds = [audio.read_audio(corpus.root / file) for file in rows["file"]]
    frames = [audio.log_mel(sound, what.features).half().float() for sound in sounds]
    text = TextEncoder(what.text).embed(rows["transcript"].tolist()).numpy()
    padded = torch.nn.utils.rnn.pad_sequence(frames, batch_first=True, padding_value=audio.FLOOR).numpy()
    lengths = np.array([len(part) for part in frames])
    assert len(set(lengths)) > 1
    logits = export.answer(passed / "official.onnx", [padded, lengths, text])
    odds = np.exp(logits)
    shares = odds / odds.sum(1, keepdims=True)
    np.testing.assert_allclose(shares, own[["p_angry", "p_happy", "p_neutral", "p_sad"]], atol=1e-4)
    alone = export.answer(passed / "official.onnx", [frames[3][None].numpy(), lengths[3:4], text[3:4]])
    np.testing.assert_allclose(alone[0], logits[3], atol=1e-4)


def test_parity_is_recorded(passed):
    recorded = files.read_json(passed / "settings.json")["onnx"]
    assert 0 <= recorded["difference"]["official"] <= recorded["tolerance"] == 1e-4
    assert list(recorded["inputs"]) == ["logmel", "frames", "text"]
    assert "largest difference" in (passed / "README.md").read_text()


def test_onnx_that_is_of_another_network_is_refused(passed):
    model, _ = checkpoint.load(passed / "official.safetensors")
    assert export.check(model, passed / "official.onnx") <= 1e-4
    model.output.bias.data += 0.001
    with pytest.raises(ValueError, match=r"answers differ from PyTorch's by 0.001, more than 0.0001"):
        export.check(model, passed / "official.onnx")


@pytest.mark.long
def test_the_text_model_and_a_full_size_one_become_onnx(embedded, text, tmp_path):
    run = train(tmp_path, embedded, "categories", model="bert", text=text)
    export.export(run, tmp_path / "out", onnx=True)
    own, corpus, rows = of_test_set(run, embedded)
    files_of = [corpus.root / file for file in rows["file"]]
    found = predictor.load(tmp_path / "out")(files_of, rows["transcript"].tolist())
    np.testing.assert_allclose(found["p_sad"], own["p_sad"], atol=1e-4)
    ids = TextEncoder(artifact.read(run).text).tokenize(rows["transcript"].tolist())
    tokens = torch.nn.utils.rnn.pad_sequence([torch.tensor(part) for part in ids], batch_first=True).numpy()
    mask = np.arange(tokens.shape[1]) < np.array([[len(part)] for part in ids])
    odds = np.exp(export.answer(tmp_path / "out" / "official.onnx", [tokens, mask]))
    np.testing.assert_allclose((odds / odds.sum(1, keepdims=True))[:, 3], own["p_sad"], atol=1e-4)
    full = checkpoint.build({"kind": "cnn14", "outputs": 3}, torch.Generator().manual_seed(0)).eval()
    assert export.write_onnx(full, tmp_path / "full.onnx") < 1e-4


def test_each_fold_is_passed_on_and_their_mean_is_the_answer(embedded, tmp_path):
    run = train(tmp_path, embedded, "dimensions", corpus="iemocap", target="valence", folds=["Ses01F", "Ses02M"])
    export.export(run, tmp_path / "all")
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == [
        "README.md",
        "Ses01F.safetensors",
        "Ses02M.safetensors",
        "settings.json",
    ]
    _, corpus, rows = of_test_set(run, embedded, 1)
    path = corpus.root / rows["file"].iloc[0]
    mean = predictor.load(tmp_path / "all")(path)
    assert mean["scale"].tolist() == ["1 to 5"]
    parts = [predictor.load(run / f"fold={fold}")(path)["valence"].iloc[0] for fold in ("Ses01F", "Ses02M")]
    assert mean["valence"].iloc[0] == pytest.approx(np.mean(parts), abs=1e-4)
    export.export(run / "fold=Ses01F", tmp_path / "one")
    assert predictor.load(tmp_path / "one")(path)["valence"].iloc[0] == pytest.approx(parts[0], abs=1e-4)
    card = (tmp_path / "all" / "README.md").read_text()
    assert "probabilities or ratings are averaged" in card
    assert "has no score here" in card


def test_the_card_says_what_the_model_is_and_that_its_speech_was_simulated(passed, fusion):
    card = (passed / "README.md").read_text()
    assert card.splitlines()[2].startswith("> **SIMULATED SPEECH. Nobody said any of this.**")
    (row,) = [line for line in card.splitlines() if line.startswith("| MSP-Podcast | emotion | UAR (%)")]
    table = pd.read_parquet(fusion / files.PREDICTIONS)
    own = table[(table["partition"] == "test") & (table["test_corpus"] == "msp-podcast")]
    recalls = (own["truth"] == own["prediction"]).groupby(own["truth"]).mean()
    assert f"| {100 * recalls.mean():.1f} |" in row
    assert int(row.split("|")[-2]) == own["speaker"].nunique()
    assert row.split("|")[5].strip() == "not known" or " to " in row
    assert hub.encoder_fingerprint(artifact.read(passed).text) in card


def test_the_card_of_licensed_speech_carries_its_terms(passed, fusion):
    what = dataclasses.replace(artifact.read(passed), simulated=False)
    made = files.read_json(fusion / files.PROVENANCE)
    text = card.card(what, artifact.predictions(fusion).assign(simulated=False), made, None)
    assert "SIMULATED" not in text
    assert "MSP-Podcast is licensed by the University of Texas at Dallas" in text
    assert "weights that were trained on it carry its terms" in text


def test_nothing_in_the_folder_is_a_pickle(passed):
    assert sorted(path.name for path in passed.iterdir()) == [
        "README.md",
        "official.onnx",
        "official.safetensors",
        "settings.json",
    ]
    assert int.from_bytes((passed / "official.safetensors").read_bytes()[:8], "little") < 100_000  # a JSON header


def test_what_cannot_be_exported_is_told(fusion, passed, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("draft")
    with pytest.raises(FileExistsError, match="is there already; remove it or name another"):
        export.export(fusion, tmp_path / "full")
    with pytest.raises(ValueError, match="was exported already: copy the folder"):
        export.export(passed, tmp_path / "again")
    assert cli.main(["export", str(tmp_path / "nowhere"), str(tmp_path / "out")]) == 2
    assert "no folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


@pytest.fixture
def copy(passed, tmp_path):
    """The passed-on folder without ONNX, to be spoilt."""
    for name in ("settings.json", "official.safetensors"):
        (tmp_path / name).write_bytes((passed / name).read_bytes())
    return tmp_path


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"format": 0}, "is of format 0, expected 1"),
        ({"networks": {"official": "../elsewhere.safetensors"}}, "names networks that are not in it"),
        ({"networks": {"official": "other.safetensors"}}, "names networks that are not in it, other.safetensors"),
        ({"encoder": "0000"}, r"is not the one of the training: its content is \w+, expected 0000"),
        ({"classes": {"angry": ["angry"], "sad": ["sad"]}}, "gives 4 numbers, expected 2"),
        ({"features": {"mels": 64}}, "takes 32 mels, the settings say 64"),
        ({"features": {"mel": 64}}, "FeatureSettings has no 'mel'; did you mean 'mels'"),
        ({"model": "mfcnn15"}, "holds a model 'mfcnn15', which cannot be used here"),
    ],
)
def test_a_folder_that_does_not_fit_together_says_why(copy, change, complaint):
    content = json.loads((copy / "settings.json").read_text())
    (copy / "settings.json").write_text(json.dumps(content | change))
    with pytest.raises(ValueError, match=complaint):
        predictor.load(copy)


def test_the_command_tells_what_it_wrote_and_how_onnx_compares(fusion, tmp_path, capsys):
    assert cli.main(["export", str(fusion), str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "official.safetensors" in printed
    assert "`sercore predict" in printed
