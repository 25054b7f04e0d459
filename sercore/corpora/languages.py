"""Whether transcripts are in English, which the default text encoder and the default speech recogniser know alone."""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from sercore.corpora.transcripts import words

MOST_COMMON = (
    "a about all am an and are at be been but by can could did do does for from get go had has have he her here him "
    "his how i if in is it it's just like me my no not now of on or our out right she so some that the their them then "
    "there they this to up us was we well were what when who will with would you your"
)
COMMON = frozenset(MOST_COMMON.split())
"""Words that make up about half of what is said in English."""
FEW_COMMON = 0.15  # share of all words, below which a text is hardly English
ENOUGH = 30  # different words from which on that share says something
FOREIGN = 0.05  # share of the different transcripts with a letter that English does not have
ENGLISH_ENCODERS = (
    "all-minilm-l6-v2",
    "bert-base-cased",
    "bert-base-uncased",
    "bert-large-cased",
    "bert-large-uncased",
    "deberta-v3-base",
    "distilbert-base-uncased",
    "electra-base-discriminator",
    "gpt2",
    "roberta-base",
    "roberta-large",
)
"""Names of text encoders, without their owner, that were made of English texts."""
ADVICE = (
    "the default text encoder and speech recogniser know English: name a multilingual encoder, by id or folder, as "
    "text: {encoder: bert-base-multilingual-cased}, and recognise speech with `sercore transcribe --model small "
    "--language CODE`; models without text, as cnn14, need neither"
)


def not_english(transcripts: Iterable[object]) -> str:
    """Why `transcripts` (text; others are passed over) seem not to be English; empty where nothing speaks against it.

    >>> not_english(["Der Lappen liegt auf dem Eisschrank.", "Heute abend k\u00f6nnte ich es ihm sagen."])
    '50 % of the different transcripts have letters that English does not have, as \u00f6'
    >>> not_english(["It will happen in seven hours.", "Say it again!"])
    ''
    """
    texts = {text for text in transcripts if isinstance(text, str) and text.strip()}
    foreign: Counter[str] = Counter()
    touched = 0
    for text in texts:
        letters = {letter for letter in text.casefold() if _is_foreign(letter)}
        foreign.update(letters)
        touched += bool(letters)
    if touched > FOREIGN * len(texts):
        shown = " ".join(sorted(letter for letter, _ in foreign.most_common(5)))
        share = f"{touched / len(texts):.0%}".replace("%", " %")
        return f"{share} of the different transcripts have letters that English does not have, as {shown}"
    counts = Counter(word for text in texts for word in words(text))
    common = sum(count for word, count in counts.items() if word in COMMON) / max(1, counts.total())
    if len(counts) >= ENOUGH and common < FEW_COMMON:
        return f"{common:.0%} of the words are among English's most common ones, of which about half should be".replace(
            "%", " %", 1
        )
    return ""


def is_english(encoder: str) -> bool:
    """Whether the text encoder of this name is known to have been made of English texts."""
    return encoder.rpartition("/")[2].lower() in ENGLISH_ENCODERS


@lru_cache(maxsize=4096)
def _is_foreign(letter: str) -> bool:
    """Whether English words do not have this letter: those with an accent, and of other scripts."""
    return not letter.isascii() and unicodedata.category(letter)[0] == "L"
