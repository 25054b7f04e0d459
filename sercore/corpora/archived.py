"""A corpus of an unpacked study: the table of its utterances, without their sound; see study.archive."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from sercore import files
from sercore.corpora.corpus import Corpus, assemble, locate

TABLE = "utterances.parquet"
VOTES = "votes.parquet"  # where the release has what single raters said


def read(root: str | Path, *, scale: Sequence[float] = (1.0, 5.0)) -> Corpus:
    """The corpus whose utterances are in the file TABLE of the folder `root`; `scale` is lowest and highest rating.

    Raises FileNotFoundError where it is not there, ValueError where it is damaged or no such table.
    """
    folder = locate(root, f"a corpus's folder of an unpacked study, with {TABLE}")
    if not (folder / TABLE).is_file():
        raise FileNotFoundError(f"no {TABLE} in {folder}; `sercore unpack` writes it: unpack the study again")
    low, high = scale
    votes = partial(files.read_table, folder / VOTES) if (folder / VOTES).is_file() else None
    corpus = assemble(folder.name, folder, (float(low), float(high)), files.read_table(folder / TABLE), (), votes)
    return replace(corpus, with_sound=False)
