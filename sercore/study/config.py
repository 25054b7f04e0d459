"""A parameters file -> the runs of a study: strict YAML, and grids that become runs with readable names."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sercore import files
from sercore.corpora.corpus import located
from sercore.schema import did_you_mean


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

    @property
    def key(self) -> tuple[str, str]:
        """Section and name: no other run of the study has the same."""
        return self.section, self.name

    @property
    def complete(self) -> bool:
        """Whether the run has ended with a result."""
        return (self.folder / self.result).exists()


@dataclass(frozen=True, kw_only=True)
class Study:
    """A parameters file: where the corpora lie, and the runs of each section."""

    name: str
    path: Path
    corpora: dict[str, dict[str, Any]]  # name -> `root` and the other arguments of corpora.read(name, ...)
    outputs: Path
    runs: tuple[Run, ...]
    analysis: tuple[Path, ...]

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


STUDY_KEYS = {"study", "corpora", "outputs", "sections", "analysis"}
SECTION_KEYS = {"notebook", "blocks", "result", "needs"}
BLOCK_KEYS = {"fixed", "grid"}


def load(path: str | Path) -> Study:
    """The study in the parameters file `path`, its grids expanded into runs.

    A section is a notebook and a list of blocks; a block has `fixed` values and a `grid` of lists, whose product gives
    its runs. Raises ValueError for an unknown key, an empty grid and two runs of the same name.
    """
    path = files.resolve(path)
    content = files.read_yaml(path)
    _check_keys(content, STUDY_KEYS, {"study", "corpora", "sections"}, str(path))
    outputs = files.resolve(content.get("outputs", "outputs"))
    runs = [
        run
        for name, section in content["sections"].items()
        for run in _expand(path, content["study"], outputs, name, section)
    ]
    names = [(run.section, run.name) for run in runs]
    twice = sorted({f"{section}/{name}" for section, name in names if names.count((section, name)) > 1})
    if twice:
        raise ValueError(
            f"{path}: two blocks give the same run {twice[0]}; put a value in which they differ into the grid"
        )
    analysis = tuple(files.resolve(notebook) for notebook in content.get("analysis", []))
    corpora = {name: located(values, f"{path}, corpus '{name}'") for name, values in content["corpora"].items()}
    return Study(
        name=content["study"], path=path, corpora=corpora, outputs=outputs, runs=tuple(runs), analysis=analysis
    )


def _expand(path: Path, study: str, outputs: Path, name: str, section: Mapping[str, Any]) -> list[Run]:
    """The runs of one section of a parameters file."""
    where = f"{path}, section '{name}'"
    _check_keys(section, SECTION_KEYS, {"notebook", "blocks"}, where)
    runs = []
    for number, block in enumerate(section["blocks"], 1):
        _check_keys(block, BLOCK_KEYS, {"grid"}, f"{where}, block {number}")
        grid, fixed = block["grid"], block.get("fixed") or {}
        empty = [key for key, values in grid.items() if not isinstance(values, list) or not values]
        if empty:
            raise ValueError(f"{where}, block {number}: grid value '{empty[0]}' must be a list with at least one entry")
        both = set(grid) & set(fixed)
        if both:
            raise ValueError(f"{where}, block {number}: '{min(both)}' is both fixed and in the grid")
        for point in itertools.product(*grid.values()):
            values = dict(zip(grid, point, strict=True))
            run = ",".join(f"{key}={value}" for key, value in values.items())
            runs.append(
                Run(
                    study=study,
                    section=name,
                    name=run,
                    notebook=files.resolve(section["notebook"]),
                    parameters={**values, **fixed},
                    folder=outputs / study / name / run,
                    result=section.get("result", files.PREDICTIONS),
                    needs=tuple(section.get("needs", ())),
                )
            )
    return runs


def _check_keys(content: object, known: set[str], needed: set[str], where: str) -> None:
    if not isinstance(content, Mapping):
        raise ValueError(f"{where}: expected a mapping, found {type(content).__name__}")
    for key in content:
        if key not in known:
            raise ValueError(f"{where}: unknown key '{key}'{did_you_mean(str(key), sorted(known))}")
    absent = sorted(needed - set(content))
    if absent:
        raise ValueError(f"{where}: key '{absent[0]}' is missing")
