"""Any corpus that a table describes is read, and the error for a wrong table says where."""

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import trees
from trees import write

from sercore import corpora, schema
from sercore.corpora import cells

HEADER = "utterance,file,speaker,emotion,arousal,transcript"
ROWS = ("one,wav/one.wav,03,happy,1.5,Hello", "two,wav/two.wav,04,,,")


@pytest.fixture
def root(tmp_path):
    write(tmp_path / "utterances.csv", "\n".join([HEADER, *ROWS]))
    for name in ("one", "two"):
        write(tmp_path / "wav" / f"{name}.wav", trees.wav(samples=8000))
    return tmp_path


def read(root, **options) -> corpora.Corpus:
    return corpora.read("table", root, **options)


@pytest.mark.parametrize("name", [".", "utterances.csv"])
def test_the_root_may_be_the_table_or_its_folder(root, name):
    corpus = read(root / name)
    assert corpus.root == root
    assert list(corpus.utterances) == list(schema.UTTERANCE_COLUMNS)


def test_cells_are_taken_as_written_and_empty_ones_are_missing(root):
    one, two = read(root).utterances.itertuples()
    assert (one.speaker, one.emotion, one.arousal, one.transcript) == ("03", "happy", 1.5, "Hello")
    assert pd.isna([two.emotion, two.arousal, two.transcript, two.gender]).all()


def test_durations_that_the_table_lacks_are_those_of_the_audio(root):
    assert read(root).utterances["seconds"].tolist() == [0.5, 0.5]


def test_a_duration_that_is_not_the_audio_s_is_reported(root):
    write(root / "utterances.csv", "utterance,file,speaker,seconds\none,wav/one.wav,03,9\ntwo,wav/two.wav,04,0.5\n")
    corpus = read(root)
    assert corpus.utterances["seconds"].tolist() == [9, 0.5]
    assert [(f.kind, f.examples) for f in corpus.findings] == [("duration that is not the audio's", ("one",))]


def test_parquet_gives_the_same_as_csv(root):
    expected = read(root).utterances
    expected.to_parquet(root / "utterances.parquet")
    (root / "utterances.csv").unlink()
    pd.testing.assert_frame_equal(read(root).utterances, expected)


def test_two_tables_in_one_folder_are_refused(root):
    read(root).utterances.to_parquet(root / "utterances.parquet")
    with pytest.raises(ValueError, match=r"both utterances\.csv and utterances\.parquet; give the one to read"):
        read(root)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("emotion", "emotoin", r"utterances\.csv: column 'emotoin' is nearly called 'emotion', .*\{emotoin: emotion\}"),
        (
            "file,",
            "path,",
            r"no column file, .*; 'path' may be it: .* as \{path: file\}\n  `sercore table --from .*csv`",
        ),
        ("file,", "x,", r"(?s)no column file, .*; 'x' may be it: "),
        ("file,speaker,emotion", "file_id,take,label", r"no column file, which says where the audio is; 'file_id' may"),
        ("happy", "hapy", r"1 labels of emotion .*'hapy' \(1 times, first in line 2\); did you mean 'happy'"),
        ("1.5", "high", r"arousal is not a number at one \('high', line 2\)"),
        ("1.5", "inf", r"1 ratings outside 1 to 5, one \(arousal inf\)"),
        ("1.5", "6", r"1 ratings outside 1 to 5, one \(arousal 6\); give the corpus's own scale, as --scale 1 7"),
        ("two,", "one,", r"1 utterances occur twice, one \(again in line 3\)"),
        ("two,", ",", "1 rows have no utterance, line 3"),
        ("wav/two.wav", "wav/three.wav", "1 of 2 audio files is not there, wav/three.wav; expected them below"),
        ("wav/two.wav", "/wav/two.wav", r"1 of 2 audio files is not there, /wav/two\.wav; .* paths of another machine"),
    ],
)
def test_the_error_for_a_wrong_table_says_what_is_wrong(root, old, new, message):
    path = root / "utterances.csv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match=message):
        read(root)


def test_a_table_without_rows_is_refused(root):
    write(root / "utterances.csv", HEADER)
    with pytest.raises(ValueError, match="no utterances"):
        read(root)


def test_the_scale_is_an_option(root):
    path = root / "utterances.csv"
    path.write_text(path.read_text().replace("1.5", "7"))
    assert read(root, scale=(1, 7)).scale == (1.0, 7.0)
    with pytest.raises(ValueError, match=r"scale is \(5, 1\)"):
        read(root, scale=(5, 1))


def test_the_corpus_may_be_given_a_name(root):
    assert read(root).name == "table"
    assert read(root, name="emodb").name == "emodb"


def test_every_kind_of_bad_row_is_in_one_error(root):
    path = root / "utterances.csv"
    path.write_text(path.read_text().replace("1.5", "7").replace("two.wav", "three.wav"))
    with pytest.raises(ValueError, match=r"(?s)1 of 2 audio files is not there.*1 ratings outside 1 to 5"):
        read(root)


def test_cells_that_say_nan_are_missing_and_reported(root):
    path = root / "utterances.csv"
    path.write_text(path.read_text().replace("1.5", "NaN").replace("happy", "none"))
    corpus = read(root)
    assert corpus.utterances[["emotion", "arousal"]].isna().all(axis=None)
    (finding,) = corpus.findings
    assert (finding.kind, finding.examples) == ("cells that say nan, NA or none", ("one (emotion)", "one (arousal)"))


def test_a_table_without_speakers_is_read_and_reported(root):
    path = root / "utterances.csv"
    path.write_text("utterance,file\none,wav/one.wav\ntwo,wav/two.wav\n")
    corpus = read(root)
    assert corpus.utterances["speaker"].isna().all()
    assert [(finding.kind, finding.count) for finding in corpus.findings] == [("no column 'speaker'", 2)]


def test_columns_are_renamed_or_left_out_by_an_option(root):
    path = root / "utterances.csv"
    path.write_text(path.read_text().replace("speaker", "who").replace("arousal", "notes"))
    corpus = read(root, columns={"who": "speaker", "notes": None})
    assert corpus.utterances["speaker"].tolist() == ["03", "04"]
    assert corpus.utterances["arousal"].isna().all()
    with pytest.raises(ValueError, match="no column 'whom' to rename; did you mean 'who'"):
        read(root, columns={"whom": "speaker"})
    with pytest.raises(ValueError, match="two columns are called 'file'"):
        read(root, columns={"who": "file"})


def test_the_table_s_labels_are_translated_by_an_option(root):
    path = root / "utterances.csv"
    path.write_text(path.read_text().replace("happy", "W").replace("04,", "04,boredom"))
    assert read(root, emotions={"W": "angry", "boredom": None}).utterances["emotion"].tolist()[0] == "angry"
    with pytest.raises(
        ValueError, match=r"1 labels of emotion are not known: 'boredom' \(1 times, first in line 3\); known: angry"
    ):
        read(root, emotions={"W": "angry"})
    with pytest.raises(ValueError, match="emotion 'W' is to be 'angri'; did you mean 'angry'"):
        read(root, emotions={"W": "angri"})


def test_transcripts_come_from_a_file_where_the_table_has_none(root):
    recognised = write(root / "recognised.csv", "utterance,transcript\none,Something else\ntwo,Good bye\n")
    assert read(root, transcripts=recognised).utterances["transcript"].tolist() == ["Hello", "Good bye"]


def test_a_file_in_two_rows_is_reported(root):
    path = root / "utterances.csv"
    path.write_text(path.read_text().replace("two.wav", "one.wav"))
    assert [finding.kind for finding in read(root).findings] == ["same file in several rows"]


def test_several_tables_are_distinguished_by_their_names(root):
    assert corpora.read("emodb", root, reader="table").name == "emodb"
    with pytest.raises(ValueError, match=r"unknown corpus 'emodb'.*reader: table"):
        corpora.read("emodb", root)
    with pytest.raises(ValueError, match="corpus 'emodb': unknown reader 'tabel'; did you mean 'table'"):
        corpora.read("emodb", root, reader="tabel")
    with pytest.raises(ValueError, match="the reader of table has no option 'scal'; did you mean 'scale'"):
        corpora.read("emodb", root, reader="table", scal=(1, 7))


def test_audio_that_cannot_be_read_is_named(root):
    write(root / "wav" / "two.wav", b"RIFF, but not really")
    with pytest.raises(ValueError, match=r"1 of 2 audio files .*\n.*wav/two\.wav: not an audio file"):
        read(root)


def test_a_folder_without_table_says_what_was_expected(tmp_path):
    write(tmp_path / "labels.csv", "")
    with pytest.raises(
        FileNotFoundError,
        match=r"(?s)no table in .*utterances\.csv or utterances\.tsv or utterances\.parquet.*it holds labels\.csv",
    ):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"), [("labels.xlsx", "found a '.xlsx' file"), ("labels.csv", "is not a CSV table")]
)
def test_a_file_that_is_no_table_is_refused(tmp_path, name, message):
    with pytest.raises(ValueError, match=message):
        read(write(tmp_path / name, b""))


def test_bad_cells_of_every_kind_are_in_one_error(root):
    path = root / "utterances.csv"
    right = path.read_text().replace("1.5", "high").replace("two,", "one,")
    path.write_text(right.replace("happy", "hapy"))
    with pytest.raises(
        ValueError, match=r"labels of emotion are not known: 'hapy' \(1 times, first in line 2\); did you mean 'happy'"
    ):
        read(root)
    path.write_text(right)
    with pytest.raises(ValueError, match=r"(?s)1 utterances occur twice.*arousal is not a number"):
        read(root)


def test_audio_that_cannot_be_read_is_in_one_error_with_ratings_outside_the_scale(root):
    path = root / "utterances.csv"
    path.write_text(path.read_text().replace("1.5", "7"))
    write(root / "wav" / "two.wav", b"")
    with pytest.raises(ValueError, match=r"(?s)1 ratings outside 1 to 5.*wav/two\.wav: the file is empty"):
        read(root)


@pytest.mark.parametrize(
    "metadata", ['{"index_columns": [{"name": "x"}]}', "{}", '{"index_columns": ["a"], "columns": [{}]}']
)
def test_a_parquet_file_whose_description_is_damaged_is_named(tmp_path, metadata):
    content = pa.table({"utterance": ["a"], "a": ["b"]}).replace_schema_metadata({"pandas": metadata})
    pq.write_table(content, tmp_path / "utterances.parquet")
    with pytest.raises(ValueError, match=r"utterances\.parquet is not a whole Parquet table: KeyError"):
        cells.read_table(tmp_path / "utterances.parquet")
