"""The run browser: what runs differ in, kept epochs, curves with a band, and runs that train while one looks."""

import asyncio
import time
from pathlib import Path

import made_up
import numpy as np
import pandas as pd
import pytest

from sercore import files
from sercore.analysis import figures
from sercore.study import config
from sercore.widgets import runs

ROOT = Path(__file__).parents[2]


@pytest.fixture
def study(tmp_path):
    return config.load(made_up.write_study(tmp_path, seeds=2, sections=("multitask",), utterances=4))


def test_a_run_has_its_parameters_kept_epoch_and_score(study):
    table, epochs = runs.read(study, "multitask")
    assert len(table) == 8
    assert set(table["state"]) == {"done"}
    assert set(table["kept epoch"]) == {"3"}
    assert np.allclose(table["development"], 0.6)
    assert len(epochs) == 8 * 3


def test_only_parameters_that_differ_are_columns():
    common = {"study": "s", "section": "s", "notebook": None, "folder": None}
    made = tuple(
        config.Run(
            name=f"seed={seed}", parameters={"seed": seed, "training": {"epochs": 3, "batch": 8 * seed}}, **common
        )
        for seed in (1, 2)
    )
    assert runs.parameters_that_differ(made) == {
        "seed=1": {"seed": 1, "training.batch": 8},
        "seed=2": {"seed": 2, "training.batch": 16},
    }


def test_choosing_a_value_narrows_the_runs_and_their_curves(study):
    state = runs.Runs(**dict(zip(("table", "epochs"), runs.read(study, "multitask"), strict=True)))
    assert state.parameters == {"model": ["bert", "cnn14", "sfcnn14", "mfcnn14"], "seed": [0, 1]}
    chosen = state.where("model", "bert").where("seed", 1)
    assert list(chosen.chosen()["run"]) == ["model=bert,corpus=msp-podcast,seed=1"]
    assert set(chosen.curves()["model"]) == {"bert"}
    assert len(chosen.where("model", None).chosen()) == 4


class TestRunsThatDifferInMoreThanModelAndSeed:
    """A study as parameters/transcripts.yaml: one model and seed, trained with transcripts of several conditions."""

    @pytest.fixture
    def study(self, tmp_path):
        content = (ROOT / "parameters" / "transcripts.yaml").read_text(encoding="utf-8")
        path = tmp_path / "transcripts.yaml"
        path.write_text(content.replace("study: ", f"outputs: {tmp_path}\nstudy: ", 1), encoding="utf-8")
        study = config.load(path)
        for number, run in enumerate(study.section("categories")):
            epochs = [
                {"fold": "official", "epoch": epoch, "loss": 10.0 * number + epoch, "development": number / 100}
                for epoch in (1, 2)
            ]
            history = pd.DataFrame(epochs).assign(seconds=1.0, best=[True, False])
            files.write_table(run.folder / "fold=official" / files.HISTORY, history)
        return study

    def test_every_run_is_a_curve_of_its_own(self, study):
        table, epochs = runs.read(study, "categories")
        figure = runs.plot(epochs, simulated=False)
        lines = [line for axis in figure.axes for line in axis.lines if line.get_linewidth() == 1]
        losses = sorted(tuple(line.get_ydata()) for line in lines if line.get_ydata()[1] - line.get_ydata()[0] == 1)
        assert losses == [(10.0 * number + 1, 10.0 * number + 2) for number in range(len(table))]

    def test_runs_are_chosen_by_any_key_also_by_not_having_it(self, study):
        browser = runs.browse(*runs.read(study, "categories"))
        assert list(browser.lists) == ["model", "seed", "transcripts", "shuffled", "corruption"]
        browser.lists["model"].value = "bert"
        browser.lists["transcripts"].value = "gold"
        browser.lists["shuffled"].value = runs.NOT_SET
        assert list(browser.runs.chosen()["run"]) == [
            f"model=bert,transcripts=gold,corpus=msp-podcast,seed={seed}" for seed in (0, 1, 2)
        ]
        browser.lists["shuffled"].value = True
        assert browser.count.value.startswith("3 runs")
        assert set(browser.runs.chosen()["shuffled"]) == {True}


def test_a_run_that_trains_appears_when_the_folders_are_read_again(study, monkeypatch):
    run = study.section("dimensions")[0]
    browser = runs.browse(*runs.read(study, "dimensions"), reread=lambda: runs.read(study, "dimensions"))
    assert "Nothing has been trained yet" in browser.picture.value
    epoch = {"fold": "official", "epoch": 1, "loss": 1.0, "development": 0.25, "seconds": 1.0, "best": True}
    files.write_table(run.folder / "fold=official" / files.HISTORY, pd.DataFrame([epoch]))
    browser.refresh.click()
    assert "data:image/png" in browser.picture.value
    assert 0.25 in browser.listed.df["development score"].tolist()
    drawn = browser.picture.value
    monkeypatch.setattr(runs, "SECONDS_BETWEEN_READINGS", 0.05)

    async def follow():
        browser.follow.value = True
        await asyncio.sleep(0.5)
        assert browser.picture.value == drawn
        files.write_table(run.folder / "fold=official" / files.HISTORY, pd.DataFrame([epoch, epoch | {"epoch": 2}]))
        until = time.monotonic() + 60
        while browser.picture.value == drawn and time.monotonic() < until:
            await asyncio.sleep(0.05)
        assert browser.picture.value != drawn
        browser.follow.value = False
        await asyncio.sleep(0.05)
        assert len(asyncio.all_tasks()) == 1, "it reads no more"

    asyncio.run(follow())


def test_choosing_in_a_list_redraws(study):
    browser = runs.browse(*runs.read(study, "multitask"), simulated=True)
    before = browser.picture.value
    browser.lists["model"].value = "cnn14"
    assert browser.count.value == "2 runs: 2 done"
    assert browser.picture.value != before
    assert 'alt="Learning curves of CNN14;' in browser.picture.value


def test_the_band_is_one_standard_deviation_of_the_seeds():
    rows = [
        {
            "model": "cnn14",
            "corpus": "iemocap",
            "seed": seed,
            "fold": "a",
            "epoch": epoch,
            "loss": loss + epoch,
            "development": 0.5,
            "best": epoch == 1,
        }
        for seed, loss in ((0, 1.0), (1, 3.0))
        for epoch in (1, 2)
    ]
    figure = figures.plot_learning_curves(pd.DataFrame(rows))
    (band,) = figure.axes[0].collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.min() == pytest.approx(2)  # mean 3 at epoch 1, sd 1
    assert heights.max() == pytest.approx(5)  # mean 4 at epoch 2
