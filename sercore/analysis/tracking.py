"""Runs in TensorBoard and MLflow: parameters, learning curves and test scores of every training, live or afterwards.

Everything is read from the run folders, so a run neither knows nor waits for it, one process writes what any number of
workers train, and what a resumed training repeats is there once. One training, a fold of a run, is one run there; its
name is section, run and fold.
"""

import contextlib
import logging
import math
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import pandas as pd

from sercore import files, settings
from sercore.analysis.captions import size_of
from sercore.analysis.results import scores
from sercore.registry import MODELS
from sercore.study import progress
from sercore.study.config import Run, Study

if TYPE_CHECKING:
    from mlflow.entities import Run as Tracked

CURVES = ("loss", "development", "learning_rate", "seconds", "utterances_per_second")
TRACKING_URI = "MLFLOW_TRACKING_URI"  # MLflow's own environment variable: a server in place of the study's file
MOST_METRICS, MOST_PARAMETERS = 1000, 100  # that MLflow takes at once
LONGEST_PARAMETER = 6000  # letters that MLflow takes
NAME_TAG = "sercore.training"
EVERY = 10.0  # seconds between two looks at the run folders


class Point(NamedTuple):
    """A value of a metric."""

    epoch: int  # from 1
    time: float  # when it was reached [s since 1970]
    value: float


Metrics = dict[str, list[Point]]
"""Metric -> its values in the order of epochs; a test score has one."""


@dataclass(frozen=True)
class Training:
    """A fold of a run: the smallest thing that has a learning curve."""

    name: str  # section/run/fold
    folder: Path  # the same, as folders that every file system takes
    parameters: dict[str, Any]
    metrics: Metrics
    over: bool  # whether its run is complete


class Store(Protocol):
    """Where trainings are logged."""

    where: str  # it lies, as the user is told

    def logged(self, training: Training) -> dict[str, list[float]]:
        """Metric -> what is there of it already, by epoch."""

    def remove(self, training: Training) -> None:
        """Remove all that is there of `training`."""

    def add(self, training: Training, metrics: Metrics) -> None:
        """Add `metrics` to what is there; begin with the parameters where nothing is."""


def trainings(run: Run) -> Iterator[Training]:
    """The trainings of `run` that have a history, as they are now."""
    complete = run.complete
    history = progress.history(run)
    if history is None:
        history = files.find_history(run.folder / files.HISTORY, "fold", "loss", "development")
    if history is None:
        return
    predictions = (
        files.read_table(run.folder / files.PREDICTIONS) if complete and run.result == files.PREDICTIONS else None
    )
    folders = files.fold_folders(run.folder, [str(fold) for fold in history["fold"].unique()])
    for name, rows in history.groupby("fold", sort=False):
        fold = str(name)
        written = files.modified(folders[fold] / files.HISTORY) or files.modified(run.folder / files.HISTORY)
        after = rows["seconds"][::-1].cumsum()[::-1] - rows["seconds"] if "seconds" in rows else 0.0 * rows["epoch"]
        times = written - after
        metrics = {
            column: [Point(*point) for point in zip(rows["epoch"], times, rows[column], strict=True)]
            for column in CURVES
            if column in rows
        }
        if predictions is not None:
            own = predictions[predictions["fold"] == fold]
            last = Point(int(rows["epoch"].iloc[-1]), written, math.nan)
            metrics |= {metric: [last._replace(value=value)] for metric, value in scores_of_fold(own).items()}
        finite = {metric: [point for point in points if np.isfinite(point.value)] for metric, points in metrics.items()}
        yield Training(
            name=f"{run.section}/{run.name}/{fold}",
            folder=Path(run.section, run.folder.name, folders[fold].name),
            parameters={"section": run.section, "run": run.name, "fold": fold, **_flat(_settled(run))},
            metrics={metric: points for metric, points in finite.items() if points},
            over=complete,
        )


def scores_of_fold(predictions: pd.DataFrame) -> dict[str, float]:
    """Metric -> score on the test sets of a fold's predictions: `test/<corpus>/<target>_<metric>`."""
    table = scores(predictions[predictions["partition"] == "test"])
    table = table[(table["pooling"] != "folds") | (table["test_corpus"] != table["train_corpus"])]
    return {
        _allowed(f"test/{row.test_corpus}/{row.target}_{row.metric}"): float(row.score) for row in table.itertuples()
    }


def _settled(run: Run) -> dict[str, Any]:
    """The parameters of `run`, with the defaults of all settings."""
    if run.parameters.get("model") not in MODELS:
        return run.parameters
    size = size_of(run)
    return run.parameters | {kind: asdict(settings.of_run(run.parameters, kind, size)) for kind in settings.SETTINGS}


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """`values` without groups: `training.epochs`; what is neither number nor text is written as text."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = _allowed(f"{above}{key}")
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{name}.")
        else:
            flat[name] = value if isinstance(value, bool | int | float | str) else str(value)
    return flat


def _allowed(name: str) -> str:
    """`name` with _ for the signs that MLflow does not take in the names of metrics and parameters."""
    return re.sub(r"[^\w./ :-]", "_", name)


def _sources(run: Run) -> list[Path]:
    """The files of `run` that its trainings are read from."""
    histories = [run.folder / files.HISTORY, *sorted(run.folder.glob(f"{files.FOLD}*/{files.HISTORY}"))]
    return [path for path in (*histories, run.folder / files.PREDICTIONS) if path.exists()]


class Tracker:
    """Brings a store up to date with the run folders of a study."""

    def __init__(self, study: Study, store: Store) -> None:
        self.study, self.store = progress.with_defaults(study), store
        self._seen: dict[tuple[str, str], list[tuple[Path, float]]] = {}  # run -> its files when it was last looked at

    def update(self) -> int:
        """Log what is new, and return how many trainings that is of."""
        changed = 0
        for run in self.study.runs:
            now = [(path, files.modified(path)) for path in _sources(run)]
            if now and now != self._seen.get(run.key):
                changed += sum(self._log(training) for training in trainings(run))
                self._seen[run.key] = now
        return changed

    def _log(self, training: Training) -> bool:
        """Log what the store lacks of `training`; all of it where it holds another one, as of an earlier time."""
        there = self.store.logged(training)
        if any(not _begins(training.metrics.get(metric, []), values) for metric, values in there.items()):
            self.store.remove(training)
            there = {}
        new = {metric: points[len(there.get(metric, ())) :] for metric, points in training.metrics.items()}
        new = {metric: points for metric, points in new.items() if points}
        if new:
            self.store.add(training, new)
        return bool(new)


def _begins(points: list[Point], values: list[float]) -> bool:
    """Whether `values` are the first ones of `points`, to the digits of float32, which TensorBoard holds."""
    first = [point.value for point in points[: len(values)]]
    return np.array_equal(np.asarray(first, np.float32), np.asarray(values, np.float32))


def open_store(kind: str, study: Study) -> Store:
    """The store of `study` for `kind`, one of STORES. Raises ModuleNotFoundError that names the extra to install."""
    try:
        return STORES[kind](study)
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise ModuleNotFoundError(
            f"logging to {kind} needs {package}, which is not installed: pip install 'sercore[{kind}]'"
        ) from error


class TensorBoard:
    """Event files below the study's folder `tensorboard`, a folder a training."""

    def __init__(self, study: Study) -> None:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._read, self._event, self._summary = EventAccumulator, Event, Summary
        self._parameters, self._writer = hparams_pb, EventFileWriter
        self._writers: dict[Path, Any] = {}  # of trainings under way; one a training, as only the last file is followed
        self.folder = study.folder / "tensorboard"
        self.where = f"{self.folder}; look at it with: tensorboard --logdir {self.folder}"

    def logged(self, training: Training) -> dict[str, list[float]]:
        """As Store."""
        folder = self.folder / training.folder
        if not folder.is_dir():
            return {}
        events = self._read(str(folder), size_guidance={"scalars": 0}).Reload()
        return {tag: [event.value for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}

    def remove(self, training: Training) -> None:
        """As Store."""
        self._close(training)
        shutil.rmtree(self.folder / training.folder)

    def add(self, training: Training, metrics: Metrics) -> None:
        """As Store."""
        folder = self.folder / training.folder
        new = not folder.is_dir()
        if folder not in self._writers:
            self._writers[folder] = self._writer(str(folder))
        writer = self._writers[folder]
        points = sorted((point, metric) for metric, of_metric in metrics.items() for point in of_metric)
        if new:
            begun = points[0][0].time
            started = self._parameters(training.parameters, trial_id=training.name, start_time_secs=begun)
            writer.add_event(self._event(wall_time=begun, summary=started))
        for (epoch, time, value), metric in points:
            summary = self._summary(value=[self._summary.Value(tag=metric, simple_value=value)])
            writer.add_event(self._event(wall_time=time, step=epoch, summary=summary))
        writer.flush()
        if training.over:
            self._close(training)

    def _close(self, training: Training) -> None:
        writer = self._writers.pop(self.folder / training.folder, None)
        if writer is not None:
            writer.close()


class MLflow:
    """An experiment of the study's name, a run a training: in the study's mlflow.db, or on the server of TRACKING_URI.

    MLflow's errors, as of a server that does not answer, are ValueErrors here.
    """

    def __init__(self, study: Study) -> None:
        from mlflow import MlflowClient

        path = study.folder / "mlflow.db"
        self.uri = os.environ.get(TRACKING_URI) or f"sqlite:///{path}"
        if self.uri.startswith("sqlite:"):
            for package in ("sqlalchemy", "alembic"):  # which MLflow would miss without saying who brings them
                import_module(package)
            path.parent.mkdir(parents=True, exist_ok=True)
        logging.getLogger("mlflow.store.db").setLevel(logging.WARNING)
        self.where = f"{self.uri}; look at it with: mlflow ui --backend-store-uri {self.uri}"
        with _plain_errors(self.uri):
            self.client = MlflowClient(tracking_uri=self.uri)
            known = self.client.get_experiment_by_name(study.name)
            artifacts = (study.folder / "mlflow").as_uri()
            self.experiment = (
                known.experiment_id if known else self.client.create_experiment(study.name, artifact_location=artifacts)
            )

    def logged(self, training: Training) -> dict[str, list[float]]:
        """As Store."""
        with _plain_errors(self.uri):
            run = self._find(training)
            if run is None:
                return {}
            histories = {key: self.client.get_metric_history(run.info.run_id, key) for key in run.data.metrics}
        return {key: [one.value for one in sorted(of, key=lambda one: one.step)] for key, of in histories.items()}

    def remove(self, training: Training) -> None:
        """As Store."""
        with _plain_errors(self.uri):
            run = self._find(training)
            if run is not None:
                self.client.delete_run(run.info.run_id)

    def add(self, training: Training, metrics: Metrics) -> None:
        """As Store."""
        from mlflow.entities import Metric, Param

        points = [
            Metric(metric, point.value, round(1000 * point.time), point.epoch)
            for metric, of_metric in metrics.items()
            for point in of_metric
        ]
        with _plain_errors(self.uri):
            run = self._find(training)
            if run is None:
                begun = min(point.timestamp for point in points)
                tags = {NAME_TAG: training.name}
                run = self.client.create_run(self.experiment, begun, tags, run_name=training.name)
                parameters = [
                    Param(name, str(value)[:LONGEST_PARAMETER]) for name, value in training.parameters.items()
                ]
                for start in range(0, len(parameters), MOST_PARAMETERS):
                    self.client.log_batch(run.info.run_id, params=parameters[start : start + MOST_PARAMETERS])
            for start in range(0, len(points), MOST_METRICS):
                self.client.log_batch(run.info.run_id, metrics=points[start : start + MOST_METRICS])
            if training.over:
                self.client.set_terminated(run.info.run_id, end_time=max(point.timestamp for point in points))

    def _find(self, training: Training) -> "Tracked | None":
        quoted = training.name.replace("'", "\\'")
        found = self.client.search_runs([self.experiment], f"tags.`{NAME_TAG}` = '{quoted}'", max_results=1)
        return found[0] if found else None


@contextlib.contextmanager
def _plain_errors(uri: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise ValueError(f"MLflow at {uri}: {str(error).splitlines()[0]}") from error


STORES: dict[str, Callable[[Study], Store]] = {"tensorboard": TensorBoard, "mlflow": MLflow}
"""Name, which is also the extra's -> where trainings are logged."""


@contextlib.contextmanager
def followed(tracker: Tracker, failed: Callable[[Exception], None], every: float = EVERY) -> Iterator[None]:
    """Keep the tracker's store up to date while the block runs, looking each `every` seconds, and once after it.

    An error of the store ends the following, not the block: `failed` is called with it.
    """
    ended = threading.Event()

    def follow() -> None:
        try:
            last = False
            while not last:
                last = ended.is_set()
                tracker.update()
                ended.wait(every)
        except (ValueError, OSError) as error:
            failed(error)

    following = threading.Thread(target=follow, daemon=True)
    following.start()
    try:
        yield
    finally:
        ended.set()
        following.join()
