"""CNN14 on log-mels, with or without text conditioning (section 3).

On a CPU, the convolutions of its last blocks are matrix products where these are faster.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F  # noqa: N812 -- its name everywhere
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sercore.features import audio
from sercore.models.conditioning import KINDS, Entry, Gate, Shift
from sercore.schema import first
from sercore.settings import PROJECTIONS, stages_of

STAGES = 6
LEAST = 2 ** (STAGES - 1)  # frames and mel bands, of which at least one must be left after five halvings
WIDEST_CHANNELS_LAST = 32  # on a CPU in float32; measured: faster up to width 16, equal at 32, slower at 64
PRODUCT_FROM = {torch.bfloat16: 1024 * 1024}
"""Precision -> inputs x outputs from which on the product is faster: the library's own convolution then spends its time
on the weights. Measured on a core with AVX512-BF16, batch 32, 3 s, 64 mels, forward and backward: the convolutions of
block 6 at width 64 take .46 to .52 of the time, the second of block 5 .83, of block 6 at width 32 .38; with fewer
weights the product is slower (block 5 at width 32: 1.4 times as long). In float32 a whole step gained nothing.
"""


def convolve(
    x: Float[Tensor, "batch inputs frames bands"], weight: Float[Tensor, "outputs inputs height width"]
) -> Float[Tensor, "batch outputs frames bands"]:
    """`x` convolved with kernels of odd size, zeros around it: as large as before.

    In autocast's precision where that is on. The sum is PyTorch's own but for rounding, whichever way it is computed.
    """
    height, width = weight.shape[2:]
    device = x.device.type
    if device == "cpu" and not torch.compiler.is_exporting():  # a graph says what is computed, not how
        precision = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        if weight.shape[0] * weight.shape[1] >= PRODUCT_FROM.get(precision, float("inf")):
            return _Product.apply(x.to(precision), weight.to(precision, memory_format=torch.channels_last))
    return F.conv2d(x, weight, padding=(height // 2, width // 2))


class _Product(torch.autograd.Function):
    """The convolution and its two gradients as one matrix product each.

    With `unfolded` the neighbourhood of every place as a row (batch x frames x bands, height x width x inputs) and the
    kernels as a matrix K (height x width x inputs, outputs): Y = unfolded(X) K, dK = unfolded(X)^T dY, and dX is
    dY K^T folded back: each place sums its neighbours' shares. Neighbourhoods are laid out again in the backward
    pass, because keeping them would take nine times the memory of X.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        batch, _, frames, bands = x.shape
        y = _unfolded(x, weight.shape[2:]) @ _matrix(weight).mT
        return y.view(batch, frames, bands, len(weight)).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        outputs, inputs, height, width = weight.shape
        rows = slope.permute(0, 2, 3, 1).reshape(-1, outputs).to(x.dtype)  # (batch x frames x bands, outputs)
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x = _folded(rows @ _matrix(weight), x.shape, weight.shape[2:])
        if ctx.needs_input_grad[1]:
            of_weight = rows.mT @ _unfolded(x, weight.shape[2:])
            of_weight = of_weight.view(outputs, height, width, inputs).permute(0, 3, 1, 2).contiguous()
        return of_x, of_weight


def _matrix(weight: Tensor) -> Tensor:
    """(outputs, inputs, height, width) -> (outputs, height x width x inputs)."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)


def _unfolded(x: Tensor, kernel: torch.Size) -> Tensor:
    """(batch, inputs, frames, bands) -> (batch x frames x bands, height x width x inputs)."""
    _, inputs, frames, bands = x.shape
    height, width = kernel
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, width // 2, width // 2, height // 2, height // 2))
    parts = [padded[:, i : i + frames, j : j + bands] for i in range(height) for j in range(width)]
    return torch.stack(parts, 3).view(-1, height * width * inputs)


def _folded(products: Tensor, shape: torch.Size, kernel: torch.Size) -> Tensor:
    """(batch x frames x bands, height x width x inputs) -> `shape`, (batch, inputs, frames, bands)."""
    batch, inputs, frames, bands = shape
    height, width = kernel
    products = products.view(batch, frames, bands, height, width, inputs)
    total = products.new_zeros(batch, frames + height - 1, bands + width - 1, inputs)
    for i in range(height):
        for j in range(width):
            total[:, i : i + frames, j : j + bands] += products[:, :, :, i, j]
    return total[:, height // 2 : height // 2 + frames, width // 2 : width // 2 + bands].permute(0, 3, 1, 2)


class Output(NamedTuple):
    """What every model returns."""

    logits: Float[Tensor, "batch outputs"]
    embedding: Float[Tensor, "batch width"]


class Maps(NamedTuple):
    """Feature maps on their way through the blocks."""

    x: Float[Tensor, "batch maps frames bands"]
    frames: Int[Tensor, " batch"]  # true ones of each
    speech: Float[Tensor, "batch 1 frames 1"] | None  # which those are, 0 or 1; None: all
    shape: Float[Tensor, "batch shape"] | None = None  # of the spectrum, where a regression on it has a share

    def means(self) -> Float[Tensor, "batch maps"]:
        """The mean of each map over the true frames and all bands."""
        if self.speech is None:
            return self.x.mean((2, 3))
        return self.x.sum((2, 3)) / (self.frames[:, None] * self.x.shape[3])


class _Block(nn.Module):
    """Two times convolution, batch normalisation, ReLU (equations 1 and 2), pooling, and what comes of the text."""

    def __init__(self, inputs: int, outputs: int, pool: int, dropout: float) -> None:
        super().__init__()
        self.pool, self.dropout = pool, dropout
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.rest: Callable[..., Tensor] | None = None  # fused.norm_relu_pool, where training is to use it

    def forward(self, x: Tensor, speech: Tensor | None, pooled: Tensor | None, text: Entry | None) -> Tensor:
        """(batch, inputs, frames, bands) -> (batch, outputs, frames // pool, bands // pool).

        Frames between the convolutions that are not `speech` are zeroed, as they would be outside of the input, and
        those of the result that are not `pooled`; `text` is what the projection gives. All of it is one part of the
        network, so that a compiler may make one pass over the feature maps of what are five here.
        """
        if self.rest is not None and self.training:
            between, after = (None if mask is None else mask.flatten(1).contiguous() for mask in (speech, pooled))
            x = _convolve(self.rest(_convolve(x, self.conv1), self.bn1, 1, between), self.conv2)
            if text is None or (text.scale is None and text.mix is None):
                shift = None if text is None else text.shift
                return self.rest(x, self.bn2, self.pool, after, shift, self.dropout)
            x = self.rest(x, self.bn2, self.pool)
        else:
            x = self.bn1(_convolve(x, self.conv1))
            if speech is not None:
                x = x.mul_(speech)  # before the ReLU it is the same as after it, and in place
            x = F.relu_(self.bn2(_convolve(F.relu_(x), self.conv2)))
            if self.pool > 1:
                x = F.avg_pool2d(x, self.pool)
        if text is not None:
            x = _conditioned(x, text)
        if pooled is not None:
            x = x * pooled.to(x.dtype)
        return F.dropout(x, self.dropout, self.training)


class Cnn14(nn.Module):
    """CNN14 (reference [32]); the blocks in `text_stages` are conditioned on a text embedding (equations 1-5).

    No stage is CNN14 itself, (6,) is single-stage and (1, ..., 6) multistage fusion. Of each block

        X1 = ReLU(BN(CONV(X))), X2 = ReLU(BN(CONV(X1))), X3 = X2 + PROJ(E), Y = POOL(X3), PROJ(E) = W E + b

    where E is the embedding and PROJ(E), one number a feature map, is the same for all frames and bands. It is added
    after the pooling instead of before, which is the same, since a mean of X2 + c is the mean of X2, plus c, but
    touches a quarter of the numbers. That is the `mechanism` "shift"; for the others see models.conditioning. Pooling
    is the mean over 2 x 2, and none after the sixth block. Then the mean over bands, the maximum plus the mean over
    frames, `fc1` and ReLU (the embedding), and `output`.

    Only true frames count: padded ones are zeroed wherever a convolution would see them, and left out of the pooling
    over time, so in evaluation the answer for an utterance does not depend on what shares its batch. In training it
    does, through the batch normalisation: the statistics of `bn0` are those of true frames alone, but those within
    the blocks include the padded frames, as zeros before the next convolution. Batches grouped by duration hold few of
    them, crops none.

    The trunk has the names of the published checkpoint (`bn0`, `conv_block1.conv1`, ..., `fc1`); the projections are
    `project.1` to `project.6`.
    """

    text_mean: Tensor  # what embeddings are standardised by
    text_deviation: Tensor
    regression_center: Tensor  # what the spectral shape is standardised by, (2 x bands,)
    regression_scale: Tensor
    regression_spread: Tensor  # from the center, beyond which a feature counts as that far
    regression_weight: Tensor  # (outputs, 2 x bands)
    regression_bias: Tensor
    regression_reach: Tensor  # how far from the center the whole shape has been in training

    def __init__(
        self,
        outputs: int,
        text_stages: Iterable[int] = (),
        text_width: int = 768,
        width: int = 64,
        mels: int = 64,
        dropout: float = 0.2,
        projection: str = "default",
        mechanism: str = "shift",
        text_dropout: float = 0.0,
        standardised: bool = True,
        regression: float = 0.0,
        regression_bands: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        """Initial weights: Xavier-uniform but for PROJ, zero biases, batch normalisation 1 and 0.

        They are drawn from `generator` (None: PyTorch's global one), the trunk's first, then the output layer's: the
        models of one seed start with the same trunk. `width` is the number of feature maps of the first block; the
        sixth has 32 times as many. `dropout` is applied after each block. `projection` is how PROJ starts: "default"
        as a linear layer of PyTorch does, weights and biases uniform within 1 / sqrt(text_width); "xavier" as the other
        layers; "zero", so that the network starts as CNN14 itself. `mechanism` is how the text changes the maps, a name
        of conditioning.KINDS. In training, `text_dropout` is the chance of an utterance that its text is replaced by
        the mean embedding; a model that learns so takes an embedding of NaN for a text that is not known. Embeddings
        are `standardised` by what `measure_text` has seen, once it has. In evaluation, a share `regression` of each
        logit or rating is that of a regression on `spectral_shape` of the lowest `regression_bands` (None: of all),
        which `set_regression` gives; but of what is unlike all that it was fitted to, nothing. Training has no share
        of it. Raises ValueError for fewer than 32 `mels`, a stage that is none, a size below 1, a share beyond 0
        to 1, bands beyond 1 to `mels`, and another `projection` or `mechanism`.
        """
        super().__init__()
        stages = tuple(text_stages)
        if unknown := [stage for stage in stages if stage not in range(1, STAGES + 1)]:
            raise ValueError(f"text_stages {first(unknown)}: CNN14 has the stages 1 to {STAGES}")
        if len(set(stages)) < len(stages):
            raise ValueError(f"text_stages {first(stages)} name a stage twice")
        if mels < LEAST:
            raise ValueError(f"mels is {mels}; CNN14 halves the bands five times, so it needs at least {LEAST}")
        if min(outputs, width, text_width if stages else 1) < 1 or not (0 <= dropout < 1 and 0 <= text_dropout < 1):
            raise ValueError(
                f"outputs {outputs}, width {width} and text_width {text_width} must be at least 1, dropout {dropout} "
                f"and text_dropout {text_dropout} in [0, 1)"
            )
        if not 0 <= regression <= 1:
            raise ValueError(f"regression is {regression}; expected its share of the answer, 0 to 1")
        bands = mels if regression_bands is None else regression_bands
        if not 1 <= bands <= mels:
            raise ValueError(f"regression_bands is {bands}; expected 1 to {mels}, how many of the bands it reads")
        if projection not in PROJECTIONS:
            raise ValueError(f"projection is '{projection}'; known: {', '.join(PROJECTIONS)}")
        if mechanism not in KINDS:
            raise ValueError(f"mechanism is '{mechanism}'; known: {', '.join(KINDS)}")
        self.text_stages, self.text_width, self.mels = stages, text_width, mels
        self.mechanism, self.text_dropout, self.standardised = mechanism, text_dropout, standardised
        self.width, self.layout = width, "auto"  # see TrainingSettings.layout
        self.regression, self.regression_bands = regression, bands
        maps = [1, *(width * 2**k for k in range(STAGES))]
        with torch.device("meta"):  # without the weights that PyTorch would draw from the global generator
            self.bn0 = nn.BatchNorm1d(mels)
            for stage in range(1, STAGES + 1):
                block = _Block(maps[stage - 1], maps[stage], 1 if stage == STAGES else 2, dropout)
                self.add_module(f"conv_block{stage}", block)
            self.fc1 = nn.Linear(maps[-1], maps[-1])
            self.output = nn.Linear(maps[-1], outputs)
            kind = KINDS[mechanism]
            self.project = nn.ModuleDict({str(stage): kind(text_width, maps[stage]) for stage in sorted(stages)})
        self.to_empty(device="cpu")
        for module in self.modules():
            initialise(module, generator)
        reach = {"default": max(text_width, 1) ** -0.5, "xavier": None, "zero": 0.0}[projection]
        for stage in self.project:
            self.projection(stage).start(reach, generator)
        if stages:
            self.register_buffer("text_mean", torch.zeros(text_width))
            self.register_buffer("text_deviation", torch.ones(text_width))
        if regression:
            self.register_buffer("regression_center", torch.zeros(2 * bands))
            self.register_buffer("regression_scale", torch.ones(2 * bands))
            self.register_buffer("regression_spread", torch.tensor(torch.inf))
            self.register_buffer("regression_weight", torch.zeros(outputs, 2 * bands))
            self.register_buffer("regression_bias", torch.zeros(outputs))
            self.register_buffer("regression_reach", torch.tensor(-1.0))  # until it is set it has no share

    def projection(self, stage: int | str) -> Shift:
        """What turns the text into a change of the maps of `stage`. Raises KeyError for a stage without text."""
        return cast(Shift, self.project[str(stage)])

    def measure_text(self, embeddings: Tensor) -> None:
        """Take the mean of `embeddings` (utterances, text_width), of training, for that of a text that is not known.

        In a model of `standardised` embeddings these are scaled from now on as gives `embeddings` mean 0 and deviation
        1; a number that is the same in all of them is not divided.
        """
        deviation = embeddings.std(0, correction=0)
        self.text_mean.copy_(embeddings.mean(0))
        self.text_deviation.copy_(deviation.masked_fill(deviation < 1e-6, 1.0))

    def set_regression(self, **parts: Tensor) -> None:
        """Take the regression that has a share in the answer: parts of a training.baseline.Regression, by their names.

        Raises AttributeError for another name, and for a model that was built without a share of it.
        """
        for name, value in parts.items():
            self.get_buffer(f"regression_{name}").copy_(value)

    def _with_regression(self, logits: Tensor, shape: Float[Tensor, "batch shape"]) -> Tensor:
        """`logits` (batch, outputs), averaged with those of the regression where `shape` is within its reach."""
        standard = (shape - self.regression_center) / self.regression_scale
        kept = standard.minimum(self.regression_spread).maximum(-self.regression_spread)
        weighted = (kept[:, None] * self.regression_weight).sum(2)  # as a matrix product autocast would round it
        near = standard.square().mean(1, keepdim=True).sqrt() <= self.regression_reach
        share = self.regression * near.float()
        return (1 - share) * logits.float() + share * (weighted + self.regression_bias)

    def forward(
        self,
        logmel: Float[Tensor, "batch frames mels"],
        frames: Int[Tensor, " batch"],
        text: Float[Tensor, "batch text_width"] | None = None,
    ) -> Output:
        """Answer for each utterance: `logmel` in dB, `frames` the true length of each, `text` its embedding.

        `frames` may be on the CPU while the rest is on a GPU, which then need not be waited for to look at them.
        What lies behind the true frames has no influence but the one on batch statistics that the class describes.
        Raises ValueError for fewer than 32 true frames, frames beyond the batch's, another number of mels, and a text
        that is missing, not needed, or of another width than the model's.
        """
        maps = self.begin(logmel, frames, text)
        if text is not None:
            text = self.known(text)
        for stage in range(1, STAGES + 1):
            entry = self.projection(stage).entry(text) if text is not None and stage in self.text_stages else None
            maps = self.advance(stage, maps, entry)
        return self.answer(maps)

    def begin(self, logmel: Tensor, frames: Tensor, text: Tensor | None) -> Maps:
        """What the first block takes of the arguments of `forward`. Raises ValueError where they do not fit."""
        padded = torch.compiler.is_exporting() or self._check(logmel, frames, text)  # a graph cannot look at its input
        if padded and frames.device != logmel.device:
            frames = frames.to(logmel.device, non_blocking=True)
        speech = _speech(frames, logmel.shape[1]) if padded else None  # (batch, frames)
        shape = None
        if self.regression and not self.training:
            shape = spectral_shape(logmel[:, :, : self.regression_bands], frames, speech)
        x = self._normalise(logmel, speech)
        x = x.unsqueeze(-1).permute(0, 3, 1, 2) if self._channels_last(x.device) else x.unsqueeze(1)
        return Maps(x, frames, None if speech is None else speech[:, None, :, None].to(x.dtype), shape)

    def advance(self, stage: int, maps: Maps, entry: Entry | None = None) -> Maps:
        """`maps` after the block of `stage`: width * 2**(stage - 1) of them, with what the text does to them."""
        x, frames, speech, shape = maps
        pooled = speech
        if speech is not None and stage < STAGES:
            frames = frames // 2
            pooled = _speech(frames, x.shape[2] // 2)[:, None, :, None].to(x.dtype)
        x = self.get_submodule(f"conv_block{stage}")(x, speech, pooled, entry)
        return Maps(x, frames, pooled, shape)

    def condition(self, stage: int, maps: Maps, text: Float[Tensor, "batch text_width"]) -> Maps:
        """What `advance` would have given with `text`, as `known` gives it, of the `maps` that it gave without."""
        x = _conditioned(maps.x, self.projection(stage).entry(text))
        return maps._replace(x=x if maps.speech is None else x * maps.speech.to(x.dtype))

    def answer(self, maps: Maps) -> Output:
        """The model's answer for `maps` after its last block."""
        x = maps.x.mean(3)  # (batch, 32 * width, frames)
        if maps.speech is None:
            x = x.amax(2) + x.mean(2)
        else:
            masked = x.masked_fill(maps.speech[:, :, :, 0] == 0, -torch.inf)
            x = masked.amax(2) + x.sum(2) / maps.frames[:, None]
        embedding = F.relu(self.fc1(x))
        logits = self.output(embedding)
        return Output(logits if maps.shape is None else self._with_regression(logits, maps.shape), embedding)

    def _check(self, logmel: Tensor, frames: Tensor, text: Tensor | None) -> bool:
        """Whether any of the input is padding. Raises ValueError where the input does not fit."""
        if logmel.shape[2] != self.mels:
            raise ValueError(
                f"log-mels have {logmel.shape[2]} bands, the model was built for {self.mels}: build it with "
                f"mels={logmel.shape[2]}"
            )
        shortest, longest = (int(value) for value in torch.stack(torch.aminmax(frames)).tolist())
        if shortest < LEAST:
            raise ValueError(
                f"the shortest utterance has {shortest} frames; CNN14 halves them five times, so it needs at least "
                f"{LEAST}: features.log_mel pads what is shorter with silence"
            )
        if longest > logmel.shape[1]:
            raise ValueError(f"the longest utterance has {longest} frames, more than the batch's {logmel.shape[1]}")
        if text is None and self.text_stages:
            raise ValueError(f"no text embeddings, but the model is conditioned on them in stages {self.text_stages}")
        if text is not None and not self.text_stages:
            raise ValueError("text embeddings for a model without text_stages: pass None, or build it with text_stages")
        if text is not None and text.shape[-1] != self.text_width:
            raise ValueError(
                f"embeddings are {text.shape[-1]} wide, the model was built for {self.text_width}: build it with "
                f"text_width={text.shape[-1]}"
            )
        return shortest < logmel.shape[1]

    def known(self, text: Tensor) -> Tensor:
        """Embeddings as the projections take them: the mean one for texts that are not known, and standardised."""
        if self.text_dropout:
            absent = text.isnan().any(-1, keepdim=True)
            if self.training:
                absent = absent | (torch.rand(len(text), 1, device=text.device) < self.text_dropout)
            text = torch.where(absent, self.text_mean, text)
        return (text - self.text_mean) / self.text_deviation if self.standardised else text

    @torch.inference_mode()
    def openings(self, text: Float[Tensor, "batch text_width"]) -> dict[int, Float[Tensor, " batch"]]:
        """How far each stage with a gate is open for each text, 0 to 1; none where the mechanism is another."""
        text, gates = self.known(text), {stage: self.projection(stage) for stage in sorted(self.text_stages)}
        return {stage: gate.opened(text)[:, 0] for stage, gate in gates.items() if isinstance(gate, Gate)}

    def _normalise(self, logmel: Tensor, speech: Tensor | None) -> Tensor:
        """`logmel` after `bn0`, zero where there is no speech."""
        if speech is None or not self.bn0.training:
            normal = self.bn0(logmel.flatten(0, 1)).view_as(logmel)
            return normal if speech is None else normal.masked_fill(~speech[:, :, None], 0.0)
        return logmel.new_zeros(logmel.shape).masked_scatter_(speech[:, :, None], self.bn0(logmel[speech]))

    def use_kernels(self, name: str) -> None:
        """In training, let the blocks do what follows a convolution as `name` says: see TrainingSettings.kernels.

        Raises ValueError where the "fused" ones do not run: without Triton, on another device than a GPU, or for
        feature maps whose numbers are neither powers of 2 nor multiples of 64.
        """
        blocks = [part for part in self.children() if isinstance(part, _Block)]
        rest: Callable[..., Tensor] | None = None
        if name == "fused":
            try:
                from sercore.models import fused  # Triton comes with PyTorch for a GPU alone
            except ImportError as error:
                raise ValueError(f"training.kernels 'fused' need Triton ({error}): take 'plain'") from None
            for block in blocks:
                fused.check(block.conv1.weight.device, len(block.conv1.weight))
            rest = fused.norm_relu_pool
        for block in blocks:
            block.rest = rest

    def _channels_last(self, device: torch.device) -> bool:
        """Whether feature maps lie innermost in memory: the faster order for these convolutions on this device."""
        if self.layout != "auto":
            return self.layout == "channels_last"
        if device.type == "cpu":
            return self.width <= WIDEST_CHANNELS_LAST or torch.is_autocast_enabled("cpu")
        return device.type == "cuda"


def _convolve(x: Tensor, convolution: nn.Conv2d) -> Tensor:
    """`convolution` of (batch, inputs, frames, bands).

    Where one band is left, the kernel's outer columns only ever see padding: without them the result is the same.
    """
    return convolve(x, convolution.weight[:, :, :, 1:2] if x.shape[3] == 1 else convolution.weight)


def _conditioned(x: Tensor, text: Entry) -> Tensor:
    """Feature maps (batch, maps, frames, bands) as `text` changes them."""
    shift = text.shift[:, :, None, None]
    if text.scale is not None:
        return torch.addcmul(shift.to(x.dtype), x, (1 + text.scale[:, :, None, None]).to(x.dtype))
    if text.mix is not None:
        return x + convolve(x, text.mix) + shift
    return x + shift


def spectral_shape(
    logmel: Float[Tensor, "batch frames mels"],
    frames: Int[Tensor, " batch"],
    speech: Bool[Tensor, "batch frames"] | None,
) -> Float[Tensor, "batch shape"]:
    """Mean over time of each mel band, less the mean of all bands, and each one's standard deviation [dB].

    A gain changes nothing of it, but where there is digital silence. `logmel` in dB, `frames` the true length of each;
    `speech` is whether a frame is a true one, None where all are.
    """
    if speech is None:
        deviation, mean = torch.std_mean(logmel, 1, correction=0)
    else:
        count = frames[:, None]
        mean = logmel.masked_fill(~speech[:, :, None], 0.0).sum(1) / count
        apart = (logmel - mean[:, None]).masked_fill(~speech[:, :, None], 0.0)
        deviation = (apart.square().sum(1) / count).sqrt()
    return torch.cat([mean - mean.mean(1, keepdim=True), deviation], 1)


def _speech(frames: Tensor, longest: int | torch.SymInt) -> Tensor:
    """Whether each of `longest` frames is one of the utterance's: (batch,) -> (batch, longest)."""
    return torch.arange(longest, device=frames.device) < frames[:, None]


def initialise(module: nn.Module, generator: torch.Generator | None) -> None:
    """Xavier-uniform weights drawn from `generator`, zero biases, batch normalisation 1 and 0: of `module` alone."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight, generator=generator)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        module.reset_parameters()


def arguments(experiment: Any, source: Any) -> dict[str, Any]:
    """What `Cnn14` is built with for a run, as its checkpoint keeps it.

    Args:
        experiment: training.experiment.Experiment; its model names the conditioned stages.
        source: datasets.source.Source of the training corpus, with text embeddings or without.
    """
    return {
        "outputs": experiment.outputs,
        "text_stages": list(stages_of(experiment.model, experiment.network)),
        "text_width": 0 if source.embeddings is None else source.embeddings.array.shape[1],
        "width": experiment.network.width,
        "mels": experiment.features.mels,
        "dropout": experiment.network.dropout,
        "projection": experiment.network.projection,
        "mechanism": experiment.network.mechanism,
        "text_dropout": experiment.network.text_dropout,
        "standardised": experiment.text.standardised,
        "regression": experiment.network.regression,
        "regression_bands": audio.narrowband(experiment.features),
    }
