"""Databases in audformat, as audb loads them: a folder with db.yaml, tables, and the media of the tables.

Columns are recognised by the names that public databases use, or named by options.
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from sercore import files, schema
from sercore.corpora import corpus
from sercore.corpora.corpus import Corpus, Finding, assemble, contents, locate, out_of_scale
from sercore.corpora.headers import read_headers, unusual

if TYPE_CHECKING:
    import audformat

HEADER = "db.yaml"
EXPECTED = f"the folder of an audformat database, which holds {HEADER} (as audb.load_to writes it)"
USUAL = {
    "emotion": ("emotion",),
    "arousal": ("arousal", "activation"),
    "valence": ("valence",),
    "dominance": ("dominance",),
    "speaker": ("speaker",),
    "gender": ("gender", "sex"),
    "transcript": ("transcription", "transcript", "text"),
    "dialog": ("dialog", "dialogue", "session"),
    "style": ("style",),
}
"""Our column -> the names under which it is looked for, in this order."""
LABELLED = (schema.EMOTION, *schema.DIMENSIONS)  # columns that decide which files are utterances
WHOLE = 0.05  # a segment is its whole file where start and end differ by at most so much [s]


def read(
    root: str | Path,
    *,
    tables: Sequence[str] | None = None,
    columns: Mapping[str, str] | None = None,
    emotions: Mapping[str, str | None] | None = None,
    partitions: Mapping[str, str | None] | None = None,
    scale: Sequence[float] = (1.0, 5.0),
    database: str | None = None,
    version: str | None = None,
    name: str = "audformat",
) -> Corpus:
    """The corpus that the audformat database in the folder `root` describes.

    Args:
        root: the folder of db.yaml
        tables: those whose emotions and ratings are taken (default: all)
        columns: our column -> scheme or column of the database (arousal: activation), where it is not one of USUAL
        emotions: the database's label -> emotion (boredom -> None: missing)
        partitions: split or table -> partition (dev: development; None: in none); default: the type of a table's split
        scale: lowest and highest rating
        database: name of a database that audb loads into `root` where nothing is there yet
        version: of that database
        name: of the corpus

    Raises ModuleNotFoundError without the package audformat, or audb where that is to load, FileNotFoundError where
    there is no database, ValueError for one that audb does not load, for names that the database lacks, for labels that
    differ between tables, for segments of longer files, and as the table reader does.
    """
    if database is not None or version is not None:
        _fetch(files.resolve(root), database, version)
    folder = locate(root, EXPECTED)
    if not (folder / HEADER).is_file():
        holds = contents(folder) if folder.is_dir() else "nothing, it is a file"
        raise FileNotFoundError(f"no {HEADER} in {folder}; expected {EXPECTED}\n  it holds {holds}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the package's own calls of pandas
        loaded = _load(folder)
        if database not in (None, loaded.name):
            raise ValueError(f"{folder} holds database '{loaded.name}', not '{database}': name another folder as root")
        wanted = _check_tables(loaded, tables, folder)
        values = _columns(loaded, wanted, dict(columns or {}), folder)
        homes = _partitions(loaded, wanted, partitions, folder)
    labelled = [values[column] for column in LABELLED if column in values]
    if not labelled:
        raise ValueError(
            f"{folder}: no emotion or rating was found; the schemes are {schema.first(loaded.schemes, 12)}: "
            "say which is which with the option columns, as {arousal: activation}"
        )
    index = labelled[0].index
    for labels in labelled[1:]:
        index = index.union(labels.index)
    table = pd.DataFrame({column: labels.reindex(index) for column, labels in values.items()})
    idle = Finding.of("", (), "")
    for column in ("gender", "style"):
        if column in table:
            table[column] = corpus.translate(table[column], column, where=str(folder))
    if schema.EMOTION in table:
        idle = corpus.unused(emotions, table[schema.EMOTION], schema.EMOTION, folder)
        table[schema.EMOTION] = corpus.translate(table[schema.EMOTION], schema.EMOTION, emotions, str(folder))
    table["partition"] = [homes.get(file) for file in index]
    table["file"] = index
    table["utterance"] = [corpus.id_of(file) for file in index]
    return _corpus(table, folder, (float(scale[0]), float(scale[1])), name, idle)


def _fetch(folder: Path, database: str | None, version: str | None) -> None:
    """Let audb load a version of a database into `folder`, unless that is there; a load that was cut goes on."""
    if database is None or version is None:
        raise ValueError(f"database {database}, version {version}: expected both, as database: emodb, version: 1.4.1")
    if folder.exists():
        return
    try:
        import audb
    except ModuleNotFoundError:
        raise ModuleNotFoundError(f"database '{database}' is loaded by the package audb: pip install audb") from None
    partial = folder.with_name(f"{folder.name}.partial")
    try:
        audb.load_to(str(partial), database, version=version, verbose=False)
    except Exception as error:  # of audb's own, of its storage's and of the network's kinds
        raise ValueError(f"audb does not load database '{database}', version {version}: {error}") from error
    partial.rename(folder)


def _load(folder: Path) -> "audformat.Database":
    try:
        import audformat
    except ModuleNotFoundError:
        raise ModuleNotFoundError("audformat databases need the package audformat: pip install audformat") from None
    return audformat.Database.load(str(folder))


def _corpus(table: pd.DataFrame, folder: Path, scale: tuple[float, float], name: str, *findings: Finding) -> Corpus:
    absent = [file for file in table["file"] if not (folder / file).is_file()]
    if absent:
        raise ValueError(
            f"{folder}: {len(absent)} of {len(table)} media files are not there, {schema.first(absent)}; "
            "load the database with its media"
        )
    if "speaker" not in table:
        table["speaker"] = pd.Series(dtype="str")
    table, found = corpus.tidy(table.reset_index(drop=True))
    table = schema.check_utterances(table, str(folder))
    outside = out_of_scale(table, scale)
    if outside:
        raise ValueError(
            f"{folder}: {len(outside)} ratings outside {scale[0]:g} to {scale[1]:g}, {schema.first(outside)}; "
            "give the database's own scale, as `scale: [0, 1]`"
        )
    headers = read_headers(folder, list(table["file"]))
    table["seconds"] = headers["seconds"]
    found += [
        *findings,
        Finding.of("missing speaker", table["utterance"][table["speaker"].isna()], "kept; belongs to no speaker"),
        unusual(list(table["file"]), headers),
    ]
    return assemble(name, folder, scale, table, found)


def _check_tables(database: "audformat.Database", tables: Sequence[str] | None, folder: Path) -> list[str]:
    for table in tables or ():
        if table not in database.tables:
            raise ValueError(f"{folder}: no table '{table}'{schema.did_you_mean(table, database.tables)}")
    return list(tables) if tables else list(database.tables)


def _columns(
    database: "audformat.Database", tables: list[str], given: Mapping[str, str], folder: Path
) -> dict[str, pd.Series]:
    """Our column -> its values by file, of every column that the database has."""
    for column in given:
        if column not in USUAL:
            raise ValueError(f"unknown column '{column}'{schema.did_you_mean(column, USUAL)}")
    columns = {}
    for column, usual in USUAL.items():
        chosen = tables if column in LABELLED else None
        for theirs in (given[column],) if column in given else usual:
            values = _values(database, theirs, chosen, folder)
            if values is not None:
                columns[column] = values
                break
        else:
            if column in given:
                near = schema.did_you_mean(given[column], database.schemes)
                raise ValueError(f"{folder}: nothing is called '{given[column]}'{near}")
    return columns


def _values(database: "audformat.Database", name: str, tables: list[str] | None, folder: Path) -> pd.Series | None:
    """Value of `name` (a scheme, a column or a key of a scheme's labels) by file; None where there is none."""
    try:
        values = database.get(name, tables=tables)[name].dropna()
    except ValueError as error:
        raise ValueError(
            f"{folder}: tables disagree about '{name}', name those to take with the option tables "
            f"(there are {schema.first(database.tables, 12)}): {error}"
        ) from None
    if values.empty:
        return None
    if "start" in values.index.names:
        values = _of_whole_files(values, folder)
    values = values[~values.index.duplicated()]
    return values.astype("float64") if pd.api.types.is_numeric_dtype(values.dtype) else values.astype("str")


def _of_whole_files(values: pd.Series, folder: Path) -> pd.Series:
    """`values` of segments, by file. Raises ValueError where a segment is not its whole file."""
    places = values.index.to_frame(index=False)
    later = places["start"].dt.total_seconds() > WHOLE
    ends = places["end"].dt.total_seconds()
    if ends.notna().any() and not later.any():
        files = list(places["file"].astype("str"))
        later = ends.fillna(0) < read_headers(folder, files)["seconds"].where(ends.notna(), 0) - WHOLE
    if later.any():
        raise ValueError(
            f"{folder}: {later.sum()} labels are of segments of longer files, {schema.first(places['file'][later])}; "
            "a row here is a whole file: cut them first, audformat.utils.to_filewise_index does"
        )
    return values.set_axis(places["file"].astype("str"))


def _partitions(
    database: "audformat.Database", tables: list[str], given: Mapping[str, str | None] | None, folder: Path
) -> dict[str, str]:
    """File -> its partition, from the splits of the tables or as `given` for a split or table."""
    for name, partition in (given or {}).items():
        if name not in database.tables and name not in database.splits:
            known = [*database.splits, *database.tables]
            raise ValueError(f"{folder}: no split or table '{name}'{schema.did_you_mean(name, known)}")
        if partition is not None and partition not in schema.PARTITIONS:
            raise ValueError(f"'{name}' is to be '{partition}'{schema.did_you_mean(partition, schema.PARTITIONS)}")
    homes: dict[str, str] = {}
    for name in tables:
        table = database.tables[name]
        partition = None
        if given is not None:
            partition = given.get(name, given.get(table.split_id))
        elif table.split_id is not None:
            kind = database.splits[table.split_id].type
            partition = corpus.PARTITIONS.get(kind, kind if kind in schema.PARTITIONS else None)
        if partition is not None:
            repeated = [file for file in table.files if homes.setdefault(file, partition) != partition]
            if repeated:
                raise ValueError(
                    f"{folder}: {len(repeated)} files are in more than one partition, {schema.first(repeated)}; "
                    "say which table or split is which with the option partitions, as {dev: development}"
                )
    return homes
