"""Execute one notebook in a kernel of its own, which is watched, and ended when it hangs or its batch is stopped."""

import contextlib
import contextvars
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import papermill
from ipykernel.kernelspec import RESOURCES, get_kernel_dict
from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from jupyter_core.utils import ensure_event_loop
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets import default

from sercore import files
from sercore.study.forkserver import LAUNCHER, ForkServer, KernelProcess
from sercore.study.notebooks import literal

SECONDS_BETWEEN_LOOKS = 1.0
MOST_BETWEEN_LOOKS = 3.0  # times that by which they are meant to be apart
SECONDS_TO_FORK = 300.0  # for the imports of the fork server, and the fork; it takes 10
CONNECTION = "kernel.json"  # in a private folder, with the sockets that it names


class StoppedError(RuntimeError):
    """The notebook was stopped from outside: it did not fail."""


class KernelLostError(RuntimeError):
    """The kernel died, or hung and was ended: its notebook may go on in another kernel."""


@dataclass
class Watch:
    """How a kernel is started, and when it is ended."""

    batch_id: str = ""  # `stop` ends the kernels of a batch
    inherit: tuple[int, ...] = ()  # file descriptors that stay open while it lives
    environment: Mapping[str, str] = field(default_factory=dict)  # variables that replace those of this process
    alive: Callable[[], float] = time.time  # changes whenever it makes progress: the time of a file
    patience: float = 0.0  # seconds without progress after which it is ended; 0: never
    warm: bool = False  # whether it is forked from a process that has imported torch and the like
    started: Callable[[int], None] = lambda _: None  # called with its process id
    process: subprocess.Popen | KernelProcess | None = None
    ended_because: str = ""  # filled when it is ended
    folder: Path = field(default_factory=Path)  # private, of its sockets; filled when it is started


class Silence:
    """Counts the seconds in which something shows no sign of life, in looks that are meant to be `pause` seconds apart.

    It goes by a clock that nobody sets. What lies between two looks counts as little more than `pause`: when this
    process stands still, as while the machine sleeps, the others may do so too.
    """

    def __init__(self, alive: Callable[[], float], pause: float) -> None:
        self._alive = alive  # changes with every sign of life: the time of a file, of which only changes count
        self._most = MOST_BETWEEN_LOOKS * pause
        self._seen, self._last = alive(), time.monotonic()
        self.counted = 0.0

    def seconds(self) -> float:
        """Look: the seconds since the last sign of life."""
        seen, now = self._alive(), time.monotonic()
        self.counted = self.counted + min(now - self._last, self._most) if seen == self._seen else 0.0
        self._seen, self._last = seen, now
        return self.counted


class ThisPython(KernelSpecManager):
    """Finds a notebook's kernel; that of Python is this process's own, whatever kernels a user has installed."""

    def find_kernel_specs(self) -> dict[str, str]:
        """The folder of each kernel."""
        return super().find_kernel_specs() | {NATIVE_KERNEL_NAME: RESOURCES}

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """How the kernel is started. Raises NoSuchKernel where none has this name."""
        if kernel_name != NATIVE_KERNEL_NAME:
            return super().get_kernel_spec(kernel_name)
        return KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())


class _Forked(LocalProvisioner):
    """Starts a kernel by forking this worker's fork server, or as a new process where the fork server has died."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        watch = _watch.get()
        if LAUNCHER not in cmd:  # another language, or an environment of its own
            return await super().launch_kernel(cmd, **kwargs)
        try:
            argv = cmd[cmd.index(LAUNCHER) + 1 :]
            limit = min(SECONDS_TO_FORK, watch.patience or SECONDS_TO_FORK)
            process = _fork_server().fork(argv, kwargs["env"], kwargs.get("cwd"), watch.inherit, limit)
        except OSError:
            _drop_fork_server()
            return await super().launch_kernel(cmd, **kwargs)
        self.process = process  # type: ignore[assignment]  # it has those methods of a Popen that are called
        self.pid = self.pgid = process.pid  # type: ignore[assignment]  # its class has them as None alone
        self.cwd = kwargs.get("cwd", Path.cwd())
        return self.connection_info


class _Kernel(AsyncKernelManager):
    """A kernel with sockets in the file system, whose names are unique: a network port may be taken."""

    @default("transport")
    def _default_transport(self) -> str:
        return "tcp" if sys.platform == "win32" else "ipc"

    @default("connection_file")
    def _default_connection_file(self) -> str:
        return str(_watch.get().folder / CONNECTION)

    @default("kernel_spec_manager")
    def _kernel_spec_manager_default(self) -> KernelSpecManager:
        return ThisPython(parent=self)

    async def _async_pre_start_kernel(self, **kw: Any) -> tuple[list[str], dict[str, Any]]:
        if _watch.get().warm and sys.platform == "linux":  # forking is safe there
            self.kernel_id = self.kernel_id or str(uuid.uuid4())
            self.provisioner = _Forked(kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self)
        return await super()._async_pre_start_kernel(**kw)

    async def _async_launch_kernel(self, kernel_cmd: list[str], **kw: Any) -> None:
        watch = _watch.get()
        kw["env"] = {**kw.get("env", {}), **watch.environment}
        if watch.inherit and sys.platform != "win32":
            kw["pass_fds"] = watch.inherit
        await super()._async_launch_kernel(kernel_cmd, **kw)
        watch.process = getattr(self.provisioner, "process", None)
        if watch.process is not None:
            watch.started(watch.process.pid)
        with _lock:
            if watch.batch_id in _stopped:  # while it started
                _end(watch)

    async def _async_interrupt_kernel(self) -> None:
        # when it shuts down its last cell has ended, and an interrupt would reach it while it writes its answer
        if not self.shutting_down:
            await super()._async_interrupt_kernel()


_watch: contextvars.ContextVar[Watch] = contextvars.ContextVar("watch")
_running: list[Watch] = []
_fork_servers: list[ForkServer] = []
_stopped: set[str] = set()
_lock = threading.Lock()


def _fork_server() -> ForkServer:
    """The fork server of this process, started at its first use."""
    with _lock:
        if not _fork_servers:
            _fork_servers.append(ForkServer())
        return _fork_servers[0]


def _drop_fork_server() -> None:
    """End the fork server; the next kernel starts a new one."""
    with _lock:
        for server in _fork_servers:
            server.close()
        _fork_servers.clear()


def stop(batch_id: str = "") -> None:
    """End the kernels of a batch in this process and start no more: its calls of `execute` raise StoppedError."""
    with _lock:
        _stopped.add(batch_id)
        for watch in _running:
            if watch.batch_id == batch_id:
                _end(watch)


def execute(notebook: Path, output: Path, parameters: dict[str, Any], watch: Watch | None = None) -> None:
    """Execute `notebook` with `parameters` into `output`, cell by cell, in a kernel of its own.

    Raises PapermillExecutionError for a cell that fails, KernelLostError for a kernel that dies or makes no progress
    for `watch.patience` seconds, and StoppedError where `stop` was called.
    """
    watch = watch or Watch()
    if watch.batch_id in _stopped:
        raise StoppedError(f"{notebook.name} was stopped")
    output.parent.mkdir(parents=True, exist_ok=True)
    with _watched(watch):
        try:
            # nbclient keeps its event loop in the context; Dask's threads get copies of one, and would share its loop
            contextvars.Context().run(_execute, notebook, output, parameters, watch)
        except (DeadKernelError, RuntimeError) as error:
            if watch.batch_id in _stopped:
                raise StoppedError(f"{notebook.name} was stopped") from error
            raise KernelLostError(watch.ended_because or _death(watch, error)) from error


def _execute(notebook: Path, output: Path, parameters: dict[str, Any], watch: Watch) -> None:
    _watch.set(watch)
    try:
        with files.private_folder() as watch.folder:
            papermill.execute_notebook(
                literal(notebook), literal(output), parameters, progress_bar=False, kernel_manager_class=_Kernel
            )
    finally:
        ensure_event_loop().close()  # which nbclient opens and leaves open


@contextlib.contextmanager
def _watched(watch: Watch) -> Iterator[None]:
    """List `watch` for `stop` while the block runs, and end its kernel where it makes no progress."""
    done = threading.Event()

    def end_when_silent() -> None:
        pause = min(SECONDS_BETWEEN_LOOKS, watch.patience)
        silence = Silence(watch.alive, pause)
        while not done.wait(pause):
            if watch.process is None:  # its start has limits of its own
                silence = Silence(watch.alive, pause)
            elif silence.seconds() > watch.patience:
                watch.ended_because = f"no sign of life for {silence.counted:.0f} s: the kernel was ended"
                _end(watch)
                return

    with _lock:
        _running.append(watch)
    watching = threading.Thread(target=end_when_silent, daemon=True)
    try:
        if watch.patience:
            watching.start()
        yield
    finally:
        done.set()
        if watch.patience:
            watching.join()
        with _lock:
            _running.remove(watch)


def _end(watch: Watch) -> None:
    if watch.process is not None:
        with contextlib.suppress(ProcessLookupError):
            watch.process.kill()


def _death(watch: Watch, error: Exception) -> str:
    """Why a kernel died, by its exit status."""
    status = watch.process.poll() if watch.process is not None else None
    if status is None:
        return f"the kernel was lost: {error}"
    if status == -signal.SIGKILL:
        return "the kernel was killed (SIGKILL): by hand, or by the system when memory ran out"
    if status < 0:
        return f"the kernel was killed by signal {-status} ({signal.Signals(-status).name})"
    return f"the kernel ended by itself with status {status}"


def cause(error: Exception) -> str:
    """The error in one line; for a notebook, the exception of the cell that failed."""
    if isinstance(error, PapermillExecutionError):
        return f"cell {error.cell_index}: {error.ename}: {error.evalue}"
    if isinstance(error, KernelLostError):
        return str(error)
    return f"{type(error).__name__}: {error}"
