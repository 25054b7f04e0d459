"""Sets of stages by what else differs between runs: the mechanism, the text dropout or the text encoder."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from sercore import files
from sercore.analysis import captions, statistics, where, words
from sercore.analysis.comparisons import interval, signed
from sercore.analysis.nothing import NothingToShow, or_nothing
from sercore.analysis.tables import Table, number_text
from sercore.analysis.where import DRAWS, SEED, Kind, Stages, Where
from sercore.analysis.words import ByWords
from sercore.registry import METRICS
from sercore.study import config

FACTORS = {"mechanism": "mechanism", "text_dropout": "text dropout", "encoder": "text encoder"}
"""Field of where.Kind -> what it is called in print."""


def read(
    study: config.Study | str, section: str, factor: str, incomplete: str = "refuse", encoder: str | None = None
) -> dict[Any, Where]:
    """The runs of `section` by the values of `factor`, which is one of FACTORS; first what others are compared with.

    That is the paper's value where there are runs of it, else the first in the parameters file; all else is as in
    where.read, and `encoder` as there.

    Raises:
        NothingToShow: No set of stages has runs of two values.
        FileNotFoundError, ValueError: As where.read raises them.
    """
    study = study if isinstance(study, config.Study) else config.load(study)
    fixed: dict[str, Any] = {} if factor == "encoder" else {"encoder": encoder}
    plain = Kind()._replace(encoder=encoder or "")
    by_stages: dict[Stages, dict[Any, None]] = {}
    for stages, kind, _ in where.kinds(study, section, incomplete):
        held = kind._replace(**{factor: getattr(plain, factor)})
        if stages and plain == (held if encoder else held._replace(encoder="")):
            by_stages.setdefault(stages, {})[getattr(kind, factor)] = None
    several = {stages: list(values) for stages, values in by_stages.items() if len(values) > 1}
    values = list(dict.fromkeys(value for of in several.values() for value in of))
    if not values:
        raise NothingToShow(f"no stages of section '{section}' have runs that differ in the {FACTORS[factor]}")
    values.sort(key=lambda value: value != getattr(plain, factor))  # the others stay in their order
    return {value: where.read(study, section, incomplete, **fixed, **{factor: value}) for value in values}


@or_nothing
def compare(
    study: config.Study | str,
    section: str,
    factor: str,
    corpus: str,
    target: str,
    metric: str,
    incomplete: str = "refuse",
    encoder: str | None = None,
    draws: int = DRAWS,
) -> Table:
    """The score of each set of stages at each value of `factor`, and its difference to that at the first one.

    Tested on `corpus`, in-domain. Intervals are of .95 over seeds, paired, and speakers. Of gates it is said how far
    they are open, the mean over seeds, folds and test utterances.
    """
    found = read(study, section, factor, incomplete, encoder)
    sums = {value: where.sums(of, corpus, target, metric) for value, of in found.items()}
    scale, rows = METRICS[metric].scale, []
    first = next(iter(found))
    for stages in sums[first]:
        values = [value for value in found if stages in sums[value]]
        for value in values if stages and len(values) > 1 else ():
            of, against = sums[value][stages], sums[first][stages]
            score = statistics.crossed_interval(of, np.random.default_rng(SEED), draws)
            gap = statistics.crossed_difference(of, against, np.random.default_rng(SEED), draws, paired=True)
            numbers = dict(zip(("score", "low", "high"), score, strict=False))
            numbers |= dict(zip(("difference", "difference_low", "difference_high"), gap, strict=False))
            rows.append(
                {"stages": stages, factor: value}
                | {name: scale * number for name, number in numbers.items()}
                | {f"open_{stage}": opened for stage, opened in _openings(found[value], stages, corpus).items()}
            )
    numbers = pd.DataFrame(rows)
    cells = [_cells(row, metric, row[factor] == first) for row in rows]
    index = pd.MultiIndex.from_tuples(
        [(where.in_words(row["stages"]), str(row[factor])) for row in rows], names=["stages", FACTORS[factor]]
    )
    columns = [("", f"{METRICS[metric].label} of {target}"), ("", f"less that of {first}"), ("", "gates open")]
    frame = pd.DataFrame(cells, index=index, columns=pd.MultiIndex.from_tuples(columns))
    if not frame.iloc[:, -1].any():
        frame = frame.iloc[:, :-1]
    below = (
        f"Not in the paper. Stages of which there are runs of one {FACTORS[factor]} alone are not shown. On {corpus}, "
        "in-domain; intervals of .95 over seeds and speakers, each for itself.",
        *captions.simulated(found[first].any),
    )
    title = f"What the {FACTORS[factor]} changes: {METRICS[metric].label} of {target}, {corpus}"
    return Table(f"where_{factor}_{target}_{metric}", title, frame, numbers, below)


def _cells(row: Mapping[str, Any], metric: str, is_first: bool) -> list[str]:
    gates = [(name.removeprefix("open_"), opened) for name, opened in row.items() if name.startswith("open_")]
    return [
        f"{number_text(row['score'], metric)} ({interval(row['low'], row['high'], metric).replace('+', '')})",
        ""
        if is_first
        else f"{signed(row['difference'], metric)} ({interval(row['difference_low'], row['difference_high'], metric)})",
        ", ".join(f"{stage}: {opened:.2f}".replace(" 0.", " .") for stage, opened in gates),
    ]


def _openings(of: Where, stages: Stages, corpus: str) -> dict[str, float]:
    """Stage -> how far its gate is open in test, the mean over folds and seeds; empty for runs without gates."""
    folds = [
        fold["openings"]
        for run in of.runs[stages]
        if run.parameters["corpus"] == corpus
        for fold in (files.find_json(run.folder / files.PROVENANCE) or {}).get("folds", {}).values()
        if "openings" in fold
    ]
    return {} if not folds else pd.DataFrame(folds).mean().to_dict()


@or_nothing
def words_by_dropout(
    study: config.Study | str, section: str, corpus: str, incomplete: str = "refuse", encoder: str | None = None
) -> ByWords:
    """What where.by_words gives, by stages and text dropout: of the sets of stages that were trained with dropout too.

    For words.table and words.plot.
    """
    found = read(study, section, "text_dropout", incomplete, encoder)
    dropped = {stages for value, of in found.items() if value for stages in of.runs if stages}
    parts: list[pd.DataFrame] = []
    labels: dict[str, str] = {}
    for value, of in found.items():
        names = {where.in_words(stages): stages for stages in of.runs if stages in dropped or not (stages or value)}
        rows = where.labelled(of, corpus)
        shown = {name: f"{name}, {value:g}" if stages else name for name, stages in names.items()}
        labels |= {name: name for name in shown.values()}
        parts.append(rows[rows["name"].isin(list(shown))].replace({"name": shown}))
    rows = words.in_domain(pd.concat(parts, ignore_index=True))
    one = replace(next(iter(found.values())).any, predictions=rows)
    return ByWords(one, rows, labels, "stages with text, text dropout")
