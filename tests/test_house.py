"""The project's files about itself agree with each other."""

import itertools
import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from sercore import settings
from sercore.analysis import where
from sercore.commands import cli
from sercore.study import config
from sercore.study.plan import run_parameters

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.mark.parametrize(("file", "checkout"), [("environment.yml", "."), (".binder/environment.yml", "..")])
def test_conda_installs_what_pip_installs(project, file, checkout):
    environment = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
    python, _, pip = environment["dependencies"]
    assert python == f"python{project['requires-python']}"
    assert pip == {"pip": [f"--editable {checkout}[{','.join(project['optional-dependencies'])}]"]}
    assert environment["name"] == project["name"]


def test_binder_speaks_the_corpora_once():
    script = ROOT / ".binder" / "postBuild"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)
    (command,) = re.findall(r"^sercore (.*)$", script.read_text(encoding="utf-8"), re.MULTILINE)
    assert cli._parser().parse_args(command.split()).command == "speak"


def test_requirements_are_ranges_but_for_what_carries_weights(project):
    assert all(re.fullmatch(r"[a-z0-9-]+>=[\d.]+", package) for package in project["dependencies"])


def locked():
    """Name of a package -> its versions in requirements.txt, one for each range of Pythons that has its own."""
    versions: dict[str, list[str]] = {}
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if found := re.match(r"([a-z0-9.-]+)==(\S+)", line):
            versions.setdefault(found[1], []).append(found[2])
    return versions


def test_the_lock_has_a_version_in_range_of_every_requirement(project):
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = [requirement for extra in project["optional-dependencies"].values() for requirement in extra]
    versions = locked()
    for text in (*content["build-system"]["requires"], *project["dependencies"], *extras):
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        assert name in versions, f"{text} of pyproject.toml is not in requirements.txt: make lock"
        assert all(requirement.specifier.contains(version) for version in versions[name]), text


def test_the_lock_has_checksums_and_names_no_registry():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    packages = [number for number, line in enumerate(lines) if re.match(r"[a-z0-9]", line)]
    assert len(packages) > 200
    assert all(lines[number + 1].strip().startswith("--hash=sha256:") for number in packages)
    assert not [line for line in lines if "://" in line or line.startswith("--")]


def test_what_is_installed_without_cuda_lacks_what_only_cuda_needs_and_nothing_else():
    shown = subprocess.run(
        ["make", "--dry-run", "--always-make", "install", "CPU=/builds"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (program,) = re.findall(r"^(awk .*) > ", shown, re.MULTILINE)
    kept = subprocess.run(program, cwd=ROOT, shell=True, capture_output=True, text=True, check=True).stdout
    names = set(re.findall(r"^([a-z0-9.-]+)==", kept, re.MULTILINE))
    gone = locked().keys() - names
    assert {"torch", "torchaudio", "triton", "nvidia-cublas", "cuda-toolkit"} <= gone
    assert all(name in ("torch", "torchaudio", "triton") or re.match("(cuda|nvidia)-", name) for name in gone)
    assert kept.count("--hash") > len(names)
    ours, theirs = locked()["torch"][0], locked()["torchaudio"][0]
    assert f"--find-links '/builds' torch=={ours} torchaudio=={theirs}\n" in shown


def test_the_container_has_what_its_commands_need(project, tmp_path):
    content = (ROOT / "Containerfile").read_text(encoding="utf-8")
    steps = re.findall(r"^(FROM|RUN|COPY|CMD) (.*)", content, re.MULTILINE)
    (image,) = [what for kind, what in steps if kind == "FROM"]
    assert SpecifierSet(project["requires-python"]).contains(re.search(r"python:([\d.]+)", image)[1])
    everything = [what for kind, what in steps if kind == "COPY"].pop()
    assert everything == ". ."
    for kind, what in steps:
        if kind == "COPY" and what != everything:
            *sources, place = what.split()
            for name in sources:
                source, target = ROOT / name, tmp_path / place / ("" if place == "./" else ".")
                if source.is_dir():
                    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    target.mkdir(parents=True, exist_ok=True)
                    shutil.copy(source, target)
        elif kind == "RUN" and what.startswith("make"):  # before the rest is copied
            subprocess.run([*what.split(), "--dry-run"], cwd=tmp_path, check=True, capture_output=True)
            content = tomllib.loads((tmp_path / "pyproject.toml").read_text(encoding="utf-8"))
            wheel = content["tool"]["hatch"]["build"]["targets"]["wheel"]
            needed = (*wheel["packages"], *wheel["force-include"], project["readme"], *project["license-files"])
            assert all((tmp_path / name).exists() for name in needed)
    (command,) = [json.loads(what) for kind, what in steps if kind == "CMD"]
    assert command == ["make", "study", "test"]


STUDIES = sorted(path for path in (ROOT / "parameters").glob("*.yaml") if path.stem != "preregistration")


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_parameters_file_fits_its_notebooks(path):
    plan = config.load(path)
    assert plan.runs
    for run in plan.runs:
        values = run_parameters(run)
        if run.section == "residuals":  # trains nothing
            continue
        assert settings.parameter_problems(values) == []
        for kind in settings.SETTINGS:
            settings.of_run(values, kind)
    of_changes = {change: run for run in plan.runs for change in run.parameters.get("changes", {})}
    for change, run in of_changes.items():  # also those that no run has
        values = {**run_parameters(run), "change": change}
        assert settings.parameter_problems(values) == []
    assert all(notebook.exists() for notebook in plan.analysis)
    said = re.search(r"^# costs +([\d,]+) runs", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert said is None or int(said[1].replace(",", "")) == len(plan.runs)


def test_the_studies_of_stages_have_the_sets_that_they_are_about():
    everything = {stages for k in range(7) for stages in itertools.combinations(where.STAGES, k)}
    core = set(where.CORE)
    for name, sets, corpora in (("where-full", everything, 2), ("where-paper", core, 2), ("where-size", core, 1)):
        plan = config.load(ROOT / "parameters" / f"{name}.yaml")
        for section in ("categories", "multitask"):
            kinds: dict[where.Kind, dict[tuple[int, ...], int]] = {}
            for stages, kind, _ in where.kinds(plan, section):
                held = kinds.setdefault(kind._replace(encoder=""), {})
                held[stages] = held.get(stages, 0) + 1
            seeds = 5 if name == "where-paper" else 3
            wanted = [0.25, 0.5] if name == "where-size" else [1.0]
            for share in wanted:
                counts = kinds[where.Kind(data_share=share)]
                assert counts == dict.fromkeys(sets, seeds * (corpora if section == "categories" else 1))
            if name == "where-full":
                some = {(6,), (5, 6), where.STAGES}
                assert {kind.mechanism for kind in kinds} == set(settings.MECHANISMS)
                assert {kind.text_dropout for kind in kinds} == {0.0, 0.2, 0.5}
                others = [kind for kind in kinds if kind.mechanism != "shift" or kind.text_dropout]
                assert all(kinds[kind].keys() == some for kind in others)


def test_the_paper_grid_is_the_papers():
    plan = config.load(ROOT / "parameters" / "paper.yaml")
    assert len(plan.section("categories")) == 4 * 2 * 5  # models, corpora, seeds
    assert len(plan.section("dimensions")) == 3 * 3 * 2 * 5  # targets, models, corpora, seeds
    assert len(plan.section("multitask")) == 4 * 5  # models, seeds; MSP-Podcast alone
    for run in plan.runs:
        if run.section == "residuals":
            continue
        assert settings.build(settings.NetworkSettings, run.parameters["network"]) == settings.NetworkSettings()
        assert settings.build(settings.FeatureSettings, run.parameters["features"]) == settings.FeatureSettings()
        assert run.parameters["folds"] == []  # all ten


def test_the_readme_maps_every_room():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = readme.split("## Tree")[1].split("```")[1]
    rooms = {
        path.name for path in (ROOT / "sercore").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    absent = [
        name
        for name in sorted(rooms - {"__init__.py", "__main__.py"})
        if not re.search(rf"\b{re.escape(name)}[/ ]", tree)
    ]
    assert not absent, f"not in the README's tree: {', '.join(absent)}"
    assert len(tree.strip().splitlines()) <= 20
    assert len(readme.splitlines()) <= 150


def test_citation_and_changelog_are_of_this_version():
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]
    version = hatch["version"]["fallback-version"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == version
    assert cited["references"][0]["title"] in (ROOT / "README.md").read_text(encoding="utf-8")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.findall(r"^## \[(\d.*?)\] - (\S+)$", changes, re.MULTILINE)[0]
    assert newest == (version, str(cited["date-released"]))


def test_pre_commit_runs_the_checks_of_the_makefile():
    (hooks,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [hook["entry"] for hook in hooks["hooks"]] == ["make lint"]
    assert "\nlint:" in (ROOT / "Makefile").read_text(encoding="utf-8")
