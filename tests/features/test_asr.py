"""Engines of every kind answer one call; the reference is transformers' own pipeline."""

import re

import numpy as np
import pytest
import tiny_recognisers
import torch
from transformers import AutoModelForCTC, WhisperForConditionalGeneration, pipeline

from sercore.features import asr

SECONDS = 3


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    top = tmp_path_factory.mktemp("models")
    writers = {"wav2vec2": tiny_recognisers.write_wav2vec2, "whisper": tiny_recognisers.write_whisper}
    return {name: write(top / name) for name, write in writers.items()}


@pytest.fixture
def sound():
    return np.random.default_rng(3).normal(0, 0.1, SECONDS * 16_000).astype(np.float32)


def test_a_ctc_model_gives_the_transcript_of_the_pipeline(folders, sound):
    transcription = asr.Recogniser(str(folders["wav2vec2"])).transcribe(sound)
    expected = pipeline("automatic-speech-recognition", str(folders["wav2vec2"]), device="cpu")(sound)["text"]
    assert transcription.transcript == " ".join(re.sub(r"</?\w+>", "", expected).split())  # marks are no speech
    assert len(transcription.transcript) > 3


def test_a_ctc_models_confidence_is_the_geometric_mean_of_its_letters_probabilities(folders, sound):
    model = AutoModelForCTC.from_pretrained(folders["wav2vec2"]).eval()
    normalised = (sound - sound.mean()) / np.sqrt(sound.var() + 1e-7)
    with torch.inference_mode():
        probabilities = model(torch.from_numpy(normalised)[None]).logits[0].softmax(-1).numpy()
    best = probabilities.max(axis=1)[probabilities.argmax(axis=1) != 0]  # 0 is no letter
    confidence = asr.Recogniser(str(folders["wav2vec2"])).transcribe(sound).confidence
    assert confidence == pytest.approx(np.exp(np.log(best).mean()), rel=1e-4)


def test_a_sequence_to_sequence_model_gives_the_most_probable_words_and_their_mean_probability(folders, sound):
    recogniser = asr.Recogniser(str(folders["whisper"]))
    transcription = recogniser.transcribe(sound)
    tokens = [1, *(tiny_recognisers.WORDS.index(word) for word in transcription.transcript.split())]
    model = WhisperForConditionalGeneration.from_pretrained(folders["whisper"]).eval()
    logmel = recogniser._engine._features(sound)["input_features"]
    with torch.inference_mode():
        chances = model(logmel, decoder_input_ids=torch.tensor([tokens[:-1]])).logits[0].log_softmax(-1)
    assert chances.argmax(-1).tolist() == tokens[1:]
    assert len(tokens) == 1 + asr.TOKENS + asr.TOKENS_PER_SECOND * SECONDS
    expected = chances[range(len(tokens) - 1), tokens[1:]].mean().exp()
    assert transcription.confidence == pytest.approx(float(expected), rel=1e-3)


@pytest.mark.parametrize("kind", ["wav2vec2", "whisper"])
def test_very_short_and_very_long_audio_is_transcribed(folders, kind, sound):
    recogniser = asr.Recogniser(str(folders[kind]))
    assert 0 < recogniser.transcribe(sound[:10]).confidence <= 1
    long = recogniser.transcribe(np.tile(sound, 11))  # 33 s: transcribed in two parts
    assert long.transcript.startswith(recogniser.transcribe(np.tile(sound, 10)).transcript)
    assert 0 < long.confidence <= 1


def test_a_wider_beam_gives_a_transcript(folders, sound):
    assert asr.Recogniser(str(folders["whisper"]), beam=3).transcribe(sound).transcript


def test_a_model_that_was_not_fine_tuned_to_recognise_speech_is_refused(folders, tmp_path):
    from transformers import Wav2Vec2Model

    Wav2Vec2Model.from_pretrained(folders["wav2vec2"]).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"lacks 2 weights, as lm_head\.bias: was it fine-tuned to recognise speech"):
        asr.Recogniser(str(tmp_path))


def test_another_language_needs_a_model_that_knows_it():
    with pytest.raises(ValueError, match="knows English only, not 'de'"):
        asr.Recogniser(language="de")


def test_a_language_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"no language 'xx'.*expected its code, as en"):
        asr.Recogniser(language="xx")


def test_weights_that_cannot_be_downloaded_are_named(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="'small' is not on this machine and cannot be downloaded; expected a network"):
        asr.Recogniser("small")
