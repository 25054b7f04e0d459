"""What each stage of a finished model takes from the text. Nothing is trained again.

One stage at a time is told something else than what was said, while the others are told what was; and the maps of each
stage are compared with those that it would have with the mean embedding.
"""

import copy
import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple, cast

import pandas as pd
import torch
from torch import Tensor

from sercore import files
from sercore.datasets.batches import SpeechDataset
from sercore.datasets.source import Source
from sercore.models import checkpoint
from sercore.models.cnn14 import STAGES, Cnn14
from sercore.training import experiment, loop
from sercore.training.experiment import Experiment

MEAN, ANOTHER = "mean text", "another's text"
SCALES = (0.5, 1.5, 2.0)  # of how far the embedding lies from the mean one
BATCH = 64


class Intervention(NamedTuple):
    """What one stage is told; stage 0 is none of them: the model as it is."""

    stage: int
    told: str
    texts: Tensor  # (utterances, 6, text_width): the embedding that each stage is told


def interventions(model: Cnn14, texts: Tensor) -> Iterator[Intervention]:
    """Every intervention on `model`, the model as it is first, for the embeddings `texts` (utterances, text_width).

    At each of its stages: the mean embedding (of training, where the model knows it, else of `texts`), the embedding of
    another of the utterances, and its own, so many times as far from the mean one as SCALES say. All stages at once
    are stage 7.
    """
    mean = model.text_mean if bool(model.text_mean.any()) else texts.mean(0)
    own = texts[:, None].repeat(1, STAGES, 1)
    order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(0))
    another = torch.empty_like(texts)
    another[order] = texts[order.roll(1)]
    told = {MEAN: mean.expand_as(texts), ANOTHER: another}
    told |= {f"{scale:g} x the text": mean + scale * (texts - mean) for scale in SCALES}
    yield Intervention(0, "own text", own)
    for stage in (*sorted(model.text_stages), STAGES + 1):
        for name, given in told.items():
            changed = own.clone()
            if stage > STAGES:
                changed[:] = given[:, None]
            else:
                changed[:, stage - 1] = given
            yield Intervention(stage, name, changed)


@torch.inference_mode()
def explained(model: Cnn14, dataset: SpeechDataset, texts: Tensor) -> dict[int, float]:
    """Stage -> share of the variance of its channel means that the text explains, 0 to 1; NaN where there is none.

    A channel mean is that of a feature map over the utterance's frames and bands, what a stage gives after pooling.
    With own text it is a + c, with the mean embedding at this stage a; the share is var(c) / (var(a) + var(c)), summed
    over channels. For the mechanism "shift" c is PROJ(E) - PROJ(mean E).
    """
    model.eval()
    shares = {}
    plain = {told.stage: told.texts for told in interventions(model, texts) if told.told == MEAN}
    for stage in sorted(model.text_stages):
        own = _channel_means(model, dataset, stage, texts[:, None].repeat(1, STAGES, 1))
        without = _channel_means(model, dataset, stage, plain[stage])
        told, heard = (own - without).var(0).sum(), without.var(0).sum()
        shares[stage] = float(told / (told + heard)) if float(told + heard) > 0 else math.nan
    return shares


def _channel_means(model: Cnn14, dataset: SpeechDataset, stage: int, texts: Tensor) -> Tensor:
    """(utterances, maps): means of the maps that `stage` gives, over the true frames and all bands."""
    held: list[Tensor] = []
    hook = model.get_submodule(f"conv_block{stage}").register_forward_hook(lambda *parts: held.append(parts[2]))
    rows, means = [], []
    try:
        for batch in told_other(dataset, texts).batches(BATCH, None):
            model(*batch.inputs)
            maps, frames = held.pop(), cast(Tensor, batch.inputs[1]) // 2 ** min(stage, STAGES - 1)
            means.append(maps.sum((2, 3)) / (frames.to(maps.device)[:, None] * maps.shape[3]))
            rows.append(batch.rows)
    finally:
        hook.remove()
    ordered = torch.empty_like(torch.cat(means))
    ordered[torch.cat(rows)] = torch.cat(means)
    return ordered.double()


def told_other(dataset: SpeechDataset, texts: Tensor) -> SpeechDataset:
    """`dataset` with other embeddings: (utterances, text_width), or one for each stage (utterances, 6, text_width)."""
    other = copy.copy(dataset)
    other.embeddings = texts.to(dataset.device)
    return other


def evaluate(run: Experiment, data: Mapping[str, Source]) -> pd.DataFrame:
    """Predictions of the models of `run` for the test utterances of its corpus under each intervention.

    The table is written into the run's folder.

    Args:
        run: An experiment whose folds are trained.
        data: What `experiment.load` gave for it.

    Returns:
        A predictions table with the columns stage and told, see `interventions`, and explained, see there. Empty for a
        model that no text conditions.
    """
    parts = []
    for split in experiment.folds(run, data):
        model, _ = checkpoint.load(experiment.fold_folder(run, data, split) / files.CHECKPOINT)
        source, device = data[run.corpus], loop.pick_device()
        dataset = source.dataset(split.test).to(device)
        if not isinstance(model, Cnn14) or not isinstance(dataset, SpeechDataset) or dataset.embeddings is None:
            return pd.DataFrame()
        texts, model = dataset.embeddings, model.to(device)
        shares = explained(model, dataset, texts)
        for told in interventions(model, texts):
            predictions = experiment.predict(
                run,
                model,
                told_other(dataset, told.texts),
                test_corpus=run.corpus,
                fold=split.name,
                partition="test",
                simulated=source.corpus.simulated,
            )
            share = shares.get(told.stage, math.nan)
            parts.append(predictions.assign(stage=told.stage, told=told.told, explained=share))
    table = pd.concat(parts, ignore_index=True)
    files.write_table(run.folder / files.STAGES, table)
    return table
