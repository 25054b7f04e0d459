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
from sercore.models.cnn14 import spectral_shape
from sercore.settings import MECHANISMS
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
    asked = stages.interventions((6, 2))
    assert [one.stage for one in asked] == [0, *[2] * 5, *[6] * 5, *[7] * 5]
    assert asked[0].path == ("own text",) * 6
    for one in asked[1:]:
        changed = {2, 6} if one.stage == 7 else {one.stage}
        assert one.path == tuple(one.told if stage in changed else "own text" for stage in range(1, 7))


def test_what_is_told_is_the_mean_another_utterances_and_its_own_scaled():
    own = torch.randn(COUNT, WIDTH, generator=generator(3))
    told = stages.texts(model(), own)
    middle = own.mean(0)
    assert torch.equal(told["own text"], own)
    assert torch.allclose(told["mean text"], middle.expand(COUNT, -1))
    swapped = told["another's text"]
    assert not (swapped == own).all(1).any()
    assert torch.equal(swapped.sort(0).values, own.sort(0).values)
    torch.testing.assert_close(told["2 x the text"] - middle, 2 * (own - middle))
    assert {name for one in stages.interventions((1, 2, 3)) for name in one.path} == set(told)


def test_a_model_that_knows_the_mean_of_its_training_takes_that():
    fused, own = model(), torch.randn(COUNT, WIDTH, generator=generator(3))
    fused.measure_text(torch.full((4, WIDTH), 7.0))
    assert torch.equal(stages.texts(fused, own)["mean text"], torch.full((COUNT, WIDTH), 7.0))


@pytest.mark.parametrize(
    ("mechanism", "which"),
    [("shift", (6,)), ("shift", (1, 2, 3, 4, 5, 6)), *((mechanism, (2, 5)) for mechanism in MECHANISMS)],
)
def test_the_answers_are_those_of_a_pass_for_each_intervention(mechanism, which):
    fused, data = model(which, mechanism=mechanism), dataset()
    for stage in which:
        for parameter in fused.projection(stage).parameters():
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator(stage))
    own, told = data.embeddings.clone(), stages.texts(fused, data.embeddings)
    effects = stages.intervene(fused, data)
    assert torch.equal(data.embeddings, own), "the dataset itself is as before"
    np.testing.assert_allclose(effects.logits[0], loop.predict(fused, data, "cpu"), rtol=1e-5, atol=1e-6)
    whole = next(iter(data.batches(COUNT, None)))
    for one, logits in zip(stages.interventions(which), effects.logits, strict=True):
        with torch.inference_mode():
            maps = fused.begin(*whole.inputs)
            for stage, name in enumerate(one.path, 1):
                maps = fused.advance(stage, maps)
                if stage in which:
                    maps = fused.condition(stage, maps, fused.known(told[name][whole.rows]))
            expected = fused.answer(maps).logits
        np.testing.assert_allclose(logits[whole.rows], expected, rtol=1e-5, atol=1e-6)
    assert len(np.unique(effects.logits[:, 0].round(6), axis=0)) == 1 + 5 * (len(which) + (len(which) > 1))
    assert list(effects.openings) == (list(which) if mechanism == "gate" else [])
    for stage, opening in effects.openings.items():
        assert opening == pytest.approx(float(fused.openings(own)[stage].mean()))


def test_a_regression_has_its_share_in_every_answer():
    plain, data = model(), dataset()
    shared = model(regression=0.25)
    shared.load_state_dict(plain.state_dict(), strict=False)
    weight, bias = torch.randn(3, 64, generator=generator(1)), torch.tensor([1.0, 2.0, 3.0])
    shared.set_regression(weight=weight, bias=bias, reach=torch.tensor(torch.inf))
    whole = next(iter(data.batches(COUNT, None)))
    logmel, frames, _ = whole.inputs
    answers = torch.empty(COUNT, 3)
    answers[whole.rows] = (
        spectral_shape(logmel, frames, torch.arange(logmel.shape[1]) < frames[:, None]) @ weight.T + bias
    )
    own, other = (stages.intervene(each, data).logits for each in (plain, shared))
    np.testing.assert_allclose(other, 0.75 * own + 0.25 * answers.numpy(), rtol=1e-4, atol=1e-4)


def test_a_block_runs_once_for_all_that_was_told_the_same_before_it(monkeypatch):
    fused, data = model((1, 2, 3, 4, 5, 6)), dataset()
    seen = dict.fromkeys(range(1, 7), 0)
    advance = fused.advance

    def counted(stage, maps):
        seen[stage] += len(maps.x)
        return advance(stage, maps)

    monkeypatch.setattr(fused, "advance", counted)
    stages.intervene(fused, data)
    assert {stage: count / COUNT for stage, count in seen.items()} == {1: 1, 2: 6, 3: 16, 4: 21, 5: 26, 6: 31}


def test_a_model_or_utterances_without_text_are_refused():
    data = dataset()
    with pytest.raises(ValueError, match="no text conditions"):
        stages.intervene(model(()), data)
    data.embeddings = None
    with pytest.raises(ValueError, match="utterances without text"):
        stages.intervene(model(), data)


def test_the_share_that_the_text_explains_is_that_of_its_shift():
    fused, data = model(which=(1, 6)), dataset()
    fused.projection(6).weight.data *= 3
    shares = stages.intervene(fused, data).explained
    assert list(shares) == [1, 6]
    assert all(0 < share < 1 for share in shares.values())
    shift = (data.embeddings - data.embeddings.mean(0)).double() @ fused.projection(6).weight.double().T
    held = []
    fused.conv_block6.register_forward_hook(lambda *parts: held.append(parts[2]))
    heard = []
    with torch.inference_mode():
        for i in range(COUNT):
            alone = next(iter(_one(data, i).batches(1, None)))
            fused(alone.inputs[0][:, : int(alone.inputs[1])], *alone.inputs[1:])
            heard.append(held.pop().mean((2, 3))[0])
    told, without = shift.detach().var(0).sum(), (torch.stack(heard).double() - shift.detach()).var(0).sum()
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
    data = dataset()
    assert stages.intervene(model(projection="zero"), data).explained == {2: 0.0, 6: 0.0}
    silent = model(projection="zero", which=(6,))
    for parameter in silent.parameters():
        parameter.data.zero_()
    data.embeddings = torch.ones(COUNT, WIDTH)
    assert math.isnan(stages.intervene(silent, data).explained[6])


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
    assert stages.evaluate(run, data, ()).empty, "of no folds"
    assert transcript_shift.evaluate(deaf, data, [{"opposed": True}]).empty, "nothing that it reads can mislead it"
    misled = transcript_shift.evaluate(run, data, [{"opposed": True}])
    assert 0 < misled["utterance"].nunique() < as_it_is["utterance"].nunique()
