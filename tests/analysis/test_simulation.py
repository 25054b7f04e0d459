"""Simulated studies: judged by the study's own rule, false where nothing is there, and found where something is."""

import made_up
import numpy as np
import pandas as pd
import pytest

from sercore.analysis import results, simulation, verdicts
from sercore.analysis.verdicts import (
    ABOVE,
    CLEARLY_ABOVE,
    FAILS,
    HOLDS,
    LEVEL,
    NOT_TESTABLY_ABOVE,
    ZERO,
    Part,
    ScoreKey,
)
from sercore.study import config

MF = ScoreKey("mfcnn14", "msp-podcast", "msp-podcast", "valence", "ccc")
CNN, BERT, LF = (MF._replace(model=name) for name in ("cnn14", "bert", "lf"))
AROUSAL = MF._replace(target="arousal")
PARTS = {
    "one": [Part(MF, ABOVE, CNN)],
    "several": [Part(MF, ABOVE, CNN), Part(BERT, ABOVE, LF), Part(MF, ABOVE, AROUSAL)],
    "level": [Part(MF, LEVEL, CNN), Part(MF, CLEARLY_ABOVE, BERT)],
    "zero": [Part(MF, ABOVE, MF._replace(model=ZERO)), Part(MF, NOT_TESTABLY_ABOVE, BERT)],
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return config.load(made_up.write_study(folder, seeds=3, sections=("categories",), utterances=16))


@pytest.fixture
def two_claims(monkeypatch):
    """The simulations are of two of the paper's claims, which takes a second."""
    kept = tuple(claim for claim in simulation.PAPER if claim.number in ("5.5", "5.9"))
    monkeypatch.setattr(simulation, "PAPER", kept)


def values_of(keys, shift=0.0, size=4, draws=25, sd=0.02, seed=0):
    generator = np.random.default_rng(seed)
    values = {key: generator.normal(0.5 + shift * n, sd, (draws, size)) for n, key in enumerate(keys)}
    zero = {key: np.zeros((draws, size)) for key in keys if key.model == ZERO}
    return {**values, **zero}


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("sd", [0.02, 0.002])
def test_arrays_are_judged_as_single_studies_are(name, sd):
    parts = PARTS[name]
    keys = list(dict.fromkeys(key for part in parts for key in (part.left, part.right)))
    values = values_of(keys, shift=-0.004, sd=sd)
    expected = []
    for study in range(25):
        rows = [pd.DataFrame([key._asdict()] * 4).assign(seed=range(4), value=of[study]) for key, of in values.items()]
        lookup = verdicts.from_study(pd.concat(rows))
        expected.append(verdicts.together([finding.verdict for finding in verdicts.judge(parts, lookup)]))
    assert simulation.outcomes(parts, values).verdicts.tolist() == expected


def test_where_nothing_is_there_one_comparison_errs_at_alpha():
    values = values_of([MF, CNN], size=5, draws=20_000)
    found = simulation.outcomes(PARTS["one"], values)
    # both directions together; the standard error of the rate is .0015
    assert found.false.mean() == pytest.approx(0.05, abs=0.006)


def test_many_comparisons_err_no_more_often_than_one_but_for_the_correction():
    parts = [Part(MF._replace(target=f"t{n}"), ABOVE, CNN._replace(target=f"t{n}")) for n in range(12)]
    values = values_of([key for part in parts for key in (part.left, part.right)], size=5, draws=2000)
    found = simulation.outcomes(parts, values)
    assert (found.verdicts == FAILS).mean() < 0.04
    # 1 - .975 ** 12 = .26
    assert (found.uncorrected == FAILS).mean() == pytest.approx(0.26, abs=0.04)


def test_to_call_level_what_is_level_is_not_false():
    values = values_of([MF, CNN], size=5, draws=200, sd=0.001)
    level = simulation.outcomes([Part(MF, LEVEL, CNN)], values)
    assert (level.verdicts == HOLDS).mean() > 0.95
    assert not level.false[level.verdicts == HOLDS].any()
    above = simulation.outcomes([Part(MF, ABOVE, CNN)], values)
    refuted = above.verdicts == FAILS
    assert refuted.mean() > 0.9, "it is refuted: the two are level"
    assert above.false[refuted].mean() < 0.1


def test_noise_has_the_covariances_of_the_study():
    seeds = pd.Series([0.5, 0.6, 0.9])
    sides = {MF: seeds, AROUSAL: 1 - seeds, CNN: seeds}
    scores = {
        key: verdicts.Scores(of.mean(), of.std(ddof=0), 3, of, verdicts.trained(key)) for key, of in sides.items()
    }
    noise = simulation._noise(scores, 5, 20_000, np.random.default_rng(0))
    flat = {key: of.ravel() for key, of in noise.items()}
    assert flat[MF].std() == pytest.approx(seeds.std(ddof=1), rel=0.02)
    assert np.corrcoef(flat[MF], flat[AROUSAL])[0, 1] == pytest.approx(-1), "of one model, and opposite in the study"
    assert np.corrcoef(flat[MF], flat[CNN])[0, 1] == pytest.approx(0, abs=0.02), "trained apart"


def test_late_fusion_has_the_noise_of_its_halves():
    seeds = pd.Series([0.5, 0.6, 0.9])
    scores = {
        key: verdicts.Scores(seeds.mean(), seeds.std(ddof=0), 3, seeds, verdicts.trained(key))
        for key in (BERT, CNN, LF)
    }
    noise = simulation._noise(scores, 5, 20_000, np.random.default_rng(0))
    late, bert, cnn14 = (noise[key].ravel() for key in (LF, BERT, CNN))
    np.testing.assert_allclose(late, (bert + cnn14) / np.sqrt(2))


@pytest.mark.usefixtures("two_claims")
def test_the_table_of_false_verdicts_has_a_row_a_claim_and_one_for_all(categories):
    table = simulation.no_effect([categories], seeds=(3, 5), draws=400)
    assert table.frame.index.tolist() == [("5.5", "4"), ("5.9", "1"), ("all", "mean")]
    assert table.frame.columns.get_level_values(0).unique().tolist() == ["3 seeds", "5 seeds"]
    assert (table.numbers["false"] <= 0.08).all()
    again = simulation.no_effect([categories], seeds=(3, 5), draws=400)
    pd.testing.assert_frame_equal(again.numbers, table.numbers)
    assert all(part.write(categories.study) for part in (table, simulation.power(seeds=(3,), draws=10)))
    mean = 100 * table.numbers.query("seeds == 3")["false"].mean()
    assert table.frame.loc[("all", "mean"), ("3 seeds", "false")] == f"{mean:.1f}"


def test_without_a_spread_nothing_is_simulated(categories):
    alone = categories.predictions[categories.predictions["seed"] == 0]
    one = simulation.no_effect([results.Results(categories.study, "categories", alone)], draws=10)
    assert str(one) == "Nothing to show: section 'categories' has one seed, and so no spread to simulate."
    assert simulation.rates(one) == str(one)
    only = categories.predictions[categories.predictions["model"] == "cnn14"]
    only = only[only["train_corpus"] == "iemocap"]
    none = simulation.no_effect([results.Results(categories.study, "categories", only)], draws=10)
    assert str(none) == "Nothing to show: none of the paper's claims is about the models and corpora of this study."


@pytest.mark.usefixtures("two_claims")
def test_more_seeds_find_more_of_the_papers_effects():
    numbers = simulation.power(draws=400).numbers.pivot(index="claim", columns="seeds", values="found")
    # SFCNN14 56.0 (1.3) against CNN14 48.3 (0.6), and three more of this size
    assert numbers.loc["5.5", 10] > 0.99
    assert numbers.loc["5.9"].max() < 0.5, "46.4 (3.9) and 46.4 (2.0) are not shown to be level within 1 point"
    table = simulation.power(draws=50)
    assert "Left out" in table.notes[-1]
