"""How a text embedding changes the feature maps of a block of CNN14: four mechanisms, one of which is the paper's.

With E the embedding (text_width,), Y the pooled feature maps of a block and PROJ(E) = W E + b, one number a map:

    shift     Y + PROJ(E)                            the paper's equations 3 to 5
    film      Y (1 + G E + g) + PROJ(E)              feature-wise linear modulation: Perez et al., AAAI 2018, equation 2
    concat    Y + M Y + PROJ(E)                      [Y; E] at every place through a linear layer, whose weights of Y
                                                     are written I + M: Dumoulin et al., Distill 2018
    gate      Y + sigmoid(U E + u) PROJ(E)           a stage that can close itself on an utterance by what is said: the
                                                     gate of Arevalo et al., ICLR 2017 (workshop), of the text alone

Where all of a stage's weights are zero it leaves the maps as they are, to the last bit.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sercore.settings import MECHANISMS

OPEN = 1.0  # bias of a gate at the start: sigmoid(1) = .73 of the shift passes


class Entry(NamedTuple):
    """What the text does to feature maps Y (batch, maps, frames, bands): Y + scale Y + mix Y + shift."""

    shift: Float[Tensor, "batch maps"]
    scale: Float[Tensor, "batch maps"] | None = None
    mix: Float[Tensor, "maps maps 1 1"] | None = None


class Shift(nn.Linear):
    """PROJ itself (equations 3 to 5): the weights of the other mechanisms come beside its own."""

    def entry(self, text: Float[Tensor, "batch text_width"]) -> Entry:
        """What `text` does to a block's maps; the call itself gives W `text` + b, as of any linear layer."""
        return Entry(self(text))

    def start(self, reach: float | None, generator: torch.Generator | None) -> None:
        """Draw PROJ's weights and biases within `reach`; None: leave them. What is beside PROJ starts without effect.

        A gate starts at OPEN.
        """
        if reach is not None:
            for parameter in (self.weight, self.bias):
                nn.init.uniform_(parameter, -reach, reach, generator=generator)


class Film(Shift):
    """Scale and shift: the first half of the outputs is the scale, which starts as PROJ does."""

    def __init__(self, text_width: int, maps: int) -> None:
        super().__init__(text_width, 2 * maps)

    def entry(self, text: Float[Tensor, "batch text_width"]) -> Entry:
        """What `text` does to a block's maps."""
        scale, shift = self(text).chunk(2, 1)
        return Entry(shift, scale=scale)


class Concat(Shift):
    """A linear layer of maps and embedding together."""

    def __init__(self, text_width: int, maps: int) -> None:
        super().__init__(text_width, maps)
        self.mix = nn.Conv2d(maps, maps, 1, bias=False)

    def entry(self, text: Float[Tensor, "batch text_width"]) -> Entry:
        """What `text` does to a block's maps."""
        return Entry(self(text), mix=self.mix.weight)

    def start(self, reach: float | None, generator: torch.Generator | None) -> None:
        """As Shift.start."""
        super().start(reach, generator)
        nn.init.zeros_(self.mix.weight)


class Gate(Shift):
    """A shift times how far its stage is open for what is said."""

    def __init__(self, text_width: int, maps: int) -> None:
        super().__init__(text_width, maps)
        self.opening = nn.Linear(text_width, 1)

    def entry(self, text: Float[Tensor, "batch text_width"]) -> Entry:
        """What `text` does to a block's maps."""
        return Entry(self.opened(text) * self(text))

    def opened(self, text: Float[Tensor, "batch text_width"]) -> Float[Tensor, "batch 1"]:
        """How far the stage is open, 0 to 1."""
        return torch.sigmoid(self.opening(text))

    def start(self, reach: float | None, generator: torch.Generator | None) -> None:
        """As Shift.start."""
        super().start(reach, generator)
        nn.init.zeros_(self.opening.weight)
        nn.init.constant_(self.opening.bias, OPEN)


KINDS: dict[str, type[Shift]] = dict(zip(MECHANISMS, (Shift, Film, Concat, Gate), strict=True))
