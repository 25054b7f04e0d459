"""A model, a metric, a corpus and a section of one's own: one record each, and they are everywhere."""

import pytest
import toy_parts
import yaml

from sercore import registry
from sercore.analysis import comparisons, figures, results, tables
from sercore.registry import CORPORA, METRICS, MODELS, SECTIONS, CorpusSpec, Metric, ModelSpec, Registry, Section
from sercore.study import config
from sercore.training import experiment
from sercore.widgets import residuals, runs
from sercore.widgets.selection import Selection

# --8<-- [start:records] what docs/adding.md shows
RECORDS = (
    (
        MODELS,
        ModelSpec(
            name="toy",
            label="Toy model",
            colour="#123456",
            dash="--",
            summary="a linear layer on the mean log-mel spectrum",
            uses_text=False,
            uses_audio=True,
            kind="toy",
            build="toy_parts:MeanSpectrum",
            arguments="toy_parts:arguments",
            dataset="sercore.datasets.batches:SpeechDataset",
            features="log_mel",
            trained_as="cnn14",
            in_paper=False,
        ),
    ),
    (
        METRICS,
        Metric(
            name="mae",
            label="MAE",
            axis="mean absolute error",
            function=toy_parts.mean_absolute_error,
            digits=2,
            higher_is_better=False,
        ),
    ),
    (SECTIONS, Section(name="toy-section", objective="mse", targets=("arousal",), selected_by="CCC", paper="ours")),
    (CORPORA, CorpusSpec(name="toy", reader="toy_parts:read", label="Toy corpus", scale=toy_parts.SCALE)),
)
# --8<-- [end:records]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of the toy section whose two runs were trained for real."""
    folder = tmp_path_factory.mktemp("toy")
    toy_parts.write_release(folder / "release")
    for records, record in RECORDS:
        records.add(record)
    content = {
        "study": "toys",
        "outputs": str(folder / "outputs"),
        "corpora": {"toy": {"root": str(folder / "release")}},
        "sections": {
            "toy-section": {
                "notebook": "notebooks/3_multitask.ipynb",
                "blocks": [
                    {
                        "grid": {"model": ["toy", "cnn14"], "corpus": ["toy"], "seed": [0, 1]},
                        "fixed": {
                            "features": {"mels": 32, "hop": 512},
                            "network": {"width": 2},
                            "training": {"epochs": 2, "batch": 8, "learning_rate": 0.001},
                        },
                    }
                ],
            }
        },
    }
    path = folder / "toys.yaml"
    path.write_text(yaml.safe_dump(content))
    study = config.load(path)
    for run in study.runs:
        places = {"corpora": study.corpora, "folder": str(run.folder), "cache": str(folder / "cache")}
        defined = experiment.define("toy-section", folds=["s0"], text={}, **places, **run.parameters)
        experiment.run(defined, experiment.load(defined))
    yield study
    for records, record in RECORDS:
        records.remove(record.name)


@pytest.fixture(scope="module")
def toys(study):
    return results.read(study, "toy-section")


def test_they_are_in_a_run(toys):
    assert set(toys.predictions["model"]) == {"toy", "cnn14"}
    assert set(toys.predictions["train_corpus"]) == {"toy"}
    assert set(toys.predictions["target"]) == {"arousal"}


def test_they_are_in_scores_and_in_a_table(toys):
    scored = toys.scores
    assert {"ccc", "mse", "mae"} == set(scored["metric"])
    own = scored.query("model == 'toy' and metric == 'mae' and partition == 'test'")
    assert own["score"].between(0, 6).all()
    means = tables.summary(toys).query("model == 'toy' and metric == 'mae'")["mean"]
    assert sorted(means) == pytest.approx(sorted(own.groupby("pooling")["score"].mean()))
    text = comparisons.speaker_table(toys, "speakers").markdown()
    assert "Toy model" in text
    assert "Toy corpus" in text


def test_they_are_in_figures(study, toys):
    figure = figures.plot_scores(toys)
    words = [
        text.get_text() for axis in figure.axes for text in (*axis.get_xticklabels(), axis.title, axis.yaxis.label)
    ]
    assert "Toy model" in words
    assert any("Toy corpus" in word for word in words)
    assert "mean absolute error" in words
    curves = figures.plot_learning_curves(results.read_history(study, "toy-section"))
    assert any(line.get_color() == "#123456" for axis in curves.axes for line in axis.get_lines())


def test_they_are_in_the_browsers(study, toys):
    selection = Selection(toys.predictions, toys.best)
    assert "toy" in selection.options(selection.start())["model"]
    state = residuals.Residuals(toys.predictions, toys.best)
    assert state.selection.start().train_corpus == "toy"
    table = runs.read(study, "toy-section")
    assert table is not None


class TestRegistry:
    def test_an_unknown_name_is_refused_with_the_nearest_known_one(self):
        with pytest.raises(ValueError, match="unknown model 'mfcn14'; did you mean 'mfcnn14'"):
            MODELS.find("mfcn14")

    def test_a_name_is_given_once(self):
        with pytest.raises(ValueError, match="there is a metric 'ccc' already"):
            METRICS.add(METRICS["ccc"])

    def test_what_has_no_record_is_its_own_label_and_comes_last(self):
        assert CORPORA.label("mine") == "mine"
        assert CORPORA.position("mine") == len(CORPORA)
        assert CORPORA.position("msp-podcast") == 0

    def test_order_is_that_of_adding(self):
        assert list(Registry("section", *SECTIONS.values())) == list(SECTIONS)

    @pytest.mark.parametrize("spec", [spec for spec in MODELS.values() if spec.trained], ids=lambda spec: spec.name)
    def test_all_that_a_model_names_can_be_imported(self, spec):
        for reference in (spec.build, spec.arguments, spec.dataset):
            assert callable(registry.load(reference))

    @pytest.mark.parametrize("spec", CORPORA.values(), ids=lambda spec: spec.name)
    def test_all_that_a_corpus_names_can_be_imported(self, spec):
        for reference in filter(None, (spec.reader, spec.published_counts)):
            assert callable(registry.load(reference))

    def test_late_fusion_is_made_from_models_that_are_trained(self):
        for spec in MODELS.values():
            assert all(MODELS[name].trained for name in spec.made_from)
