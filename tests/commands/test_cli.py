"""The command line: what it prints, and that a mistake is an error of one screen with status 2."""

import argparse
import contextlib
import logging
import math
import re
import subprocess
import sys

import nbformat
import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from nbformat.v4 import new_code_cell, new_notebook

from sercore import commands, files
from sercore.commands import cli
from sercore.study import config


def test_check_prints_a_summary_of_the_corpus(embedded, capsys):
    assert cli.main(["check", "iemocap", embedded["iemocap"]["root"]]) == 0
    printed = capsys.readouterr().out
    assert "SIMULATED" in printed
    assert "10: 5 female" in printed
    assert "rating outside the scale" in printed


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["check", "iemocp", "."], "unknown corpus 'iemocp'; did you mean 'iemocap'"),
        (["check", "iemocap", "nowhere"], "does not exist"),
        (["run", "parameters/dmeo.yaml"], "no parameters file"),
        (["run", "parameters/demo.yaml", "--section", "categoris"], "did you mean 'categories'"),
        (
            ["run", "parameters/demo.yaml", "--where", "modle=bert"],
            "no run has a parameter 'modle'; did you mean 'model'",
        ),
        (["run", "parameters/demo.yaml", "--where", "model=brt"], "no run has model=brt; there is "),
        (["run", "parameters/demo.yaml", "--where", "model"], "--where: expected KEY=VALUE,KEY=VALUE,..., not 'model'"),
    ],
)
def test_a_mistake_is_an_error_of_one_screen(arguments, complaint, capsys):
    assert cli.main(arguments) == 2
    printed = capsys.readouterr().err
    assert complaint in printed
    assert len(printed.splitlines()) < 20
    assert "Traceback" not in printed


def test_run_says_what_it_did_and_a_second_run_that_there_is_nothing_to_do(make, capsys):
    study = make([0, 1])
    assert cli.main(["run", str(study.path)]) == 0
    assert "2 runs executed, 0 skipped, 0 failed" in capsys.readouterr().out
    assert cli.main(["run", str(study.path)]) == 0
    assert "nothing to do: every run and analysis of study small is complete" in capsys.readouterr().out


def test_a_failed_run_shows_in_the_exit_status_and_in_status(make, capsys):
    study = make([13, 1])
    assert cli.main(["run", str(study.path)]) == 1
    assert "FAILED" in capsys.readouterr().out
    assert cli.main(["status", str(study.path)]) == 1
    printed = capsys.readouterr().out
    assert "s: 1 done, 0 running, 0 waiting, 1 failed, of 2" in printed
    assert "seed 13 brings bad luck" in printed


@pytest.mark.long
def test_a_cache_that_fails_counts_as_none_of_the_runs(embedded, tmp_path, capsys):
    block = {
        "grid": {"model": ["cnn14"], "corpus": ["iemocap"], "seed": [0, 1]},
        "fixed": {"features": {"mels": 32}},
    }
    sections = {"categories": {"notebook": "notebooks/1_categories.ipynb", "blocks": [block]}}
    content = {"study": "misspelt", "corpora": embedded, "outputs": str(tmp_path), "sections": sections}
    (tmp_path / "misspelt.yaml").write_text(yaml.safe_dump(content))
    files.write_text(tmp_path / "cache", "a file where the caches are to be")
    assert cli.main(["run", str(tmp_path / "misspelt.yaml"), "--workers", "1"]) == 1
    printed = capsys.readouterr().out
    assert "[caches] caches/corpus=iemocap," in printed
    assert "[2/2]" in printed
    assert "0 runs executed, 0 skipped, 2 failed" in printed


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_wrong_setting_is_printed_once_before_anything_is_computed(command, embedded, tmp_path, capsys):
    block = {
        "grid": {"model": ["cnn14"], "corpus": ["iemocap"], "seed": [0, 1]},
        "fixed": {"features": {"mel": 32}, "folds": "Ses01F"},
    }
    sections = {"categories": {"notebook": "notebooks/1_categories.ipynb", "blocks": [block]}}
    content = {"study": "misspelt", "corpora": embedded, "outputs": str(tmp_path / "out"), "sections": sections}
    (tmp_path / "misspelt.yaml").write_text(yaml.safe_dump(content))
    assert cli.main([command, str(tmp_path / "misspelt.yaml")]) == 2
    printed = capsys.readouterr().err
    assert printed.count("folds: expected a list, found 'Ses01F' (text); write [Ses01F]") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["run", "x.yaml", "--retries", "-1"], "expected 0 or more, 100 or less, not -1"),
        (["run", "x.yaml", "--retries", "1.5"], "not 1.5"),
        (["run", "x.yaml", "--patience", "-5"], "expected 0 or more, 31,536,000 or less, not -5"),
        (["run", "x.yaml", "--patience", "nan"], "not nan"),
        (["run", "x.yaml", "--patience", "inf"], "not inf"),
        (["run", "x.yaml", "--workers-per-gpu", "0"], "expected 1 or more, 100 or less, not 0"),
        (["run", "x.yaml", "--workers", "1000000000"], "10,000 or less, not 1000000000"),
        (["run", "x.yaml", "--patience", "1e300"], "31,536,000 or less, not 1e300"),
        (["status", "x.yaml", "--every", "0"], "expected more than 0, 86,400 or less, not 0"),
        (["status", "x.yaml", "--every", "1e300"], "not 1e300"),
        (["plan", "x.yaml", "--workers", "0"], "expected 1 or more, 10,000 or less, not 0"),
        (["plan", "x.yaml", "--workers", "1000000000"], "not 1000000000"),
        (["plan", "x.yaml", "--utterances-per-second", "-1"], "expected more than 0, not -1"),
        (["speak", "--size", "0"], "expected more than 0, 1,000 or less, not 0"),
        (["speak", "--size", "1e9"], "not 1e9"),
        (["speak", "--seed", "-1"], "expected 0 or more, not -1"),
        (["check", "table", "x", "--scale", "1", "inf"], "not inf"),
        (["transcribe", "table", "x", "--beam", "0"], "expected 1 or more, 1,000 or less, not 0"),
        (["predict", "run", "a.wav", "--windows", "inf"], "expected more than 0, 86,400 or less, not inf"),
        (["run", ""], "expected a path, not an empty text"),
    ],
)
def test_every_number_of_the_command_line_has_its_range(arguments, complaint, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


def test_relative_paths_are_the_callers(tmp_path, monkeypatch, capsys):
    for name in ("notebooks", "parameters", "data"):
        (tmp_path / name).mkdir()
    (tmp_path / "data" / "utterances.csv").write_text("utterance,file\n")
    monkeypatch.chdir(tmp_path / "data")
    assert commands.path("x.csv") == tmp_path / "data" / "x.csv"
    assert commands.path_or_name("utterances.csv") == str(tmp_path / "data" / "utterances.csv")
    assert commands.path_or_name("tiny.en") == "tiny.en"
    assert cli.main(["run", "study.yaml"]) == 2
    assert f"no parameters file {tmp_path / 'data' / 'study.yaml'}" in capsys.readouterr().err
    assert cli.main(["check", "mine", "utterances.csv", "--reader", "table"]) == 2
    assert "does not exist" not in capsys.readouterr().err


def test_an_option_with_a_key_twice_is_refused(capsys):
    assert cli.main(["check", "mine", ".", "--reader", "table", "--option", "emotions={W: angry, W: sad}"]) == 2
    assert "--option emotions: line 1: 'W' is there twice" in capsys.readouterr().err
    assert cli.main(["check", "mine", ".", "--reader", "table", "--option", "emotions={01: angry}"]) == 2
    assert "emotions.1: a name: expected text, found 1" in capsys.readouterr().err


def test_the_package_is_the_command_and_says_its_version():
    done = subprocess.run([sys.executable, "-m", "sercore", "--version"], capture_output=True, text=True, check=True)
    assert re.match(r"sercore \d+\.\d+\.\d+", done.stdout)


def test_plan_counts_the_trainings_of_the_papers_grid(capsys):
    assert cli.main(["plan", "parameters/paper.yaml"]) == 0
    # (20 MSP-Podcast + 20 IEMOCAP x 10 folds) + (45 + 45 x 10) + 20
    assert "study paper: 175 runs, 735 trainings" in capsys.readouterr().out


@pytest.mark.long
def test_an_incomplete_study_is_not_analysed(make, capsys, tmp_path):
    study = make([13])
    content = yaml.safe_load(study.path.read_text()) | {"analysis": [str(tmp_path / "n.ipynb")]}
    study.path.write_text(yaml.safe_dump(content))
    assert cli.main(["run", str(study.path)]) == 1
    assert "analysis notebooks wait until every run of the study is complete" in capsys.readouterr().out


def test_analyses_follow_a_complete_study_and_its_results_are_printed(make, capsys, tmp_path):
    study = make([0])
    cells = [
        new_code_cell('study = ""', metadata={"tags": ["parameters"]}),
        new_code_cell("import pathlib, yaml\ncontent = yaml.safe_load(pathlib.Path(study).read_text())"),
    ]
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), tmp_path / "analysis.ipynb")
    content = yaml.safe_load(study.path.read_text()) | {"analysis": [str(tmp_path / "analysis.ipynb")]}
    study.path.write_text(yaml.safe_dump(content))
    files.write_text(study.folder / "tables" / "table_1.md", "| the table |")
    files.write_text(study.folder / "tables" / "raters.md", "| who agrees |")
    files.write_bytes(study.folder / "figures" / "curve.png", b"")
    assert cli.main(["run", str(study.path), "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert "1 runs executed, 0 skipped, 0 failed; 1 analyses executed" in printed
    assert "| the table |" in printed
    assert "| who agrees |" in printed
    assert f"figure: {study.folder / 'figures' / 'curve.png'}" in printed
    assert cli.main(["run", str(study.path), "--workers", "1"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    cells[1].source = "raise ValueError('no table')"
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), tmp_path / "analysis.ipynb")
    assert cli.main(["run", str(study.path), "--workers", "1"]) == 1
    assert "analysis/analysis: FAILED" in capsys.readouterr().out


def test_only_the_chosen_runs_are_executed_with_a_bar_in_a_terminal(make, capsys, monkeypatch):
    study = make([0, 1])
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert cli.main(["run", str(study.path), "--section", "s", "--where", "seed=1", "--workers", "1"]) == 0
    printed = capsys.readouterr()
    assert "study small: 1 runs, 0 complete" in printed.out
    assert "[1/1] s/seed=1: " in printed.out
    assert "small: " in printed.err
    assert [run.complete for run in study.runs] == [False, True]


@pytest.mark.parametrize("workers", ["0", "two"])
def test_a_number_of_workers_is_at_least_1(workers, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", "parameters/demo.yaml", "--workers", workers])
    assert ended.value.code == 2
    assert f"expected 1 or more, 10,000 or less, not {workers}" in capsys.readouterr().err


def test_an_interrupted_command_says_that_it_can_go_on(make, capsys, monkeypatch):
    study = make([0])

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(config, "load", interrupt)
    assert cli.main(["run", str(study.path)]) == 130
    assert "interrupted; what is complete is kept" in capsys.readouterr().err


def test_answers_that_are_not_finite_are_an_error_without_a_traceback(make, capsys, monkeypatch):
    def answer(_):
        raise FloatingPointError("1 of 1 answers are not finite")

    path = make([0]).path
    monkeypatch.setattr(config, "load", answer)
    assert cli.main(["run", str(path)]) == 2
    assert capsys.readouterr().err == "sercore run: 1 of 1 answers are not finite\n"


def test_the_report_is_written_to_the_outputs_and_names_what_is_missing(make, capsys):
    study = make([0], model="cnn14")
    assert cli.main(["report", str(study.path)]) == 0
    assert "Section 's': 1 run not complete (seed=0)." in capsys.readouterr().out
    assert (study.folder / "report.html").exists()


def test_a_bar_is_drawn_in_a_terminal_only(capsys, monkeypatch):
    draw = commands.progress("reading")
    draw(1, 2)
    draw(2, 2)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    draw(1, 2, "writing")
    assert "writing" in capsys.readouterr().err


EVIL = "\x1b[2J\x9b1A\x07\r\u202eevil"
HARMLESS = r"\x1b[2J\x9b1A\x07\x0d\u202eevil"


def test_a_corpus_cannot_send_control_characters_to_the_terminal(tmp_path, capsys):
    root = tmp_path / "corpus"
    root.mkdir()
    soundfile.write(root / "a.wav", np.full(16_000, 0.1), 16_000)
    rows = {"utterance": "a", "file": "a.wav", "speaker": f"s{EVIL}"}
    pd.DataFrame([rows, {**rows, "utterance": "b"}]).to_parquet(root / "utterances.parquet")
    assert cli.main(["check", "table", str(root)]) == 0
    assert cli.main(["check", "table", f"{root}/{EVIL}"]) == 2
    with pytest.raises(SystemExit):
        cli.main(["check", "table", str(root), f"--{EVIL}"])
    printed = capsys.readouterr()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", printed.out + printed.err)
    assert HARMLESS in printed.err


def test_what_is_logged_is_escaped_too_and_a_bar_is_drawn_as_it_is(capsys, monkeypatch):
    handler = logging.StreamHandler(sys.stderr)
    logger = logging.getLogger("test")
    logger.addHandler(handler)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with commands.escaped():
        logger.warning("speaker %s", EVIL)
        print(EVIL, file=sys.stdout)
        print(EVIL, file=sys.stderr)
        commands.progress("reading")(1, 2, f"stage {EVIL}")
    logger.removeHandler(handler)
    assert handler.stream is sys.stderr
    printed = capsys.readouterr()
    assert f"speaker {HARMLESS}\n{HARMLESS}\n" in printed.err
    assert printed.out == f"{HARMLESS}\n"
    assert f"\rstage {HARMLESS}: " in printed.err


def test_no_text_is_taken_for_a_number_that_is_none():
    (commands_of,) = [
        action.choices for action in cli._parser()._actions if action.choices and action.dest == "command"
    ]
    readers = {
        (name, action.dest): action.type
        for name, parser in commands_of.items()
        for action in parser._actions
        if "number." in getattr(action.type, "__qualname__", "")
    }
    assert len(readers) > 12
    assert not [action for parser in commands_of.values() for action in parser._actions if action.type in (int, float)]
    for text in (
        "nan",
        "inf",
        "-inf",
        "1e400",
        "-1e400",
        "-1",
        "0",
        "1",
        "1e9",
        "",
        " ",
        "x",
        "0x1",
        "1,5",
        "9" * 5_000,
    ):
        for read in readers.values():
            value = 0.0
            with contextlib.suppress(argparse.ArgumentTypeError):
                value = read(text)
            assert math.isfinite(value)


@pytest.mark.parametrize("path", ["nowhere.yaml", ".", "/dev/null", "x" * 5_000])
def test_a_path_that_is_no_such_file_is_an_error_of_one_line(path, capsys, tmp_path):
    for arguments in (
        ["plan", path],
        ["run", path],
        ["status", path],
        ["report", path],
        ["check", "table", path],
        ["check", "table", str(tmp_path), "--transcripts", path],
        ["table", path, "--pattern", "{speaker}.wav", "--preview"],
    ):
        assert cli.main(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err
