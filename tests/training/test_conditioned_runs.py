"""Runs with other stages and mechanisms than the paper's: what they leave, and the model that becomes of them."""

import numpy as np
import pandas as pd
import pytest
import torch
from small_runs import tiny_encoder, train

from sercore import corpora, files
from sercore.features import audio
from sercore.features.text import TextEncoder
from sercore.inference import artifact, export, predictor
from sercore.models import checkpoint

CLASSES = ["p_angry", "p_happy", "p_neutral", "p_sad"]
NETWORK = {"width": 2, "stages": [6, 2], "mechanism": "gate", "text_dropout": 0.5}


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return {"encoder": tiny_encoder(tmp_path_factory.mktemp("bert")), "tokens": 16}


@pytest.fixture(scope="module")
def gated(embedded, text, tmp_path_factory):
    """Two stages with gates, trained with half of the texts, on half of the data; the encoder is that of a change."""
    folder = tmp_path_factory.mktemp("gated")
    training = {"epochs": 2, "crop_seconds": 1.5, "text_learning_rate": 3.0}
    change = {"text": {"encoder": text["encoder"]}, "training": {"data_share": 0.5}}
    values = {"text": {"encoder": "bert-base-uncased", "tokens": 16}, "network": NETWORK, "training": training}
    return train(folder, embedded, "categories", model="mfcnn14", change="tiny", changes={"tiny": change}, **values)


@pytest.fixture(scope="module")
def recordings(embedded):
    options = dict(embedded["msp-podcast"])
    corpus = corpora.read("msp-podcast", options.pop("root"), **options)
    rows = corpus.utterances.iloc[:5]
    return [corpus.root / file for file in rows["file"]], rows["transcript"].tolist()


def test_without_stages_multistage_fusion_is_cnn14_itself(embedded, text, tmp_path):
    answers = []
    for name, settings in {"cnn14": {}, "mfcnn14": {"text": text, "network": {"width": 2, "stages": []}}}.items():
        run = train(tmp_path / name, embedded, "categories", model=name, **settings)
        answers.append(pd.read_parquet(run / files.PREDICTIONS).drop(columns="model"))
    pd.testing.assert_frame_equal(*answers)
    assert "embeddings" not in files.read_json(run / files.PROVENANCE)["corpora"]["msp-podcast"]
    assert not artifact.read(run).uses_text
    card = export.export(run, tmp_path / "out")
    assert "**Here without any text**" in (card / "README.md").read_text()


def test_how_far_the_gates_are_open_is_recorded(gated):
    openings = files.read_json(gated / files.PROVENANCE)["folds"]["official"]["openings"]
    assert list(openings) == ["2", "6"]
    assert all(0 < opened < 1 for opened in openings.values())


def test_a_change_may_be_of_the_encoder_and_of_the_data(gated, text):
    recorded = files.read_json(gated / files.PROVENANCE)["settings"]
    assert recorded["text"]["encoder"] == text["encoder"]
    assert (recorded["training"]["data_share"], recorded["training"]["text_learning_rate"]) == (0.5, 3)
    assert artifact.read(gated).text.encoder == text["encoder"]


def test_a_model_that_was_trained_without_some_texts_answers_without_one(gated, recordings):
    paths, texts = recordings
    predict = predictor.load(gated)
    without = predict(paths)
    assert without["text"].isna().all()
    assert without["error"].isna().all()
    told = predict(paths, texts)
    assert (without[CLASSES] - told[CLASSES]).abs().to_numpy().max() > 0
    some = predict(paths, [texts[0], None, *texts[2:]])
    np.testing.assert_allclose(some[CLASSES].iloc[1], without[CLASSES].iloc[1], atol=1e-5)
    np.testing.assert_allclose(some[CLASSES].iloc[0], told[CLASSES].iloc[0], atol=1e-5)


def test_the_card_knows_the_conditioning(gated, tmp_path):
    card = (export.export(gated, tmp_path / "out") / "README.md").read_text()
    assert "**Here the blocks 2, 6** are shifted as far as a gate is open" in card
    assert "the text of 50% of the utterances" in card
    assert "Trained on 50% of the training utterances, drawn by the seed; the corpus's training partition" in card


@pytest.mark.long
def test_onnx_knows_a_text_that_is_not_known(gated, recordings, tmp_path):
    folder = export.export(gated, tmp_path / "out", onnx=True)
    paths, texts = recordings
    trained = artifact.read(folder)
    frames = audio.log_mel(audio.read_audio(paths[0]), trained.features).half().float()[None].numpy()
    known = TextEncoder(trained.text).embed(texts[:1]).numpy()
    predict = predictor.load(folder)
    for given, text in ((texts[0], known), (None, np.full_like(known, np.nan))):
        logits = export.answer(folder / "official.onnx", [frames, np.array([frames.shape[1]]), text])
        odds = np.exp(logits[0] / predict.trained.confidence.temperature)
        odds /= odds.sum()
        np.testing.assert_allclose(odds, predict(paths[:1], [given])[CLASSES].iloc[0].astype(float), atol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("mechanism", ["film", "concat"])
def test_every_mechanism_becomes_onnx(mechanism, tmp_path):
    settings = {"text_stages": [1, 6], "text_width": 5, "width": 2, "mels": 32, "mechanism": mechanism}
    model = checkpoint.build({"kind": "cnn14", "outputs": 3, **settings}, torch.Generator().manual_seed(0)).eval()
    for parameter in model.project.parameters():
        parameter.data.uniform_(-0.5, 0.5, generator=torch.Generator().manual_seed(1))
    assert export.write_onnx(model, tmp_path / "model.onnx") < 1e-4
