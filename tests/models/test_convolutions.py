"""The convolutions that are computed as matrix products are PyTorch's own."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 -- its name everywhere

from sercore.models import cnn14
from sercore.models.cnn14 import Cnn14


def given(kernel: tuple[int, int], bands: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    chance = torch.Generator().manual_seed(0)
    x = torch.randn(3, 5, 7, bands, generator=chance).to(dtype).requires_grad_()
    return x, torch.randn(6, 5, *kernel, generator=chance).to(dtype).requires_grad_()


def gradients(y: torch.Tensor, *of: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return torch.autograd.grad(y, of, torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.dtype))


@pytest.fixture
def always_products(monkeypatch):
    monkeypatch.setattr(cnn14, "PRODUCT_FROM", {torch.float32: 0, torch.bfloat16: 0})


@pytest.mark.usefixtures("always_products")
@pytest.mark.parametrize(("kernel", "bands"), [((3, 3), 4), ((3, 3), 1), ((3, 1), 1)])
def test_products_give_the_convolution_and_its_gradients(kernel, bands):
    x, weight = given(kernel, bands)
    expected = F.conv2d(x, weight, padding=(1, kernel[1] // 2))
    product = cnn14.convolve(x, weight)
    assert product.grad_fn.name() == "_ProductBackward"
    torch.testing.assert_close(product, expected, rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(gradients(product, x, weight), gradients(expected, x, weight), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("always_products")
def test_the_gradients_are_those_of_finite_differences():
    x, weight = (part.detach()[:2, :3].double().requires_grad_() for part in given((3, 3), 2))
    assert torch.autograd.gradcheck(cnn14._Product.apply, (x, weight))


@pytest.mark.usefixtures("always_products")
def test_in_autocast_products_are_in_its_precision_and_gradients_in_the_weights():
    x, weight = given((3, 3), 4)
    with torch.autocast("cpu", torch.bfloat16):
        product = cnn14.convolve(x, weight)
    assert product.dtype == torch.bfloat16
    expected = F.conv2d(x, weight, padding=1)
    torch.testing.assert_close(product.float(), expected, rtol=0.02, atol=0.1)
    for mine, theirs in zip(gradients(product, x, weight), gradients(expected, x, weight), strict=True):
        assert mine.dtype == torch.float32
        assert (mine - theirs).norm() < 0.01 * theirs.norm()


def test_in_float32_and_with_few_weights_it_is_the_librarys_own_to_the_bit():
    x, weight = given((3, 3), 4)
    assert torch.equal(cnn14.convolve(x, weight), F.conv2d(x, weight, padding=1))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(cnn14.convolve(x, weight), F.conv2d(x, weight, padding=1))


@pytest.mark.usefixtures("always_products")
def test_cnn14_learns_the_same_with_products_as_without(monkeypatch):
    model = Cnn14(4, width=2, mels=32, dropout=0.0, generator=torch.Generator().manual_seed(0)).train()
    logmel = torch.randn(4, 48, 32, generator=torch.Generator().manual_seed(1))
    frames = torch.tensor([48, 40, 48, 33])

    def learnt() -> list[torch.Tensor]:
        return torch.autograd.grad(model(logmel, frames).logits.square().sum(), list(model.parameters()))

    products = learnt()
    monkeypatch.setattr(cnn14, "PRODUCT_FROM", {})
    for mine, theirs in zip(products, learnt(), strict=True):
        assert (mine - theirs).norm() <= 1e-4 * theirs.norm() + 1e-5
