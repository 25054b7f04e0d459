"""Run folders -> predictions -> scores, on made-up runs and on tables small enough to score by hand."""

import made_up
import numpy as np
import pandas as pd
import pytest

from sercore import files, schema
from sercore.analysis import residuals, results
from sercore.registry import MODELS
from sercore.study import config


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return config.load(made_up.write_study(tmp_path_factory.mktemp("study"), seeds=2, utterances=16))


@pytest.fixture
def fresh(tmp_path):
    """A study of its own, to be damaged."""
    return config.load(made_up.write_study(tmp_path, seeds=1, sections=("categories",), utterances=8))


def rows(**columns):
    """A predictions table; what is not given is the same in every row."""
    given = {
        "section": "categories",
        "model": "cnn14",
        "train_corpus": "msp-podcast",
        "test_corpus": "msp-podcast",
        "fold": "official",
        "seed": 0,
        "partition": "test",
        "speaker": "1",
        "gender": "female",
        "style": "podcast",
        "target": "emotion",
        "simulated": False,
    }
    table = pd.DataFrame({**columns, **{key: columns.get(key, value) for key, value in given.items()}})
    if "utterance" not in table:
        table["utterance"] = [f"u{place}" for place in range(len(table))]
    return table


def dimension(**columns):
    return rows(**{"section": "multitask", "target": "valence", **columns})


class TestReading:
    def test_every_run_is_read_and_late_fusion_added(self, study):
        table = results.read(study, "categories").predictions
        assert set(table["model"]) == {*made_up.SKILL, "lf"}
        sizes = table.groupby(["model", "train_corpus", "seed"], observed=True).size()
        assert sizes.groupby("train_corpus", observed=True).nunique().eq(1).all()

    def test_text_comes_as_categories_and_ratings_as_numbers(self, study):
        table = results.read(study, "multitask").predictions
        assert all(isinstance(table[c].dtype, pd.CategoricalDtype) for c in ("model", "utterance", "speaker", "style"))
        assert table["truth"].dtype == table["prediction"].dtype == np.float64

    def test_the_two_corpora_of_a_prediction_can_be_compared(self, study):
        table = results.read(study, "categories").predictions
        assert (table["train_corpus"] == table["test_corpus"]).mean() == pytest.approx(
            (table["train_corpus"].astype(str) == table["test_corpus"].astype(str)).mean()
        )

    def test_classes_are_in_the_order_of_their_probabilities(self, study):
        table = results.read(study, "categories").predictions
        assert list(table["truth"].cat.categories) == list(table["prediction"].cat.categories) == list(schema.CLASSES)

    def test_an_incomplete_study_is_refused_with_the_command_that_completes_it(self, fresh):
        (fresh.section("categories")[0].folder / files.PREDICTIONS).unlink()
        with pytest.raises(FileNotFoundError, match=r"1 of 8 runs .*=bert,corpus=msp-podcast,seed=0; .*sercore run"):
            results.read(fresh, "categories")

    def test_an_incomplete_study_can_be_shown_and_carries_what_is_missing(self, fresh):
        (fresh.section("categories")[0].folder / files.PREDICTIONS).unlink()
        found = results.read(fresh, "categories", incomplete="show")
        assert [run.name for run in found.missing] == ["model=bert,corpus=msp-podcast,seed=0"]
        late = found.predictions[found.predictions["model"] == "lf"]
        assert set(late["train_corpus"]) == {"iemocap"}, "late fusion needs both of its models"

    def test_a_study_without_any_run_cannot_be_shown(self, fresh):
        for run in fresh.section("categories"):
            (run.folder / files.PREDICTIONS).unlink()
        with pytest.raises(FileNotFoundError, match="8 of 8 runs"):
            results.read(fresh, "categories", incomplete="show")

    def test_an_unknown_way_to_treat_missing_runs_is_refused(self, study):
        with pytest.raises(ValueError, match="expected 'refuse' or 'show'"):
            results.read(study, "categories", incomplete="ignore")

    def test_predictions_of_another_section_are_refused(self, fresh):
        path = fresh.section("categories")[0].folder / files.PREDICTIONS
        files.write_table(path, pd.read_parquet(path).assign(section="multitask"))
        with pytest.raises(ValueError, match="holds section multitask, expected 'categories'"):
            results.read(fresh, "categories")

    def test_a_class_without_probabilities_is_refused(self, fresh):
        path = fresh.section("categories")[0].folder / files.PREDICTIONS
        files.write_table(path, pd.read_parquet(path).assign(prediction="bored"))
        with pytest.raises(ValueError, match="prediction is 'bored', a class without"):
            results.read(fresh, "categories")

    def test_the_same_run_twice_is_refused(self, fresh):
        one, other = fresh.section("categories")[:2]
        files.write_table(other.folder / files.PREDICTIONS, pd.read_parquet(one.folder / files.PREDICTIONS))
        with pytest.raises(ValueError, match="are there twice"):
            results.read(fresh, "categories")

    def test_a_column_that_is_missing_everywhere_is_read(self, fresh):
        for run in fresh.section("categories"):
            path = run.folder / files.PREDICTIONS
            files.write_table(path, pd.read_parquet(path).assign(gender=None))
        assert results.read(fresh, "categories").predictions["gender"].isna().all()

    def test_history_has_what_differs_between_the_runs(self, study):
        history = results.read_history(study, "dimensions")
        assert {"model", "corpus", "target", "seed", "fold", "epoch", "development"} <= set(history)
        assert history.groupby(["model", "corpus", "target", "seed", "fold", "epoch"]).size().eq(1).all()

    def test_no_history_names_the_command(self, fresh):
        for run in fresh.section("categories"):
            (run.folder / files.HISTORY).unlink()
        with pytest.raises(FileNotFoundError, match="sercore run"):
            results.read_history(fresh, "categories")


class TestOneRun:
    def test_it_is_the_test_set_of_its_own_corpus(self, study):
        found = results.of_run(results.read(study, "multitask"), model="lf", corpus="msp-podcast", seed=1)
        assert set(found["seed"]) == {1}
        assert set(found["test_corpus"]) == {"msp-podcast"}
        assert len(found) == 3 * 8 * 16  # dimensions, speakers, utterances

    def test_a_run_that_is_not_there_is_refused_with_those_that_are(self, study):
        with pytest.raises(ValueError, match="no complete run of bert of iemocap with seed 0; there are bert of msp-p"):
            results.of_run(results.read(study, "multitask"), model="bert", corpus="iemocap", seed=0)

    def test_residuals_are_written_into_the_folder_that_is_given(self, study, tmp_path):
        found = results.of_run(results.read(study, "multitask"), model="cnn14", corpus="msp-podcast", seed=0)
        errors = residuals.residual_table(found)
        lines = residuals.fit_lines(errors)
        path = results.write_residuals(errors, lines, tmp_path / "run", model="cnn14", corpus="msp-podcast", seed=0)
        assert path == tmp_path / "run" / files.RESIDUALS
        written = pd.read_parquet(path)
        assert written["residual"].to_numpy() == pytest.approx(errors["residual"].to_numpy())
        assert list(written["model"].cat.categories) == ["cnn14"]
        assert set(pd.read_csv(path.parent / results.LINES)["target"]) == set(schema.DIMENSIONS)


class TestLateFusion:
    def test_it_is_the_mean_of_two_ratings(self):
        text = dimension(model="bert", truth=[4.0, 5.0], prediction=[1.0, 2.0])
        acoustic = dimension(model="cnn14", truth=[5.0, 4.0], prediction=[3.0, 5.0], utterance=["u1", "u0"])
        fused = results.late_fusion(pd.concat([text, acoustic])).set_index("utterance")["prediction"]
        assert fused.to_dict() == {"u0": 3.0, "u1": 2.5}

    def test_it_is_the_class_of_the_highest_mean_probability(self):
        text = rows(model="bert", truth=["sad"], prediction=["sad"], p_happy=[0.1], p_sad=[0.9])
        acoustic = rows(model="cnn14", truth=["sad"], prediction=["happy"], p_happy=[0.7], p_sad=[0.3])
        fused = results.late_fusion(pd.concat([text, acoustic]))
        assert fused[["p_happy", "p_sad"]].to_numpy() == pytest.approx(np.array([[0.4, 0.6]]))
        assert fused[["model", "prediction"]].to_numpy().tolist() == [["lf", "sad"]]

    def test_a_tie_goes_to_the_first_class(self):
        text = rows(model="bert", truth=["sad"], prediction=["sad"], p_happy=[0.25], p_sad=[0.75])
        acoustic = rows(model="cnn14", truth=["sad"], prediction=["happy"], p_happy=[0.75], p_sad=[0.25])
        assert results.late_fusion(pd.concat([text, acoustic]))["prediction"].item() == "happy"

    def test_without_one_of_its_models_there_is_none(self):
        alone = dimension(model="cnn14", truth=[1.0], prediction=[1.0])
        other_seed = dimension(model="bert", truth=[1.0], prediction=[1.0], seed=1)
        assert results.late_fusion(pd.concat([alone, other_seed])).empty

    def test_models_that_cover_different_utterances_are_refused(self):
        text = dimension(model="bert", truth=[1.0, 2.0], prediction=[1.0, 2.0])
        acoustic = dimension(model="cnn14", truth=[1.0], prediction=[1.0])
        with pytest.raises(ValueError, match="1 utterances were predicted by only some of bert and cnn14, u1"):
            results.late_fusion(pd.concat([text, acoustic]))

    def test_a_prediction_that_is_there_twice_is_refused(self):
        text = dimension(model="bert", truth=[1.0, 1.0], prediction=[1.0, 2.0], utterance=["u0", "u0"])
        acoustic = dimension(model="cnn14", truth=[1.0], prediction=[1.0])
        with pytest.raises(ValueError, match="there twice"):
            results.late_fusion(pd.concat([text, acoustic]))

    def test_models_that_disagree_about_the_truth_are_refused(self):
        text = dimension(model="bert", truth=[1.0], prediction=[1.0])
        acoustic = dimension(model="cnn14", truth=[2.0], prediction=[1.0])
        with pytest.raises(ValueError, match="different truths of 1 utterances, u0"):
            results.late_fusion(pd.concat([text, acoustic]))


class TestScores:
    def test_official_partitions_give_one_score_in_percent(self):
        # recall of happy 1/2, of sad 1/1; F1 of happy 2 * 1 / (2 + 1), of sad 2 * 1 / (1 + 2)
        table = rows(truth=["happy", "happy", "sad"], prediction=["happy", "sad", "sad"], p_happy=0.5, p_sad=0.5)
        found = results.scores(table)
        assert found["metric"].tolist() == ["uar", "macro_f1", "weighted_f1"]
        assert found["score"].tolist() == pytest.approx([75, 200 / 3, 200 / 3])
        assert set(found["pooling"]) == {"single"}

    def test_folds_are_pooled_and_averaged(self):
        # fold a: happy 1/1, sad 0/1 -> 50; fold b: happy 1/3, sad 1/1 -> 66.7; pooled: happy 2/4, sad 1/2 -> 50
        table = rows(
            train_corpus="iemocap",
            test_corpus="iemocap",
            fold=list("aabbbb"),
            p_happy=0.5,
            p_sad=0.5,
            truth=["happy", "sad", "happy", "happy", "happy", "sad"],
            prediction=["happy", "happy", "happy", "sad", "sad", "sad"],
        )
        found = results.scores(table).query("metric == 'uar'").set_index("pooling")["score"]
        assert found["pooled"] == pytest.approx(50)
        assert found["folds"] == pytest.approx((50 + 200 / 3) / 2)
        assert "single" not in found

    def test_across_corpora_the_folds_scores_are_averaged_and_never_pooled(self):
        table = dimension(
            train_corpus="iemocap",
            fold=list("aaabbb"),
            utterance=["u0", "u1", "u2"] * 2,
            truth=[1.0, 2.0, 3.0] * 2,
            prediction=[1.0, 2.0, 3.0, 3.0, 2.0, 1.0],
        )
        found = results.scores(table)
        assert found[["metric", "pooling", "score"]].to_numpy().tolist() == [["pcc", "folds", 0.0]]

    def test_errors_are_measured_in_domain_only(self):
        table = dimension(truth=[1.0, 2.0, 3.0], prediction=[2.0, 3.0, 4.0])
        found = results.scores(table).set_index("metric")["score"]
        assert found["mse"] == pytest.approx(1)
        assert found["ccc"] == pytest.approx(4 / 7)  # 2 * 2/3 / (2/3 + 2/3 + 1)
        assert set(found.index) == {"ccc", "mse"}

    def test_a_fold_that_lacks_a_class_makes_the_mean_missing_but_not_the_pooled_score(self):
        table = rows(
            train_corpus="iemocap",
            test_corpus="iemocap",
            fold=list("aab"),
            p_happy=0.5,
            p_sad=0.5,
            truth=["happy", "sad", "sad"],
            prediction=["happy", "sad", "sad"],
        )
        found = results.scores(table).set_index(["metric", "pooling"])["score"].unstack()
        assert found["folds"].isna().all()
        assert (found["pooled"] == 100).all()

    def test_groups_are_scored_apart(self):
        table = rows(
            truth=["happy", "sad"] * 2,
            prediction=["happy", "sad", "sad", "happy"],
            p_happy=0.5,
            p_sad=0.5,
            gender=["female", "female", "male", "male"],
        )
        assert results.scores(table, by=["gender"]).set_index("gender")["score"].to_dict() == {"female": 100, "male": 0}

    def test_models_come_in_the_papers_order(self, study):
        found = results.read(study, "categories").scores
        assert list(found["model"].drop_duplicates()) == [name for name, spec in MODELS.items() if spec.in_paper]


class TestBestOnValidation:
    def development(self, **columns):
        table = pd.DataFrame(
            {
                "section": "multitask",
                "model": "cnn14",
                "train_corpus": "msp-podcast",
                "test_corpus": "msp-podcast",
                "partition": "development",
                "metric": "ccc",
                "pooling": "single",
                **columns,
            }
        )
        return results.best_on_validation(table)

    def test_ties_go_to_the_lowest_seed_and_are_counted(self):
        best = self.development(seed=[2, 1, 0], target="valence", score=[0.5, 0.5, 0.4])
        assert best[["seed", "ties"]].to_numpy().tolist() == [[1, 2]]

    def test_a_model_of_three_dimensions_is_chosen_by_their_mean(self):
        best = self.development(seed=[0, 0, 1, 1], target=["arousal", "valence"] * 2, score=[0.9, 0.1, 0.6, 0.6])
        assert set(best["seed"]) == {1}
        assert best["development"].tolist() == pytest.approx([0.6, 0.6])

    def test_a_model_of_one_dimension_is_chosen_by_it(self):
        best = self.development(
            section="dimensions", seed=[0, 0, 1, 1], target=["arousal", "valence"] * 2, score=[0.9, 0.1, 0.6, 0.6]
        )
        assert best.set_index("target")["seed"].to_dict() == {"arousal": 0, "valence": 1}

    def test_seeds_without_a_score_are_no_choice(self):
        with pytest.raises(ValueError, match="do they lack a class"):
            self.development(seed=[0, 1], target="valence", score=[np.nan, np.nan])

    def test_neither_the_error_nor_the_test_utterances_choose(self, study):
        found = results.read(study, "multitask")
        kept = found.scores[(found.scores["partition"] == "development") & (found.scores["metric"] == "ccc")]
        kept = kept[kept["model"] != "lf"]
        expected = kept.groupby(["model", "seed"], observed=True)["score"].mean().unstack().idxmax(axis=1)
        assert found.best.drop_duplicates("model").set_index("model")["seed"].to_dict() == expected.to_dict()

    def test_the_rows_of_the_best_are_those_of_its_seed(self, study):
        found = results.read(study, "multitask")
        kept = results.of_best(found.predictions, found.best)
        seeds = kept.groupby("model", observed=True)["seed"].unique().map(list).to_dict()
        assert seeds == {"lf": [results.SELECTED], **{row.model: [row.seed] for row in found.best.itertuples()}}

    def test_late_fusion_of_the_best_is_the_mean_of_two_seeds(self):
        models = [
            dimension(model=model, seed=seed, truth=[1.0, 2.0], prediction=prediction)
            for model, seed, prediction in (
                ("bert", 0, [1.0, 3.0]),
                ("bert", 1, [9.0, 9.0]),
                ("cnn14", 0, [9.0, 9.0]),
                ("cnn14", 1, [2.0, 5.0]),
            )
        ]
        table = results.with_late_fusion(pd.concat(models))
        best = pd.DataFrame({"model": ["bert", "cnn14"], "seed": [0, 1]}).assign(
            **{key: table[key].iloc[0] for key in ("section", "train_corpus", "target")}
        )
        fused = results.of_best(table, best).query("model == 'lf'")
        assert fused["prediction"].tolist() == [1.5, 4.0]
        assert results.of_best(table, best[:1])["model"].tolist() == ["bert", "bert"], "without one of its models: none"
