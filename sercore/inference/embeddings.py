"""What a finished run's network makes of its test utterances before its last layer, computed once into the cache.

What is there already is read without torch.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sercore import files
from sercore.analysis.embedded import Embedded, NotComputedError
from sercore.features import packed
from sercore.inference import artifact
from sercore.schema import first

VERSION = 1  # to be raised when the same network gives other embeddings
NAME = "network"  # of an entry of the cache


def embeddings(
    folder: str | Path,
    corpora: Mapping[str, Mapping[str, Any]],
    cache: str | Path,
    progress: packed.Progress | None = None,
    *,
    compute: bool = True,
) -> Embedded:
    """The embeddings of the test utterances that the network in `folder` was tested on in its own corpus.

    `vectors` are (utterances, width) float32, as the network gives them to its last layer: of CNN14 the 32 channels a
    unit of width, of a text model or speech encoder the mean of its vectors. `utterances` are sorted.

    Args:
        folder: One fold of a complete run (`fold=<name>`), or a run that has one network.
        corpora: The study's, by name: where the run's corpus lies.
        cache: Folder of the study's features, where the embeddings are kept too.
        progress: Is told (done, total, what) while something is computed.
        compute: Whether what is not there is computed.

    Raises:
        NotComputedError: They are not there and nothing is to be computed.
        FileNotFoundError: As finished.reopen.
        ValueError: As finished.reopen; the run has several networks, whose embeddings cannot be compared.
    """
    trained = artifact.read(folder)
    if len(trained.networks) > 1:
        raise ValueError(
            f"{folder} has {len(trained.networks)} networks, whose embeddings cannot be compared; name one of its "
            f"folds, {first(trained.networks)}"
        )
    ((fold, network),) = trained.networks.items()
    place = Path(cache) / files.folder_name(trained.corpus)

    table = artifact.predictions(folder)
    tested = (table["fold"] == fold) & (table["partition"] == "test") & (table["test_corpus"] == trained.corpus)
    about = files.read_json(artifact.run_of(artifact.place(folder)) / files.PROVENANCE)["corpora"][trained.corpus]
    with network.open("rb") as content:
        weights = hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    task = packed.CacheEntry(
        kind=packed.Embeddings,
        name=NAME,
        dtype="float32",
        settings={"version": VERSION, "weights": weights, "corpus": about},
        digests={name: name for name in table.loc[tested, "utterance"].astype("str").unique()},
        compute=lambda _: (),  # the network, where something is computed
    )
    found = packed.find(task, place)
    if found is None and not compute:
        raise NotComputedError(f"{len(task.digests):,} test utterances have no embeddings by this network yet")
    if found is None:
        answers = _network(folder, corpora, cache, network, progress)  # before the cache's lock is held: it fills it
        found = packed.fetch(replace(task, compute=answers), place, lambda: None)
    return Embedded(found.utterances, np.asarray(found.array), place / found.key)


def _network(
    folder: str | Path,
    corpora: Mapping[str, Mapping[str, Any]],
    cache: str | Path,
    network: Path,
    progress: packed.Progress | None,
) -> Callable[[Sequence[str]], Iterable[np.ndarray]]:
    """A function of utterances that gives the embedding of each, (1, width)."""
    from sercore.inference import finished  # torch, which what is there already does not need
    from sercore.models import checkpoint
    from sercore.training import loop

    run, data = finished.reopen(folder, corpora, cache, progress)
    model, _ = checkpoint.load(network)

    def step(done: int, total: int) -> None:
        if progress is not None:
            progress(done, total, "embeddings")

    return lambda utterances: loop.embed(model, data[run.corpus].dataset(utterances), step=step)[:, None]


class CachedEmbeddings:
    """The embeddings of the runs of a study: a maps.EmbeddingSource."""

    def __init__(self, corpora: Mapping[str, Mapping[str, Any]], cache: str | Path) -> None:
        """Of the study with `corpora`, by name, and features in the folder `cache`."""
        self.corpora, self.cache = corpora, cache

    def __call__(self, folder: Path, compute: bool, progress: packed.Progress | None = None) -> Embedded:
        """As `embeddings`, of a run or fold of the study."""
        return embeddings(folder, self.corpora, self.cache, progress, compute=compute)
