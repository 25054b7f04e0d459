"""espeak-ng through ctypes, and what a room, a microphone and a podcast's channel do to its speech.

The bytes that espeak-ng makes depend on everything that the same process synthesised before, and some voices draw
breath noise from a clock. So one process loads the library once and forks a child for every utterance; each child
synthesises its voice's calibration sentence, then its utterance, and ends. Bytes are thus the same in any order,
whatever the number of processes. It runs as a program of its own (`main`), because a process with threads must not
fork, and imports nothing of the package, because the less a process holds, the faster it forks.
"""

import contextlib
import ctypes
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import butter, lfilter, resample_poly, sosfilt

ESPEAK_RATE = 22_050  # of espeak-ng's waveforms [Hz]
SAMPLE_RATE = 16_000  # of both corpora [Hz]
ODD_RATE = 44_100  # of the one stereo file of an MSP-Podcast release [Hz]
PADDING = 0.08  # of room around the speech, at either end [s]
PEAK = 0.95  # loudest sample allowed; a louder utterance is turned down as a whole
RATE, PITCH, RANGE = 1, 3, 4  # espeak_PARAMETER
NEUTRAL = {"rate": 165, "pitch": 45, "range": 50}  # in which every voice's level is measured
CALIBRATION = "The quick brown fox jumps over the lazy dog near the river bank."
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@dataclass(frozen=True, kw_only=True)
class SynthesisRequest:
    """One utterance to synthesise, and the wav file that it becomes."""

    file: str  # relative to the corpus
    text: str
    voice: str  # espeak-ng's accent+variant
    rate: float  # [words/min]
    pitch: float  # 0-100, espeak-ng's scale
    range: float  # 0-100, of the pitch contour
    level: float  # of the speech, against a full-scale square wave [dB]
    tilt: float  # of the spectrum above 1.2 kHz [dB]
    breath: float  # of noise in the voice, as a share of its envelope
    low_cut: float  # of the channel [Hz]
    high_cut: float  # of the channel [Hz]
    noise: float  # of the channel, against a full-scale square wave [dB]
    noise_colour: float  # 0 white, towards 1 darker
    seed: int  # of breath and channel noise
    odd: bool = False  # written in stereo at 44.1 kHz


def speak(
    requests: Sequence[SynthesisRequest], folder: Path, processes: int, progress: Callable[[int, int], None] | None
) -> dict[str, float]:
    """Write every request's wav below `folder` and return file -> duration [s].

    `processes` utterances are synthesised at a time; `progress` is called with (done, all) after each.
    Raises ModuleNotFoundError where the synthesiser is not installed, RuntimeError where it fails.
    """
    locate()
    for parent in {(folder / request.file).parent for request in requests}:
        parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
    seconds: dict[str, float] = {}
    command = [sys.executable, "-P", __file__, str(folder), str(processes)]
    with tempfile.TemporaryFile("w+") as order, tempfile.TemporaryFile("w+") as complaint:
        json.dump([asdict(request) for request in requests], order)
        order.seek(0)
        child = subprocess.Popen(
            command,
            stdin=order,
            stdout=subprocess.PIPE,
            stderr=complaint,
            text=True,
            env=environment,
            start_new_session=True,
        )
        with child:
            try:
                for line in child.stdout or ():
                    file, duration = line.rstrip("\n").split("\t")
                    seconds[file] = float(duration)
                    if progress is not None:
                        progress(len(seconds), len(requests))
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
        complaint.seek(0)
        message = complaint.read().strip()
    absent = [request.file for request in requests if request.file not in seconds]
    if absent:
        raise RuntimeError(
            f"espeak-ng synthesised {len(seconds)} of {len(requests)} utterances, not {absent[0]}: {message}"
        )
    return seconds


def locate() -> tuple[Path, Path]:
    """Where the shared library of espeak-ng and its data lie.

    Raises ModuleNotFoundError, saying what to install, where there is no such package.
    """
    spec = importlib.util.find_spec("espeakng_loader")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            "speech is synthesised by espeak-ng, of the package espeakng-loader: pip install 'sercore[offline]'"
        )
    package = Path(spec.origin).parent
    suffix = ".dylib" if sys.platform == "darwin" else ".so"
    return package / f"libespeak-ng{suffix}", package / "espeak-ng-data"


class Espeak:
    """The loaded library. Only one per process: espeak-ng keeps its state in global variables."""

    def __init__(self) -> None:
        """Raises RuntimeError where the library does not start."""
        library, data = locate()
        self._library = ctypes.CDLL(str(library))
        self._library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
        rate = self._library.espeak_Initialize(2, 0, str(data).encode(), 0)  # 2: AUDIO_OUTPUT_SYNCHRONOUS
        if rate != ESPEAK_RATE:
            raise RuntimeError(f"{library} starts with a sample rate of {rate}; expected {ESPEAK_RATE}")
        self._chunks: list[np.ndarray] = []
        self._callback = Callback(self._collect)  # kept: the library holds a bare pointer to it
        self._library.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples: "ctypes._Pointer", count: int, _events: int | None) -> int:
        if samples and count > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def seed(self) -> None:
        """Make the noise in breathy voices repeatable."""
        self._library.espeak_ng_SetRandSeed(1)

    def synthesise(self, text: str, voice: str, rate: float, pitch: float, range: float) -> np.ndarray:
        """The waveform (samples,) of `text` at 22,050 Hz in [-1, 1]. Raises ValueError for an unknown voice."""
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice '{voice}'")
        for parameter, value in ((RATE, rate), (PITCH, pitch), (RANGE, range)):
            self._library.espeak_SetParameter(parameter, round(value), 0)
        self._chunks.clear()
        content = text.encode() + b"\0"
        self._library.espeak_Synth(
            content, len(content), 0, 1, 0, 1, None, None
        )  # 1: positions in characters; 1: UTF-8
        self._library.espeak_Synchronize()
        if not self._chunks:
            raise RuntimeError(f"espeak-ng gave no sound for '{text}'")
        return np.concatenate(self._chunks) / 32_768


def active_level(waveform: np.ndarray) -> float:
    """Level of `waveform` (samples,) where somebody talks [dB]: over blocks of 20 ms within 30 dB of the loudest."""
    block = ESPEAK_RATE // 50
    power = (waveform[: len(waveform) // block * block].reshape(-1, block) ** 2).mean(axis=1)
    return float(10 * np.log10(power[power > power.max() / 1000].mean()))


def trim(waveform: np.ndarray) -> np.ndarray:
    """`waveform` (samples,) without the silence before and after it (40 dB below its peak)."""
    loud = np.flatnonzero(np.abs(waveform) > np.abs(waveform).max() / 100)
    return waveform[loud[0] : loud[-1] + 1]


def apply_affect(waveform: np.ndarray, request: SynthesisRequest, random: np.random.Generator) -> np.ndarray:
    """`waveform` (samples,) at 16 kHz with the voice quality of `request`: spectral tilt and breath."""
    if request.breath > 0:
        envelope = lfilter([0.02], [1, -0.98], np.abs(waveform))
        hiss = lfilter([0.7, -0.7], [1, -0.4], random.standard_normal(len(waveform)))
        waveform = waveform + request.breath * envelope * hiss
    gain, corner = 10 ** (request.tilt / 20), np.tan(np.pi * 1_200 / SAMPLE_RATE)
    high, low = np.array([1.0, -1.0]), corner * np.array([1.0, 1.0])
    return lfilter(gain * high + low, high + low, waveform)


@cache
def _band(low: float, high: float) -> np.ndarray:
    return butter(3, [low, high], btype="bandpass", fs=SAMPLE_RATE, output="sos")


def transmit(waveform: np.ndarray, request: SynthesisRequest, random: np.random.Generator) -> np.ndarray:
    """`waveform` (samples,) at 16 kHz in a room and through the channel of `request`, no sample above `PEAK`."""
    padding = np.zeros(round(PADDING * SAMPLE_RATE))
    waveform = np.concatenate([padding, waveform, padding])
    noise = random.standard_normal(len(waveform))
    noise = lfilter([1.0], [1, -request.noise_colour], noise)
    waveform = waveform + noise * 10 ** (request.noise / 20) / noise.std()
    waveform = sosfilt(_band(request.low_cut, request.high_cut), waveform)
    return waveform * min(1.0, PEAK / np.abs(waveform).max())


def render(espeak: Espeak, request: SynthesisRequest) -> np.ndarray:
    """The finished waveform (samples,) of `request` at 16 kHz; the same bytes in every fresh child."""
    espeak.seed()
    reference = active_level(espeak.synthesise(CALIBRATION, request.voice, **NEUTRAL))
    waveform = trim(espeak.synthesise(request.text, request.voice, request.rate, request.pitch, request.range))
    waveform = resample_poly(waveform, SAMPLE_RATE // 50, ESPEAK_RATE // 50)
    random = np.random.default_rng(request.seed)
    waveform = apply_affect(waveform * 10 ** ((request.level - reference) / 20), request, random)
    return transmit(waveform, request, random)


def write(path: Path, waveform: np.ndarray, odd: bool) -> float:
    """Write `waveform` (samples,) at 16 kHz as 16-bit wav and return its duration [s]; `odd`: stereo at 44.1 kHz."""
    if odd:
        wide = resample_poly(waveform, ODD_RATE // 100, SAMPLE_RATE // 100)
        soundfile.write(path, np.stack([wide, np.roll(wide, 3) * 0.8], axis=1), ODD_RATE, subtype="PCM_16")
    else:
        soundfile.write(path, waveform, SAMPLE_RATE, subtype="PCM_16")
    return len(waveform) / SAMPLE_RATE


def main() -> None:
    """Synthesise the requests on standard input: arguments are the corpus's folder and how many run at a time."""
    folder, most = Path(sys.argv[1]), int(sys.argv[2])
    requests = [SynthesisRequest(**request) for request in json.load(sys.stdin)]
    espeak = Espeak()
    running: set[int] = set()
    for request in requests:
        if len(running) >= most:
            running.discard(_wait())
        child = os.fork()
        if child == 0:
            _synthesise_and_end(espeak, request, folder)
        running.add(child)
    while running:
        running.discard(_wait())


def _wait() -> int:
    child, status = os.wait()
    if status != 0:
        sys.exit(1)
    return child


def _synthesise_and_end(espeak: Espeak, request: SynthesisRequest, folder: Path) -> None:
    """In a child: synthesise one request, report it, and end without the parent's cleaning up."""
    status = 1
    try:
        seconds = write(folder / request.file, render(espeak, request), request.odd)
        os.write(1, f"{request.file}\t{seconds}\n".encode())
        status = 0
    finally:
        if status:
            traceback.print_exc()
            sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
