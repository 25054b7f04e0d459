"""Filling the cache of a corpus before any run reads it: what `0_corpora.ipynb` calls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sercore import config, experiment, files, settings, sources
from sercore.schema import did_you_mean
from sercore.settings import FeatureSettings, TextSettings
from sercore.sources import Source


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """Whose features are wanted, of which corpus, and where things lie."""

    corpus: str
    options: dict[str, Any]
    models: tuple[str, ...]
    features: FeatureSettings
    text: TextSettings
    folder: Path
    cache: Path


def define(
    corpus: str,
    *,
    models: Sequence[str],
    features: dict[str, Any],
    text: dict[str, Any],
    corpora: dict[str, dict[str, Any]],
    folder: str = "",
    cache: str = "",
) -> Preparation:
    """What a notebook's parameters ask for, checked. Raises ValueError for an unknown corpus, model or setting."""
    found = corpora or experiment.EMBEDDED_CORPORA
    if corpus not in found:
        raise ValueError(f"no corpus '{corpus}' among the corpora{did_you_mean(corpus, found)}")
    for model in models:
        settings.check_model(model)
    return Preparation(
        corpus=corpus,
        options=config.located(found[corpus], f"corpus '{corpus}'"),
        models=tuple(models),
        features=settings.build(FeatureSettings, features),
        text=settings.build(TextSettings, text),
        folder=files.resolve(folder or f"{experiment.BY_HAND}/caches/corpus={corpus}"),
        cache=files.resolve(cache or experiment.CACHE),
    )


def fill(asked: Preparation, progress: Callable[[int, int, str], None] | None = None) -> dict[str, Source]:
    """Model -> the corpus with the features that it takes; what the cache lacks is computed and kept there."""
    return {
        model: sources.read(
            asked.corpus,
            asked.options,
            model=model,
            targets=(),
            classes={},
            features=asked.features,
            text=asked.text,
            cache_folder=asked.cache,
            progress=files.Heartbeat(asked.folder).beside(progress),
        )
        for model in asked.models
    }


def describe(data: dict[str, Source]) -> pd.DataFrame:
    """The corpus in one row."""
    source = next(iter(data.values()))
    return sources.describe({source.corpus.name: source})


def finish(asked: Preparation, data: dict[str, Source]) -> pd.DataFrame:
    """The cache's entries, one row a feature; records them in the folder, which says that the cache is filled."""
    rows = {}
    for source in data.values():
        parts = {"log-mels": source.frames, "text embeddings": source.embeddings, "tokens": source.tokens,
                 "waveforms": source.waveforms}  # fmt: skip
        for feature, part in parts.items():
            if part is not None:
                rows[feature] = asked.cache / source.corpus.name / part.key
    files.write_json(asked.folder / files.PREPARED, {"entries": [str(path) for path in rows.values()]})
    table = pd.DataFrame({"key": {feature: path.name for feature, path in rows.items()}})
    table["megabytes"] = [round(sum(file.stat().st_size for file in path.iterdir()) / 1e6, 1) for path in rows.values()]
    return table.rename_axis("feature")
