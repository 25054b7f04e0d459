"""Transcript -> embedding (section 3)."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sercore.features.hub import (
    LOCAL,
    EncoderError,
    empty_network,
    encoder_fingerprint,
    encoder_folder,
    first_line,
    load_network,
    quiet_transformers,
)
from sercore.schema import first
from sercore.settings import TextSettings

if TYPE_CHECKING:
    import transformers

UNUSED = ("pooler.", "decoder.")  # weights of a text model that an encoder need not have
POSITIONS_BEHIND_PADDING = (
    "camembert",
    "data2vec-text",
    "ibert",
    "longformer",
    "luke",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
)
"""Families whose positions are counted from the padding token's number on, so that there are fewer of them."""
FILLERS = ("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id", "unk_token_id")
"""What stands for the empty text where a tokeniser adds no token of its own, the first that it has."""
CLOSE = 1e-3  # of the largest number: how far padding may move an answer in float32
UNKNOWN, PIECES = 0.02, 1.5  # of a Coverage, above which the texts are of a language that the encoder hardly knows
MEASURED = 2_000  # texts by which that is found
SPACELESS = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"  # Thai, Lao, Burmese, Khmer, kana, Han
WORD = re.compile(rf"[{SPACELESS}]|[^\W\d_{SPACELESS}]+|\d+|[^\w\s]")
"""A word, a number, a sign, or a character of a script that puts no space between words."""
BATCH = 32  # texts of one length at a time on a GPU; on a CPU one
FOREIGN = (AttributeError, ImportError, IndexError, KeyError, NotImplementedError, OSError, TypeError, ValueError)
"""What transformers raises for a folder or a family that it cannot use in this way; RuntimeError is torch's."""


def load_encoder(encoder: str) -> "transformers.PreTrainedModel":
    """The encoder's network with its weights, float32, in evaluation mode; of an encoder and decoder the first alone.

    Raises EncoderError where it cannot be read, weights are absent (but for UNUSED) or do not fit, and for a family
    whose networks do not take tokens and a mask, or whose answers depend on what lies in the padding.
    """
    folder = encoder_folder(encoder)
    network = _encoder_of(load_network(folder, "text encoder", UNUSED))
    family = network.config.model_type
    try:
        apart = _moved_by_padding(network)
    except (*FOREIGN, RuntimeError) as error:
        raise EncoderError(
            f"text encoder in {folder}: networks of the family '{family}' cannot embed a text by its tokens and a mask "
            f"({type(error).__name__}: {first_line(error)}); take one of another family, as BERT, RoBERTa or T5"
        ) from error
    if not apart <= CLOSE:
        raise EncoderError(
            f"text encoder in {folder}: in networks of the family '{family}' padding changes the other tokens by "
            f"{apart:.2g} of their size; take one of another family, as BERT, RoBERTa or T5"
        )
    return network


def empty_encoder(architecture: Mapping[str, Any]) -> "transformers.PreTrainedModel":
    """As `load_encoder`, of the shape that a configuration of transformers describes; its weights are to be filled."""
    return _encoder_of(empty_network(architecture))


def _encoder_of(network: "transformers.PreTrainedModel") -> "transformers.PreTrainedModel":
    """`network`, or the encoder of one that has a decoder too (T5, BART)."""
    from transformers import PreTrainedModel

    part = getattr(network, "encoder", None)
    return part if isinstance(part, PreTrainedModel) and hasattr(network, "decoder") else network


def _moved_by_padding(network: "transformers.PreTrainedModel") -> float:
    """How far two padded positions move the answers for three tokens, as a share of the largest of these."""
    ids = torch.arange(2, 5)[None] % network.config.vocab_size
    padding = torch.zeros(1, 2, dtype=torch.int64)
    with torch.inference_mode():
        alone = network(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        mask = torch.cat([torch.ones_like(ids), padding], dim=1)
        padded = network(input_ids=torch.cat([ids, padding], dim=1), attention_mask=mask).last_hidden_state[:, :3]
    return float((alone - padded).abs().max() / alone.abs().max())


def _positions(configuration: Any) -> int | None:
    """How many tokens a text may have at most; None where the family has no places that could run out."""
    places = getattr(configuration, "max_position_embeddings", None)
    if not isinstance(places, int) or places <= 0:  # T5 and XLNet know distances only
        return None
    behind = configuration.model_type in POSITIONS_BEHIND_PADDING
    return places - configuration.pad_token_id - 1 if behind else places


class Coverage(NamedTuple):
    """How well a tokeniser knows the words of some texts."""

    unknown: float  # share of the tokens
    pieces: float  # tokens a word; of a script that puts no space between words, a character

    def complaint(self, encoder: str) -> str:
        """What is to be said of the text encoder of this name; empty where it knows the language of the texts."""
        if self.unknown <= UNKNOWN and self.pieces <= PIECES:
            return ""
        return (
            f"text encoder '{encoder}' hardly knows the language of the transcripts: {100 * self.unknown:.1f} % of the "
            f"tokens are unknown to it, and it cuts a word into {self.pieces:.1f} pieces (English encoders an English "
            "one: 1.1); take one that knows it, by id or folder, as text: {encoder: bert-base-multilingual-cased}"
        )


class TextEncoder:
    """A frozen text encoder: a transcript's embedding is the mean of its tokens' vectors in the last layer.

    The mean is over all tokens, the special ones (BERT's [CLS] and [SEP]) included. So the empty transcript has an
    embedding too, that of these alone; a missing transcript is taken as empty. A transcript is cut at `settings.tokens`
    tokens, special ones included.
    """

    def __init__(self, settings: TextSettings, device: str | torch.device = "cpu") -> None:
        """Find the encoder, and load its weights when they are first needed. Raises EncoderError."""
        from transformers import AutoConfig, AutoTokenizer

        self.settings = settings
        self.device = torch.device(device)
        folder = encoder_folder(settings.encoder)
        try:
            configuration = AutoConfig.from_pretrained(folder, **LOCAL)
            self.width: int = configuration.hidden_size
        except FOREIGN as error:
            raise EncoderError(
                f"text encoder '{settings.encoder}': its configuration cannot be used: {first_line(error)}"
            ) from error
        self.family: str = configuration.model_type
        try:
            with quiet_transformers():
                self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, **LOCAL)
        except FOREIGN as error:
            raise EncoderError(
                f"text encoder '{settings.encoder}' of the family '{self.family}': its tokeniser cannot be read: "
                f"{first_line(error)}"
            ) from error
        most = _positions(configuration)
        if most is not None and settings.tokens > most:
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
        """Token ids of each text, special ones included, at least one and at most settings.tokens.

        Raises EncoderError where a text has no token, not even a special one.
        """
        cut = {"truncation": True, "max_length": self.settings.tokens}
        found = self.tokenizer(list(texts), **cut)["input_ids"] if texts else []
        return [ids or [self._filler(text)] for text, ids in zip(texts, found, strict=True)]

    def coverage(self, texts: Iterable[str]) -> Coverage:
        """How well the tokeniser knows the words of the first MEASURED of `texts` that differ."""
        sample = [text for text in itertools.islice(dict.fromkeys(texts), MEASURED) if text]
        tokens = self.tokenizer(sample, add_special_tokens=False)["input_ids"] if sample else []
        ids = [token for some in tokens for token in some]
        unknown = getattr(self.tokenizer, "unk_token_id", None)
        words = sum(len(WORD.findall(text)) for text in sample)
        return Coverage(
            unknown=sum(token == unknown for token in ids) / max(1, len(ids)), pieces=len(ids) / max(1, words)
        )

    def _filler(self, text: str) -> int:
        known = (getattr(self.tokenizer, name, None) for name in FILLERS)
        filler = next((token for token in known if token is not None), None)
        if filler is None:
            raise EncoderError(
                f"text encoder '{self.settings.encoder}' of the family '{self.family}' has no token for {text!r}, and "
                f"none that could stand for it ({first(FILLERS)})"
            )
        return int(filler)

    def embed(
        self, texts: Sequence[str], batch: int | None = None, progress: Callable[[int, int], None] | None = None
    ) -> Float[Tensor, "texts width"]:
        """Embedding of each text, float32 on the CPU; a text that occurs twice is computed once.

        Its bits do not depend on the other texts, nor, on the CPU, on the number of threads: nothing is padded, and the
        network always gets `batch` texts of one length (None: one on the CPU, each in a thread of its own, and BATCH on
        a GPU), which are filled up with copies. `progress(done, total)` follows each batch.
        """
        size = batch or (1 if self.device.type == "cpu" else BATCH)
        distinct = list(dict.fromkeys(texts))
        tokens = self.tokenize(distinct)
        order = sorted(range(len(distinct)), key=lambda i: len(tokens[i]))
        equal = [list(rows) for _, rows in groupby(order, key=lambda i: len(tokens[i]))]
        batches = [rows[start : start + size] for rows in equal for start in range(0, len(rows), size)]
        filled = [[tokens[i] for i in (rows + rows[:1] * size)[:size]] for rows in batches]
        embeddings, done = torch.empty(len(distinct), self.width), 0
        for rows, means in zip(batches, self._computed(filled), strict=True):
            embeddings[rows] = means[: len(rows)]
            done += len(rows)
            if progress is not None:
                progress(done, len(distinct))
        place = {text: i for i, text in enumerate(distinct)}
        return embeddings[[place[text] for text in texts]]

    def _computed(self, batches: Sequence[list[list[int]]]) -> Iterator[Tensor]:
        """The means of each batch; on the CPU as many at once as torch may use threads, each in one."""
        if not batches:
            return
        _ = self.model  # loaded here: once, and lest its weights become inference tensors
        threads = torch.get_num_threads()
        if self.device.type != "cpu" or threads == 1:
            yield from map(self._means, batches)
            return
        torch.set_num_threads(1)
        try:
            with ThreadPoolExecutor(threads) as pool:
                yield from pool.map(self._means, batches)
        finally:
            torch.set_num_threads(threads)

    def _means(self, tokens: list[list[int]]) -> Float[Tensor, "texts width"]:
        """Mean of the tokens' vectors of each text, on the CPU; all texts are of one length."""
        with torch.inference_mode():
            ids = torch.tensor(tokens, device=self.device)
            return self.model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state.mean(1).cpu()
