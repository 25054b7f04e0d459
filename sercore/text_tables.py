"""How wrong the words are, what the models score with them, and how much of fusion's gain is what was said."""

import numpy as np
import pandas as pd

from sercore import notes, significance, wer
from sercore.conditions import VOICE, Condition, Told
from sercore.schema import CLASSES, FOUR_CLASSES, MODEL_LABELS, MODELS, map_emotions
from sercore.settings import EMPTY
from sercore.tables import Table, cell_text, incomplete, number_text

FUSIONS = ("lf", "sfcnn14", "mfcnn14")
UNITS = {"uar": "points of UAR", "ccc": "of CCC"}
METRICS = {"uar": "UAR (%)", "ccc": "CCC"}
NOTHING = "nothing"
GAIN_COLUMNS = ["told", "wer", "model", "score", "gain", "of_gold", "p_gold"]


def error_rates(told: Told) -> Table:
    """Word error rate [%] of every kind of transcripts over the test utterances, of all and of each class."""
    rows = []
    for condition, utterances in told.utterances.items():
        classes = map_emotions(utterances["emotion"], FOUR_CLASSES)
        found = wer.error_table(utterances.assign(emotion=classes), ["emotion"])
        rows += [{"told": condition.label, **row} for row in found[found["value"] != "unknown"].to_dict("records")]
    numbers = pd.DataFrame(rows)
    shown = numbers.assign(group=numbers["value"].replace("", "all"), text=(100 * numbers["wer"]).map("{:.1f}".format))
    frame = shown.pivot(index="told", columns="group", values="text")
    frame = frame.reindex(index=[condition.label for condition in _by_error(told)], columns=["all", *CLASSES])
    frame.columns = pd.MultiIndex.from_tuples([("word error rate (%)", name) for name in frame.columns])
    counts = numbers[numbers["by"] == wer.OVERALL].iloc[0]
    below = (
        f"Over {counts['utterances']} test utterances of {counts['words']} words; against '{told.reference}'. Case and "
        "punctuation do not count.",
        *_below(told),
    )
    return Table("transcripts_errors", f"Word error rates{incomplete(told.any)}", frame, numbers, below)


def table_of_scores(told: Told) -> Table:
    """Scores of every model with every kind of transcripts, trained and tested with the same, and with others."""
    keys = ["trained", "tested", "wer", "model"]
    grouped = told.scores.groupby(keys, sort=False, dropna=False)["score"]
    numbers = grouped.agg(mean="mean", sd=lambda scores: scores.std(ddof=0), seeds="size").reset_index()
    numbers["trained"], numbers["tested"] = (numbers[name].fillna(NOTHING) for name in ("trained", "tested"))
    numbers = numbers.assign(apart=numbers["trained"] != numbers["tested"], place=numbers["wer"].fillna(-1.0))
    numbers = numbers.sort_values(["apart", "place", "tested"], kind="stable", ignore_index=True)
    rows = [
        (row.trained, row.tested, "" if row.tested == NOTHING else f"{100 * row.wer:.0f}", MODEL_LABELS[row.model],
         cell_text(row.mean, row.sd, "", told.metric))
        for row in numbers.itertuples()
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["trained with", "tested with", "WER (%)", "model", "text"])
    index = ["trained with", "tested with", "WER (%)"]
    frame = table.pivot(index=index, columns="model", values="text").fillna("")
    frame = frame.reindex(table[index].drop_duplicates().itertuples(index=False, name=None))
    columns = [MODEL_LABELS[model] for model in MODELS if MODEL_LABELS[model] in frame]
    frame = frame[columns]
    frame.columns = pd.MultiIndex.from_tuples([(METRICS[told.metric], name) for name in columns])
    below = (
        f"Mean (sd, ddof 0) over {numbers['seeds'].max()} seeds, test utterances of {notes.corpus(told.corpus)}. CNN14 "
        "is told nothing; LF is the mean of what BERT, told this, and CNN14 predict.",
        "Rows whose two kinds of transcripts differ: nothing was trained again, only the words of the test are others.",
        *_below(told),
    )
    title = f"What the models score with the words that they are told{incomplete(told.any)}"
    return Table("transcripts_scores", title, frame, numbers.drop(columns=["apart", "place"]), below)


def gains(told: Told) -> Table:
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


def gain_numbers(told: Told) -> pd.DataFrame:
    """One row a fusion and kind of transcripts: told, wer, model, score, gain, of_gold (share of the gain), p_gold.

    The p is of the t-test over seeds that the score differs from the one with the reference; missing, as of_gold, where
    the reference was not run, or gains nothing.
    """
    scored = told.scores
    voice = scored[scored["model"] == VOICE]["score"].mean()
    same = scored[scored["trained"] == scored["tested"]]
    rows = []
    for model in [model for model in FUSIONS if (same["model"] == model).any()]:
        of_model = same[same["model"] == model]
        gold = of_model[of_model["tested"] == told.reference]["score"]
        whole = gold.mean() - voice
        for (label, rate), group in of_model.sort_values("wer", kind="stable").groupby(["tested", "wer"], sort=False):
            gain = group["score"].mean() - voice
            other = label != told.reference and len(gold) > 0
            p = significance.compare_seeds(group["score"].to_numpy(), gold.to_numpy()).p if other else float("nan")
            share = gain / whole if whole > 0 else float("nan")
            rows.append((label, rate, model, group["score"].mean(), gain, share, p))
    return pd.DataFrame(rows, columns=GAIN_COLUMNS)


def sentences(told: Told) -> list[str]:
    """What each fusion's gain is made of, in words; computed from the runs, one sentence or more a model."""
    rates = {condition.label: rate for condition, rate in told.error_rates.items()}
    said = []
    for model, group in gain_numbers(told).groupby("model", sort=False):
        said += _sentences(MODEL_LABELS[model], group.set_index("told")["gain"], rates, told)
        said += _after_training(model, rates, told)
    return said


def _sentences(name: str, gain: pd.Series, rates: dict[str, float], told: Told) -> list[str]:
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
        if label in _recognised(told)
    ]
    if EMPTY in gain:
        said.append(f"With no words at all, in training as in the test, it is {_signed(gain[EMPTY], told)} from CNN14.")
    return said


def _after_training(model: str, rates: dict[str, float], told: Told) -> list[str]:
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
        if label in _recognised(told) and line and line[0][0] <= rates[label] <= line[-1][0]
    ]


def _recognised(told: Told) -> list[str]:
    """The labels of transcripts as they come, neither corrupted nor shuffled, that are not the reference."""
    return [
        c.label for c in told.parts if c == Condition(c.transcripts) and c.transcripts not in (EMPTY, told.reference)
    ]


def _by_error(told: Told) -> list[Condition]:
    return sorted(told.error_rates, key=lambda condition: told.error_rates[condition])


def _signed(value: float, told: Told) -> str:
    return f"{'+' if value >= 0 else ''}{number_text(value, told.metric)}"


def _below(told: Told) -> tuple[str, ...]:
    missing = dict.fromkeys(text for part in told.parts.values() for text in notes.missing(part))
    return (*notes.simulated(told.any), *missing)
