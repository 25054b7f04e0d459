"""What a study's folder and its caches hold that nothing needs any more, and what only new predictions need.

Tables, figures, the report and the browsers of results read predictions, histories and records: these always stay.
"""

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sercore import files
from sercore.registry import MODELS
from sercore.study import progress
from sercore.study.config import Run, Study

CACHES = "caches"  # the group that lies outside of the study's folder
SUPERSEDED, CHECKPOINTS = "superseded", "checkpoints"  # groups that are freed by name alone
ENTRY, SET_ASIDE = "about.json", "damaged"  # a file of each entry of a corpus's cache, and a folder beside them
ENCODED = ("tokens", "waveform")  # what models with a fine-tuned encoder take


@dataclass(frozen=True)
class Group:
    """Files and folders of one kind that could go, and what they weigh."""

    name: str
    what: str  # in print
    paths: tuple[Path, ...]
    reason: str = ""  # why there may be more of them

    @property
    def bytes(self) -> int:
        """Of all files in it."""
        return sum(weigh(path) for path in self.paths)


def weigh(path: Path) -> int:
    """Bytes of the file `path`, or of all files below it; links are not followed."""
    if path.is_dir() and not path.is_symlink():
        return sum(entry.lstat().st_size for entry in path.rglob("*") if entry.is_file() or entry.is_symlink())
    return path.lstat().st_size if path.exists() else 0


def find(study: Study) -> list[Group]:
    """What could go from the folder of `study` and from the caches beside it.

    In order: `states` that complete runs went on from, `leftovers` of writers that were killed, CACHES that no run of
    this or another study beside it was made from; then what goes by name alone: runs that the parameters file does not
    have (SUPERSEDED), and the networks of fine-tuned encoders (CHECKPOINTS), which predict, export and go nowhere else.

    Raises ValueError where the study is executed now.
    """
    if progress.under_way(study):
        raise ValueError(f"study {study.name} is executed now: tidy it when its batch has ended, see `sercore status`")
    complete = [run for run in study.runs if run.complete]
    own = {run.folder for run in study.runs}
    superseded = [
        path.parent for path in sorted(study.folder.glob(f"*/*/{files.PARAMETERS}")) if path.parent not in own
    ]
    return [
        Group("states", "states that complete runs went on from", tuple(_of_folds(complete, files.STATE))),
        Group("leftovers", "of writers that were killed", tuple(sorted(study.folder.glob("**/.*.part")))),
        _caches(study, len(complete) < len(study.runs)),
        Group(SUPERSEDED, "runs that the parameters file does not have", tuple(superseded)),
        Group(
            CHECKPOINTS,
            "networks of fine-tuned encoders",
            tuple(_of_folds(filter(_encoded, complete), files.CHECKPOINT)),
        ),
    ]


def _of_folds(runs: Iterable[Run], name: str) -> Iterator[Path]:
    """The files `name` of the folds of `runs`."""
    for run in runs:
        yield from sorted(run.folder.glob(f"{files.FOLD}*/{name}"))


def _encoded(run: Run) -> bool:
    model = MODELS.get(str(run.parameters.get("model")))
    return model is not None and model.features in ENCODED


def _caches(study: Study, unfinished: bool) -> Group:
    """Entries of the caches that no provenance and no record of a filled cache names, and damaged ones set aside.

    None where runs, of whatever study, are still to be made: what they will read is not known yet.
    """
    what = "caches that no run was made from"
    batches = sorted(study.outputs.glob(f"*/{files.BATCH}"))
    if unfinished or batches:
        why = f"{batches[0]} says that a batch is under way" if batches else "not every run of the study is complete"
        return Group(CACHES, what, (), f"not known: {why}")
    named: set[str] = set()
    for path in study.outputs.glob(f"*/*/*/{files.PREPARED}"):
        entries = (files.find_json(path, entries=list) or {}).get("entries", [])
        named.update(Path(str(entry)).name for entry in entries)
    for path in study.outputs.glob(f"*/*/*/{files.PROVENANCE}"):
        for held in (files.find_json(path) or {}).get("corpora", {}).values():
            named.update(value for value in held.values() if isinstance(value, str))
    entries = sorted(path.parent for path in study.outputs.glob(f"cache/*/*/{ENTRY}"))
    unused = [entry for entry in entries if entry.name not in named]
    return Group(CACHES, what, (*unused, *sorted(study.outputs.glob(f"cache/*/{SET_ASIDE}"))))


def delete(group: Group) -> int:
    """Remove what is in `group`; the bytes that were freed. Of a run that another process executes nothing goes."""
    return sum(_removed(path) for path in group.paths)


def _removed(path: Path) -> int:
    run = next((home for home in (path, *path.parents[:3]) if (home / files.PARAMETERS).is_file()), None)
    if run is None:
        return _remove(path)
    with files.lock(run / f".{Path(files.NOTEBOOK).stem}.lock") as held:
        return 0 if held is None else _remove(path)


def _remove(path: Path) -> int:
    """Remove a file or folder, a folder under a name that nobody reads while it goes."""
    size = weigh(path)
    if path.is_dir() and not path.is_symlink():
        gone = path.rename(path.with_name(f".{path.name}.tidy.part"))
        shutil.rmtree(gone)
    else:
        path.unlink(missing_ok=True)
    return size
