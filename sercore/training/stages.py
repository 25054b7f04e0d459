"""What each stage of a finished model takes from the text. Nothing is trained again.

One stage at a time is told something else than what was said, while the others are told what was; and the maps of each
stage are compared with those that it would have with the mean embedding.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from sercore import files
from sercore.datasets.batches import Dataset, SpeechDataset
from sercore.datasets.source import Source
from sercore.models import checkpoint
from sercore.models.cnn14 import STAGES, Cnn14, Maps
from sercore.training import experiment, loop, resume
from sercore.training.device import memory_kept
from sercore.training.experiment import Experiment

OWN, MEAN, ANOTHER = "own text", "mean text", "another's text"
SCALES = (0.5, 1.5, 2.0)  # of how far the embedding lies from the mean one
NONE, ALL = 0, STAGES + 1  # in place of a stage that is told something else
BATCH = 8  # the maps of a batch are there up to 31 times: about the memory of 64 utterances without interventions


class Intervention(NamedTuple):
    """What the stages of a model are told."""

    stage: int  # the one that is told something else, or NONE, or ALL
    told: str  # what it is told
    path: tuple[str, ...]  # what each of the six stages is told; OWN where no text enters


class Effects(NamedTuple):
    """What comes of `interventions` in a model."""

    asked: list[Intervention]
    logits: np.ndarray  # (interventions, utterances, outputs), the utterances as in the dataset
    explained: dict[int, float]  # stage -> share of its output that the text explains, see `intervene`
    openings: dict[int, float]  # stage with a gate -> how far that is open, 0 to 1, the mean over utterances

    def about(self, stage: int) -> dict[str, float]:
        """The columns explained and opening of a table; NaN where there is none."""
        return {"explained": self.explained.get(stage, math.nan), "opening": self.openings.get(stage, math.nan)}


def interventions(stages: Collection[int]) -> list[Intervention]:
    """Every intervention on a model that is conditioned at `stages`, the model as it is first.

    At each of its stages, then at all at once: the mean embedding (of training, where the model knows it, else of the
    utterances), the embedding of another of the utterances, and its own, so many times as far from the mean one as
    SCALES say.
    """
    told = [MEAN, ANOTHER, *(f"{scale:g} x the text" for scale in SCALES)]
    changed = {stage: {stage} for stage in sorted(stages)} | {ALL: set(stages)}
    every = range(1, STAGES + 1)
    return [Intervention(NONE, OWN, (OWN,) * STAGES)] + [
        Intervention(at, name, tuple(name if stage in those else OWN for stage in every))
        for at, those in changed.items()
        for name in told
    ]


def texts(model: Cnn14, own: Tensor) -> dict[str, Tensor]:
    """What is told by name, for the utterances of the embeddings `own` (utterances, text_width); each of that shape."""
    mean = model.text_mean if bool(model.text_mean.any()) else own.mean(0)
    order = torch.randperm(len(own), generator=torch.Generator().manual_seed(0))
    another = torch.empty_like(own)
    another[order] = own[order.roll(1)]
    scaled = {f"{scale:g} x the text": mean + scale * (own - mean) for scale in SCALES}
    return {OWN: own, MEAN: mean.expand_as(own), ANOTHER: another, **scaled}


@torch.inference_mode()
def intervene(model: nn.Module, dataset: Dataset, device: str | torch.device | None = None) -> Effects:
    """The answers of `model` under each of `interventions`, and what its stages take from the text.

    An intervention leaves the blocks before its stage as they were, so each block runs once for all interventions that
    have told the stages before it the same: 101 blocks in a model of six stages, rather than 216.

    The share of a stage that the text explains is of the variance of its channel means, which are those of a feature
    map over the utterance's frames and bands. With own text such a mean is a + c, with the mean embedding at this stage
    it is a; the share is var(c) / (var(a) + var(c)), each summed over channels, 0 to 1, and NaN where there is no
    variance. For the mechanism "shift" c is PROJ(E) - PROJ(mean E).

    Raises ValueError for a model or a dataset without text, and FloatingPointError as loop.predict.
    """
    device = loop.pick_device(device)
    own = dataset.to(device).embeddings if isinstance(dataset, SpeechDataset) else None
    if own is None or not isinstance(model, Cnn14) or not model.text_stages:
        raise ValueError("a model that no text conditions, or utterances without text, have nothing to intervene on")
    model.to(device).eval()
    asked = interventions(model.text_stages)
    told = {name: model.known(text) for name, text in texts(model, own).items()}
    forks = _forks([one.path for one in asked])
    rows: list[Tensor] = []
    logits: list[Tensor] = []
    means: dict[int, list[Tensor]] = {stage: [] for stage in sorted(model.text_stages)}
    with memory_kept(device):
        for batch in dataset.batches(BATCH, None):
            rows.append(batch.rows)
            here = {name: text[batch.rows.to(device)] for name, text in told.items()}
            maps = model.begin(*cast(tuple[Tensor, ...], batch.inputs))
            for stage, (paths, parents) in enumerate(forks, 1):
                maps = model.advance(stage, maps)
                if stage not in means:
                    continue
                maps = _forked(maps, parents, len(batch.rows))
                maps = model.condition(stage, maps, torch.cat([here[path[-1]] for path in paths]))
                plain = (OWN,) * (stage - 1)
                parts = maps.means().split(len(batch.rows))
                means[stage].append(torch.stack([parts[paths.index((*plain, name))] for name in (OWN, MEAN)], 1))
            answers = model.answer(maps).logits
            logits.append(answers.unflatten(0, (-1, len(batch.rows))).transpose(0, 1))
    ordered = loop.in_order(dataset, rows, logits)
    last = forks[-1][0]
    return Effects(
        asked,
        ordered[:, [last.index(one.path) for one in asked]].swapaxes(0, 1),
        {stage: _explained(torch.cat(parts).double()) for stage, parts in means.items()},
        {stage: float(opened.mean()) for stage, opened in model.openings(own).items()},
    )


def _forks(paths: list[tuple[str, ...]]) -> list[tuple[list[tuple[str, ...]], list[int]]]:
    """For each stage the distinct beginnings of `paths` up to it, and which one of the stage before each continues."""
    forks: list[tuple[list[tuple[str, ...]], list[int]]] = []
    before: list[tuple[str, ...]] = [()]
    for stage in range(1, STAGES + 1):
        here = list(dict.fromkeys(path[:stage] for path in paths))
        forks.append((here, [before.index(path[:-1]) for path in here]))
        before = here
    return forks


def _forked(maps: Maps, parents: list[int], size: int) -> Maps:
    """`maps` of each of `parents`, which are positions of `size` utterances each."""

    def of_parents(part: Tensor) -> Tensor:
        parts = part.split(size)
        return torch.cat([parts[parent] for parent in parents])  # the layout in memory stays, as with no index

    x, frames, speech, shape = maps
    return Maps(
        of_parents(x),
        of_parents(frames),
        None if speech is None else of_parents(speech),
        None if shape is None else of_parents(shape),
    )


def _explained(means: Tensor) -> float:
    """The share that the text explains of channel means (utterances, 2, maps), with own text and with the mean one."""
    own, without = means.unbind(1)
    told, heard = float((own - without).var(0).sum()), float(without.var(0).sum())
    return told / (told + heard) if told + heard > 0 else math.nan


def evaluate(run: Experiment, data: Mapping[str, Source], folds: Iterable[str] | None = None) -> pd.DataFrame:
    """Predictions of the models of `run` for the test utterances of its corpus under each intervention.

    The table is written into the run's folder, unless it is of some of its folds.

    Args:
        run: An experiment whose folds are trained.
        data: What `experiment.load` gave for it.
        folds: Those that are evaluated; None: all.

    Returns:
        A predictions table with the columns stage and told, see `Intervention`, explained and opening, see `Effects`.
        Empty for a model that no text conditions, and of no folds.
    """
    wanted = None if folds is None else set(folds)
    if not (run.reads and run.spec.uses_audio) or wanted == set():
        return pd.DataFrame()
    parts = []
    for split in experiment.folds(run, data):
        if wanted is not None and split.name not in wanted:
            continue
        model, _ = checkpoint.load(experiment.fold_folder(run, data, split) / files.CHECKPOINT)
        source = data[run.corpus]
        dataset = source.dataset(split.test)
        keys = experiment.keys(
            run, test_corpus=run.corpus, fold=split.name, partition="test", simulated=source.corpus.simulated
        )
        with resume.with_heartbeat(model.get_submodule("output"), files.Heartbeat(run.folder)):
            effects = intervene(model, dataset)
        parts += _tables(effects, dataset, keys, run.answers)
    table = pd.concat(parts, ignore_index=True)
    if wanted is None:
        files.write_table(run.folder / files.STAGES, table)
    return table


def _tables(
    effects: Effects, dataset: Dataset, keys: Mapping[str, Any], answers: tuple[str, ...]
) -> list[pd.DataFrame]:
    """The predictions table of each intervention."""
    return [
        loop.predictions_table(logits, dataset, keys, answers).assign(
            stage=one.stage, told=one.told, **effects.about(one.stage)
        )
        for one, logits in zip(effects.asked, effects.logits, strict=True)
    ]
