"""A fork server: it imports everything once and forks kernels, which then need no time for their imports.

    python -m sercore.study.forkserver DESCRIPTOR

It reads from the socket DESCRIPTOR, inherited from its worker. A request is JSON (argv, env, cwd) with the file
descriptors that the kernel is to hold; the answer is {"pid": ...}, and {"pid": ..., "status": ...} when that kernel has
ended. When the worker dies it ends its kernels, then itself. It starts no threads, so that forking is safe.

The standard library's multiprocessing forkserver cannot replace it: Dask's workers are daemonic processes, which may
not start any process through multiprocessing.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

PRELOADED = (
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "ipykernel.zmqshell",
    "matplotlib.pyplot",
    "pandas",
    "pyarrow.parquet",
    "seaborn",
    "statsmodels.api",
    "torch",
    "transformers.models.bert.modeling_bert",
    "transformers.models.auto.tokenization_auto",
    "sercore.training.experiment",
    "sercore.training.transcript_shift",
    "sercore.widgets.live",
    "sercore.analysis.report",
    "sercore.analysis.transcript_quality",
    "sercore.analysis.corpus_statistics",
)
LONGEST = 1 << 20  # bytes of a request
MOST_DESCRIPTORS = 8
LAUNCHER = "ipykernel_launcher"
SECONDS_BETWEEN_LOOKS = 0.05  # for kernels that have ended
SECONDS_TO_REPORT = 10.0  # that a kernel has ended


class ForkServer:
    """The fork server process of this worker, whose children are kernels. It needs some seconds for its imports."""

    def __init__(self) -> None:
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sercore.study.forkserver", str(its.fileno())], pass_fds=(its.fileno(),)
            )
        self._socket = mine
        self._lock = threading.Lock()
        self._status: dict[int, int] = {}
        atexit.register(self.close)

    def close(self) -> None:
        """End the process and its kernels."""
        self._socket.close()
        self.process.kill()
        self.process.wait()
        atexit.unregister(self.close)

    def fork(
        self, argv: Sequence[str], env: dict[str, str], cwd: str | None, inherit: Sequence[int], limit: float
    ) -> "KernelProcess":
        """Fork a kernel. Raises OSError where the fork server has ended, or does not answer for `limit` seconds."""
        request = json.dumps({"argv": list(argv), "env": env, "cwd": cwd}).encode()
        with self._lock:
            self._socket.settimeout(limit)
            socket.send_fds(self._socket, [request], list(inherit))
            while True:
                answer = self._receive()
                if "status" in answer:
                    self._status[answer["pid"]] = answer["status"]
                else:
                    return KernelProcess(self, answer["pid"])

    def status(self, pid: int) -> int | None:
        """The exit status of the kernel `pid`, None while it lives.

        It is that of SIGKILL where the fork server has ended, or has been silent about the kernel's end.
        """
        ended = not _runs(pid)
        with self._lock:
            try:
                self._socket.settimeout(SECONDS_TO_REPORT if ended else 0)
                while pid not in self._status:
                    answer = self._receive()
                    self._status[answer["pid"]] = answer["status"]
            except BlockingIOError:
                return None
            except OSError:
                return -signal.SIGKILL
            return self._status[pid]

    def _receive(self) -> dict[str, int]:
        content = self._socket.recv(LONGEST)
        if not content:
            raise OSError("the process that forks kernels has ended")
        return json.loads(content)


def _runs(pid: int) -> bool:
    """Whether the process runs; one that has ended, and whose end its parent has not heard of, does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


class KernelProcess:
    """A forked kernel, with those methods of a Popen that its manager calls."""

    stdin = stdout = stderr = None  # its output is the worker's

    def __init__(self, server: ForkServer, pid: int) -> None:
        self.pid = pid
        self._server = server
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, None while it lives."""
        if self.returncode is None:
            self.returncode = self._server.status(self.pid)
        return self.returncode

    def wait(self) -> int:
        """Wait until it has ended, and return the exit status."""
        while self.poll() is None:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        return self.returncode or 0

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def main(descriptor: int) -> None:
    """Import everything, then fork a kernel for each request until the worker is gone."""
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # pyplot reads it when it is imported
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for module in PRELOADED:
        with contextlib.suppress(ImportError):  # a notebook that needs it imports it itself
            importlib.import_module(module)
    gc.collect()
    gc.freeze()
    running: set[int] = set()  # process ids of kernels
    with socket.socket(fileno=descriptor) as requests, selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        try:
            while True:
                ready = selector.select(SECONDS_BETWEEN_LOOKS if running else None)
                for message in _ended(running):
                    requests.send(json.dumps(message).encode())
                if ready:
                    request, descriptors, _, _ = socket.recv_fds(requests, LONGEST, MOST_DESCRIPTORS)
                    if not request:
                        return
                    running.add(_fork_kernel(json.loads(request), descriptors, requests))
        except (BrokenPipeError, ConnectionResetError):
            return
        finally:
            for pid in running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _ended(running: set[int]) -> list[dict[str, int]]:
    """Remove the kernels that have ended from `running`, and return a message about each."""
    messages = []
    for kernel in list(running):
        pid, status = os.waitpid(kernel, os.WNOHANG)
        if pid:
            running.discard(pid)
            messages.append({"pid": pid, "status": os.waitstatus_to_exitcode(status)})
    return messages


def _fork_kernel(request: dict[str, Any], descriptors: Sequence[int], requests: socket.socket) -> int:
    pid = os.fork()
    if pid:
        for descriptor in descriptors:
            os.close(descriptor)
        requests.send(json.dumps({"pid": pid}).encode())
        return pid
    status = 1
    try:
        requests.close()
        _become_kernel(request)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001 - the loop of the fork server must not go on in the kernel process
        traceback.print_exc()
    finally:
        os._exit(status)


def _become_kernel(request: dict[str, Any]) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)
    parent = {"JPY_PARENT_PID": str(os.getppid()), "MPLBACKEND": os.environ["MPLBACKEND"]}
    handle = f"--IPKernelApp.parent_handle={os.getppid()}"  # ipykernel has read the environment when it was imported
    os.environ.clear()
    os.environ.update(request["env"] | parent)
    if request["cwd"]:
        os.chdir(request["cwd"])
    import numpy as np
    from ipykernel.kernelapp import IPKernelApp

    np.random.seed()  # noqa: NPY002 - else all kernels would draw the same
    argv = [*request["argv"], handle]
    sys.argv = [LAUNCHER, *argv]
    IPKernelApp.launch_instance(argv=argv)


if __name__ == "__main__":
    main(int(sys.argv[1]))
