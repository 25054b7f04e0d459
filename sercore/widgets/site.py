"""The results of a finished study as a folder of plain files: it opens in a web browser without server or network.

`gather` decides what may be in it and collects the tables, `write` adds sounds and spectrograms up to a size. The page
has the confusion matrices, the table of utterances and the player of the browsers: their scripts are in it as they are.
Data lie in scripts too, since a page that is opened as a file may load these, but read no other file.

Of synthesised speech, and of corpora of one's own, a site has transcripts and sounds. A licensed corpus's are left out
unless it is named; its labels too are licensed content, see study.archive.
"""

import base64
import io
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from importlib.resources import files as resources
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
import pandas as pd
import soundfile
from jaxtyping import Float

from sercore import files
from sercore.analysis import report, results
from sercore.analysis.results import Results
from sercore.corpora import Corpus
from sercore.registry import CORPORA, MODELS
from sercore.schema import DIMENSIONS, EMOTION, PROBABILITY, did_you_mean, first
from sercore.study import archive
from sercore.study.config import Study
from sercore.widgets import sound
from sercore.widgets.appearance import SHEET, model_colour
from sercore.widgets.confusions import Confusion, Confusions, describe_score
from sercore.widgets.selection import Choice, Selection

PAGE, REPORT = "index.html", "report.html"
SCRIPTS = ("grid", "player", "table")  # those of the browsers, which the page imports by these names
FACTS = ("speaker", "gender", "style", "seconds", "emotion", *DIMENSIONS)  # of the utterances that a site lists
LEAST = 1 / 1000  # of a probability that is kept
RESERVED = 64  # of an utterance, for what `media` says of its sound and picture [bytes]
Progress = Callable[[int, int], None]


class Site(NamedTuple):
    """What a site is made of, before its sounds."""

    study: Study
    held: dict[str, "Held"]
    texts: dict[str, str]  # path -> content
    utterances: dict[str, pd.DataFrame]  # corpus -> those that it lists, numbered from 0


@dataclass(frozen=True)
class Held:
    """A corpus, and what of it a site may have."""

    corpus: Corpus
    licensed: bool
    content: bool  # transcripts and sounds

    @property
    def warning(self) -> str:
        """What whoever gives the site away must know; empty where there is nothing."""
        label = CORPORA.label(self.corpus.name)
        if self.licensed:
            what = "labels, transcripts and sounds" if self.content else "labels"
            return f"it holds {what} of {label}: give it to nobody whom its licence does not let have them"
        if not self.corpus.simulated:
            return (
                f"it holds sounds and transcripts of {label}, which is no synthesised speech: whose voices are these?"
            )
        return ""


class Written(NamedTuple):
    """What `write` has written."""

    page: Path
    files: int
    bytes: int
    sounds: int  # utterances with a sound
    utterances: int
    beyond: int  # utterances without, because of the limit
    lost: dict[str, str]  # utterance whose sound cannot be read -> why


def gather(study: Study, *, with_labels: bool = False, with_audio_of: Collection[str] = ()) -> Site:
    """What the site of `study` holds but for its sounds.

    Args:
        study: whose runs are all complete, and whose corpora are there.
        with_labels: the labels of its licensed corpora may be passed on.
        with_audio_of: licensed corpora whose transcripts and sounds may be passed on too.

    Raises:
        FileNotFoundError: runs are not complete, or a corpus is not there.
        ValueError: a corpus is licensed, without `with_labels`; `with_audio_of` names none of the study.
    """
    archive.check_complete(study, "made a site")
    for name in with_audio_of:
        if name not in study.corpora:
            raise ValueError(f"study {study.name} has no corpus '{name}'{did_you_mean(name, study.corpora)}")
    about = archive.described(study)
    held = {name: _held(study, name, about.get(name, {}), with_audio_of) for name in study.corpora}
    licensed = [name for name, one in held.items() if one.licensed]
    if licensed and not with_labels:
        raise ValueError(
            f"{first(licensed)} is licensed, and so are its labels, of which a site shows those of each utterance. "
            "Nothing is written. Where its licence lets you pass labels on, say so with --with-labels; transcripts and "
            "sounds then still stay out, but with --with-audio-of"
        )
    pairs, numbers = _pairs(study)
    texts: dict[str, str] = {REPORT: _report(study)}
    utterances = {}
    for name, ids in numbers.items():
        table = held[name].corpus.utterances.set_index("utterance").reindex(list(ids))
        utterances[name] = table
        texts[f"data/{_file(name)}.js"] = _script(f"of {name}", _listed(table, held[name].content))
    for place, pair in enumerate(pairs):
        texts[f"data/pair-{place}.js"] = _script(f"pair {place}", pair.pop("content"))
    texts[PAGE] = _page(study, held, {"pairs": pairs, "corpora": {name: _file(name) for name in numbers}})
    return Site(study, held, texts, utterances)


def check_new(folder: Path) -> None:
    """Raise FileExistsError where there is something in `folder`."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is there already; name a new folder, or remove it")


def write(
    site: Site, folder: Path, most: float = 200.0, *, sounds: bool = True, progress: Progress | None = None
) -> Written:
    """Write `site` into `folder`, whole or not at all.

    Sounds, and with each its spectrogram, are added in a random order, always the same one, until the next one would
    not fit any more.

    Args:
        site: what `gather` gave.
        folder: a new or empty one.
        most: size of all files together [MB].
        sounds: whether there are to be any.
        progress: called with how many utterances are done, and how many there are.

    Raises:
        FileExistsError: there is something in `folder`.
        ValueError: the tables alone are larger than `most`.
    """
    check_new(folder)
    everyone = [(name, number) for name, table in site.utterances.items() for number in range(len(table))]
    base = sum(len(text.encode()) for text in site.texts.values()) + RESERVED * len(everyone)
    if base > most * 1e6:
        raise ValueError(
            f"the tables of study {site.study.name} alone are {base / 1e6:,.1f} MB, more than --most-mb {most:g}; "
            "nothing is written"
        )
    media = _Media(site, most * 1e6 - base)
    with files.private_folder(folder.parent) as staging:
        made = staging / "site"
        for path, text in site.texts.items():
            files.write_text(made / path, text)
        order = np.random.default_rng(0).permutation(len(everyone)) if sounds else []
        for done, place in enumerate(order, 1):
            media.add(made, *everyone[place])
            if progress is not None:
                progress(done, len(everyone))
        for name, table in site.utterances.items():
            files.write_text(
                made / f"data/{_file(name)}-media.js", _script(f"media of {name}", media.told(name, table))
            )
        written = [path.stat().st_size for path in made.rglob("*") if path.is_file()]
        made.rename(folder)
    return Written(folder / PAGE, len(written), sum(written), len(media.spans), len(everyone), media.beyond, media.lost)


class _Media:
    """Sounds and spectrograms, as long as there are bytes `left`."""

    def __init__(self, site: Site, left: float) -> None:
        corpora = [one.corpus for one in site.held.values()]
        self.site, self.left = site, left
        self.audio, self.frames = sound.audio_of(corpora), sound.CachedFrames(site.study)
        self.spans: dict[tuple[str, int], list[float] | None] = {}  # utterance with a sound -> span of its picture
        self.looks: dict[str, dict[str, Any]] = {}  # corpus -> what its pictures have in common
        self.beyond, self.lost = 0, dict[str, str]()

    def add(self, folder: Path, name: str, number: int) -> None:
        """Write the sound of an utterance, and its picture, into `folder`."""
        corpus = self.site.held[name].corpus
        if not (self.site.held[name].content and corpus.with_sound):
            return
        utterance = str(self.site.utterances[name].index[number])
        try:
            path = self.audio(name, utterance)
            heard = flac(*sound.read(path))
        except (KeyError, OSError, ValueError) as error:
            self.lost[utterance] = str(error.args[-1])
            return
        try:
            shown = self.frames(name, utterance, path)
            drawn = sound.picture(shown)
        except LookupError:
            shown, drawn = None, b""
        if len(heard) + len(drawn) > self.left:
            self.beyond += 1
            return
        self.left -= len(heard) + len(drawn)
        files.write_bytes(folder / "sounds" / _file(name) / f"{number}.flac", heard)
        self.spans[name, number] = None
        if shown is not None:
            files.write_bytes(folder / "spectrograms" / _file(name) / f"{number}.png", drawn)
            self.spans[name, number] = [round(end, 4) for end in sound.span(shown)]
            self.looks.setdefault(name, {"ticks": sound.ticks(shown.settings), "label": sound.describe(shown.settings)})

    def told(self, name: str, table: pd.DataFrame) -> dict[str, Any]:
        """What the page has to know of the sounds of the corpus `name`."""
        numbers = range(len(table))
        return {
            "sounds": [int((name, number) in self.spans) for number in numbers],
            "spans": [self.spans.get((name, number)) for number in numbers],
            **self.looks.get(name, {"ticks": [], "label": ""}),
        }


def flac(samples: Float[np.ndarray, " samples"], rate: int) -> bytes:
    """`samples` as a 16-bit FLAC: without loss, about half of a WAV, and played by every web browser."""
    content = io.BytesIO()
    soundfile.write(content, samples, rate, format="FLAC", subtype="PCM_16")
    return content.getvalue()


def _held(study: Study, name: str, about: dict[str, Any], with_audio_of: Collection[str]) -> Held:
    corpus = results.read_corpus(study, name)
    reader = study.corpora[name].get("reader") or name
    simulated = bool(about.get("simulated")) and corpus.simulated
    terms = [CORPORA[kind].licence for kind in (name, reader) if kind in CORPORA]
    licensed = not simulated and (any(terms) or not corpus.with_sound)  # without: of an archive, and not known whose
    return Held(corpus, licensed, content=not licensed or name in with_audio_of)


def _report(study: Study) -> str:
    """The report that `sercore report` wrote, or a new one where there is none since the newest result."""
    written = study.folder / REPORT
    newest = max(files.modified(run.folder / run.result) for run in study.runs)
    return written.read_text(encoding="utf-8") if files.modified(written) >= newest else report.page(study)


def _file(name: str) -> str:
    """What files and folders of the corpus `name` are called."""
    return f"corpus-{files.folder_name(name)}"


def _script(name: str, content: Any) -> str:
    """A script that gives the page `content` under `name`."""
    return f"sercore.take({json.dumps(name)}, {json.dumps(content, allow_nan=False, separators=(',', ':'))});\n"


def _listed(table: pd.DataFrame, content: bool) -> dict[str, list]:
    """Columns of the utterances of a corpus, with transcripts where `content` may be there."""
    names = [*FACTS, *(["transcript"] if content else [])]
    listed = {name: _plain(table[name], 2) for name in names if name in table and table[name].notna().any()}
    return {"utterance": [str(name) for name in table.index], **listed}


def _plain(column: pd.Series, digits: int) -> list:
    """The values of `column` as JSON has them: numbers rounded, None for what is missing."""
    if pd.api.types.is_numeric_dtype(column):
        return [None if value != value else round(value, digits) for value in column.astype("float64").tolist()]
    return [None if missing else str(value) for value, missing in zip(column, column.isna(), strict=True)]


def _pairs(study: Study) -> tuple[list[dict[str, Any]], dict[str, dict[str, int]]]:
    """Each pair of training and test corpus; and corpus -> id -> number of the utterances that are in any of them."""
    numbers: dict[str, dict[str, int]] = {}
    parts = [part for label, outcome in _sections(study) for part in _parts(label, outcome)]
    everything = {pair for part in parts for pair in part.pairs}
    found = []
    for pair in sorted(everything, key=lambda pair: (pair[0] != pair[1], *map(CORPORA.position, pair), pair)):
        rows = _Rows(numbers.setdefault(pair[1], {}))
        here = [part for part in parts if pair in part.pairs]
        emotions = [_categories(part, part.state, pair, rows) for part in here if part.state is not None]
        ratings = [one for part in here if part.state is None for one in _ratings(part, pair, rows)]
        content = {
            "utterance": rows.utterances,
            "fold": rows.folds,
            "sections": [
                {
                    "truth": rows.filled(one.pop("truth")),
                    "models": [{name: rows.filled(of) for name, of in model.items()} for model in one.pop("models")],
                }
                for one in emotions
            ],
            "ratings": [
                {**one, "values": {target: rows.filled(of) for target, of in one["values"].items()}} for one in ratings
            ],
        }
        label = f"{CORPORA.label(pair[0])} → {CORPORA.label(pair[1])}"
        found.append({"label": label, "corpus": pair[1], "sections": emotions, "content": content})
    return found, numbers


class _Part(NamedTuple):
    """The predictions of emotions, or of ratings, of a section."""

    label: str
    selection: Selection
    state: Confusions | None  # of ratings: None
    pairs: set[tuple[str, str]]  # of corpora, trained and tested on


def _sections(study: Study) -> Iterator[tuple[str, Results]]:
    """What each section is called, and its results; one whose runs differ in a change is several."""
    for section in dict.fromkeys(run.section for run in study.runs if run.result == files.PREDICTIONS):
        for change, outcome in results.by_change(study, section).items():
            yield section if change == "None" else f"{section}, {change}", outcome


def _parts(label: str, outcome: Results) -> Iterator[_Part]:
    emotional = outcome.predictions["target"] == EMOTION
    for rows in (outcome.predictions[emotional], outcome.predictions[~emotional]):
        test = rows.loc[rows["partition"] == "test", ["train_corpus", "test_corpus"]].astype("str").drop_duplicates()
        if len(test):
            state = Confusions(rows, outcome.best) if rows["target"].iloc[0] == EMOTION else None
            selection = Selection(rows, outcome.best) if state is None else state.selection
            yield _Part(label, selection, state, set(test.itertuples(index=False, name=None)))


class _Rows:
    """The rows of a pair: an utterance in a fold each, numbered as they come; utterances by their number in `known`."""

    def __init__(self, known: dict[str, int]) -> None:
        self.known, self.places = known, dict[tuple[str, str], int]()
        self.utterances, self.folds = list[int](), list[str]()

    def of(self, predictions: pd.DataFrame) -> list[int]:
        """The row of each of `predictions`."""
        pairs = zip(predictions["fold"].astype("str"), predictions["utterance"].astype("str"), strict=True)
        return [self._place(pair) for pair in pairs]

    def filled(self, values: dict[int, Any]) -> list:
        """`values`, row -> value, of every row; None where there is none."""
        return [values.get(row) for row in range(len(self.utterances))]

    def _place(self, pair: tuple[str, str]) -> int:
        if pair not in self.places:
            self.places[pair] = len(self.places)
            self.utterances.append(self.known.setdefault(pair[1], len(self.known)))
            self.folds.append(pair[0])
        return self.places[pair]


def _choice(selection: Selection, pair: tuple[str, str]) -> Choice:
    return selection.valid(selection.start().but(train_corpus=pair[0], test_corpus=pair[1]))


def _about(selection: Selection, choice: Choice, model: str) -> dict[str, Any]:
    name = results.seed_name(selection.seed(choice, model))
    return {"label": MODELS.label(model), "seed": name, "colour": model_colour(model)}


def _categories(part: _Part, state: Confusions, pair: tuple[str, str], rows: _Rows) -> dict[str, Any]:
    """The confusion matrices of a section, and of each row its truth and what the models predicted."""
    choice = _choice(state.selection, pair)
    shown, truth, models = [], dict[int, int](), []
    for model in state.selection.models(choice):
        matrix = Confusion(state.labels, lambda _: None)
        counts = state.counts(choice, model)
        matrix.draw_counts(counts)
        grid = {
            name: getattr(matrix.grid, name) for name in ("rows", "columns", "corner", "label", "low", "sets", "cells")
        }
        shown.append({**_about(state.selection, choice, model), "score": describe_score(counts), "grid": grid})
        predictions = state.selection.predictions(choice, model)
        places = rows.of(predictions)
        truth |= dict(zip(places, predictions["truth"].cat.codes.tolist(), strict=True))
        chances = predictions[[PROBABILITY + name for name in state.labels]].astype("float64").to_numpy()
        kept = (chances / LEAST).round().astype("int64").tolist()
        models.append(
            {
                "prediction": dict(zip(places, predictions["prediction"].cat.codes.tolist(), strict=True)),
                "chances": dict(zip(places, kept, strict=True)),
            }
        )
    return {"label": part.label, "classes": state.labels, "shown": shown, "truth": truth, "models": models}


def _ratings(part: _Part, pair: tuple[str, str], rows: _Rows) -> list[dict[str, Any]]:
    """What each model of a section predicted of each dimension, of each row."""
    selection = part.selection
    choice = _choice(selection, pair)
    found: dict[str, dict[str, Any]] = {}
    for target in selection.options(choice)["target"]:
        of_target = choice.but(target=target)
        for model in selection.models(of_target):
            predictions = selection.predictions(of_target, model)
            one = found.setdefault(model, {"section": part.label, **_about(selection, of_target, model), "values": {}})
            values = predictions["prediction"].astype("float64").round(2).tolist()
            one["values"][target] = dict(zip(rows.of(predictions), values, strict=True))
    return list(found.values())


def _page(study: Study, held: dict[str, Held], content: dict[str, Any]) -> str:
    """The page itself, with its style sheets and scripts."""
    simulated = [CORPORA.label(name) for name, one in held.items() if one.corpus.simulated]
    withheld = [CORPORA.label(name) for name, one in held.items() if not one.content]
    labels = {name: CORPORA.label(name) for name in content["corpora"]}
    scales = {name: [*map(float, held[name].corpus.scale)] for name in content["corpora"]}
    modules = {name: _module(_own(f"{name}.js")) for name in SCRIPTS}
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(_own("site.html")).render(
        study=study.name,
        simulated=simulated,
        withheld=withheld,
        report=REPORT,
        sheet=SHEET,
        own_sheet=_own("site.css"),
        modules=json.dumps({"imports": modules}),
        script=_own("site.js"),
        content=_in_page({**content, "labels": labels, "scales": scales}),
        version=files.provenance()["versions"].get("sercore", ""),
    )


def _own(name: str) -> str:
    return resources(__package__).joinpath(name).read_text(encoding="utf-8")


def _module(script: str) -> str:
    """An address that holds `script`."""
    return f"data:text/javascript;base64,{base64.b64encode(script.encode()).decode()}"


def _in_page(content: Any) -> str:
    """`content` as JSON within a page's script, which no text in it can end."""
    return json.dumps(content, allow_nan=False).replace("<", "\\u003c")
