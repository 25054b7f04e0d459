"""The dated file by which the study is judged: the one place of its numbers, and clear about what is wrong in it."""

import datetime

import pytest
import yaml

from sercore import files
from sercore.analysis import claims, comparisons, preregistration, verdicts
from sercore.registry import METRICS, MODELS


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a copy of the file, and what writes other values into it."""
    content = files.read_yaml(files.resolve(preregistration.FILE))
    for folder in ("notebooks", "parameters"):
        (tmp_path / folder).mkdir()

    def write(**changes):
        changed = {key: value for key, value in {**content, **changes}.items() if value != "absent"}
        path = tmp_path / preregistration.FILE
        path.write_text(yaml.safe_dump(changed), encoding="utf-8")
        preregistration._read.cache_clear()
        monkeypatch.chdir(tmp_path)

    yield write
    preregistration._read.cache_clear()


def test_every_metric_of_the_registry_has_a_margin():
    plan = preregistration.read()
    assert set(METRICS) <= set(plan.margins)
    assert plan.margin("ccc") == plan.margins["ccc"]


def test_every_measure_of_a_claim_has_a_margin():
    for claim in (*claims.PAPER, *claims.GROUND_TRUTH):
        for part in claim.parts:
            assert verdicts.margin_of(verdicts.unit_of(part.left)) > 0


def test_every_two_models_that_a_claim_compares_are_in_the_list():
    listed = {frozenset(pair) for pair in preregistration.read().pairs}
    compared = {frozenset((p.left.model, p.right.model)) for claim in claims.PAPER for p in claim.parts}
    assert {pair for pair in compared if len(pair) == 2 and verdicts.ZERO not in pair} <= listed
    assert {frozenset(pair) for pair in comparisons.MULTISTAGE} <= listed


def test_models_beside_the_papers_are_compared_with_one_baseline():
    pairs = preregistration.read().compared_pairs()
    assert ("wavlm", "cnn14") in pairs
    assert {name for pair in pairs for name in pair} == set(MODELS)


def test_the_file_is_dated():
    assert preregistration.read().date >= datetime.date(2026, 11, 27)


def test_hypotheses_on_stages_have_margins_and_a_date():
    where = preregistration.read().where
    assert list(where.hypotheses) == ["H1", "H2", "H3", "H4"]
    assert set(where.margins) == set(where.cost) == {"uar", "pcc"}


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("tomorrow", "where is 'tomorrow'; expected a date, what was known, hypotheses"),
        ({"date": datetime.date(2026, 11, 27)}, "key 'cost' is missing"),
        ({"dates": 1}, "unknown key 'dates'; did you mean 'date'"),
    ],
)
def test_what_is_wrong_about_them_is_named(project, where, message):
    project(where=where)
    with pytest.raises(ValueError, match=message):
        preregistration.read()


def test_what_stands_there_decides(project):
    project(margins={"ccc": 0.3, "uar": 1.0}, alpha=0.2)
    assert verdicts.margin_of("ccc") == 0.3
    key = verdicts.ScoreKey("mfcnn14", "msp-podcast", "msp-podcast", "valence", "ccc")
    other = key._replace(model="cnn14")
    part = verdicts.Part(key, verdicts.LEVEL, other)
    cells = {key: (0.6, 0.1, 5), other: (0.5, 0.1, 5)}
    assert verdicts.judge([part], cells.get)[0].verdict == verdicts.HOLDS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"margins": "absent"}, "key 'margins' is missing"),
        ({"alhpa": 0.1}, "unknown key 'alhpa'; did you mean 'alpha'?"),
        ({"alpha": 5}, "alpha is 5; expected a number between 0 and 1"),
        ({"power": True}, "power is True; expected a number between 0 and 1"),
        ({"date": "soon"}, "date is 'soon'; expected a day"),
        ({"correction": "none"}, "correction is 'none'; expected one of holm"),
        ({"seeds": 1}, "seeds is 1; expected a whole number of at least 2"),
        ({"margins": {"ccc": -1}}, "expected measures, each with a number above 0"),
        ({"pairs": [["bert", "cnn"]]}, "expected pairs of two of the models bert, cnn14"),
        ({"others": "cnn"}, "others is 'cnn'; expected one of the models"),
    ],
)
def test_what_does_not_fit_is_named(project, changes, message):
    project(**changes)
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        preregistration.read()


def test_a_margin_that_is_not_there_names_the_nearest(project):
    project(margins={"ccc": 0.01})
    with pytest.raises(ValueError, match=r"no margin of 'cccc': add a line .*; did you mean 'ccc'"):
        preregistration.read().margin("cccc")


def test_outside_the_project_the_file_is_missed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"preregistration\.yaml"):
        preregistration.read()
