"""A parameters file -> the runs of a study: strict YAML, and grids that become runs with readable names."""

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from sercore import files
from sercore.corpora.corpus import located
from sercore.schema import did_you_mean
from sercore.settings import OPEN, STRICT, Problem, problems_of


@dataclass(frozen=True, kw_only=True)
class Run:
    """One point of a section's grid: one execution of its notebook."""

    study: str
    section: str
    name: str  # the grid's values: model=mfcnn14,corpus=iemocap,seed=0
    notebook: Path
    parameters: dict[str, Any]  # of the notebook; no paths of the data
    folder: Path
    result: str = files.PREDICTIONS  # the file that its notebook writes last
    needs: tuple[str, ...] = ()  # sections whose results its notebook reads
    block: int = 0  # of the section, from 0
    grid: Mapping[str, int] = field(default_factory=dict)  # name -> which of the grid's values it has, from 0

    @property
    def key(self) -> tuple[str, str]:
        """Section and name: no other run of the study has the same."""
        return self.section, self.name

    @property
    def complete(self) -> bool:
        """Whether the run has ended with a result that can be read, see `files.complete`."""
        return files.complete(self.folder / self.result)


@dataclass(frozen=True, kw_only=True)
class Study:
    """A parameters file: where the corpora lie, and the runs of each section."""

    name: str
    path: Path
    corpora: dict[str, dict[str, Any]]  # name -> `root` and the other arguments of corpora.read(name, ...)
    outputs: Path
    runs: tuple[Run, ...]
    analysis: tuple[Path, ...]
    places: Mapping[files.Keys, files.Place] = field(default_factory=dict, repr=False, compare=False)

    @property
    def folder(self) -> Path:
        """Where the study's runs, tables and figures lie."""
        return self.outputs / self.name

    def section(self, name: str) -> tuple[Run, ...]:
        """The runs of section `name`. Raises ValueError with the nearest known name where there is none."""
        known = dict.fromkeys(run.section for run in self.runs)
        if name not in known:
            raise ValueError(f"{self.path} has no section '{name}'{did_you_mean(name, known)}")
        return tuple(run for run in self.runs if run.section == name)


class _Block(BaseModel):
    """Values that all runs of the block have, and lists of values, whose product gives its runs."""

    model_config = STRICT

    grid: Annotated[dict[str, Annotated[list[Any], Field(min_length=1)]], Field(min_length=1)]
    fixed: dict[str, Any] | None = None


class _Section(BaseModel):
    """A notebook, and the blocks of its runs."""

    model_config = STRICT

    notebook: str
    blocks: Annotated[list[_Block], Field(min_length=1)]
    result: str = files.PREDICTIONS
    needs: list[str] | None = None


class _Corpus(BaseModel):
    """Arguments of corpora.read; the options of each reader are checked by `check.check`."""

    model_config = OPEN

    root: Annotated[str, Field(min_length=1)]
    reader: str | None = None
    transcripts: str | None = None
    other_transcripts: dict[str, str] | None = None
    votes: str | None = None


class _File(BaseModel):
    """A parameters file. What has no value is as if it were not there."""

    model_config = STRICT

    study: str
    corpora: dict[str, _Corpus]
    outputs: str | None = None
    sections: Annotated[dict[str, _Section], Field(min_length=1)]
    analysis: list[str] | None = None


MOST_RUNS = 10_000  # of a block
SHOWN = 20  # mistakes that are listed


def load(path: str | Path) -> Study:
    """The study in the parameters file `path`, its grids expanded into runs.

    A section is a notebook and a list of blocks; a block has `fixed` values and a `grid` of lists, whose product gives
    its runs. Raises ValueError that lists all mistakes with their lines: a key that is unknown, missing or there twice,
    a value of another type, a name that cannot be a folder's, two runs of the same name. Whether the parameters
    fit the notebooks, is checked by `check.check`.
    """
    path = files.resolve(path)
    content, places = files.read_yaml_places(path)
    try:
        parsed = _File.model_validate(content)
    except ValidationError as error:
        problems = problems_of(error, _known)
    else:
        problems = [*_names(parsed), *_grids(parsed)]
    refuse(path, problems, places)
    outputs = files.resolve(parsed.outputs or "outputs")
    runs = [run for name in parsed.sections for run in _expand(parsed, outputs, name)]
    analysis = tuple(files.resolve(notebook) for notebook in parsed.analysis or ())
    corpora = {name: located(values, f"{path}, corpus '{name}'") for name, values in content["corpora"].items()}
    return Study(
        name=parsed.study,
        path=path,
        corpora=corpora,
        outputs=outputs,
        runs=tuple(runs),
        analysis=analysis,
        places=places,
    )


def refuse(path: Path, problems: Iterable[Problem], places: Mapping[files.Keys, files.Place]) -> None:
    """Raise ValueError with each of `problems` and its line in the parameters file `path`, if there are any."""
    lines = {_line(problem, places): None for problem in problems}
    if not lines:
        return
    listed = [text for _, text in sorted(lines)]
    if len(listed) == 1:
        raise ValueError(f"{path}, {listed[0]}")
    more = [f"... and {len(listed) - SHOWN} more"] if len(listed) > SHOWN else []
    raise ValueError("\n  ".join([f"{path}: {len(listed)} mistakes", *listed[:SHOWN], *more]))


def _line(problem: Problem, places: Mapping[files.Keys, files.Place]) -> tuple[int, str]:
    """The line of `problem`, and the problem as it is printed; with a hint at quotes where YAML changed the type."""
    known = next(keys for keys in _prefixes(problem.path) if keys in places or not keys)
    place = places.get(known, files.Place(1))
    text = problem.text
    written = place.key if text.startswith("a name: ") else place.value
    if known == problem.path and written and "expected text, found" in text:
        text += f"; YAML reads {written} as that: write it in quotes, '{written}'"
    shown = problem.path[:-1] if text.startswith("a name: ") else problem.path  # True is no place in a list
    label = "".join(f"[{key + 1}]" if type(key) is int else f".{key}" for key in shown).lstrip(".")
    return place.line, f"line {place.line}: {label}{': ' if label else ''}{text}"


def _prefixes(keys: files.Keys) -> list[files.Keys]:
    return [keys[:length] for length in range(len(keys), -1, -1)]


def _known(keys: files.Keys) -> list[str]:
    """The keys that may stand where `keys` lead to."""
    kinds: dict[tuple[bool, int], type[BaseModel]] = {(True, 2): _Section, (True, 4): _Block}
    return list(kinds.get((keys[:1] == ("sections",), len(keys)), _File).model_fields)


def _names(parsed: _File) -> Iterable[Problem]:
    """Names of the study, its sections, corpora and results that cannot be those of folders and files."""
    beside = {"study": STUDY_TAKEN, "sections": SECTION_TAKEN}
    named: list[tuple[files.Keys, str]] = [
        (("study",), parsed.study),
        *((("sections", name), name) for name in parsed.sections),
        *((("corpora", name), name) for name in parsed.corpora),
        *((("sections", name, "result"), section.result) for name, section in parsed.sections.items()),
    ]
    for keys, name in named:
        if files.folder_name(name) != name or not name.strip():
            yield Problem(
                keys, f"'{name}' cannot be the name of a folder or file everywhere; use letters, digits, - _ ."
            )
        elif len(keys) < 3 and name.lower() in beside.get(str(keys[0]), ()):
            yield Problem(keys, f"'{name}' is the name of another folder there; choose another one")
    for kind, names in (("sections", parsed.sections), ("corpora", parsed.corpora)):
        alike = Counter(name.casefold() for name in names)
        for name in names:
            if alike[name.casefold()] > 1:
                yield Problem(
                    (kind, name), f"'{name}' and another name differ in case alone; some disks take them for one"
                )
    for name, section in parsed.sections.items():
        for place, need in enumerate(section.needs or ()):
            if need not in parsed.sections:
                yield Problem(
                    ("sections", name, "needs", place), f"no section '{need}'{did_you_mean(need, parsed.sections)}"
                )


STUDY_TAKEN = {"bench", "by-hand", "cache", "corpora", "transcripts"}
SECTION_TAKEN = {"analysis", "caches", "figures", "tables"}
"""Folders that lie beside those of studies, and of sections."""


def _grids(parsed: _File) -> Iterable[Problem]:
    """Values that are both fixed and in the grid, and runs that are there twice."""
    for name, section in parsed.sections.items():
        seen: set[str] = set()
        for place, block in enumerate(section.blocks):
            keys = ("sections", name, "blocks", place)
            runs = math.prod(map(len, block.grid.values()))
            if runs > MOST_RUNS:
                yield Problem((*keys, "grid"), f"its lists make {runs:,} runs; expected {MOST_RUNS:,} at most")
                continue
            for key in sorted(block.grid.keys() & (block.fixed or {}).keys()):
                yield Problem((*keys, "grid", key), f"'{key}' is both fixed and in the grid")
            for values, _ in _points(block):
                if _label(values) in seen:
                    text = (
                        f"the same run is there twice, {_label(values)}; put a value in which they differ into the grid"
                    )
                    yield Problem((*keys, "grid"), text)
                    break
                seen.add(_label(values))


def _points(block: _Block) -> Iterable[tuple[dict[str, Any], dict[str, int]]]:
    """Each point of a grid: its values, and which ones of their lists they are."""
    for point in itertools.product(*(enumerate(values) for values in block.grid.values())):
        yield (
            {key: value for key, (_, value) in zip(block.grid, point, strict=True)},
            {key: place for key, (place, _) in zip(block.grid, point, strict=True)},
        )


def _expand(parsed: _File, outputs: Path, name: str) -> list[Run]:
    """The runs of one section of a parameters file."""
    section = parsed.sections[name]
    runs = [
        Run(
            study=parsed.study,
            section=name,
            name=_label(values),
            notebook=files.resolve(section.notebook),
            parameters={**values, **(block.fixed or {})},
            folder=outputs / parsed.study / name,
            result=section.result,
            needs=tuple(section.needs or ()),
            block=place,
            grid=grid,
        )
        for place, block in enumerate(section.blocks)
        for values, grid in _points(block)
    ]
    alike: dict[str, list[str]] = {}
    for run in runs:
        alike.setdefault(run.name.casefold(), []).append(run.name)
    folders = {run.name: files.folder_name(run.name, alike[run.name.casefold()]) for run in runs}
    return [replace(run, name=folders[run.name], folder=run.folder / folders[run.name]) for run in runs]


def _label(values: Mapping[str, Any]) -> str:
    """The values of a grid in one line: model=mfcnn14,corpus=iemocap,seed=0."""
    return ",".join(f"{key}={_text(value)}" for key, value in values.items())


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return f"({_label(value)})"
    return f"({','.join(map(_text, value))})" if isinstance(value, list) else str(value)
