"""A finished run as the experiment that it was, with its corpus: to compute more on its own test utterances."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sercore import files
from sercore.corpora import read
from sercore.datasets.source import Source
from sercore.inference import artifact
from sercore.training import experiment
from sercore.training.experiment import Experiment


def reopen(
    folder: str | Path,
    corpora: Mapping[str, Mapping[str, Any]],
    cache: str | Path,
    progress: Callable[[int, int, str], None] | None = None,
) -> tuple[Experiment, dict[str, Source]]:
    """The experiment of the run in `folder`, or of the run of that fold, and what `experiment.load` gives for it.

    Args:
        folder: A complete run, or one fold of it.
        corpora: The study's, by name: where the run's corpus lies.
        cache: Folder of the study's features; what it lacks is computed.
        progress: Is told (done, total, what) while that is so.

    Raises:
        FileNotFoundError: As artifact.read; the study was unpacked from an archive.
        ValueError: As artifact.read; the folder was exported; the study has no such corpus, or its content is not what
            the run was trained on, or a part of it is not there.
    """
    trained, home = artifact.read(folder), artifact.place(folder)
    if (home / artifact.DESCRIPTION).is_file():
        raise ValueError(f"{home} was exported: it has no test utterances of its own; name recordings")
    if trained.corpus not in corpora:
        raise ValueError(f"{home} was trained on '{trained.corpus}'; the study's corpora are {', '.join(corpora)}")
    home = artifact.run_of(home)
    options = dict(corpora[trained.corpus])
    corpus = read(trained.corpus, options.pop("root"), **options)
    if not corpus.with_sound:
        raise FileNotFoundError(
            f"the study was unpacked from an archive, which does not hold corpus '{trained.corpus}' as {home} read it: "
            "do this where the study was made"
        )
    if corpus.fingerprint != files.read_json(home / files.PROVENANCE)["corpora"][trained.corpus]["fingerprint"]:
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
    return run, experiment.load(run, progress)
