"""Results by transcript condition: word error rates, the models' scores, and how much of fusion's gain needs the words.

The condition of a run is among its parameters, not in the predictions table, so the runs of each condition are read as
a section of their own, each with the runs of CNN14, which uses no text. A model that was trained in one condition and
tested in others (transcript shift, files.TRANSCRIPT_SHIFT) was not trained again.

In this order: reading the runs, the figure of scores against word error rates, the tables, and the gains in words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sercore import files, registry
from sercore.analysis import captions, results, statistics
from sercore.analysis.figures import drawing, in_order
from sercore.analysis.results import ACOUSTIC_BASELINE, PERCENT, Results
from sercore.analysis.tables import Table, cell_text, incomplete, number_text
from sercore.corpora import Corpus, transcripts
from sercore.corpora.transcripts import GOLD, Condition, apply_transcripts, word_error_rate
from sercore.schema import CLASSES, EMOTION, FOUR_CLASSES, first, map_emotions
from sercore.settings import EMPTY
from sercore.study import config

SCORE_COLUMNS = ["trained", "tested", "wer", "model", "seed", "score"]
GAIN_COLUMNS = ["condition", "wer", "model", "score", "gain", "of_gold", "p_gold"]
NO_TEXT = "no text"  # in the place of a condition, for CNN14
SPREAD = 1.2  # [% of words], between the models' markers at one error rate


class Mark(NamedTuple):
    """How a kind of condition beside the line of corrupted transcripts is drawn."""

    marker: str
    size: float
    label: str


MARKS = {
    "recognised": Mark("*", 19, "recognised"),
    "shuffled": Mark("X", 12, "another utterance's words"),
    "empty": Mark("s", 10, "no words"),
}


@dataclass(frozen=True)
class TranscriptResults:
    """The runs of one section by transcript condition; scores are of the test utterances of their own corpus."""

    study: config.Study
    section: str
    corpus: str
    parts: dict[Condition, Results]  # each with the runs of CNN14
    shifted: dict[tuple[Condition, Condition], pd.DataFrame]  # (trained, tested) -> predictions
    reference: str  # the transcripts that the word error rates are against

    @property
    def any(self) -> Results:
        """The runs of one condition, for what is the same in all of them."""
        return next(iter(self.parts.values()))

    @property
    def metric(self) -> str:
        """The measure of the scores: `uar` or `ccc`."""
        return "uar" if (self.any.predictions["target"] == EMOTION).all() else "ccc"

    @cached_property
    def utterances(self) -> dict[Condition, pd.DataFrame]:
        """Test utterances of each condition: `transcript` is the reference, `recognised` what the models were given."""
        corpus = results.read_corpus(self.study, self.corpus)
        table = self.any.predictions
        tested = table[(table["partition"] == "test") & (table["test_corpus"] == self.corpus)]["utterance"].unique()
        of_test = corpus.utterances["utterance"].isin(list(tested))
        references = corpus.utterances.assign(transcript=_texts(corpus, Condition(self.reference)))[of_test]
        conditions = dict.fromkeys([*self.parts, *(tested for _, tested in self.shifted)])
        return {condition: references.assign(recognised=_texts(corpus, condition)[of_test]) for condition in conditions}

    @cached_property
    def error_rates(self) -> dict[Condition, float]:
        """Word error rate of every condition over the test utterances."""
        return {
            condition: word_error_rate(rows["transcript"].tolist(), rows["recognised"].tolist())
            for condition, rows in self.utterances.items()
        }

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row a model, seed and pair of conditions: trained and tested (labels), wer (of the latter), score.

        CNN14 uses no text: for it these three are missing. A score of dimensions is the mean over them.
        """
        with_text = [name for name, spec in registry.MODELS.items() if spec.uses_text]
        rows = [self._own_scores(self.any.scores, [ACOUSTIC_BASELINE])]
        for condition, part in self.parts.items():
            scores = self._own_scores(part.scores, with_text)
            rate = self.error_rates[condition]
            rows.append(scores.assign(trained=condition.label, tested=condition.label, wer=rate))
        for (trained, tested), table in self.shifted.items():
            scores = self._own_scores(results.scores(self._with_late_fusion(table)), with_text)
            rows.append(scores.assign(trained=trained.label, tested=tested.label, wer=self.error_rates[tested]))
        return pd.concat(rows, ignore_index=True).reindex(columns=SCORE_COLUMNS)

    def _own_scores(self, table: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
        """Score of each of `models` and seeds on the corpus's own test utterances; columns: model, seed, score."""
        own = table[(table["train_corpus"] == self.corpus) & (table["test_corpus"] == self.corpus)]
        own = own[(own["partition"] == "test") & (own["pooling"] != "folds") & (own["metric"] == self.metric)]
        means = own[own["model"].isin(models)].groupby(["model", "seed"], observed=True)["score"].mean()
        return means.reset_index().astype({"model": "str"})

    def _with_late_fusion(self, table: pd.DataFrame) -> pd.DataFrame:
        """`table`, of models that use text, with CNN14's predictions for the same utterances, and late fusion."""
        acoustic = self.any.predictions
        acoustic = acoustic[(acoustic["model"] == ACOUSTIC_BASELINE) & (acoustic["partition"] == "test")]
        acoustic = acoustic[acoustic["test_corpus"] == self.corpus]
        plain = {name: "object" for name in acoustic if isinstance(acoustic[name].dtype, pd.CategoricalDtype)}
        both = pd.concat([table.astype(plain), acoustic.astype(plain)], ignore_index=True)
        return results.with_late_fusion(both)


def read(
    study: config.Study | str, section: str = "categories", incomplete: str = "refuse", reference: str = GOLD
) -> TranscriptResults:
    """The runs of `section` by transcript condition; `reference` names the transcripts without errors.

    Raises FileNotFoundError where runs are missing, as results.read does (with `incomplete="show"` only where no
    condition has one), and ValueError where they were trained on several corpora, or none uses text.
    """
    study = study if isinstance(study, config.Study) else config.load(study)
    runs = study.section(section)
    trained_on = sorted({run.parameters["corpus"] for run in runs})
    if len(trained_on) > 1:
        raise ValueError(f"section '{section}' trains on {first(trained_on)}; conditions are compared on one corpus")
    of = {run.name: of_run(run) for run in runs}
    conditions = [condition for condition in dict.fromkeys(of.values()) if condition is not None]
    if not conditions:
        raise ValueError(f"section '{section}' of {study.path} has no model that uses text")
    if incomplete == "show":
        complete = {of[run.name] for run in runs if run.complete}
        conditions = [condition for condition in conditions if condition in complete]
    members = {condition: [run for run in runs if of[run.name] in (condition, None)] for condition in conditions}
    parts = {condition: results.read(study, section, incomplete, members[condition]) for condition in conditions}
    if not parts:
        raise FileNotFoundError(f"no run of section '{section}' of {study.path} that uses text is complete")
    return TranscriptResults(study, section, trained_on[0], parts, _shifted(runs), reference)


def of_run(run: config.Run) -> Condition | None:
    """The transcript condition of `run`, from its parameters or those within its `text`; None without text."""
    if not registry.MODELS.find(run.parameters["model"]).uses_text:
        return None
    given: dict[str, Any] = {**run.parameters.get("text", {}), **run.parameters}
    return Condition(**{name: given[name] for name in Condition._fields if name in given})


def _shifted(runs: Sequence[config.Run]) -> dict[tuple[Condition, Condition], pd.DataFrame]:
    """(trained, tested) -> predictions, of all complete runs that were also tested with other transcripts."""
    tables: dict[tuple[Condition, Condition], list[pd.DataFrame]] = {}
    for run in runs:
        path, trained = run.folder / files.TRANSCRIPT_SHIFT, of_run(run)
        if trained is None or not run.complete or not path.exists():
            continue
        table = files.read_table(path)
        table = table.assign(**{name: value for name, value in Condition()._asdict().items() if name not in table})
        for key, group in table.groupby(list(Condition._fields)):
            tested = Condition(str(key[0]), float(key[1]), bool(key[2]), bool(key[3]))
            tables.setdefault((trained, tested), []).append(group.drop(columns=list(Condition._fields)))
    return {pair: pd.concat(parts, ignore_index=True) for pair, parts in tables.items()}


def _texts(corpus: Corpus, condition: Condition) -> pd.Series:
    """The transcripts of `corpus` in the condition, empty where they are missing."""
    return apply_transcripts(corpus, condition.settings).utterances["transcript"].fillna("")


def shift_scores(predictions: pd.DataFrame) -> pd.DataFrame:
    """The scores of one run in each condition that it was also tested in, one row each; empty without predictions.

    `predictions` is what training.transcript_shift.evaluate returns.
    """
    if predictions.empty:
        return pd.DataFrame()
    parts = [
        results.scores(group.drop(columns=list(Condition._fields))).assign(condition=Condition(*key).label)
        for key, group in predictions.groupby(list(Condition._fields), sort=False)
    ]
    return pd.concat(parts).set_index("condition")[["target", "metric", "pooling", "score"]]


def plot_error_rates(by_condition: TranscriptResults) -> Figure:
    """Scores against the word error rate of the models' transcripts, a line a model, CNN14 level across.

    Left: trained and tested with the same transcripts; right, where it was run: trained with the reference, tested with
    others. Lines go through the reference and its corrupted forms; recognised, shuffled and empty transcripts are marks
    beside them. Small points are seeds, marks and lines their means; the fine dotted line is chance.
    """
    gold = Condition(by_condition.reference).label
    scores = by_condition.scores.assign(percent=PERCENT * by_condition.scores["wer"])
    same = scores[scores["trained"] == scores["tested"]]
    others = scores[(scores["trained"] == gold) & scores["tested"].notna()]
    panels = {"trained and tested with the same": same}
    if (others["tested"] != gold).any():
        panels[f"trained with {gold}, tested with others"] = others
    kinds = {condition.label: _kind(condition, by_condition) for condition in by_condition.error_rates}
    acoustic = scores[scores["model"] == ACOUSTIC_BASELINE]["score"]
    with drawing(len(panels), 1, (7.4, 6.6), by_condition.any.simulated) as (figure, axes):
        figure.suptitle(f"Scores by word error rate, {registry.CORPORA.label(by_condition.corpus)}")
        for axis, (title, rows) in zip(axes.flat, panels.items(), strict=True):
            _plot_acoustic_baseline(axis, acoustic)
            models = in_order(rows["model"])
            for place, model in enumerate(models):
                offset = SPREAD * (place - (len(models) - 1) / 2)
                _plot_model(axis, rows[rows["model"] == model], model, kinds, offset)
            axis.set(title=title, xlabel="word error rate (%)")
            if by_condition.metric == "uar":
                chance = PERCENT / len(results.classes(by_condition.any.predictions))
                axis.axhline(chance, color="black", linestyle=":", linewidth=1)
        axes.flat[0].set_ylabel(registry.METRICS[by_condition.metric].axis)
        _share_heights(axes)
        figure.legend(handles=_handles(by_condition, kinds), loc="outside lower center", ncols=4, frameon=False)
    return figure


def _kind(condition: Condition, by_condition: TranscriptResults) -> str:
    """How a condition is drawn: on the `line`, or as one of MARKS."""
    if condition.transcripts == EMPTY:
        return "empty"
    if condition.shuffled:
        return "shuffled"
    return "line" if condition.transcripts == by_condition.reference else "recognised"


def _plot_acoustic_baseline(axis: Axes, scores: pd.Series) -> None:
    """CNN14 across the panel: its mean, and the range of its seeds."""
    spec = registry.MODELS[ACOUSTIC_BASELINE]
    if len(scores):
        axis.axhspan(scores.min(), scores.max(), color=spec.colour, alpha=0.12, linewidth=0)
        axis.axhline(scores.mean(), color=spec.colour, linestyle=spec.dash, linewidth=2.5)


def _plot_model(axis: Axes, rows: pd.DataFrame, model: str, kinds: dict[str, str], offset: float) -> None:
    """The seeds, line and marks of one model in one panel; `offset` [% of words] keeps models at one place apart."""
    spec, kind = registry.MODELS[model], rows["tested"].map(kinds)
    means = rows.groupby("tested")[["percent", "score"]].mean()
    shifted = rows["percent"] + offset * (kind != "line")
    axis.plot(shifted, rows["score"], "o", color=spec.colour, markersize=5, alpha=0.45)
    line = means[means.index.map(kinds) == "line"].sort_values("percent")
    axis.plot(line["percent"], line["score"], spec.dash, color=spec.colour, linewidth=2.5, marker="o", markersize=8)
    for name, mark in MARKS.items():
        of_kind = means[means.index.map(kinds) == name]
        axis.plot(
            of_kind["percent"] + offset,
            of_kind["score"],
            mark.marker,
            color=spec.colour,
            markersize=mark.size,
            markeredgecolor="black",
            markeredgewidth=0.8,
        )


def _share_heights(axes: np.ndarray) -> None:
    limits = [axis.get_ylim() for axis in axes.flat]
    for axis in axes.flat:
        axis.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def _handles(by_condition: TranscriptResults, kinds: dict[str, str]) -> list[Line2D]:
    """The legend: models, then the marks that are there."""
    specs = [registry.MODELS[model] for model in in_order(by_condition.scores["model"])]
    lines = [Line2D([], [], color=spec.colour, linestyle=spec.dash, linewidth=2.5, label=spec.label) for spec in specs]
    grey = partial(Line2D, [], [], color="#888888", markeredgecolor="black", linestyle="")
    marks = [
        grey(marker=mark.marker, markersize=min(13, mark.size), label=mark.label)
        for name, mark in MARKS.items()
        if name in kinds.values()
    ]
    label = f"{by_condition.reference}, corrupted"
    return [*lines, Line2D([], [], color="#888888", marker="o", markersize=8, label=label), *marks]


def error_rates(by_condition: TranscriptResults) -> Table:
    """Word error rate [%] of every transcript condition over the test utterances, of all and of each class."""
    rows = []
    for condition, utterances in by_condition.utterances.items():
        classes = map_emotions(utterances["emotion"], FOUR_CLASSES)
        rates = transcripts.error_table(utterances.assign(emotion=classes), ["emotion"])
        rates = rates[rates["value"] != "unknown"]
        rows += [{"condition": condition.label, **row} for row in rates.to_dict("records")]
    numbers = pd.DataFrame(rows)
    shown = numbers.assign(group=numbers["value"].replace("", "all"), text=(100 * numbers["wer"]).map("{:.1f}".format))
    frame = shown.pivot(index="condition", columns="group", values="text")
    frame = frame.reindex(index=[condition.label for condition in _by_error(by_condition)], columns=["all", *CLASSES])
    frame.columns = pd.MultiIndex.from_tuples([("word error rate (%)", name) for name in frame.columns])
    counts = numbers[numbers["by"] == transcripts.OVERALL].iloc[0]
    below = (
        f"Over {counts['utterances']} test utterances of {counts['words']} words; against '{by_condition.reference}'. "
        "Case and punctuation do not count.",
        *_below(by_condition),
    )
    return Table("transcripts_errors", f"Word error rates{incomplete(by_condition.any)}", frame, numbers, below)


def table_of_scores(by_condition: TranscriptResults) -> Table:
    """Scores of every model in every condition, trained and tested with the same transcripts, and with others."""
    keys = ["trained", "tested", "wer", "model"]
    grouped = by_condition.scores.groupby(keys, sort=False, dropna=False)["score"]
    numbers = grouped.agg(mean="mean", sd=lambda scores: scores.std(ddof=0), seeds="size").reset_index()
    numbers["trained"], numbers["tested"] = (numbers[name].fillna(NO_TEXT) for name in ("trained", "tested"))
    numbers = numbers.assign(apart=numbers["trained"] != numbers["tested"], place=numbers["wer"].fillna(-1.0))
    numbers = numbers.sort_values(["apart", "place", "tested"], kind="stable", ignore_index=True)
    rows = [
        (
            row.trained,
            row.tested,
            "" if row.tested == NO_TEXT else f"{100 * row.wer:.0f}",
            registry.MODELS.label(row.model),
            cell_text(row.mean, row.sd, "", by_condition.metric),
        )
        for row in numbers.itertuples()
    ]
    table = pd.DataFrame(rows, columns=["trained with", "tested with", "WER (%)", "model", "text"])
    index = ["trained with", "tested with", "WER (%)"]
    frame = table.pivot(index=index, columns="model", values="text").fillna("")
    frame = frame.reindex(table[index].drop_duplicates().itertuples(index=False, name=None))
    columns = [registry.MODELS.label(model) for model in in_order(numbers["model"])]
    frame = frame[columns]
    axis = registry.METRICS[by_condition.metric].axis
    frame.columns = pd.MultiIndex.from_tuples([(axis, name) for name in columns])
    below = (
        f"Mean (sd, ddof 0) over {numbers['seeds'].max()} seeds, test utterances of "
        f"{registry.CORPORA.label(by_condition.corpus)}. CNN14 uses no text; LF is the mean of the predictions of "
        "CNN14 and of BERT in the same condition.",
        "In rows whose two conditions differ, nothing was trained again: only the transcripts of the test are others.",
        *_below(by_condition),
    )
    title = f"Scores by transcript condition{incomplete(by_condition.any)}"
    return Table("transcripts_scores", title, frame, numbers.drop(columns=["apart", "place"]), below)


def gains(by_condition: TranscriptResults) -> Table:
    """What each fusion gains over CNN14 in every condition, trained and tested with the same transcripts."""
    numbers = gain_numbers(by_condition)
    rows = [
        (
            registry.MODELS.label(row.model),
            row.condition,
            number_text(row.score, by_condition.metric),
            _signed(row.gain, by_condition),
            "" if pd.isna(row.of_gold) else f"{100 * row.of_gold:.0f} %",
            "" if pd.isna(row.p_gold) else f"{row.p_gold:.3f}",
        )
        for row in numbers.itertuples()
    ]
    frame = pd.DataFrame(rows).set_index([0, 1]).rename_axis(["model", "condition"])
    gold = f"of the gain with {by_condition.reference}"
    frame.columns = pd.MultiIndex.from_tuples(
        [
            ("", registry.METRICS[by_condition.metric].axis),
            ("over CNN14", "gain"),
            ("over CNN14", gold),
            ("", f"p, {by_condition.reference}"),
        ]
    )
    below = (
        "Gain: mean over seeds minus that of CNN14. Shares are empty where the reference gains nothing.",
        f"p: two-sided t-test over the seeds against the same model with '{by_condition.reference}', not corrected.",
        *_below(by_condition),
    )
    return Table(
        "transcripts_gains",
        f"Gain of fusion over CNN14 by transcript condition{incomplete(by_condition.any)}",
        frame,
        numbers,
        below,
    )


def gain_numbers(by_condition: TranscriptResults) -> pd.DataFrame:
    """One row a fusion and condition: condition, wer, model, score, gain, of_gold (share of the gain), p_gold.

    p_gold is of the t-test over seeds that the score differs from the one with the reference. It is missing, as is
    of_gold, where the reference was not run; of_gold also where the reference gains nothing.
    """
    scores = by_condition.scores
    acoustic = scores[scores["model"] == ACOUSTIC_BASELINE]["score"].mean()
    same = scores[scores["trained"] == scores["tested"]]
    rows = []
    for model in [model for model in in_order(same["model"]) if registry.MODELS[model].fuses]:
        of_model = same[same["model"] == model]
        gold = of_model[of_model["tested"] == by_condition.reference]["score"]
        whole = gold.mean() - acoustic
        for (label, rate), group in of_model.sort_values("wer", kind="stable").groupby(["tested", "wer"], sort=False):
            gain = group["score"].mean() - acoustic
            other = label != by_condition.reference and len(gold) > 0
            p = statistics.compare_seeds(group["score"].to_numpy(), gold.to_numpy()).p if other else float("nan")
            share = gain / whole if whole > 0 else float("nan")
            rows.append((label, rate, model, group["score"].mean(), gain, share, p))
    return pd.DataFrame(rows, columns=GAIN_COLUMNS)


def sentences(by_condition: TranscriptResults) -> list[str]:
    """How much of each fusion's gain needs the right words; computed from the runs, one sentence or more a model."""
    rates = {condition.label: rate for condition, rate in by_condition.error_rates.items()}
    text = []
    for model, group in gain_numbers(by_condition).groupby("model", sort=False):
        gain = group.set_index("condition")["gain"]
        text += _sentences(registry.MODELS.label(model), gain, rates, by_condition)
        text += _after_training(model, rates, by_condition)
    return text


def _sentences(name: str, gain: pd.Series, rates: dict[str, float], by_condition: TranscriptResults) -> list[str]:
    """`sentences` of one fusion; `gain` is over CNN14, by the label of the condition."""
    reference = by_condition.reference
    gold, floor = Condition(reference).label, Condition(reference, shuffled=True).label
    if gold not in gain or floor not in gain:
        return [f"{name}: not known, since it was not run with both '{gold}' and '{floor}'."]
    whole, left = gain[gold], gain[floor]
    spec = registry.METRICS[by_condition.metric]
    unit = f"points of {spec.label}" if spec.unit == "%" else f"of {spec.label}"
    if whole <= 0:
        return [f"{name} gains nothing over CNN14 with '{gold}' ({_signed(whole, by_condition)} {unit})."]
    gained = f"{name}'s gain of {number_text(whole, spec.name)} {unit} over CNN14"
    part = f"{number_text(whole - left, spec.name)} of {gained} ({100 * (whole - left) / whole:.0f} %)"
    text = [
        f"{part if left > 0 else f'All of {gained}'} needs the right words: with other utterances' transcripts its "
        f"gain is {_signed(left, by_condition)}."
    ]
    text += [
        f"With '{label}' ({100 * rates[label]:.0f} % of the words wrong) {name} gains "
        f"{_signed(gain[label], by_condition)}, {100 * gain[label] / whole:.0f} % of its gain with '{gold}'."
        for label in gain.index
        if label in _recognised(by_condition)
    ]
    if EMPTY in gain:
        text.append(f"With empty transcripts in training and test its gain is {_signed(gain[EMPTY], by_condition)}.")
    return text


def _after_training(model: str, rates: dict[str, float], by_condition: TranscriptResults) -> list[str]:
    """What recognised transcripts cost a model that was trained with the reference, beside as many random errors.

    The latter is interpolated between the reference and its corrupted forms; no sentence where these do not reach.
    """
    gold = Condition(by_condition.reference).label
    table = by_condition.scores[(by_condition.scores["model"] == model) & (by_condition.scores["trained"] == gold)]
    means = table.groupby("tested")["score"].mean()
    corrupted = {
        condition.label
        for condition in by_condition.error_rates
        if condition == Condition(by_condition.reference, condition.corruption)
    }
    line = sorted((rates[label], means[label]) for label in means.index if label in corrupted)
    text = []
    for label in means.index:
        if label in _recognised(by_condition) and line and line[0][0] <= rates[label] <= line[-1][0]:
            lost = means[gold] - means[label]
            at_random = means[gold] - np.interp(rates[label], [rate for rate, _ in line], [mean for _, mean in line])
            text.append(
                f"Trained with '{gold}' and tested with '{label}', {registry.MODELS.label(model)} loses "
                f"{number_text(lost, by_condition.metric)}; with as many random word errors it loses "
                f"{number_text(at_random, by_condition.metric)}."
            )
    return text


def _recognised(by_condition: TranscriptResults) -> list[str]:
    """The labels of recognised transcripts, neither corrupted nor shuffled."""
    others = (EMPTY, by_condition.reference)
    plain = [condition for condition in by_condition.parts if condition == Condition(condition.transcripts)]
    return [condition.label for condition in plain if condition.transcripts not in others]


def _by_error(by_condition: TranscriptResults) -> list[Condition]:
    return sorted(by_condition.error_rates, key=lambda condition: by_condition.error_rates[condition])


def _signed(value: float, by_condition: TranscriptResults) -> str:
    return f"{'+' if value >= 0 else ''}{number_text(value, by_condition.metric)}"


def _below(by_condition: TranscriptResults) -> tuple[str, ...]:
    missing = dict.fromkeys(text for part in by_condition.parts.values() for text in captions.missing(part))
    return (*captions.caveats(by_condition.any), *missing)
