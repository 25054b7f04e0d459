"""Corpora in their native layouts -> the utterance table: `read("iemocap", root)`."""

import inspect
from pathlib import Path

from sercore.corpora import iemocap, msp_podcast, table
from sercore.corpora.corpus import SIMULATED, Corpus, Finding
from sercore.schema import did_you_mean

READERS = {"iemocap": iemocap.read, "msp-podcast": msp_podcast.read, "table": table.read}

__all__ = ["READERS", "SIMULATED", "Corpus", "Finding", "read"]


def read(name: str, root: str | Path, /, **options: object) -> Corpus:
    """The corpus `name` ("iemocap", "msp-podcast", "table") that lies in `root`.

    `options` are the reader's own, see sercore.corpora.iemocap.read, .msp_podcast.read and .table.read. A relative
    root is relative to the project's folder. Raises ValueError for an unknown name or option and for a release that
    cannot be used, FileNotFoundError for a root that does not hold the corpus.
    """
    if name not in READERS:
        raise ValueError(f"unknown corpus '{name}'{did_you_mean(name, READERS)}")
    known = [option for option in inspect.signature(READERS[name]).parameters if option != "root"]
    for option in options:
        if option not in known:
            raise ValueError(f"the reader of {name} has no option '{option}'{did_you_mean(option, known)}")
    return READERS[name](root, **options)
