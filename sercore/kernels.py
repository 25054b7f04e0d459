"""One notebook in one kernel: started safely beside others, stopped at once when nobody waits for it any more."""

import contextlib
import contextvars
import sys
import uuid
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakSet

import nbformat
import papermill
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.paths import jupyter_runtime_dir
from jupyter_core.utils import ensure_event_loop
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets import default

TRIES = 2  # a kernel that dies before its first cell is started once more


class StoppedError(RuntimeError):
    """The notebook was stopped from outside: it did not fail."""


class _Kernel(AsyncKernelManager):
    """A kernel that is reached through sockets in the file system, under a name of its own: ports can be taken."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        with _lock:
            _running.add(self)

    @default("transport")
    def _default_transport(self) -> str:
        return "tcp" if sys.platform == "win32" else "ipc"

    @default("connection_file")
    def _default_connection_file(self) -> str:
        folder = Path(jupyter_runtime_dir())
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder / f"sercore-{uuid.uuid4().hex}.json")


_running: WeakSet[_Kernel] = WeakSet()
_lock = Lock()
_stopped = False


def allow() -> None:
    """Let kernels start, as they may until `stop`."""
    global _stopped
    _stopped = False


def stop() -> None:
    """End every kernel of this process and start none: the notebooks raise StoppedError where they wait."""
    global _stopped
    _stopped = True
    with _lock:
        kernels = list(_running)
    for kernel in kernels:
        process = getattr(kernel.provisioner, "process", None)
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()


def execute(notebook: Path, output: Path, parameters: dict[str, Any]) -> None:
    """Execute `notebook` with `parameters` into `output`, cell by cell.

    Raises PapermillExecutionError for a cell that fails, DeadKernelError for a kernel that dies, and StoppedError where
    `stop` was called.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, TRIES + 1):
        if _stopped:
            raise StoppedError(f"{notebook.name} was stopped")
        try:
            # nbclient keeps its event loop in the context; Dask's threads get copies of one, and would share its loop
            contextvars.Context().run(_execute, notebook, output, parameters)
        except (DeadKernelError, RuntimeError) as error:
            if _stopped:
                raise StoppedError(f"{notebook.name} was stopped") from error
            if attempt == TRIES or _has_begun(output):
                raise
        else:
            return


def _execute(notebook: Path, output: Path, parameters: dict[str, Any]) -> None:
    try:
        papermill.execute_notebook(
            str(notebook), str(output), parameters, progress_bar=False, kernel_manager_class=_Kernel
        )
    finally:
        ensure_event_loop().close()  # which nbclient opens and leaves open


def _has_begun(output: Path) -> bool:
    """Whether a cell of the notebook `output` was executed."""
    return output.exists() and any(cell.get("execution_count") for cell in nbformat.read(output, as_version=4).cells)


def cause(error: Exception) -> str:
    """What went wrong in one line: of a notebook the exception of the cell that failed."""
    if isinstance(error, PapermillExecutionError):
        return f"cell {error.cell_index}: {error.ename}: {error.evalue}"
    return f"{type(error).__name__}: {error}"
