"""Miniature corpora of synthesised speech, written in the native layouts of IEMOCAP and MSP-Podcast, defects included.

They exist so that every reader, model and table can be tried where the licensed corpora are not at hand. What was
simulated (emotions.py) is simpler than human speech: results show whether the study works, not what is true of people.
"""

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sercore import files
from sercore.corpora.corpus import SIMULATED, contents
from sercore.corpora.synthetic import espeak, iemocap, msp_podcast
from sercore.corpora.synthetic.sentences import LEXICON
from sercore.schema import did_you_mean

LAYOUTS = {"iemocap": iemocap, "msp-podcast": msp_podcast}
TITLES = {"iemocap": "IEMOCAP", "msp-podcast": "MSP-Podcast"}
RECIPE = 2  # counted up whenever the same settings would give other bytes
DIGEST = "settings: "
UNFINISHED = ".part"

__all__ = ["LAYOUTS", "reference_transcripts", "speak"]


def speak(
    name: str,
    folder: str | Path,
    seed: int = 0,
    sentences: str | Path | None = None,
    processes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    size: float = 1.0,
    common: float = 0.0,
) -> bool:
    """Write the miniature corpus `name` ("iemocap", "msp-podcast") as `folder`, whole or not at all.

    Returns whether it was made: a corpus that is there already and was made with the same settings is kept.
    The same `seed`, `sentences` and `size` give the same bytes, whatever the number of `processes` (all cores by
    default). `sentences` is a CSV of rated text to synthesise in place of our own, with the columns text, valence,
    arousal, dominance and optionally partition; none is spoken twice, so a partition of few gives fewer turns. `size`
    scales the number of turns. `common` is the share of turns that are spoken with one of a few sentences that tell
    nothing, in every emotion and at every rating. `progress` is called with (utterances done, all of them).

    Raises ValueError for an unknown name, a size or number of processes that is not above 0 or a share that is none,
    FileExistsError where `folder` holds anything else, and ModuleNotFoundError where the synthesiser is not installed.
    """
    if name not in LAYOUTS:
        raise ValueError(f"unknown corpus '{name}'{did_you_mean(name, LAYOUTS)}")
    if not size > 0 or (processes is not None and processes < 1):
        raise ValueError(f"size is {size} and processes {processes}; expected both above 0")
    if not 0 <= common <= 1:
        raise ValueError(f"common is {common}; expected a share of the turns, 0 to 1")
    folder = files.resolve(folder)
    sentences = None if sentences is None else files.resolve(sentences)
    script = LAYOUTS[name].script(seed, size, sentences, common)
    text = _readme_text(name, seed, size, sentences, common)
    made = not _is_there(folder, text)
    if made:
        with _whole(folder) as unfinished:
            seconds = espeak.speak(script.requests, unfinished, processes or os.cpu_count() or 1, progress)
            LAYOUTS[name].write(unfinished, script, seconds)
            (unfinished / SIMULATED).write_text(text, encoding="utf-8")
    return made


def reference_transcripts(folder: str | Path, sentences: str | Path | None = None) -> dict[str, str]:
    """Utterance -> its reference transcript, of a miniature corpus in `folder`; a release may have none.

    `sentences` is the CSV that it was synthesised from, where it was one. Raises FileNotFoundError where `folder` is no
    such corpus, and ValueError where it was synthesised from other sentences, or by a version of the project that
    planned it in another way.
    """
    readme = files.resolve(folder) / SIMULATED
    if not readme.is_file():
        raise FileNotFoundError(f"no {readme}; expected a corpus that `sercore speak` made")
    written = readme.read_text(encoding="utf-8").splitlines()
    name, seed, size = (_setting(written, key, readme) for key in ("corpus", "seed", "size"))
    common = float(_setting(written, "common", readme)) if any(line.startswith("common: ") for line in written) else 0.0
    sentences = None if sentences is None else files.resolve(sentences)
    if _readme_text(name, int(seed), float(size), sentences, common).splitlines()[-1] != written[-1]:
        raise ValueError(
            f"{readme} was made from other sentences than {sentences or 'our own'}, or by another version of the "
            "project: name the sentences that it was synthesised from, or make it again"
        )
    script = LAYOUTS[name].script(int(seed), float(size), sentences, common)
    return {turn.utterance: turn.text for turn in script.turns}


def _setting(lines: Sequence[str], key: str, path: Path) -> str:
    """The value of `key` among the `lines` of the file `path`."""
    values = [line.partition(": ")[2] for line in lines if line.startswith(f"{key}: ")]
    if len(values) != 1:
        raise ValueError(f"{path}: expected one line '{key}: ...', found {len(values)}; make the corpus again")
    return values[0]


def _readme_text(name: str, seed: int, size: float, sentences: Path | None, common: float) -> str:
    """The text of SIMULATED.txt; its last line is a digest of the settings."""
    source, words = "a grammar of our own", LEXICON.read_bytes()
    if sentences is not None:
        source, words = f"rated text of {sentences.name}, under whatever licence that has", sentences.read_bytes()
    try:
        engine = f"espeak-ng (espeakng-loader {version('espeakng-loader')})"
    except PackageNotFoundError:
        engine = "espeak-ng"
    settings = {
        "corpus": name,
        "seed": seed,
        "size": size,
        "recipe": RECIPE,
        "sentences": hashlib.sha256(words).hexdigest(),
        **({"common": common} if common else {}),
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    return (
        f"SIMULATED: nobody said any of this. A miniature in the layout of {TITLES[name]}, made by sercore.\n\n"
        f"The speech is synthesised by {engine} (GPL-3; a program that was used, no part of this).\n"
        f"The sentences come from {source}. Emotions, the affect in voice and words, raters, talkers, rooms and\n"
        "channels are simulated with random numbers: the voice shows arousal and dominance, the words show valence.\n"
        f"Nothing of the real {TITLES[name]} is in it, and no result on it says anything about people.\n"
        "Files of the kinds that give readers trouble are there on purpose (hidden files, rows without audio, ...).\n\n"
        + "".join(f"{key}: {value}\n" for key, value in settings.items())
        + f"{DIGEST}{digest}\n"
    )


def _is_there(folder: Path, text: str) -> bool:
    """Whether `folder` is a corpus of the same settings. Raises FileExistsError where it is anything else but empty."""
    if not folder.exists() and not folder.is_symlink():
        return False
    if not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; expected a folder to be made")
    if not any(folder.iterdir()):
        return False
    readme = folder / SIMULATED
    if not readme.is_file():
        raise FileExistsError(
            f"{folder} holds something else, {contents(folder)}; nothing is written over: give another folder"
        )
    if readme.read_text(encoding="utf-8").splitlines()[-1:] != text.splitlines()[-1:]:
        raise FileExistsError(f"{folder} was made with other settings, see {readme}; remove it or give another folder")
    return True


@contextlib.contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder` that takes its place when the block ends without an error."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".{folder.name}.*{UNFINISHED}"):
        if not files.process_alive(int(left.name.split(".")[-2].split("-")[0])):  # a killed process's
            shutil.rmtree(left, ignore_errors=True)
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}{UNFINISHED}")
    try:
        unfinished.mkdir()
        yield unfinished
        unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
