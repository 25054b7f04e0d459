"""Transcript -> embedding (section 3)."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from sercore.features.hub import EncoderError, encoder_fingerprint, encoder_folder, load_network
from sercore.settings import TextSettings

if TYPE_CHECKING:
    import transformers


def load_encoder(encoder: str) -> "transformers.PreTrainedModel":
    """The encoder's network with its weights, float32, in evaluation mode.

    Raises EncoderError where it cannot be read, or weights are absent (but for the pooler, unused here) or do not fit.
    """
    return load_network(encoder_folder(encoder), "text encoder", unused=("pooler.",))


class TextEncoder:
    """A frozen BERT-type encoder: a transcript's embedding is the mean of its tokens' vectors in the last layer.

    The mean is over all real tokens, the two special ones ([CLS] and [SEP]) included and padding left out. So the empty
    transcript has an embedding too, that of these two alone; a missing transcript is taken as empty. A transcript is
    cut at `settings.tokens` tokens, special ones included.
    """

    def __init__(self, settings: TextSettings, device: str | torch.device = "cpu") -> None:
        """Find the encoder, and load its weights when they are first needed. Raises EncoderError."""
        from transformers import AutoConfig, AutoTokenizer

        self.settings = settings
        self.device = torch.device(device)
        folder = encoder_folder(settings.encoder)
        configuration = AutoConfig.from_pretrained(folder, local_files_only=True)
        self.width: int = configuration.hidden_size
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        most = configuration.max_position_embeddings
        if settings.tokens > most:
            raise EncoderError(f"text encoder '{settings.encoder}' reads {most} tokens at most, not {settings.tokens}")

    @property
    def fingerprint(self) -> str:
        """The encoder_fingerprint of the settings."""
        return encoder_fingerprint(self.settings)

    @cached_property
    def model(self) -> torch.nn.Module:
        """The network, frozen."""
        model: torch.nn.Module = load_encoder(self.settings.encoder)
        return model.requires_grad_(False).to(self.device)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, special ones included, at most settings.tokens."""
        cut = {"truncation": True, "max_length": self.settings.tokens}
        return self.tokenizer(list(texts), **cut)["input_ids"] if texts else []

    def embed(
        self, texts: Sequence[str], batch: int = 32, progress: Callable[[int, int], None] | None = None
    ) -> Float[Tensor, "texts width"]:
        """Embedding of each text, float32 on the CPU; a text that occurs twice is computed once.

        The texts are sorted by length into batches, so that little is padded; `progress(done, total)` follows each.
        """
        distinct = list(dict.fromkeys(texts))
        tokens = self.tokenize(distinct)
        order = sorted(range(len(distinct)), key=lambda i: len(tokens[i]))
        embeddings = torch.empty(len(distinct), self.width)
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            embeddings[rows] = self._means([tokens[i] for i in rows]).cpu()
            if progress is not None:
                progress(start + len(rows), len(order))
        place = {text: i for i, text in enumerate(distinct)}
        return embeddings[[place[text] for text in texts]]

    def _means(self, tokens: Sequence[Sequence[int]]) -> Float[Tensor, "texts width"]:
        counts = torch.tensor([len(ids) for ids in tokens], device=self.device)
        padded = torch.nn.utils.rnn.pad_sequence([torch.tensor(ids) for ids in tokens], batch_first=True)
        real = torch.arange(padded.shape[1], device=self.device) < counts[:, None]  # (texts, tokens)
        model = self.model  # loaded here, lest its weights become inference tensors
        with torch.inference_mode():
            states = model(input_ids=padded.to(self.device), attention_mask=real.long()).last_hidden_state
            return (states * real[..., None]).sum(1) / counts[:, None]
