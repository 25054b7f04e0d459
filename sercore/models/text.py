"""The fine-tuned text model (section 4.2)."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from sercore.features import text
from sercore.models.cnn14 import Output, initialise


class TextModel(nn.Module):
    """A text encoder with a final linear layer, fine-tuned as a whole (section 4.2).

    How the tokens become one vector is not stated in the paper; here it is their mean, as for the fusion models.
    """

    def __init__(
        self,
        encoder: str,
        outputs: int,
        generator: torch.Generator | None = None,
        architecture: Mapping[str, Any] | None = None,
    ) -> None:
        """`encoder` as features.encoder_folder takes it. With an `architecture` (a configuration of transformers) it is
        not looked for: the network has the right shape and weights without meaning, to be filled.

        The output layer is Xavier-uniform, drawn from `generator` (None: PyTorch's global one), its bias zero. Raises
        EncoderError as features.load_encoder does.
        """
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # transformers draws from the global generator
            self.encoder = text.load_encoder(encoder) if architecture is None else text.empty_encoder(architecture)
        if "pooler" in dict(self.encoder.named_children()):
            self.encoder.register_module("pooler", None)  # takes the first token, and nothing here uses it
        with torch.device("meta"):
            self.output = nn.Linear(self.encoder.config.hidden_size, outputs)
        self.output.to_empty(device="cpu")
        initialise(self.output, generator)

    def forward(
        self, tokens: Int[Tensor, "batch tokens"], mask: Bool[Tensor, "batch tokens"] | Int[Tensor, "batch tokens"]
    ) -> Output:
        """Answer for each transcript: `tokens` are ids, `mask` is true where there is one, false in the padding."""
        states = self.encoder(input_ids=tokens, attention_mask=mask.long()).last_hidden_state  # (batch, tokens, width)
        real = mask[:, :, None].to(states.dtype)  # (batch, tokens, 1)
        embedding = (states * real).sum(1) / real.sum(1)
        return Output(self.output(embedding), embedding)

    def extra_settings(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the arguments, so that loading it needs no encoder."""
        return {"architecture": self.encoder.config.to_dict()}


def arguments(experiment: Any, source: Any) -> dict[str, Any]:  # noqa: ARG001 -- one signature for all models
    """What `TextModel` is built with for a run (training.experiment.Experiment), as its checkpoint keeps it."""
    return {"encoder": experiment.text.encoder, "outputs": experiment.outputs}
