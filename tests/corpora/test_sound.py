"""Headers that promise too much or too little, encodings and pipes: the sound is read whole, or refused by name."""

import io
import os
import struct

import numpy as np
import pytest
import soundfile
import trees

from sercore.corpora import sound
from sercore.corpora.sound import AudioError, decode, read_header

RATE = 16_000
NOISE = (0.1 * np.random.default_rng(0).standard_normal(RATE)).clip(-0.9, 0.9)
PCM = (NOISE * 32_767).astype("<i2").tobytes()
LIST = b"LIST" + struct.pack("<I", 1_004) + b"INFO" + b"\x01" * 1_000


def wav(promised, body=PCM, after=b""):
    """A RIFF file whose header promises so many bytes of sound, of which `body` is there, and what follows it."""
    head = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    return b"RIFF" + struct.pack("<I", 36) + head + b"data" + struct.pack("<I", promised) + body + after


@pytest.mark.parametrize(
    ("content", "samples"),
    [
        (wav(len(PCM)), RATE),
        (wav(len(PCM) + 1), RATE),
        (wav(len(PCM) + 44), RATE),
        (wav(len(PCM) - 1, PCM[:-1]), RATE - 1),
        (wav(0), RATE),
        (wav(0xFFFF_FFFF), RATE),
        (wav(0x7FFF_FFFF), RATE),
        (wav(len(PCM), after=LIST), RATE),
        (wav(len(PCM) - 1, PCM[:-1], b"\0" + LIST), RATE - 1),
        (wav(len(PCM) - 1, PCM[:-1], LIST), RATE - 1),
        (wav(len(PCM), after=bytes(4_000)), RATE),
        (wav(len(PCM), after=b"TAG" + b"\x01" * 900), RATE),
        (wav(len(PCM), after=b"\x01" * 100), RATE),
    ],
    ids=[
        "right",
        "1 too long",
        "a header too long",
        "odd",
        "nought",
        "unknown",
        "streamed",
        "a list behind it",
        "odd and padded",
        "odd and not padded",
        "padded with zeros",
        "a tag behind it",
        "a little behind it",
    ],
)
def test_a_length_in_the_header_that_is_a_little_wrong_loses_nothing(tmp_path, content, samples):
    (tmp_path / "a.wav").write_bytes(content)
    decoded, rate = decode(tmp_path / "a.wav")
    assert (len(decoded), rate) == (samples, RATE)
    np.testing.assert_allclose(decoded[:, 0], NOISE[:samples], atol=2 / 32_768)
    assert read_header(tmp_path / "a.wav") == (RATE, 1, samples / RATE)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (wav(len(PCM), PCM[:16_000]), "cut off: the header promises 32000 bytes of sound, 16000 are there"),
        (wav(2 * len(PCM)), "cut off: the header promises 64000 bytes of sound, 32000 are there"),
        (wav(400, PCM[:300]), "cut off: the header promises 400 bytes of sound, 300 are there"),
        (wav(3_200), "the header promises 3200 bytes of sound, 32000 are there: only a part would be heard"),
        (wav(0, b""), "no samples in it"),
        (wav(0, b"", LIST), "no samples in it"),
        (wav(len(PCM))[:40], "cut off: the file ends before its sound begins"),
        (wav(len(PCM)).replace(struct.pack("<I", RATE), struct.pack("<I", 5)), "a sample rate of 5 Hz is not one"),
        (
            wav(len(PCM)).replace(struct.pack("<I", RATE), struct.pack("<I", 4_000_000_000)),
            "a sample rate of 4000000000 Hz is not one",
        ),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "a pointer of git lfs, not the sound"),
        (b"", "the file is empty"),
        (b"words " * 100, "not an audio file that can be read"),
    ],
)
def test_what_is_missing_or_would_be_heard_in_part_is_refused(tmp_path, content, problem):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(ValueError, match=problem):
        read_header(tmp_path / "a.wav")
    with pytest.raises(AudioError, match=f"a.wav: {problem}"):
        decode(tmp_path / "a.wav")


def encoded(**form):
    content = io.BytesIO()
    soundfile.write(content, NOISE, RATE, **form)
    return content.getvalue()


@pytest.mark.parametrize("subtype", ["GSM610", "ULAW", "IMA_ADPCM", "DOUBLE"])
@pytest.mark.parametrize("promised", ["right", "nought"])
def test_every_encoding_of_wav_is_read_to_its_end(tmp_path, subtype, promised):
    content = bytearray(encoded(format="WAV", subtype=subtype))
    place = content.index(b"data") + 4
    if promised == "nought":
        content[place : place + 4] = bytes(4)
    (tmp_path / "a.wav").write_bytes(content)
    decoded, _ = decode(tmp_path / "a.wav")
    assert RATE <= len(decoded) < RATE + 1_500  # of blocks
    assert np.corrcoef(decoded[:RATE, 0], NOISE)[0, 1] > 0.5
    assert read_header(tmp_path / "a.wav").seconds == pytest.approx(len(decoded) / RATE)


def flac(promised):
    """A FLAC file of RATE samples that promises another number of them."""
    content = bytearray(encoded(format="FLAC", subtype="PCM_16"))
    numbers = int.from_bytes(content[18:26], "big")
    content[18:26] = (numbers - RATE + promised).to_bytes(8, "big")
    return bytes(content)


@pytest.mark.parametrize("promised", [0, RATE, RATE // 2])
def test_flac_is_read_to_its_end_whatever_length_it_promises(tmp_path, promised):
    (tmp_path / "a.flac").write_bytes(flac(promised))
    decoded, _ = decode(tmp_path / "a.flac")
    np.testing.assert_allclose(decoded[:, 0], NOISE, atol=2 / 32_768)
    if promised == 0:
        assert read_header(tmp_path / "a.flac") == (RATE, 1, 1.0)


@pytest.mark.parametrize("promised", [2**36 - 1, 2 * RATE])
def test_flac_that_promises_more_than_is_there_is_cut_off(tmp_path, promised):
    (tmp_path / "a.flac").write_bytes(flac(promised))
    with pytest.raises(AudioError, match=f"cut off: the header promises {promised} samples, 16000 are there"):
        decode(tmp_path / "a.flac")


def test_compressed_audio_that_is_cut_off_is_refused(tmp_path):
    (tmp_path / "a.flac").write_bytes(flac(RATE)[:12_000])
    (tmp_path / "b.mp3").write_bytes(encoded(format="MP3")[:2_000])
    with pytest.raises(AudioError, match="not an audio file that can be read"):
        decode(tmp_path / "a.flac")
    with pytest.raises(AudioError, match="cut off: the header promises 16000 samples"):
        decode(tmp_path / "b.mp3")


@pytest.mark.parametrize("function", [read_header, decode])
def test_headerless_sound_is_named_so(tmp_path, function):
    (tmp_path / "a.RAW").write_bytes(PCM)
    with pytest.raises(ValueError, match="headerless, so its rate and width are not known"):
        function(tmp_path / "a.RAW")


@pytest.mark.parametrize("function", [read_header, decode])
def test_a_pipe_is_not_opened(tmp_path, function):
    os.mkfifo(tmp_path / "a.wav")
    with pytest.raises(ValueError, match="no regular file"):
        function(tmp_path / "a.wav")


def test_integers_written_as_floats_are_refused_and_a_little_too_loud_is_not(tmp_path):
    for name, factor in (("a.wav", 1.9), ("b.wav", 32_767), ("c.wav", 1e29)):
        scaled = (factor * NOISE / np.abs(NOISE).max()).astype("float32")
        soundfile.write(tmp_path / name, scaled, RATE, subtype="FLOAT")
    assert np.abs(decode(tmp_path / "a.wav")[0]).max() == pytest.approx(1.9)
    with pytest.raises(AudioError, match=r"samples of up to 3\.277e\+04 where full scale is 1"):
        decode(tmp_path / "b.wav")
    with pytest.raises(AudioError, match=r"samples of up to 1e\+29"):
        decode(tmp_path / "c.wav")


def test_a_name_that_is_no_utf_8_is_opened(tmp_path):
    for name, content in ((b"m\xfcller.wav", wav(len(PCM))), (b"m\xfcller.flac", flac(RATE))):
        path = tmp_path / os.fsdecode(name)
        trees.write(path, content)
        assert len(decode(path)[0]) == RATE
        assert read_header(path).seconds == 1.0


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.wav").write_bytes(wav(len(PCM)))

    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(sound, "_open", refuse)
    with pytest.raises(AudioError, match=r"a\.wav: cannot be opened \(Permission denied\)"):
        decode(tmp_path / "a.wav")


def test_a_long_recording_comes_in_parts_that_are_checked_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr(sound, "AT_ONCE", 4_000)
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([NOISE, NOISE], axis=1), RATE, subtype="FLOAT")
    parts = list(sound.parts(path))
    assert {len(part) for part, _ in parts} == {2_000}
    assert {rate for _, rate in parts} == {RATE}
    np.testing.assert_array_equal(np.concatenate([part for part, _ in parts]), decode(path)[0])
    broken = np.where(np.arange(RATE) == 5_000, np.nan, NOISE)
    soundfile.write(path, broken, RATE, subtype="FLOAT")
    monkeypatch.setattr(sound, "AT_ONCE", 2_000)
    given = sound.parts(path)
    assert [len(next(given)[0]) for _ in range(2)] == [2_000] * 2
    with pytest.raises(AudioError, match=r"samples that are not finite, 1 of 2000 from 0\.2 s on"):
        next(given)


def test_a_picture_of_the_sound_has_its_extremes_in_their_places(tmp_path, monkeypatch):
    monkeypatch.setattr(sound, "AT_ONCE", 5_000)
    soundfile.write(tmp_path / "a.wav", np.linspace(-0.5, 0.5, 4 * RATE), RATE, subtype="FLOAT")
    shape = sound.envelope(tmp_path / "a.wav", points=50)
    assert 50 <= len(shape) <= 100
    np.testing.assert_allclose(shape[:, 0], 4 * (shape[:, 1:].mean(1) + 0.5), atol=0.02)
    assert (shape[0, 1], shape[-1, 2]) == (-0.5, 0.5)
