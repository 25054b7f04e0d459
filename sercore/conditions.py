"""What runs were told: kinds of transcripts, their word error rates, and what the models score with them.

The condition of a run is among its parameters, not in the predictions table: the runs of each condition are read as a
section of their own, with those of CNN14, which is told nothing, in all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import pandas as pd

from sercore import config, corpora, corruption, files, results, settings, wer
from sercore.results import Results
from sercore.schema import EMOTION, PAPER_MODELS, first
from sercore.scores import scores
from sercore.settings import OWN, TextSettings

VOICE = results.VOICE
TOLD = tuple(model for model in PAPER_MODELS if model != VOICE)
GOLD = "gold"
SCORE_COLUMNS = ["trained", "tested", "wer", "model", "seed", "score"]


class Condition(NamedTuple):
    """The transcripts that a model is told: see settings.TextSettings."""

    transcripts: str = OWN
    corruption: float = 0.0
    shuffled: bool = False

    @property
    def label(self) -> str:
        """What it is called in tables: `gold`, `gold, 25 % corrupted`, `gold, shuffled`, `empty`."""
        told = f", {100 * self.corruption:g} % corrupted" if self.corruption else ""
        return self.transcripts + ", shuffled" * self.shuffled + told

    @property
    def settings(self) -> TextSettings:
        """The settings of a run of this condition; those of the encoder are the default ones."""
        return settings.build(TextSettings, self._asdict())


@dataclass(frozen=True)
class Told:
    """The runs of one section, by what they were told; scores are of the test utterances of their own corpus."""

    study: config.Study
    section: str
    corpus: str
    parts: dict[Condition, Results]  # each with the runs of CNN14
    mismatched: dict[tuple[Condition, Condition], pd.DataFrame]  # (trained, tested) -> predictions, see mismatch.py
    reference: str  # the transcripts that say what was said

    @property
    def any(self) -> Results:
        """The runs of one condition: what holds for all of them may be read from it."""
        return next(iter(self.parts.values()))

    @property
    def metric(self) -> str:
        """What is scored: `uar` or `ccc`."""
        return "uar" if (self.any.predictions["target"] == EMOTION).all() else "ccc"

    @cached_property
    def utterances(self) -> dict[Condition, pd.DataFrame]:
        """Of every condition, the test utterances: `transcript` is what was said, `heard` what the models are told."""
        options = dict(self.study.corpora[self.corpus])
        corpus = corpora.read(self.corpus, options.pop("root"), **options)
        table = self.any.predictions
        tested = table[(table["partition"] == "test") & (table["test_corpus"] == self.corpus)]["utterance"].unique()
        of_test = corpus.utterances["utterance"].isin(list(tested))
        said = corpus.utterances.assign(transcript=_texts(corpus, Condition(self.reference)))[of_test]
        asked = dict.fromkeys([*self.parts, *(tested for _, tested in self.mismatched)])
        return {told: said.assign(heard=_texts(corpus, told)[of_test]) for told in asked}

    @cached_property
    def error_rates(self) -> dict[Condition, float]:
        """Word error rate of every condition over the test utterances."""
        return {
            told: wer.word_error_rate(rows["transcript"].tolist(), rows["heard"].tolist())
            for told, rows in self.utterances.items()
        }

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row a model, seed and pair of conditions: trained and tested (labels), wer (of the latter), score.

        Of CNN14, which is told nothing, these three are missing. A score of dimensions is the mean over them.
        """
        rows = [_scored(self.any.scores, self.corpus, self.metric, (VOICE,))]
        for told, part in self.parts.items():
            found = _scored(part.scores, self.corpus, self.metric, TOLD)
            rows.append(found.assign(trained=told.label, tested=told.label, wer=self.error_rates[told]))
        for (trained, tested), table in self.mismatched.items():
            found = _scored(scores(self._with_late_fusion(table)), self.corpus, self.metric, TOLD)
            rows.append(found.assign(trained=trained.label, tested=tested.label, wer=self.error_rates[tested]))
        return pd.concat(rows, ignore_index=True).reindex(columns=SCORE_COLUMNS)

    def _with_late_fusion(self, table: pd.DataFrame) -> pd.DataFrame:
        """`table`, of models that are told something, with what CNN14 says of the same utterances, and late fusion."""
        voice = self.any.predictions
        voice = voice[(voice["model"] == VOICE) & (voice["partition"] == "test")]
        voice = voice[voice["test_corpus"] == self.corpus]
        plain = {name: "object" for name in voice if isinstance(voice[name].dtype, pd.CategoricalDtype)}
        both = pd.concat([table.astype(plain), voice.astype(plain)], ignore_index=True)
        return results.with_late_fusion(both)


def read(
    study: config.Study | str, section: str = "categories", incomplete: str = "refuse", reference: str = GOLD
) -> Told:
    """The runs of `section`, by what they were told; `reference` names the transcripts that tell what was said.

    Raises FileNotFoundError where runs are missing, as results.read does (with `incomplete="show"` only where no
    condition has one), and ValueError where they were trained on several corpora, or none is told anything.
    """
    study = study if isinstance(study, config.Study) else config.load(study)
    runs = study.section(section)
    trained_on = sorted({run.parameters["corpus"] for run in runs})
    if len(trained_on) > 1:
        raise ValueError(f"section '{section}' trains on {first(trained_on)}; conditions are compared on one corpus")
    told = {run.name: of_run(run) for run in runs}
    known = [condition for condition in dict.fromkeys(told.values()) if condition is not None]
    if not known:
        raise ValueError(f"section '{section}' of {study.path} has no model that is told anything")
    if incomplete == "show":
        known = [condition for condition in known if any(run.complete for run in runs if told[run.name] == condition)]
    members = {condition: [run for run in runs if told[run.name] in (condition, None)] for condition in known}
    parts = {condition: results.read(study, section, incomplete, members[condition]) for condition in known}
    if not parts:
        raise FileNotFoundError(f"no run of section '{section}' of {study.path} that is told anything is complete")
    return Told(study, section, trained_on[0], parts, _mismatched(runs), reference)


def of_run(run: config.Run) -> Condition | None:
    """What `run` was told: its parameters, or those within its `text`; None for a model that is told nothing."""
    model = run.parameters["model"]
    if model in settings.TRAINED_MODELS and not settings.reads(model):
        return None
    given: dict[str, Any] = {**run.parameters.get("text", {}), **run.parameters}
    return Condition(**{name: given[name] for name in Condition._fields if name in given})


def _mismatched(runs: Sequence[config.Run]) -> dict[tuple[Condition, Condition], pd.DataFrame]:
    """(trained, tested) -> predictions, of all complete runs that were also tested with other transcripts."""
    found: dict[tuple[Condition, Condition], list[pd.DataFrame]] = {}
    for run in runs:
        path, trained = run.folder / files.MISMATCHED, of_run(run)
        if trained is None or not run.complete or not path.exists():
            continue
        for key, group in pd.read_parquet(path).groupby(list(Condition._fields)):
            tested = Condition(str(key[0]), float(key[1]), bool(key[2]))
            found.setdefault((trained, tested), []).append(group.drop(columns=list(Condition._fields)))
    return {pair: pd.concat(tables, ignore_index=True) for pair, tables in found.items()}


def _texts(corpus: corpora.Corpus, told: Condition) -> pd.Series:
    """The transcripts of `corpus` in the condition, empty where they are missing."""
    return corruption.tell(corpus, told.settings).utterances["transcript"].fillna("")


def _scored(table: pd.DataFrame, corpus: str, metric: str, models: Sequence[str]) -> pd.DataFrame:
    """Score of each of `models` and each seed on the corpus's own test utterances; columns: model, seed, score."""
    own = table[(table["train_corpus"] == corpus) & (table["test_corpus"] == corpus) & (table["metric"] == metric)]
    own = own[(own["partition"] == "test") & (own["pooling"] != "folds") & own["model"].isin(models)]
    return own.groupby(["model", "seed"], observed=True)["score"].mean().reset_index().astype({"model": "str"})
