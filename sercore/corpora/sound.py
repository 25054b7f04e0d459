"""Sound of an audio file: its format and duration from the header, its samples decoded, without torch.

A plain RIFF file of PCM or float samples is measured here (two system calls); anything else goes through libsndfile,
which decodes all of them.
"""

import io
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile

AUDIO = (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aiff", ".aif", ".au", ".caf", ".w64", ".rf64", ".sph")
"""What counts as a recording in a folder; a file that is named itself may be anything that libsndfile reads."""
BEGINNING = 512  # bytes read at once; the sound of nearly every file begins within them
PLAIN_FORMATS = (1, 3)  # integer and float samples
STREAMED = 0x7FFF_0000  # programs that do not know the length of a chunk write at least this [bytes]
SLACK = 512  # by which a length may be wrong, as of recorders that count their own header [bytes]
MISSING = (2_304, 0.01)  # samples, and share of them, that may be missing: an encoder's delay
DENSEST = 20_000  # samples in a byte of a compressed file of silence; what promises more is not believed
RATES = (1_000, 1_000_000)  # lowest and highest rate that sound has [Hz]
FULL_SCALE = 1.0
LOUDEST = 2.0  # of float samples: what is louder was never divided by the full scale of its integers
AT_ONCE = 1 << 20  # numbers decoded at a time: a header may promise more than the memory holds
RAW = ".raw"
POINTER = b"version https://git-lfs"  # begins the text that stands for a file which git lfs has not fetched
TAGS = (b"TAG", b"ID3", b"id3")  # begin what taggers append to the sound


class AudioError(ValueError):
    """Audio that is absent, cannot be read, or holds no sound."""


class Header(NamedTuple):
    """Format and duration of a file's sound."""

    sample_rate: int  # Hz
    channels: int
    seconds: float


class SoundChunk(NamedTuple):
    """Where the sound of a RIFF file is, and its format."""

    format: int
    sample_rate: int  # Hz
    channels: int
    block: int  # bytes of one sample of all channels
    start: int  # of the sound in the file [bytes]
    promised: int  # length of the sound in the header [bytes]
    length: int  # of the sound that is there [bytes]


def read_header(path: Path | str) -> Header:
    """The header of one audio file. Raises ValueError, saying what is wrong, for a broken file, and OSError."""
    chunk = _find(path)
    if chunk is None or chunk.format not in PLAIN_FORMATS or not chunk.sample_rate or not chunk.block:
        return _read_other(path, chunk)
    return _check(Header(chunk.sample_rate, chunk.channels, chunk.length // chunk.block / chunk.sample_rate))


def decode(path: Path | str) -> tuple[np.ndarray, int]:
    """The samples (samples, channels) of the file `path` as float32, full scale being 1, and their rate [Hz].

    Raises AudioError as `parts` does.
    """
    decoded, rates = zip(*parts(path), strict=True)
    return np.concatenate(decoded), rates[0]


def parts(path: Path | str) -> Iterator[tuple[np.ndarray, int]]:
    """What `decode` returns, AT_ONCE numbers at a time: the samples of each part, and their rate.

    Raises AudioError, naming the file, where it is absent, is no audio, is cut off, is read in part only, has no
    samples, or has samples that are not finite or beyond LOUDEST: of a part before that, of the whole at its end.
    """
    try:
        with _open(path) as audio:
            _check_rate(audio.samplerate)
            done = 0
            for part in _parts(audio):
                _check_samples(part, done / audio.samplerate)
                done += len(part)
                yield part, audio.samplerate
            _check(Header(audio.samplerate, audio.channels, done / audio.samplerate))
            _check_whole(done, audio.promised)
    except FileNotFoundError:
        raise audio_error(path, "no such audio file") from None
    except soundfile.LibsndfileError as error:
        raise audio_error(path, f"not an audio file that can be read ({_reason(error)})") from None
    except OSError as error:
        raise audio_error(path, f"cannot be opened ({error.strerror})") from None
    except ValueError as error:
        raise audio_error(path, str(error)) from None


def envelope(path: Path | str, points: int = 2_000) -> np.ndarray:
    """The sound of `path` as a picture shows it: (n, 3) of n stretches, where n is from `points` to twice as many.

    In each the middle of the stretch [s], its lowest and its highest sample. Of a short file n is smaller, as none is
    below 10 ms. Raises AudioError as `parts` does.
    """
    pieces, done = [], 0
    for samples, rate in parts(path):
        mono, starts = samples.mean(1), np.arange(0, len(samples), -(-rate // 100))
        middle = (done + starts + np.diff(starts, append=len(mono)) / 2) / rate
        pieces.append(np.stack([middle, np.minimum.reduceat(mono, starts), np.maximum.reduceat(mono, starts)], axis=1))
        done += len(mono)
    stretches = np.concatenate(pieces)
    starts = np.arange(0, len(stretches), max(1, len(stretches) // points))
    least, most = np.minimum.reduceat(stretches, starts), np.maximum.reduceat(stretches, starts)
    return np.stack([(least[:, 0] + most[:, 0]) / 2, least[:, 1], most[:, 2]], axis=1)


def audio_error(path: Path | str, problem: str) -> AudioError:
    """The error of the file `path` with `problem`, and what to do."""
    return AudioError(f"{path}: {problem}; copy it from the release again, or drop the utterance")


def _find(path: Path | str) -> SoundChunk | None:
    """Where the sound of `path` is; None of a file that is not RIFF. Raises ValueError where it can be of no use."""
    held = os.stat(path)  # noqa: PTH116 -- half the time of Path.stat
    if not stat.S_ISREG(held.st_mode):  # whoever opens a pipe may wait for ever
        raise ValueError("no regular file (a folder, pipe or device)")
    if held.st_size == 0:
        raise ValueError("the file is empty")
    if os.fspath(path).lower().endswith(RAW):
        raise ValueError("headerless, so its rate and width are not known (convert it to .wav)")
    with open(path, "rb", buffering=0) as audio:  # noqa: PTH123 -- twice as fast as Path.open
        chunk = _find_sound(audio, held.st_size)
    if chunk is not None and chunk.sample_rate:
        _check_rate(chunk.sample_rate)
    return chunk


def _find_sound(audio: BinaryIO | io.FileIO, size: int) -> SoundChunk | None:
    """The sound of the RIFF file `audio` of `size` bytes; None for a file of another format.

    Recorders write lengths that are wrong. One that is unknown, or 0 with sound behind it, is that of all that
    follows; one that is a few bytes too long (SLACK) is that of what is there. Raises ValueError where sound is
    missing, and where there is more of it than is promised, of which only a part would be read.
    """
    beginning = audio.read(BEGINNING)
    if beginning.startswith(POINTER):
        raise ValueError("a pointer of git lfs, not the sound (`git lfs pull` fetches it)")
    if beginning[:4] != b"RIFF" or beginning[8:12] != b"WAVE":
        return None
    position, kind, rate, channels, block = 12, 0, 0, 0, 0
    while position + 8 <= size:
        if position + 24 > len(beginning):
            audio.seek(position)
            chunk = audio.read(24)
        else:
            chunk = beginning[position : position + 24]
        name, length = struct.unpack("<4sI", chunk[:8])
        if name == b"fmt " and len(chunk) == 24:
            kind, channels, rate, _, block, _ = struct.unpack("<HHIIHH", chunk[8:24])
        elif name == b"data":
            start = position + 8
            return SoundChunk(kind, rate, channels, block, start, length, _length(audio, start, length, size))
        position += 8 + length + length % 2
    raise ValueError("cut off: the file ends before its sound begins")


def _length(audio: BinaryIO | io.FileIO, start: int, promised: int, size: int) -> int:
    """Bytes of the sound that begins at `start` of a file of `size` bytes; raises ValueError as `_find_sound` does."""
    there = size - start
    if promised > there:
        if promised < STREAMED and promised - there > min(SLACK, promised // 10):
            raise ValueError(f"cut off: the header promises {promised} bytes of sound, {there} are there")
        return there
    if promised == there or _are_chunks(audio, start + promised, size):
        return promised
    if promised == 0:
        return there if there > 1 else 0
    if there - promised > SLACK and not _is_padding(audio, start + promised):
        raise ValueError(
            f"the header promises {promised} bytes of sound, {there} are there: only a part would be heard (save it "
            "anew with an audio editor)"
        )
    return promised


def _are_chunks(audio: BinaryIO | io.FileIO, position: int, size: int) -> bool:
    """Whether chunks follow from `position` to the end of `audio`, padded to even bytes or not, or a tagger's text."""
    for begin in {position, position + position % 2}:
        at = begin
        while at + 8 <= size:
            audio.seek(at)
            name, length = struct.unpack("<4sI", audio.read(8))
            if name.startswith(TAGS):
                return True
            if not all(32 <= letter < 127 for letter in name):
                break
            at += 8 + length + length % 2
        if begin < size <= at <= size + 1:
            return True
    return False


def _is_padding(audio: BinaryIO | io.FileIO, position: int) -> bool:
    """Whether nothing but zeros follows from `position` of `audio` on."""
    audio.seek(position)
    while block := audio.read(1 << 16):
        if block.strip(b"\0"):
            return False
    return True


def _read_other(path: Path | str, chunk: SoundChunk | None) -> Header:
    """The header of a file that libsndfile reads, whose samples are counted where it cannot know how many there are.

    Raises ValueError, saying what is wrong.
    """
    try:
        info = soundfile.info(os.fsencode(path))
        frames = info.frames
        wrong = chunk is not None and chunk.promised != chunk.length
        if wrong or frames > DENSEST * Path(path).stat().st_size:
            with _open(path) as audio:
                frames = sum(map(len, _parts(audio)))
    except soundfile.LibsndfileError as error:
        raise ValueError(f"not an audio file that can be read ({_reason(error)})") from None
    return _check(Header(info.samplerate, info.channels, frames / info.samplerate))


class _Stream(soundfile.SoundFile):
    """A file that is read from its beginning to its end: some cannot be sought in, others fail at their end."""

    promised: float = 0  # samples, by the header; inf: not known

    def seekable(self) -> bool:
        return False


def _open(path: Path | str) -> _Stream:
    """The file `path` for decoding, with the length of its sound as it is.

    Raises ValueError and OSError as `read_header`, and LibsndfileError.
    """
    chunk = _find(path)
    if chunk is not None and chunk.promised != chunk.length:
        content = bytearray(Path(path).read_bytes())
        struct.pack_into("<I", content, chunk.start - 4, min(chunk.length, 0xFFFF_FFFF))
        return _opened(io.BytesIO(content))
    with Path(path).open("rb") as audio:
        beginning = audio.read(26)
    if beginning.startswith(b"fLaC") and len(beginning) == 26:
        return _open_flac(path, beginning)
    return _opened(os.fsencode(path))


def _open_flac(path: Path | str, beginning: bytes) -> _Stream:
    """The FLAC file `path`, read to its end however many samples (36 bits, 0 for unknown) its `beginning` promises."""
    numbers = int.from_bytes(beginning[18:26], "big")
    promised = numbers & (1 << 36) - 1
    content = bytearray(Path(path).read_bytes())
    content[18:26] = (numbers - promised).to_bytes(8, "big")
    audio = _opened(io.BytesIO(content))
    audio.promised = promised or np.inf
    return audio


def _opened(source: bytes | io.BytesIO) -> _Stream:
    audio = _Stream(source)
    audio.promised = audio.frames
    return audio


def _parts(audio: _Stream) -> Iterator[np.ndarray]:
    """The samples (samples, channels) of `audio`, AT_ONCE numbers at a time."""
    count = max(1, AT_ONCE // audio.channels)
    while len(part := audio.read(count, dtype="float32", always_2d=True)):
        yield part


def _reason(error: soundfile.LibsndfileError) -> str:
    return error.error_string.strip().rstrip(".")


def _check_rate(rate: int) -> None:
    if not RATES[0] <= rate <= RATES[1]:
        raise ValueError(f"a sample rate of {rate} Hz is not one of sound, {RATES[0]} to {RATES[1]} Hz")


def _check(header: Header) -> Header:
    _check_rate(header.sample_rate)
    if header.seconds <= 0:
        raise ValueError("no samples in it")
    return header


def _check_whole(samples: int, promised: float) -> None:
    """Raise ValueError where `samples` are not all that were `promised`."""
    missing = 0 if promised == np.inf else promised - samples
    if missing > max(MISSING[0], MISSING[1] * promised):
        raise ValueError(f"cut off: the header promises {promised:.0f} samples, {samples} are there")


def _check_samples(samples: np.ndarray, start: float) -> None:
    """Raise ValueError where `samples` (samples, channels), which follow `start` seconds of others, are no sound."""
    if wrong := len(samples) - int(np.isfinite(samples).all(1).sum()):
        behind = f" from {start:.1f} s on" if start else ""
        raise ValueError(f"samples that are not finite, {wrong} of {len(samples)}{behind}")
    peak = float(np.abs(samples).max())
    if peak > LOUDEST:
        raise ValueError(
            f"samples of up to {peak:,.4g} where full scale is 1: integers written as floats (divide them by the full "
            "scale of the integers, as 32768)"
        )
