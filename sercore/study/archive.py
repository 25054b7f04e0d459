"""A finished study as one file that travels: its results, without sound, to be read and computed on elsewhere.

`gather` collects what goes into it, `write` packs that, `unpack` makes a folder of it. There the analysis notebooks,
the browsers and the report work as at home, without the corpora and without training: the folder has `parameters/`,
`notebooks/` and `outputs/`, and the utterance tables that the browsers list.

Of synthesised speech all of these travel, with the transcripts. Labels of a licensed corpus are licensed content, and
no statistics can do without the truth: such a study is packed only for whoever says that its labels may be passed on,
and then holds of each utterance what its predictions hold, but no text. Ids may be replaced by keyed hashes.
"""

import gzip
import hashlib
import io
import json
import re
import secrets
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, NamedTuple

import pandas as pd

from sercore import corpora, files
from sercore.corpora import SIMULATED
from sercore.corpora.archived import TABLE, VOTES
from sercore.registry import CORPORA
from sercore.schema import GROUP, first
from sercore.study import config
from sercore.study.config import Run, Study

FORMAT = 1  # of an archive; counted up when an older one can no longer be read
MANIFEST = "manifest.json"  # first in the archive: what is in it, with checksums
README = "README.md"
ZIP, TAR = (".zip",), (".tar.gz", ".tgz")
GROUPS = (
    "predictions",
    "tables",
    "figures",
    "parameters",
    "provenance",
    "history",
    "notebooks",
    "corpora",
    "checkpoints",
)
"""What an archive may hold, in the order in which it is listed."""
OF_RUNS = {".parquet": "predictions", ".csv": "history"}  # suffix of a table in a run's folder -> its group
NAMES = ("utterance", "speaker", "fold")  # columns whose values say who an utterance is of, or which one it is
TEXTS = ("transcript", "file")  # columns that no archive of a licensed corpus holds
KEPT = ("utterance", "speaker", "gender", "style")  # of the utterances of a licensed corpus, beside groups
WORD = re.compile(r"[\w-]+")
KEY_BYTES = 32
LARGEST_MANIFEST = 1 << 26  # bytes
BLOCK = 1 << 20  # bytes that are copied at a time
DAMAGED = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, EOFError, zlib.error, NotImplementedError)
"""What reading a damaged archive raises; the last where a bit names a compression that zipfile does not know."""
ABOUT = """# {study}: results

Results of `{name}`, packed by sercore {version} ({commit}). {content}

`sercore unpack ARCHIVE FOLDER` checks it and makes a folder of it. In that folder:

    sercore report parameters/{name}       # one page, no network needed
    sercore run parameters/{name}          # trains nothing: executes the analysis notebooks
    jupyter lab notebooks/browse             # the browsers; there is no sound

`manifest.json` lists every file with its size and SHA-256.
"""


class Member(NamedTuple):
    """A file of an archive: its path there, what it is of (one of GROUPS, or empty), and where its content lies."""

    path: str
    group: str
    source: Path


@dataclass(frozen=True)
class Contents:
    """What an archive is to hold, and what was left out of it, with the reasons."""

    study: Study
    members: tuple[Member, ...]
    left_out: tuple[str, ...]
    licensed: tuple[str, ...]  # corpora whose labels are in it
    hashed: bool

    def table(self) -> pd.DataFrame:
        """Files and bytes of each group that has any; columns: group, files, bytes."""
        rows = [(member.group, member.source.stat().st_size) for member in self.members if member.group]
        table = pd.DataFrame(rows, columns=["group", "bytes"]).groupby("group")["bytes"].agg(["size", "sum"])
        table = table.reindex([group for group in GROUPS if group in table.index])
        return table.reset_index().set_axis(["group", "files", "bytes"], axis=1)


@dataclass(frozen=True)
class Pseudonyms:
    """Keyed hashes in place of ids: the same id gets the same one, and without the key none can be guessed.

    BLAKE2b as a message authentication code (RFC 7693, section 2.9), cut to 96 bits for utterances and 48 for speakers.
    A plain hash would not do: whoever has the corpus's list of ids could hash them all and compare.
    """

    key: bytes
    speakers: frozenset[str] = frozenset()  # a fold that is called after one of them gets the speaker's

    def of(self, kind: str, name: str) -> str:
        """The pseudonym of the utterance, speaker or fold (`kind`) that is called `name`."""
        if kind == "fold" and name not in self.speakers:
            return name  # official, or another that is called after nobody
        one = "utterance" if kind == "utterance" else "speaker"
        content = f"{one}\0{name}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(content, key=self.key, digest_size=12 if one == "utterance" else 6).hexdigest()

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """`table` with pseudonyms in its columns NAMES, in their order: the order of the ids would give them away."""
        held = [name for name in NAMES if name in table]
        for name in held:
            known = {value: self.of(name, str(value)) for value in table[name].dropna().unique()}
            table = table.assign(**{name: table[name].map(known).astype(table[name].dtype)})
        order = [name for name in ("fold", "utterance") if name in held]
        return table.sort_values(order, kind="stable", ignore_index=True) if order else table

    def folds(self, content: Any) -> Any:
        """`content`, of a parameters file or a provenance, with pseudonyms for the folds that it names."""
        if isinstance(content, list):
            return [self.folds(value) for value in content]
        if isinstance(content, Mapping):
            return {
                key: self._renamed(value) if key == "folds" else self.folds(value) for key, value in content.items()
            }
        return content

    def _renamed(self, folds: Any) -> Any:
        if isinstance(folds, Mapping):
            return {name: folds[key] for name, key in sorted((self.of("fold", str(key)), key) for key in folds)}
        if isinstance(folds, list):
            return sorted((self._renamed(fold) for fold in folds), key=str)  # also the lists of a grid
        return self.of("fold", folds) if isinstance(folds, str) else folds


@dataclass
class _Packing:
    """What is gathered for the archive of `study`; rewritten files lie in `staging`."""

    study: Study
    staging: Path
    names: Pseudonyms | None  # None: ids stay
    ids: frozenset[str]  # of all utterances
    private: bool  # whether there is to be no text
    members: list[Member] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def add(self, path: str, group: str, source: Path) -> None:
        files.check(source)
        self.members.append(Member(path, group, source))

    def made(self, path: str, group: str, write: Callable[[Path], object]) -> Path:
        """Add the file that `write` writes; its path."""
        place = self.staging / path
        place.parent.mkdir(parents=True, exist_ok=True)
        write(place)
        self.add(path, group, place)
        return place


def read_key(path: Path) -> bytes:
    """The key in the file `path`, which is made, for nobody else to read, where there is none.

    Raises ValueError where it is none of ours.
    """
    if not path.exists():
        files.write_text(path, secrets.token_hex(KEY_BYTES) + "\n", private=True)
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii"))
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(
            f"{path} holds no key; expected {2 * KEY_BYTES} hexadecimal digits, as sercore writes them into a new file"
        )
    return key


def gather(
    study: Study,
    staging: Path,
    *,
    with_labels: bool = False,
    hash_ids: bool = False,
    key: bytes | None = None,
    checkpoints: bool = False,
) -> Contents:
    """What the archive of `study` holds; `staging` is an empty folder for the files that are rewritten for it.

    Args:
        study: whose runs are all complete.
        staging: a folder that is to stay until `write` has ended.
        with_labels: the labels of its licensed corpora may be passed on.
        hash_ids: utterances and speakers get pseudonyms, and there are no transcripts.
        key: of the pseudonyms, KEY_BYTES long; None: one that is drawn, and forgotten.
        checkpoints: the networks too.

    Raises:
        FileNotFoundError: runs are not complete, or a simulated corpus, whose table is packed, is not there.
        ValueError: a corpus is licensed, without `with_labels`; a file is damaged, or holds ids where they cannot be
            replaced.
    """
    check_complete(study, "packed")
    utterances, about = _utterances(study), described(study)
    everything = dict.fromkeys([*study.corpora, *utterances])
    licensed = tuple(name for name in everything if not about.get(name, {}).get("simulated"))
    if licensed and not with_labels:
        raise ValueError(
            f"the speech of {', '.join(licensed)} is not simulated, so its labels are its licence's: predictions hold "
            "them as their column truth, without which there are no statistics. Nothing is packed. Where its licence "
            "lets you pass labels on, say so with --with-labels; --hash-ids also replaces the ids of utterances and "
            "speakers"
        )
    everyone = (table["speaker"].dropna().unique() for table in utterances.values())
    names = Pseudonyms(key or secrets.token_bytes(KEY_BYTES), frozenset(map(str, set().union(*everyone))))
    ids = frozenset().union(*(table["utterance"] for table in utterances.values()))
    packing = _Packing(study, staging, names if hash_ids else None, ids, private=bool(licensed) or hash_ids)
    packed = _add_parameters(packing, utterances, about)
    places = {_point(run): run.folder.relative_to(packed.outputs).as_posix() for run in packed.runs}
    for run in study.runs:
        _add_run(packing, run, places[_point(run, packing.names)], checkpoints)
    home = f"outputs/{study.name}"
    for folder in ("tables", "figures"):
        for path in sorted((study.folder / folder).glob("[!.]*.*")):
            if folder == "tables" and packing.private and (reason := _unfit(packing, path)):
                packing.left_out.append(f"{folder}/{path.name}: {reason}")
            else:
                packing.add(f"{home}/{folder}/{path.name}", folder, path)
    _add_readme(packing, licensed)
    return Contents(study, tuple(packing.members), tuple(packing.left_out), licensed, hash_ids)


def check_complete(study: Study, done: str) -> None:
    """Raise FileNotFoundError where runs of `study` are not complete; `done` is what is done with it only then."""
    missing = [run.name for run in study.runs if not run.complete]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(study.runs)} runs of study {study.name} are not complete, {first(missing)}; "
            f"a finished study is {done}: make them with `sercore run {study.path}`"
        )


def _point(run: Run, names: Pseudonyms | None = None) -> tuple[str, str]:
    """Section and parameters of `run`, with pseudonyms: what it has in common with the same run of the archive."""
    return run.section, json.dumps(names.folds(run.parameters) if names else run.parameters, sort_keys=True)


def _utterances(study: Study) -> dict[str, pd.DataFrame]:
    """Corpus -> KEPT and the groups of the utterances that runs were tested on, by the predictions."""
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in study.corpora}
    for run in study.runs:
        if run.result == files.PREDICTIONS:
            table = files.read_table(run.folder / run.result)
            columns = [name for name in table if name in KEPT or str(name).startswith(GROUP)]
            for name, rows in table.groupby("test_corpus"):
                parts.setdefault(str(name), []).append(rows[columns].drop_duplicates("utterance"))
    return {
        name: pd.concat(tables, ignore_index=True).drop_duplicates("utterance", ignore_index=True)
        for name, tables in parts.items()
        if tables
    }


def described(study: Study) -> dict[str, dict[str, Any]]:
    """Corpus -> what the provenance of the study's runs says of it; simulated only where all of them say so."""
    found: dict[str, dict[str, Any]] = {}
    for run in study.runs:
        for name, held in (files.find_json(run.folder / files.PROVENANCE) or {}).get("corpora", {}).items():
            simulated = held.get("simulated") is True and found.get(name, held)["simulated"]
            found[name] = {**held, "simulated": simulated}
    return found


def _add_parameters(
    packing: _Packing, utterances: Mapping[str, pd.DataFrame], about: Mapping[str, Mapping[str, Any]]
) -> Study:
    """Add the parameters file and what it names, corpora and notebooks; the study that it is of, as it is packed."""
    study = packing.study
    content = json.loads(json.dumps(files.read_yaml(study.path)))  # without values that stand twice, as aliases
    if packing.names:
        content = packing.names.folds(content)
    content |= {"outputs": "outputs", "corpora": {}}
    for name in study.corpora:
        if not packing.private:
            content["corpora"][name] = _add_corpus(packing, name)
        elif name in utterances:
            content["corpora"][name] = _add_utterances(packing, name, utterances[name], about.get(name, {}))
    for section in content["sections"].values():
        section["notebook"] = _add_notebook(packing, files.resolve(section["notebook"]))
    content["analysis"] = [_add_notebook(packing, notebook) for notebook in study.analysis]
    for notebook in sorted((files.project() / "notebooks" / "browse").glob("*.ipynb")):
        _add_notebook(packing, notebook)
    path = f"parameters/{study.path.name}"
    return config.load(packing.made(path, "parameters", lambda place: files.write_yaml(place, content)))


def _add_corpus(packing: _Packing, name: str) -> dict[str, Any]:
    """Add the table of a simulated corpus, and the other transcripts and votes that it has; how it is read."""
    options = dict(packing.study.corpora[name])
    corpus = corpora.read(name, options.pop("root"), **options)
    if not corpus.simulated:
        raise ValueError(
            f"corpus '{name}' in {corpus.root} is not simulated, the one that the study was run on was: bring that one "
            "back, or pack with --hash-ids, which takes nothing of it but what the predictions hold"
        )
    home = f"corpora/{name}"
    packing.made(f"{home}/{TABLE}", "corpora", lambda place: files.write_table(place, corpus.utterances))
    packing.made(f"{home}/{SIMULATED}", "corpora", lambda place: files.write_text(place, "synthesised speech\n"))
    entry: dict[str, Any] = {"reader": "archived", "root": home, "scale": list(corpus.scale)}
    if len(corpus.votes):
        packing.made(f"{home}/{VOTES}", "corpora", lambda place: files.write_table(place, corpus.votes))
    for source, path in corpus.other_transcripts.items():
        entry.setdefault("other_transcripts", {})[source] = f"{home}/{files.folder_name(source)}-transcripts.csv"
        packing.add(entry["other_transcripts"][source], "corpora", path)
    return entry


def _add_utterances(packing: _Packing, name: str, table: pd.DataFrame, about: Mapping[str, Any]) -> dict[str, Any]:
    """Add what the predictions say of the utterances of a corpus, and nothing else of it; how it is read."""
    if packing.names:
        table = packing.names.rows(table)
    home = f"corpora/{name}"
    rows = table.assign(file=table["utterance"])
    packing.made(f"{home}/{TABLE}", "corpora", lambda place: files.write_table(place, rows))
    if about.get("simulated"):
        packing.made(f"{home}/{SIMULATED}", "corpora", lambda place: files.write_text(place, "synthesised speech\n"))
    scale = about.get("scale") or (CORPORA[name].scale if name in CORPORA else None)
    return {"reader": "archived", "root": home, **({"scale": list(map(float, scale))} if scale else {})}


def _add_notebook(packing: _Packing, notebook: Path) -> str:
    """Add the template `notebook`, without what its cells may have put out; its path in the archive."""
    home = files.project() / "notebooks"
    inside = notebook.is_relative_to(home)
    path = f"notebooks/{notebook.relative_to(home).as_posix() if inside else f'other/{notebook.name}'}"
    if path not in {member.path for member in packing.members}:
        content = files.read_json(notebook)
        for cell in content["cells"]:
            if cell["cell_type"] == "code":
                cell |= {"outputs": [], "execution_count": None}
        packing.made(path, "notebooks", lambda place: files.write_json(place, content))
    return path


def _add_run(packing: _Packing, run: Run, home: str, checkpoints: bool) -> None:
    """Add the tables, parameters and provenance of `run`, which lies in outputs/`home` of the archive."""
    home = f"outputs/{home}"
    for path in sorted(run.folder.glob("[!.]*.*")):
        if path.suffix in OF_RUNS or path.name == run.result:
            _add_table(packing, path, f"{home}/{path.name}", OF_RUNS.get(path.suffix, "predictions"))
    names = packing.names
    for name, group, read, write in (
        (files.PARAMETERS, "parameters", files.read_yaml, files.write_yaml),
        (files.PROVENANCE, "provenance", files.read_json, files.write_record),
    ):
        path = run.folder / name
        if path.is_file() and names is None:
            packing.add(f"{home}/{name}", group, path)
        elif path.is_file() and names is not None:
            packing.made(f"{home}/{name}", group, partial(write, content=names.folds(read(path))))
    if checkpoints and run.result == files.PREDICTIONS:
        folds = files.read_table(run.folder / run.result, ["fold"])["fold"].unique()
        for fold, folder in files.fold_folders(run.folder, folds).items():
            name = folder.name if names is None or fold not in names.speakers else files.FOLD + names.of("fold", fold)
            if (folder / files.CHECKPOINT).is_file():
                packing.add(f"{home}/{name}/{files.CHECKPOINT}", "checkpoints", folder / files.CHECKPOINT)


def _add_table(packing: _Packing, source: Path, path: str, group: str) -> None:
    """Add a table of a run, with pseudonyms if there are any; none that holds texts, where there is to be no text."""
    if not packing.private:
        packing.add(path, group, source)
        return
    table = _read_table(source)
    texts = [name for name in TEXTS if table is not None and name in table]
    if table is None or texts:
        reason = f"it has a column {', '.join(texts)}" if texts else "what is in it cannot be looked at"
        packing.left_out.append(f"{path.removeprefix('outputs/')}: {reason}")
    elif packing.names is None or not any(name in table for name in NAMES):
        packing.add(path, group, source)
    else:
        rows = packing.names.rows(table)
        holding = _with_ids(packing, rows)
        if holding:
            raise ValueError(
                f"{source}: ids of utterances are in its column {', '.join(holding)}, where none is replaced: leave "
                "the column out of the corpus's groups, or pack without --hash-ids"
            )
        packing.made(path, group, lambda place: files.write_table(place, rows))


def _read_table(path: Path) -> pd.DataFrame | None:
    """The table of a run or of an analysis in the file `path`; None where it is of another kind."""
    if path.suffix == ".parquet":
        return files.read_table(path)
    if path.name == files.HISTORY:
        return files.read_history(path)
    return files.unguarded(pd.read_csv(path, keep_default_na=False)) if path.suffix == ".csv" else None


def _with_ids(packing: _Packing, table: pd.DataFrame) -> list[str]:
    """The columns of `table` that hold the id of an utterance."""
    return [str(name) for name in table if not packing.ids.isdisjoint(table[name].unique())]


def _unfit(packing: _Packing, path: Path) -> str:
    """Why the table `path`, in any of its formats, cannot be in an archive without texts; empty where it can.

    With pseudonyms, also where it says the name of an utterance or speaker, as notes below it may; numbers are no name.
    """
    written = path.with_suffix(".csv")
    table = _read_table(written) if written.is_file() else None
    if table is None:
        return f"what is in it cannot be looked at, for there is no {written.name}"
    barred = [name for name in (*TEXTS, *(NAMES if packing.names else ())) if name in table]
    if barred:
        return f"it has a column {', '.join(barred)}"
    if packing.names is None:
        return ""
    written_words = set(WORD.findall(path.read_text(encoding="utf-8").replace("\\_", "_")))  # LaTeX's _
    named = sorted(word for word in written_words & (packing.ids | packing.names.speakers) if not word.isdigit())
    return f"it names {first(named)}" if named else ""


def _add_readme(packing: _Packing, licensed: tuple[str, ...]) -> None:
    about, study = files.provenance(), packing.study
    if licensed:
        content = f"It holds the labels of {', '.join(licensed)}: do not pass it on to whoever may not have them."
    else:
        content = "All speech is synthesised: no number is a result on human speech."
    text = ABOUT.format(
        study=study.name,
        name=study.path.name,
        version=about["versions"].get("sercore", "of unknown version"),
        commit=about["commit"] or "of no checkout",
        content=content,
    )
    packing.made(README, "", lambda place: files.write_text(place, text))


def write(contents: Contents, path: Path) -> None:
    """Write the archive `path`, a .tar.gz or .zip by its name, whole or not at all; the same contents give the same.

    Raises ValueError for another suffix.
    """
    kind = _kind(path)
    members = sorted(contents.members)
    about = {
        "format": FORMAT,
        "study": contents.study.name,
        "parameters": f"parameters/{contents.study.path.name}",
        "licensed": list(contents.licensed),
        "hashed": contents.hashed,
        "files": {
            member.path: {"bytes": member.source.stat().st_size, "sha256": _sha256(member.source)} for member in members
        },
    }
    manifest = (json.dumps(about, indent=2) + "\n").encode()
    with files.atomic(path) as temporary:
        (_write_zip if kind == ZIP else _write_tar)(temporary, manifest, members)


def _kind(path: Path) -> tuple[str, ...]:
    """ZIP or TAR, by the name of the archive `path`. Raises ValueError for another one."""
    for kind in (ZIP, TAR):
        if path.name.lower().endswith(kind):
            return kind
    raise ValueError(f"{path}: an archive's name ends in {', '.join((*TAR, *ZIP))}")


def stem(path: Path) -> str:
    """The name of the archive `path` without its suffix. Raises ValueError for a name of another kind of file."""
    suffix = next(suffix for suffix in _kind(path) if path.name.lower().endswith(suffix))
    return path.name[: -len(suffix)] or "study"


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _write_tar(path: Path, manifest: bytes, members: list[Member]) -> None:
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as made,
    ):
        entry = tarfile.TarInfo(MANIFEST)
        entry.size = len(manifest)
        made.addfile(entry, io.BytesIO(manifest))
        for member in members:
            entry = tarfile.TarInfo(member.path)
            entry.size = member.source.stat().st_size
            with member.source.open("rb") as content:
                made.addfile(entry, content)


def _write_zip(path: Path, manifest: bytes, members: list[Member]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr(_zip_entry(MANIFEST), manifest)
        for member in members:
            with member.source.open("rb") as content, made.open(_zip_entry(member.path), "w", force_zip64=True) as out:
                shutil.copyfileobj(content, out, BLOCK)


def _zip_entry(path: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    return entry


def unpack(path: Path, folder: Path, force: bool = False) -> Path:
    """Unpack the archive `path` into `folder`, after all of it was read and compared with its checksums.

    Nothing is written outside of `folder`, and nothing appears in it where the archive is not whole.

    Args:
        path: what `write` wrote; of another name or content it is refused.
        folder: a new or empty one.
        force: `folder` may have files in it: those that the archive has are replaced, the others stay.

    Returns: the parameters file in `folder`; its paths are absolute, so a folder that was moved is unpacked again.

    Raises:
        FileExistsError: there is something in `folder`, without `force`.
        ValueError: the archive is damaged, cut off, of another kind or version, or holds a link or a path that leads
            out of its folder; the message names the file in it.
    """
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; name a folder")
    if not force and folder.exists() and any(folder.iterdir()):
        raise FileExistsError(
            f"{folder} is there already, and holds {first(sorted(entry.name for entry in folder.iterdir()))}; name "
            "another folder, or have what the archive has replaced with --force"
        )
    with files.private_folder(folder.parent) as staging:
        manifest = _extract(path, staging / "files")
        parameters = staging / "files" / manifest["parameters"]
        try:
            files.write_yaml(parameters, _placed(files.read_yaml(parameters), folder))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: {manifest['parameters']} is none that `sercore pack` writes: {error}") from None
        _move(staging / "files", folder, list(manifest["files"]))
    return folder / manifest["parameters"]


def _placed(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A parameters file's `content` whose paths lead into `folder`. Raises ValueError for one that leads out of it."""

    def place(path: str) -> str:
        _check_path(path)
        return str(folder / path)

    content["outputs"] = place(content["outputs"])
    for options in content["corpora"].values():
        options["root"] = place(options["root"])
        if "other_transcripts" in options:
            others = {name: place(path) for name, path in options["other_transcripts"].items()}
            options["other_transcripts"] = others
    for section in content["sections"].values():
        section["notebook"] = place(section["notebook"])
    content["analysis"] = [place(notebook) for notebook in content["analysis"]]
    return content


def _extract(path: Path, staging: Path) -> dict[str, Any]:
    """Write the files of the archive `path` into `staging`, each as its manifest says; that manifest."""
    entries, at = _entries(path), MANIFEST
    manifest: dict[str, Any] = {}
    held: dict[str, dict[str, Any]] = {}
    try:
        for at, regular, content in entries:
            if not manifest:
                manifest = _manifest(path, at, regular, content)
                held = dict(manifest["files"])
                continue
            if at not in held:
                twice = at in manifest["files"]
                raise ValueError(f"{path}: {at} is there twice" if twice else f"{path}: no {at} is in its {MANIFEST}")
            if not regular or content is None:
                raise ValueError(f"{path}: {at} is a link or no plain file; nothing of such an archive is unpacked")
            _copy(path, at, content, staging / at, held.pop(at))
    except DAMAGED as error:
        raise ValueError(f"{path} is damaged or cut off, at {at} ({error}): copy it again") from None
    if not manifest or held:
        raise ValueError(f"{path} is cut off: it lacks {first(held) or MANIFEST}; copy it again")
    return manifest


def _entries(path: Path) -> Iterator[tuple[str, bool, IO[bytes] | None]]:
    """Path, whether it is a plain file, and content of each entry of the archive `path`."""
    if _kind(path) == ZIP:
        with zipfile.ZipFile(path) as held:
            for entry in held.infolist():
                if entry.flag_bits & 1:
                    raise ValueError(f"{path}: {entry.filename} is encrypted; expected what `sercore pack` wrote")
                mode = entry.external_attr >> 16
                regular = not entry.is_dir() and (not stat.S_IFMT(mode) or stat.S_ISREG(mode))
                with held.open(entry) as content:
                    yield entry.filename, regular, content
    else:
        with tarfile.open(path, "r:gz") as opened:
            for member in opened:
                yield member.name, member.isreg(), opened.extractfile(member) if member.isreg() else None


def _manifest(path: Path, name: str, regular: bool, content: IO[bytes] | None) -> dict[str, Any]:
    """The manifest of the archive `path`, its first entry. Raises ValueError where it is none that can be used."""
    if name != MANIFEST or not regular or content is None:
        raise ValueError(f"{path} begins with {name}, expected {MANIFEST}: `sercore pack` has not written it")
    try:
        manifest = json.loads(content.read(LARGEST_MANIFEST))
        if manifest["format"] != FORMAT:
            raise ValueError(f"it is of format {manifest['format']}, expected {FORMAT}: of another version of sercore")
        for at, about in manifest["files"].items():
            _check_path(at)
            if not isinstance(about["bytes"], int) or not isinstance(about["sha256"], str):
                raise ValueError(f"{at} has no size or checksum")
        if manifest["parameters"] not in manifest["files"]:
            raise ValueError(f"there is no {manifest['parameters']}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: its {MANIFEST} cannot be used: {error}") from None
    return manifest


def _check_path(path: str) -> None:
    """Raise ValueError for a path that may lead out of the folder that it is below, on any system."""
    parts = PurePosixPath(path).parts
    windows = PureWindowsPath(path)
    if not parts or ".." in parts or PurePosixPath(path).is_absolute() or windows.drive or windows.root:
        raise ValueError(f"{path!r} leads out of the folder")
    if "\\" in path or "\0" in path or path == MANIFEST or PurePosixPath(path).as_posix() != path:
        raise ValueError(f"{path!r} is no path of a file below the folder")


def _copy(path: Path, name: str, content: IO[bytes], target: Path, about: Mapping[str, Any]) -> None:
    """Write `content`, the file `name` of the archive `path`, to `target`. Raises ValueError where it is another."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as out:
        while block := content.read(BLOCK):
            size += len(block)
            if size > about["bytes"]:
                break
            digest.update(block)
            out.write(block)
    if size != about["bytes"] or digest.hexdigest() != about["sha256"]:
        raise ValueError(f"{path} is damaged: the content of {name} is not what was packed; copy it again")


def _move(staging: Path, folder: Path, names: list[str]) -> None:
    """Move the files `names` of `staging` into `folder`, the results last: where they are the runs are complete."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in sorted(names, key=lambda name: (name.endswith(".parquet"), name)):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.parent.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{target.parent} is a link that leads out of {folder}; remove it, or name another folder")
        (staging / name).replace(target)
