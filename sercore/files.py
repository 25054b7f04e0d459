"""The only module that writes: atomic files, and where everything lies below the outputs folder.

A file appears whole or not at all: it is written beside its place under a temporary name, flushed to the disk, and
moved there in one step. So "the file is present" may be read as "the work behind it is complete".

What a disk or a hand changes afterwards is noticed: tables, networks and records hold a checksum of their own bytes.
What is damaged counts as absent, is named, and is made again.
"""

import contextlib
import json
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import UnionType
from typing import Any, NamedTuple
from urllib.parse import quote

import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from safetensors import SafetensorError, safe_open

if sys.platform != "win32":
    import fcntl

PARAMETERS = "parameters.yaml"
PREDICTIONS = "predictions.parquet"  # written last: its presence means that the run is complete
MEL_STATISTICS = "mel_statistics.parquet"  # predictions of a regression on mel statistics, beside the run's own
RESIDUALS = "residuals.parquet"  # of a run that reads others: also written last
STAGES = "stages.parquet"  # predictions of a run's models where a stage is told something else
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
DAMAGED = "damaged"  # folder of a run: what was damaged in it and is to be made again
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
log = logging.getLogger(__name__)
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


PROJECT = ("notebooks", "parameters")  # what a project's folder holds; pyproject.toml has it travel too
NEW_PROJECT = "run sercore in a project's folder, or let `sercore new FOLDER` write one's notebooks and parameters"


def shipped() -> Path:
    """The folder with the PROJECT of this version: `sercore/project` of an installed package, else the checkout."""
    package = Path(__file__).parent
    return package / "project" if (package / "project").is_dir() else package.parent


def new_project(folder: Path) -> list[Path]:
    """Write the PROJECT of this version into `folder`, and return the files; hidden ones stay behind.

    Raises FileExistsError where something of that name is there, before anything is written.
    """
    present = [name for name in PROJECT if (folder / name).exists()]
    if present:
        raise FileExistsError(f"{folder} has {' and '.join(present)} already; name an empty folder, or a new one")
    written = []
    for name in PROJECT:
        top = shipped() / name
        for path in sorted(top.rglob("*") if top.is_dir() else (top,)):
            place = path.relative_to(shipped())
            if path.is_file() and not any(part.startswith(".") for part in place.parts):
                write_bytes(folder / place, path.read_bytes())
                written.append(folder / place)
    return written


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


MARK = b"sercore crc32 "  # before a checksum, of eight hexadecimal digits
BLANK = "00000000"  # in place of a checksum that is not known yet
SEAL = f"{MARK.decode()}{BLANK} {MARK.decode()}{BLANK}"
"""In the metadata of a file that `sealed` writes: the place of its checksum. It is there twice, so that a file whose
checksum is damaged is not taken for one of a version without."""
CHECKSUM = "checksum"  # key of SEAL where the metadata have keys
_SEALED = re.compile(MARK + rb"([0-9a-f]{%d})" % len(BLANK))
BLOCK = 1 << 20  # bytes that are read at a time
UNSETTLED = 2_000_000_000  # a file changed so shortly ago may change again without its time showing it [ns]


@contextlib.contextmanager
def sealed(path: Path) -> Iterator[Path]:
    """As `atomic`, for a file that has SEAL in it: in its place comes the CRC-32 of the bytes with SEAL."""
    with atomic(path) as temporary:
        yield temporary
        value, places = _checksum(temporary)
        if len(places) == 2:  # else the data say so too, and are not to be changed
            with temporary.open("r+b") as written:
                for place in places:
                    written.seek(place)
                    written.write(b"%08x" % value)


def _checksum(path: Path) -> tuple[int, dict[int, int]]:
    """CRC-32 of the file `path` with BLANK for the checksums in it, and these by their places, in bytes."""
    value, places, begin, held = 0, {}, 0, b""
    with path.open("rb") as content:
        while True:
            block = content.read(BLOCK)
            held += block
            end = max(0, len(held) - len(MARK) - len(BLANK) + 1) if block else len(held)  # what goes on in the next one
            if MARK in held:
                for found in _SEALED.finditer(held):
                    places[begin + found.start(1)] = int(found[1], 16)
                    end = max(end, found.end())
            part, held = held[:end], held[end:]
            value = zlib.crc32(_SEALED.sub(MARK + BLANK.encode(), part) if MARK in part else part, value)
            begin += end
            if not block:
                return value, places


_DAMAGE: dict[tuple[Path, int, int, int], str] = {}
"""Path, size, time and number of a file -> what is wrong with it: a process reads each file once for that."""


def damage(path: Path) -> str:
    """What is wrong with the content of the file `path`; empty where it is as `sealed` wrote it, or absent.

    Of an earlier version, without a checksum, a table is read as a whole, and of a network the length compared.
    """
    try:
        held = path.stat()
        key = (path, held.st_size, held.st_mtime_ns, held.st_ino)
        if key not in _DAMAGE or held.st_mtime_ns > time.time_ns() - UNSETTLED:
            _DAMAGE[key] = _damage(path)
        return _DAMAGE[key]
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"it cannot be read: {error.strerror}"


def _damage(path: Path) -> str:
    value, places = _checksum(path)
    if 0 < len(places) <= 2:
        whole = set(places.values()) == {value}
        return "" if whole else "its content does not have the checksum that was written with it"
    if not path.stat().st_size:
        return "it is empty"
    try:
        if path.suffix == ".parquet":
            pq.read_table(path, page_checksum_verification=True)
        elif path.suffix == ".safetensors":
            safe_open(path, "np")  # compares the lengths in its header with the file's
    except (OSError, ValueError, pa.ArrowException, SafetensorError) as error:
        return f"it is not whole: {_line(error)}".replace(str(path), "it")
    return ""


def _line(error: Exception) -> str:
    """The first line of an error, which may have many or none."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def check(path: Path) -> None:
    """Raise ValueError where the content of the file `path` is damaged."""
    wrong = damage(path)
    if wrong:
        raise ValueError(
            f"{path} is damaged ({wrong}): copy it again, or, of a run, have `sercore status --verify` set it aside "
            "and `sercore run` make it again; look for errors of the disk"
        )


def complete(result: Path) -> bool:
    """Whether a run has ended with its `result`: that was read back, and nothing in its folder is to be made again."""
    return result.exists() and not damage(result) and not (result.parent / DAMAGED).exists()


def set_aside(path: Path, wrong: str) -> str:
    """Move the damaged file `path` of a run, or of one of its folds, into the run's folder DAMAGED.

    Until that folder is removed the run does not count as complete. A run's folder that is read-only stays as it is.

    Returns: a sentence that says what is `wrong` and what was done.
    """
    aside = aside_of(path)
    try:
        aside.parent.mkdir(parents=True, exist_ok=True)
        path.replace(aside)
    except OSError as error:
        return f"{path} is damaged ({wrong}), and cannot be set aside: {error}"
    return f"{path} is damaged ({wrong}): it is made again, what was there is in {aside.parent} until then"


def aside_of(path: Path) -> Path:
    """Where `set_aside` moves the file or folder `path` of a run, or of one of its folds."""
    home = next((folder.parent for folder in (path, path.parent) if folder.name.startswith(FOLD)), path.parent)
    return home / DAMAGED / path.relative_to(home)


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
    """Write `table` to `path` as Parquet or CSV, by its suffix, whole or not at all; the index is not written.

    In a CSV a text that a spreadsheet would compute, as =1+1, begins with an apostrophe (`unguarded` takes it away).
    """
    if path.suffix == ".parquet":
        content = pa.Table.from_pandas(table, preserve_index=False)
        with sealed(path) as temporary, pq.ParquetWriter(temporary, content.schema, write_page_checksum=True) as writer:
            writer.write_table(content)
            writer.add_key_value_metadata({CHECKSUM: SEAL})
    elif path.suffix == ".csv":
        with atomic(path) as temporary:
            _guarded(table).to_csv(temporary, index=False)
    else:
        raise ValueError(f"{path}: a table is written as .parquet or .csv, not '{path.suffix}'")


def read_table(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """The table in the Parquet file `path`, or some of its columns. Raises ValueError where it is damaged."""
    check(path)
    return pd.read_parquet(path, columns=columns)


FORMULA = re.compile(r"'*[=+\-@\t\r]")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
GUARDED = re.compile(r"^'('*[=+\-@\t\r])")


def _guarded(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with an apostrophe before each text that begins like a formula and is no number."""

    def guard(cell: object) -> object:
        formula = isinstance(cell, str) and FORMULA.match(cell) and not NUMBER.fullmatch(cell)
        return f"'{cell}" if formula else cell

    texts = [name for name in table if not pd.api.types.is_numeric_dtype(table[name].dtype)]
    return table.assign(**{str(name): table[name].map(guard, na_action="ignore") for name in texts})


def unguarded(table: pd.DataFrame) -> pd.DataFrame:
    """The cells of a CSV as they were before `write_table` wrote them: '=1+1 is =1+1, and 'tis stays."""
    begun = [
        name
        for name in table
        if pd.api.types.is_string_dtype(table[name].dtype) and table[name].str.startswith("'", na=False).any()
    ]
    return table.assign(**{name: table[name].str.replace(GUARDED, r"\1", regex=True) for name in begun})


def write_yaml(path: Path, content: dict) -> None:
    """Write `content` to `path` as YAML in the order that it has, whole or not at all."""
    write_text(path, yaml_text(content))


def yaml_text(content: dict) -> str:
    """`content` as YAML in the order that it has."""
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


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
        near = (
            ", ".join(sorted(str(other) for other in path.parent.glob("*.yaml")))
            or f"no .yaml file there; {NEW_PROJECT}"
        )
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

    A run that failed, or was interrupted in its first fold, has no results: its parameters may be mended. Where the
    file of parameters is damaged, those in the provenance count.
    """
    recorded = folder / PARAMETERS
    if not recorded.exists() or not any(folder.glob("**/*.parquet")):
        return []
    try:
        earlier = read_yaml(recorded)
    except ValueError as error:
        log.warning("%s counts as absent: %s", recorded, _line(error))
        earlier = (find_json(folder / PROVENANCE, parameters=dict) or {}).get("parameters", parameters)
    return sorted(key for key in earlier.keys() | parameters.keys() if earlier.get(key) != parameters.get(key))


EPOCH = {"fold": "str", "epoch": "int64", "loss": "float64", "development": "float64", "seconds": "float64"}
"""Columns of a history and what they hold; there are more."""


def read_history(path: Path) -> pd.DataFrame:
    """The epochs in the CSV `path`, as `write_table` wrote them: numbers, and the fold's name as it is written.

    A fold is often a speaker: 01 is not 1, and a speaker may be called NA or True. Raises ValueError, naming the file,
    where it is no such table.
    """
    try:
        table = pd.read_csv(path, dtype={"fold": "str"}, keep_default_na=False, na_values=[""], index_col=False)
        table = unguarded(table)
        if table.empty:
            raise ValueError("it has no rows")
        if "best" in table and table["best"].dtype != bool:
            raise ValueError("best holds more than True and False")
        return table.astype({name: kind for name, kind in EPOCH.items() if name in table or name == "epoch"})
    except (ValueError, KeyError) as error:  # also pandas's own
        raise ValueError(f"{path} is not a table of epochs: {error}") from None


def find_history(path: Path, *columns: str) -> pd.DataFrame | None:
    """The epochs in the CSV `path`, with `columns` at least.

    None where there is no such file, or, after a warning, where it is damaged.
    """
    try:
        table = read_history(path)
        absent = [column for column in columns if column not in table]
        if absent:
            raise ValueError(f"{path} is damaged (it has no column {', '.join(absent)})")
        return table
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _warn_once(path, str(error))
        return None


def write_json(path: Path, content: dict, private: bool = False) -> None:
    """Write `content` to `path` as indented JSON, whole or not at all; nobody else can read what is `private`."""
    write_text(path, _json(content), private)


def write_record(path: Path, content: dict, private: bool = False) -> None:
    """As `write_json`, with a checksum: of what the program writes for itself to read."""
    with sealed(path) as temporary:
        if private:
            temporary.touch(mode=0o600)
        temporary.write_text(_json({**content, CHECKSUM: SEAL}), encoding="utf-8")


def _json(content: dict) -> str:
    return json.dumps(content, indent=2, default=str) + "\n"


def read_json(path: Path) -> dict:
    """The content of the JSON file `path`. Raises ValueError, naming the file, where it is damaged or no mapping."""
    wrong = damage(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # also of text that is no UTF-8
        wrong = wrong or str(error)
    else:
        wrong = wrong or ("" if isinstance(content, dict) else f"it holds {type(content).__name__}, no mapping")
    if wrong:
        raise ValueError(f"{path} is damaged ({wrong})")
    content.pop(CHECKSUM, None)
    return content


def find_json(path: Path, **needs: type | UnionType) -> dict | None:
    """The content of the JSON file `path`; None where there is none, as others write and remove it.

    None also, after a warning that names the file, where it is damaged, or lacks a value of `needs`: name -> its type.
    """
    try:
        content = read_json(path)
        lacking = [name for name, kind in needs.items() if not isinstance(content.get(name), kind)]
        if lacking:
            raise ValueError(f"{path} is damaged (it has no right {', '.join(lacking)})")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _warn_once(path, str(error))
        return None
    return content


def find_entries(path: Path, name: str, **needs: type | UnionType) -> list[dict]:
    """The list `name` of mappings in the JSON file `path`, those without `needs` left out; empty as `find_json`."""
    entries = (find_json(path, **{name: list}) or {}).get(name, [])
    return [
        entry
        for entry in entries
        if isinstance(entry, dict) and all(isinstance(entry.get(key), kind) for key, kind in needs.items())
    ]


_WARNED: set[tuple[Path, str, float]] = set()


def _warn_once(path: Path, problem: str) -> None:
    """Log that the file `path` counts as absent, once a process as long as it stays as it is."""
    if (path, problem, modified(path)) not in _WARNED:
        _WARNED.add((path, problem, modified(path)))
        log.warning("%s: it counts as absent", problem)


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
    if shipped() != Path(__file__).parents[1]:
        return None  # installed from a wheel: a repository around that is somebody else's
    describe = ["describe", "--always", f"--dirty={DIRTY}", "--abbrev=40", "--exclude=*"]
    command = ["git", "-C", str(Path(__file__).parent), *describe]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
