"""Corpora in their native layouts -> the utterance table: `read("iemocap", root)`."""

import dataclasses
import inspect
from collections.abc import Mapping
from pathlib import Path

from sercore import files
from sercore.corpora import audformat, iemocap, msp_podcast, table
from sercore.corpora.corpus import SIMULATED, Corpus, Finding
from sercore.schema import did_you_mean

READERS = {
    "iemocap": iemocap.read,
    "msp-podcast": msp_podcast.read,
    "table": table.read,
    "audformat": audformat.read,
}

__all__ = ["READERS", "SIMULATED", "Corpus", "Finding", "read"]


def read(
    name: str,
    root: str | Path,
    /,
    *,
    reader: str | None = None,
    other_transcripts: Mapping[str, str | Path] | None = None,
    **options: object,
) -> Corpus:
    """The corpus `name` that lies in `root`, read by `reader`, one of READERS (default: its name).

    So that a study may hold several corpora of one kind: `read("emodb", root, reader="table")`. `other_transcripts`
    are CSV files of what was said or recognised, by names that a run may ask for (see transcripts.tell). `options` are
    the reader's own, see the `read` of .iemocap, .msp_podcast, .table and .audformat. A relative root is
    relative to the project's folder. Raises ValueError for an unknown reader or option and for a release that cannot
    be used, FileNotFoundError for a root that does not hold the corpus.
    """
    chosen = reader or name
    if chosen not in READERS:
        if reader is None:
            raise ValueError(
                f"unknown corpus '{name}'{did_you_mean(name, READERS)} "
                "(a corpus of your own also says how it is read, as reader: table)"
            )
        raise ValueError(f"corpus '{name}': unknown reader '{reader}'{did_you_mean(chosen, READERS)}")
    known = [option for option in inspect.signature(READERS[chosen]).parameters if option != "root"]
    for option in options:
        if option not in known:
            raise ValueError(f"the reader of {chosen} has no option '{option}'{did_you_mean(option, known)}")
    corpus = READERS[chosen](root, **options)
    if other_transcripts:
        paths = {told: files.resolve(path) for told, path in other_transcripts.items()}
        corpus = dataclasses.replace(corpus, other_transcripts=paths)
    return corpus if reader is None else dataclasses.replace(corpus, name=str(options.get("name", name)))
