"""The benchmark runs on any corpus and writes what it measured."""

import json

import numpy as np
import pandas as pd
import soundfile
from benchmarks import throughput

from sercore import schema


def test_the_benchmark_measures_both_loops(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SERCORE_DEVICE", "cpu")
    chance = np.random.default_rng(0)
    rows = []
    for number in range(12):
        file = f"u{number:02d}.wav"
        soundfile.write(tmp_path / file, chance.normal(0, 0.1, 12_000), 16_000)
        rows.append({"utterance": file[:3], "file": file, "speaker": "s", "emotion": schema.CLASSES[number % 4]})
    pd.DataFrame(rows).to_csv(tmp_path / "utterances.csv", index=False)
    output = tmp_path / "throughput.json"
    asked = ["--corpus", "table", "--root", str(tmp_path), "--cache", str(tmp_path / "cache"), "--models", "cnn14",
             "--width", "2", "--utterances", "8", "--repeats", "2", "--output", str(output)]  # fmt: skip
    found = throughput.main(asked)
    assert json.loads(output.read_text()) == json.loads(json.dumps(found))
    measured = found["utterances_per_second"]["cnn14"]
    assert len(measured["repeats"]["ours"]) == len(measured["repeats"]["plain"]) == 2
    assert measured["ratio"] == measured["ours"] / measured["plain"] > 0
    assert found["utterances"] == 8
    assert "8 utterances of table, width 2" in capsys.readouterr().out
