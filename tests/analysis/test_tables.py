"""Tables 1 to 4, their notes and the statistics beside them, on a made-up study of known skill."""

import re
from dataclasses import replace

import made_up
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sercore import files
from sercore.analysis import captions, comparisons, published, results, statistics, tables
from sercore.registry import METRICS, MODELS, SECTIONS, Metric
from sercore.study import config


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return config.load(made_up.write_study(tmp_path_factory.mktemp("study"), seeds=3, utterances=24))


def cell(table, row, column):
    return table.frame.loc[row, column]


class TestTheTables:
    def test_a_cell_is_the_mean_and_population_sd_over_seeds(self, categories):
        scored = categories.scores.query("model == 'bert' and partition == 'test' and pooling == 'single'")
        values = scored.query("test_corpus == 'msp-podcast' and metric == 'uar'")["score"]
        shown = cell(tables.table_1(categories), ("BERT", "here"), ("MSP-Podcast", "→ MSP-Podcast"))
        assert shown == f"{values.mean():.1f} ({values.std(ddof=0):.1f})"

    def test_the_papers_numbers_and_markers_stand_beside(self, categories, dimensions, multitask):
        first = tables.table_1(categories)
        assert cell(first, ("MFCNN14", "paper"), ("MSP-Podcast", "→ MSP-Podcast")) == "54.2 (0.8) *†"
        second = tables.table_2(dimensions)
        assert cell(second, ("IEMOCAP", "SFCNN14", "paper"), ("cross-corpus PCC", "dominance")) == ".210 (.024) *"
        third = tables.table_3(multitask)
        assert cell(third, ("MSP-Podcast", "SFCNN14", "paper"), ("in-domain CCC", "arousal")) == ".665 (.008) †"
        fourth = tables.table_4(multitask)
        assert cell(fourth, ("LF", "MSP-Podcast", "paper"), ("valence", "MSE")) == "0.832"

    def test_late_fusion_has_a_row_where_its_halves_exist(self, categories, dimensions):
        assert "LF" in tables.table_1(categories).frame.index.get_level_values("model")
        assert "LF" not in tables.table_2(dimensions).frame.index.get_level_values("model")

    def test_leave_one_speaker_out_is_shown_pooled_and_averaged(self, categories, dimensions):
        leaves = [leaf for group, leaf in tables.table_1(categories).frame.columns if group == "IEMOCAP"]
        assert leaves == ["→ IEMOCAP, folds pooled", "→ IEMOCAP, mean of folds", "→ MSP-Podcast"]
        rows = tables.table_2(dimensions).frame.xs(("IEMOCAP", "CNN14"), level=["trained on", "model"])
        assert list(rows.index) == ["here, folds pooled", "here, mean of folds", "paper"]
        assert (rows.loc["here, folds pooled", "cross-corpus PCC"] == "").all()

    def test_a_marker_is_a_significant_difference_over_seeds(self, multitask):
        summary = tables.summary(multitask).query("model == 'mfcnn14' and metric != 'mse'")
        for row in summary.itertuples():
            assert ("*" in row.marker) == (row.p_cnn14 < 0.05)
            assert ("†" in row.marker) == (row.p_bert < 0.05)
        assert "*†" in set(summary["marker"])

    def test_table_4_shows_the_seed_that_is_best_on_validation(self, multitask):
        table = tables.table_4(multitask)
        (seed,) = multitask.best.query("model == 'mfcnn14'")["seed"].unique()
        scored = multitask.scores.query(
            "model == 'mfcnn14' and seed == @seed and partition == 'test' and metric == 'mse'"
        )
        expected = scored.query("target == 'arousal' and train_corpus == test_corpus")["score"].item()
        assert cell(table, ("MFCNN14", "MSP-Podcast", "here"), ("arousal", "MSE")) == f"{expected:.3f}"
        assert any(f"MFCNN14 {seed}" in note for note in table.notes)

    def test_rows_are_in_the_papers_order(self, dimensions):
        index = tables.table_2(dimensions).frame.index
        assert list(index.get_level_values("trained on").unique()) == ["MSP-Podcast", "IEMOCAP"]
        assert list(index.get_level_values("model").unique()) == ["CNN14", "SFCNN14", "MFCNN14"]

    def test_numbers_are_printed_as_the_paper_prints_them(self):
        shown = [tables.number_text(value, "ccc") for value in (0.6641, -0.0004, -0.25, 1.0)]
        assert shown == [".664", ".000", "−.250", "1.000"]
        assert tables.number_text(0.449, "mse") == "0.449"
        assert tables.number_text(48.94, "uar") == "48.9"


class TestWhatIsWritten:
    def test_markdown_has_as_many_cells_in_every_row(self, categories):
        lines = [line for line in tables.table_1(categories).markdown().splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) == 1
        assert len(lines) == 2 + len(tables.table_1(categories).frame)

    def test_latex_is_a_booktabs_table_with_its_own_characters_escaped(self, categories):
        latex = tables.table_1(categories).latex()
        body = latex.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
        ends = {len(re.findall(r"(?<!\\)&", line)) for line in body}
        assert ends == {tables.table_1(categories).frame.shape[1] + 1}
        assert not re.search(r"(?<!\\)%|†|→", latex)
        assert r"\toprule" in latex
        assert tables.tex("a^b~c_d&e") == r"a\textasciicircum{}b\textasciitilde{}c\_d\&e"
        assert r"\cmidrule(lr){3-4}" in latex

    def test_a_table_is_four_files_in_the_studys_folder(self, study, categories):
        paths = tables.table_1(categories).write(study)
        assert [path.name for path in paths] == [f"table_1.{kind}" for kind in ("md", "tex", "html", "csv")]
        assert all(path.parent == study.folder / "tables" for path in paths)
        numbers = pd.read_csv(paths[-1])
        assert {"model", "mean", "sd", "seeds", "p_cnn14", "paper_mean"} <= set(numbers)

    def test_a_notebook_shows_the_markdown(self, categories):
        assert tables.table_1(categories)._repr_markdown_().startswith("**Table 1")


class TestTheNotes:
    def test_the_title_and_notes_of_every_table_call_simulated_speech_so(self, categories, dimensions, multitask):
        for table in (
            tables.table_1(categories),
            tables.table_2(dimensions),
            tables.table_3(multitask),
            tables.table_4(multitask),
            comparisons.group_table(multitask, "g"),
        ):
            assert "simulated speech" in table.title
            assert any(note.startswith("Simulated") for note in table.notes)

    def test_real_speech_is_not_called_simulated(self, categories):
        real = results.Results(categories.study, "categories", categories.predictions.assign(simulated=False))
        table = tables.table_1(real)
        assert "imulated" not in table.markdown()

    def test_the_title_and_notes_name_missing_runs(self, tmp_path):
        study = config.load(made_up.write_study(tmp_path, seeds=2, sections=("multitask",), utterances=8))
        (study.section("multitask")[-1].folder / files.PREDICTIONS).unlink()
        table = tables.table_3(results.read(study, "multitask", incomplete="show"))
        assert "INCOMPLETE: 1 run is missing" in table.title
        assert any("model=mfcnn14,corpus=msp-podcast,seed=1" in note for note in table.notes)
        assert cell(table, ("MSP-Podcast", "MFCNN14", "here"), ("in-domain CCC", "arousal")).endswith("[1 seed]")

    def test_training_selection_and_test_are_described_for_every_column(self, categories):
        sentences = captions.protocol(categories, tables.summary(categories))
        assert [note.split(":")[0] for note in sentences] == [
            "MSP-Podcast → MSP-Podcast",
            "MSP-Podcast → IEMOCAP",
            "IEMOCAP → IEMOCAP",
            "IEMOCAP → MSP-Podcast",
        ]
        assert "2 folds of 10 (Ses01F, Ses03M)" in sentences[2]
        assert (
            "the model of every fold tested on 192 utterances of 8 known speakers, mean of their scores" in sentences[3]
        )

    def test_a_last_epoch_that_is_kept_was_not_chosen(self, tmp_path):
        study = config.load(made_up.write_study(tmp_path, seeds=1, sections=("categories",), utterances=8))
        outcome = results.read(study, "categories")

        def protocol():
            return " ".join(captions.protocol(outcome, tables.summary(outcome)))

        assert "epoch chosen by UAR on the development partition; tested" in protocol()
        runs = study.section("categories")
        for run in runs[1:]:
            files.write_record(run.folder / files.PROVENANCE, {"settings": {"training": {"kept_epoch": "last"}}})
        assert "epoch chosen by UAR on the development partition, or the last kept; tested" in protocol()
        assert protocol().count("last epoch kept") == 2, (
            "by all models of the corpus that the first run does not train on"
        )
        files.write_record(runs[0].folder / files.PROVENANCE, {"settings": {"training": {"kept_epoch": "last"}}})
        assert "chosen" not in protocol()
        assert protocol().count("last epoch kept") == 4

    def test_best_on_validation_is_explained_with_its_ties(self, categories):
        assert re.search("highest UAR on the development .* lowest seed", captions.best(categories))

    def test_settings_that_differ_and_settings_that_are_doubted_are_listed_separately(self, categories):
        differ, doubted, neither = captions.departures(categories)
        assert (
            "CNN14, SFCNN14, MFCNN14: mels 32 (the paper, as in the published network: 64), width 8 (the paper: 64), "
            "epochs 3 (the paper, from memory (85 %): 60)"
        ) in differ
        assert "BERT: epochs 3 (the paper, from memory (50 %): 4)" in differ
        assert "learning_rate 0.01 (from memory (75 %))" in doubted
        assert "learning_rate 2e-05 (from memory (50 %))" in doubted.split("CNN14, SFCNN14, MFCNN14:")[0]
        assert "epochs" not in doubted
        assert "before pooling, linear, one number a map (SFCNN14, MFCNN14, inferred (75 %))" in neither
        assert "BERT's head: mean of the tokens (BERT, not stated)" in neither
        assert "projection default, crop_seconds None (not stated)" in doubted

    def test_nothing_is_tested_with_one_seed_and_the_note_says_so(self, tmp_path):
        study = config.load(made_up.write_study(tmp_path, seeds=1, sections=("multitask",), utterances=8))
        table = tables.table_3(results.read(study, "multitask"))
        assert set(table.numbers["marker"]) == {""}
        assert "fewer than two seeds nothing is tested" in table.notes[0]


class TestStatisticsBeside:
    def test_a_ground_truth_effect_is_significant_over_seeds_and_over_speakers(self, multitask):
        differences = comparisons.differences(multitask, draws=200)
        row = differences.query(
            "model == 'mfcnn14' and against == 'cnn14' and target == 'valence' and metric == 'ccc'"
        ).iloc[0]
        assert 0 < row["low"] < row["difference"] < row["high"]
        assert 0 < row["speakers_low"] < row["difference"] < row["speakers_high"]
        assert row["p"] < 0.05
        assert row["p_speakers"] < 0.05
        assert row["speakers"] == 8

    def test_the_difference_is_that_of_the_tables(self, categories):
        means = tables.summary(categories).query("pooling in ('single', 'pooled') or train_corpus != test_corpus")
        means = means.query("metric == 'uar'").set_index(["model", "train_corpus", "test_corpus"])["mean"]
        for row in comparisons.differences(categories, draws=50).itertuples():
            pair = (row.train_corpus, row.test_corpus)
            assert row.difference == pytest.approx(means[(row.model, *pair)] - means[(row.against, *pair)])

    def test_correction_never_makes_a_difference_more_certain(self, categories):
        differences = comparisons.differences(categories, draws=50)
        assert (differences["p_holm"] >= differences["p"]).all()
        assert (differences["p_speakers_holm"].dropna() >= differences["p_speakers"].dropna()).all()
        assert differences["p_holm"].min() == pytest.approx(min(1, differences["p"].min() * len(differences)))

    def test_too_few_speakers_give_no_interval(self, categories):
        differences = comparisons.differences(categories, draws=50)
        few = differences["speakers"] < comparisons.FEWEST_SPEAKERS
        assert few.any()
        known = ["speakers_low", "speakers_high", "p_speakers", "both_low", "both_high", "mixed", "mixed_p"]
        assert differences.loc[few, known].isna().all(axis=None)
        assert differences.loc[few, "speakers_needed"].isna().all()
        assert differences.loc[~few, known].notna().all(axis=None)

    def test_a_ground_truth_effect_is_there_for_other_seeds_and_other_speakers_too(self, multitask):
        differences = comparisons.differences(multitask, draws=500)
        row = differences.query("model == 'mfcnn14' and against == 'cnn14' and target == 'valence'").iloc[0]
        assert 0 < row["both_low"] < row["difference"] < row["both_high"]
        assert row["mixed_low"] < row["mixed"] < row["mixed_high"] < 0, "less squared error"
        across = differences["train_corpus"] != differences["test_corpus"]
        assert differences.loc[across, "mixed"].isna().all(), "scales differ"

    def test_mixed_models_without_a_result_are_counted_and_say_why(self, multitask):
        one = multitask.predictions[multitask.predictions["seed"] == 0]
        alone = replace(multitask, predictions=one)
        table = comparisons.difference_table(alone, "stages", comparisons.MULTISTAGE, draws=50)
        assert "Mixed models without a result: 3 (too few speakers or seeds)." in table.notes
        assert list(table.frame["over both", "mixed model"]) == ["too few speakers or seeds"] * 3 + [""] * 3

    def test_the_same_seed_resamples_the_same_speakers(self, multitask):
        one, other = (comparisons.differences(multitask, draws=50, seed=3) for _ in range(2))
        pd.testing.assert_frame_equal(one, other)

    def test_intervals_of_recall_are_in_percent(self, categories):
        differences = comparisons.differences(categories, draws=100).query("train_corpus == 'msp-podcast'")
        row = differences.query("model == 'mfcnn14' and against == 'cnn14' and test_corpus == 'msp-podcast'").iloc[0]
        assert row["speakers_low"] < row["difference"] < row["speakers_high"]
        assert row["speakers_high"] > 1

    def test_multistage_against_single_stage_alone(self, multitask):
        table = comparisons.difference_table(multitask, "stages", comparisons.MULTISTAGE, draws=50)
        assert set(table.frame.index.get_level_values("models")) == {"MFCNN14 − SFCNN14"}
        assert "6 tests" in " ".join(table.notes)

    def test_a_study_of_one_model_has_nothing_to_compare(self, multitask):
        own = multitask.predictions["model"].astype(object) == "cnn14"
        alone = replace(multitask, predictions=multitask.predictions[own])
        table = comparisons.difference_table(alone, "alone", draws=50)
        assert table.numbers.empty
        assert str(table) == "Nothing to show: no two of the models that are compared were run, only CNN14."
        assert table.write(multitask.study) == []

    def test_styles_are_apart_only_where_a_corpus_has_more_than_one(self, categories):
        numbers = comparisons.group_table(categories, "groups").numbers
        styles = numbers[numbers["group"] == "style"]
        assert set(styles["test_corpus"]) == {"iemocap"}
        assert set(styles["value"]) == {"improvised", "scripted"}
        assert set(numbers.loc[numbers["group"] == "gender", "value"]) == {"female", "male"}

    def test_own_groups_are_scored_apart_and_compared_where_they_have_few_values(self, categories):
        own = categories.predictions
        own = own[(own["model"] == "cnn14") & (own["test_corpus"] == own["train_corpus"])]
        number = own["utterance"].astype(str).str[-1]
        own = own.assign(group_age=number.map(lambda last: "20" if last in "01234" else "30"), group_room=number)
        table = comparisons.group_table(replace(categories, predictions=own), "groups")
        assert set(table.numbers.loc[table.numbers["group"] == "group_age", "value"]) == {"age 20", "age 30"}
        assert ("difference, 95 %", "age 20 − age 30") in table.frame
        assert ("scores of", "room 7") in table.frame
        assert not any("room" in pair for kind, pair in table.frame if kind.startswith("difference")), "10 values"

    def test_groups_add_up_to_all_utterances(self, categories):
        numbers = comparisons.group_table(categories, "groups").numbers.query("group == 'gender' and model == 'lf'")
        sizes = numbers.groupby(["train_corpus", "test_corpus"])["utterances"].sum()
        assert sizes["msp-podcast", "msp-podcast"] == 8 * 24

    def test_gaps_are_of_the_groups_scores_and_have_intervals_where_there_are_speakers(self, multitask):
        table = comparisons.group_table(multitask, "groups")
        gaps = table.numbers[table.numbers["gap"].notna()]
        assert gaps["gap"].to_numpy() == pytest.approx((gaps["score"] - gaps["other_score"]).to_numpy())
        means = table.numbers[table.numbers["mean"].notna()]
        keys = [*comparisons.KEYS, "model", "group", "value"]
        known = means.set_index(keys)["mean"]
        for row in gaps.itertuples():
            assert row.score == pytest.approx(known[tuple(getattr(row, key) for key in keys)], abs=1e-6)
        own = gaps[(gaps["test_corpus"] == "msp-podcast") & (gaps["group"] == "gender")]
        assert (own["low"] < own["high"]).all()
        assert set(own["speakers"]) == {8}
        few = gaps[gaps["test_corpus"] == "iemocap"]
        assert len(few)
        assert few["low"].isna().all(), "4 speakers"
        cells = table.frame["difference, 95 %", "female − male"]
        assert cells.str.contains(r"[+−].* \([+−].* to [+−].*\)").any()
        assert cells.str.endswith("(not known)").any()

    def test_the_spread_of_speakers_is_their_sd_and_few_have_no_interval(self):
        scores = pd.Series([1.0, 2.0, 4.0, np.nan, 7.0, 9.0, 3.0])
        found = comparisons.speaker_spread(scores, draws=500)
        assert found.score == pytest.approx(scores.std())
        assert found.low < found.score < found.high
        few = comparisons.speaker_spread(scores[:4])
        assert few.score == pytest.approx(scores[:4].std())
        assert np.isnan(few.low)
        assert np.isnan(comparisons.speaker_spread(scores[:1]).score)

    def test_every_speaker_is_in_the_numbers(self, multitask):
        table = comparisons.speaker_table(multitask, "speakers")
        numbers = table.numbers.query("test_corpus == 'msp-podcast' and target == 'valence' and model == 'bert'")
        assert sorted(numbers["speaker"]) == sorted(str(n) for n in range(4, 12))
        shown = table.frame.loc[("MSP-Podcast → MSP-Podcast", "valence", "BERT")]
        assert shown.iloc[1] == tables.number_text(numbers["score"].min(), "ccc")

    def test_slopes_are_steep_where_a_model_knows_nothing(self, multitask):
        slopes = comparisons.slope_table(multitask, "slopes").numbers.set_index(["model", "target"])["slope"]
        assert slopes["bert", "arousal"] < slopes["mfcnn14", "arousal"] < 0
        assert slopes["cnn14", "valence"] < slopes["bert", "valence"]

    def test_numbers_that_are_not_known_are_called_so(self):
        assert comparisons.probability(np.nan) == comparisons.whole(np.nan) == "not known"
        assert comparisons.interval(np.nan, 1.0, "ccc") == "not known"
        assert comparisons.whole(np.inf) == "∞"
        assert comparisons.probability(0.0004) == "< .001"
        assert comparisons.signed(0.0, "uar") == "+0.0"


def test_every_printed_cell_of_tables_1_to_3_has_a_place_in_ours(categories, dimensions, multitask):
    shown = pd.concat([tables.summary(section) for section in (categories, dimensions, multitask)])
    keys = ["section", "model", "train_corpus", "test_corpus", "target", "metric"]
    printed = published.results().query("table != 4")
    assert set(map(tuple, printed[keys].to_numpy())) <= set(map(tuple, shown[keys].astype(object).to_numpy()))


class TestTheRegistry:
    @pytest.fixture
    def best_before(self, multitask):
        """A metric, a fused model and a section in the registry as long as the test runs; the best seeds without."""
        best = multitask.best
        absolute = Metric(
            name="mae",
            label="MAE",
            axis="MAE",
            function=lambda truth, prediction: float(np.abs(prediction - truth).mean()),
            digits=2,
            higher_is_better=False,
        )
        fused = replace(MODELS["lf"], name="toy", label="Toy", made_from=("bert", "mfcnn14"), in_paper=False)
        section = replace(SECTIONS["multitask"], name="pairs", targets=("arousal", "valence"), selected_by="toy CCC")
        records = [(METRICS, absolute), (MODELS, fused), (SECTIONS, section)]
        for registry, record in records:
            registry.add(record)
        yield best
        for registry, record in records:
            registry.remove(record.name)

    @pytest.mark.usefixtures("best_before")
    def test_a_metric_and_a_model_appear_in_scores_a_table_and_a_comparison(self, multitask):
        source = multitask.predictions[multitask.predictions["model"] != "lf"]
        ours = results.Results(multitask.study, "multitask", results.with_late_fusion(source))
        scored = ours.scores.query("model == 'toy' and partition == 'test' and train_corpus == test_corpus")
        assert set(scored["metric"]) == {"ccc", "mse", "mae"}
        rows = comparisons.group_table(ours, "groups").frame.index
        assert ("MSP-Podcast → MSP-Podcast", "valence, MAE", "Toy") in rows
        row = comparisons.differences(ours, draws=50).query(
            "metric == 'mae' and model == 'toy' and target == 'arousal'"
        )
        assert row["p"].notna().all()
        assert row["speakers_low"].isna().all(), "without a form in sums there is no interval over speakers"
        assert ("MSP-Podcast", "Toy", "here") in tables.table_3(ours).frame.index

    def test_a_metric_does_not_change_which_seed_is_best(self, best_before, multitask):
        again = results.best_on_validation(results.scores(multitask.predictions))
        pd.testing.assert_frame_equal(again, best_before)

    @pytest.mark.usefixtures("best_before")
    def test_a_section_says_what_its_best_epoch_is_chosen_by(self, multitask):
        own = multitask.predictions.assign(section="pairs")
        ours = results.Results(multitask.study, "pairs", own[own["target"] != "dominance"])
        assert set(ours.best["target"]) == {"arousal", "valence"}
        assert "highest toy CCC on the development utterances" in captions.best(ours)


def test_intervals_are_over_seeds_and_speakers_and_over_seeds_alone_where_speakers_are_few(categories, multitask):
    table = comparisons.interval_table(categories, multitask, draws=400)
    assert set(table.numbers["section"]) == {"categories", "multitask"}
    few = table.numbers["speakers"] < comparisons.FEWEST_SPEAKERS
    assert few.any()
    assert not few.all()
    assert set(table.numbers.loc[few, "over"]) == {"seeds"}
    assert set(table.numbers.loc[~few, "over"]) == {"seeds and speakers"}
    for row in table.numbers.itertuples():
        results_of = {"categories": categories, "multitask": multitask}[row.section]
        scored = results_of.scores.query("partition == 'test' and pooling != 'folds' and train_corpus == test_corpus")
        of = scored.query("model == @row.model and target == @row.target and metric == @row.metric")
        values = of.loc[of["train_corpus"] == row.train_corpus, "score"]
        assert row.mean == pytest.approx(values.mean())
        assert row.low < row.mean < row.high
        if row.over == "seeds":
            low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
            assert (row.low, row.high) == pytest.approx((low, high))
    assert "[" in table.frame.iloc[0, 0]
    assert any("t-interval over seeds alone" in note for note in table.notes)
    assert np.isnan(statistics.mean_interval([0.5])).all()
