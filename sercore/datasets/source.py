"""A corpus as one run sees it: its utterances that have a target, and their features from the cache.

Also, for `0_corpora.ipynb`: filling the cache of a corpus before any run reads it (`define`, `fill`, `finish`).
"""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from sercore import corpora, files, registry, schema, settings
from sercore.corpora import splits, transcripts
from sercore.corpora import votes as voted
from sercore.corpora.corpus import located
from sercore.datasets import batches
from sercore.datasets.sounds import Sounds
from sercore.datasets.sounds import read as read_sounds
from sercore.features import cache, packed
from sercore.schema import did_you_mean
from sercore.settings import AugmentationSettings, FeatureSettings, NormalisationSettings, TextSettings

CATEGORIES = (schema.EMOTION,)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A corpus with what a model takes of it; a feature that the model does not take is None."""

    corpus: corpora.Corpus
    model: str
    targets: tuple[str, ...]
    classes: Mapping[str, tuple[str, ...]]
    rows: pd.DataFrame  # the utterances that have every target; for categories `emotion` holds the class
    frames: packed.Frames | None = None
    embeddings: packed.Embeddings | None = None
    tokens: packed.Tokens | None = None
    waveforms: packed.Waveforms | None = None
    normalisation: NormalisationSettings | None = None  # of the frames, as a dataset gives them
    sounds: Sounds | None = None  # that training utterances may be heard in
    shares: pd.DataFrame | None = None  # of each class in the raters' votes, a row an utterance; where they are learnt

    def dataset(self, utterances: Iterable[str], votes: bool = False) -> batches.Dataset:
        """The rows of `utterances` as the model takes them, in that order.

        The target of categories is codes of the classes, or with `votes` their shares in the raters' votes, (n,
        classes) float32; an utterance that nobody's vote puts into a class has its label alone.
        """
        rows = self.rows.set_index("utterance", drop=False).loc[list(utterances)].reset_index(drop=True)
        if self.targets == CATEGORIES:
            codes = {name: code for code, name in enumerate(self.classes)}
            target = torch.tensor([codes[name] for name in rows[schema.EMOTION]], dtype=torch.int64)
            if votes and self.shares is not None:
                shares = torch.tensor(self.shares.reindex(rows["utterance"]).to_numpy("float32"))
                labels = torch.nn.functional.one_hot(target, len(codes)).float()
                target = torch.where(shares.isnan(), labels, shares)
        else:
            target = torch.tensor(rows[list(self.targets)].to_numpy("float32"))
        return registry.load(registry.MODELS[self.model].dataset).from_source(self, rows, target)

    def fingerprint(self) -> dict[str, Any]:
        """What identifies the data of a run: size, scale and digests of the corpus, keys of its features."""
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
            **({} if self.shares is None else {"votes": _digest(self.shares)}),
            **({} if self.sounds is None else self.sounds.keys()),
        }


def _digest(table: pd.DataFrame) -> str:
    return blake2b(table.to_csv().encode(), digest_size=8).hexdigest()


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
    trained_on: bool = True,
    normalisation: NormalisationSettings | None = None,
    augmentation: AugmentationSettings | None = None,
    votes: bool = False,
) -> Source:
    """The corpus `name`, read with `options`, and what `model` takes of it; the cache is completed.

    With `votes`, also the share of each class in what single raters said; ValueError where the corpus does not have it,
    and a warning where some utterances do not.

    A corpus that is not `trained_on` may lack the targets, as one without ratings does: then it has no rows, and no
    features are computed. Raises ValueError where one that is has no utterance with them. `normalisation` is of the
    log-mels that datasets give; over speakers, an utterance without one is a speaker of its own, with a warning. The
    noise and rooms of `augmentation` are read as datasets.sounds.read does it.
    """
    corpus = corpora.read(name, options["root"], **{key: value for key, value in options.items() if key != "root"})
    frames = embeddings = tokens = waveforms = heard_in = None
    spec = registry.MODELS[model]
    if spec.uses_text:
        corpus = transcripts.apply_transcripts(corpus, text)
    rows = with_targets(corpus, targets, classes)
    if rows.empty and trained_on:
        raise ValueError(f"{corpus.root}: no utterance has {', '.join(targets)}: nothing to train or test on")
    if rows.empty:
        return Source(corpus=corpus, model=model, targets=targets, classes=classes, rows=rows)
    shares = _shares(corpus, rows, classes) if votes else None
    if spec.features == "tokens":
        tokens = cache.tokens(corpus, text, cache_folder, progress)
    elif spec.features == "waveform":
        waveforms = cache.waveforms(corpus, features.sample_rate, cache_folder, progress)
    elif spec.features == "log_mel":
        frames = cache.log_mels(corpus, features, cache_folder, progress)
        if augmentation is not None:
            heard_in = read_sounds(augmentation, features, cache_folder, progress)
        nobody = rows["speaker"].isna().sum()
        if nobody and normalisation is not None and normalisation.over == "speaker":
            warnings.warn(
                f"{corpus.root}: {nobody} of {len(rows)} utterances have no speaker, so each of these is normalised by "
                "itself: name their speakers, or normalise over utterances",
                stacklevel=2,
            )
    if spec.uses_text and spec.features != "tokens":
        embeddings = cache.text_embeddings(corpus, text, cache_folder, progress)
    return Source(
        corpus=corpus,
        model=model,
        targets=targets,
        classes=classes,
        rows=rows,
        frames=frames,
        embeddings=embeddings,
        tokens=tokens,
        waveforms=waveforms,
        normalisation=normalisation,
        sounds=heard_in,
        shares=shares,
    )


def with_targets(
    corpus: corpora.Corpus, targets: tuple[str, ...], classes: Mapping[str, tuple[str, ...]]
) -> pd.DataFrame:
    """The utterances of `corpus` that have every target; for categories `emotion` holds the class."""
    rows = corpus.utterances
    if targets == CATEGORIES:
        rows = rows.assign(emotion=schema.map_emotions(rows[schema.EMOTION], classes))
    return rows.dropna(subset=list(targets)).reset_index(drop=True)


def _shares(corpus: corpora.Corpus, rows: pd.DataFrame, classes: Mapping[str, tuple[str, ...]]) -> pd.DataFrame:
    """The share of each class in the votes on the utterances of `rows`."""
    if corpus.votes.empty:
        raise ValueError(
            f"{corpus.root}: objective 'votes' learns what single raters said, and the corpus does not have it; name a "
            "CSV of it (utterance, rater, emotion) with the corpus's option votes, or choose another objective"
        )
    shares = voted.of_classes(corpus.votes, classes)
    shares = shares[shares.index.isin(rows["utterance"])]
    silent = rows["utterance"][~rows["utterance"].isin(shares.index)]
    if len(silent):
        warnings.warn(
            f"{corpus.root}: {len(silent)} of {len(rows)} utterances have no vote for a class, "
            f"{schema.first(silent)}; what is learnt of them is their label",
            stacklevel=3,
        )
    return shares


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


BY_HAND = "outputs/by-hand"
CACHE = "outputs/cache"
EMBEDDED_CORPORA = {
    "iemocap": {"root": "outputs/corpora/iemocap"},
    "msp-podcast": {
        "root": "outputs/corpora/msp-podcast",
        "transcripts": "outputs/transcripts/msp-podcast.csv",
        "other_transcripts": {
            "asr": "outputs/transcripts/msp-podcast.csv",
            "gold": "outputs/transcripts/msp-podcast-gold.csv",
        },
    },
}


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """Which features of which corpus are to be cached, and where."""

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
    corpora: dict[str, dict[str, Any]] | None = None,
    folder: str | None = None,
    cache: str | None = None,
) -> Preparation:
    """The preparation that a notebook's parameters describe, checked.

    Without `corpora` it is of an embedded corpus; without `folder` and `cache` it is in outputs/by-hand and
    outputs/cache. Raises ValueError for an unknown corpus, model or setting.
    """
    known = corpora or EMBEDDED_CORPORA
    if corpus not in known:
        raise ValueError(f"no corpus '{corpus}' among the corpora{did_you_mean(corpus, known)}")
    for model in models:
        settings.trained_model(model)
    return Preparation(
        corpus=corpus,
        options=located(known[corpus], f"corpus '{corpus}'"),
        models=tuple(models),
        features=settings.build(FeatureSettings, features),
        text=settings.build(TextSettings, text),
        folder=files.resolve(folder or f"{BY_HAND}/caches/{files.folder_name(f'corpus={corpus}')}"),
        cache=files.resolve(cache or CACHE),
    )


def fill(preparation: Preparation, progress: Callable[[int, int, str], None] | None = None) -> dict[str, Source]:
    """Model -> the corpus with the features that it takes; what the cache lacks is computed and kept there."""
    return {
        model: read(
            preparation.corpus,
            preparation.options,
            model=model,
            targets=(),
            classes={},
            features=preparation.features,
            text=preparation.text,
            cache_folder=preparation.cache,
            progress=files.Heartbeat(preparation.folder).beside(progress),
        )
        for model in preparation.models
    }


def describe_cache(data: dict[str, Source]) -> pd.DataFrame:
    """The corpus in one row."""
    source = next(iter(data.values()))
    return describe({source.corpus.name: source})


def finish(preparation: Preparation, data: dict[str, Source]) -> pd.DataFrame:
    """The cache's entries, one row a feature; records them in the folder, which says that the cache is filled."""
    rows = {}
    for source in data.values():
        parts = {
            "log-mels": source.frames,
            "text embeddings": source.embeddings,
            "tokens": source.tokens,
            "waveforms": source.waveforms,
        }
        for feature, part in parts.items():
            if part is not None:
                rows[feature] = preparation.cache / files.folder_name(source.corpus.name) / part.key
    files.write_record(preparation.folder / files.PREPARED, {"entries": [str(path) for path in rows.values()]})
    table = pd.DataFrame({"key": {feature: path.name for feature, path in rows.items()}})
    table["megabytes"] = [round(sum(file.stat().st_size for file in path.iterdir()) / 1e6, 1) for path in rows.values()]
    return table.rename_axis("feature")
