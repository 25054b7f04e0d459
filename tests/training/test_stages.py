"""One stage at a time is told something else: what changes, and how much of a stage the text explains."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from small_runs import FEATURES, tiny_encoder

from sercore import files
from sercore.datasets.batches import SpeechDataset
from sercore.features.packed import Embeddings, Frames
from sercore.models import Cnn14
from sercore.training import experiment, loop, stages, transcript_shift

COUNT, WIDTH = 12, 5


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def dataset(seed=0):
    """Utterances of 40 to 62 frames, each with an embedding of its own."""
    chance = np.random.default_rng(seed)
    counts = np.arange(40, 40 + 2 * COUNT, 2)
    names = pd.Index([str(i) for i in range(COUNT)])
    frames = chance.normal(-40, 10, (counts.sum(), 32)).astype(np.float16)
    packed = Frames(frames, counts.cumsum() - counts, counts, names, (), "made up")
    ones = np.ones(COUNT, dtype=np.int64)
    texts = Embeddings(
        chance.normal(1, 1, (COUNT, WIDTH)).astype(np.float32), np.arange(COUNT), ones, names, (), "made up"
    )
    return SpeechDataset(packed, pd.DataFrame({"utterance": names}), torch.zeros(COUNT), texts)


def model(which=(2, 6), **settings):
    made = Cnn14(3, which, text_width=WIDTH, width=2, mels=32, standardised=False, generator=generator(), **settings)
    return made.eval()


def test_every_stage_is_told_each_thing_once():
    texts = torch.randn(COUNT, WIDTH, generator=generator(3))
    told = list(stages.interventions(model(), texts))
    assert [one.stage for one in told] == [0, *[2] * 5, *[6] * 5, *[7] * 5]
    own = told[0].texts
    assert torch.equal(own, texts[:, None].expand(-1, 6, -1))
    for one in told[1:11]:
        others = [stage for stage in range(6) if stage != one.stage - 1]
        assert torch.equal(one.texts[:, others], own[:, others])
    by_name = {(one.stage, one.told): one.texts for one in told}
    assert torch.allclose(by_name[2, "mean text"][:, 1], texts.mean(0))
    swapped = by_name[6, "another's text"][:, 5]
    assert not (swapped == texts).all(1).any()
    assert torch.equal(swapped.sort(0).values, texts.sort(0).values)
    middle = texts.mean(0)
    torch.testing.assert_close(by_name[2, "2 x the text"][:, 1] - middle, 2 * (texts - middle))
    assert torch.equal(by_name[7, "mean text"][:, 0], by_name[7, "mean text"][:, 5])


def test_a_model_that_knows_the_mean_of_its_training_takes_that():
    fused, texts = model(), torch.randn(COUNT, WIDTH, generator=generator(3))
    fused.measure_text(torch.full((4, WIDTH), 7.0))
    told = next(one for one in stages.interventions(fused, texts) if one.told == "mean text")
    assert torch.equal(told.texts[:, 1], torch.full((COUNT, WIDTH), 7.0))


def test_the_answers_are_those_of_the_model_with_other_texts():
    fused, data = model(), dataset()
    texts = data.embeddings
    for one in stages.interventions(fused, texts):
        logits = loop.predict(fused, stages.told_other(data, one.texts), "cpu")
        if one.stage == 0:
            np.testing.assert_allclose(logits, loop.predict(fused, data, "cpu"), rtol=1e-5, atol=1e-6)
        if (one.stage, one.told) == (7, "another's text"):
            expected = loop.predict(fused, stages.told_other(data, one.texts[:, 0]), "cpu")
            np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(data.embeddings, texts), "the dataset itself is as before"


def test_the_share_that_the_text_explains_is_that_of_its_shift():
    fused, data = model(which=(1, 6)), dataset()
    fused.projection(6).weight.data *= 3
    shares = stages.explained(fused, data, data.embeddings)
    assert list(shares) == [1, 6]
    assert all(0 < share < 1 for share in shares.values())
    shift = (data.embeddings - data.embeddings.mean(0)).double() @ fused.projection(6).weight.double().T
    held = []
    fused.conv_block6.register_forward_hook(lambda *parts: held.append(parts[2]))
    heard = []
    with torch.inference_mode():
        for i in range(COUNT):
            alone = next(iter(_one(data, i).batches(1, None)))
            texts = alone.inputs[2][:, None].repeat(1, 6, 1)
            texts[:, 5] = data.embeddings.mean(0)
            fused(alone.inputs[0][:, : int(alone.inputs[1])], alone.inputs[1], texts)
            heard.append(held.pop().mean((2, 3))[0])
    told, without = shift.detach().var(0).sum(), torch.stack(heard).double().var(0).sum()
    assert shares[6] == pytest.approx(float(told / (told + without)), rel=1e-3)


def _one(data, i):
    rows = data.utterances.iloc[i : i + 1]
    count = data._count[i : i + 1]
    packed = Frames(
        data._packed.array[data._start[i] : data._start[i] + count[0]],
        np.array([0]),
        count,
        pd.Index(rows["utterance"]),
        (),
        "made up",
    )
    made = SpeechDataset(packed, rows, torch.zeros(1))
    made.embeddings = data.embeddings[i : i + 1]
    return made


def test_a_projection_of_zero_explains_nothing():
    shares = stages.explained(model(projection="zero"), data := dataset(), data.embeddings)
    assert shares == {2: 0.0, 6: 0.0}
    same = torch.ones(COUNT, WIDTH)
    silent = model(projection="zero", which=(6,))
    for parameter in silent.parameters():
        parameter.data.zero_()
    assert math.isnan(stages.explained(silent, data, same)[6])


def test_a_run_keeps_the_predictions_of_every_intervention(embedded, tmp_path):
    settings = {
        "model": "mfcnn14",
        "corpus": "msp-podcast",
        "seed": 0,
        "folds": [],
        "features": FEATURES,
        "text": {"encoder": tiny_encoder(tmp_path / "bert"), "tokens": 16},
        "network": {"width": 2, "stages": [6]},
        "training": {"epochs": 1, "crop_seconds": 1.5},
        "corpora": embedded,
        "cache": str(tmp_path / "cache"),
    }
    run = experiment.define("multitask", **settings, folder=str(tmp_path / "run"))
    data = experiment.load(run)
    own = experiment.run(run, data)
    table = stages.evaluate(run, data)
    assert table["told"].iloc[0] == "own text"
    assert table["stage"].unique().tolist() == [0, 6, 7]
    as_it_is = table[table["stage"] == 0]
    test = own[(own["partition"] == "test") & (own["test_corpus"] == "msp-podcast")]
    np.testing.assert_allclose(as_it_is["prediction"], test["prediction"], rtol=1e-5)
    assert (as_it_is["utterance"].array == test["utterance"].array).all()
    assert table[table["stage"] == 6]["explained"].between(0, 1).all()
    pd.testing.assert_frame_equal(pd.read_parquet(run.folder / files.STAGES), table)
    deaf = experiment.define(
        "multitask", **{**settings, "network": {"width": 2, "stages": []}}, folder=str(tmp_path / "deaf")
    )
    data = experiment.load(deaf)
    experiment.run(deaf, data)
    assert stages.evaluate(deaf, data).empty
    assert transcript_shift.evaluate(deaf, data, [{"opposed": True}]).empty, "nothing that it reads can mislead it"
    misled = transcript_shift.evaluate(run, data, [{"opposed": True}])
    assert 0 < misled["utterance"].nunique() < as_it_is["utterance"].nunique()
