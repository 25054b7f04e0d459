"""The benchmark on altered recordings: what it alters, that a fold's own network answers, and what it says is lost."""

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from benchmarks import altered

from sercore import corpora, files
from sercore.study import config
from sercore.training import experiment

RATE = 16_000
CLASSES = ("angry", "happy", "neutral", "sad")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A parameters file of two complete runs, which leave one of three speakers out, and one that was not run."""
    tmp_path = tmp_path_factory.mktemp("altered")
    random, rows = np.random.default_rng(0), []
    for number in range(24):
        name, emotion, speaker = f"u{number}", CLASSES[number % 4], ("ann", "bob", "cem")[number % 3]
        sound = random.normal(0, 0.05 * (1 + number % 4), 24_000).clip(-1, 1)
        soundfile.write(tmp_path / f"{name}.wav", sound, RATE, subtype="PCM_16")
        row = {"utterance": name, "file": f"{name}.wav", "speaker": speaker, "emotion": emotion}
        rows.append({**row, "transcript": f"number {number % 5}"})
    pd.DataFrame(rows).to_csv(tmp_path / "utterances.csv", index=False)
    kinds = {"plain": {}, "fused": {"network": {"width": 2, "normalisation": {"over": "speaker"}}}, "never": {}}
    fixed = {
        "task": "categories",
        "corpus": "own",
        "seed": 0,
        "folds": [],
        "features": {"mels": 32, "hop": 512},
        "text": {"encoder": "all-minilm-l6-v2"},
        "network": {"width": 2},
        "training": {"epochs": 1, "crop_seconds": 1.1},
        "changes": kinds,
    }
    grid = {"change": list(kinds), "model": ["sfcnn14"]}
    blocks = [{"grid": grid, "fixed": fixed}]
    path = tmp_path / "altered.yaml"
    content = {
        "study": "altered",
        "corpora": {"own": {"reader": "table", "root": str(tmp_path)}},
        "outputs": str(tmp_path / "outputs"),
        "sections": {"categories": {"notebook": "notebooks/6_conditioning.ipynb", "blocks": blocks}},
    }
    path.write_text(yaml.safe_dump(content))
    for run in config.load(path).runs:
        if run.parameters["change"] != "never":
            given = {name: value for name, value in run.parameters.items() if name != "task"}
            places = {"folder": str(run.folder), "cache": str(tmp_path / "cache")}
            defined = experiment.define("categories", **given, corpora=config.load(path).corpora, **places)
            experiment.run(defined, experiment.load(defined))
    return path


@pytest.mark.long
def test_every_fold_is_answered_by_its_own_network(study, tmp_path, capsys):
    plan = config.load(study)
    rows = altered.answers(plan, tmp_path / "altered")
    assert set(rows["settings"]) == {"altered: plain", "altered: fused"}
    assert rows.groupby(["settings", "altered"]).size().eq(24).all()
    plain = rows[rows["altered"] == altered.AS_IT_IS]
    for run in plan.runs[:2]:
        own = files.read_table(run.folder / files.PREDICTIONS).query("partition == 'test'")
        of_run = plain[plain["settings"] == f"altered: {run.parameters['change']}"]
        both = own.merge(of_run, on="utterance", validate="1:1")
        assert (both["prediction_x"] == both["prediction_y"]).all()
    assert altered.main([str(study)]) == 0
    printed = capsys.readouterr().out
    assert "24 recordings of 3 speakers" in printed
    assert printed.count("| altered: ") == 2


def test_gain_and_filters_are_what_they_are_called(study, tmp_path):
    corpus = corpora.read("own", study.parent, reader="table")
    folders = {way: altered.alter(corpus, way, tmp_path / "out" / way) for way in altered.ALTERED}
    assert folders[altered.AS_IT_IS] == study.parent
    sounds = {
        way: [soundfile.read(folder / file)[0] for file in corpus.utterances["file"]] for way, folder in folders.items()
    }
    gains = [20 * np.log10(np.abs(after).max() / np.abs(before).max()) for before, after in _pairs(sounds, "any gain")]
    assert min(gains) < -6 < 6 < max(gains)
    assert max(np.abs(gains)) <= altered.GAIN
    assert max(np.abs(after).max() for after in sounds["any gain"]) <= altered.LOUDEST * (1 + 1e-6)
    frequency = np.fft.rfftfreq(24_000, 1 / RATE)
    for way, kept, lost in (("telephone", 1000, 100), ("dull", 200, 6000), ("thin", 3000, 50)):
        of_both = [np.abs(np.fft.rfft(both)) for both in next(_pairs(sounds, f"any gain, {way}"))]
        change = 20 * np.log10(of_both[1] / of_both[0])
        here = [change[np.abs(frequency - at) < at / 5].mean() for at in (kept, lost)]
        assert here[0] - here[1] > 10
    (tmp_path / "out" / "any gain" / "u0.wav").unlink()
    altered.alter(corpus, "any gain", tmp_path / "out" / "any gain")  # what is there is not written again
    assert not (tmp_path / "out" / "any gain" / "u0.wav").exists()


def _pairs(sounds, way):
    return zip(sounds[altered.AS_IT_IS], sounds[way], strict=True)


@pytest.mark.parametrize("seeds", [[0], [0, 1]])
def test_what_is_lost_is_counted_on_the_same_recordings(seeds):
    rows = []
    for seed in seeds:
        for number in range(40):
            truth = CLASSES[number % 4]
            for place, way in enumerate(altered.ALTERED):
                wrong = place and number < 8  # two of each emotion
                row = {"settings": "one", "altered": way, "seed": seed, "speaker": f"s{number % 5}"}
                rows.append({**row, "utterance": number, "truth": truth, "prediction": "sad" if wrong else truth})
    printed = altered.table(pd.DataFrame(rows))
    score, *lost = next(line for line in printed.splitlines() if line.startswith("| one")).split(" | ")[1:]
    assert score == "100.0 (100.0 to 100.0)"
    assert [cell.split(" (")[0] for cell in lost] == ["+15.0"] * 4  # 2 of 10 of three emotions


def test_a_recording_that_cannot_be_read_is_named(study, tmp_path):
    corpus = corpora.read("own", study.parent, reader="table")
    odd = altered.alter(corpus, altered.ANY_GAIN, tmp_path / "own" / altered.ANY_GAIN)
    soundfile.write(odd / "u3.wav", np.full(100, np.nan), RATE, subtype="FLOAT")
    with pytest.raises(RuntimeError, match=r"1 of 8 recordings below .* failed: "):
        altered.answers(config.load(study), tmp_path)


def test_a_study_without_a_complete_run_is_said(study, tmp_path, capsys):
    content = yaml.safe_load(study.read_text())
    path = tmp_path / "never.yaml"
    path.write_text(yaml.safe_dump({**content, "outputs": str(tmp_path)}))
    assert altered.main([str(path)]) == 1
    assert "no complete run" in capsys.readouterr().out
