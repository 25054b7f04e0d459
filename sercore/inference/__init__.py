"""A trained model on new recordings; export and model card."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sercore.inference.embeddings import CachedEmbeddings
    from sercore.inference.predictor import Predictor


def load(folder: str | Path) -> "Predictor":
    """As predictor.load; torch is imported when this is called, and not before."""
    from sercore.inference import predictor

    return predictor.load(folder)


def cached_embeddings(corpora: Mapping[str, Mapping[str, Any]], cache: str | Path) -> "CachedEmbeddings":
    """As embeddings.CachedEmbeddings; torch is imported when this is called, and not before."""
    from sercore.inference import embeddings

    return embeddings.CachedEmbeddings(corpora, cache)
