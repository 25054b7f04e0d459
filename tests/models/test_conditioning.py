"""The four ways in which a text changes the feature maps, at any set of stages."""

import pytest
import torch
from test_models import generator, lived_in, speech

from sercore.models import Cnn14, cnn14
from sercore.models.conditioning import KINDS
from sercore.settings import MECHANISMS

ALL = (1, 2, 3, 4, 5, 6)
FRAMES = torch.tensor([64, 40])


def fused(mechanism, stages=ALL, **settings):
    settings = {"text_width": 5, "width": 4, "mels": 32, "generator": generator(1)} | settings
    return Cnn14(3, stages, mechanism=mechanism, **settings)


def inputs(seed=0):
    return torch.cat([speech(64, seed=1), speech(64, seed=2)]), FRAMES, torch.randn(2, 5, generator=generator(seed))


def disturb(model, seed=5):
    """Weights of the conditioning that all have an effect."""
    chance = generator(seed)
    for parameter in model.project.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=chance) / 3)
    return model


def test_the_mechanisms_of_the_settings_are_those_that_there_are():
    assert tuple(KINDS) == MECHANISMS


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("training", [False, True])
def test_zeroed_conditioning_is_cnn14(mechanism, training):
    acoustic = lived_in(Cnn14(3, width=4, mels=32, dropout=0.0, generator=generator()))
    told = fused(mechanism, dropout=0.0)
    nothing = {name: torch.zeros_like(value) for name, value in told.project.state_dict(prefix="project.").items()}
    told.load_state_dict(told.state_dict() | acoustic.state_dict() | nothing)
    logmel, frames, text = inputs()
    plain = acoustic.train(training)(logmel, frames).logits
    assert torch.equal(plain, told.train(training)(logmel, frames, text).logits)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_projections_of_zero_start_as_cnn14(mechanism):
    acoustic = Cnn14(3, width=4, mels=32, generator=generator(1)).eval()
    told = fused(mechanism, projection="zero").eval()
    logmel, frames, text = inputs()
    assert torch.equal(acoustic(logmel, frames).logits, told(logmel, frames, text).logits)


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("stages", [(1,), (2, 5), ALL])
def test_every_stage_hears_its_own_text_and_no_other(mechanism, stages):
    model = disturb(lived_in(fused(mechanism, stages)))
    logmel, frames, text = inputs()
    with torch.inference_mode():
        answer = model(logmel, frames, text).logits
        for stage in ALL:
            maps = model.begin(logmel, frames, text)
            for each in ALL:
                told = model.known(text.flip(0) if each == stage else text)
                maps = model.advance(each, maps)
                maps = model.condition(each, maps, told) if each in stages else maps
            changed = not torch.allclose(answer, model.answer(maps).logits, rtol=1e-5, atol=1e-6)
            assert changed == (stage in stages), f"stage {stage}"


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_maps_change_as_the_equations_say(mechanism):
    model = disturb(lived_in(fused(mechanism, (2,))))
    y, text = torch.randn(2, 8, 16, 8, generator=generator(3)), torch.randn(2, 5, generator=generator(4))
    weights = {name: value.double() for name, value in model.project["2"].state_dict().items()}
    e = text.double()
    proj = e @ weights["weight"].T + weights["bias"]
    y64 = y.double()
    if mechanism == "film":
        scale, shift = proj[:, :8, None, None], proj[:, 8:, None, None]
        expected = y64 * (1 + scale) + shift
    elif mechanism == "concat":
        both = torch.cat([y64, e[:, :, None, None].expand(2, 5, 16, 8)], 1)
        linear = torch.cat([torch.eye(8) + weights["mix.weight"][:, :, 0, 0], weights["weight"]], 1)
        expected = torch.einsum("oi,bifm->bofm", linear, both) + weights["bias"][:, None, None]
    elif mechanism == "gate":
        opened = torch.sigmoid(e @ weights["opening.weight"].T + weights["opening.bias"])
        expected = y64 + (opened * proj)[:, :, None, None]
        torch.testing.assert_close(model.openings(text)[2], opened[:, 0].float())
    else:
        expected = y64 + proj[:, :, None, None]
    torch.testing.assert_close(
        cnn14._conditioned(y, model.projection(2).entry(text)), expected.float(), rtol=1e-5, atol=1e-5
    )
    assert (model.openings(text) == {}) == (mechanism != "gate")


def test_a_gate_starts_more_open_than_closed_and_can_close():
    model = fused("gate").eval()
    _, _, text = inputs()
    assert all(opened.min() > 0.7 for opened in model.openings(text).values())
    logmel, frames, text = inputs()
    for stage in ALL:
        model.projection(stage).opening.bias.data.fill_(-200)
    closed = model(logmel, frames, text).logits
    assert torch.equal(closed, model(logmel, frames, text.flip(0)).logits), "closed: what is said has no influence"


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_every_weight_of_the_conditioning_learns(mechanism):
    model = disturb(fused(mechanism)).train()
    model(*inputs()).logits.square().sum().backward()
    assert all(parameter.grad.any() for parameter in model.project.parameters())


def test_in_training_a_share_of_the_texts_is_the_mean_one():
    model = fused("shift", text_dropout=0.4, dropout=0.0)
    seen = []
    model.projection(1).register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    shown = torch.randn(50, 5, generator=generator(7)) + 3
    model.measure_text(shown)
    text = torch.randn(400, 5, generator=generator(8))
    logmel, frames = speech(32).repeat(400, 1, 1), torch.full((400,), 32)
    with torch.no_grad():
        torch.manual_seed(0)
        model.train()(logmel, frames, text)
        model.eval()(logmel, frames, text)
    absent = (seen[0] == 0).all(1)  # the mean embedding, standardised
    assert 0.3 < absent.float().mean() < 0.5
    assert torch.equal(seen[0][~absent], seen[1][~absent])
    assert not (seen[1] == 0).all(1).any(), "none in evaluation"


@pytest.mark.parametrize("standardised", [False, True])
def test_a_text_that_is_not_known_is_the_mean_one(standardised):
    model = disturb(lived_in(fused("shift", text_dropout=0.2, standardised=standardised)))
    shown = torch.randn(50, 5, generator=generator(7)) + 3
    model.measure_text(shown)
    logmel, frames, text = inputs()
    known = torch.stack([text[0], shown.mean(0)])
    unknown = torch.stack([text[0], torch.full((5,), torch.nan)])
    with torch.inference_mode():
        assert torch.equal(model(logmel, frames, known).logits, model(logmel, frames, unknown).logits)
        careless = fused("shift", standardised=standardised).eval()
        assert careless(logmel, frames, unknown).logits.isnan().any(), "a model that has not learnt it has no answer"


def test_what_is_no_mechanism_and_no_share_is_refused():
    with pytest.raises(ValueError, match="mechanism is 'add'; known: shift, film, concat, gate"):
        fused("add")
    with pytest.raises(ValueError, match=r"text_dropout 1\.0 in \[0, 1\)"):
        fused("shift", text_dropout=1.0)
