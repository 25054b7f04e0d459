"""What a model that reads would have answered to other words, or to the same sound at another level.

In order: the `Question` that a browser asks of an open utterance; the answers, by the networks of the finished run; the
panel that shows them. Networks are loaded when a model is first asked, so a browser opens without torch.
"""

import io
import math
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import ipywidgets
import numpy as np
import pandas as pd
import soundfile

from sercore import files
from sercore.analysis import confidence
from sercore.analysis.interventions import NAMES
from sercore.analysis.markup import markup
from sercore.registry import MODELS, load
from sercore.schema import PROBABILITY
from sercore.study.config import Run, Study
from sercore.widgets import sound
from sercore.widgets.appearance import button, set_shown, table
from sercore.widgets.selection import Choice, Selection
from sercore.widgets.utterances import UtteranceList

LOADER = "sercore.inference.predictor:load"  # of the networks in a folder; torch, and so imported when it is needed
ANOTHER = "another's text"  # what training.stages calls it: of two utterances, the other one's
QUIETEST, LOUDEST = -40.0, 40.0  # change of level [dB]
QUIET = 1e-9  # a loudest sample below which a sound is silence
ONE = 2  # rows of a model of one stage: that stage, and all of them
OFFERED = 200  # utterances whose ids are offered for their words


@dataclass(frozen=True, kw_only=True)
class Question:
    """An open utterance, and the runs that predicted it."""

    section: str
    corpus: str  # of the training
    target: str
    fold: str
    seeds: Mapping[str, int]  # model -> seed of its run
    utterance: pd.Series  # with corpus, utterance, transcript

    @property
    def readers(self) -> list[str]:
        """The models that read and were trained, in their order."""
        return [name for name in self.seeds if name in MODELS and MODELS[name].trained and MODELS[name].uses_text]


def question(selection: Selection, choice: Choice, row: pd.Series) -> Question:
    """The question about the open `row` of the predictions that `choice` selects."""
    return Question(
        section=selection.section,
        corpus=choice.train_corpus,
        target=choice.target,
        fold=str(row["fold"]),
        seeds={model: selection.seed(choice, model) for model in selection.models(choice)},
        utterance=row,
    )


class Answer(NamedTuple):
    """What a model answers; columns: its classes' probabilities, or its ratings."""

    original: pd.Series  # to the utterance as it is
    changed: pd.Series
    stages: pd.DataFrame  # with the other words at one stage alone, a row each; empty where there are not several
    ratings: bool


def folder(study: Study, asked: Question, model: str) -> Path:
    """Where the networks of `model` are that predicted the utterance. Raises LookupError where no run is the one."""
    wanted = {"model": model, "corpus": asked.corpus, "seed": asked.seeds[model]}

    def is_it(run: Run) -> bool:
        given = {"target": asked.target} | run.parameters
        known = {name: given.get(name) for name in (*wanted, "target")}
        return run.section == asked.section and known == {**wanted, "target": asked.target}

    runs = [run for run in study.runs if run.complete and is_it(run)]
    if len(runs) != 1:
        named = ", ".join(f"{key} {value}" for key, value in wanted.items())
        raise LookupError(f"{len(runs)} complete runs of section {asked.section} have {named}; expected one")
    folds = files.read_table(runs[0].folder / files.PREDICTIONS, ["fold"])["fold"].unique()
    return files.fold_folders(runs[0].folder, folds)[asked.fold]


def ask(predictor: Any, path: Path, words: str, other: str, decibels: float = 0.0) -> Answer:
    """What `predictor` answers to the sound in `path` and `words`, and to `other` words and a level changed by so much.

    Args:
        predictor: an inference.predictor.Predictor of a model that reads.
        path: of the sound.
        words: what was said.
        other: what is said in its place.
        decibels: added to the level; 0: the sound as it is.

    Raises ValueError where the model does not read, the sound cannot be used or not be made so loud, or the answer
    would depend on other recordings.
    """
    trained = predictor.trained
    if not trained.uses_text:
        raise ValueError(f"this {MODELS.label(trained.model)} reads no words: no stage of it is conditioned")
    if trained.normalisation is not None and trained.normalisation.unlabelled:
        raise ValueError(
            f"this {MODELS.label(trained.model)} is normalised over all recordings of a "
            f"{trained.normalisation.over}: one alone does not get the answer that it had among them"
        )
    with tempfile.TemporaryDirectory() as place:
        heard = path
        if decibels:
            heard = Path(place) / "changed.wav"
            samples, rate = sound.read(path)
            room = -20 * math.log10(max(float(np.abs(samples).max()), QUIET))
            if decibels > room:
                raise ValueError(f"{decibels:+g} dB would be above full scale; this sound has room for {room:.1f} dB")
            files.write_bytes(heard, _float_wav(samples * 10 ** (decibels / 20), rate))
        original = _values(predictor, predictor(path, texts=words))
        changed = _values(predictor, predictor(heard, texts=other))
        ratings = trained.confidence is None
        if not trained.uses_audio or words == other:
            return Answer(original, changed, pd.DataFrame(), ratings)
        copies = [Path(place) / f"{name}{heard.suffix}" for name in ("own", "other")]
        for copy in copies:
            shutil.copyfile(heard, copy)
        stages = _at_stages(predictor, copies, [words, other])
        return Answer(original, changed, stages if len(stages) > ONE else pd.DataFrame(), ratings)


def _at_stages(predictor: Any, copies: Sequence[Path], texts: Sequence[str]) -> pd.DataFrame:
    """The answers to the first of two copies of a sound where one stage, or all of them, read the other's text."""
    effects, _ = predictor.intervene(copies, texts=texts)
    rows = effects[(effects["told"] == ANOTHER) & (effects["utterance"] == effects["utterance"].iloc[0])]
    names = list(predictor.trained.names)
    if predictor.trained.confidence is None:
        found = rows.pivot(index="stage", columns="target", values="prediction")[names]
    else:
        found = rows.set_index("stage")[[PROBABILITY + name for name in names]].set_axis(names, axis=1)
        found[:] = confidence.tempered(found.to_numpy(), predictor.trained.confidence.temperature)
    return found.rename_axis(columns=None)


def _values(predictor: Any, answers: pd.DataFrame) -> pd.Series:
    row, names = answers.iloc[0], list(predictor.trained.names)
    if pd.notna(row["error"]):
        raise ValueError(row["error"])
    columns = names if predictor.trained.confidence is None else [PROBABILITY + name for name in names]
    return row[columns].astype("float64").set_axis(names)


def _float_wav(samples: np.ndarray, rate: int) -> bytes:
    """A WAV of numbers that are not rounded, however quiet they are made."""
    content = io.BytesIO()
    soundfile.write(content, samples, rate, format="WAV", subtype="FLOAT")
    return content.getvalue()


class WhatIf(ipywidgets.VBox):
    """Fields for a model, words and a level, and the answers; `show` gives it an utterance."""

    def __init__(self, study: Study, listed: UtteranceList) -> None:
        """Make an empty panel, below what the list shows of an open utterance."""
        self.study, self.listed = study, listed
        self.question: Question | None = None  # about the open utterance
        self._loaded: tuple[Path, Any] | None = None
        self._filling = False
        wide = {"style": {"description_width": "initial"}, "continuous_update": False}
        self.title = ipywidgets.HTML("<h4>What if other words had been said?</h4>")
        self.model = ipywidgets.Dropdown(description="asked model", style={"description_width": "initial"})
        self.words = ipywidgets.Text(description="words", layout={"width": "100%"}, **wide)
        self.other = ipywidgets.Combobox(
            description="or those of utterance", placeholder="its id", layout={"width": "100%"}, **wide
        )
        self.level = ipywidgets.BoundedFloatText(  # no slider: its handle has no label
            0.0, min=QUIETEST, max=LOUDEST, step=1.0, description="change of level [dB]", **wide
        )
        self.button = button("ask the model", "what the model answers to these words at this level")
        self.answer = ipywidgets.HTML()
        self.fields = ipywidgets.VBox(
            [self.model, self.words, self.other, self.level, self.button], layout={"max_width": "46em"}
        )
        super().__init__([self.title, self.fields, self.answer])
        listed.detail.children += (self,)
        self.add_class("sercore-what-if")
        self.model.observe(lambda _: self._changed(), "value")
        self.words.observe(lambda _: self._changed(), "value")
        self.level.observe(lambda _: self._changed(), "value")
        self.other.observe(lambda change: self._take(change["new"]), "value")
        self.button.on_click(lambda _: self.ask())
        self.show(None)

    def offer(self, selection: Selection, choice: Choice, row: pd.Series | None) -> None:
        """Offer the open `row` of the predictions that `choice` selects; None: show nothing."""
        self.show(None if row is None else question(selection, choice, row))

    def show(self, asked: Question | None) -> None:
        """Offer the utterance of `asked`, and words of others in the list; None: show nothing."""
        self.question = asked
        set_shown(self, asked is not None)
        self.answer.value = ""
        if asked is None:
            return
        readers = asked.readers
        set_shown(self.fields, bool(readers))
        if not readers:
            self._say("None of these models reads words, so there are none to change.")
            return
        self._filling = True
        before = self.model.value
        self.model.options = [(MODELS.label(name), name) for name in readers]
        self.model.value = before if before in readers else readers[-1]
        self.words.value, self.level.value, self.other.value = _transcript(asked.utterance), 0.0, ""
        others = self.listed.rows["utterance"].iloc[:OFFERED] if len(self.listed.rows) else []
        self.other.options = tuple(dict.fromkeys(map(str, others)))
        self.level.disabled = not MODELS[self.model.value].uses_audio
        self._filling = False

    def ask(self) -> None:
        """Show what the model answers; where it cannot be asked, why."""
        asked = self.question
        if asked is None or not asked.readers:
            return
        model, row = self.model.value, asked.utterance
        self.button.disabled = True
        self._say("The model is asked …")
        try:
            path = self.listed.audio(row["corpus"], row["utterance"])
            if not path.is_file():
                raise FileNotFoundError(f"no audio file {path}")
            predictor = self._predictor(folder(self.study, asked, model))
            decibels = self.level.value if MODELS[model].uses_audio else 0.0
            answer = ask(predictor, path, _transcript(row), self.words.value, decibels)
        except (LookupError, OSError, ValueError) as error:
            self.answer.value = markup('<p class="sercore-problem" role="status">{}</p>', error.args[-1])
            return
        finally:
            self.button.disabled = False
        self.answer.value = draw(answer, decibels)

    def _changed(self) -> None:
        """Ask again, once a model has been asked: then it is loaded."""
        if self._filling or self.question is None:
            return
        self.level.disabled = not MODELS[self.model.value].uses_audio
        if self._loaded is not None:
            self.ask()

    def _take(self, utterance: str) -> None:
        """Put the words of `utterance`, of the same corpus, into the field."""
        if self._filling or not utterance or self.question is None:
            return
        key = (str(self.question.utterance["corpus"]), utterance)
        if key not in self.listed.utterances.index:
            self.answer.value = markup('<p class="sercore-problem" role="status">no utterance {}</p>', utterance)
            return
        self.words.value = _transcript(self.listed.utterances.loc[key])

    def _predictor(self, place: Path) -> Any:
        if self._loaded is None or self._loaded[0] != place:
            self._loaded = place, _load(place)
        return self._loaded[1]

    def _say(self, text: str) -> None:
        self.answer.value = markup('<p role="status">{}</p>', text)


def _load(place: Path) -> Any:
    make: Callable[[Path], Any] = load(LOADER)
    return make(place)


def _transcript(row: pd.Series) -> str:
    given = row.get("transcript")
    return "" if given is None or pd.isna(given) else str(given)


def draw(answer: Answer, decibels: float) -> str:
    """The answers as a table, and one of the stages: the likeliest class of each line is underlined."""
    names = list(answer.original.index)
    level = f", {decibels:+.0f} dB" if decibels else ""

    def line(text: str, values: pd.Series) -> list[tuple[str, str]]:
        kinds = ["predicted" if not answer.ratings and name == values.idxmax() else "" for name in names]
        return [("", text), *((kind, f"{values[name]:.2f}") for kind, name in zip(kinds, names, strict=True))]

    moved = (answer.changed - answer.original).round(2) + 0.0  # no −0.00
    change = [("", "change"), *(("", f"{moved[name]:+.2f}".replace("-", "−")) for name in names)]
    lines = [line("as it was said", answer.original), line(f"these words{level}", answer.changed), change]
    shown = table(["", *names], lines)
    if len(answer.stages):
        at = [line(NAMES.get(stage, f"stage {stage}"), row) for stage, row in answer.stages.iterrows()]
        title = "These words at one stage alone, at the others what was said{}"
        shown += markup(f"<h4>{title}</h4>{{}}", level, table(["stage", *names], at))
    if not answer.ratings:
        shown += markup("<p>At the temperature of development, as for a new recording; the table above is without.</p>")
    return markup('<div role="status">{}</div>', shown)
