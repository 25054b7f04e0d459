"""The benchmark of a GPU runs anywhere in miniature, and what a cut or failing run has measured is there."""

import json

import pytest
from benchmarks import gpu


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("SERCORE_DEVICE", "cpu")


@pytest.mark.long
def test_every_part_runs_in_miniature(tmp_path):
    parts = ",".join(name for name in gpu.PARTS if name != "several")
    numbers = gpu.main(["--out", str(tmp_path), "--miniature", "--steps", parts])
    assert numbers["errors"] == {}
    assert "left_out" not in numbers
    assert json.loads((tmp_path / "gpu.json").read_text()) == json.loads(json.dumps(numbers))
    trained = {(row["model"], row["batch"]) for row in numbers["training"]}
    assert trained == {(name, batch) for name in (*gpu.AUDIO_MODELS, "bert") for batch in gpu.MINIATURE.batches}
    for row in numbers["training"]:
        assert 0 < row["low"] <= row["utterances_per_second"] <= row["high"]
        product = numbers["limits"]["bfloat16_flop_per_second"]
        assert row["share"] == pytest.approx(1e12 * row["tflop_per_second"] / product)
    assert {row["variant"] for row in numbers["variants"]} >= {"eager", "channels_last", "tuned"}
    assert {row["lengths"] for row in numbers["whole"]} == {"whole"}
    assert [row["layer"] for row in numbers["layers"]] == [
        f"{block}.{layer}" for block in range(1, 7) for layer in (1, 2)
    ]
    assert all(row["same"] for row in numbers["bytes"])
    assert {len(curve) for curve in numbers["curves"].values()} == {gpu.MINIATURE.curve}
    plan = json.loads((tmp_path / "throughput.json").read_text())  # which `sercore plan --throughput` reads
    assert plan["utterances_per_second"].keys() == {"cnn14", "mfcnn14", "bert"}
    assert plan["width"] == gpu.MINIATURE.width
    for part in ("turns", "first", "data", "epochs", "log_mel", "evaluation", "profile", "text", "best"):
        assert numbers[part]
    assert "| mfcnn14 | 4 | channels_last |" in (tmp_path / "gpu.md").read_text()


def test_what_a_failing_part_leaves_undone_keeps_no_other_from_running(tmp_path, monkeypatch):
    def fail(bench):
        bench.add("training", {"model": "cnn14"})
        raise RuntimeError("CUDA error: an illegal memory access")

    monkeypatch.setattr(gpu, "tables", lambda _: "")
    monkeypatch.setitem(gpu.PARTS, "eager", (fail, 1))
    gpu.main(["--out", str(tmp_path), "--miniature", "--steps", "eager,features"])
    numbers = json.loads((tmp_path / "gpu.json").read_text())
    assert numbers["training"] == [{"model": "cnn14"}]
    assert "an illegal memory access" in numbers["errors"]["eager"]
    assert numbers["log_mel"]


def test_without_time_nothing_is_begun(tmp_path):
    numbers = gpu.main(["--out", str(tmp_path), "--miniature", "--minutes", "0", "--steps", "limits,eager"])
    assert numbers["steps"] == {"limits": "no time left", "eager": "no time left"}
