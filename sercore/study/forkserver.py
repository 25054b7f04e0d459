"""A process that has imported everything and forks kernels on demand: a kernel in a tenth of a second, not five.

    python -m sercore.study.forkserver DESCRIPTOR

It listens on the socket DESCRIPTOR that it inherited from its worker. A request is JSON (argv, env, cwd) with the file
descriptors that the kernel is to hold; the answer is {"pid": ...}, and {"pid": ..., "status": ...} when that kernel has
ended. When the worker dies it ends its kernels, then itself. It starts no threads, so that forking is safe.
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
from typing import Any

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


class ForkServer:
    """A nursery process of this worker, started at once and warm a little later; its kernels are its children."""

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
        """End it and its kernels."""
        self._socket.close()
        self.process.kill()
        self.process.wait()

    def fork(
        self, argv: Sequence[str], env: dict[str, str], cwd: str | None, inherit: Sequence[int]
    ) -> "KernelProcess":
        """A kernel in a process of its own. Raises OSError where the nursery is gone."""
        request = json.dumps({"argv": list(argv), "env": env, "cwd": cwd}).encode()
        with self._lock:
            socket.send_fds(self._socket, [request], list(inherit))
            while True:
                answer = self._receive()
                if "status" in answer:
                    self._status[answer["pid"]] = answer["status"]
                else:
                    return KernelProcess(self, answer["pid"])

    def status(self, pid: int) -> int | None:
        """The exit status of the kernel `pid`; None while it lives. Of a nursery that died it is SIGKILL's."""
        with self._lock:
            self._socket.setblocking(False)
            try:
                while pid not in self._status:
                    answer = self._receive()
                    self._status[answer["pid"]] = answer["status"]
            except BlockingIOError:
                return None
            except OSError:
                return -signal.SIGKILL
            finally:
                self._socket.setblocking(True)
            return self._status[pid]

    def _receive(self) -> dict[str, int]:
        content = self._socket.recv(LONGEST)
        if not content:
            raise OSError("the process that forks kernels has ended")
        return json.loads(content)


class KernelProcess:
    """A forked kernel, as much like a Popen as its manager needs."""

    stdin = stdout = stderr = None  # its output is the worker's

    def __init__(self, nursery: ForkServer, pid: int) -> None:
        self.pid = pid
        self._nursery = nursery
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit status, None while it lives."""
        if self.returncode is None:
            self.returncode = self._nursery.status(self.pid)
        return self.returncode

    def wait(self) -> int:
        """Its exit status, when it has ended."""
        while self.poll() is None:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        return self.returncode or 0

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


def main(descriptor: int) -> None:
    """Import everything, then fork a kernel for each request until the worker is gone."""
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # which pyplot reads when it is imported
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for module in PRELOADED:
        with contextlib.suppress(ImportError):  # what a notebook needs, it will ask for itself
            importlib.import_module(module)
    gc.collect()
    gc.freeze()
    children: set[int] = set()
    with socket.socket(fileno=descriptor) as asked, selectors.DefaultSelector() as selector:
        selector.register(asked, selectors.EVENT_READ)
        try:
            while True:
                ready = selector.select(SECONDS_BETWEEN_LOOKS if children else None)
                for pid in _ended(children):
                    asked.send(json.dumps(pid).encode())
                if ready:
                    request, descriptors, _, _ = socket.recv_fds(asked, LONGEST, MOST_DESCRIPTORS)
                    if not request:
                        return
                    children.add(_fork_kernel(json.loads(request), descriptors, asked))
        except (BrokenPipeError, ConnectionResetError):
            return
        finally:
            for pid in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _ended(children: set[int]) -> list[dict[str, int]]:
    """What is told of those of `children` that have ended, which are taken out."""
    told = []
    for child in list(children):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            children.discard(pid)
            told.append({"pid": pid, "status": os.waitstatus_to_exitcode(status)})
    return told


def _fork_kernel(request: dict[str, Any], descriptors: Sequence[int], asked: socket.socket) -> int:
    pid = os.fork()
    if pid:
        for held in descriptors:
            os.close(held)
        asked.send(json.dumps({"pid": pid}).encode())
        return pid
    status = 1
    try:
        asked.close()
        _become_kernel(request)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001 - the nursery's own course must not go on in the child
        traceback.print_exc()
    finally:
        os._exit(status)


def _become_kernel(request: dict[str, Any]) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with open(os.devnull) as nothing:  # noqa: PTH123
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
