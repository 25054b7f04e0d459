"""A model that was trained with transcripts of one kind, tested with others. Nothing is trained again."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sercore import files, settings
from sercore.corpora import transcripts
from sercore.corpora.transcripts import Condition
from sercore.datasets.source import Source, read
from sercore.features import cache
from sercore.models import checkpoint
from sercore.settings import TextSettings
from sercore.training import experiment
from sercore.training.experiment import Experiment


def evaluate(run: Experiment, data: Mapping[str, Source], tested: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Predictions of the models of `run` for the test utterances of its corpus, with other transcripts.

    The table is written into the run's folder, where analysis.transcript_quality reads it.

    Args:
        run: An experiment whose folds are trained.
        data: What `experiment.load` gave for it.
        tested: Settings of TextSettings in place of the run's own: {"transcripts": "asr"}, {"corruption": 0.5}.

    Returns:
        A predictions table with the columns of transcripts.Condition; empty for a model that takes no text.

    Raises:
        FileNotFoundError: A fold has not been trained.
        ValueError: Two of `tested` are the same.
    """
    texts = [settings.build(TextSettings, values, run.text) for values in tested]
    conditions = [Condition(text.transcripts, text.corruption, text.shuffled, text.opposed) for text in texts]
    twice = [condition.label for condition in conditions if conditions.count(condition) > 1]
    if twice:
        raise ValueError(f"tested twice with the transcripts '{twice[0]}'; name each once")
    if not (tested and run.reads):
        return pd.DataFrame()
    own = _with_own_transcripts(run)
    sources = [_with_transcripts(own, text, run.cache) for text in texts]
    parts = []
    for split in experiment.folds(run, data):
        model, _ = checkpoint.load(experiment.fold_folder(run, data, split) / files.CHECKPOINT)
        for condition, source in zip(conditions, sources, strict=True):
            utterances = split.test
            if condition.opposed:  # those whose transcript is not their own
                changed = _transcript(source) != _transcript(own)
                utterances = tuple(name for name in split.test if changed[name])
            if not utterances:
                continue
            predictions = experiment.predict(
                run,
                model,
                source.dataset(utterances),
                test_corpus=run.corpus,
                fold=split.name,
                partition="test",
                simulated=source.corpus.simulated,
            )
            parts.append(predictions.assign(**condition._asdict()))
    if not parts:
        return pd.DataFrame()
    table = pd.concat(parts, ignore_index=True)
    files.write_table(run.folder / files.TRANSCRIPT_SHIFT, table)
    return table


def _transcript(source: Source) -> pd.Series:
    """Utterance -> transcript, empty where it is missing."""
    return source.rows.set_index("utterance")["transcript"].fillna("")


def _with_own_transcripts(run: Experiment) -> Source:
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
        normalisation=run.network.normalisation,
    )


def _with_transcripts(own: Source, text: TextSettings, folder: Path) -> Source:
    """`own` with the transcripts of `text`; what the cache in `folder` lacks is computed."""
    corpus = transcripts.apply_transcripts(own.corpus, text)
    rows = own.rows.assign(
        transcript=corpus.utterances.set_index("utterance")["transcript"][own.rows["utterance"]].array
    )
    embeddings = None if own.embeddings is None else cache.text_embeddings(corpus, text, folder)
    tokens = None if own.tokens is None else cache.tokens(corpus, text, folder)
    return dataclasses.replace(own, corpus=corpus, rows=rows, embeddings=embeddings, tokens=tokens)
