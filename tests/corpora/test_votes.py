"""Every rater's vote is read as the release has it, and what follows from votes is right."""

import doctest
import json

import numpy as np
import pandas as pd
import pytest
import trees
from trees import write

from sercore import corpora, schema
from sercore.corpora import votes
from sercore.corpora.summary import describe

NAN = pytest.approx(np.nan, nan_ok=True)
NAME = "MSP-PODCAST_0001_0008"
DETAILED = "Labels/labels_detailed.csv"
HEAD = "FileName,EmoDetail\n"
LINES = (
    "WORKER0000001; Angry; Angry,Annoyed; A:6.000000; V:1.000000; D:5.000000;",
    'WORKER0000002; Other-calm (not bored; "ok"); ; A:2.0; V:; D:3.0;',
    "WORKER0000001; Surprise; Happy; A:5.0; V:2.0; D:5.0;",  # the same rater again
)
READ = [
    ("WORKER0000001", "angry", 6, 1, 5),
    ("WORKER0000002", "other", 2, NAN, 3),
    ("WORKER0000001", "surprised", 5, 2, 5),
]


def made_up(*rows) -> pd.DataFrame:
    """A votes table of (utterance, rater, emotion)."""
    table = pd.DataFrame(rows, columns=["utterance", "rater", "emotion"])
    return schema.check_votes(table, table["utterance"].drop_duplicates(), "made up")


def test_the_example_runs():
    failed, run = doctest.testmod(votes)
    assert run > 1
    assert not failed


def test_raters_of_iemocap_are_read_from_the_label_files(tmp_path):
    corpus = corpora.read("iemocap", trees.write_iemocap(tmp_path))
    assert len(corpus.votes) == 5 * len(corpus.utterances)
    own = corpus.votes[corpus.votes["utterance"] == "Ses05M_script01_1b_F000"].drop(columns="utterance")
    assert list(own.itertuples(index=False, name=None)) == [
        ("E2", False, "neutral", NAN, NAN, NAN),
        ("E4", False, "angry", 3, 2, 3),  # who named two emotions; the comment names none
        ("E4", False, "frustrated", NAN, NAN, NAN),
        ("F1", True, "neutral", 2, 3, 1),
        ("E3", False, NAN, 2, 3, 2),
    ]


def test_a_rater_of_iemocap_who_left_out_a_rating_has_none(tmp_path):
    root = trees.write_iemocap(tmp_path)
    path = root / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    path.write_text(path.read_text().replace("val 3; act 2; dom  2;", "val 3; act 2; dom  ;"))
    read = corpora.read("iemocap", root).votes.set_index("rater").loc["E3"].set_index("utterance")
    assert np.isnan(read.loc["Ses01F_impro01_F000", "dominance"])
    assert read.loc["Ses02F_impro01_F000", "dominance"] == 2


def of_msp(root, lines=LINES, how="csv"):
    trees.write_msp(root)
    rows = [line.split("; ", 1) for line in lines]
    if how == "csv":
        quoted = [line.replace('"', '""') for line in lines]
        content = HEAD + "".join(f'{NAME}.wav,"{line}"\n' for line in quoted)
    elif how == "columns":
        content = "FileName,WorkerID,EmoClass_Major,EmoClass_Second,EmoAct,EmoVal,EmoDom\n"
        content += f"{NAME}.wav,7,Contempt,Other,4,3.0,\n"
    elif how == "json":
        answers = {"EmoClass_Major": "Fear", "EmoClass_Second": "Fear", "EmoAct": 3.0, "EmoVal": 1.0}
        content = json.dumps({f"{NAME}.wav": {"WORKER00000001": answers}})
    else:
        content = f"{NAME}.wav; N; A:2.4; V:4.0; D:2.8;\n" + "".join(f"{'; '.join(row)}\n" for row in rows) + "\n"
    name = {"csv": DETAILED, "columns": DETAILED, "json": "Labels/labels_detailed.json", "txt": "Labels/labels.txt"}[
        how
    ]
    write(root / name, content)
    return corpora.read("msp-podcast", root)


@pytest.mark.parametrize("how", ["csv", "txt"])
def test_raters_of_msp_podcast_are_read_from_their_lines(tmp_path, how):
    read = of_msp(tmp_path, how=how).votes
    assert set(read["utterance"]) == {NAME}
    assert not read["self_rated"].any()
    columns = ["rater", "emotion", *schema.DIMENSIONS]
    assert list(read[columns].itertuples(index=False, name=None)) == READ


@pytest.mark.parametrize(
    ("how", "row"),
    [("columns", ("7", "contemptuous", 4, 3, NAN)), ("json", ("WORKER00000001", "fearful", 3, 1, NAN))],
)
def test_other_releases_have_a_column_or_a_key_for_each_answer(tmp_path, how, row):
    read = of_msp(tmp_path, how=how).votes
    assert list(read[["rater", "emotion", *schema.DIMENSIONS]].itertuples(index=False, name=None)) == [row]


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        (
            DETAILED,
            f"FileName,EmoDetail\n{NAME}.wav,WORKER1 Angry\n",
            r"labels_detailed.csv, line 2: expected a rater's",
        ),
        (
            DETAILED,
            f"FileName,EmoDetail\n{NAME}.wav,W1; Sad; ; A:x; V:1; D:1;\n",
            "line 2: arousal of .* is 'x'; expected",
        ),
        (DETAILED, "FileName,EmoAct\na,b\n", "no column workerid, emoclass_major, emoval, emodom; expected FileName"),
        (
            "Labels/labels_detailed.json",
            f'{{"{NAME}.wav": {{"W1": "Sad"}}}}',
            "expected answers of W1 by name, found 'Sad'",
        ),
        (DETAILED, f"{HEAD}x.wav,W1; Sad; ; A:1; V:1; D:1;\n", "none of 1 votes, on x, is on one of the"),
    ],
)
def test_votes_that_cannot_be_read_are_named_and_stop_only_who_asks_for_them(tmp_path, path, content, message):
    write(trees.write_msp(tmp_path) / path, content)
    corpus = corpora.read("msp-podcast", tmp_path)
    with pytest.raises(ValueError, match=message):
        _ = corpus.votes


def test_a_release_without_votes_has_an_empty_table(tmp_path):
    read = corpora.read("msp-podcast", trees.write_msp(tmp_path)).votes
    assert list(read.columns) == list(schema.VOTE_COLUMNS)
    assert read.empty


class TestOfAFile:
    def corpus(self, tmp_path, content):
        write(tmp_path / "votes.csv", content)
        root = trees.write_msp(tmp_path / "release")
        return corpora.read("msp-podcast", root, votes=tmp_path / "votes.csv")

    def test_votes_of_any_corpus_may_come_from_a_csv(self, tmp_path):
        read = self.corpus(tmp_path, f"utterance,rater,emotion,arousal\n{NAME},a,Anger,3\n{NAME},b,,\n").votes
        assert read["emotion"].tolist() == ["angry", NAN]
        assert read["arousal"].tolist() == [3, NAN]
        assert read["valence"].isna().all()

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("utterance,ratr\n", "votes.csv: unknown column 'ratr'; did you mean 'rater'"),
            ("utterance,emotion\n", "no column rater; a votes table needs utterance and rater"),
            ("utterance,rater\na,b\na,\n", "votes.csv, line 3: no rater; fill it, or drop the row"),
            ("utterance,rater,valence\na,b,2\na,c,high\n", "line 3: valence is 'high'; expected a number"),
            (
                "utterance,rater,emotion\na,b,blue\n",
                "votes.csv: 1 labels of emotion are not known: 'blue'",
            ),
        ],
    )
    def test_a_wrong_file_is_named_with_its_line(self, tmp_path, content, message):
        with pytest.raises(ValueError, match=message):
            _ = self.corpus(tmp_path, content).votes

    def test_an_absent_file_is_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"none.csv does not exist; expected a CSV with the columns utter"):
            votes.read(tmp_path / "none.csv")


def test_shares_count_every_rater_the_same():
    table = made_up(
        ("u1", "a", "happy"),
        ("u1", "b", "excited"),
        ("u1", "c", "sad"),
        ("u1", "c", "angry"),  # who named two
        ("u2", "a", "fearful"),
        ("u3", "a", "sad"),
        ("u3", "b", "fearful"),  # of no class
    )
    talker = table.iloc[:1].assign(self_rated=True, emotion="neutral")
    shares = votes.of_classes(pd.concat([table, talker], ignore_index=True), schema.FOUR_CLASSES)
    assert shares.columns.tolist() == list(schema.CLASSES)
    assert shares.loc["u1"].tolist() == pytest.approx([1 / 6, 2 / 3, 0, 1 / 6])
    assert shares.loc["u3", "sad"] == 1
    assert "u2" not in shares.index


class TestAgreement:
    # Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", example C: 4 observers, 12 units
    C = (
        (1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None),
        (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3),
        (None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None),
        (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None),
    )

    @pytest.mark.parametrize(("level", "expected"), [("nominal", 0.743), ("interval", 0.849)])
    def test_alpha_is_the_published_one(self, level, expected):
        values = pd.concat([pd.Series(row, range(12)) for row in self.C]).dropna()
        values = values.astype("int64").astype(str) if level == "nominal" else values
        assert votes.alpha(values, level) == pytest.approx(expected, abs=5e-4)

    def test_alpha_is_one_where_all_agree_and_undefined_where_nothing_can_be_compared(self):
        agreed = pd.Series(["a", "a", "b", "b"], index=[0, 0, 1, 1])
        assert votes.alpha(agreed, "nominal") == 1
        assert np.isnan(votes.alpha(agreed.loc[[0]], "nominal"))  # one name for everything
        assert np.isnan(votes.alpha(agreed.drop_duplicates(), "nominal"))  # one judgement a unit
        assert np.isnan(votes.alpha(pd.Series([0.1] * 6, index=[0, 0, 0, 1, 1, 1]), "interval"))

    def test_the_summary_of_a_corpus_says_it(self, tmp_path):
        text = describe(corpora.read("iemocap", trees.write_iemocap(tmp_path)))
        lines = {line.split(maxsplit=1)[0]: line for line in text.splitlines() if line}
        assert "3 on 42 turns, 3.0 a turn; 42 answers of talkers about themselves do not count" in lines["raters"]
        # of 42 turns, two raters say one thing and two another, always: 1 - 83 * 84 / (84^2 - 2 * 42^2)
        assert "alpha: emotion -0.98 (nominal), arousal -0.98" in lines["agreement"]
        assert lines["agreement"].endswith("dominance -0.98 (interval)")
        assert "raters " not in describe(corpora.read("msp-podcast", trees.write_msp(tmp_path / "msp")))
