"""Utterances by what a network makes of them before its last layer: on a plane, and the nearest ones to one of them."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from sercore import files

PCA, UMAP = "PCA", "UMAP"
LEAST = 16  # utterances of UMAP, one more than the neighbours that it looks at


class NotComputedError(LookupError):
    """The embeddings of a network are not there, and were not to be computed."""


def methods() -> list[str]:
    """What a plane can be made by: UMAP only where umap-learn is installed."""
    return [PCA, *([UMAP] if importlib.util.find_spec("umap") else [])]


@dataclass(frozen=True, eq=False)
class Embedded:
    """The embeddings of utterances, and the folder that keeps what is made of them."""

    utterances: pd.Index
    vectors: Float[np.ndarray, "utterances width"]
    folder: Path

    def plane(self, method: str = PCA) -> Float[np.ndarray, "utterances 2"]:
        """The utterances in two dimensions; computed once, and then read from the folder.

        PCA keeps as much of the variance as two directions can, UMAP (McInnes et al. 2018) who is near whom, by cosine.
        Both start from a fixed seed. Raises ValueError for UMAP of fewer than LEAST utterances.
        """
        path = self.folder / f"{method.lower()}.parquet"
        if files.complete(path):
            return files.read_table(path).to_numpy("float32")
        found = self._umap() if method == UMAP else self._pca()
        files.write_table(path, pd.DataFrame(found, columns=["across", "up"]))
        return found

    def nearest(self, utterance: str, count: int = 10) -> pd.Series:
        """The `count` utterances whose embeddings have the highest cosine with that of `utterance`, without itself.

        Utterance -> cosine (-1 to 1; 0 with an embedding of zeros), the highest first. Raises KeyError for an utterance
        without an embedding.
        """
        lengths = np.linalg.norm(self.vectors, axis=1)
        one = self.utterances.get_loc(utterance)
        products = lengths * lengths[one]
        cosines = np.divide(self.vectors @ self.vectors[one], products, out=np.zeros_like(products), where=products > 0)
        found = pd.Series(cosines, index=self.utterances, name="cosine").drop(utterance)
        return found.sort_values(ascending=False, kind="stable").head(count)

    def _pca(self) -> np.ndarray:
        if (self.vectors == self.vectors[0]).all():
            return np.zeros((len(self.vectors), 2), "float32")
        from sklearn import decomposition  # a second, which only the first map of a network costs

        kept = min(2, *self.vectors.shape)
        found = decomposition.PCA(kept, random_state=0).fit_transform(self.vectors)
        return np.pad(found, ((0, 0), (0, 2 - kept))).astype("float32")

    def _umap(self) -> np.ndarray:
        if len(self.vectors) < LEAST:
            raise ValueError(f"{len(self.vectors)} utterances; UMAP needs at least {LEAST}: choose {PCA}")
        import umap  # many seconds

        return umap.UMAP(n_neighbors=LEAST - 1, metric="cosine", random_state=0, n_jobs=1).fit_transform(self.vectors)
