"""Checkpoints of fine-tuned encoders as what differs from the published weights: exact, small, and never silent."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import made_up
import pytest
import small_runs
import torch

from sercore import files, settings
from sercore.analysis import checklist
from sercore.commands import cli
from sercore.inference import artifact, predictor
from sercore.inference.export import export
from sercore.inference.shrink import shrink
from sercore.models import Cnn14, checkpoint
from sercore.study import config

TOUCHED = [3, 7, 1000]  # rows of the embeddings, as of the tokens of the training texts
ROWS = "encoder.embeddings.word_embeddings.weight"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return small_runs.tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def arguments(encoder):
    return {"kind": "text", "encoder": encoder, "outputs": 3}


@pytest.fixture
def tuned(arguments):
    """A model as fine-tuning leaves it: some rows of the embeddings, one whole layer and the output differ."""
    model = checkpoint.build(arguments, torch.Generator().manual_seed(0))
    chance = torch.Generator().manual_seed(1)
    with torch.no_grad():
        model.encoder.embeddings.word_embeddings.weight[TOUCHED] += 1e-4 * torch.randn(3, 8, generator=chance)
        weight = model.encoder.encoder.layer[0].output.dense.weight
        weight += 1e-3 * torch.randn(weight.shape, generator=chance)
        model.encoder.encoder.layer[1].output.dense.bias[2] = -0.0  # which was 0.0: other bits
    return model


def same_bits(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(
        ours[name].numpy().tobytes() == theirs[name].numpy().tobytes() for name in ours
    )


def test_what_differs_is_kept_to_the_last_bit(tuned, arguments, tmp_path):
    whole, small = tmp_path / "whole.safetensors", tmp_path / "small.safetensors"
    checkpoint.save(tuned, arguments, whole)
    checkpoint.save(tuned, arguments, small, "difference")
    model, held = checkpoint.load(small)
    assert same_bits(model, tuned)
    assert held == checkpoint.load(whole)[1], "its settings are those of the whole one"
    state, _ = checkpoint.read_safetensors(small)
    assert state[ROWS + checkpoint.ROWS].tolist() == TOUCHED
    assert state["encoder.encoder.layer.1.output.dense.bias" + checkpoint.ROWS].tolist() == [2]
    weight = "encoder.encoder.layer.0.output.dense.weight" + checkpoint.VALUES
    assert {name for name in state if name.endswith(".weight") or name.endswith(".bias")} == {
        "output.weight",
        "output.bias",
    }, "the output layer has nothing to differ from"
    assert weight in state
    assert not any(".layer.1.attention" in name for name in state), "what was not trained is left out"
    assert small.stat().st_size < whole.stat().st_size / 10


def test_the_parameters_of_differences_are_not_counted_as_the_model_s(tuned, arguments, tmp_path):
    run, counts = SimpleNamespace(folder=tmp_path), []
    (tmp_path / f"{files.FOLD}official").mkdir()
    for kept in ("whole", "difference"):
        checkpoint.save(tuned, arguments, tmp_path / f"{files.FOLD}official" / files.CHECKPOINT, kept)
        counts.append(checklist.count_parameters(run))
    assert counts == [sum(parameter.numel() for parameter in tuned.parameters()), None]


def test_half_precision_is_of_the_differences(tuned, arguments, tmp_path):
    checkpoint.save(tuned, arguments, tmp_path / "half.safetensors", "half")
    assert checkpoint.kept_as(tmp_path / "half.safetensors") == "half"
    model, _ = checkpoint.load(tmp_path / "half.safetensors")
    base = checkpoint.build(arguments, torch.Generator().manual_seed(0)).state_dict()
    for name, value in tuned.state_dict().items():
        allowed = ((value - base[name]).abs() / 2048).clamp(min=2**-25) + 2**-26 * value.abs().clamp(min=1)
        assert ((model.state_dict()[name] - value).abs() <= allowed).all(), name
    assert not same_bits(model, tuned)
    state, _ = checkpoint.read_safetensors(tmp_path / "half.safetensors")
    assert state[ROWS + checkpoint.VALUES].dtype == torch.float16


def test_another_encoder_is_noticed(tuned, arguments, encoder, tmp_path):
    moved = tmp_path / "encoder"
    shutil.copytree(encoder, moved)
    path = tmp_path / "small.safetensors"
    checkpoint.save(tuned, {**arguments, "encoder": str(moved)}, path, "difference")
    checkpoint._published.cache_clear()  # as in another process
    small_runs_weights = moved / "model.safetensors"
    state, metadata = checkpoint.read_safetensors(small_runs_weights)
    state["embeddings.LayerNorm.bias"] += 1
    checkpoint.save_file(state, small_runs_weights, metadata=metadata)
    with pytest.raises(ValueError, match=r"small.safetensors holds what differs from the encoder .* as it was"):
        checkpoint.load(path)
    checkpoint._published.cache_clear()
    shutil.rmtree(moved)
    with pytest.raises(
        ValueError, match=r"small.safetensors is what differs from the encoder .*, which cannot be read"
    ):
        checkpoint.load(path)


def test_a_model_without_an_encoder_is_kept_whole(tmp_path):
    model = Cnn14(outputs=2, width=2, generator=torch.Generator().manual_seed(0))
    path = tmp_path / "cnn14.safetensors"
    arguments = {"outputs": 2, "width": 2}
    with pytest.raises(ValueError, match=r"kind 'cnn14' has no encoder to differ from; keep it whole"):
        checkpoint.save(model, arguments, path, "difference")
    checkpoint.save(model, arguments, path)
    before = path.read_bytes()
    assert checkpoint.kept_as(path) is None
    assert shrink(path, "difference") == 0
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match=r"cnn14 takes no network.kept, which is of fine-tuned encoders"):
        settings.check_network("cnn14", settings.NetworkSettings(kept="half"))
    settings.check_network("bert", settings.NetworkSettings(kept="half"))


def test_a_checkpoint_is_made_smaller_and_whole_again(tuned, arguments, tmp_path):
    path = tmp_path / "best.safetensors"
    checkpoint.save(tuned, arguments, path)
    whole = path.read_bytes()
    freed = shrink(path, "difference", dry_run=True)
    assert path.read_bytes() == whole, "a dry run"
    assert shrink(path, "difference") == freed == len(whole) - path.stat().st_size > 0
    assert same_bits(checkpoint.load(path)[0], tuned)
    assert files.damage(path) == ""
    assert shrink(path, "difference") == 0, "it is kept so already"
    checkpoint.copy(path, tmp_path / "again.safetensors")
    assert shrink(path, "half") > 0
    assert shrink(path, "difference") == 0, "it is smaller already"
    assert (tmp_path / "again.safetensors").read_bytes() == whole
    assert {entry.name for entry in tmp_path.iterdir()} == {"best.safetensors", "again.safetensors"}


def test_a_checkpoint_that_does_not_come_back_as_it_was_stays(tuned, arguments, tmp_path, monkeypatch):
    path = tmp_path / "best.safetensors"
    checkpoint.save(tuned, arguments, path)
    whole = path.read_bytes()
    restored = checkpoint._restored
    monkeypatch.setattr(
        checkpoint,
        "_restored",
        lambda *given: {name: value + (name == ROWS) for name, value in restored(*given).items()},
    )
    with pytest.raises(ValueError, match=r"word_embeddings.weight.* came back with other bits; it stays as it is"):
        shrink(path, "difference")
    assert path.read_bytes() == whole
    assert [entry.name for entry in tmp_path.iterdir()] == ["best.safetensors"]


def test_tidy_makes_the_networks_of_a_study_smaller(tuned, arguments, tmp_path, capsys):
    path = made_up.write_study(tmp_path, seeds=1, sections=(), utterances=2)
    (run,) = (run for run in config.load(path).section("multitask") if run.parameters["model"] == "bert")
    files.write_table(run.folder / files.PREDICTIONS, made_up.DONE)
    network = run.folder / "fold=official" / files.CHECKPOINT
    checkpoint.save(tuned, arguments, network)
    before = network.stat().st_size
    assert cli.main(["tidy", str(path), "--checkpoints", "difference"]) == 0
    assert network.stat().st_size == before
    listed = capsys.readouterr().out
    assert cli.main(["tidy", str(path), "--checkpoints", "difference", "--delete"]) == 0
    assert same_bits(checkpoint.load(network)[0], tuned)
    size = f"{network.stat().st_size / 1e6:,.1f} MB as difference"
    assert size in listed
    assert size in capsys.readouterr().out


def test_metadata_of_another_kind_of_file_are_refused(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(ValueError, match="is no safetensors file"):
        checkpoint.kept_as(tmp_path / "a.safetensors")


@pytest.mark.long
def test_a_run_that_keeps_the_difference_predicts_what_another_does(embedded, encoder, tmp_path):
    text = {"encoder": encoder, "tokens": 32}
    runs: dict[str, Path] = {}
    for kept in ("whole", "difference"):
        network = {"width": 2, "kept": kept}
        runs[kept] = small_runs.train(tmp_path / kept, embedded, "categories", model="bert", text=text, network=network)
    whole, small = (runs[kept] / "fold=official" / files.CHECKPOINT for kept in runs)
    assert small.stat().st_size < whole.stat().st_size
    assert same_bits(checkpoint.load(small)[0], checkpoint.load(whole)[0])
    tables = [files.read_table(folder / files.PREDICTIONS) for folder in runs.values()]
    assert tables[0].equals(tables[1])
    exported = artifact.read(export(runs["difference"], tmp_path / "exported"))
    assert checkpoint.kept_as(exported.networks["official"]) == "whole", "whoever gets it need not have the encoder"
    assert predictor.load(runs["difference"]).networks[0].training is False
