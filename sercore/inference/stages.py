"""Interventions on the networks of a finished run, of any study, on its own test utterances."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from sercore import files
from sercore.inference import artifact, finished
from sercore.training import stages


def of_run(folder: str | Path, corpora: Mapping[str, Mapping[str, Any]], cache: str | Path) -> pd.DataFrame:
    """What training.stages.evaluate returns for the run in `folder`, or for one fold of it.

    The table is written into the run's folder, unless it is of one fold. Raises as finished.reopen, and ValueError for
    a model that no text conditions.

    Args:
        folder: A complete run, or one fold of it.
        corpora: The study's, by name: where the run's corpus lies.
        cache: Folder of the study's features; what it lacks is computed.
    """
    trained = artifact.read(folder)
    artifact.check_conditioned(trained)
    run, data = finished.reopen(folder, corpora, cache)
    one = artifact.place(folder).name.startswith(files.FOLD)
    return stages.evaluate(run, data, trained.networks if one else None)
