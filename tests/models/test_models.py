"""CNN14 is the published network, text enters it as the equations say, and padding changes nothing."""

import math
import pickle
from collections import OrderedDict
from pathlib import Path
from types import FunctionType, SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 -- its name everywhere
from torch import nn

from sercore import models, registry
from sercore.models.checkpoint import build, save
from sercore.models.cnn14 import Cnn14, initialise, spectral_shape
from sercore.models.published import load_published
from sercore.models.text import TextModel
from sercore.settings import PROJECTIONS

ALL = (1, 2, 3, 4, 5, 6)
PUBLISHED = [
    *[f"bn0.{part}" for part in ("weight", "bias", "running_mean", "running_var")],
    *[f"conv_block{block}.conv{layer}.weight" for block in ALL for layer in (1, 2)],
    *[
        f"conv_block{block}.bn{layer}.{part}"
        for block in ALL
        for layer in (1, 2)
        for part in ("weight", "bias", "running_mean", "running_var")
    ],
    "fc1.weight",
    "fc1.bias",
]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def lived_in(model, seed=0):
    """`model` in evaluation mode, its biases and batch statistics no longer those of a new one."""
    chance = generator(seed)
    for name, value in model.state_dict().items():
        if name.endswith(("bias", "running_mean")):
            value.normal_(0, 0.3, generator=chance)
        elif name.endswith("running_var") or (".bn" in name and name.endswith("weight")):
            value.uniform_(0.5, 1.5, generator=chance)
    model.bn0.running_mean.fill_(-40)
    model.bn0.running_var.fill_(200)
    return model.eval()


def speech(frames, mels=32, seed=0):
    """Log-mels of one utterance, dB."""
    return -40 + 15 * torch.randn(1, frames, mels, generator=generator(seed))


def plain_cnn14(state, logmel, text=None, stages=()):
    """The published network, layer by layer from its list, on a batch without padding; text by equations 1 to 5."""

    def normalise(x, name):
        mean, var, weight, bias = (state[f"{name}.{p}"] for p in ("running_mean", "running_var", "weight", "bias"))
        shape = (1, -1, 1, 1)
        return (x - mean.view(shape)) / torch.sqrt(var.view(shape) + 1e-5) * weight.view(shape) + bias.view(shape)

    x = logmel[:, None]  # (batch, 1, frames, mels)
    x = normalise(x.transpose(1, 3), "bn0").transpose(1, 3)
    for block in ALL:
        for layer in (1, 2):
            x = F.conv2d(x, state[f"conv_block{block}.conv{layer}.weight"], padding=(1, 1))
            x = torch.relu(normalise(x, f"conv_block{block}.bn{layer}"))
        if block in stages:
            shift = text @ state[f"project.{block}.weight"].T + state[f"project.{block}.bias"]
            x = x + shift.view(*shift.shape, 1, 1).expand_as(x)
        x = F.avg_pool2d(x, kernel_size=(2, 2) if block < 6 else (1, 1))
    x = torch.mean(x, dim=3)
    x = torch.max(x, dim=2).values + torch.mean(x, dim=2)
    embedding = torch.relu(x @ state["fc1.weight"].T + state["fc1.bias"])
    return embedding @ state["output.weight"].T + state["output.bias"], embedding


@pytest.mark.parametrize(("width", "mels", "frames"), [(64, 64, 96), (4, 32, 101), (4, 64, 67)])
def test_the_trunk_is_the_published_network(width, mels, frames):
    model = lived_in(Cnn14(3, width=width, mels=mels, generator=generator()))
    logmel = torch.cat([speech(frames, mels, seed) for seed in (1, 2)])
    with torch.inference_mode():
        answer = model(logmel, torch.tensor([frames, frames]))
        logits, embedding = plain_cnn14(model.state_dict(), logmel)
    assert embedding.abs().max() > 0.1
    torch.testing.assert_close(answer.embedding, embedding, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(answer.logits, logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("stages", [(6,), (1, 4), ALL])
def test_text_enters_as_equations_1_to_5_say(stages):
    model = lived_in(Cnn14(3, stages, text_width=5, width=4, mels=32, generator=generator()))
    logmel, text = torch.cat([speech(71, seed=1), speech(71, seed=2)]), torch.randn(2, 5, generator=generator())
    with torch.inference_mode():
        answer = model(logmel, torch.tensor([71, 71]), text)
        logits, embedding = plain_cnn14(model.state_dict(), logmel, text, stages)
        other = model(logmel, torch.tensor([71, 71]), text.flip(0))
    torch.testing.assert_close(answer.embedding, embedding, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(answer.logits, logits, rtol=1e-5, atol=1e-5)
    assert (other.logits - answer.logits).abs().max() > 1e-3


def test_zeroed_projection_is_the_acoustic_model():
    acoustic = lived_in(Cnn14(3, width=4, mels=32, generator=generator()))
    fused = Cnn14(3, ALL, text_width=5, width=4, mels=32, generator=generator(1))
    nothing = {name: torch.zeros_like(value) for name, value in fused.project.state_dict(prefix="project.").items()}
    fused.load_state_dict(fused.state_dict() | acoustic.state_dict() | nothing)
    fused.eval()
    logmel, frames = torch.cat([speech(64, seed=1), speech(64, seed=2)]), torch.tensor([64, 40])
    with torch.inference_mode():
        plain, conditioned = acoustic(logmel, frames), fused(logmel, frames, torch.randn(2, 5, generator=generator()))
    assert torch.equal(plain.logits, conditioned.logits)


def test_parameters_are_as_many_as_published():
    fused = Cnn14(4, ALL, generator=generator())
    trunk = sum(p.numel() for name, p in fused.named_parameters() if not name.startswith(("project.", "output.")))
    assert trunk == 79_673_792
    assert sum(p.numel() for p in fused.project.parameters()) == 3_100_608
    assert sum(p.numel() for p in Cnn14(4, (6,), generator=generator()).project.parameters()) == 1_574_912
    assert fused.fc1.out_features == 32 * 64


def test_the_trunk_has_the_published_names():
    names = {name for name in Cnn14(4, width=1, mels=32).state_dict() if not name.endswith("num_batches_tracked")}
    assert names == {*PUBLISHED, "output.weight", "output.bias"}


LENGTHS = (101, 33, 64, 32, 95)


@pytest.mark.parametrize("padding", [0.0, -100.0, 1e4, math.nan])
@pytest.mark.parametrize(("width", "mels"), [(4, 32), (4, 40), (34, 32)])  # both orders in memory, one band left or not
def test_padding_does_not_change_the_answer(width, mels, padding):
    model = lived_in(Cnn14(3, ALL, text_width=5, width=width, mels=mels, generator=generator()))
    parts = [speech(length, mels, seed) for seed, length in enumerate(LENGTHS)]
    text = torch.randn(len(parts), 5, generator=generator())
    batch = torch.full((len(parts), 128, mels), padding)
    for row, part in zip(batch, parts, strict=True):
        row[: part.shape[1]] = part[0]
    with torch.inference_mode():
        together = model(batch, torch.tensor(LENGTHS), text)
        tight = model(batch[1:, :95], torch.tensor(LENGTHS[1:]), text[1:])
        for i, part in enumerate(parts):
            alone = model(part, torch.tensor([part.shape[1]]), text[i : i + 1])
            torch.testing.assert_close(together.embedding[i], alone.embedding[0], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(together.logits[i], alone.logits[0], rtol=1e-5, atol=1e-5)
            if i:
                torch.testing.assert_close(tight.logits[i - 1], alone.logits[0], rtol=1e-5, atol=1e-5)


def test_a_regression_has_its_share_in_evaluation_alone_and_hears_no_level():
    model = lived_in(Cnn14(3, width=2, mels=32, regression=0.25, generator=generator()))
    plain = Cnn14(3, width=2, mels=32, generator=generator())
    plain.load_state_dict(model.state_dict(), strict=False)
    weight, bias = torch.randn(3, 64, generator=generator()), torch.randn(3, generator=generator())
    center, scale = torch.full((64,), 0.5), torch.full((64,), 2.0)
    scale[7] = torch.inf  # a constant feature
    spread = torch.tensor(5.0)
    model.set_regression(center=center, scale=scale, spread=spread, weight=weight, bias=bias)
    with torch.inference_mode():  # without a reach it is not fitted yet, and has no share
        torch.testing.assert_close(
            *(one.eval()(speech(64, 32), torch.tensor([64])).logits for one in (model, plain)), rtol=1e-5, atol=1e-5
        )
    model.set_regression(reach=torch.tensor(1e3))
    parts = [speech(length, 32, seed) for seed, length in enumerate(LENGTHS)]
    batch = torch.full((len(parts), 128, 32), 1e3)
    for row, part in zip(batch, parts, strict=True):
        row[: part.shape[1]] = part[0]
    with torch.inference_mode():
        alone, together = plain.eval()(batch, torch.tensor(LENGTHS)), model.eval()(batch, torch.tensor(LENGTHS))
        for i, part in enumerate(parts):
            mean, deviation = part[0].mean(0), part[0].std(0, correction=0)
            standard = (torch.cat([mean - mean.mean(), deviation]) - center) / scale
            assert standard.abs().max() > spread
            answer = weight @ standard.clamp(-spread, spread) + bias
            torch.testing.assert_close(together.logits[i], 0.75 * alone.logits[i] + 0.25 * answer, rtol=1e-4, atol=1e-4)
            unpadded = model(part, torch.tensor([part.shape[1]])).logits[0]
            torch.testing.assert_close(together.logits[i], unpadded, rtol=1e-4, atol=1e-4)
            louder = spectral_shape(part + 9, torch.tensor([part.shape[1]]), None)
            torch.testing.assert_close(louder, spectral_shape(part, torch.tensor([part.shape[1]]), None))
        far = [spectral_shape(part, torch.tensor([part.shape[1]]), None)[0] for part in parts]
        far = torch.stack([((one - center) / scale).square().mean().sqrt() for one in far])
        model.set_regression(reach=far.sort().values[1])  # of what is farther it says nothing
        some = model(batch, torch.tensor(LENGTHS)).logits
        near = far <= far.sort().values[1] + 1e-6
        assert 0 < near.sum() < len(parts)
        torch.testing.assert_close(some[~near], alone.logits[~near], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(some[near][0], together.logits[near][0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(together.embedding, alone.embedding)
    state = torch.get_rng_state()
    trained = model.train()(batch, torch.tensor(LENGTHS)).logits
    torch.set_rng_state(state)
    torch.testing.assert_close(trained, plain.train()(batch, torch.tensor(LENGTHS)).logits)
    with pytest.raises(ValueError, match=r"regression is 1.5; expected its share of the answer, 0 to 1"):
        Cnn14(3, regression=1.5)


def test_a_regression_reads_its_lowest_bands_alone():
    with pytest.raises(ValueError, match=r"regression_bands is 33; expected 1 to 32, how many of the bands it reads"):
        Cnn14(3, mels=32, regression=1.0, regression_bands=33)
    model = Cnn14(3, width=2, mels=32, regression=1.0, regression_bands=20, generator=generator()).eval()
    weight = torch.randn(3, 40, generator=generator())
    model.set_regression(weight=weight, reach=torch.tensor(torch.inf))
    part, frames = speech(64, 32), torch.tensor([64])
    narrow = part.clone()
    narrow[:, :, 20:] = -100
    with torch.inference_mode():
        whole = model(part, frames).logits
        torch.testing.assert_close(whole, spectral_shape(part[:, :, :20], frames, None) @ weight.T)
        assert torch.equal(whole, model(narrow, frames).logits)


def test_padding_has_no_gradient_and_no_part_in_the_first_statistics():
    model = Cnn14(3, width=4, mels=32, generator=generator())
    logmel = torch.cat([speech(64, seed=1), speech(64, seed=2)])
    logmel[1, 40:] = 1e3
    logmel.requires_grad_()
    model(logmel, torch.tensor([64, 40])).logits.square().sum().backward()
    assert (logmel.grad[1, 40:] == 0).all()
    assert (logmel.grad[1, :40] != 0).any()
    true = torch.cat([logmel[0], logmel[1, :40]]).detach()
    torch.testing.assert_close(model.bn0.running_mean, 0.1 * true.mean(0))
    torch.testing.assert_close(model.bn0.running_var, 0.9 + 0.1 * true.var(0))


def test_initial_weights_are_xavier_and_come_from_the_generator_alone():
    state = torch.get_rng_state()
    model = Cnn14(3, (6,), text_width=50, width=4, mels=32, projection="xavier", generator=generator())
    assert torch.equal(torch.get_rng_state(), state)
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            taps = module.weight[0, 0].numel() if module.weight.ndim == 4 else 1
            bound = math.sqrt(6 / (taps * (module.weight.shape[0] + module.weight.shape[1])))
            assert 0.75 * bound < module.weight.abs().max() <= bound, name
            assert module.bias is None or not module.bias.any(), name
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert not module.bias.any()
            assert not module.running_mean.any()
            assert (module.running_var == 1).all()


def test_projections_start_as_pytorchs_linear_layer_does():
    state = torch.get_rng_state()
    project = Cnn14(3, ALL, text_width=64, width=16, mels=32, generator=generator()).project
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(0)
    for stage in ALL:
        usual = nn.Linear(64, 16 * 2 ** (stage - 1))
        for name, value in project[str(stage)].named_parameters():
            assert 0.75 / 8 < value.abs().max() <= 1 / 8, (stage, name)  # within 1 / sqrt(64)
            assert value.shape == usual.get_parameter(name).shape
    torch.set_rng_state(state)
    values = torch.cat([value.flatten() for value in project.parameters()]).sort().values
    uniform = torch.linspace(-1 / 8, 1 / 8, len(values))
    assert (values - uniform).abs().max() < 0.01 / 8  # 65,520 of them
    torch.testing.assert_close(usual.weight.std(), values.std(), rtol=0.02, atol=0)


@pytest.mark.parametrize("words", [0.0, 1.0, 1e3])
def test_projections_of_zero_start_as_cnn14_whatever_the_words(words):
    acoustic = Cnn14(3, width=4, mels=32, generator=generator()).eval()
    fused = Cnn14(3, ALL, text_width=5, width=4, mels=32, projection="zero", generator=generator()).eval()
    logmel, frames = torch.cat([speech(64, seed=1), speech(64, seed=2)]), torch.tensor([64, 40])
    with torch.inference_mode():
        conditioned = fused(logmel, frames, words * torch.randn(2, 5, generator=generator()))
        assert torch.equal(acoustic(logmel, frames).logits, conditioned.logits)
    fused.train()(logmel, frames, torch.ones(2, 5)).logits.square().sum().backward()
    assert all(value.grad.any() for value in fused.project.parameters()), "they learn nevertheless"


def standardised(seed=3, text_width=5):
    """A model that standardises embeddings, and 40 of these that it was shown."""
    model = lived_in(Cnn14(3, (1, 6), text_width=text_width, width=2, mels=32, generator=generator()))
    shown = 5 + torch.randn(40, text_width, generator=generator(seed)) * torch.arange(1, text_width + 1)
    model.measure_text(shown)
    return model, shown


def test_the_projections_see_embeddings_of_mean_0_and_deviation_1():
    model, shown = standardised()
    seen = []
    model.project["6"].register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    logmel = torch.cat([speech(32)] * len(shown))
    with torch.inference_mode():
        model(logmel, torch.full((len(shown),), 32), shown)
    torch.testing.assert_close(seen[0].mean(0), torch.zeros(5), rtol=0, atol=1e-6)
    torch.testing.assert_close(seen[0].std(0, correction=0), torch.ones(5))


def test_a_standardised_model_answers_as_one_that_is_given_the_standardised_embeddings():
    model, shown = standardised()
    plain = Cnn14(3, (1, 6), text_width=5, width=2, mels=32)
    own = {name: value for name, value in model.state_dict().items() if not name.startswith("text_")}
    plain.load_state_dict(own, strict=False)
    text = ((shown - shown.mean(0)) / shown.std(0, correction=0))[:2]
    inputs = torch.cat([speech(40, seed=1), speech(40, seed=2)]), torch.tensor([40, 35])
    with torch.inference_mode():
        answers = [
            model(*inputs, shown[:2]).logits,
            plain.eval()(*inputs, text).logits,
            plain(*inputs, shown[:2]).logits,
        ]
    torch.testing.assert_close(answers[0], answers[1])
    assert (answers[0] - answers[2]).abs().max() > 1e-3


def test_an_embedding_whose_number_never_changes_keeps_its_deviation():
    model = Cnn14(3, (6,), text_width=2, width=2, mels=32)
    model.measure_text(torch.tensor([[0.1, 1.0], [0.1, 3.0], [0.1, 5.0]]))
    assert model.text_deviation[0] == 1
    assert model.text_deviation[1] == pytest.approx((8 / 3) ** 0.5)


def test_models_of_one_seed_start_alike_and_of_two_do_not():
    acoustic, again, other = (Cnn14(3, width=2, mels=32, generator=generator(seed)).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(acoustic[name], again[name]) for name in acoustic)
    for kind in PROJECTIONS:
        fused = Cnn14(3, ALL, text_width=5, width=2, mels=32, projection=kind, generator=generator()).state_dict()
        assert all(torch.equal(acoustic[name], fused[name]) for name in acoustic), kind
    assert not torch.equal(acoustic["conv_block1.conv1.weight"], other["conv_block1.conv1.weight"])


def test_dropout_is_after_each_block_and_in_training_only():
    model = Cnn14(3, width=4, mels=32, dropout=0.9, generator=generator())
    logmel, frames = torch.cat([speech(64, seed=1), speech(64, seed=2)]), torch.tensor([64, 64])
    assert not torch.equal(model(logmel, frames).logits, model(logmel, frames).logits)
    model.eval()
    assert torch.equal(model(logmel, frames).logits, model(logmel, frames).logits)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mels": 31}, "mels is 31.*at least 32"),
        ({"text_stages": (0, 6)}, "text_stages 0: CNN14 has the stages 1 to 6"),
        ({"text_stages": (6, 6)}, "name a stage twice"),
        ({"width": 0}, "width 0"),
        ({"dropout": 1.0}, "dropout 1.0"),
        ({"projection": "zeros"}, "projection is 'zeros'; known: default, xavier, zero"),
    ],
)
def test_an_impossible_model_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Cnn14(3, **arguments)


@pytest.mark.parametrize(
    ("stages", "logmel", "frames", "text", "message"),
    [
        (
            (6,),
            (2, 64, 32),
            (64, 64),
            3,
            "embeddings are 3 wide, the model was built for 5: build it with text_width=3",
        ),
        ((6,), (2, 64, 32), (64, 64), None, r"no text embeddings, but .* stages \(6,\)"),
        ((), (2, 64, 32), (64, 64), 5, "text embeddings for a model without text_stages"),
        ((), (2, 64, 32), (64, 31), None, "shortest utterance has 31 frames.*at least 32"),
        ((), (2, 64, 32), (65, 64), None, "longest utterance has 65 frames, more than the batch's 64"),
        ((), (2, 64, 40), (64, 64), None, "have 40 bands, the model was built for 32: build it with mels=40"),
    ],
)
def test_input_that_does_not_fit_is_refused(stages, logmel, frames, text, message):
    model = Cnn14(3, stages, text_width=5, width=2, mels=32)
    with pytest.raises(ValueError, match=message):
        model(torch.zeros(logmel), torch.tensor(frames), None if text is None else torch.zeros(2, text))


def published(width=4, mels=64, seed=3):
    """A checkpoint as PANNs publishes it: weights under `model`, front end and classifier with them, numpy beside."""
    state = lived_in(Cnn14(5, width=width, mels=mels, generator=generator(seed)), seed).state_dict()
    weights = OrderedDict((name, state[name]) for name in PUBLISHED)
    weights["spectrogram_extractor.stft.conv_real.weight"] = torch.ones(257, 1, 512)
    weights["logmel_extractor.melW"] = torch.ones(257, mels)
    weights["fc_audioset.weight"] = torch.ones(527, 32 * width)
    weights["fc_audioset.bias"] = torch.ones(527)
    beside = {"indexes": np.arange(7), "shares": np.ones(3, dtype=np.float32), "mAP": np.float64(0.438)}
    return {"iteration": 900_000, "model": weights, "sampler": beside}


class NumpyOne(pickle._Pickler):
    """Pickles numpy under the module names that it had when the checkpoint was published."""

    def save_global(self, value, name=None):
        if getattr(value, "__module__", "") == "numpy._core.multiarray":
            self.write(f"cnumpy.core.multiarray\n{value.__name__}\n".encode())
            self.memoize(value)
        else:
            super().save_global(value, name)

    dispatch = pickle._Pickler.dispatch | {FunctionType: save_global}


OLD_PICKLE = SimpleNamespace(
    __name__="old", Pickler=NumpyOne, dump=lambda value, file, protocol: NumpyOne(file, protocol).dump(value)
)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("pickler", [OLD_PICKLE, pickle])
def test_the_published_checkpoint_loads(tmp_path, pickler, zipped):
    checkpoint = published()
    torch.save(checkpoint, tmp_path / "Cnn14_16k.pth", pickler, 2, zipped)
    assert (b"cnumpy.core.multiarray\n_reconstruct" in (tmp_path / "Cnn14_16k.pth").read_bytes()) == (
        pickler is OLD_PICKLE
    )
    model = Cnn14(3, (6,), text_width=5, width=4, regression=0.5, generator=generator())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    load_published(model, tmp_path / "Cnn14_16k.pth")
    after = model.state_dict()
    for name in PUBLISHED:
        assert torch.equal(after[name], checkpoint["model"][name]), name
    for name in ("output.weight", "project.6.weight"):
        assert torch.equal(after[name], before[name]), name


def test_the_error_for_a_checkpoint_that_does_not_fit_says_why(tmp_path):
    def load(content, **arguments):
        torch.save(content, tmp_path / "file.pth")
        load_published(Cnn14(3, **{"width": 4, "generator": generator(), **arguments}), tmp_path / "file.pth")

    lacking = published()
    del lacking["model"]["conv_block3.bn2.running_var"]
    with pytest.raises(ValueError, match=r"lacks 1 weights of the model, conv_block3.bn2.running_var"):
        load(lacking)
    with pytest.raises(
        ValueError,
        match=r"conv_block1.conv1.weight is .4, 1, 3, 3., the model's .2, 1, 3, 3.; build .* with the width",
    ):
        load(published(), width=2)
    with pytest.raises(ValueError, match=r"bn0.* is .64,., the model's .32,."):
        load(published(), mels=32)
    with pytest.raises(ValueError, match="expected a dictionary with the weights under 'model'"):
        load(published()["model"])
    with pytest.raises(FileNotFoundError, match=r"no checkpoint .*absent.pth; expected the file that PANNs publishes"):
        load_published(Cnn14(3, width=4), tmp_path / "absent.pth")
    (tmp_path / "text.pth").write_text("no checkpoint")
    with pytest.raises(ValueError, match="no checkpoint that PyTorch can read safely"):
        load_published(Cnn14(3, width=4), tmp_path / "text.pth")


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_checkpoint_is_never_executed(tmp_path):
    content = {**published(), "trap": Trap(tmp_path / "sprung")}
    torch.save(content, tmp_path / "file.pth")
    with pytest.raises(ValueError, match="no checkpoint that PyTorch can read safely"):
        load_published(Cnn14(3, width=4), tmp_path / "file.pth")
    assert not (tmp_path / "sprung").exists()


CNN_SETTINGS = {"kind": "cnn14", "outputs": 3, "text_stages": [1, 6], "text_width": 5, "width": 2, "mels": 32}


def test_a_saved_model_comes_back_as_it_was(tmp_path):
    model = lived_in(build(CNN_SETTINGS, generator()))
    save(model, CNN_SETTINGS, tmp_path / "best.safetensors")
    again, settings = models.load(tmp_path / "best.safetensors")
    assert settings == CNN_SETTINGS
    assert not again.training
    assert {name: value.dtype for name, value in again.state_dict().items()} == {
        name: value.dtype for name, value in model.state_dict().items()
    }
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in again.state_dict().items())
    inputs = speech(50), torch.tensor([50]), torch.ones(1, 5)
    assert torch.equal(again(*inputs).logits, model(*inputs).logits)


def test_a_saved_model_still_standardises(tmp_path):
    model, shown = standardised()
    save(model, CNN_SETTINGS, tmp_path / "best.safetensors")
    again, _ = models.load(tmp_path / "best.safetensors")
    assert torch.equal(again.text_mean, shown.mean(0))
    assert torch.equal(again.text_deviation, shown.std(0, correction=0))
    inputs = speech(50), torch.tensor([50]), shown[:1]
    assert torch.equal(again(*inputs).logits, model(*inputs).logits)


class MeanModel(torch.nn.Module):
    """A linear layer of the mean log-mel: the least that a registered model needs."""

    def __init__(self, outputs, mels, generator=None):
        super().__init__()
        self.output = torch.nn.Linear(mels, outputs)
        initialise(self.output, generator)


def test_a_model_that_is_registered_at_run_time_builds_saves_and_loads(tmp_path):
    looks = {"label": "Mean", "colour": "#000000", "dash": "-", "summary": "mean log-mel", "in_paper": False}
    spec = registry.ModelSpec(
        name="mean", kind="mean", build=f"{__name__}:MeanModel", uses_text=False, uses_audio=True, **looks
    )
    settings = {"outputs": 3, "mels": 32}
    with pytest.raises(ValueError, match="of kind 'mean'"):
        build({"kind": "mean", **settings})
    with pytest.raises(ValueError, match="no model of the registry is a MeanModel"):
        save(MeanModel(**settings), settings, tmp_path / "mean.safetensors")
    registry.MODELS.add(spec)
    try:
        model = build({"kind": "mean", **settings}, generator())
        save(model, settings, tmp_path / "mean.safetensors")
        again, kept = models.load(tmp_path / "mean.safetensors")
    finally:
        registry.MODELS.remove("mean")
    assert kept == {"kind": "mean", **settings}
    assert torch.equal(again.output.weight, model.output.weight)


def test_a_file_that_is_no_saved_model_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no model .*absent.safetensors; found: no .safetensors file there"):
        models.load(tmp_path / "absent.safetensors")
    (tmp_path / "text.safetensors").write_text("nothing")
    with pytest.raises(ValueError, match=r"text\.safetensors is damaged \(it is not whole: .*header"):
        models.load(tmp_path / "text.safetensors")
    save(build(CNN_SETTINGS), {**CNN_SETTINGS, "text_stages": [6]}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"2 weights that the model does not have, project.1"):
        models.load(tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="of kind 'cnn15'; did you mean 'cnn14'"):
        build({"kind": "cnn15"})


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """Folder of a tiny BERT."""
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("bert")
    config = BertConfig(
        vocab_size=40,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("[PAD]\n")
    return str(folder)


def test_the_text_model_takes_the_mean_of_the_true_tokens(encoder):
    state = torch.get_rng_state()
    model = TextModel(encoder, 3, generator()).eval()
    assert torch.equal(torch.get_rng_state(), state)
    tokens, mask = torch.tensor([[2, 7, 9, 3, 0, 0], [2, 5, 8, 1, 7, 3]]), torch.tensor([[1, 1, 1, 1, 0, 0], [1] * 6])
    with torch.inference_mode():
        together = model(tokens, mask.bool())
        alone = model(tokens[:1, :4], mask[:1, :4].bool())
        states = model.encoder(tokens[:1, :4]).last_hidden_state
        logits = model.output(together.embedding)
    torch.testing.assert_close(together.embedding[:1], alone.embedding, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(alone.embedding[0], states[0].mean(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(together.logits, logits)
    assert together.logits.shape == (2, 3)


def test_every_weight_of_the_text_model_is_trained(encoder):
    model = TextModel(encoder, 3, generator()).train()
    model(torch.tensor([[2, 7, 9, 3]]), torch.ones(1, 4, dtype=torch.bool)).logits.sum().backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []


def test_a_saved_text_model_needs_no_encoder(encoder, tmp_path):
    settings = {"kind": "text", "encoder": encoder, "outputs": 3}
    model = build(settings, generator()).eval()
    save(model, {**settings, "encoder": "no-such-encoder"}, tmp_path / "best.safetensors")
    state = torch.get_rng_state()
    again, _ = models.load(tmp_path / "best.safetensors")
    assert torch.equal(torch.get_rng_state(), state)
    tokens, mask = torch.tensor([[2, 7, 9, 3]]), torch.ones(1, 4, dtype=torch.bool)
    assert torch.equal(again(tokens, mask).logits, model(tokens, mask).logits)
