"""What runs were told: kinds of transcripts, their word error rates, and what the models score with them.

The condition of a run is among its parameters, not in the predictions table: the runs of each condition are read as a
section of their own, with those of CNN14, which is told nothing, in all of them.

A model that was trained with transcripts of one kind, tested with others. Nothing is trained again.

The figure of scores against how many of the words are wrong.

How wrong the words are, what the models score with them, and how much of fusion's gain is what was said.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sercore import corpora, files, schema, settings
from sercore.analysis import captions, results, statistics
from sercore.analysis.figures import DASHES, METRIC_LABELS, drawing
from sercore.analysis.results import PERCENT, Results, classes, scores
from sercore.analysis.results import scores as scored
from sercore.analysis.tables import Table, cell_text, incomplete, number_text
from sercore.corpora import transcripts
from sercore.corpora.transcripts import GOLD, Condition, apply_transcripts, word_error_rate
from sercore.schema import (
    CLASSES,
    EMOTION,
    FOUR_CLASSES,
    MODEL_COLOURS,
    MODEL_LABELS,
    MODELS,
    PAPER_MODELS,
    first,
    map_emotions,
)
from sercore.settings import EMPTY
from sercore.study import config

ACOUSTIC_BASELINE = results.ACOUSTIC_BASELINE
BY_CONDITION = tuple(model for model in PAPER_MODELS if model != ACOUSTIC_BASELINE)
SCORE_COLUMNS = ["trained", "tested", "wer", "model", "seed", "score"]


@dataclass(frozen=True)
class TranscriptResults:
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
        """Test utterances of each condition: `transcript` is the reference, `recognised` what the models were given."""
        options = dict(self.study.corpora[self.corpus])
        corpus = corpora.read(self.corpus, options.pop("root"), **options)
        table = self.any.predictions
        tested = table[(table["partition"] == "test") & (table["test_corpus"] == self.corpus)]["utterance"].unique()
        of_test = corpus.utterances["utterance"].isin(list(tested))
        said = corpus.utterances.assign(transcript=_texts(corpus, Condition(self.reference)))[of_test]
        asked = dict.fromkeys([*self.parts, *(tested for _, tested in self.mismatched)])
        return {told: said.assign(recognised=_texts(corpus, told)[of_test]) for told in asked}

    @cached_property
    def error_rates(self) -> dict[Condition, float]:
        """Word error rate of every condition over the test utterances."""
        return {
            told: word_error_rate(rows["transcript"].tolist(), rows["recognised"].tolist())
            for told, rows in self.utterances.items()
        }

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row a model, seed and pair of conditions: trained and tested (labels), wer (of the latter), score.

        Of CNN14, which is told nothing, these three are missing. A score of dimensions is the mean over them.
        """
        rows = [_scored(self.any.scores, self.corpus, self.metric, (ACOUSTIC_BASELINE,))]
        for told, part in self.parts.items():
            found = _scored(part.scores, self.corpus, self.metric, BY_CONDITION)
            rows.append(found.assign(trained=told.label, tested=told.label, wer=self.error_rates[told]))
        for (trained, tested), table in self.mismatched.items():
            found = _scored(scores(self._with_late_fusion(table)), self.corpus, self.metric, BY_CONDITION)
            rows.append(found.assign(trained=trained.label, tested=tested.label, wer=self.error_rates[tested]))
        return pd.concat(rows, ignore_index=True).reindex(columns=SCORE_COLUMNS)

    def _with_late_fusion(self, table: pd.DataFrame) -> pd.DataFrame:
        """`table`, of models that are told something, with what CNN14 says of the same utterances, and late fusion."""
        voice = self.any.predictions
        voice = voice[(voice["model"] == ACOUSTIC_BASELINE) & (voice["partition"] == "test")]
        voice = voice[voice["test_corpus"] == self.corpus]
        plain = {name: "object" for name in voice if isinstance(voice[name].dtype, pd.CategoricalDtype)}
        both = pd.concat([table.astype(plain), voice.astype(plain)], ignore_index=True)
        return results.with_late_fusion(both)


def read(
    study: config.Study | str, section: str = "categories", incomplete: str = "refuse", reference: str = GOLD
) -> TranscriptResults:
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
    return TranscriptResults(study, section, trained_on[0], parts, _mismatched(runs), reference)


def of_run(run: config.Run) -> Condition | None:
    """What `run` was told: its parameters, or those within its `text`; None for a model that is told nothing."""
    model = run.parameters["model"]
    if model in settings.TRAINED_MODELS and not settings.uses_text(model):
        return None
    given: dict[str, Any] = {**run.parameters.get("text", {}), **run.parameters}
    return Condition(**{name: given[name] for name in Condition._fields if name in given})


def _mismatched(runs: Sequence[config.Run]) -> dict[tuple[Condition, Condition], pd.DataFrame]:
    """(trained, tested) -> predictions, of all complete runs that were also tested with other transcripts."""
    found: dict[tuple[Condition, Condition], list[pd.DataFrame]] = {}
    for run in runs:
        path, trained = run.folder / files.TRANSCRIPT_SHIFT, of_run(run)
        if trained is None or not run.complete or not path.exists():
            continue
        for key, group in pd.read_parquet(path).groupby(list(Condition._fields)):
            tested = Condition(str(key[0]), float(key[1]), bool(key[2]))
            found.setdefault((trained, tested), []).append(group.drop(columns=list(Condition._fields)))
    return {pair: pd.concat(tables, ignore_index=True) for pair, tables in found.items()}


def _texts(corpus: corpora.Corpus, told: Condition) -> pd.Series:
    """The transcripts of `corpus` in the condition, empty where they are missing."""
    return apply_transcripts(corpus, told.settings).utterances["transcript"].fillna("")


def _scored(table: pd.DataFrame, corpus: str, metric: str, models: Sequence[str]) -> pd.DataFrame:
    """Score of each of `models` and each seed on the corpus's own test utterances; columns: model, seed, score."""
    own = table[(table["train_corpus"] == corpus) & (table["test_corpus"] == corpus) & (table["metric"] == metric)]
    own = own[(own["partition"] == "test") & (own["pooling"] != "folds") & own["model"].isin(models)]
    return own.groupby(["model", "seed"], observed=True)["score"].mean().reset_index().astype({"model": "str"})


def shift_scores(retold: pd.DataFrame) -> pd.DataFrame:
    """The score of one run with each kind of transcripts that `evaluate` told it, one row each; nothing for nothing."""
    if retold.empty:
        return pd.DataFrame()
    parts = [
        scored(group.drop(columns=list(Condition._fields))).assign(told=Condition(*key).label)
        for key, group in retold.groupby(list(Condition._fields), sort=False)
    ]
    return pd.concat(parts).set_index("told")[["target", "metric", "pooling", "score"]]


MARKERS = {"recognised": "*", "shuffled": "X", "empty": "s"}
MARKER_LABELS = {"recognised": "recognised", "shuffled": "another one's words", "empty": "no words"}
SIZES = {"recognised": 19, "shuffled": 12, "empty": 10}
SPREAD = 1.2  # [% of words], between the models' markers at one error rate


def plot_error_rates(told: TranscriptResults) -> Figure:
    """Scores against the word error rate of what the models are told, a line a model, CNN14 level across.

    Left: trained and tested with the same transcripts; right, where it was run: trained with what was said, tested with
    others. Lines go through what was said and its corrupted forms; transcripts that were recognised, that are another
    utterance's, and empty ones are marks beside them. Small points are seeds, marks and lines their means; the fine
    dotted line is chance.
    """
    gold = Condition(told.reference).label
    scored = told.scores.assign(percent=PERCENT * told.scores["wer"])
    same = scored[scored["trained"] == scored["tested"]]
    others = scored[(scored["trained"] == gold) & scored["tested"].notna()]
    panels = {"trained and tested with the same": same}
    if (others["tested"] != gold).any():
        panels[f"trained with {gold}, tested with others"] = others
    kinds = {condition.label: _kind(condition, told) for condition in told.error_rates}
    voice = scored[scored["model"] == ACOUSTIC_BASELINE]["score"]
    with drawing(len(panels), 1, (7.4, 6.6), told.any.simulated) as (figure, axes):
        figure.suptitle(f"Scores by how many of the words are wrong, {schema.corpus_label(told.corpus)}")
        for axis, (title, rows) in zip(axes.flat, panels.items(), strict=True):
            _plot_acoustic_baseline(axis, voice)
            models = [model for model in MODELS if (rows["model"] == model).any()]
            for place, model in enumerate(models):
                offset = SPREAD * (place - (len(models) - 1) / 2)
                _plot_model(axis, rows[rows["model"] == model], model, kinds, offset)
            axis.set(title=title, xlabel="word error rate (%)")
            if told.metric == "uar":
                axis.axhline(PERCENT / len(classes(told.any.predictions)), color="black", linestyle=":", linewidth=1)
        axes.flat[0].set_ylabel(METRIC_LABELS[told.metric])
        _share_heights(axes)
        figure.legend(handles=_handles(told, scored, kinds), loc="outside lower center", ncols=4, frameon=False)
    return figure


def _kind(condition: Condition, told: TranscriptResults) -> str:
    """How a condition is drawn: on the `line`, or as one of MARKERS."""
    if condition.transcripts == EMPTY:
        return "empty"
    if condition.shuffled:
        return "shuffled"
    return "line" if condition.transcripts == told.reference else "recognised"


def _plot_acoustic_baseline(axis: Axes, scores: pd.Series) -> None:
    """CNN14 across the panel: its mean, and the range of its seeds."""
    colour = MODEL_COLOURS[ACOUSTIC_BASELINE]
    if len(scores):
        axis.axhspan(scores.min(), scores.max(), color=colour, alpha=0.12, linewidth=0)
        axis.axhline(scores.mean(), color=colour, linestyle=DASHES[ACOUSTIC_BASELINE], linewidth=2.5)


def _plot_model(axis: Axes, rows: pd.DataFrame, model: str, kinds: dict[str, str], offset: float) -> None:
    colour, kind = MODEL_COLOURS[model], rows["tested"].map(kinds)
    means = rows.groupby("tested")[["percent", "score"]].mean()
    axis.plot(rows["percent"] + offset * (kind != "line"), rows["score"], "o", color=colour, markersize=5, alpha=0.45)
    on_line = means[means.index.map(kinds) == "line"].sort_values("percent")
    axis.plot(
        on_line["percent"], on_line["score"], DASHES[model], color=colour, linewidth=2.5, marker="o", markersize=8
    )
    for name, mark in MARKERS.items():
        of_kind = means[means.index.map(kinds) == name]
        axis.plot(
            of_kind["percent"] + offset,
            of_kind["score"],
            mark,
            color=colour,
            markersize=SIZES[name],
            markeredgecolor="black",
            markeredgewidth=0.8,
        )


def _share_heights(axes: np.ndarray) -> None:
    limits = [axis.get_ylim() for axis in axes.flat]
    for axis in axes.flat:
        axis.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def _handles(told: TranscriptResults, scored: pd.DataFrame, kinds: dict[str, str]) -> list[Line2D]:
    """The legend: models, then the marks that are there."""
    models = [model for model in MODELS if (scored["model"] == model).any()]
    lines = [
        Line2D([], [], color=MODEL_COLOURS[model], linestyle=DASHES[model], linewidth=2.5, label=MODEL_LABELS[model])
        for model in models
    ]
    grey = {"color": "#888888", "markeredgecolor": "black", "linestyle": ""}
    there = set(kinds.values())
    marks = [
        Line2D([], [], marker=mark, markersize=min(13, SIZES[name]), label=MARKER_LABELS[name], **grey)
        for name, mark in MARKERS.items()
        if name in there
    ]
    line = Line2D([], [], color="#888888", marker="o", markersize=8, label=f"{told.reference}, words made wrong")
    return [*lines, line, *marks]


FUSIONS = ("lf", "sfcnn14", "mfcnn14")
UNITS = {"uar": "points of UAR", "ccc": "of CCC"}
METRICS = {"uar": "UAR (%)", "ccc": "CCC"}
NOTHING = "nothing"
GAIN_COLUMNS = ["told", "wer", "model", "score", "gain", "of_gold", "p_gold"]


def error_rates(told: TranscriptResults) -> Table:
    """Word error rate [%] of every kind of transcripts over the test utterances, of all and of each class."""
    rows = []
    for condition, utterances in told.utterances.items():
        classes = map_emotions(utterances["emotion"], FOUR_CLASSES)
        found = transcripts.error_table(utterances.assign(emotion=classes), ["emotion"])
        rows += [{"told": condition.label, **row} for row in found[found["value"] != "unknown"].to_dict("records")]
    numbers = pd.DataFrame(rows)
    shown = numbers.assign(group=numbers["value"].replace("", "all"), text=(100 * numbers["wer"]).map("{:.1f}".format))
    frame = shown.pivot(index="told", columns="group", values="text")
    frame = frame.reindex(index=[condition.label for condition in _by_error(told)], columns=["all", *CLASSES])
    frame.columns = pd.MultiIndex.from_tuples([("word error rate (%)", name) for name in frame.columns])
    counts = numbers[numbers["by"] == transcripts.OVERALL].iloc[0]
    below = (
        f"Over {counts['utterances']} test utterances of {counts['words']} words; against '{told.reference}'. Case and "
        "punctuation do not count.",
        *_below(told),
    )
    return Table("transcripts_errors", f"Word error rates{incomplete(told.any)}", frame, numbers, below)


def table_of_scores(told: TranscriptResults) -> Table:
    """Scores of every model with every kind of transcripts, trained and tested with the same, and with others."""
    keys = ["trained", "tested", "wer", "model"]
    grouped = told.scores.groupby(keys, sort=False, dropna=False)["score"]
    numbers = grouped.agg(mean="mean", sd=lambda scores: scores.std(ddof=0), seeds="size").reset_index()
    numbers["trained"], numbers["tested"] = (numbers[name].fillna(NOTHING) for name in ("trained", "tested"))
    numbers = numbers.assign(apart=numbers["trained"] != numbers["tested"], place=numbers["wer"].fillna(-1.0))
    numbers = numbers.sort_values(["apart", "place", "tested"], kind="stable", ignore_index=True)
    rows = [
        (
            row.trained,
            row.tested,
            "" if row.tested == NOTHING else f"{100 * row.wer:.0f}",
            MODEL_LABELS[row.model],
            cell_text(row.mean, row.sd, "", told.metric),
        )
        for row in numbers.itertuples()
    ]
    table = pd.DataFrame(rows, columns=["trained with", "tested with", "WER (%)", "model", "text"])
    index = ["trained with", "tested with", "WER (%)"]
    frame = table.pivot(index=index, columns="model", values="text").fillna("")
    frame = frame.reindex(table[index].drop_duplicates().itertuples(index=False, name=None))
    columns = [MODEL_LABELS[model] for model in MODELS if MODEL_LABELS[model] in frame]
    frame = frame[columns]
    frame.columns = pd.MultiIndex.from_tuples([(METRICS[told.metric], name) for name in columns])
    below = (
        f"Mean (sd, ddof 0) over {numbers['seeds'].max()} seeds, test utterances of "
        f"{schema.corpus_label(told.corpus)}. CNN14 is told nothing; LF is the mean of what BERT, told this, "
        "and CNN14 predict.",
        "Rows whose two kinds of transcripts differ: nothing was trained again, only the words of the test are others.",
        *_below(told),
    )
    title = f"What the models score with the words that they are told{incomplete(told.any)}"
    return Table("transcripts_scores", title, frame, numbers.drop(columns=["apart", "place"]), below)


def gains(told: TranscriptResults) -> Table:
    """What each fusion gains over CNN14 with every kind of transcripts, trained and tested with the same."""
    numbers = gain_numbers(told)
    rows = [
        (
            MODEL_LABELS[row.model],
            row.told,
            number_text(row.score, told.metric),
            _signed(row.gain, told),
            "" if pd.isna(row.of_gold) else f"{100 * row.of_gold:.0f} %",
            "" if pd.isna(row.p_gold) else f"{row.p_gold:.3f}",
        )
        for row in numbers.itertuples()
    ]
    frame = pd.DataFrame(rows).set_index([0, 1]).rename_axis(["model", "told"])
    gold = f"of the gain with {told.reference}"
    frame.columns = pd.MultiIndex.from_tuples(
        [("", METRICS[told.metric]), ("over CNN14", "gain"), ("over CNN14", gold), ("", f"p, {told.reference}")]
    )
    below = (
        "Gain: mean over seeds - that of CNN14. Shares are left empty where there is no gain to be divided.",
        f"p: two-sided t-test over the seeds against the same model with '{told.reference}', not corrected.",
        *_below(told),
    )
    return Table("transcripts_gains", f"What fusion gains{incomplete(told.any)}", frame, numbers, below)


def gain_numbers(told: TranscriptResults) -> pd.DataFrame:
    """One row a fusion and kind of transcripts: told, wer, model, score, gain, of_gold (share of the gain), p_gold.

    The p is of the t-test over seeds that the score differs from the one with the reference; missing, as of_gold, where
    the reference was not run, or gains nothing.
    """
    scored = told.scores
    voice = scored[scored["model"] == ACOUSTIC_BASELINE]["score"].mean()
    same = scored[scored["trained"] == scored["tested"]]
    rows = []
    for model in [model for model in FUSIONS if (same["model"] == model).any()]:
        of_model = same[same["model"] == model]
        gold = of_model[of_model["tested"] == told.reference]["score"]
        whole = gold.mean() - voice
        for (label, rate), group in of_model.sort_values("wer", kind="stable").groupby(["tested", "wer"], sort=False):
            gain = group["score"].mean() - voice
            other = label != told.reference and len(gold) > 0
            p = statistics.compare_seeds(group["score"].to_numpy(), gold.to_numpy()).p if other else float("nan")
            share = gain / whole if whole > 0 else float("nan")
            rows.append((label, rate, model, group["score"].mean(), gain, share, p))
    return pd.DataFrame(rows, columns=GAIN_COLUMNS)


def sentences(told: TranscriptResults) -> list[str]:
    """What each fusion's gain is made of, in words; computed from the runs, one sentence or more a model."""
    rates = {condition.label: rate for condition, rate in told.error_rates.items()}
    said = []
    for model, group in gain_numbers(told).groupby("model", sort=False):
        said += _sentences(MODEL_LABELS[model], group.set_index("told")["gain"], rates, told)
        said += _after_training(model, rates, told)
    return said


def _sentences(name: str, gain: pd.Series, rates: dict[str, float], told: TranscriptResults) -> list[str]:
    """`sentences` of one fusion; `gain` is over CNN14, by what it was told."""
    gold, floor = Condition(told.reference).label, Condition(told.reference, shuffled=True).label
    if gold not in gain or floor not in gain:
        return [f"{name}: not known, since it was not run with both '{gold}' and '{floor}'."]
    whole, left = gain[gold], gain[floor]
    if whole <= 0:
        return [f"{name} gains nothing over CNN14 by what was said ({_signed(whole, told)} {UNITS[told.metric]})."]
    gained = f"{name}'s gain of {number_text(whole, told.metric)} {UNITS[told.metric]} over CNN14"
    part = f"{number_text(whole - left, told.metric)} of {gained} ({100 * (whole - left) / whole:.0f} %)"
    said = [
        f"{part if left > 0 else f'All of {gained}'} is what was said: told other utterances' words, it is "
        f"{_signed(left, told)} from CNN14."
    ]
    said += [
        f"With '{label}' ({100 * rates[label]:.0f} % of the words wrong) {name} gains {_signed(gain[label], told)}, "
        f"{100 * gain[label] / whole:.0f} % of that."
        for label in gain.index
        if label in _with_recognised_words(told)
    ]
    if EMPTY in gain:
        said.append(f"With no words at all, in training as in the test, it is {_signed(gain[EMPTY], told)} from CNN14.")
    return said


def _after_training(model: str, rates: dict[str, float], told: TranscriptResults) -> list[str]:
    """What recognised words cost a model that was trained with the reference, beside random errors of the same rate.

    The latter is read off the line through the reference and its corrupted forms; not said where that does not reach.
    """
    gold = Condition(told.reference).label
    table = told.scores[(told.scores["model"] == model) & (told.scores["trained"] == gold)]
    means = table.groupby("tested")["score"].mean()
    corrupted = {
        condition.label
        for condition in told.error_rates
        if condition == Condition(told.reference, condition.corruption)
    }
    line = sorted((rates[label], means[label]) for label in means.index if label in corrupted)
    return [
        f"Trained with '{gold}' and told '{label}' in the test alone, {MODEL_LABELS[model]} loses "
        f"{number_text(means[gold] - means[label], told.metric)}; as many words made wrong at random cost it "
        f"{number_text(means[gold] - np.interp(rates[label], *zip(*line, strict=True)), told.metric)}."
        for label in means.index
        if label in _with_recognised_words(told) and line and line[0][0] <= rates[label] <= line[-1][0]
    ]


def _with_recognised_words(told: TranscriptResults) -> list[str]:
    """The labels of transcripts as they come, neither corrupted nor shuffled, that are not the reference."""
    return [
        c.label for c in told.parts if c == Condition(c.transcripts) and c.transcripts not in (EMPTY, told.reference)
    ]


def _by_error(told: TranscriptResults) -> list[Condition]:
    return sorted(told.error_rates, key=lambda condition: told.error_rates[condition])


def _signed(value: float, told: TranscriptResults) -> str:
    return f"{'+' if value >= 0 else ''}{number_text(value, told.metric)}"


def _below(told: TranscriptResults) -> tuple[str, ...]:
    missing = dict.fromkeys(text for part in told.parts.values() for text in captions.missing(part))
    return (*captions.simulated(told.any), *missing)
