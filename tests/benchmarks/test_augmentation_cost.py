"""The benchmark of augmentation measures every way beside the plain step."""

import json

from benchmarks import augmentation


def test_each_way_is_measured_by_ratio(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SERCORE_DEVICE", "cpu")
    output = tmp_path / "augmentation.json"
    small = {"width": 2, "mels": 32, "batch": 4, "utterances": 8, "seconds": 0.5, "turns": 2, "output": output}
    numbers = augmentation.main([word for name, value in small.items() for word in (f"--{name}", str(value))])
    assert json.loads(output.read_text()) == numbers
    assert list(numbers["ratios"]) == [way for way in augmentation.WAYS if way != augmentation.PLAIN]
    assert all(0 < row["low"] <= row["median"] <= row["high"] for row in numbers["ratios"].values())
    assert "| mel_shift |" in capsys.readouterr().out
