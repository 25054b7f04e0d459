"""Whether a study can run, before anything is computed: its parameters against notebooks, settings and corpora."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from sercore import corpora, files
from sercore.corpora import splits
from sercore.corpora.languages import ADVICE, is_english, not_english
from sercore.registry import CORPORA, MODELS, load
from sercore.schema import did_you_mean
from sercore.settings import (
    EMPTY,
    KINDS,
    Parameters,
    Problem,
    TextSettings,
    found,
    option_problems,
    parameter_problems,
)
from sercore.study import notebooks
from sercore.study.config import Run, Study, refuse

OWN_READERS = ("table", "audformat")  # of corpora in whatever language


def check(study: Study, runs: Iterable[Run] | None = None, *, data: bool = False) -> None:
    """Raise ValueError with all that is wrong with `runs` of the study (default: all), each with its line.

    That is: notebooks that are not there, parameters that they do not have or that are of another type, models,
    settings, classes, corpora and their options that are unknown or out of range, and speakers that a corpus on this
    disk does not have. With `data`, corpora that are not there or cannot be read are mistakes too.
    """
    chosen = list(study.runs if runs is None else runs)
    problems = [*_corpora(study), *_analyses(study)]
    for run in chosen:
        problems += _run(study, run)
    if not problems:
        problems = list(_data(study, chosen, data))
    refuse(study.path, problems, study.places)


def _run(study: Study, run: Run) -> list[Problem]:
    """What is wrong with the parameters of one run."""
    notebook: files.Keys = ("sections", run.section, "notebook")
    try:
        declared = notebooks.defaults(run.notebook)
    except (OSError, ValueError) as error:
        return [Problem(notebook, str(error))]
    unknown = [name for name in run.parameters if name not in declared]
    problems = [
        Problem(
            _place(run, (name,)),
            f"{run.notebook.name} has no parameter '{name}'{did_you_mean(str(name), declared)}",
        )
        for name in unknown
    ]
    problems += [
        Problem(_place(run, (name,)), f"'{name}' is given by the study itself; leave it out")
        for name in notebooks.PLACES
        if name in run.parameters and name in declared
    ]
    values = {**declared, **{name: value for name, value in run.parameters.items() if name not in unknown}}
    wrong = parameter_problems({name: value for name, value in values.items() if name not in notebooks.PLACES})
    wrong += [problem for name, value in run.parameters.items() for problem in _like(name, value, declared)]
    if study.corpora and "corpora" in declared and isinstance(values.get("corpus"), str):
        corpus = values["corpus"]
        if corpus not in study.corpora:
            text = f"no corpus '{corpus}' among the corpora{did_you_mean(corpus, study.corpora)}"
            wrong.append(Problem(("corpus",), text))
    for problem in wrong:
        if problem.path and problem.path[0] in run.parameters:
            problems.append(problem._replace(path=_place(run, problem.path)))
        else:  # of a value that the notebook itself has
            text = f"in {run.notebook.name}, {'.'.join(map(str, problem.path))}: {problem.text}"
            problems.append(Problem(notebook, text))
    return problems


def _place(run: Run, keys: files.Keys) -> files.Keys:
    """Where a parameter of `run` that `keys` lead to stands in the parameters file."""
    block = ("sections", run.section, "blocks", run.block)
    if keys[0] in run.grid:
        return (*block, "grid", keys[0], run.grid[str(keys[0])], *keys[1:])
    return (*block, "fixed", *keys)


def _like(name: str, value: Any, declared: Mapping[str, Any]) -> Iterable[Problem]:
    """A parameter of the notebook's own that is of another type than the value that the notebook gives it."""
    default = declared.get(name)
    if default is None or value is None or name in Parameters.model_fields or type(value) is type(default):
        return
    if not (isinstance(default, float) and type(value) is int):
        yield Problem((name,), f"expected {KINDS.get(type(default), type(default).__name__)}, found {found(value)}")


def _analyses(study: Study) -> Iterable[Problem]:
    for place, notebook in enumerate(study.analysis):
        if not notebook.is_file():
            yield Problem(("analysis", place), f"no notebook {notebook}")


def _corpora(study: Study) -> Iterable[Problem]:
    """Unknown readers, and options that theirs do not have, or not of that type."""
    for name, values in study.corpora.items():
        kind = values.get("reader") or name
        if kind not in CORPORA:
            text = f"unknown reader '{kind}'{did_you_mean(kind, CORPORA)}"
            yield Problem(("corpora", name, *(("reader",) if "reader" in values else ())), text)
            continue
        options = {key: value for key, value in values.items() if key not in corpora.OPTIONS and value is not None}
        for problem in option_problems(load(CORPORA[kind].reader), options, f"the reader of {kind}"):
            yield problem.within("corpora", name)


def _data(study: Study, runs: Iterable[Run], needed: bool) -> Iterable[Problem]:
    """Corpora that `runs` need and that are not there or cannot be read, and folds that they do not have."""
    reading = [run for run in runs if "corpora" in notebooks.defaults(run.notebook)]
    loaded = {name for name, values in study.corpora.items() if values.get("database")}  # where it is not there yet
    absent = {name for name, values in study.corpora.items() if not Path(values["root"]).exists()} - loaded
    if needed and reading:
        for name in sorted(absent):
            yield Problem(("corpora", name, "root"), f"{study.corpora[name]['root']} does not exist")
    tables: dict[str, Any] = {}
    wrong: dict[tuple[str, str], str] = {}  # corpus, fold
    for run in reading:
        values = {**notebooks.defaults(run.notebook), **run.parameters}
        name, folds = values.get("corpus"), values.get("folds")
        if name not in study.corpora or name in absent or not folds:
            continue
        if name not in tables:
            options = dict(study.corpora[name])
            try:
                tables[name] = corpora.read(name, options.pop("root"), **options).utterances
            except (OSError, ValueError) as error:
                yield Problem(("corpora", name), str(error))
                tables[name] = None
        if tables[name] is None or tables[name]["partition"].notna().any():
            continue
        for place, fold in enumerate(folds):
            if (name, fold) not in wrong:
                wrong[name, fold] = _fold(tables[name], name, fold)
            if wrong[name, fold]:
                keys = ("folds", place)
                yield Problem(_place(run, keys) if "folds" in run.parameters else ("corpora", name), wrong[name, fold])


def languages(study: Study, runs: Iterable[Run]) -> list[str]:
    """A warning for each corpus and text encoder of `runs` of which the one is English and the other seems not to be.

    The corpora of the paper are English; others are read. One that cannot be read has none.
    """
    pairs = dict.fromkeys(pair for run in runs for pair in _read_together(run))
    texts: dict[str, str] = {}
    for name in dict.fromkeys(name for name, _ in pairs):
        options = dict(study.corpora.get(name) or {})
        if not options or options.get("reader", name) not in OWN_READERS or not Path(options["root"]).exists():
            continue
        try:
            corpus = corpora.read(name, options.pop("root"), **options)
        except (OSError, ValueError):
            continue  # `check` and the run itself say why
        texts[name] = not_english(corpus.utterances["transcript"])
    return [
        f"corpus '{name}' seems not to be in English, which text encoder '{encoder}' is of: {texts[name]}; {ADVICE}"
        for name, encoder in pairs
        if texts.get(name)
    ]


def _read_together(run: Run) -> Iterable[tuple[str, str]]:
    """(corpus, English text encoder) of a run whose model reads transcripts."""
    values = {**notebooks.defaults(run.notebook), **run.parameters}
    spec, text, corpus = MODELS.get(str(values.get("model"))), values.get("text"), values.get("corpus")
    if spec is None or not spec.uses_text or not isinstance(text, Mapping) or not corpus:
        return
    encoder = text.get("encoder", TextSettings.encoder)
    if is_english(str(encoder)) and text.get("transcripts") != EMPTY:
        yield str(corpus), str(encoder)


def _fold(utterances: pd.DataFrame, corpus: str, fold: str) -> str:
    """Why `corpus` cannot be split by `fold`; empty where it can."""
    try:
        splits.by_name(utterances, (fold,), corpus)
    except ValueError as error:
        return str(error)
    return ""
