"""What is logged to TensorBoard and MLflow is read back by the real libraries: once, and of every training apart."""

import sys
import time

import made_up
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from sercore import files
from sercore.analysis import results, tracking
from sercore.commands import cli, log
from sercore.study import config


@pytest.fixture
def study(tmp_path):
    """Section 5 is complete, with one seed."""
    return config.load(made_up.write_study(tmp_path, seeds=1, sections=("categories",), utterances=8))


def only(study, **parameters):
    """The run of section 5 with these parameters."""
    (run,) = (r for r in study.section("categories") if all(r.parameters[k] == v for k, v in parameters.items()))
    return run


def written(study):
    """Training -> what TensorBoard reads of it."""
    top = study.folder / "tensorboard"
    folders = {path.parent for path in top.rglob("events.*")}
    return {
        str(folder.relative_to(top)): EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
        for folder in folders
    }


def update(study, kind="tensorboard"):
    """As a process of its own would do it."""
    return tracking.Tracker(study, tracking.open_store(kind, study)).update()


def begin(run, epochs):
    """Make `run` one that has trained for some epochs and has no result yet."""
    (run.folder / files.PREDICTIONS).unlink(missing_ok=True)
    table = pd.DataFrame({"fold": "official", "epoch": range(1, epochs + 1), "best": False, "seconds": 1.0})
    table = table.assign(loss=1 / table["epoch"], development=table["epoch"] / 10, learning_rate=0.01)
    folder = files.fold_folders(run.folder, ["official"])["official"]
    files.write_table(folder / files.HISTORY, table)


def test_every_fold_and_seed_is_a_training_with_its_curve_and_test_scores(study):
    assert update(study) == 4 + 4 * len(made_up.FOLDS)
    read = written(study)
    assert len(read) == 12
    run = only(study, model="bert", corpus="iemocap")
    predictions = pd.read_parquet(run.folder / files.PREDICTIONS)
    for fold in made_up.FOLDS:
        events = read[f"categories/{run.folder.name}/fold={fold}"]
        loss = events.Scalars("loss")
        assert [event.step for event in loss] == [1, 2, 3]
        assert [event.value for event in loss] == pytest.approx([1, 1 / 2, 1 / 3])
        assert [event.wall_time for event in loss][-1] - loss[0].wall_time == pytest.approx(2.0)
        own = results.scores(predictions[(predictions["fold"] == fold) & (predictions["partition"] == "test")])
        uar = own[(own["metric"] == "uar") & (own["test_corpus"] == "msp-podcast")]["score"].item()
        (score,) = events.Scalars("test/msp-podcast/emotion_uar")
        assert (score.step, score.value) == (3, pytest.approx(uar, rel=1e-6))
        assert ("test/iemocap/emotion_uar" in events.Tags()["scalars"]) == (fold == "Ses01F")  # the other lacks a class
        content = events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
        parameters = HParamsPluginData.FromString(content).session_start_info.hparams
        assert parameters["fold"].string_value == fold
        assert parameters["training.epochs"].number_value == 3
        assert parameters["training.batch"].number_value == 32  # a default


def test_a_curve_grows_and_no_epoch_is_there_twice(study):
    run = only(study, model="cnn14", corpus="msp-podcast")
    name = f"categories/{run.folder.name}/fold=official"
    begin(run, 1)
    tracker = tracking.Tracker(study, tracking.open_store("tensorboard", study))
    assert tracker.update()
    assert tracker.update() == 0
    begin(run, 2)
    assert tracker.update() == 1
    assert [event.step for event in written(study)[name].Scalars("loss")] == [1, 2]
    time.sleep(1.1)  # the names of TensorBoard's files are of seconds
    begin(run, 4)  # interrupted and resumed; the process that logs is another one too
    assert update(study) == 1
    assert [event.step for event in written(study)[name].Scalars("loss")] == [1, 2, 3, 4]


def test_a_training_that_was_made_anew_replaces_what_was_logged(study):
    run = only(study, model="cnn14", corpus="msp-podcast")
    begin(run, 3)
    tracker = tracking.Tracker(study, tracking.open_store("tensorboard", study))
    tracker.update()
    begin(run, 1)
    tracker.update()
    events = written(study)[f"categories/{run.folder.name}/fold=official"]
    assert [event.step for event in events.Scalars("loss")] == [1]


def test_the_command_logs_and_says_where_to_look(study, capsys):
    assert cli.main(["log", str(study.path), "--to", "tensorboard", "--follow"]) == 0
    assert "12 trainings had something new" in (printed := capsys.readouterr().out)
    assert f"tensorboard --logdir {study.folder / 'tensorboard'}" in printed
    assert tuple(tracking.STORES) == log.KINDS


@pytest.mark.parametrize("kind", log.KINDS)
def test_what_is_not_installed_is_named_with_its_extra(study, kind, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith(f"{kind}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, kind, None)
    assert cli.main(["log", str(study.path), "--to", kind]) == 2
    assert (
        f"logging to {kind} needs {kind}, which is not installed: pip install 'sercore[{kind}]'"
        in capsys.readouterr().err
    )
    assert not (study.folder / kind).exists()


def test_a_study_is_followed_while_it_runs_and_an_error_of_the_store_does_not_end_it(
    make, tmp_path, monkeypatch, capsys
):
    study = make([0])
    history = pd.DataFrame({"fold": ["a"], "epoch": [1], "loss": [0.5], "development": [0.1], "seconds": [1.0]})
    files.write_table(study.runs[0].folder / files.HISTORY, history)
    with log.following(study, ["tensorboard"]):
        pass
    (events,) = written(study).values()
    assert [event.value for event in events.Scalars("loss")] == [0.5]
    monkeypatch.setattr(tracking.Tracker, "update", lambda _: tmp_path.joinpath("nowhere", "x").touch())
    with log.following(study, ["tensorboard"]):
        pass
    assert "logging has ended, the runs go on; `sercore log` catches up" in capsys.readouterr().err


@pytest.mark.long
def test_a_study_that_is_run_with_log_has_its_curves_in_tensorboard(embedded, tmp_path, capsys):
    fixed = {
        "features": {"mels": 32, "hop": 512},
        "network": {"width": 2},
        "training": {"epochs": 2, "crop_seconds": 1.5},
    }
    block = {"grid": {"model": ["cnn14"], "corpus": ["msp-podcast"], "seed": [0, 1]}, "fixed": {"folds": [], **fixed}}
    sections = {"categories": {"notebook": "notebooks/1_categories.ipynb", "blocks": [block]}}
    content = {"study": "live", "corpora": embedded, "outputs": str(tmp_path), "sections": sections}
    files.write_yaml(tmp_path / "live.yaml", content)
    assert cli.main(["run", str(tmp_path / "live.yaml"), "--workers", "1", "--log", "tensorboard"]) == 0
    study = config.load(tmp_path / "live.yaml")
    assert f"tensorboard --logdir {study.folder / 'tensorboard'}" in capsys.readouterr().out
    read = written(study)
    for run in study.runs:
        history = files.read_history(run.folder / files.HISTORY)
        events = read[f"categories/{run.folder.name}/fold=official"]
        assert [event.step for event in events.Scalars("loss")] == [1, 2]
        assert [event.value for event in events.Scalars("loss")] == pytest.approx(history["loss"].tolist())
        assert "test/msp-podcast/emotion_uar" in events.Tags()["scalars"]


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")  # of MLflow's, by sqlalchemy
def test_mlflow_holds_each_training_once_with_parameters_curve_and_scores(study, monkeypatch):
    monkeypatch.delenv(tracking.TRACKING_URI, raising=False)
    run = only(study, model="cnn14", corpus="msp-podcast")
    begin(run, 2)
    assert update(study, "mlflow") == 11 + 1
    begin(run, 3)
    assert update(study, "mlflow") == 1
    store = tracking.open_store("mlflow", study)
    found = store.client.search_runs([store.experiment])
    assert len(found) == len({one.data.tags[tracking.NAME_TAG] for one in found}) == 12
    named = {one.info.run_name: one for one in found}
    mine = named[f"categories/{run.name}/official"]
    assert [m.step for m in store.client.get_metric_history(mine.info.run_id, "loss")] == [1, 2, 3]
    assert mine.info.status == "RUNNING"
    assert mine.data.params["training.batch"] == "32"
    other = named[f"categories/{only(study, model='bert', corpus='iemocap').name}/Ses01F"]
    assert other.info.status == "FINISHED"
    assert other.data.metrics["test/iemocap/emotion_uar"] > 0
    begin(run, 1)
    update(study, "mlflow")
    (again,) = (one for one in store.client.search_runs([store.experiment]) if one.info.run_name == mine.info.run_name)
    assert again.data.metrics["loss"] == 1


@pytest.mark.long
def test_a_server_of_mlflow_that_is_not_there_is_a_plain_error(study, monkeypatch):
    monkeypatch.setenv(tracking.TRACKING_URI, "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ValueError, match=r"MLflow at http://127\.0\.0\.1:9: "):
        tracking.open_store("mlflow", study)
