"""Gaps between sets of stages over the size of the training data, which may be that of several studies."""

import dataclasses

import pytest
import stage_studies

from sercore.analysis import data_size
from sercore.analysis.where import STAGES

SETS = {"none": (), "s1": (1,), "s6": (6,), "all": STAGES}


def changes(share, sets=SETS, **training):
    more = {"data_share": share} if share < 1 else {}
    return {
        f"{name}-{share:g}": {"network": {"stages": list(stages)}, "training": {**more, **training}}
        for name, stages in sets.items()
    }


def skill(change):
    """Stage 6 gains as much at any size, stage 1 loses less with more data, and all gain more."""
    share, stages = change["training"].get("data_share", 1.0), tuple(change["network"]["stages"])
    return 0.4 + {(): 0.0, (3,): 0.0, (6,): 0.2, (1,): -0.4 * (1 - share), STAGES: 0.5 * share}[stages]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two studies: one on all of the data, with a set that the other lacks, and one on a quarter and half."""
    home = tmp_path_factory.mktemp("sizes")
    stage_studies.study(home, "whole", changes(1.0, {**SETS, "s3": (3,)}), skill)
    stage_studies.study(home, "less", {**changes(0.5), **changes(0.25)}, skill)
    return home


@pytest.fixture(scope="module")
def sizes(folder):
    return data_size.read([folder / "less.yaml", folder / "whole.yaml"], "multitask")


def test_sizes_come_from_both_studies_with_the_sets_that_all_have(sizes):
    assert list(sizes) == [0.25, 0.5, 1.0]
    assert [of.study.name for of in sizes.values()] == ["less", "less", "whole"]
    assert all(list(of.by_stages) == list(of.runs) == list(SETS.values()) for of in sizes.values())


def test_gaps_are_those_to_no_stage_at_the_same_size_and_their_change_is_read(sizes):
    table = data_size.gaps(sizes, "mine", "valence", "pcc", draws=200)
    part = {stages: of.set_index("share")["gap"] for stages, of in table.groupby("stages")}
    assert part[(1,)][0.25] < part[(1,)][0.5] < -0.05
    assert part[(1,)][1.0] == pytest.approx(0, abs=1e-9), "without a loss it is CNN14"
    changes_alone = table[table["share"].isna()].set_index("stages")
    for stages, gap in part.items():
        assert changes_alone.loc[[stages], "gap"].item() == pytest.approx(gap[1.0] - gap[0.25])
    assert ((changes_alone["low"] < changes_alone["gap"]) & (changes_alone["gap"] < changes_alone["high"])).sum() >= 2
    readings = {stages: data_size.reading(of) for stages, of in table.groupby("stages")}
    assert readings == {(1,): "loss shrinks", (6,): "open", STAGES: "gain grows"}


@pytest.mark.parametrize(
    ("gaps", "change", "words"),
    [
        ((-1, -3), -2, "loss grows"),
        ((3, 1), -2, "gain shrinks"),
        ((-3, 1), 4, "loss turns into gain"),
        ((3, -1), -4, "gain turns into loss"),
    ],
)
def test_a_loss_that_grows_and_a_gain_that_shrinks_or_turns_are_called_so(sizes, gaps, change, words):
    table = data_size.gaps(sizes, "mine", "valence", "pcc", draws=10).query("stages == @STAGES")
    table = table.assign(gap=[gaps[0], sum(gaps) / 2, gaps[1], change], low=change - 0.5, high=change + 0.5)
    assert data_size.reading(table) == words
    assert data_size.reading(table.assign(low=float("nan"))) == "not known"


def test_the_table_and_the_figure_say_what_they_are(sizes):
    table = data_size.table(sizes, "mine", "valence", "pcc", draws=50)
    head = "| stages | trained on 25% | trained on 50% | trained on 100% | change | with more data |"
    assert head in table.markdown()
    assert list(table.frame[("", "with more data")]) == ["loss shrinks", "open", "gain grows"]
    picture = data_size.plot(sizes, "mine", [("valence", "pcc")], draws=50)
    assert [axis.get_title() for axis in picture.axes] == [f"valence, {family}" for family in data_size.FAMILIES]
    labels = [[text.get_text() for text in axis.get_legend().get_texts()] for axis in picture.axes]
    assert labels == [["1", "6"], ["1 to 6"], ["1 to 6"]]
    some = {share: dataclasses.replace(of, runs={(1, 6): []}) for share, of in sizes.items()}
    assert "no runs with one stage" in str(data_size.plot(some, "mine", [("valence", "pcc")]))


def test_what_is_no_comparison_of_sizes_is_refused(folder, sizes, tmp_path):
    less, whole = folder / "less.yaml", folder / "whole.yaml"
    with pytest.raises(ValueError, match="has runs on 100% of the data alone; name a study on other shares"):
        data_size.read([whole], "multitask")
    with pytest.raises(ValueError, match=r"whole\.yaml has runs on 100% of the data, and .*whole\.yaml too"):
        data_size.read([whole, whole], "multitask")
    stage_studies.study(tmp_path, "longer", changes(0.5, epochs=9), skill, seeds=[7])
    with pytest.raises(ValueError, match=r"training\.epochs is 9 in .* and 60 in .*, so their scores"):
        data_size.read([tmp_path / "longer.yaml", whole], "multitask")
    stage_studies.study(tmp_path, "apart", changes(0.1, {"s3": (3,)}), lambda _: 0.4, seeds=[7])
    with pytest.raises(ValueError, match="all shares need runs without any stage, and a set of stages"):
        data_size.read([tmp_path / "apart.yaml", less], "multitask")
    stage_studies.study(tmp_path, "seed", changes(0.1), skill, seeds=[7])
    others = data_size.read([tmp_path / "seed.yaml", less], "multitask")
    with pytest.raises(ValueError, match="no seed has been run on every share of the data"):
        data_size.gaps(others, "mine", "valence", "pcc")
    one = {share: dataclasses.replace(of, by_stages=_first_seed(of)) for share, of in sizes.items()}
    assert data_size.gaps(one, "mine", "valence", "pcc")["low"].isna().all()


def _first_seed(of):
    return {
        stages: dataclasses.replace(part, predictions=part.predictions.query("seed == 0"))
        for stages, part in of.by_stages.items()
    }
