"""A study's runs in TensorBoard or MLflow: `sercore log`, and the option of `sercore run`."""

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

from sercore.commands import path, seconds
from sercore.study import config, progress

KINDS = ("tensorboard", "mlflow")


def add(commands: argparse._SubParsersAction) -> None:
    """Register the command of this module."""
    log = commands.add_parser(
        "log", help="put a study's parameters, learning curves and scores into TensorBoard or MLflow"
    )
    log.add_argument("parameters", type=path, help="the study's parameters file")
    log.add_argument(
        "--to", choices=KINDS, required=True, help="needs: pip install 'sercore[tensorboard]' or 'sercore[mlflow]'"
    )
    log.add_argument("--follow", action="store_true", help="go on as long as a batch of the study is under way")
    log.set_defaults(do=_log)


def _log(args: argparse.Namespace) -> int:
    from sercore.analysis import tracking  # seconds: only where it is needed

    start, study = time.monotonic(), config.load(args.parameters)
    store = tracking.open_store(args.to, study)
    tracker, changed = tracking.Tracker(study, store), 0
    while True:
        under_way = args.follow and progress.under_way(study)
        changed += tracker.update()
        if not under_way:
            break
        time.sleep(tracking.EVERY)
    print(f"study {study.name}: {changed} trainings had something new ({seconds(start)}), in {store.where}")
    return 0


def following(study: config.Study, kinds: Sequence[str]) -> ExitStack:
    """A context in which the stores `kinds` follow the study; an error of one is printed, and the study goes on."""
    with ExitStack() as stack:
        for kind in dict.fromkeys(kinds):
            from sercore.analysis import tracking  # seconds: only where it is needed

            store = tracking.open_store(kind, study)
            print(f"{kind}: {store.where}", flush=True)
            stack.enter_context(tracking.followed(tracking.Tracker(study, store), _print_error))
        return stack.pop_all()


def _print_error(error: Exception) -> None:
    print(f"logging has ended, the runs go on; `sercore log` catches up: {error}", file=sys.stderr)
