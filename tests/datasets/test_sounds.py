"""Noise and rooms of folders: read as features are, near to what waveforms give, and never a corpus's own speech."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch

from sercore.datasets import sounds
from sercore.datasets.augmentation import noisy, reverberant
from sercore.features.audio import band_widths, log_mel
from sercore.features.packed import digest
from sercore.settings import AugmentationSettings, FeatureSettings

RATE = 16_000
FEATURES = FeatureSettings()


def hiss(seconds, seed=0, level=0.1):
    """Noise that is louder at low frequencies."""
    white = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return (level * scipy.signal.lfilter([1], [1, -0.9], white)).astype("float32")


def talk(seconds=3, seed=1):
    """Noise in syllables."""
    steps = np.arange(round(seconds * RATE)) / RATE
    return (hiss(seconds, seed) * np.maximum(0.001, np.sin(2 * np.pi * 2 * steps))).astype("float32")


def response(decay=0.3, seconds=1.0, seed=2):
    """Direct sound, and a tail that falls by 60 dB in `decay` seconds."""
    steps = np.arange(round(seconds * RATE)) / RATE
    tail = 0.05 * np.random.default_rng(seed).standard_normal(len(steps)) * 10 ** (-3 * steps / decay)
    return np.concatenate([np.zeros(200), [1.0], tail]).astype("float32")


@pytest.fixture
def folders(tmp_path):
    for name, content in (("noise/a", hiss(3)), ("noise/b", hiss(2, 3)), ("rooms/small", response())):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / f"{name}.wav", content, RATE, subtype="FLOAT")
    return tmp_path


def read(folder, **given):
    wanted = {name: str(folder / name) for name in given.pop("of", ("noise", "rooms"))}
    return sounds.read(AugmentationSettings(**wanted), FEATURES, folder / "cache")


def test_noise_and_rooms_are_read_once_and_known_by_their_content(folders):
    held = read(folders)
    assert list(held.noise.utterances) == ["a.wav", "b.wav"]
    assert held.keys()["noise"].startswith("log-mel-")
    assert held.rooms.shape == (1, 100, 64)  # a second
    before = held.keys()
    assert read(folders).keys() == before
    soundfile.write(folders / "rooms/small.wav", response(0.5), RATE, subtype="FLOAT")
    assert read(folders).keys()["rooms"] != before["rooms"]
    assert read(folders, of=["rooms"]).keys().keys() == {"rooms"}
    assert sounds.read(AugmentationSettings(), FEATURES, folders) is None


def test_added_power_is_that_of_added_waveforms(folders):
    speech, noise = talk(), hiss(3)
    ratio = 10.0
    gain = np.sqrt(np.mean(speech**2) / np.mean(noise**2) / 10 ** (ratio / 10))
    expected = log_mel(torch.from_numpy(speech + gain * noise))
    held = read(folders, of=["noise"])
    apart = 10 * held.power[:1].log10() + ratio
    clean = log_mel(torch.from_numpy(speech))[None]
    frames = torch.tensor([clean.shape[1]])
    made = noisy(clean, frames, log_mel(torch.from_numpy(noise))[None], apart, band_widths(FEATURES))[0]
    assert (made - expected).mean() == pytest.approx(0, abs=0.5)  # also the phase's part, which is left out
    assert (made.mean(0) - expected.mean(0)).abs().max() < 1.5
    assert (clean[0] - expected).abs().mean() > 5 * (made - expected).mean().abs()


def test_a_room_in_power_is_near_to_the_room_in_the_waveform():
    speech, room = talk(), response(0.4)
    heard = scipy.signal.fftconvolve(speech, room)[200 : 200 + len(speech)].astype("float32")
    clean, expected = (log_mel(torch.from_numpy(each)) for each in (speech, heard))
    decay = sounds.decay(torch.from_numpy(room), FEATURES, Path("a.wav"))
    made = reverberant(clean[None], torch.tensor([len(clean)]), decay[None])[0]
    shift = (expected - made).mean()  # a room's level is left out
    pauses = clean.mean(1) < clean.mean() - 10
    assert (made + shift - expected)[pauses].mean().abs() < 2
    assert (clean - expected)[pauses].mean() < -8  # which is what reverberation is


def test_an_impulse_is_a_room_that_changes_nothing():
    impulse = torch.zeros(4000)
    impulse[500] = 0.3
    made = sounds.decay(impulse, FEATURES, Path("a.wav"))
    assert torch.allclose(made[0], torch.ones(64), atol=1e-5)
    assert made[1:].abs().max() == 0


def write(folder, content, rate=RATE):
    folder.mkdir(exist_ok=True)
    soundfile.write(folder / "odd.wav", content, rate)


@pytest.mark.parametrize(
    ("what", "content", "rate", "complaint"),
    [
        (
            "noise",
            None,
            RATE,
            r"augmentation\.noise: no recording in .*noise or below it; expected a folder with files",
        ),
        ("rooms", None, RATE, r"augmentation\.rooms: no recording in .*rooms or below it"),
        ("noise", hiss(1), 8_000, r"odd\.wav has a rate of 8000 Hz, so nothing above 4000 Hz, .* at least 16000 Hz"),
        ("noise", hiss(0.5), RATE, r"odd\.wav is 0\.51 s long; expected at least 1 s"),
        ("noise", np.zeros(RATE), RATE, r"odd\.wav is silent; leave it out"),
        ("rooms", np.zeros(RATE), RATE, r"odd\.wav is silent; leave it out"),
        ("rooms", hiss(4), RATE, r"odd\.wav is no response of a room: most of it comes after 1 s"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(what, content, rate, complaint, tmp_path):
    if content is not None:
        write(tmp_path / what, content, rate)
    with pytest.raises(ValueError, match=complaint):
        read(tmp_path, of=[what])


def test_what_is_no_sound_is_refused_by_name(tmp_path):
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise/odd.wav").write_text("no sound")
    with pytest.raises(ValueError, match=r"augmentation\.noise: .*odd\.wav: not an audio file"):
        read(tmp_path, of=["noise"])


def test_speech_of_a_corpus_is_never_noise_whatever_it_is_called(folders):
    held = read(folders)
    content = digest((folders / "noise/b.wav").read_bytes())
    with pytest.raises(ValueError, match=r"1 recordings of .* are of the corpus 'mine', b\.wav: what is tested on"):
        sounds.refuse_speech(held, {"other": (folders / "x", ["1"]), "mine": (folders / "x", [content])})
    assert sounds.refuse_speech(held, {"mine": (folders / "x", ["1"])}) == []
    (doubt,) = sounds.refuse_speech(held, {"mine": (folders, ["1"])})
    assert re.search("lies within the corpus 'mine'", doubt)
    assert sounds.refuse_speech(SimpleNamespace(noise=None, folder=None), {"mine": (folders, [content])}) == []
