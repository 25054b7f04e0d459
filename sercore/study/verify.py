"""Whether a complete run would come out the same today: what it was made from, against what is there now.

A run records digests of its corpora, its settings and its software in provenance.json, and its folder holds the
executed notebook and the parameters. None of it is needed to read results; it is for checking them.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

from sercore import corpora, files, settings
from sercore.corpora import Corpus, transcripts
from sercore.registry import MODELS
from sercore.schema import first
from sercore.study.config import Run, Study
from sercore.study.plan import dependencies, label, run_parameters

INPUT = "input"  # corpora, parameters or settings: the run would come out differently
SOFTWARE = "software"  # versions, code or prose: the run may come out differently
UNKNOWN = "unknown"  # not recorded, or not there to be compared
COLUMNS = ("run", "what", "severity")
Change = tuple[str, str]  # what, severity
TABLES = {"table": "its table of utterances", "transcripts": "its transcripts", "audio": "its audio files"}


def changed(study: Study) -> pd.DataFrame:
    """What has changed since the complete runs of `study` were made: one row a change, none where nothing has.

    Columns: `run`, its section/name; `what`, a line to print; `severity`. That is INPUT for corpora, parameters,
    settings, the code of the notebook and results that the run reads; SOFTWARE for the package, its requirements and
    the notebook's prose; UNKNOWN where something cannot be compared. A change of the audio does not count for a model
    that uses text alone, nor one of the transcripts for a model that uses audio alone. Each corpus is read once.
    """
    here = files.provenance()
    present = _Present(study)
    rows: list[tuple[str, str, str]] = []
    for run in study.runs:
        if run.complete:
            rows += [(label(run), what, severity) for what, severity in _changes(study, run, here, present)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def other_corpora(study: Study, runs: Iterable[Run]) -> pd.DataFrame:
    """As `changed`, of those of `runs` that are complete, and of the corpora alone."""
    present, rows = _Present(study), []
    for run in runs:
        if run.complete:
            recorded = files.find_json(run.folder / files.PROVENANCE) or {}
            changes = _corpora(study, recorded, run_parameters(run).get("model", ""), present)
            rows += [(label(run), what, severity) for what, severity in changes]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def lines(changes: pd.DataFrame) -> list[str]:
    """`changes` in print, a line each with the runs that it affects."""
    return [
        f"  {severity}: {what}: {len(affected)} runs, {first(list(affected), 2)}"
        for severity, rows in changes.groupby("severity", sort=False)
        for what, affected in rows.groupby("what", sort=False)["run"]
    ]


def _changes(study: Study, run: Run, here: Mapping[str, Any], present: "_Present") -> Iterable[Change]:
    """What has changed for one run; `here` is the software and `present` the corpora of today."""
    recorded = files.find_json(run.folder / files.PROVENANCE) or {}
    parameters = run_parameters(run)
    differs = files.other_parameters(run.folder, parameters)
    if differs:
        yield f"the study has another {', '.join(differs)} now", INPUT
    yield from _settings(recorded, parameters)
    yield from _corpora(study, recorded, parameters.get("model", ""), present)
    yield from _needed(study, run)
    yield from _notebook(run)
    if not recorded:
        yield f"it has no {files.PROVENANCE}", UNKNOWN
    else:
        yield from _software(recorded, here)


def _settings(recorded: Mapping[str, Any], parameters: Mapping[str, Any]) -> Iterable[Change]:
    """Settings whose defaults have changed: those that were used, against those that follow from the parameters now.

    A recipe is taken to have as much to train on as it had then: a corpus that has changed is named by itself.
    """
    size = recorded.get("recipe", {}).get("size")
    for kind, held in recorded.get("settings", {}).items():
        if kind not in settings.SETTINGS or kind not in parameters:
            continue
        try:
            now = json.loads(json.dumps(asdict(settings.of_run(parameters, kind, size and settings.Size(**size)))))
        except ValueError as error:
            yield f"its {kind} are refused now: {error}", INPUT
            continue
        for name, value in held.items():
            if name not in now:
                yield f"{kind}.{name} was {value}, and is no setting now", INPUT
            elif now[name] != value:
                yield f"{kind}.{name} was {value}, now {now[name]}", INPUT
        if new := [name for name in now if name not in held]:  # settings that there were not then
            usual = json.loads(json.dumps(asdict(settings.of_run({"model": parameters["model"]}, kind))))
            for name in new:
                if now[name] != usual[name]:
                    yield f"{kind}.{name} was not set then, now {now[name]}", INPUT


def _corpora(study: Study, recorded: Mapping[str, Any], model: str, present: "_Present") -> Iterable[Change]:
    """Corpora that differ from those that the run used."""
    used = recorded.get("corpora")
    if not isinstance(used, Mapping):
        return
    text = recorded.get("settings", {}).get("text", {})
    new = [name for name in study.corpora if name not in used]
    if new:
        yield f"it was not tested on {', '.join(new)}, of the study's corpora", INPUT
    bare = sorted(name for name, held in used.items() if "fingerprint" not in held)
    if bare:
        yield f"no fingerprint of {', '.join(bare)} was recorded", UNKNOWN
    for name, held in used.items():
        if name in bare:
            continue
        if name not in study.corpora:
            yield f"{name} is no corpus of the study now", INPUT
            continue
        now = present.fingerprint(name, text if _uses_text(model) else {})
        if isinstance(now, str):
            yield f"{name} cannot be compared: {now}", UNKNOWN
            continue
        parts = [part for part in TABLES if part in held["fingerprint"] and _matters(part, model)]
        other = [TABLES[part] for part in parts if now[part] != held["fingerprint"][part]]
        if other:
            yield f"{name}: {', '.join(other)} changed", INPUT


def _uses_text(model: str) -> bool:
    return model not in MODELS or MODELS[model].uses_text


def _matters(part: str, model: str) -> bool:
    """Whether the results of `model` follow from the `part` of a corpus; an unknown model may use all of it."""
    if part == "audio":
        return model not in MODELS or MODELS[model].uses_audio
    return part != "transcripts" or _uses_text(model)


class _Present:
    """The corpora of a study as they are now, each read once."""

    def __init__(self, study: Study) -> None:
        """Nothing is read yet."""
        self._study = study
        self._read: dict[str, Corpus] = {}
        self._fingerprints: dict[tuple[str, str], dict[str, str] | str] = {}

    def fingerprint(self, name: str, text: Mapping[str, Any]) -> dict[str, str] | str:
        """Digests of a corpus with the transcripts of the text settings `text`; or why there are none."""
        key = (name, repr(sorted(text.items())))
        if key not in self._fingerprints:
            try:
                corpus = self._with_transcripts(name, text)
                self._fingerprints[key] = corpus.fingerprint if corpus.with_sound else "it is an archive's"
            except (OSError, ValueError) as error:
                self._fingerprints[key] = str(error).splitlines()[0]
        return self._fingerprints[key]

    def _with_transcripts(self, name: str, text: Mapping[str, Any]) -> Corpus:
        if name not in self._read:
            options = dict(self._study.corpora[name])
            self._read[name] = corpora.read(name, options.pop("root"), **options)
        return transcripts.apply_transcripts(self._read[name], settings.build(settings.TextSettings, text))


def _needed(study: Study, run: Run) -> Iterable[Change]:
    """Results that the run reads and that are missing, or younger than its own."""
    for other in dependencies(study, run):
        if not other.complete:
            yield f"it was made from {label(other)}, which is not complete", INPUT
        elif _written(other) > _written(run):
            yield f"{label(other)}, which it reads, was written later", INPUT


def _written(run: Run) -> int:
    return (run.folder / run.result).stat().st_mtime_ns


def _notebook(run: Run) -> Iterable[Change]:
    """Cells of the executed notebook that are not those of its template."""
    executed = run.folder / files.NOTEBOOK
    if not executed.exists():
        yield "the notebook that was executed is not in its folder", UNKNOWN
        return
    try:
        was = _cells(executed)
    except (ValueError, nbformat.ValidationError) as error:
        yield f"the notebook that was executed is damaged: {first(str(error).splitlines(), 1)}", UNKNOWN
        return
    now = _cells(run.notebook)
    for kind, severity in (("code", INPUT), ("markdown", SOFTWARE)):
        before, after = ([source for of, source in cells if of == kind] for cells in (was, now))
        if before != after:
            lines = next((source.strip().splitlines() for source in after if source not in before), ["a cell is gone"])
            what = "the notebook's code" if kind == "code" else "the notebook's prose"
            yield f"{what} changed: {lines[0] if lines else 'an empty cell'}", severity


def _cells(path: Path) -> list[tuple[str, str]]:
    """Kind and source of each cell that an author wrote: without the one in which parameters are passed."""
    cells = nbformat.read(path, as_version=4).cells
    return [
        (cell.cell_type, cell.source) for cell in cells if "injected-parameters" not in cell.metadata.get("tags", [])
    ]


def _software(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> Iterable[Change]:
    """The package, Python and the requirements, in one line each."""
    if recorded.get("source", "") != here["source"]:
        commits = f"commit {_short(recorded)}, now {_short(here)}"
        if "source" in recorded:
            yield f"the package's code changed ({commits})", SOFTWARE
        elif recorded.get("commit") != here["commit"]:
            yield f"the package's code may have changed ({commits})", SOFTWARE
    was = {"python": recorded.get("python"), **recorded.get("versions", {})}
    now = {"python": here["python"], **here["versions"]}
    other = [
        f"{name} {was[name]}, now {now.get(name, 'absent')}"
        for name in was
        if name != "sercore" and was[name] != now.get(name)
    ]
    if other:
        yield f"other versions: {first(other, 8)}", SOFTWARE


def _short(recorded: Mapping[str, Any]) -> str:
    commit = recorded.get("commit") or "unknown"
    return commit[:7] + ("-dirty" if commit.endswith("-dirty") else "")
