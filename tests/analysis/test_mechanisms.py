"""Mechanisms, text dropouts and encoders beside each other, at the sets of stages that have several of them."""

import pytest
import stage_studies

from sercore.analysis import mechanisms, words
from sercore.analysis.nothing import Nothing
from sercore.analysis.where import STAGES


def change(stages, text=None, **network):
    return {"network": {"stages": list(stages), **network}, **({"text": text} if text else {})}


CHANGES = {
    "none": change(()),
    "all-gate": change(STAGES, mechanism="gate"),
    "s3": change((3,)),
    "s6": change((6,)),
    "all": change(STAGES),
    "s6-film": change((6,), mechanism="film"),
    "s6-gate": change((6,), mechanism="gate"),
    "all-dropped": change(STAGES, text_dropout=0.5),
}


def skill(of):
    network = of["network"]
    gain = {"film": 0.2, "gate": -0.2}.get(network.get("mechanism"), 0.0) - 0.3 * network.get("text_dropout", 0.0)
    return 0.6 + gain if network["stages"] else 0.4


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return stage_studies.study(tmp_path_factory.mktemp("mechanisms"), "where", CHANGES, skill, seeds=[0, 1])


def test_mechanisms_are_compared_with_the_papers_at_the_same_stages(study):
    table = mechanisms.compare(study, "multitask", "mechanism", "mine", "valence", "pcc", draws=200)
    every = "1 to 6"
    rows = [("6", "shift"), ("6", "gate"), ("6", "film"), (every, "shift"), (every, "gate")]
    assert list(table.frame.index) == rows, "the paper's first, the others in the order of the parameters file"
    numbers = table.numbers.set_index(["stages", "mechanism"])
    assert numbers.loc[((6,), "shift"), "difference"] == 0
    assert numbers.loc[((6,), "film"), "difference_low"] > 0.05
    assert numbers.loc[((6,), "gate"), "difference_high"] < -0.05
    assert numbers.loc[((6,), "gate"), "open_6"] == pytest.approx(0.25), "the mean over seeds"
    shown = table.frame[("", "gates open")]
    assert list(shown) == ["", "6: .25", "", "", ", ".join(f"{stage}: .25" for stage in STAGES)]
    assert table.frame.iloc[0, 1] == ""
    assert "| stages | mechanism | PCC of valence | less that of shift | gates open |" in table.markdown()


def test_kinds_of_words_are_scored_by_text_dropout(study):
    found = mechanisms.words_by_dropout(study, "multitask", "mine")
    means = found.scores.query("metric == 'pcc'").groupby(["name", "words"])["score"].mean()
    assert list(dict.fromkeys(means.index.get_level_values("name"))) == ["1 to 6, 0", "1 to 6, 0.5", "none"]
    assert means["1 to 6, 0", "tell"] > means["1 to 6, 0.5", "tell"] + 0.05
    assert means["1 to 6, 0", "mislead"] < 0.3
    table = words.table(found)
    assert list(table.frame.columns.get_level_values(0)[::2]) == ["words tell", "words tell nothing", "words mislead"]
    assert table.frame.index.names[-1] == "stages with text, text dropout"


def test_what_a_study_does_not_vary_is_said_in_a_sentence(study):
    lacking = mechanisms.compare(study, "multitask", "encoder", "mine", "valence", "pcc")
    assert isinstance(lacking, Nothing)
    assert str(lacking) == (
        "Nothing to show: no stages of section 'multitask' have runs that differ in the text encoder."
    )


def test_encoders_are_compared_and_the_one_that_is_named_comes_first(tmp_path):
    roberta = {name: change(stages, text={"encoder": "roberta-base"}) for name, stages in (("x", (6,)), ("y", STAGES))}
    plain = {name: CHANGES[name] for name in ("none", "s6", "all", "all-dropped")}
    study = stage_studies.study(tmp_path, "encoders", {**plain, **roberta}, skill, seeds=[0, 1])
    table = mechanisms.compare(study, "multitask", "encoder", "mine", "valence", "pcc", draws=20)
    assert [name for _, name in table.frame.index] == ["bert-base-uncased", "roberta-base"] * 2
    assert table.frame.columns[-1] == ("", "less that of bert-base-uncased"), "without gates no column of them"
    named = mechanisms.compare(
        study, "multitask", "encoder", "mine", "valence", "pcc", encoder="roberta-base", draws=20
    )
    assert [name for _, name in named.frame.index] == ["roberta-base", "bert-base-uncased"] * 2
    with pytest.raises(ValueError, match=r"text\.encoder is bert-base-uncased in .* and roberta-base in"):
        mechanisms.words_by_dropout(study, "multitask", "mine")
    one = mechanisms.words_by_dropout(study, "multitask", "mine", encoder="bert-base-uncased")
    assert list(one.labels) == ["none", "1 to 6, 0", "1 to 6, 0.5"]
