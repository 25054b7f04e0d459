"""Run folders -> the predictions of a section of a study -> scores as the paper reports them, and the best seeds.

A run is what lies in its folder, so nothing here trains or needs torch. Late fusion is computed from the predictions
wherever the models that it is made from are there. The scores are those of any part of the predictions: all of them, a
style, a gender, a speaker.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sercore import corpora, files
from sercore.corpora import Corpus, wording
from sercore.registry import METRICS, MODELS, SECTIONS
from sercore.schema import (
    DIMENSIONS,
    EMOTION,
    PREDICTION_COLUMNS,
    PROBABILITY,
    RUN_KEYS,
    check_predictions,
    first,
    probability_columns,
)
from sercore.study import config

ACOUSTIC_BASELINE, LATE_FUSION = "cnn14", "lf"
OFFICIAL = "official"  # the name of the one fold of a corpus that has partitions of its own
PERCENT = 100  # shares, such as those of a confusion matrix, are shown in %
SCORE_KEYS = ("section", "model", "train_corpus", "test_corpus", "seed", "partition", "target")
MODEL_KEYS = ["section", "model", "train_corpus", "target", "seed"]
SELECTED = -1  # stands for the seed of late fusion whose halves are those that are best on validation, see `of_best`
BY_HAND = "outputs/by-hand/residuals"  # of a notebook that no study runs
LINES = "lines.csv"


@dataclass(frozen=True)
class Results:
    """The predictions of the complete runs of a section of a study, and the runs that are missing."""

    study: config.Study
    section: str
    predictions: pd.DataFrame  # of the complete runs, and of late fusion where all of its models are there
    missing: tuple[config.Run, ...] = ()

    @property
    def simulated(self) -> bool:
        """Whether any of the predictions is of synthesised speech."""
        return bool(self.predictions["simulated"].any())

    @cached_property
    def scores(self) -> pd.DataFrame:
        """`scores` of the predictions, computed once."""
        return scores(self.predictions)

    @cached_property
    def telling(self) -> dict[str, pd.Series]:
        """Test corpus -> utterance -> whether its words can tell, see corpora.wording; the corpora are read once."""
        tables = {name: read_corpus(self.study, name).utterances for name in self.predictions["test_corpus"].unique()}
        return {name: wording.telling(table).set_axis(table["utterance"]) for name, table in tables.items()}

    @cached_property
    def best(self) -> pd.DataFrame:
        """`best_on_validation` of the scores, computed once."""
        return best_on_validation(self.scores)


def read(
    study: config.Study | str | Path,
    section: str,
    incomplete: str = "refuse",
    runs: Sequence[config.Run] | None = None,
) -> Results:
    """The predictions of the runs of a section of a study, late fusion added.

    Text columns come as categories: about 40 bytes a prediction, some 400 while reading. Of a section of the registry
    that the study does not have, as where a corpus has no ratings, there are no predictions, and nothing is missing.

    Args:
        study: a study, or its parameters file.
        section: one of its sections, or of the registry's.
        incomplete: what to do where runs are missing; "refuse" raises, "show" reads the others, and every table then
            names the missing runs in its notes.
        runs: the runs to read; None: all of the section.

    Raises:
        FileNotFoundError: runs are missing and `incomplete` is "refuse", or no run is complete; the message names
            the command that makes them.
        ValueError: `incomplete` is neither of the two, or predictions are not what their run should have written.
    """
    if incomplete not in ("refuse", "show"):
        raise ValueError(f"incomplete is '{incomplete}'; expected 'refuse' or 'show'")
    study = study if isinstance(study, config.Study) else config.load(study)
    if runs is None and section in SECTIONS and section not in {run.section for run in study.runs}:
        return Results(study=study, section=section, predictions=pd.DataFrame(columns=list(PREDICTION_COLUMNS)))
    runs = study.section(section) if runs is None else tuple(runs)
    missing = tuple(run for run in runs if not run.complete)
    if missing and (incomplete == "refuse" or len(missing) == len(runs)):
        raise FileNotFoundError(
            f"{len(missing)} of {len(runs)} runs of section '{section}' are not complete, "
            f"{first(run.name for run in missing)}; make them with {_command(study)}"
            + ("" if len(missing) == len(runs) else ", or read what is there with incomplete='show'")
        )
    tables = [_read_run(run) for run in runs if run.complete]
    everything = (
        pa.concat_tables(tables, promote_options="default").unify_dictionaries().to_pandas(ignore_metadata=True)
    )
    source = f"section '{section}' of {_shown(study.path)}"
    predictions = check_predictions(_with_class_order(_with_same_corpora(everything), source), source)
    return Results(study=study, section=section, predictions=with_late_fusion(predictions), missing=missing)


def read_corpus(study: config.Study, name: str) -> Corpus:
    """The corpus `name` of `study`. Raises as corpora.read does, as where it is not there."""
    options = dict(study.corpora[name])
    return corpora.read(name, options.pop("root"), **options)


def by_change(study: config.Study, section: str, incomplete: str = "refuse") -> dict[str, Results]:
    """Change, as the parameter of its name says it ("None" of runs without) -> the runs of `section` that have it.

    The change is not in the predictions table. With `incomplete="show"`, a change without a complete run is left out.
    Raises as `read`, so also where no run is complete.
    """
    runs = study.section(section)
    there = [run for run in runs if run.complete or incomplete == "refuse"]
    members: dict[str, list[config.Run]] = {}
    for run in there or runs:
        members.setdefault(str(run.parameters.get("change")), []).append(run)
    return {change: read(study, section, incomplete, of_change) for change, of_change in members.items()}


def read_history(study: config.Study | str | Path, section: str) -> pd.DataFrame:
    """The learning curves of every complete run of `section`, one row an epoch.

    Returns:
        Columns: run, model, corpus, seed and whatever else differs between the runs, then those of their histories:
        fold, epoch, loss, development, learning_rate, seconds, best.

    Raises:
        FileNotFoundError: no complete run has a history.
    """
    study = study if isinstance(study, config.Study) else config.load(study)
    complete = [run for run in study.section(section) if run.complete]
    tables = [(run, table) for run in complete if (table := files.find_history(run.folder / files.HISTORY)) is not None]
    if not tables:
        raise FileNotFoundError(
            f"no complete run of section '{section}' has a {files.HISTORY}; make them with {_command(study)}"
        )
    histories = []
    for run, history in tables:
        grid = {key: value for key, value in run.parameters.items() if key in run.grid}
        histories.append(pd.DataFrame({"run": run.name, **grid}, index=history.index).join(history))
    return pd.concat(histories, ignore_index=True)


def of_run(results: Results, model: str, corpus: str, seed: int) -> pd.DataFrame:
    """The predictions of one model and seed, trained on `corpus`, for its own corpus's test utterances.

    `model` may be `lf`. Raises ValueError, with the runs that there are, where there is no such run.
    """
    table = results.predictions
    table = table[(table["partition"] == "test") & (table["train_corpus"] == table["test_corpus"])]
    rows = table[(table["model"] == model) & (table["train_corpus"] == corpus) & (table["seed"] == seed)]
    if rows.empty:
        there = table[["model", "train_corpus", "seed"]].drop_duplicates().sort_values(["model", "seed"])
        names = first((f"{row.model} of {row.train_corpus} with seed {row.seed}" for row in there.itertuples()), most=8)
        raise ValueError(f"no complete run of {model} of {corpus} with seed {seed}; there are {names}")
    return rows


def write_residuals(
    errors: pd.DataFrame, lines: pd.DataFrame, folder: str | Path, model: str, corpus: str, seed: int
) -> Path:
    """Write a run's residuals and their lines into `folder`, the residuals last; returns the path of these.

    `errors` and `lines` are tables of residuals.residual_table and residuals.fit_lines; an empty `folder` means one
    below outputs/by-hand, named after the run.
    """
    folder = files.resolve(folder or f"{BY_HAND}/model={model},corpus={corpus},seed={seed}")
    files.write_table(folder / LINES, lines)
    files.write_record(folder / files.PROVENANCE, files.provenance(model=model, corpus=corpus, seed=seed))
    files.write_table(folder / files.RESIDUALS, errors)
    return folder / files.RESIDUALS


def with_late_fusion(predictions: pd.DataFrame) -> pd.DataFrame:
    """`predictions` and the rows of every model that is made from others, the columns of text still as categories."""
    parts = [predictions]
    for name, spec in MODELS.items():
        if spec.made_from:
            parts.append(late_fusion(predictions, name))
    parts = [part for part in parts if len(part)]
    if len(parts) < 2:
        return predictions
    names = list(predictions["model"].astype("category").cat.categories)
    names += [part["model"].iloc[0] for part in parts[1:]]
    known = pd.CategoricalDtype(list(dict.fromkeys(names)))
    return pd.concat([part.assign(model=part["model"].astype(known)) for part in parts], ignore_index=True)


def late_fusion(predictions: pd.DataFrame, model: str = LATE_FUSION) -> pd.DataFrame:
    """The mean of the predictions of the models that `model` is made from, of one seed and fold (section 3).

    Categories: the mean of their probabilities of each class, and the class where it is highest (the first of them at a
    tie); dimensions: the mean of their ratings.

    Args:
        predictions: a predictions table of one section.
        model: the fused model, which the rows are of; LF is made from BERT and CNN14.

    Returns:
        Rows like those of `predictions`; none for a pair of corpora, fold and seed that one of the models was not
        run for.

    Raises:
        ValueError: the models do not cover the same utterances or hold different truths of one, or a prediction is
            there twice.
    """
    made_from = MODELS[model].made_from
    names = " and ".join(made_from)
    sources = predictions[predictions["model"].isin(made_from)]
    runs = [*(key for key in RUN_KEYS if key != "model"), "partition", "target"]
    models = sources[[*runs, "model"]].drop_duplicates().groupby(runs, observed=True, sort=False)["model"].size()
    complete = sources.merge(models[models == len(made_from)].index.to_frame(index=False), on=runs)
    if complete.empty:
        return predictions.iloc[:0]
    complete = complete.assign(row=range(len(complete)))
    try:
        wide = complete.pivot(index=[*runs, "utterance"], columns="model", values="row")
    except ValueError as error:
        raise ValueError(
            f"late fusion: a prediction of {names} is there twice; expected one row an utterance and run"
        ) from error
    alone = wide.index[wide.isna().any(axis=1)]
    if len(alone):
        raise ValueError(
            f"late fusion: {len(alone)} utterances were predicted by only some of {names}, "
            f"{first(alone.get_level_values('utterance'))}; all must be evaluated on the same utterances"
        )
    parts = [complete.iloc[wide[source].astype("int64")].reset_index(drop=True) for source in made_from]
    last = parts[-1]
    for part in parts[:-1]:
        different = last[last["truth"].astype(object) != part["truth"].astype(object)]
        if len(different):
            raise ValueError(
                f"late fusion: {names} hold different truths of {len(different)} utterances, "
                f"{first(different['utterance'])}"
            )
    emotions = (complete["target"] == EMOTION).all()
    values = probability_columns(complete) if emotions else ["prediction"]
    fused = last.drop(columns="row").assign(model=model)
    fused[values] = sum(part[values].astype("float64") for part in parts) / len(parts)
    if emotions:
        decided = fused[values].idxmax(axis=1).str.removeprefix(PROBABILITY)
        fused["prediction"] = decided.astype(predictions["prediction"].dtype)
    return fused


def classes(predictions: pd.DataFrame) -> list[str]:
    """The classes that the predictions choose from, in the order of the probability columns."""
    named = [column.removeprefix(PROBABILITY) for column in probability_columns(predictions)]
    if named:
        return named
    emotions = predictions[predictions["target"] == EMOTION]
    return sorted(set(emotions["truth"].astype(object)) | set(emotions["prediction"].astype(object)))


def reported(target: str, in_domain: bool) -> list[str]:
    """The metrics that are reported for `target`, in-domain or across corpora (section 4.2), the main one first."""
    return [
        metric.name
        for metric in METRICS.values()
        if metric.categorical == (target == EMOTION) and (metric.in_domain if in_domain else metric.cross_corpus)
    ]


def main_metric(target: str, in_domain: bool) -> str:
    """The metric by which the paper compares models: UAR of emotions, CCC of dimensions, across corpora PCC."""
    return reported(target, in_domain)[0]


def scores(predictions: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """Scores as the paper reports them, one row per model, corpora, seed, partition, target, metric and pooling.

    Emotions: `uar` in %. Dimensions: `ccc` and `mse` in-domain (the squared error in units of the corpus's scale),
    `pcc` across corpora, whose scales differ (section 4.2); and every other metric of the registry.

    `pooling` says how the folds of the training corpus are combined: `single` (official partitions, one model),
    `pooled` (one score over the predictions of all folds), `folds` (the mean of the folds' scores; NaN where a fold
    lacks a class). In-domain both are given, since the paper does not say which it took; across corpora the model of
    every fold predicts the whole test corpus, and the paper takes the mean (section 4.2).

    Args:
        predictions: a predictions table, or any part of one.
        by: columns whose values are scored apart: style, gender, speaker; rows where they are missing are left out.

    Returns:
        Columns: SCORE_KEYS, `by`, metric, pooling, score, and folds and utterances, which count what is behind a score.
    """
    keys = [*SCORE_KEYS, *by]
    labels = classes(predictions)
    rows = []
    for key, group in predictions.groupby(keys, observed=True, sort=False):
        row = dict(zip(keys, key, strict=True))
        counts = {"folds": group["fold"].nunique(), "utterances": group["utterance"].nunique()}
        parts = samples(group)
        for metric in reported(row["target"], row["train_corpus"] == row["test_corpus"]):
            for pooling, tables in parts.items():
                value = pd.Series([score(table, metric, labels) for table in tables]).mean(skipna=False)
                rows.append({**row, "metric": metric, "pooling": pooling, "score": value, **counts})
    table = pd.DataFrame(rows, columns=[*keys, "metric", "pooling", "score", "folds", "utterances"])
    order = ["section", "place", *keys[2:]]
    table = table.assign(place=table["model"].map(MODELS.position))
    return table.sort_values(order, kind="stable", ignore_index=True).drop(columns="place")


def samples(predictions: pd.DataFrame) -> dict[str, list[pd.DataFrame]]:
    """Pooling, see `scores` -> the tables whose scores are averaged; of one run's predictions of one test corpus."""
    folds = [fold for _, fold in predictions.groupby("fold", observed=True, sort=False)]
    if len(folds) == 1 and (predictions["fold"] == OFFICIAL).all():
        return {"single": folds}
    in_domain = predictions["train_corpus"].iloc[0] == predictions["test_corpus"].iloc[0]
    return {"pooled": [predictions], "folds": folds} if in_domain else {"folds": folds}


def score(predictions: pd.DataFrame, metric: str, labels: Sequence[str]) -> float:
    """One number for all of `predictions`, which are of one target; printed as the metric's record says: UAR in %.

    Args:
        predictions: their columns truth and prediction are used.
        metric: a name of `registry.METRICS`.
        labels: the classes, for a metric of categories.

    Raises:
        ValueError: there is no such metric, and as the metric itself raises.
    """
    spec = METRICS.find(metric)
    pair = predictions["truth"], predictions["prediction"]
    return spec.scale * (spec.function(*pair, labels) if spec.categorical else spec.function(*pair))


def best_on_validation(scored: pd.DataFrame) -> pd.DataFrame:
    """The seed of each model that is best on its training corpus's development utterances, one row per target.

    The score is the main metric: UAR for emotions, CCC for a dimension that has a model of its own, the mean CCC of the
    three for a model of all; over the pooled folds under leave-one-speaker-out. Ties go to the lowest seed. Late
    fusion, which is not trained, is not chosen: it is made of the models that are, see `of_best`.

    Args:
        scored: a table of `scores`.

    Returns:
        Columns: section, model, train_corpus, target, seed, development (the score), ties (how many seeds share it).

    Raises:
        ValueError: no seed of a model has a score, as where the development utterances lack a class.
    """
    development = scored[
        (scored["partition"] == "development")
        & (scored["train_corpus"] == scored["test_corpus"])
        & scored["metric"].isin([main_metric(target, in_domain=True) for target in (EMOTION, *DIMENSIONS)])
        & scored["pooling"].isin(("single", "pooled"))
        & ~scored["model"].isin(_fused())
    ]
    together = [key for key in MODEL_KEYS if key != "target"]
    mean = development.groupby(together, observed=True)["score"].transform("mean")
    single = development["section"].isin([section.name for section in SECTIONS.values() if section.single_task])
    development = development.assign(development=development["score"].where(single, mean))
    keys = [key for key in MODEL_KEYS if key != "seed"]
    rows = []
    for key, group in development.groupby(keys, observed=True, sort=False):
        best = group[group["development"] == group["development"].max()].sort_values("seed")
        if best.empty:
            raise ValueError(
                f"no seed of {first(key)} has a score on the development utterances; do they lack a class?"
            )
        chosen = {"seed": best["seed"].iloc[0], "development": best["development"].iloc[0], "ties": len(best)}
        rows.append({**dict(zip(keys, key, strict=True)), **chosen})
    return pd.DataFrame(rows, columns=[*keys, "seed", "development", "ties"])


def of_best(predictions: pd.DataFrame, best: pd.DataFrame) -> pd.DataFrame:
    """The rows of `predictions` that come from the models in `best`, see `best_on_validation`, and late fusion of them.

    So Table 4's late fusion is made: there the covariance of prediction and truth, CCC MSE / (2 (1 - CCC)), is that of
    BERT and CNN14 in the mean. The two may have different seeds; the rows of late fusion have SELECTED as theirs.
    """
    chosen = pd.MultiIndex.from_frame(best[MODEL_KEYS].astype(object))
    rows = predictions[pd.MultiIndex.from_frame(predictions[MODEL_KEYS].astype(object)).isin(chosen)]
    return pd.concat([rows, selected_fusion(rows)], ignore_index=True)


def seed_name(seed: int) -> str:
    """What a seed is called in print."""
    return "of the best models" if seed == SELECTED else f"seed {seed}"


def selected_fusion(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of late fusion of `rows`, which are one seed's of each model, with SELECTED as their seed."""
    fused = with_late_fusion(rows[~rows["model"].isin(_fused())].assign(seed=SELECTED))
    return fused[fused["model"].isin(_fused())].assign(model=lambda table: table["model"].astype(rows["model"].dtype))


def _fused() -> list[str]:
    return [name for name, spec in MODELS.items() if spec.made_from]


def _read_run(run: config.Run) -> pa.Table:
    """The predictions of one run, every column of text as a dictionary."""
    path = run.folder / files.PREDICTIONS
    files.check(path)
    text = [field.name for field in pq.read_schema(path) if _is_text(field.type)]
    table = pq.read_table(path, read_dictionary=text)
    sections = set(table["section"].unique().to_pylist())
    if sections != {run.section}:
        raise ValueError(
            f"{path} holds section {first(sorted(sections))}, expected '{run.section}': it was not made by this run"
        )
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_dictionary(column.type):
            columns[name] = column
        elif _is_text(column.type) or pa.types.is_null(column.type):
            columns[name] = column.cast(pa.string()).dictionary_encode()
        elif name in ("truth", "prediction"):
            columns[name] = column.cast(pa.float64())
        else:
            columns[name] = column
    return pa.table(columns)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _with_same_corpora(predictions: pd.DataFrame) -> pd.DataFrame:
    """`predictions` whose two columns of corpora are categories of one type, so that they can be compared."""
    columns = ["train_corpus", "test_corpus"]
    known = pd.CategoricalDtype(sorted(set().union(*(predictions[column].unique() for column in columns))))
    return predictions.assign(**{column: predictions[column].astype(known) for column in columns})


def _with_class_order(predictions: pd.DataFrame, source: str) -> pd.DataFrame:
    """`predictions` whose emotions are categories of one type, in the order of the probability columns."""
    if not (predictions["target"] == EMOTION).all():
        return predictions
    kind = pd.CategoricalDtype(classes(predictions))
    for column in ("truth", "prediction"):
        unknown = set(predictions[column].unique()) - set(kind.categories)
        if unknown:
            raise ValueError(
                f"{source}: {column} is {first(map(repr, unknown))}, a class without a column of probabilities; "
                f"expected {', '.join(kind.categories)}"
            )
    return predictions.assign(
        truth=predictions["truth"].cat.set_categories(kind.categories),
        prediction=predictions["prediction"].cat.set_categories(kind.categories),
    )


def _shown(path: Path) -> str:
    """`path` as a reader would type it: relative to the project's folder where it lies below it."""
    return str(path.relative_to(files.project())) if path.is_relative_to(files.project()) else str(path)


def _command(study: config.Study) -> str:
    return f"`sercore run {_shown(study.path)}`"
