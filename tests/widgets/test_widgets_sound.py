"""The sound of an utterance for a browser: WAV, and the log-mel frames that the models were given."""

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from matplotlib.image import imread

from sercore import schema
from sercore.corpora import Corpus
from sercore.features import audio, cache
from sercore.settings import FeatureSettings
from sercore.study import config
from sercore.widgets import sound

SMALL = FeatureSettings(mels=32, hop=320)


@pytest.fixture
def noise():
    return (np.random.default_rng(0).standard_normal(20_000) / 10).astype("float32")


@pytest.fixture
def trained(noise, tmp_path):
    """A study with one run of CNN14, a corpus of one utterance, and the frames that the run computed of it."""
    soundfile.write(tmp_path / "u.wav", noise, 16_000)
    rows = pd.DataFrame({"utterance": ["u"], "file": ["u.wav"], "speaker": ["s"], "transcript": ["hello"]})
    corpus = Corpus("c", tmp_path, (1, 5), schema.check_utterances(rows, "test"), (), False)
    run = config.Run(
        study="s",
        section="categories",
        name="seed=0",
        notebook=Path("n.ipynb"),
        parameters={"model": "cnn14", "features": {"mels": 32, "hop": 320}},
        folder=tmp_path / "run",
    )
    study = config.Study(
        name="s", path=Path("s.yaml"), corpora={}, outputs=tmp_path / "outputs", runs=(run,), analysis=()
    )
    frames = cache.log_mels(corpus, SMALL, tmp_path / "outputs" / "cache")
    return study, tmp_path / "u.wav", frames


def test_the_spectrogram_is_made_of_the_frames_that_the_models_saw(trained):
    study, path, frames = trained
    shown = sound.CachedFrames(study)("c", "u", path)
    assert shown.settings == SMALL
    assert np.array_equal(shown.levels, frames.rows(0).astype("float32"))


def test_frames_of_another_sound_or_of_settings_that_no_run_has_are_not_shown(trained, noise):
    study, path, _ = trained
    paper = replace(study, runs=(replace(study.runs[0], parameters={"model": "cnn14"}),))
    with pytest.raises(LookupError, match="no log-mel frames"):
        sound.CachedFrames(paper)("c", "u", path)
    soundfile.write(path, noise / 2, 16_000)
    with pytest.raises(LookupError, match="no log-mel frames"):
        sound.CachedFrames(study)("c", "u", path)


def test_frames_that_are_computed_while_the_browser_is_open_are_shown(trained):
    study, path, _ = trained
    entries = study.outputs / "cache" / "c"
    entries.rename(entries.with_name("later"))
    source = sound.CachedFrames(study)
    with pytest.raises(LookupError):
        source("c", "u", path)
    entries.with_name("later").rename(entries)
    assert source("c", "u", path).settings == SMALL


def test_a_tone_is_drawn_at_its_time_and_frequency():
    """Half a second of silence, then half a second of 1 kHz: the brightest pixels begin at the one, at the other."""
    seconds = np.arange(16_000) / 16_000
    tone = torch.from_numpy(np.where(seconds < 0.5, 0.0, np.sin(2 * np.pi * 1000 * seconds)).astype("float32"))
    settings = FeatureSettings()
    shown = sound.Spectrogram(audio.log_mel(tone, settings).numpy(), settings)
    pixels = imread(io.BytesIO(sound.picture(shown)), format="png")[..., :3].sum(axis=-1)  # from the top
    bands, frames = pixels.shape
    assert (bands, frames) == (64, 101)
    height = 1 - (np.argmax(pixels[:, 75]) + 0.5) / bands
    (place,) = [place for place, label in sound.ticks(settings) if label == "1,000"]
    assert height == pytest.approx(place, abs=1 / bands)
    left, right = sound.span(shown)
    first = np.argmax(pixels[np.argmax(pixels[:, 75])] > pixels.max() / 2)
    assert left + (first + 0.5) / frames * (right - left) == pytest.approx(0.5, abs=512 / 16_000)


def test_ticks_beyond_the_picture_are_left_out():
    labels = [label for _, label in sound.ticks(FeatureSettings(low=400, high=5000))]
    assert labels == ["500", "1,000", "2,000", "4,000"]


def test_a_player_gets_all_of_the_sound(noise, tmp_path):
    soundfile.write(tmp_path / "two.flac", np.stack([noise, -noise / 2], axis=1), 16_000)
    samples, rate = sound.read(tmp_path / "two.flac")
    played, played_rate = soundfile.read(io.BytesIO(sound.wav(samples, rate)))
    assert (len(played), played_rate) == (20_000, 16_000)
    assert np.abs(played - noise / 4).max() < 1e-3


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(ValueError, match=r"text\.wav cannot be read as audio"):
        sound.read(tmp_path / "text.wav")
    with pytest.raises(FileNotFoundError, match=r"absent\.wav"):
        sound.read(tmp_path / "absent.wav")


def test_an_utterance_of_another_release_is_named():
    with pytest.raises(KeyError, match="no utterance stranger"):
        sound.audio_of([])("c", "stranger")


def test_the_browsers_open_without_torch():
    program = "import sys; from sercore.widgets import confusions, residuals, sound; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr or "torch was imported"
