"""A corpus as one run sees it: its utterances that have a target, and their features from the cache."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from sercore import cache, corpora, corruption, datasets, schema, settings, splits
from sercore.settings import FeatureSettings, TextSettings
from sercore.waveforms import WaveformDataset

CATEGORIES = (schema.EMOTION,)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A corpus with what a model takes of it; a feature that the model does not take is None."""

    corpus: corpora.Corpus
    targets: tuple[str, ...]
    classes: Mapping[str, tuple[str, ...]]
    rows: pd.DataFrame  # the utterances that have every target; for categories `emotion` holds the class
    frames: cache.Frames | None
    embeddings: cache.Embeddings | None
    tokens: cache.Tokens | None
    waveforms: cache.Waveforms | None = None

    def dataset(self, utterances: Iterable[str]) -> datasets.Dataset:
        """The rows of `utterances` as the model takes them, in that order."""
        rows = self.rows.set_index("utterance", drop=False).loc[list(utterances)].reset_index(drop=True)
        if self.targets == CATEGORIES:
            codes = {name: code for code, name in enumerate(self.classes)}
            target = torch.tensor([codes[name] for name in rows[schema.EMOTION]], dtype=torch.int64)
        else:
            target = torch.tensor(rows[list(self.targets)].to_numpy("float32"))
        if self.tokens is not None:
            return datasets.TextDataset(self.tokens, rows, target)
        if self.waveforms is not None:
            return WaveformDataset(self.waveforms, rows, target)
        return datasets.SpeechDataset(self.frames, rows, target, self.embeddings)

    def fingerprint(self) -> dict[str, Any]:
        """What tells the data that a run saw from others: size, scale and digests of the corpus, its features' keys."""
        held = {
            "frames": self.frames,
            "embeddings": self.embeddings,
            "tokens": self.tokens,
            "waveforms": self.waveforms,
        }
        return {
            "utterances": len(self.corpus.utterances),
            "with_target": len(self.rows),
            "simulated": self.corpus.simulated,
            "scale": list(self.corpus.scale),
            "fingerprint": self.corpus.fingerprint,
            **{name: part.key for name, part in held.items() if part is not None},
        }


def read(
    name: str,
    options: Mapping[str, Any],
    *,
    model: str,
    targets: tuple[str, ...],
    classes: Mapping[str, tuple[str, ...]],
    features: FeatureSettings,
    text: TextSettings,
    cache_folder: Path,
    progress: Callable[[int, int, str], None] | None = None,
) -> Source:
    """The corpus `name`, read with `options`, and what `model` takes of it; the cache is completed.

    Raises ValueError where no utterance has the targets.
    """
    corpus = corpora.read(name, options["root"], **{key: value for key, value in options.items() if key != "root"})
    frames = embeddings = tokens = waveforms = None
    if settings.reads(model):
        corpus = corruption.tell(corpus, text)
    if model == settings.TEXT_MODEL:
        tokens = cache.tokens(corpus, text, cache_folder, progress)
    elif model in settings.SPEECH_MODELS:
        waveforms = cache.waveforms(corpus, features.sample_rate, cache_folder, progress)
    else:
        frames = cache.log_mels(corpus, features, cache_folder, progress)
        if settings.CNN_MODELS[model]:
            embeddings = cache.text_embeddings(corpus, text, cache_folder, progress)
    rows = corpus.utterances
    if targets == CATEGORIES:
        rows = rows.assign(emotion=schema.map_emotions(rows[schema.EMOTION], classes))
    rows = rows.dropna(subset=list(targets)).reset_index(drop=True)
    if rows.empty:
        raise ValueError(f"{corpus.root}: no utterance has {', '.join(targets)}: nothing to train or test on")
    return Source(
        corpus=corpus,
        targets=targets,
        classes=classes,
        rows=rows,
        frames=frames,
        embeddings=embeddings,
        tokens=tokens,
        waveforms=waveforms,
    )


def describe(sources: Mapping[str, Source]) -> pd.DataFrame:
    """One row a corpus: is it simulated, its utterances, those with a target, its classes or mean ratings."""
    rows = {}
    for name, source in sources.items():
        row: dict[str, Any] = {
            "simulated": source.corpus.simulated,
            "utterances": len(source.corpus.utterances),
            "with a target": len(source.rows),
            "speakers": source.rows["speaker"].nunique(),
        }
        if source.targets == CATEGORIES:
            row |= source.rows[schema.EMOTION].value_counts().reindex(list(source.classes), fill_value=0).to_dict()
        else:
            row |= source.rows[list(source.targets)].mean().round(2).to_dict()
        rows[name] = row
    return pd.DataFrame(rows).T.rename_axis("corpus")


def overlaps(wanted: Iterable[splits.Split], source: Source) -> pd.DataFrame:
    """What the partitions of each split share: speakers, dialogs, identical transcripts."""
    return pd.concat({split.name: splits.overlap(split, source.rows) for split in wanted}, names=["fold"])
