"""The package away from its checkout: what a wheel holds, and that it runs a study from an empty folder."""

import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from sercore import files
from sercore.commands import cli

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def of_a_project():
    """The files that a project consists of, relative to its folder, as git has them."""
    listed = ["git", "ls-files", "-z", "--", *files.PROJECT]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return {name for name in names if name}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package that came from a wheel: its `project` folder, and its notebooks."""
    package = tmp_path / "site" / "sercore"
    (package / "project" / "notebooks").mkdir(parents=True)
    monkeypatch.setattr(files, "__file__", str(package / "files.py"))
    return package / "project"


def test_a_new_folder_has_the_projects_files(tmp_path, of_a_project, capsys):
    folder = tmp_path / "new"
    assert cli.main(["new", str(folder)]) == 0
    assert f"{len(of_a_project)} files" in capsys.readouterr().out
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert written == of_a_project
    for name in written:
        assert (folder / name).read_bytes() == (ROOT / name).read_bytes()


def test_a_folder_that_has_a_project_is_left_as_it_is(tmp_path, capsys):
    (tmp_path / "parameters").mkdir()
    assert cli.main(["new", str(tmp_path)]) == 2
    assert "has parameters already; name an empty folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["parameters"]


def test_an_installed_package_ships_what_lies_in_it_but_no_hidden_files(installed, tmp_path):
    (installed / "notebooks" / "1.ipynb").write_text("one")
    (installed / "notebooks" / ".ipynb_checkpoints").mkdir()
    (installed / "notebooks" / ".ipynb_checkpoints" / "1.ipynb").write_text("old")
    assert files.new_project(tmp_path / "new") == [tmp_path / "new" / "notebooks" / "1.ipynb"]


@pytest.mark.usefixtures("installed")
def test_an_installed_package_is_of_no_commit(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    assert files.commit() is None


def test_outside_a_project_errors_name_the_command_that_writes_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", "parameters/smoke.yaml"]) == 2
    assert "run sercore in a project's folder, or let `sercore new FOLDER`" in capsys.readouterr().err
    shutil.copy(ROOT / "parameters" / "own.yaml", tmp_path)
    (tmp_path / "labels.csv").write_text("file,speaker,emotion\n")
    assert cli.main(["run", "own.yaml"]) == 2
    assert "no notebook there; run sercore in a project's folder" in capsys.readouterr().err


def test_the_wheel_holds_the_package_and_the_project(of_a_project):
    builder = WheelBuilder(str(ROOT))
    held = {Path(file.distribution_path).as_posix() for file in builder.recurse_included_files()}
    assert {f"sercore/project/{name}" for name in of_a_project} <= held
    listed = subprocess.run(["git", "ls-files", "sercore"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(listed.stdout.split()) <= held
    assert not [name for name in held if name.startswith(("tests", "outputs", "docs"))]


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """What the command prints."""
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """The `sercore` of a wheel in an environment of its own, whose other packages are this environment's."""
    folder = tmp_path_factory.mktemp("elsewhere")
    build = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation")
    run(*build, "--wheel-dir", folder, ROOT, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "environment", with_pip=False)
    python = folder / "environment" / "bin" / "python"
    install = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps")
    run(*install, wheel, cwd=folder)
    (site,) = (folder / "environment" / "lib").glob("*/site-packages")
    others = [path for path in sys.path if path.endswith("-packages")]
    (site / "others.pth").write_text("\n".join(others) + "\n")  # after the wheel's own
    return python.with_name("sercore"), wheel


@pytest.mark.long
def test_a_wheel_runs_a_smoke_study_in_an_empty_folder(elsewhere, tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)  # by which the checkout would be found
    sercore, wheel = elsewhere
    assert "write the study's notebooks" in run(sercore, "--help", cwd=tmp_path)
    assert run(sercore, "--version", cwd=tmp_path).split() == ["sercore", wheel.name.split("-")[1]]
    run(sercore, "new", ".", cwd=tmp_path)
    run(sercore, "speak", "--size", "0.35", cwd=tmp_path)
    printed = run(
        *(sercore, "run", "parameters/smoke.yaml", "--workers", "1", "--section", "categories"),
        *("--where", "model=cnn14,corpus=iemocap"),
        cwd=tmp_path,
        OMP_NUM_THREADS="1",
    )
    assert " 0 failed" in printed
    assert list((tmp_path / "outputs" / "smoke").rglob(files.PREDICTIONS))


@pytest.mark.long
def test_the_version_is_the_last_one_of_the_changelog_where_there_is_no_git(tmp_path):
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / "source" / name)
    build = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation")
    run(*build, "--wheel-dir", tmp_path, tmp_path / "source", cwd=tmp_path)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert [path.name for path in tmp_path.glob("*.whl")] == [
        f"sercore-{project['tool']['hatch']['version']['fallback-version']}-py3-none-any.whl"
    ]


@pytest.mark.long
def test_nothing_but_the_package_is_in_the_wheel(elsewhere):
    _, wheel = elsewhere
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"sercore", wheel.name.removesuffix("-py3-none-any.whl") + ".dist-info"}
