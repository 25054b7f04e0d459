"""Speech in long recordings is found where it is, cut within limits, and answered segment by segment."""

import importlib.util
import itertools

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from sercore import corpora
from sercore.analysis import figures
from sercore.features import audio
from sercore.inference import segments
from sercore.inference.segments import Listened, Segmentation
from sercore.settings import build

RATE = 16_000
SILENCES = (1.5, 2.0, 0.9, 1.2)  # before, between and after the utterances [s]
TOLERANCE = 0.25  # of a boundary, besides the padding [s]


@pytest.fixture(scope="module")
def utterances(embedded):
    """Three of the embedded corpus, without the silence at their ends."""
    corpus = corpora.read("iemocap", embedded["iemocap"]["root"])
    sounds = [soundfile.read(corpus.root / file, dtype="float32")[0] for file in corpus.utterances["file"][:3]]
    loud = [np.flatnonzero(np.abs(sound) > 0.02 * np.abs(sound).max()) for sound in sounds]
    return [sound[places[0] : places[-1]] for sound, places in zip(sounds, loud, strict=True)]


@pytest.fixture(scope="module")
def joined(utterances):
    """A recording with pauses of noise 30 dB below the speech, and where speech begins and ends [s]."""
    level = np.sqrt(np.mean(np.concatenate(utterances) ** 2))
    silences = [np.zeros(round(seconds * RATE), "float32") for seconds in SILENCES]
    parts = [silences[0]]
    for utterance, silence in zip(utterances, silences[1:], strict=True):
        parts += [utterance, silence]
    ends = np.cumsum([len(part) for part in parts]) / RATE
    noise = np.random.default_rng(0).standard_normal(sum(map(len, parts))) * level / 10**1.5
    return (np.concatenate(parts) + noise).astype("float32"), [(ends[i], ends[i + 1]) for i in (0, 2, 4)]


def write(path, waveform, rate=RATE):
    soundfile.write(path, waveform, rate, subtype="FLOAT" if path.suffix == ".wav" else None)
    return path


@pytest.mark.parametrize("detector", ["silero", "energy"])
def test_speech_between_pauses_of_noise_is_found_where_it_is(detector, joined, tmp_path):
    waveform, truth = joined
    settings = Segmentation(detector=detector)
    found = segments.find(write(tmp_path / "a.wav", waveform), settings)
    assert len(found) == len(truth)
    padded = [(start - 0.2, end + 0.2) for start, end in truth]
    np.testing.assert_allclose(found, padded, atol=TOLERANCE)


@pytest.mark.parametrize("detector", ["silero", "energy"])
def test_noise_without_speech_has_no_segment(detector, tmp_path):
    noise = (0.1 * np.random.default_rng(0).standard_normal(4 * RATE)).astype("float32")
    with pytest.raises(audio.AudioError, match=rf"a.wav: no speech found in its 4.0 s \(by {detector}\)"):
        segments.find(write(tmp_path / "a.wav", noise), Segmentation(detector=detector))


def heard(*speech, seconds=60.0, levels=None):
    return Listened(seconds, np.zeros(round(seconds * RATE / 512)) if levels is None else levels, list(speech))


def test_short_pauses_part_no_segments_and_padding_is_added():
    settings = Segmentation(shortest=0.5)
    assert segments.segments(heard((2, 4), (4.3, 6), (8, 10)), settings) == [(1.8, 6.2), (7.8, 10.2)]
    assert segments.segments(heard((2, 4), (4.35, 6)), settings) == [(1.8, 6.2)]  # the paddings meet
    assert segments.segments(heard((2, 4), (4.45, 6)), settings) == [(1.8, 4.2), (4.25, 6.2)]
    assert segments.segments(heard((2, 2.05)), settings) == []


def test_short_speech_gets_the_sound_around_it_within_the_recording():
    settings = Segmentation(padding=0.1)
    assert segments.segments(heard((2, 2.4)), settings) == [(1.7, 2.7)]
    assert segments.segments(heard((0, 0.2), (59.9, 60)), settings) == [(0, 1), (59, 60)]
    assert segments.segments(heard((2, 2.3), (3, 3.3)), settings) == [(1.65, 3.65)]


def test_long_speech_is_cut_where_it_is_quietest():
    levels = np.random.default_rng(0).normal(-20, 0.1, 1875)
    for seconds in (8.0, 16.0):
        levels[round(seconds * RATE / 512) - 4 : round(seconds * RATE / 512) + 4] = -60
    cut = segments.segments(heard((0, 60), levels=levels), Segmentation())
    assert (cut[0][0], cut[-1][1]) == (0, 60)
    assert [end for _, end in cut[:2]] == pytest.approx([8, 16], abs=0.1)
    for (_, end), (start, _) in itertools.pairwise(cut):
        assert start == end
    assert all(1 <= end - start <= 10 for start, end in cut)


@pytest.mark.parametrize("seconds", np.linspace(10, 25, 16))
def test_every_length_of_speech_is_cut_within_the_limits(seconds):
    levels = np.random.default_rng(round(seconds)).normal(size=round(seconds * RATE / 512) + 1)
    cut = segments.segments(heard((0, seconds), seconds=seconds, levels=levels), Segmentation(longest=4, shortest=1.9))
    assert all(1.9 <= round(end - start, 3) <= 4 for start, end in cut)


def test_settings_that_leave_lengths_without_a_cut_are_refused():
    with pytest.raises(ValueError, match=r"segments of 1 to 1\.5 s; expected the longest to be more than twice"):
        build(Segmentation, {"longest": 1.5})


def test_the_gate_needs_contrast():
    levels = np.repeat([-70.0, -30.0, -70.0], [50, 25, 50])
    assert segments.loud(levels) == [(1.6, 2.4)]
    assert segments.loud(np.repeat([-40.0, -35.0], 50)) == []
    assert segments.loud(np.empty(0)) == []


def test_without_the_package_the_gate_is_taken_and_says_so(monkeypatch):
    assert segments.available(None) == "silero"
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "faster_whisper" else find(name))
    with pytest.warns(UserWarning, match=r"speech is found by an energy gate.*sercore\[offline\]"):
        assert segments.available(None) == "energy"
    assert segments.available("energy") == "energy"
    with pytest.raises(ModuleNotFoundError, match="silero comes with faster-whisper"):
        segments.available("silero")


@pytest.mark.parametrize("rate", [16_000, 44_100, 44_099, 8_000])
def test_a_stream_is_the_recording_in_parts(rate, tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "STREAMED", 2)
    sound = 0.1 * np.random.default_rng(0).standard_normal((round(5.3 * rate), 2))
    path = write(tmp_path / "a.wav", sound.astype("float32"), rate)
    parts = list(audio.stream(path))
    assert [len(part) for part in parts[:2]] == [2 * RATE] * 2
    np.testing.assert_allclose(torch.cat(parts).numpy(), audio.read_audio(path).numpy(), atol=2e-6)


def test_the_detector_hears_parts_as_the_whole(joined):
    waveform = torch.from_numpy(joined[0])
    whole = segments.listen([waveform], "silero")
    parts = segments.listen(waveform.split(4 * 16 * 512), "silero")  # 2 s
    np.testing.assert_array_equal(parts.levels, whole.levels)
    cut = [segments.segments(each, Segmentation()) for each in (whole, parts)]
    np.testing.assert_allclose(cut[1], cut[0], atol=0.1)


def test_spans_are_cut_out_of_parts():
    sound = torch.arange(100.0)
    spans = [(0.0, 1.0), (1.5, 4.5), (4.5, 4.7), (9.0, 10.0)]
    pieces = segments.cut(sound.split(7), spans, 10)
    assert [(part[0].item(), part[-1].item()) for part in pieces] == [(0, 9), (15, 44), (45, 46), (90, 99)]
    (rounded,) = segments.cut(sound.split(7), [(9.5, 10.04)], 10)
    assert rounded.tolist() == [95, 96, 97, 98, 99]


def test_the_picture_has_the_sound_above_and_a_line_over_each_segment_below(joined, tmp_path):
    rows = {"start": [1.0, 5.0], "end": [3.0, 6.5], "p_angry": [0.8, 0.3], "p_sad": [0.2, 0.7], "error": None}
    table = pd.DataFrame({"file": str(write(tmp_path / "a.wav", joined[0])), **rows, "trained_on": "mine"})
    above, below = figures.plot_segments(table).axes
    assert above.get_xlim() == below.get_xlim() == pytest.approx((0, len(joined[0]) / RATE), abs=0.02)
    lines = {line.get_label(): line for line in below.lines}
    np.testing.assert_array_equal(lines["angry"].get_xdata(), [1, 3, np.nan, 5, 6.5, np.nan])
    np.testing.assert_array_equal(lines["sad"].get_ydata(), [0.2] * 3 + [0.7] * 3)
    assert len(above.collections) == 1
    assert len(above.patches) == len(below.patches) == 2
    lost, _ = figures.plot_segments(table.assign(file="upload.wav")).axes
    assert not lost.collections
    assert lost.get_xlim() == (0, 6.5)
    with pytest.raises(ValueError, match="predictions of 0 recordings to draw"):
        figures.plot_segments(table.assign(error="broken"))
