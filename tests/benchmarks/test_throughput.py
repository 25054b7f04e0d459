"""The benchmark runs on any corpus and writes what it measured."""

import json

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from benchmarks import limits, loops, throughput
from small_runs import tiny_encoder
from torch.utils.flop_counter import FlopCounterMode

from sercore import schema, settings
from sercore.corpora import corpus
from sercore.datasets.source import read
from sercore.features import audio
from sercore.models import cnn14


@pytest.fixture
def release(tmp_path):
    """A corpus of 12 utterances of .75 to 1.3 s."""
    chance = np.random.default_rng(0)
    rows = []
    for number in range(12):
        file = f"u{number:02d}.wav"
        soundfile.write(tmp_path / file, chance.normal(0, 0.1, 12_000 + 800 * number), 16_000)
        rows.append({"utterance": file[:3], "file": file, "speaker": "s", "emotion": schema.CLASSES[number % 4]})
    pd.DataFrame(rows).to_csv(tmp_path / "utterances.csv", index=False)
    return tmp_path


@pytest.fixture
def small_limits(monkeypatch):
    """The machine's limits are measured on little."""
    monkeypatch.setenv("SERCORE_DEVICE", "cpu")
    monkeypatch.setattr(limits, "SIDE", {"cpu": 64})
    monkeypatch.setattr(limits, "COPIED", {"cpu": 1 << 16})


@pytest.mark.usefixtures("small_limits")
def test_the_benchmark_measures_both_loops(release, capsys):
    output = release / "throughput.json"
    arguments = [
        "--root",
        str(release),
        "--folder",
        str(release / "bench"),
        "--models",
        "cnn14",
        "--widths",
        "2",
        "--batch",
        "4",
        "--steps",
        "2",
        "--repeats",
        "2",
        "--no-extraction",
        "--output",
        str(output),
    ]
    numbers = throughput.main(arguments)
    assert json.loads(output.read_text()) == json.loads(json.dumps(numbers))
    (measured,) = numbers["sizes"].values()
    limit = measured["limits"]
    for part in ("training", "evaluation"):
        row = measured["models"]["cnn14"][part]
        pairs = list(zip(row["repeats"]["ours"], row["repeats"]["plain"], strict=True))
        assert len(pairs) == 2
        assert 0 < row["share_of_copy"] == row["ours"] * row["bytes"] / (2 * limit["copy_bytes_per_second"])
        assert row["ratio"]["low"] == min(mine / other for mine, other in pairs) > 0
    assert 0 <= measured["data_path"]["padding_share"] < measured["data_path"]["plain_padding_share"] < 0.5
    assert numbers["width"] == 2
    assert numbers["utterances_per_second"]["cnn14"]["ours"] == measured["models"]["cnn14"]["training"]["ours"]
    assert "12 utterances" in capsys.readouterr().out


@pytest.mark.long
@pytest.mark.usefixtures("small_limits")
def test_every_mechanism_is_measured_beside_cnn14(release, capsys, monkeypatch):
    built = []
    monkeypatch.setattr(throughput.Ours, "close", lambda loop: built.append(loop._model.mechanism))
    place = ["--root", str(release), "--folder", str(release / "bench"), "--output", str(release / "mechanisms.json")]
    sizes = ["--widths", "2", "--batch", "4", "--steps", "1", "--repeats", "2", "--tokens", "16"]
    numbers = throughput.main(["--mechanisms", *place, *sizes, "--encoder", tiny_encoder(release / "bert")])
    measured = numbers["sizes"]["2"]["mechanisms_by_cnn14"]
    assert list(measured) == list(settings.MECHANISMS)
    assert all(0 < of["low"] <= of["median"] <= of["high"] for of in measured.values())
    assert built[-8:] == [name for name in settings.MECHANISMS for _ in throughput.BESIDE]
    printed = capsys.readouterr().out
    assert "| mechanism | share |" in printed
    assert all(f"\n| {name} | " in printed for name in measured)


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.long)])
def test_the_careful_loop_trains_on_the_same_log_mels(release, monkeypatch, workers):
    monkeypatch.setenv("SERCORE_DEVICE", "cpu")
    features = settings.FeatureSettings(mels=32, hop=320)
    place = corpus.located({"root": release}, "speech")
    known = {"targets": (schema.EMOTION,), "classes": schema.FOUR_CLASSES, "text": settings.TextSettings()}
    source = read("table", place, model="cnn14", features=features, cache_folder=release / "cache", **known)
    size = loops.Size(width=2, features=features, batch=4, ours=4, plain=1)
    careful = loops.Careful(source, size, "float32", workers=workers, compiled=False)
    before = careful.model.output.weight.detach().clone()
    assert careful.train() > 0  # four steps of three batches: another epoch begins
    assert not torch.equal(before, careful.model.output.weight)
    logmels, frames, codes = careful.next_batch()
    assert logmels.shape == (4, int(frames.max()), 32)
    shortest = int(frames.argmin())
    assert (logmels[shortest, frames[shortest] :] == audio.FLOOR).all()
    emotions = source.rows[schema.EMOTION].map({name: code for code, name in enumerate(schema.FOUR_CLASSES)})
    held = dict(zip(source.frames.count, emotions, strict=True))  # each utterance has a length of its own
    assert [held[int(count)] for count in frames] == codes.tolist()


def test_passes_over_the_maps_are_counted_by_hand(monkeypatch):
    monkeypatch.setattr(limits, "BLOCKS", 1)  # which is not pooled
    given, maps = 64 * 32, 4 * 64 * 32
    forward = (given + 2 * maps + maps) + (maps + 2 * maps + maps)
    assert limits.maps_bytes(4, 32, 64, 2, training=False) == 2 * forward
    backward = (maps + 4 * maps + 3 * maps + 2 * given) + (maps + 4 * maps + 3 * maps + 2 * maps)
    assert limits.maps_bytes(4, 32, 64, 4, training=True) == 4 * (forward + backward)


def test_operations_are_counted_as_pytorch_counts_them():
    model = cnn14.Cnn14(4, width=4, mels=32).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.randn(1, 64, 32), torch.tensor([64]))
    counted = counter.get_flop_counts()["Global"]
    narrow = counted[torch.ops.aten.convolution]
    # where one band is left, only a third of each kernel is multiplied: the last block's here
    last = 2 * 9 * (64 + 128) * 128 * 2
    assert narrow == limits.convolutions_flop(4, 32, 64) - last * 2 / 3


def test_a_sample_of_the_batches_is_as_long_as_all_of_them():
    class Planned:
        def plan(self, size, generator, crop_frames, sort):
            assert generator is not None
            assert crop_frames is None
            assert sort
            lengths = np.random.default_rng(0).permutation(100)
            return [type("Plan", (), {"rows": range(size), "padded": int(n)}) for n in lengths]

    picked = [plan.padded for plan in loops.Sample(Planned(), 4).plan(8, torch.Generator())]
    assert picked == [12, 37, 62, 87]
