"""The benchmark of speech detection counts frames of both detectors at each ratio."""

import numpy as np
import soundfile
from benchmarks import speech_detection


def test_frames_are_counted_for_each_detector_and_ratio(tmp_path, capsys):
    steps = np.arange(32_000) / 16_000
    soundfile.write(tmp_path / "a.wav", 0.3 * np.sin(2 * np.pi * 200 * steps), 16_000)
    table = speech_detection.main([str(tmp_path), "--seconds", "6"])
    assert table["by"].tolist() == ["silero", "energy"] * 3
    gate = table[table["by"] == "energy"].set_index("speech to noise")
    assert gate.loc["30 dB", ["precision", "recall"]].tolist() == [100, 100]
    assert table[["precision", "recall"]].stack().between(0, 100).all()
    assert "seed 0" in capsys.readouterr().out
