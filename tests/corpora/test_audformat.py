"""A database in audformat is read, its schemes as columns; what does not fit says what would."""

import sys
from pathlib import Path

import audb
import audbackend
import audformat
import pandas as pd
import pytest
import trees
from trees import write

from sercore import corpora

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")  # audformat's, while it writes
FILES = [f"audio/{name}.wav" for name in ("a1", "a2", "b1", "b2", "c1", "c2")]


@pytest.fixture
def make(tmp_path):
    """Three speakers of two files each, with a split, a speaker scheme that knows genders, labels and ratings."""

    def _make(index=None, **changes):
        database = audformat.Database("small")
        for name in ("train", "dev", "test"):
            database.splits[name] = audformat.Split(name)
        who = pd.DataFrame(
            {"gender": ["female", "male", "female"]}, index=pd.Index(["a", "b", "c"], dtype="string", name="speaker")
        )
        database.misc_tables["speaker"] = audformat.MiscTable(who.index)
        database.schemes["gender"] = audformat.Scheme("str", labels=["female", "male"])
        database["speaker"]["gender"] = audformat.Column(scheme_id="gender")
        database["speaker"]["gender"].set(who["gender"])
        database.schemes["speaker"] = audformat.Scheme("str", labels="speaker")
        database.schemes["emotion"] = audformat.Scheme("str", labels=["anger", "boredom", "happiness"])
        database.schemes["activation"] = audformat.Scheme("float", minimum=0, maximum=1)
        values = {
            "speaker": list("aabbcc"),
            "emotion": ["anger", "boredom", "anger", "happiness", "happiness", None],
            "activation": [0.1, 0.2, 0.3, 0.4, 0.5, None],
        } | changes
        for place, split in enumerate(("train", "dev", "test")):
            rows = slice(2 * place, 2 * place + 2)
            table = audformat.Table((audformat.filewise_index(FILES) if index is None else index)[rows], split_id=split)
            database[f"emotion.{split}"] = table
            for column, labels in values.items():
                table[column] = audformat.Column(scheme_id=column)
                table[column].set(labels[rows])
        for file in FILES:
            write(tmp_path / file, trees.wav(samples=8000))
        database.save(str(tmp_path))
        return tmp_path

    return _make


def read(root, **options) -> corpora.Corpus:
    return corpora.read("audformat", root, **{"emotions": {"boredom": None}, "scale": (0, 1), **options})


def test_schemes_become_columns(make):
    corpus = read(make())
    table = corpus.utterances.set_index("utterance")
    assert table["emotion"].dropna().to_dict() == {
        "audio-a1": "angry",
        "audio-b1": "angry",
        "audio-b2": "happy",
        "audio-c1": "happy",
    }
    assert table.loc["audio-b1", ["speaker", "gender", "partition", "arousal", "seconds", "file"]].tolist() == [
        "b",
        "male",
        "development",
        0.3,
        0.5,
        "audio/b1.wav",
    ]
    assert "audio-a2" in table.index  # of an emotion that counts as missing
    assert "audio-c2" not in table.index  # neither label nor rating
    assert corpus.scale == (0.0, 1.0)


def test_a_label_that_is_no_emotion_here_must_be_named(make):
    with pytest.raises(ValueError, match=r"1 labels of emotion are not known: 'boredom' \(1 times\)"):
        read(make(), emotions=None)


def test_the_columns_and_tables_are_options(make):
    root = make()
    assert len(read(root, tables=["emotion.test"]).utterances) == 1
    assert read(root, columns={"valence": "activation"}).utterances["valence"].notna().sum() == 5
    with pytest.raises(ValueError, match=r"no table 'emotion\.tset'; did you mean 'emotion\.test'"):
        read(root, tables=["emotion.tset"])
    with pytest.raises(ValueError, match="nothing is called 'activatio'; did you mean 'activation'"):
        read(root, columns={"arousal": "activatio"})
    with pytest.raises(ValueError, match="unknown column 'arousl'; did you mean 'arousal'"):
        read(root, columns={"arousl": "activation"})


def test_partitions_are_named_by_an_option(make):
    root = make()
    names = {"dev": "test", "emotion.test": None, "train": "train"}
    assert read(root, partitions=names).utterances["partition"].dropna().tolist() == ["train", "train", "test", "test"]
    assert read(root, partitions={}).utterances["partition"].isna().all()
    with pytest.raises(ValueError, match="no split or table 'devel'; did you mean 'dev'"):
        read(root, partitions={"devel": "development"})


def test_ratings_outside_the_scale_are_an_error(make):
    with pytest.raises(ValueError, match=r"5 ratings outside 1 to 5, .*the database's own scale"):
        read(make(), scale=(1, 5))


def test_segments_that_are_whole_files_are_files(make):
    index = audformat.segmented_index(FILES, ["0s"] * 6, ["0.5s"] * 6)
    assert len(read(make(index)).utterances) == 5


def test_segments_of_longer_files_are_refused(make):
    index = audformat.segmented_index(FILES, ["0s"] * 6, ["0.2s"] * 6)
    with pytest.raises(ValueError, match=r"labels are of segments of longer files.*to_filewise_index"):
        read(make(index))


def test_media_that_are_not_there_are_named(make):
    root = make()
    (root / FILES[0]).unlink()
    with pytest.raises(ValueError, match=r"1 of 5 media files are not there, audio/a1\.wav"):
        read(root)


@pytest.fixture
def repository(make, tmp_path, monkeypatch):
    """The database, published by audb in a folder as version 1.0.0."""
    (tmp_path / "host").mkdir()
    audbackend.backend.FileSystem.create(str(tmp_path / "host"), "data")
    place = audb.Repository("data", str(tmp_path / "host"), "file-system")
    monkeypatch.setattr(audb.config, "REPOSITORIES", [place])
    monkeypatch.setattr(audb.config, "CACHE_ROOT", str(tmp_path / "cache"))
    audb.publish(str(make()), "1.0.0", place, verbose=False)


@pytest.mark.usefixtures("repository")
def test_a_database_is_loaded_by_its_name_and_version_once(tmp_path, monkeypatch):
    folder, named = tmp_path / "loaded", {"database": "small", "version": "1.0.0"}
    assert len(read(folder, **named).utterances) == 5
    monkeypatch.setattr(audb, "load_to", None)
    assert len(read(folder, **named).utterances) == 5
    with pytest.raises(ValueError, match="holds database 'small', not 'large': name another folder"):
        read(folder, database="large", version="1.0.0")


@pytest.mark.usefixtures("repository")
def test_a_database_that_audb_does_not_load_is_named(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"audb does not load database 'small', version 9\.0\.0: .*9\.0\.0"):
        read(tmp_path / "loaded", database="small", version="9.0.0")
    with pytest.raises(ValueError, match="database small, version None: expected both"):
        read(tmp_path / "loaded", database="small")
    monkeypatch.setitem(sys.modules, "audb", None)
    with pytest.raises(ModuleNotFoundError, match="pip install audb"):
        read(tmp_path / "loaded", database="small", version="1.0.0")


@pytest.mark.usefixtures("repository")
def test_a_load_that_was_cut_goes_on(tmp_path, monkeypatch):
    folder, named = tmp_path / "loaded", {"database": "small", "version": "1.0.0"}
    whole = audb.load_to

    def cut(root, *args, **options):
        whole(root, *args, **options)
        (Path(root) / FILES[0]).unlink()
        raise ConnectionError("the network is gone")

    monkeypatch.setattr(audb, "load_to", cut)
    with pytest.raises(ValueError, match="the network is gone"):
        read(folder, **named)
    assert not folder.exists()
    monkeypatch.setattr(audb, "load_to", whole)
    assert len(read(folder, **named).utterances) == 5


def test_a_folder_without_a_database_says_what_was_expected(tmp_path):
    write(tmp_path / "labels.csv", "")
    with pytest.raises(FileNotFoundError, match=r"(?s)no db\.yaml in .*audb\.load_to.*holds labels\.csv"):
        read(tmp_path)
