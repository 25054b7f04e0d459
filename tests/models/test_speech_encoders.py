"""wav2vec 2.0, HuBERT and WavLM as acoustic models: tiny ones without any knowledge."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from small_runs import calibrated, train
from transformers import HubertConfig, HubertModel, Wav2Vec2Config, Wav2Vec2Model, WavLMConfig, WavLMModel

from sercore import corpora, files, settings
from sercore.datasets import batches
from sercore.features import hub, packed
from sercore.inference import artifact
from sercore.inference.predictor import _packed, load
from sercore.models import checkpoint
from sercore.models.speech import SpeechModel, encoder_folder
from sercore.training import loop

FAMILIES = {
    "wav2vec2": (Wav2Vec2Config, Wav2Vec2Model),
    "hubert": (HubertConfig, HubertModel),
    "wavlm": (WavLMConfig, WavLMModel),
}
SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "num_feat_extract_layers": 7,
}
OUTPUTS = 4


def save_encoder(folder, family="wav2vec2", preprocessor=None, **arguments):
    """Folder of a tiny encoder; its first convolution is normalised over time, as that of the base models."""
    configuration, network = FAMILIES[family]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network(configuration(**SMALL, **arguments)).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor or {"sampling_rate": 16_000}))
    return str(folder)


def build(folder, family="wav2vec2", **arguments):
    chance = torch.Generator().manual_seed(0)
    return SpeechModel(folder, family, OUTPUTS, generator=chance, **arguments).eval()


def batch(*lengths):
    """Noise of these lengths, followed by noise that is not theirs."""
    sound = torch.randn(len(lengths), max(lengths) + 100, generator=torch.Generator().manual_seed(1))
    return 0.1 * sound, torch.tensor(lengths)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("wav2vec2"))


@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_does_not_depend_on_the_batch(tmp_path, family, norm):
    stable = {"do_stable_layer_norm": norm == "layer", "feat_extract_norm": norm}
    model = build(save_encoder(tmp_path, family, **stable), family)
    sound, lengths = batch(16_000, 400, 9_123)
    with torch.inference_mode():
        together = model(sound, lengths).logits
        for i, length in enumerate(lengths.tolist()):
            alone = model(sound[i : i + 1, :length], lengths[i : i + 1]).logits
            assert torch.allclose(together[i], alone[0], atol=1e-5)
    assert together.std(0).min() > 1e-4  # and depends on the utterance


@pytest.mark.parametrize("family", FAMILIES)
def test_one_utterance_is_answered_as_transformers_would(tmp_path, family):
    folder = save_encoder(tmp_path, family)
    model = build(folder, family, normalise=False)
    sound, _ = batch(8_000)
    own = FAMILIES[family][1].from_pretrained(folder).eval()
    with torch.inference_mode():
        expected = own(sound[:, :8_000]).last_hidden_state.mean(1)
        embedding = model(sound, torch.tensor([8_000])).embedding
    assert torch.allclose(embedding, expected, atol=1e-5)


def test_the_preprocessor_decides_whether_loudness_counts(tmp_path, encoder):
    loud, lengths = batch(4_000)
    for folder, same in ((encoder, True), (save_encoder(tmp_path, preprocessor={"do_normalize": False}), False)):
        model = build(folder)
        with torch.inference_mode():
            difference = (model(loud, lengths).logits - model(0.1 * loud + 0.3, lengths).logits).abs().max()
        assert (float(difference) < 1e-4) == same


@pytest.mark.parametrize("frozen", [True, False])
def test_only_what_is_to_be_trained_is_trained(encoder, frozen):
    model = build(encoder, frozen=frozen)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimiser = loop.optimisers.optimiser(
        model.named_parameters(), settings.training("wav2vec2", {"weight_decay": 0.1})
    )
    model.train()
    model(*batch(3_000, 5_000)).logits.square().sum().backward()
    optimiser.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert {"output.weight", "output.bias"} <= changed
    assert ("encoder.encoder.layers.1.attention.q_proj.weight" in changed) != frozen
    assert not any(name.startswith("encoder.feature_extractor.") for name in changed)
    if frozen:
        assert changed == {"output.weight", "output.bias"}


@pytest.mark.parametrize("frozen", [True, False])
def test_a_run_is_trained_and_predicts_what_it_predicted(tmp_path, embedded, encoder, frozen):
    folder = train(
        tmp_path,
        {"msp-podcast": embedded["msp-podcast"]},
        "categories",
        model="wav2vec2",
        features={},
        network={"encoder": encoder, "frozen": frozen},
        training={"epochs": 1, "batch": 16, "crop_seconds": 1.0, "warmup_steps": 0},
    )
    provenance = files.read_json(folder / files.PROVENANCE)
    assert set(provenance["corpora"]["msp-podcast"]) >= {"waveforms"}
    rows = artifact.predictions(folder).query("partition == 'test'").head(8)
    corpus = corpora.read("msp-podcast", embedded["msp-podcast"]["root"])
    sounds = corpus.utterances.set_index("utterance").loc[rows["utterance"], "file"]
    predictor = load(folder)
    paths = [corpus.root / file for file in sounds]
    together = predictor(paths)
    columns = [column for column in together.columns if column.startswith("p_")]
    own = calibrated(rows, predictor.trained.confidence)
    assert np.allclose(together[columns].astype(float), own, atol=1e-4)
    alone = predictor(paths[3])
    assert np.allclose(alone[columns].astype(float), own.iloc[[3]], atol=1e-4)


def test_a_model_is_saved_and_loaded_without_its_encoder(tmp_path):
    folder = save_encoder(tmp_path / "encoder", preprocessor={"do_normalize": False})
    arguments = {"kind": "speech", "encoder": folder, "family": "wav2vec2", "outputs": OUTPUTS, "frozen": True}
    model = checkpoint.build(arguments, torch.Generator().manual_seed(0)).eval()
    checkpoint.save(model, arguments, tmp_path / "model.safetensors")
    for path in (tmp_path / "encoder").iterdir():
        path.unlink()
    again, saved = checkpoint.load(tmp_path / "model.safetensors")
    assert saved["family"] == "wav2vec2"
    assert (again.frozen, again.normalise) == (True, False)
    with torch.inference_mode():
        assert torch.allclose(again(*batch(5_000, 700)).logits, model(*batch(5_000, 700)).logits, atol=1e-6)


def test_batches_hold_the_sound_as_it_was():
    rows = [np.linspace(-1, 1, 1_000), np.full(2, 0.5), np.full(700, 3.0)]
    kept = [packed.samples(row) for row in rows]
    assert [len(part) for part in kept] == [1_000, 400, 700]
    assert kept[2].max() == packed.FULL_SCALE
    assert np.allclose(kept[0] / packed.FULL_SCALE, rows[0], atol=1 / packed.FULL_SCALE)
    sound = _packed(packed.Waveforms, kept)
    table = pd.DataFrame({"utterance": ["0", "1", "2"]})
    (only,) = batches.WaveformDataset(sound, table, torch.zeros(3)).batches(8, None)
    given, lengths = only.inputs
    assert given.shape == (3, 1_280)
    assert given.dtype == torch.float32
    for row, length, which in zip(given.numpy(), lengths.tolist(), only.rows.tolist(), strict=True):
        assert np.allclose(row[:length], kept[which] / packed.FULL_SCALE)
        assert not row[length:].any()


def test_the_error_for_an_encoder_that_cannot_be_used_says_why(tmp_path, encoder, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(hub.EncoderError, match=r"'nowhere/at-all' was not found: no folder .*nowhere/at-all"):
        encoder_folder("nowhere/at-all", "wav2vec2", 16_000)
    with pytest.raises(hub.EncoderError, match=r"of type 'wav2vec2', expected 'wavlm'; use it as the model 'wav"):
        encoder_folder(encoder, "wavlm", 16_000)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(hub.EncoderError, match=r"has no weights; expected \*.safetensors or"):
        encoder_folder(str(tmp_path), "wav2vec2", 16_000)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(hub.EncoderError, match=r"of type 'bert', expected 'wav2vec2'; it is no encoder that"):
        encoder_folder(str(tmp_path), "wav2vec2", 16_000)
    with pytest.raises(hub.EncoderError, match=r"takes sound at 16000 Hz, .* sample_rate is 8000 Hz"):
        encoder_folder(encoder, "wav2vec2", 8_000)
    low = save_encoder(tmp_path / "low", preprocessor={"sampling_rate": 8_000})
    with pytest.raises(hub.EncoderError, match=r"takes sound at 8000 Hz, by its preprocessor_config.json"):
        build(low)
    broken = tmp_path / "low" / "model.safetensors"
    broken.write_bytes(broken.read_bytes()[:1_000])
    with pytest.raises(hub.EncoderError, match=r"speech encoder in .*low cannot be read"):
        build(low, sample_rate=8_000)


def test_only_speech_encoders_take_an_encoder():
    for model, network, wrong in (
        ("wav2vec2", {}, "wav2vec2 needs an encoder"),
        ("cnn14", {"encoder": "x"}, "cnn14 takes no network.encoder"),
        ("bert", {"frozen": False}, "and no network.frozen; wav2vec2, hubert, wavlm do"),
        ("wavlm", {"encoder": "x", "pretrained": "aisfx"}, "wavlm takes no network.pretrained"),
    ):
        with pytest.raises(ValueError, match=wrong):
            settings.check_network(model, settings.build(settings.NetworkSettings, network))
