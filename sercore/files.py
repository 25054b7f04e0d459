"""The only module that writes: atomic files, and where everything lies below the outputs folder.

A file appears whole or not at all: it is written beside its place under a temporary name, flushed to the disk, and
moved there in one step. So "the file is present" may be read as "the work behind it is complete".
"""

import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pandas as pd
import psutil
import yaml

if sys.platform != "win32":
    import fcntl

PARAMETERS = "parameters.yaml"
PREDICTIONS = "predictions.parquet"  # written last: its presence means that the run is complete
RESIDUALS = "residuals.parquet"  # of a run that reads others: also written last
TRANSCRIPT_SHIFT = "transcript_shift.parquet"  # predictions of a run's models with other transcripts than in training
PROVENANCE = "provenance.json"
HISTORY = "history.csv"
FOLD = "fold="  # begins the name of a fold's folder
NOTEBOOK = "notebook.ipynb"
CHECKPOINT = "best.safetensors"
STATE = "state.safetensors"  # of a fold in training, which goes on from it after an interruption
FAILURE = "failure.json"  # of a run whose last execution failed: time, cause, cell, trace
PREPARED = "prepared.json"  # of a notebook that filled a cache: the entries
HEARTBEAT = "heartbeat"  # touched by a run that makes progress: an old one means that the run hangs
RUNNING = "running.json"  # of a run that is executed now: host, pid, worker, started, attempt
EXECUTIONS = "executions.json"  # every execution that a run has had: started, seconds, host, worker, attempt, outcome
BATCHES = "batches.json"  # of a study: every batch that it has had: host, workers, started, seconds
BATCH = "batch.json"  # of a study that is executed now: host, pid, workers, started, dashboard
SECONDS_BETWEEN_TRIES = 1.0  # to hold a lock
FINGERPRINTED_PACKAGES = (
    "sercore",
    "torch",
    "torchaudio",
    "transformers",
    "tokenizers",
    "safetensors",
    "soundfile",
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "statsmodels",
)
DIRTY = "-dirty"  # ends a commit that files differed from
SECONDS_BETWEEN_HEARTBEATS = 2.0
SECONDS_OF_A_START = 2.0  # by which one process's start may be read differently
PRIVATE = "sercore-"  # begins the names of private folders
LOCK = "lock"  # in a private folder: held by the process that it belongs to
LONGEST_TEMPORARY = 60  # bytes of the path of temporary files: a socket's, below it, has 107 at most, on macOS 103


def project() -> Path:
    """The project's folder: the nearest one at or above the working directory with `notebooks` and `parameters`.

    The working directory itself where there is none, so that the package also works outside a checkout.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "notebooks").is_dir() and (folder / "parameters").is_dir():
            return folder
    return here


def resolve(path: str | Path) -> Path:
    """`path` as an absolute path; a relative one is relative to the project's folder, and `~` is the home folder."""
    path = Path(path).expanduser()
    return path if path.is_absolute() else project() / path


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends without an error.

    Two writers of one file do not mix: each has a temporary of its own and the last one to finish wins.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.part")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its place when the block ends without an error.

    Where another writer was quicker, its folder stays and this one is dropped: a folder's name says what is in it.
    `move_folder` within the block gives it another name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.part")
    temporary.mkdir()
    try:
        yield temporary
        if temporary.exists():
            move_folder(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def move_folder(temporary: Path, path: Path) -> None:
    """Flush the files in `temporary` to the disk and rename it to `path`, unless a folder with content is there."""
    for entry in temporary.iterdir():
        with entry.open("rb") as written:
            os.fsync(written.fileno())
    try:
        temporary.rename(path)
    except OSError:
        if not path.is_dir():
            raise


def remove_leftovers(folder: Path) -> None:
    """Remove the temporaries in `folder` of writers that were killed; call it with the folder's lock held."""
    for left in folder.glob(".*.part"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


@contextlib.contextmanager
def lock(path: Path, wait: Callable[[], None] | None = None) -> Iterator[tuple[int, ...] | None]:
    """Hold the lock file `path` while the block runs; a killed process holds nothing.

    While another process holds it, `wait()` is called again and again; without `wait` the block runs without it: None.

    Yields the file descriptors of the lock: a process that inherits one holds the lock too, and it is free when all of
    them have ended. Not every system and file system has locks: there it is (), and a writer must be safe without one.
    """
    # not the package filelock: it unlocks the file when the block ends, and so for those too who inherited the lock
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as opened:
        yield _descriptors(opened.fileno(), wait)


def _descriptors(descriptor: int, wait: Callable[[], None] | None) -> tuple[int, ...] | None:
    """What `lock` yields for the open file `descriptor`."""
    if sys.platform == "win32":
        return ()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return (descriptor,)
        except BlockingIOError:
            if wait is None:
                return None
        except OSError:  # a file system without locks
            return ()
        wait()
        time.sleep(SECONDS_BETWEEN_TRIES)


@contextlib.contextmanager
def private_folder(parent: Path | None = None, prefix: str = PRIVATE) -> Iterator[Path]:
    """A new folder that nobody else can look into, in `parent`, removed when the block ends.

    Without `parent` it lies where temporary files do, with a path short enough for sockets in it. Whatever folders with
    this `prefix` killed processes have left in `parent` are removed: those of this user that no process holds.
    """
    temporary = Path(tempfile.gettempdir())
    if parent is None:
        parent = temporary if len(os.fsencode(temporary)) <= LONGEST_TEMPORARY else Path("/tmp")
    parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(parent, prefix)
    new = Path(tempfile.mkdtemp(prefix=f".new-{prefix}", dir=parent))
    folder = new.with_name(new.name.removeprefix(".new-"))
    with lock(new / LOCK):
        if sys.platform == "win32":  # which has no locks here, and renames no folder with an open file
            folder = new
        else:  # only now has it the name that others look for: whoever holds none of these is dead
            new.rename(folder)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(parent: Path, prefix: str) -> None:
    """Remove this user's private folders whose processes have ended."""
    if sys.platform == "win32":
        return
    for folder in parent.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):  # others may be removing it
            if folder.lstat().st_uid == os.getuid() and (folder / LOCK).exists():
                with lock(folder / LOCK) as held:
                    if held:
                        shutil.rmtree(folder, ignore_errors=True)


def write_text(path: Path, text: str, private: bool = False) -> None:
    """Write `text` to `path` in UTF-8, whole or not at all; nobody else can read what is `private`."""
    with atomic(path) as temporary:
        if private:
            temporary.touch(mode=0o600)
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write `table` to `path` as Parquet or CSV, by its suffix, whole or not at all; the index is not written."""
    with atomic(path) as temporary:
        if path.suffix == ".parquet":
            table.to_parquet(temporary, index=False, write_page_checksum=True)
        elif path.suffix == ".csv":
            table.to_csv(temporary, index=False)
        else:
            raise ValueError(f"{path}: a table is written as .parquet or .csv, not '{path.suffix}'")


def write_yaml(path: Path, content: dict) -> None:
    """Write `content` to `path` as YAML in the order that it has, whole or not at all."""
    write_text(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


Keys = tuple[str | int, ...]
"""What leads to a value in nested mappings and lists."""
MOST_VALUES = 100_000  # of a YAML file: aliases of aliases can stand for billions


class Place(NamedTuple):
    """Where a value stands in a YAML file, and what is written there without quotes; else "" is."""

    line: int
    key: str = ""
    value: str = ""


def read_yaml(path: Path) -> dict:
    """The mapping in the YAML file `path`; errors are those of `read_yaml_places`."""
    return read_yaml_places(path)[0]


def read_yaml_places(path: Path) -> tuple[dict, dict[Keys, Place]]:
    """The mapping in the YAML file `path`, and where each of its values stands.

    Raises ValueError, naming the file and line, where it is none, and where a key is there twice; FileNotFoundError
    that names other files where there is none.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = ", ".join(sorted(str(other) for other in path.parent.glob("*.yaml"))) or "no .yaml file there"
        raise FileNotFoundError(f"no parameters file {path}; found: {near}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8: {error}; save it as UTF-8") from None
    content, places = parse_yaml(text, str(path))
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a mapping of names to values, found {type(content).__name__}")
    return content, places


def parse_yaml(text: str, where: str) -> tuple[Any, dict[Keys, Place]]:
    """What the YAML `text` says, and where each of its values stands; `where` is what errors call it.

    Raises ValueError where it is not valid, a key is there twice or no single value, or an alias stands for itself.
    """
    loader = None
    places: dict[Keys, Place] = {}
    twice: list[str] = []
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            return None, places
        _find_places(loader, root, (), places, twice, ())
        if not twice:
            return loader.construct_document(root), places
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
        TypeError,
    ) as error:  # the last of keys that are no single value
        raise ValueError(f"{where} is not valid YAML: {error}") from error
    finally:
        if loader is not None:
            loader.dispose()
    raise ValueError(f"{where}: {'; '.join(dict.fromkeys(twice))}: the first one would be lost")


def _find_places(
    loader: yaml.SafeLoader,
    node: yaml.Node,
    keys: Keys,
    places: dict[Keys, Place],
    twice: list[str],
    within: tuple[yaml.Node, ...],
) -> None:
    """Add what is in `node`, which `keys` lead to, to `places`, and keys that are there twice to `twice`."""
    if any(node is outer for outer in within):
        raise ValueError(f"line {node.start_mark.line + 1}: an alias stands for what it is in")
    if len(places) > MOST_VALUES:
        raise ValueError(f"more than {MOST_VALUES:,} values")
    within = (*within, node)
    places.setdefault((), Place(1))
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            places[(*keys, number)] = Place(item.start_mark.line + 1, value=_bare(item))
            _find_places(loader, item, (*keys, number), places, twice, within)
    elif isinstance(node, yaml.MappingNode):
        lines: dict[Any, int] = {}
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            name = "<<" if key_node.tag == MERGE else loader.construct_object(key_node, deep=True)
            if name in lines:
                twice.append(f"line {line}: '{key_node.value}' is there twice, first in line {lines[name]}")
            lines.setdefault(name, line)
        for merged in reversed([value for key, value in node.value if key.tag == MERGE]):
            for part in reversed(merged.value) if isinstance(merged, yaml.SequenceNode) else [merged]:
                _find_places(loader, part, keys, places, twice, within)
        for key_node, value in node.value:
            if key_node.tag != MERGE:
                path = (*keys, loader.construct_object(key_node, deep=True))
                places[path] = Place(key_node.start_mark.line + 1, _bare(key_node), _bare(value))
                _find_places(loader, value, path, places, twice, within)


MERGE = "tag:yaml.org,2002:merge"  # the key <<


def _bare(node: yaml.Node) -> str:
    """A single value as it is written, where it has no quotes."""
    return node.value if isinstance(node, yaml.ScalarNode) and node.style is None else ""


LONGEST_NAME = 100  # letters of a folder's name; file systems take 255 bytes, Windows 260 of a whole path
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
SAFE = " !#$&'()+,-;=@[]^_`"  # beside letters, digits and points


def folder_name(text: str, others: Iterable[str] = ()) -> str:
    """The name of the folder that is made for `text`: a speaker, the values of a grid, ...

    It is `text` itself wherever every file system takes that. Other letters are written as %XX, as in addresses
    (`urllib.parse.unquote` gives `text` again); what is too long is cut, and gets a digest. So no text leads to another
    folder, and none is hidden. Of `others`, whose folders are to lie beside it, those that differ from `text` in case
    alone would have the same folder on some disks: then it gets a digest too.
    """
    name = quote(text, safe=SAFE, errors="surrogatepass").replace("~", "%7E")  # which stands before a digest
    if name.startswith((".", " ")) or name.partition(".")[0].lower() in RESERVED:
        name = f"%{ord(name[0]):02X}{name[1:]}"
    if name.endswith((".", " ")):
        name = f"{name[:-1]}%{ord(name[-1]):02X}"
    twin = any(other != text and other.casefold() == text.casefold() for other in others)
    if twin or len(name) > LONGEST_NAME:
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
        name = f"{name[: LONGEST_NAME - len(digest) - 1]}~{digest}"
    return name or "%"


def fold_folders(run: Path, folds: Iterable[str]) -> dict[str, Path]:
    """Name of each of the `folds` of the run in the folder `run` -> the folder of its training."""
    names = {fold: f"{FOLD}{fold}" for fold in folds}
    return {fold: run / folder_name(name, names.values()) for fold, name in names.items()}


def other_parameters(folder: Path, parameters: Mapping[str, Any]) -> list[str]:
    """Names of the parameters in which the results in `folder` differ from `parameters`; none where it has no results.

    A run that failed, or was interrupted in its first fold, has no results: its parameters may be mended.
    """
    recorded = folder / PARAMETERS
    if not recorded.exists() or not any(folder.glob("**/*.parquet")):
        return []
    earlier = read_yaml(recorded)
    return sorted(key for key in earlier.keys() | parameters.keys() if earlier.get(key) != parameters.get(key))


def read_history(path: Path) -> pd.DataFrame:
    """The epochs in the CSV `path`, as `write_table` wrote them: numbers, and the fold's name as it is written.

    A fold is often a speaker: 01 is not 1, and a speaker may be called NA or True. Raises ValueError, naming the file,
    where it is no such table.
    """
    try:
        return pd.read_csv(path, dtype={"fold": "str"}, keep_default_na=False, na_values=[""], index_col=False)
    except ValueError as error:  # also pandas's own
        raise ValueError(f"{path} is not a table of epochs: {error}") from None


def write_json(path: Path, content: dict, private: bool = False) -> None:
    """Write `content` to `path` as indented JSON, whole or not at all; nobody else can read what is `private`."""
    write_text(path, json.dumps(content, indent=2, default=str) + "\n", private)


def read_json(path: Path) -> dict:
    """The content of the JSON file `path`."""
    return json.loads(path.read_text(encoding="utf-8"))


def find_json(path: Path) -> dict | None:
    """The content of the JSON file `path`; None where it cannot be read, as others write and remove it."""
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None


def modified(path: Path) -> float:
    """When the file `path` was last written, in seconds since the epoch; 0 where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def process_started(pid: int) -> float | None:
    """When the process `pid` of this machine started, in seconds since the epoch; None where there is none."""
    try:
        return psutil.Process(pid).create_time()
    except (psutil.Error, ValueError):
        return None


def process_alive(pid: int, started: float | None = None) -> bool:
    """Whether a process of this machine has the number `pid`, and is the one that `started` then, if that is given.

    A number is given again to another process, sooner or later.
    """
    now = process_started(pid) if pid > 0 else None
    return now is not None and (started is None or abs(now - started) < SECONDS_OF_A_START)


class Heartbeat:
    """Touches the heartbeat of the run in `folder` whenever it is called, but at most every two seconds.

    Only code that makes progress may call it: a run that hangs calls nothing.
    """

    def __init__(self, folder: Path) -> None:
        """Create no file yet; the first call does."""
        self._path = folder / HEARTBEAT
        self._next = 0.0

    def __call__(self) -> None:
        """Record progress. Errors of a full or missing disk are left to the files that the run writes."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + SECONDS_BETWEEN_HEARTBEATS
            with contextlib.suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._path.touch()

    def beside(self, progress: Callable[[int, int, str], None] | None) -> Callable[[int, int, str], None]:
        """A function that calls `progress` and touches the heartbeat."""

        def step(done: int, total: int, stage: str) -> None:
            self()
            if progress is not None:
                progress(done, total, stage)

        return step


def provenance(**extra: object) -> dict:
    """The origin of a result: commit, code, versions, system, and `extra`.

    `commit` as `commit()` has it, `dirty` whether files differed from it, `source` a digest of the package's code.
    """
    versions = {}
    for package in FINGERPRINTED_PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    at = commit()
    return {
        "commit": at,
        "dirty": None if at is None else at.endswith(DIRTY),
        "source": source(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
        "command": sys.argv[:1],
        **extra,
    }


def source() -> str:
    """A digest of the package's code: the same for two checkouts whose modules are, whatever their commits are."""
    digest = blake2b(digest_size=8)
    top = Path(__file__).parent
    for path in sorted(top.rglob("*.py")):
        digest.update(f"{path.relative_to(top).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def commit() -> str | None:
    """The checkout's commit, with `-dirty` where files differ from it; None outside a checkout or without git."""
    describe = ["describe", "--always", f"--dirty={DIRTY}", "--abbrev=40", "--exclude=*"]
    command = ["git", "-C", str(Path(__file__).parent), *describe]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
