"""A model that was trained with transcripts of one kind, tested with others. Nothing is trained again."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from sercore import files, settings
from sercore.corpora import transcripts
from sercore.corpora.splits import Split
from sercore.corpora.transcripts import Condition
from sercore.datasets.source import CATEGORIES, Source, read
from sercore.features import cache
from sercore.models import checkpoint
from sercore.settings import TextSettings
from sercore.training import experiment, loop
from sercore.training.experiment import Experiment


def evaluate(run: Experiment, data: Mapping[str, Source], tested: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Predictions of the models of `run` for the test utterances of its corpus, which they are told in other ways.

    Each of `tested` are settings of TextSettings in place of the run's own: {"transcripts": "asr"}, {"corruption": .5}.
    Columns: those of a predictions table, and those of conditions.Condition. The table is written into the run's
    folder, from where conditions.read takes it. A model that is told nothing has no rows. Raises FileNotFoundError
    where a fold has not been trained, and ValueError where two of `tested` are the same.
    """
    told = [settings.build(TextSettings, values, run.text) for values in tested]
    asked = [Condition(text.transcripts, text.corruption, text.shuffled) for text in told]
    twice = [condition.label for condition in asked if asked.count(condition) > 1]
    if twice:
        raise ValueError(f"tested twice with the transcripts '{twice[0]}'; name each once")
    parts = []
    if tested and settings.uses_text(run.model):
        own = _folds_of(run)
        retold = {
            condition: _with_transcripts(own, text, run.cache) for text, condition in zip(told, asked, strict=True)
        }
        for split in experiment.folds(run, data):
            model, _ = checkpoint.load(run.folder / f"fold={split.name}" / files.CHECKPOINT)
            for condition, source in retold.items():
                parts.append(_predict(run, model, source, split).assign(**condition._asdict()))
    if not parts:
        return pd.DataFrame()
    found = pd.concat(parts, ignore_index=True)
    files.write_table(run.folder / files.TRANSCRIPT_SHIFT, found)
    return found


def _folds_of(run: Experiment) -> Source:
    """The run's corpus with the transcripts that its reader gives."""
    return read(
        run.corpus,
        run.corpora[run.corpus],
        model=run.model,
        targets=run.targets,
        classes=run.classes,
        features=run.features,
        text=dataclasses.replace(run.text, **Condition()._asdict()),
        cache_folder=run.cache,
    )


def _with_transcripts(own: Source, text: TextSettings, folder: Path) -> Source:
    """`own` with the transcripts that `text` asks for; what the cache in `folder` lacks is computed."""
    corpus = transcripts.apply_transcripts(own.corpus, text)
    embeddings = None if own.embeddings is None else cache.text_embeddings(corpus, text, folder)
    tokens = None if own.tokens is None else cache.tokens(corpus, text, folder)
    return dataclasses.replace(own, corpus=corpus, embeddings=embeddings, tokens=tokens)


def _predict(run: Experiment, model: torch.nn.Module, source: Source, split: Split) -> pd.DataFrame:
    """What `model`, trained on `split`, predicts for its test utterances."""
    dataset = source.dataset(split.test)
    keys = {
        "section": run.section,
        "model": run.model,
        "train_corpus": run.corpus,
        "test_corpus": run.corpus,
        "fold": split.name,
        "seed": run.seed,
        "partition": "test",
        "simulated": source.corpus.simulated,
    }
    names = tuple(run.classes) if run.targets == CATEGORIES else run.targets
    predicted = loop.predict(model, dataset, beat=files.Heartbeat(run.folder))
    return loop.predictions_table(predicted, dataset, keys, names)
