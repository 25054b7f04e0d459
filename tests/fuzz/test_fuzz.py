"""Whatever is in a file, reading it ends in what is written there, or in an error of ours that names the file.

None ends in the traceback of a library, in a wait, or in something that is lost without a word. A few examples run
with every test; `make test-long` runs 2,000 of each kind.
"""

import contextlib
import csv
import io
import re
import signal
import unicodedata
import warnings

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sercore import files
from sercore.corpora import cells, sound, splits, table, transcripts
from sercore.study import check, config

SECONDS = 20  # that an example may take
CALM = {
    "database": None,
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "phases": [Phase.explicit, Phase.generate, Phase.shrink],
}
FEW = settings(max_examples=12, derandomize=True, **CALM)
MANY = settings(max_examples=2_000, **CALM)
ODD = [
    "\u00e9",
    "e\u0301",
    "\u00a0",
    "\u200b",
    "\ufeff",
    "\u202e",
    "\u0130",
    "\u00df",
    "\U0001f600",
    "\x1b",
    "\0",
    "\t",
]
ODD += [
    "\r",
    "\n",
    "\r\n",
    '"',
    "'",
    ",",
    ";",
    "=",
    "+",
    "-",
    "@",
    "\\",
    "\x85",
    "\u2028",
    "nan",
    "NA",
    "None",
    "-",
    "1e400",
]
ODD += ["9" * 400, "01", "1_0", "inf", "../x", "$x$", "{a}", "%s", "~", "\u0660", "Ada", "ada", " ada ", "x" * 5_000]
TEXTS = st.lists(st.sampled_from(ODD) | st.text(st.characters(exclude_categories=["Cs"]), max_size=4), max_size=4).map(
    "".join
)
Mutation = st.tuples(
    st.sampled_from(["flip", "cut", "insert", "remove", "double", "none"]),
    st.floats(0, 1),
    st.binary(min_size=1, max_size=9),
)
MUTATIONS = st.lists(Mutation, max_size=3)


class TooLongError(BaseException):
    """An example that hangs; no `except Exception` takes it."""


@contextlib.contextmanager
def in_time():
    def stop(*_):
        raise TooLongError(f"more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def attempt(read, path, *names):
    """What `read()` returns; None where it ends in an error of ours, which names `path` or one of `names`."""
    with in_time(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return read()
        except (ValueError, OSError) as error:
            refused = error
    assert type(refused).__module__ in ("builtins", "sercore.corpora.sound"), f"a foreign error: {refused!r}"
    assert not isinstance(refused, UnicodeError), f"a foreign error: {refused!r}"
    assert any(str(name) in str(refused) for name in (path, *names)), f"names no file: {refused!r}"
    return None


def mutated(content, mutations):
    for kind, place, extra in mutations:
        at = int(place * len(content))
        if kind == "flip" and content:
            at = min(at, len(content) - 1)
            content = content[:at] + bytes([content[at] ^ (1 << extra[0] % 8)]) + content[at + 1 :]
        elif kind == "cut":
            content = content[:at]
        elif kind == "insert":
            content = content[:at] + extra + content[at:]
        elif kind == "remove":
            content = content[:at] + content[at + len(extra) :]
        elif kind == "double":
            content = content[:at] + content[max(0, at - 40) : at] + content[at:]
    return content


def plain(text):
    """Letters and digits of `text`, however they are composed."""
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", text).replace("\u0301", ""))


def csv_bytes(rows, dialect):
    newline, quoting, encoding = dialect
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=newline, quoting=quoting)
    writer.writerows(rows)
    return text.getvalue().encode(encoding, "replace")


def as_encoded(rows, dialect):
    """`rows` as the dialect's encoding can hold them: what it lacks is a question mark."""
    encoding = dialect[2]
    return [tuple(cell.encode(encoding, "replace").decode(encoding) for cell in row) for row in rows]


def filled_lines(content):
    """Lines of a CSV in which anything is written, the head among them."""
    lines = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    return sum(any(map(cells.clean, line)) for line in lines)


DIALECTS = st.tuples(
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"]),
)
COLUMNS = ("utterance", "file", "speaker", "emotion", "transcript", "arousal", "seconds")
VALUES_OF = (  # of each column, those that are right
    TEXTS,
    st.sampled_from(["a.wav", "./a.wav"]),
    st.sampled_from(["Ada", "ada ", "bob", "e\u0301", "\u00e9", "\u00c9", "c", "d", "NA", ""]) | TEXTS,
    st.sampled_from(["angry", "Sad", "happy", "NA", ""]),
    TEXTS,
    st.sampled_from(["1", "2.5", "+5", ".5e1", "", "NA", "nan"]),
    st.sampled_from(["", "", "1", "0.1"]),
)
WRONG = st.tuples(st.integers(0, 20), st.integers(0, 6), st.sampled_from(["b.wav", "hapy", "7", "1e400", "-1"]) | TEXTS)
ROWS = st.tuples(st.lists(st.tuples(*VALUES_OF), min_size=1, max_size=6), st.none() | st.none() | WRONG)
TABLES = st.tuples(
    ROWS, DIALECTS, MUTATIONS, st.permutations(range(len(COLUMNS))), st.sampled_from([True, True, False]), st.booleans()
)


def check_table(folder, case):
    (rows, wrong), dialect, mutations, order, numbered, parquet = case
    if wrong is not None:
        row, column, value = wrong
        rows = [
            (*each[:column], value, *each[column + 1 :]) if place == row % len(rows) else each
            for place, each in enumerate(rows)
        ]
    if numbered:  # ids that are unique, else most examples end there
        rows = [(f"u{number}{row[0]}", *row[1:]) for number, row in enumerate(rows)]
    if parquet:
        path = folder / "utterances.parquet"
        buffer = io.BytesIO()
        pd.DataFrame(rows, columns=list(COLUMNS)).to_parquet(buffer)
        content = mutated(buffer.getvalue(), mutations)
    else:
        path = folder / "utterances.csv"
        rows = as_encoded(rows, dialect)
        content = csv_bytes([[row[place] for place in order] for row in (COLUMNS, *rows)], dialect)
        content = mutated(content, mutations)
    path.write_bytes(content)
    corpus = attempt(lambda: table.read(path), path, path.parent)
    if corpus is None:
        return
    read = corpus.utterances
    if parquet and mutations:
        return
    if mutations:
        assert len(read) == filled_lines(content) - 1
        return
    assert len(read) == len(rows)
    if wrong is not None:
        return
    written = {cells.clean(row[0]): row for row in rows}
    for row in read.itertuples():
        origin = next((each for name, each in written.items() if plain(name) == plain(row.utterance)), None)
        assert origin is not None
    assert (
        sorted(map(plain, read["transcript"].dropna()))
        == sorted(plain(cells.clean(row[4])) for row in rows if row[4].strip())
        or parquet
    )
    emotions = [{"angry": "angry", "Sad": "sad", "happy": "happy"}[row[3]] for row in rows if row[3] not in ("NA", "")]
    assert sorted(read["emotion"].dropna()) == sorted(emotions)
    ratings = [float(row[5]) for row in rows if row[5] not in ("", "NA", "nan")]
    assert sorted(read["arousal"].dropna()) == sorted(ratings)
    check_speakers(read)


def check_speakers(read):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = splits.default_splits(read)
        except ValueError:  # too few speakers or utterances
            return
    for split in made:
        homes = {}
        speakers = dict(zip(read["utterance"], read["speaker"], strict=True))
        for partition in ("train", "test"):
            for utterance in getattr(split, partition):
                speaker = speakers[utterance]
                if split.name.startswith(("by_utterance", "by_dialog")) or pd.isna(speaker):
                    continue
                same = unicodedata.normalize("NFC", speaker).strip().casefold()
                assert homes.setdefault(same, partition) == partition


TRANSCRIPTS = st.tuples(st.lists(st.tuples(TEXTS, TEXTS), max_size=6), DIALECTS, MUTATIONS, st.booleans())


def check_transcripts(folder, case):
    rows, dialect, mutations, numbered = case
    rows = [(f"u{number}{name}", text) for number, (name, text) in enumerate(rows)] if numbered else rows
    rows = as_encoded(rows, dialect)
    path = folder / "transcripts.csv"
    content = mutated(csv_bytes([("utterance", "transcript"), *rows], dialect), mutations)
    path.write_bytes(content)
    read = attempt(lambda: transcripts.read_transcripts(path), path)
    if read is None:
        return
    if mutations:
        assert len(read) == filled_lines(content) - 1
        return
    filled = [row for row in rows if any(map(cells.clean, row))]
    assert [(plain(name), plain(text)) for name, text in read.items()] == [
        (plain(cells.clean(name)), plain(cells.clean(text))) for name, text in filled
    ]


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.dates() | st.sampled_from(ODD)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.integers() | st.booleans(), inner, max_size=3)
    ),
    max_leaves=8,
)
STUDY = yaml.safe_load(
    """
study: small
corpora: {own: {reader: table, root: nowhere}}
sections:
  categories:
    notebook: notebooks/1_categories.ipynb
    blocks:
      - grid: {corpus: [own], model: [cnn14], seed: [0, 1]}
        fixed: {classes: {angry: [angry], sad: [sad]}, training: {epochs: 1}}
"""
)
PLACES = [
    (),
    ("study",),
    ("corpora",),
    ("corpora", "own"),
    ("corpora", "own", "root"),
    ("outputs",),
    ("sections",),
    ("sections", "categories"),
    ("sections", "categories", "notebook"),
    ("sections", "categories", "needs"),
    ("sections", "categories", "blocks"),
    ("sections", "categories", "blocks", 0),
    ("sections", "categories", "blocks", 0, "grid"),
    ("sections", "categories", "blocks", 0, "grid", "seed"),
    ("sections", "categories", "blocks", 0, "grid", "model"),
    ("sections", "categories", "blocks", 0, "fixed"),
    ("sections", "categories", "blocks", 0, "fixed", "classes"),
    ("sections", "categories", "blocks", 0, "fixed", "training"),
    ("sections", "categories", "blocks", 0, "fixed", "training", "epochs"),
    ("sections", "categories", "blocks", 0, "fixed", "folds"),
    ("analysis",),
]
PARAMETERS = st.tuples(st.lists(st.tuples(st.sampled_from(PLACES), VALUES), max_size=2), MUTATIONS)


def replaced(content, keys, value):
    if not keys:
        return value
    if isinstance(content, list):
        return [replaced(item, keys[1:], value) if place == keys[0] else item for place, item in enumerate(content)]
    if isinstance(content, dict):
        return {**content, keys[0]: replaced(content.get(keys[0]), keys[1:], value)}
    return value


def check_parameters(folder, case):
    changes, mutations = case
    content = STUDY
    for keys, value in changes:
        content = replaced(content, keys, value)
    path = folder / "parameters.yaml"
    path.write_bytes(mutated(yaml.safe_dump(content, allow_unicode=True).encode(), mutations))
    read = attempt(lambda: files.read_yaml(path), path)
    if read is not None:
        assert repr(read) == repr(yaml.safe_load(path.read_text(encoding="utf-8-sig")))
    study = attempt(lambda: config.load(path), path)
    if study is None:
        return
    attempt(lambda: check.check(study), path)
    given = [block for section in read["sections"].values() for block in section["blocks"]]
    values = [repr(value) for block in given for value in (block.get("fixed") or {}).values()]
    values += [repr(value) for block in given for listed in block["grid"].values() for value in listed]
    assert {repr(value) for run in study.runs for value in run.parameters.values()} <= set(values)


FORMATS = [("WAV", subtype) for subtype in ("PCM_16", "PCM_24", "FLOAT", "PCM_U8", "IMA_ADPCM", "ULAW")]
FORMATS += [(kind, "PCM_16") for kind in ("WAVEX", "FLAC", "AIFF", "RF64", "W64")] + [("OGG", "VORBIS")]
SOUNDS = st.tuples(
    st.sampled_from(FORMATS),
    st.integers(0, 3_000),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([8_000, 16_000, 44_099]),
    st.lists(
        st.tuples(
            st.integers(0, 60),
            st.sampled_from([1, 2, 4, 8]),
            st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255),
        ),
        max_size=2,
    ),
    MUTATIONS,
)


def check_sound(folder, case):
    (kind, subtype), length, channels, rate, numbers, mutations = case
    if subtype == "IMA_ADPCM":
        channels = min(channels, 2)
    buffer = io.BytesIO()
    samples = np.random.default_rng(length).uniform(-0.3, 0.3, (length, channels))
    soundfile.write(buffer, samples, rate, subtype=subtype, format=kind)
    content = bytearray(buffer.getvalue())
    for at, width, value in numbers:
        content[at : at + width] = bytes([value]) * width
    suffix = {"WAV": "wav", "WAVEX": "wav", "RF64": "wav"}.get(kind, kind.lower())
    path = folder / f"sound.{suffix}"
    path.write_bytes(mutated(bytes(content), mutations))
    header = None
    with in_time(), contextlib.suppress(ValueError, OSError):  # whoever reads a header names its file
        header = sound.read_header(path)
    heard = attempt(lambda: sound.decode(path), path)
    if header is not None and heard is not None:
        assert header.sample_rate == heard[1]
        assert header.channels == heard[0].shape[1]
        assert header.seconds == pytest.approx(len(heard[0]) / heard[1], abs=max(sound.MISSING[0] / rate, 0.01))
    if not numbers and not mutations:
        assert [heard is None, header is None] == [length == 0] * 2
        if heard is not None and subtype != "IMA_ADPCM":
            assert (len(heard[0]), header.seconds) == (length, length / rate)


KINDS = {
    "tables": (check_table, TABLES),
    "transcripts": (check_transcripts, TRANSCRIPTS),
    "parameters": (check_parameters, PARAMETERS),
    "sound": (check_sound, SOUNDS),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    soundfile.write(folder / "a.wav", np.full(1_600, 0.1), 16_000, subtype="PCM_16")
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_files_are_read_as_they_are_or_refused_by_name(folder, kind):
    function, cases = KINDS[kind]
    FEW(given(cases)(lambda case: function(folder, case)))()


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_two_thousand_files_are_read_as_they_are_or_refused_by_name(folder, kind):
    function, cases = KINDS[kind]
    MANY(given(cases)(lambda case: function(folder, case)))()
