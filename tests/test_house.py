"""The project's files about itself agree with each other."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from sercore import settings
from sercore.study import config
from sercore.study.plan import run_parameters

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_conda_installs_what_pip_installs(project):
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    python, _, pip = environment["dependencies"]
    assert python == f"python{project['requires-python']}"
    assert pip == {"pip": [f"--editable .[{','.join(project['optional-dependencies'])}]"]}
    assert environment["name"] == project["name"]


def test_requirements_are_ranges_but_for_what_carries_weights(project):
    assert all(re.fullmatch(r"[a-z0-9-]+>=[\d.]+", package) for package in project["dependencies"])


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
        changes = values.get("changes", {"none": {}})
        assert values.get("change", "none") in changes
        settings.build(settings.FeatureSettings, values["features"])
        for change in changes.values():
            assert change.keys() <= {"training", "network", "text"}
            settings.training(values["model"], {**values["training"], **change.get("training", {})})
            settings.build(settings.NetworkSettings, {**values["network"], **change.get("network", {})})
            settings.build(settings.TextSettings, {**values["text"], **change.get("text", {})})
    assert all(notebook.exists() for notebook in plan.analysis)


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


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_what_a_page_links_to_is_there(page):
    for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_citation_and_changelog_are_of_this_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == version
    assert cited["references"][0]["title"] in (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_pre_commit_runs_the_checks_of_the_makefile():
    (hooks,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [hook["entry"] for hook in hooks["hooks"]] == ["make lint"]
    assert "\nlint:" in (ROOT / "Makefile").read_text(encoding="utf-8")
