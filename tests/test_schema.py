"""The checks of the two tables name what is wrong and where."""

import pandas as pd
import pytest

from sercore import schema


def table(**columns):
    return pd.DataFrame({"utterance": ["a", "b"], "file": ["a.wav", "b.wav"], "speaker": ["1", "2"], **columns})


def test_absent_optional_columns_are_added_as_missing():
    checked = schema.check_utterances(table(), "x.csv")
    assert list(checked.columns) == list(schema.UTTERANCE_COLUMNS)
    assert checked["emotion"].isna().all()


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"emotoin": ["sad", "sad"]}, "unknown column 'emotoin'; did you mean 'emotion'"),
        ({"utterance": ["a", "a"]}, "1 utterances occur twice, a"),
        ({"emotion": ["sad", "sda"]}, "emotion is 'sda' at b; did you mean 'sad'"),
        ({"arousal": ["1.5", "high"]}, r"arousal is not a number at b \('high', row 2\)"),
        ({"seconds": ["1e400", 1.5]}, r"seconds is no duration at a \(inf\)"),
        ({"seconds": [0.5, -1]}, r"seconds is no duration at b \(-1\)"),
        ({"file": ["a.wav", None]}, "1 rows have no file"),
    ],
)
def test_the_error_for_a_broken_table_names_the_row(columns, complaint):
    with pytest.raises(ValueError, match=complaint):
        schema.check_utterances(table(**columns), "x.csv")


def test_an_absent_column_is_named():
    with pytest.raises(ValueError, match="no column speaker"):
        schema.check_utterances(table().drop(columns="speaker"), "x.csv")


def test_missing_ratings_and_emotions_are_allowed():
    checked = schema.check_utterances(table(emotion=["sad", None], arousal=[None, 2]), "x.csv")
    assert checked["emotion"].isna().tolist() == [False, True]
    assert checked["arousal"].dtype == "float64"


def test_excited_counts_as_happy_and_the_rest_is_dropped():
    mapped = schema.map_emotions(pd.Series(["excited", "happy", "frustrated", None]), schema.FOUR_CLASSES)
    assert mapped[:2].tolist() == ["happy", "happy"]
    assert mapped[2:].isna().all()


def test_a_class_of_an_unknown_emotion_is_refused():
    with pytest.raises(ValueError, match="unknown emotion 'angri'; did you mean 'angry'"):
        schema.map_emotions(pd.Series(["sad"]), {"angry": ["angri"]})
    with pytest.raises(ValueError, match="'happy' counts as both 'a' and 'b'"):
        schema.map_emotions(pd.Series(["sad"]), {"a": ["happy"], "b": ["happy"]})
    for classes in ({"angry": "angry"}, {True: ["angry"]}, {"angry": None}):
        with pytest.raises(
            ValueError, match=r"expected a name .yes, no, on and off are written in quotes. and the list"
        ):
            schema.map_emotions(pd.Series(["sad"]), classes)


def predictions(**columns):
    row = dict.fromkeys(schema.PREDICTION_COLUMNS, "x") | {
        "target": "valence",
        "prediction": 1.0,
        "truth": 2.0,
        "simulated": False,
    }
    return pd.DataFrame([row]).assign(**columns)


def test_a_prediction_that_is_there_twice_is_refused():
    with pytest.raises(ValueError, match="there twice"):
        schema.check_predictions(pd.concat([predictions(), predictions()]), "x")


def test_a_prediction_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        schema.check_predictions(predictions(prediction=float("nan")), "x")


def test_an_unknown_target_is_refused():
    with pytest.raises(ValueError, match="unknown target mood"):
        schema.check_predictions(predictions(target="mood"), "x")
