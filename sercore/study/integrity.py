"""Whether the files of a run are as they were written: `sercore run` makes again what is damaged and was set aside."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from sercore import files
from sercore.study.config import Run

SMALL = (files.PARAMETERS, files.PROVENANCE, files.HISTORY, files.TRANSCRIPT_SHIFT, files.PREDICTIONS)
"""Files of a run and of its folds that are looked at whenever it is."""
RECORDS = (files.EXECUTIONS, files.FAILURE)  # likewise; no result follows from them
LARGE = (files.CHECKPOINT, files.STATE)  # of its folds: as large as the network
READERS: dict[str, Callable[[Path], object]] = {
    ".yaml": files.read_yaml,
    ".json": files.read_json,
    ".csv": files.read_history,
    ".ipynb": files.read_json,
}
"""Suffix -> what reads such a file, and raises where it is damaged; of other files the checksum says all."""


def mend(run: Run, whole: bool = False) -> list[str]:
    """Set aside what is damaged in the folder of `run`, so that it is made again when the study is run the next time.

    Damaged records of executions and failures are removed, and so is the result of an execution that was killed before
    its notebook was saved. A run that is executed now stays as it is.

    Args:
        run: complete or not.
        whole: also read its networks and states, which takes a second a gigabyte.

    Returns: a sentence for each file, that says what is wrong with it.
    """
    if not run.folder.is_dir():
        return []
    with contextlib.ExitStack() as stack:
        try:
            held = stack.enter_context(files.lock(run.folder / f".{Path(files.NOTEBOOK).stem}.lock"))
        except OSError:  # nothing can be written there: nobody executes it
            held = ()
        return [] if held is None else [*_torso(run, known=bool(held)), *_damaged(run, whole)]


def _torso(run: Run, known: bool) -> Iterator[str]:
    """Remove the result of an execution that ended before its notebook was saved; `known`: it has ended."""
    if known and (run.folder / files.RUNNING).exists() and run.complete:
        (run.folder / run.result).unlink(missing_ok=True)
        yield f"{run.folder} is executed again: it was killed before {files.NOTEBOOK} was saved to its end"


def _damaged(run: Run, whole: bool) -> Iterator[str]:
    """Set aside or remove what is damaged; of an incomplete run the notebook is a torso, and does not count."""
    names = {run.result, *SMALL, *RECORDS, *(LARGE if whole else ()), *((files.NOTEBOOK,) if run.complete else ())}
    for folder in (run.folder, *sorted(run.folder.glob(f"{files.FOLD}*"))):
        for path in (folder / name for name in sorted(names)):
            wrong = _problem(path) if path.is_file() else ""
            if wrong:
                yield (_remove if path.name in RECORDS else files.set_aside)(path, wrong)


def _problem(path: Path) -> str:
    """What is wrong with the file `path`; empty where nothing is."""
    wrong = files.damage(path)
    if not wrong and path.suffix in READERS:
        try:
            READERS[path.suffix](path)
        except (OSError, ValueError) as error:
            wrong = str(error).replace(str(path), "it").splitlines()[0]
    return wrong


def _remove(path: Path, wrong: str) -> str:
    try:
        path.unlink()
    except OSError as error:
        return f"{path} is damaged ({wrong}), and cannot be removed: {error}"
    return f"{path} is damaged ({wrong}): it is removed, and begins anew"
