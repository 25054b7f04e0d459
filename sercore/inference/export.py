"""A trained model, exported: a folder of safetensors, settings, a card and, if wanted, ONNX.

`predictor.load` takes the folder as it takes a run's. Nothing in it is a pickle.
"""

import importlib.util
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sercore import files
from sercore.analysis import baseline
from sercore.datasets import normalisation
from sercore.features import hub
from sercore.features.audio import FLOOR
from sercore.inference import artifact
from sercore.inference.artifact import DESCRIPTION, Trained
from sercore.inference.card import card
from sercore.models import checkpoint
from sercore.models.cnn14 import Cnn14
from sercore.models.text import TextModel

CARD = "README.md"
TEMPERATURE = "temperature"  # in an ONNX file's metadata, by which the logits of a single network are divided
TOLERANCE = 1e-4  # between the logits of ONNX and PyTorch
ONNX_PACKAGES = ("onnx", "onnxruntime", "onnxscript")
INPUTS = {
    "logmel": "(batch, frames, mels) float32, dB",
    "frames": "(batch,) int64, true frames of each, at least 32",
    "text": "(batch, width) float32, embeddings",
    "tokens": "(batch, tokens) int64, ids",
    "mask": "(batch, tokens) bool, true where there is a token",
}
CHECKED = (((32,), (2,)), ((101, 40), (9, 3)), ((1000, 640, 333), (32, 17, 2)))  # lengths: frames, tokens
LEVEL, SPREAD = -40.0, 15.0  # of made-up log-mels [dB]
AXES = "# The axis name: .* will not be used"  # of two inputs that share an axis: as it should be
NOISY = "torch.onnx._internal.exporter._registration"  # misses torchvision, which nothing here uses


def export(run: str | Path, folder: str | Path, onnx: bool = False) -> Path:
    """Write the model of `run` (a run's folder, or one fold of it) to `folder`, whole or not at all; returns its path.

    The folder holds `<fold>.safetensors` for each network, settings.json (front end, text encoder by name and
    fingerprint, classes or dimensions and scale, what development says about its answers), README.md (the model's card)
    and, with `onnx`, `<fold>.onnx`.

    Raises:
        FileExistsError: There is something in `folder`.
        FileNotFoundError: As artifact.read.
        EncoderError: The text encoder, whose fingerprint is recorded, is not there.
        ValueError: As artifact.read; `run` was exported already; with `onnx`, a speech encoder, and as `write_onnx`.
        ModuleNotFoundError: As `write_onnx`.
    """
    folder, trained = files.resolve(folder), artifact.read(run)
    if (artifact.place(run) / DESCRIPTION).is_file():
        raise ValueError(f"{run} was exported already: copy the folder")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is there already; remove it or name another folder")
    home = artifact.place(run)
    home = home.parent if home.name.startswith(files.FOLD) else home
    if trained.uses_text:
        trained = replace(trained, encoder=hub.encoder_fingerprint(trained.text))
    if onnx:
        _check_onnx()
    with files.atomic_folder(folder) as temporary:
        exported = replace(
            trained,
            networks={
                fold: temporary / f"{files.folder_name(fold, trained.networks)}.safetensors"
                for fold in trained.networks
            },
        )
        for fold, path in exported.networks.items():
            checkpoint.copy(trained.networks[fold], path)  # whole: whoever gets it need not have the encoder
        content = artifact.describe(exported)
        if onnx:
            content["onnx"] = _write_all(exported, temporary)
        provenance = files.read_json(home / files.PROVENANCE)
        gains = baseline.gains(home) if home == artifact.place(run) else []  # of all folds, as the model is
        text = card(exported, artifact.predictions(run), provenance, content.get("onnx"), gains)
        content["made"] = {key: provenance.get(key) for key in ("commit", "versions", "settings")}
        files.write_json(temporary / DESCRIPTION, content)
        files.write_text(temporary / CARD, str(text))
    return folder


def write_onnx(model: Cnn14 | TextModel, path: Path, longest: int = 32) -> float:
    """Write `model`, which checkpoint.load gave, to `path` as ONNX with any batch and any length.

    Inputs are those of its `forward`, by their names; the output is `logits` (batch, outputs). Returns the largest
    difference between onnxruntime's and PyTorch's logits on made-up batches of 1 to 3 unequal lengths; `longest` is the
    number of tokens that a text model may be given. Raises ModuleNotFoundError where ONNX is not installed, and as
    `check` does.
    """
    _check_onnx()
    names = input_names(model)
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("frames" if "frames" in names else "tokens")}
    lengthy = ("logmel", "tokens", "mask")
    shapes = tuple({axis: sizes[axis] for axis in ((0, 1) if name in lengthy else (0,))} for name in names)
    with _quiet():
        torch.onnx.export(
            _Logits(model).eval(),
            _made_up(model, CHECKED[1], longest),
            path,
            input_names=list(names),
            output_names=["logits"],
            dynamic_shapes=(shapes,),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    return check(model, path, longest)


def check(model: Cnn14 | TextModel, path: Path, longest: int = 32) -> float:
    """The largest difference between the logits of the ONNX file `path` and those of `model`, as `write_onnx` has it.

    Raises ValueError where it is more than TOLERANCE.
    """
    difference = 0.0
    for lengths in CHECKED:
        inputs = _made_up(model, lengths, longest)
        with torch.inference_mode():
            expected = model(*inputs).logits.numpy()
        logits = answer(path, [part.numpy() for part in inputs])
        difference = max(difference, float(np.abs(logits - expected).max()))
    if not difference <= TOLERANCE:
        raise ValueError(
            f"{path.name}: onnxruntime's answers differ from PyTorch's by {difference:.2g}, more than {TOLERANCE:g}: "
            "export without --onnx"
        )
    return difference


def answer(path: Path, inputs: Sequence[np.ndarray]) -> np.ndarray:
    """The logits (batch, outputs) that the ONNX file `path` gives for `inputs`, in the order of its own."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [part.name for part in session.get_inputs()]
    return session.run(["logits"], dict(zip(names, inputs, strict=True)))[0]


def parity(folder: Path) -> list[str]:
    """A line for each ONNX file of the exported `folder`: how far its answers are from PyTorch's."""
    onnx = files.read_json(folder / DESCRIPTION).get("onnx")
    if onnx is None:
        return []
    return [
        f"{name}: answers differ from PyTorch's by {onnx['difference'][fold]:.2g} at most"
        for fold, name in onnx["files"].items()
    ]


def input_names(model: Cnn14 | TextModel) -> tuple[str, ...]:
    """What the forward of `model` takes, by name."""
    if isinstance(model, TextModel):
        return ("tokens", "mask")
    return ("logmel", "frames", "text") if model.text_stages else ("logmel", "frames")


class _Logits(nn.Module):
    """A model without its embedding, whose name an encoder's own layer may have."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.model(*inputs).logits


def _write_all(trained: Trained, folder: Path) -> dict[str, Any]:
    """Write every network as ONNX; what settings.json holds about the files."""
    import onnx

    written, differences, names = {}, {}, ()
    for fold, weights in trained.networks.items():
        model, _ = checkpoint.load(weights)
        if not isinstance(model, Cnn14 | TextModel):
            raise ValueError(f"{trained.model} cannot be written as ONNX here; export it without --onnx")
        path = folder / f"{weights.stem}.onnx"
        differences[fold] = write_onnx(model, path, trained.text.tokens)
        written[fold], names = path.name, input_names(model)
        graph = onnx.load(path)
        if trained.confidence is not None:  # for who has this file alone
            onnx.helper.set_model_props(graph, {TEMPERATURE: repr(trained.confidence.temperature)})
            onnx.save(graph, path)
    (opset,) = [part.version for part in graph.opset_import if part.domain == ""]
    return {
        "files": written,
        "opset": opset,
        "inputs": {name: INPUTS[name] + (_normalised(trained) if name == "logmel" else "") for name in names},
        "difference": differences,
        "tolerance": TOLERANCE,
    }


def _normalised(trained: Trained) -> str:
    """What is to be done to log-mels before an ONNX file takes them, since its graph sees one batch alone."""
    normalised = trained.normalisation
    if normalised is None:
        return ""
    return (
        f", normalised before: {normalisation.described(normalised)} brought to {normalisation.LEVEL:g} dB, frames "
        f"of digital silence ({FLOOR:g} dB in all bands) left as they are"
    )


def _made_up(
    model: Cnn14 | TextModel, lengths: tuple[tuple[int, ...], tuple[int, ...]], longest: int
) -> tuple[Tensor, ...]:
    """A batch for `model`, of one of CHECKED; at most `longest` tokens each."""
    chance = torch.Generator().manual_seed(0)
    frames, tokens = torch.tensor(lengths[0]), torch.tensor(lengths[1]).clamp(max=longest)
    if isinstance(model, TextModel):
        most = model.encoder.config.vocab_size
        ids = torch.randint(most, (len(tokens), int(tokens.max())), generator=chance)
        return ids, torch.arange(ids.shape[1]) < tokens[:, None]
    logmel = LEVEL + SPREAD * torch.randn(len(frames), int(frames.max()), model.mels, generator=chance)
    text = torch.randn(len(frames), model.text_width, generator=chance) if model.text_stages else None
    return (logmel, frames) if text is None else (logmel, frames, text)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings about things that are as they should be."""
    logger = logging.getLogger(NOISY)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", AXES, UserWarning)
            yield
    finally:
        logger.setLevel(level)


def _check_onnx() -> None:
    absent = [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if absent:
        raise ModuleNotFoundError(f"ONNX needs {', '.join(absent)}: pip install 'sercore[onnx]'")
