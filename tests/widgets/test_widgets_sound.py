"""The sound of an utterance for a browser: WAV and log-mel, as the models hear it."""

import io
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch

from sercore.features import audio
from sercore.settings import FeatureSettings
from sercore.widgets import sound


@pytest.fixture
def noise():
    return (np.random.default_rng(0).standard_normal(20_000) / 10).astype("float32")


@pytest.mark.parametrize("settings", [FeatureSettings(), FeatureSettings(mels=32, hop=320)], ids=["paper", "small"])
def test_the_picture_shows_what_the_models_hear(noise, settings):
    heard = audio.log_mel(torch.from_numpy(noise), settings).numpy()
    assert np.abs(sound.log_mel(noise, settings.sample_rate, settings) - heard).max() < 0.01


def test_another_rate_is_brought_to_the_models(noise):
    assert sound.log_mel(noise, 8_000).shape == (20_000 * 2 // 160 + 1, 64)


def test_a_blink_of_sound_has_a_picture():
    assert sound.picture(np.zeros(3, "float32"), 16_000).startswith(b"<svg")


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
