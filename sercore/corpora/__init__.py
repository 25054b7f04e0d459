"""Corpora in their native layouts -> the utterance table: `read("iemocap", root)`."""

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from sercore import files
from sercore.corpora import votes as voted
from sercore.corpora.corpus import SIMULATED, Corpus, Finding
from sercore.registry import CORPORA, load
from sercore.schema import did_you_mean
from sercore.settings import option_problems

OPTIONS = ("root", "reader", "other_transcripts", "votes")
"""What `read` takes for every corpus, beside the options of its reader."""

__all__ = ["SIMULATED", "Corpus", "Finding", "read"]


def read(
    name: str,
    root: str | Path,
    /,
    *,
    reader: str | None = None,
    other_transcripts: Mapping[str, str | Path] | None = None,
    votes: str | Path | None = None,
    **options: object,
) -> Corpus:
    """Read the corpus `name` in the folder `root`.

    Args:
        name: of the corpus; also of its reader, unless `reader` is given
        root: its folder, or its table; a relative path is relative to the project's folder
        reader: name in registry.CORPORA, so that a study may have several corpora of one kind:
            `read("emodb", root, reader="table")`
        other_transcripts: name -> CSV of other transcripts, see transcripts.apply_transcripts
        votes: CSV of what single raters said, in place of the release's own, see votes.read
        options: of the reader, see the `read` that its record in registry.CORPORA names

    Raises ValueError for an unknown reader or option and for a release that cannot be used, FileNotFoundError where
    the corpus is not in `root`.
    """
    kind = reader or name
    if kind not in CORPORA:
        if reader is None:
            raise ValueError(
                f"unknown corpus '{name}'{did_you_mean(name, CORPORA)} "
                "(a corpus of your own also says how it is read, as reader: table)"
            )
        raise ValueError(f"corpus '{name}': unknown reader '{reader}'{did_you_mean(kind, CORPORA)}")
    read_release = load(CORPORA[kind].reader)
    wrong = option_problems(read_release, options, f"the reader of {kind}")
    if wrong:
        lines = [f"{'.'.join(map(str, problem.path))}: {problem.text}" for problem in wrong]
        raise ValueError(f"corpus '{name}': {'; '.join(lines)}")
    corpus = read_release(root, **options)
    if other_transcripts:
        paths = {source: files.resolve(path) for source, path in other_transcripts.items()}
        corpus = dataclasses.replace(corpus, other_transcripts=paths)
    if votes is not None:
        corpus = dataclasses.replace(corpus, read_votes=partial(voted.read, votes))
    return corpus if reader is None else dataclasses.replace(corpus, name=str(options.get("name", name)))
