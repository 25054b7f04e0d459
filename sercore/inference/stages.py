"""Interventions on the networks of a finished run, of any study, on its own test utterances."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from sercore import files
from sercore.corpora import read
from sercore.inference import artifact
from sercore.training import experiment, stages


def of_run(folder: str | Path, corpora: Mapping[str, Mapping[str, Any]], cache: str | Path) -> pd.DataFrame:
    """What training.stages.evaluate returns for the run in `folder`, or for one fold of it.

    The table is written into the run's folder, unless it is of one fold.

    Args:
        folder: A complete run, or one fold of it.
        corpora: The study's, by name: where the run's corpus lies.
        cache: Folder of the study's features; what it lacks is computed.

    Raises:
        FileNotFoundError: As artifact.read.
        ValueError: As artifact.read; the folder was exported; no text conditions the model; the study has no such
            corpus, or its content is not what the run was trained on.
    """
    trained, home = artifact.read(folder), artifact.place(folder)
    if (home / artifact.DESCRIPTION).is_file():
        raise ValueError(f"{home} was exported: it has no test utterances of its own; name recordings")
    artifact.check_conditioned(trained)
    if trained.corpus not in corpora:
        raise ValueError(f"{home} was trained on '{trained.corpus}'; the study's corpora are {', '.join(corpora)}")
    one = home.name.startswith(files.FOLD)
    home = home.parent if one else home
    options = dict(corpora[trained.corpus])
    known = files.read_json(home / files.PROVENANCE)["corpora"][trained.corpus]["fingerprint"]
    if read(trained.corpus, options.pop("root"), **options).fingerprint != known:
        raise ValueError(
            f"corpus '{trained.corpus}' of the study is not what {home} was trained on: name the study that made it"
        )
    run = experiment.define(
        trained.section,
        **files.read_yaml(home / files.PARAMETERS),
        corpora={trained.corpus: corpora[trained.corpus]},
        folder=str(home),
        cache=str(cache),
    )
    return stages.evaluate(run, experiment.load(run), trained.networks if one else None)
