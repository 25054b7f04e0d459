"""One change at a time, over seeds: a study that nobody ran, whose predictions have known CCCs."""

import shutil
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import papermill
import pytest
import yaml
from scipy import stats

from sercore import files, schema
from sercore.analysis import seed_spread
from sercore.study import config

SEEDS = (0, 1, 2, 3, 4)
SLOPES = {  # of the predictions of each seed: their ratio of spreads; a change has only the seeds of both
    ("cnn14", "none"): (1.0, 0.8, 0.6, 0.9, 0.5),
    ("sfcnn14", "none"): (0.9, 0.7, 0.85, 0.6, 0.95),
    ("cnn14", "narrow"): (0.55, 0.5, 0.45, 0.52, 0.4),
    ("sfcnn14", "narrow"): (0.9, 0.88, 0.93, 0.85, 0.91),
    ("sfcnn14", "zero"): (0.9, 0.7, 0.85, 0.6, 0.95),
}
SHIFT = {"arousal": 0.0, "valence": 0.3, "dominance": -0.5}  # in sds of the truth
CHANGES = {"none": {}, "narrow": {"training": {"batch_norm": "estimated"}}, "zero": {"network": {"projection": "zero"}}}
UTTERANCES = 24


def ccc(slope: float, shift: float) -> float:
    """Of predictions mean + slope (truth - mean) + shift sd, by Lin's formula."""
    return 2 * slope / (1 + slope**2 + shift**2)


def predict(run: config.Run) -> pd.DataFrame:
    """The run's predictions: those of its test utterances have the known CCCs, all others are wrong."""
    slope = SLOPES[run.parameters["model"], run.parameters["change"]][run.parameters["seed"]]
    truth = 4 + np.random.default_rng(0).normal(0, 1, UTTERANCES)
    parts = []
    for corpus, partition in (("msp-podcast", "development"), ("msp-podcast", "test"), ("iemocap", "test")):
        known = corpus == "msp-podcast" and partition == "test"
        for dimension in schema.DIMENSIONS:
            answers = truth.mean() + slope * (truth - truth.mean()) + SHIFT[dimension] * truth.std()
            part = pd.DataFrame({"truth": truth, "prediction": answers if known else answers[::-1]})
            part = part.assign(
                utterance=[f"{corpus}-{partition}-{row:03d}" for row in range(UTTERANCES)],
                speaker=[f"{partition}{row % 4}" for row in range(UTTERANCES)],
                target=dimension,
                test_corpus=corpus,
                partition=partition,
            )
            parts.append(part)
    return pd.concat(parts, ignore_index=True).assign(
        gender="female",
        style="podcast",
        section="multitask",
        model=run.parameters["model"],
        train_corpus="msp-podcast",
        seed=run.parameters["seed"],
        fold="official",
        simulated=True,
    )


def write_study(folder: Path) -> Path:
    """A parameters file in `folder`, all of its runs complete."""
    fixed = {"changes": CHANGES, "network": {"width": 2}}
    grids = [
        {"change": ["none", "narrow"], "model": ["cnn14", "sfcnn14"], "corpus": ["msp-podcast"], "seed": list(SEEDS)},
        {"change": ["zero"], "model": ["sfcnn14"], "corpus": ["msp-podcast"], "seed": list(SEEDS)},
    ]
    content = {
        "study": "spread",
        "corpora": {"msp-podcast": {"root": "nowhere"}},
        "outputs": str(folder / "outputs"),
        "sections": {
            "multitask": {
                "notebook": "notebooks/6_seed_spread.ipynb",
                "blocks": [{"grid": grid, "fixed": fixed} for grid in grids],
            }
        },
    }
    path = folder / "parameters.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    for run in config.load(path).runs:
        run.folder.mkdir(parents=True)
        predict(run).to_parquet(run.folder / files.PREDICTIONS, index=False)
    return path


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return config.load(write_study(tmp_path_factory.mktemp("spread")))


@pytest.fixture(scope="module")
def spread(study):
    return seed_spread.read(study)


@pytest.fixture(scope="module")
def numbers(spread):
    return seed_spread.compare(spread).set_index(["target", "model", "change"])


def without(study: config.Study, folder: Path, *gone: str) -> config.Study:
    """A copy of `study` whose runs named `gone` are not complete."""
    shutil.copytree(study.outputs, folder / "outputs")
    content = {**files.read_yaml(study.path), "outputs": str(folder / "outputs")}
    (folder / "copy.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    copy = config.load(folder / "copy.yaml")
    for run in copy.runs:
        if run.name in gone:
            (run.folder / files.PREDICTIONS).unlink()
    return copy


def test_scores_are_those_of_the_corpus_s_own_test_utterances(spread):
    scores = spread.scores.set_index(["target", "model", "change", "seed"])
    assert len(scores) == len(SLOPES) * len(SEEDS) * 4
    for (model, change), slopes in SLOPES.items():
        for seed, slope in enumerate(slopes):
            expected = {name: ccc(slope, shift) for name, shift in SHIFT.items()}
            for name, value in expected.items():
                row = scores.loc[name, model, change, seed]
                assert row["ccc"] == pytest.approx(value)
                assert row["r"] == pytest.approx(1)
                assert row["ratio"] == pytest.approx(slope)
                assert row["shift"] == pytest.approx(SHIFT[name] / slope**0.5)
            mean = scores.loc[seed_spread.MEAN, model, change, seed]
            assert mean["ccc"] == pytest.approx(np.mean(list(expected.values())))
    assert list(spread.by_change) == ["none", "narrow", "zero"]


def pitman_morgan(one: np.ndarray, other: np.ndarray) -> float:
    """Its p by the formula with the ratio F of the variances: t = (F - 1) sqrt(n - 2) / (2 sqrt(F (1 - r^2)))."""
    ratio, r, n = one.var(ddof=1) / other.var(ddof=1), np.corrcoef(one, other)[0, 1], len(one)
    t = (ratio - 1) * np.sqrt(n - 2) / (2 * np.sqrt(ratio * (1 - r**2)))
    return 2 * stats.t.sf(abs(t), n - 2)


@pytest.mark.parametrize("model", ["cnn14", "sfcnn14"])
def test_a_change_is_compared_seed_by_seed(numbers, model):
    narrow, none = (np.array([ccc(s, 0.3) for s in SLOPES[model, change]]) for change in ("narrow", "none"))
    row = numbers.loc["valence", model, "narrow"]
    assert (row["seeds"], row["ccc"]) == (5, pytest.approx(narrow.mean()))
    assert row["sd"] == pytest.approx(narrow.std(ddof=1))
    assert row["difference"] == pytest.approx((narrow - none).mean())
    low, high = stats.ttest_rel(narrow, none).confidence_interval(0.95)
    assert (row["low"], row["high"]) == (pytest.approx(low), pytest.approx(high))
    assert row["sd_ratio"] == pytest.approx(narrow.std() / none.std())
    assert row["p_sd"] == pytest.approx(pitman_morgan(narrow, none))
    assert row["sd_ratio"] < 1


def test_the_interval_of_an_sd_holds_it_in_95_of_100_samples(numbers):
    row = numbers.loc["arousal", "cnn14", "none"]
    factors = row["sd_low"] / row["sd"], row["sd_high"] / row["sd"]
    assert factors == pytest.approx((0.5991, 2.8736), abs=1e-4)  # sqrt(4 / 11.1433), sqrt(4 / .48442)
    sds = np.random.default_rng(0).normal(0, 1, (40_000, 5)).std(axis=1, ddof=1)
    assert np.mean((sds * factors[0] < 1) & (sds * factors[1] > 1)) == pytest.approx(0.95, abs=0.005)


def test_without_a_change_there_is_nothing_to_compare(numbers):
    assert numbers.xs("none", level="change")[list(seed_spread.AGAINST)].isna().all(axis=None)
    same = numbers.loc["arousal", "sfcnn14", "zero"]  # every seed's CCC is that without the change
    assert (same["difference"], same["low"], same["high"]) == (0, 0, 0)
    assert same["sd_ratio"] == 1
    assert np.isnan(same["p_sd"]), "no test says that two samples are one"


def test_two_seeds_are_too_few_for_a_correlation_and_one_has_no_spread(study, tmp_path):
    names = [f"change=narrow,model=cnn14,corpus=msp-podcast,seed={seed}" for seed in (0, 1, 2)]
    names += [f"change=narrow,model=sfcnn14,corpus=msp-podcast,seed={seed}" for seed in (0, 1, 2, 3)]
    copy = without(study, tmp_path, *names)
    with pytest.raises(FileNotFoundError, match="7 of 10 runs of section 'multitask' are not complete"):
        seed_spread.read(copy)
    some = seed_spread.read(copy, incomplete="show")
    numbers = seed_spread.compare(some).set_index(["target", "model", "change"])
    two, one = (numbers.loc["arousal", model, "narrow"] for model in ("cnn14", "sfcnn14"))
    assert two["sd"] == pytest.approx(np.std([ccc(s, 0) for s in (0.52, 0.4)], ddof=1))
    assert np.isnan([two["difference"], two["sd_ratio"], one["sd"], one["sd_low"], one["difference"]]).all()
    shown = seed_spread.table(some)
    assert "INCOMPLETE: 7 runs are missing" in shown.title
    assert any(names[0] in note for note in shown.notes)
    assert "| 0.85" not in shown.markdown()
    row = shown.frame.loc["arousal", "SFCNN14", "narrow"]
    assert row["CCC", "sd"] == row["CCC", "95 % of the sd"] == row["against none", "CCC"] == "not known"
    seed_spread.plot(some)


def test_the_table_says_what_each_change_is_and_that_the_speech_is_simulated(spread):
    table = seed_spread.table(spread)
    targets = [seed_spread.MEAN, *schema.DIMENSIONS]
    models = [("CNN14", "none"), ("CNN14", "narrow"), *(("SFCNN14", change) for change in CHANGES)]
    assert list(table.frame.index) == [(target, *rest) for target in targets for rest in models]
    row = table.frame.loc["valence", "CNN14", "narrow"]
    values = [ccc(slope, 0.3) for slope in SLOPES["cnn14", "narrow"]]
    assert row["CCC", "mean"] == f"{np.mean(values):.3f}".removeprefix("0")
    assert row["parts", "r"] == "1.000"
    assert row["against none", "CCC"].startswith("−")
    assert table.frame.loc["valence", "CNN14", "none"]["against none"].tolist() == [""] * 4
    assert table.frame.loc["arousal", "SFCNN14", "zero"]["against none", "p of it"] == "not known"
    notes = " ".join(table.notes)
    assert "narrow: training.batch_norm = estimated" in notes
    assert "zero: network.projection = zero" in notes
    assert "none: the paper's way, as far as it is known" in notes
    assert "Simulated" in notes
    assert "simulated speech" in table.title
    assert "missing" not in notes


def test_the_figure_shows_every_seed_in_the_column_of_its_change(spread):
    figure = seed_spread.plot(spread)
    assert [axis.get_title() for axis in figure.axes] == ["CNN14", "SFCNN14"]
    assert [label.get_text() for label in figure.axes[-1].get_xticklabels()] == list(CHANGES)
    assert len({(axis.get_xlim(), axis.get_ylim()) for axis in figure.axes}) == 1
    for axis, model in zip(figure.axes, ("cnn14", "sfcnn14"), strict=True):
        dots, bars = axis.lines[::2], axis.lines[1::2]
        changes = [change for change in CHANGES if (model, change) in SLOPES]
        assert len(dots) == len(bars) == len(changes)
        for dot, bar, change in zip(dots, bars, changes, strict=True):
            values = [np.mean([ccc(slope, shift) for shift in SHIFT.values()]) for slope in SLOPES[model, change]]
            assert sorted(dot.get_ydata()) == pytest.approx(sorted(values))
            assert bar.get_ydata() == pytest.approx([np.mean(values)] * 2)
            assert np.abs(dot.get_xdata() - list(CHANGES).index(change)).max() < 0.3
    assert "simulated" in figure.get_supxlabel()


def test_a_study_without_runs_that_say_their_change_is_refused(study, tmp_path):
    content = files.read_yaml(study.path)
    content["sections"]["multitask"]["blocks"][0]["grid"]["change"] = ["narrow"]
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    with pytest.raises(ValueError, match=r"no run of section 'multitask' of .*other.yaml has the change 'none'"):
        seed_spread.read(tmp_path / "other.yaml")
    with pytest.raises(ValueError, match="has no section 'multitsk'; did you mean 'multitask'"):
        seed_spread.read(study, "multitsk")
    with pytest.raises(ValueError, match="incomplete is 'hide'; expected 'refuse' or 'show'"):
        seed_spread.read(study, incomplete="hide")


def test_the_notebook_writes_the_table_and_the_figure(study, tmp_path):
    template = Path(__file__).parents[2] / "notebooks" / "analysis" / "seed_spread.ipynb"
    papermill.execute_notebook(
        str(template), str(tmp_path / "made.ipynb"), {"study": str(study.path)}, progress_bar=False
    )
    last = [cell for cell in nbformat.read(tmp_path / "made.ipynb", as_version=4).cells if cell.cell_type == "code"][-1]
    written = {path.name for folder in ("tables", "figures") for path in (study.folder / folder).iterdir()}
    assert {"seed_spread.png", "seed_spread.pdf"} < written
    assert all(repr(name) in last.outputs[0].data["text/plain"] for name in written)
