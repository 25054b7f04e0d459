"""The transcripts that a run is told: as they are, other ones, corrupted at a given rate, shuffled, or none at all.

What happens to a word depends on the utterance's id and the word's place alone: it is the same for every model and
seed, on every machine, and whoever is told more errors is told all the fewer ones as well.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from hashlib import blake2b

from sercore.corpora import Corpus
from sercore.corpora.msp_podcast import read_transcripts
from sercore.schema import did_you_mean, first
from sercore.settings import EMPTY, OWN, TextSettings
from sercore.wer import words

REPLACED, DELETED = 0.6, 0.2
"""Shares of a corrupted word's fates; the rest has a word inserted behind it. Recognition errs about so."""


def tell(corpus: Corpus, text: TextSettings) -> Corpus:
    """`corpus` with the transcripts that `text` asks for: taken from a source, then shuffled, then corrupted.

    The source is the corpus's own transcripts, one of its other_transcripts by name, or none at all. What a source
    does not have is missing, and a missing transcript is told as an empty one. Raises ValueError for a source that the
    corpus does not have or that has none of its utterances, and as `shuffle` does.
    """
    if (text.transcripts, text.corruption, text.shuffled) == (OWN, 0.0, False):
        return corpus
    told = _taken(corpus, text.transcripts)
    if text.shuffled:
        told = shuffle(told)
    if text.corruption:
        told = corrupt(told, text.corruption)
    ids = corpus.utterances["utterance"]
    return dataclasses.replace(corpus, utterances=corpus.utterances.assign(transcript=ids.map(told).astype("str")))


def _taken(corpus: Corpus, source: str) -> dict[str, str | None]:
    """Utterance -> transcript of the source, None where it is missing."""
    ids = list(corpus.utterances["utterance"])
    if source == EMPTY:
        return dict.fromkeys(ids, "")
    if source == OWN:
        given = corpus.utterances["transcript"]
        return {name: text if known else None for name, text, known in zip(ids, given, given.notna(), strict=True)}
    if source not in corpus.other_transcripts:
        known = [OWN, EMPTY, *corpus.other_transcripts]
        raise ValueError(
            f"corpus '{corpus.name}' has no transcripts '{source}'{did_you_mean(source, known)}; known: "
            f"{', '.join(known)}; others are files that its `other_transcripts` name in the parameters file"
        )
    path = corpus.other_transcripts[source]
    held = read_transcripts(path)
    if not held.keys() & set(ids):
        raise ValueError(
            f"{path} has transcripts of {first(sorted(held))}, and none of the {len(ids)} utterances of "
            f"'{corpus.name}', {first(ids)}; name the file that was made from this corpus"
        )
    return {name: held.get(name) for name in ids}


def corrupt(transcripts: Mapping[str, str | None], rate: float) -> dict[str, str | None]:
    """`transcripts` (utterance -> text) in which each word is wrong with the probability `rate`, 0 to 1.

    A wrong word is replaced by another one (share .6), deleted (.2) or followed by another one (.2), drawn from all
    words of `transcripts`, so that frequent ones come more often. The word error rate comes to about `rate`, a little
    less where an error mends another. A word that is wrong at one rate is wrong in the same way at all higher ones.
    A missing transcript stays missing. Raises ValueError for a rate that is none.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"corruption is {rate}; expected a share of the words, 0 to 1")
    vocabulary = sorted(word for text in transcripts.values() if text for word in words(text))
    return {name: text and _corrupted(name, text, rate, vocabulary) for name, text in transcripts.items()}


def _corrupted(utterance: str, text: str, rate: float, vocabulary: Sequence[str]) -> str:
    told = []
    for place, word in enumerate(text.split()):
        if _chance(utterance, place, "wrong") >= rate:
            told.append(word)
            continue
        fate = _chance(utterance, place, "fate")
        other = _other(word, vocabulary, _chance(utterance, place, "word"))
        if fate < REPLACED:
            told.append(other)
        elif fate >= REPLACED + DELETED:
            told += [word, other]
    return " ".join(told)


def _other(word: str, vocabulary: Sequence[str], chance: float) -> str:
    """The word at `chance` of the sorted `vocabulary`, or the next that is not `word`; `word` where there is no other.

    >>> _other("Dog.", ["cat", "dog", "dog"], 0.5)
    'cat'
    """
    start = int(chance * len(vocabulary))
    same = words(word)
    for place in range(len(vocabulary)):
        other = vocabulary[(start + place) % len(vocabulary)]
        if [other] != same:
            return other
    return word


def shuffle(transcripts: Mapping[str, str | None]) -> dict[str, str | None]:
    """`transcripts` (utterance -> text) in which every utterance has the transcript of another one.

    In an order that only the ids decide, each takes its successor's. Raises ValueError for fewer than two utterances.
    """
    if len(transcripts) < 2:
        raise ValueError(f"{len(transcripts)} utterances cannot be told each other's transcripts; expected at least 2")
    order = sorted(transcripts, key=lambda utterance: (_chance(utterance, 0, "order"), utterance))
    return {name: transcripts[after] for name, after in zip(order, [*order[1:], order[0]], strict=True)}


def _chance(utterance: str, place: int, what: str) -> float:
    """A number in [0, 1), the same for the same arguments everywhere, as if drawn at random for each of them."""
    drawn = blake2b(f"{utterance}\n{place}\n{what}".encode(), digest_size=7).digest()
    return int.from_bytes(drawn, "big") / 256**7
