"""`sercore plan`: trainings, GPU-hours from a speed, and the schedule on several workers."""

import pytest
import yaml

from sercore import files
from sercore.commands import cli
from sercore.study import config, costs, progress

PAPER = "parameters/paper.yaml"


def plan(capsys, *options):
    assert cli.main(["plan", *options]) == 0
    return capsys.readouterr().out


def test_by_itself_the_speeds_on_record_are_taken_and_named(capsys):
    printed = plan(capsys, PAPER)
    assert "measured on NVIDIA H200: cnn14 1,374, mfcnn14 1,353, bert 595 utterances/s; measure yours: " in printed
    assert "GPU-hours at 1,374 utterances/s, measured\n" in printed
    assert "at 1,353 utterances/s, assumed: as slow as the slowest measured model of its kind\n" in printed  # sfcnn14


def test_assumed_numbers_are_called_assumed(capsys):
    printed = plan(capsys, PAPER, "--utterances-per-second", "1900")
    assert "study paper: 175 runs, 735 trainings, " in printed
    assert "assumed: 1,900 utterances/s" in printed
    assert "cnn14: 225 trainings, 23.7 GPU-hours at 1,900 utterances/s, assumed" in printed
    assert "msp-podcast: 58,619 utterances of 5.8 s, assumed: the published release" in printed


def test_the_hours_are_the_utterances_that_are_passed_over_the_speed():
    study = progress.with_defaults(config.load(PAPER))
    seconds = costs.planned(study, {"cnn14": 1900.0})
    # 60 epochs of 38,000 utterances, and a third of the 7,600 that are predicted after each
    assert seconds["multitask", "model=cnn14,corpus=msp-podcast,seed=0"] == pytest.approx(
        60 * (38_100 + 7_600 / 3) / 1900 + costs.START, rel=0.01
    )
    # ten speakers left out: each time eight of them are trained on, one is predicted
    assert seconds["categories", "model=cnn14,corpus=iemocap,seed=0"] == pytest.approx(
        10 * 60 * 10_039 * (0.8 + 0.1 / 3) / 1900 + costs.START
    )


def test_twice_the_speed_is_half_of_the_hours(capsys):
    def hours(*options):
        printed = plan(capsys, PAPER, *options)
        return float(printed.split("735 trainings, ")[1].split(" GPU-hours")[0])

    half, whole = hours("--utterances-per-second", "950"), hours("--utterances-per-second", "1900")
    assert half == pytest.approx(2 * whole, rel=0.01)


def bench(path, rates, **extra):
    """A file as `make bench` writes it."""
    speeds = {model: {"ours": rate} for model, rate in rates.items()}
    files.write_json(path, {"device": "Some GPU", "width": 64, "utterances_per_second": speeds} | extra)
    return str(path)


def test_measured_speeds_take_the_place_of_the_assumption(tmp_path, capsys):
    path = bench(tmp_path / "throughput.json", {"cnn14": 1000.0, "mfcnn14": 900.0, "bert": 4000.0})
    printed = plan(capsys, PAPER, "--throughput", path)
    assert "measured on Some GPU: cnn14 1,000, mfcnn14 900, bert 4,000 utterances/s" in printed
    assert "GPU-hours at 1,000 utterances/s, measured\n" in printed
    assert (
        "GPU-hours at 900 utterances/s, assumed: as slow as the slowest measured model of its kind\n" in printed
    )  # sfcnn14


def test_a_speed_of_another_width_or_text_encoder_is_called_assumed(tmp_path, capsys):
    rates = {"cnn14": 640.0, "bert": 100.0}
    path = bench(tmp_path / "throughput.json", rates, device="cpu (Some)", width=8, encoder="all-minilm-l6-v2")
    printed = plan(capsys, PAPER, "--throughput", path)
    assert "640 utterances/s, assumed: measured with width 8, the study has 64\n" in printed
    assert "assumed: measured with encoder all-minilm-l6-v2, the study has bert-base-uncased\n" in printed
    assert "hours of that processor" in printed


def test_the_schedule_of_the_papers_grid_on_several_workers(capsys):
    printed = plan(capsys, PAPER, "--workers", "1", "8")
    assert "25 runs wait for others" in printed
    one, eight = (line.split() for line in printed.splitlines()[-2:])
    assert (one[0], one[-1], eight[0]) == ("1", "0.0%", "8")
    assert float(one[1]) / 8 <= float(eight[1]) < 1.1 * float(one[1]) / 8


def test_a_corpus_on_this_disk_is_counted(make, capsys, tmp_path):
    files.write_bytes(tmp_path / "mine" / "a.wav", bytes(64_000))
    study = make([0])
    content = yaml.safe_load(study.path.read_text()) | {
        "corpora": {"mine": {"root": str(tmp_path / "mine"), "reader": "table"}}
    }
    study.path.write_text(yaml.safe_dump(content))
    assert "mine: 1 utterances of 2.0 s, as they lie on this disk" in plan(capsys, str(study.path))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--throughput", "nowhere.json"], "nowhere.json"),
        (["--throughput", "pyproject.toml"], "expected what `make bench` writes"),
    ],
)
def test_a_mistake_is_an_error(options, complaint, capsys):
    assert cli.main(["plan", PAPER, *options]) == 2
    assert complaint in capsys.readouterr().err


def test_the_papers_schedule_on_eight_gpus(capsys):
    printed = plan(capsys, PAPER, "--workers", "8")
    (row,) = [line.split() for line in printed.splitlines() if line.strip().startswith("8 ")]
    assert row == ["8", "12.70", "h", "0.9%"]
