"""The pages of docs/ and notebooks/: their links, their code, and the site that is made of them."""

import ast
import base64
import doctest
import html
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urldefrag

import nbformat
import pytest
import yaml
from mkdocs.config import load_config
from nbformat.v4 import new_code_cell, new_notebook, new_output

from sercore import settings
from sercore.commands import cli
from sercore.study import config

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("notebooks/*.md")])
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
KINDS = {"", "bash", "python", "yaml"}
COMMAND = re.compile(r"(?:\.venv/bin/)?sercore (?=[a-z])")


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, kind: str) -> list[str]:
    return [found[3] for found in FENCE.finditer(page.read_text(encoding="utf-8")) if found[2] == kind]


def listed(nav: list) -> set[str]:
    """The pages that the site's navigation names."""
    found = set()
    for entry in nav:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            found |= listed(value) if isinstance(value, list) else {value}
    return found


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_what_a_page_links_to_is_there(page):
    for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), f"{page_id(page)} links to {link}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_on_a_page_are_accepted(page, capsys):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {found[2] for found in FENCE.finditer(page.read_text(encoding="utf-8"))} <= KINDS
    for line in "\n".join(blocks(page, "bash")).replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if COMMAND.match(line):
            try:
                cli._parser().parse_args([word for word in words[1:] if word != "..."])
            except SystemExit:
                pytest.fail(f"{page_id(page)}: {line}\n{capsys.readouterr().err}")
        elif words[:1] == ["make"]:
            assert {word for word in words[1:] if "=" not in word} <= targets, line
        elif words and words[0].endswith("papermill"):
            assert (ROOT / words[1]).exists(), line


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "yaml")], ids=page_id)
def test_parameters_on_a_page_are_yaml(page):
    for block in blocks(page, "yaml"):
        assert isinstance(yaml.safe_load(block), dict)


def test_the_study_of_a_model_of_ones_own_is_one(tmp_path):
    (block,) = blocks(ROOT / "docs" / "adding.md", "yaml")
    (tmp_path / "toys.yaml").write_text(block)
    runs = config.load(tmp_path / "toys.yaml").runs
    assert len(runs) == 4
    for run in runs:
        network = settings.build(settings.NetworkSettings, run.parameters["network"])
        assert network.width == 2


def test_statistics_are_as_the_page_has_them():
    result = doctest.testfile(str(ROOT / "docs" / "statistics.md"), module_relative=False)
    assert result.attempted >= 12
    assert result.failed == 0


def texts() -> list[str]:
    """Every text in the package and the Makefile; what is put into one when it is printed is ... there."""
    found = [(ROOT / "Makefile").read_text(encoding="utf-8")]
    for path in (ROOT / "sercore").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(part.value if isinstance(part, ast.Constant) else "..." for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_messages_that_are_explained_are_those_of_the_package():
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    messages = [found[2].strip() for found in re.finditer(r"^\| (`+)(.+?)\1 \|", page, re.MULTILINE)]
    assert len(messages) > 15
    known = texts()
    for message in messages:
        pattern = re.compile(".*".join(re.escape(part.strip()) for part in message.split("...")), re.DOTALL)
        assert any(pattern.search(text) for text in known), f"no error says: {message}"


def test_the_site_leads_to_every_page():
    pages = listed(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    assert pages == {page_id(page) for page in PAGES}


@pytest.fixture(scope="module")
def hook():
    """The module that MkDocs calls."""
    spec = importlib.util.spec_from_file_location("site_hook", ROOT / "docs" / "site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_notebook_that_a_study_has_executed_is_shown_with_its_results(hook, tmp_path, monkeypatch):
    picture = new_output("display_data", {"image/png": base64.b64encode(b"a picture").decode()})
    executed = new_notebook(cells=[new_code_cell("tables.table_1(categories)", outputs=[picture])])
    nbformat.write(executed, tmp_path / "table_1.ipynb")
    monkeypatch.setattr(hook, "EXECUTED", tmp_path)
    site = load_config(str(ROOT / "mkdocs.yml"))
    monkeypatch.setattr(site.plugins, "_current_plugin", "site", raising=False)  # as it is while MkDocs builds
    page, shown = hook._notebook(ROOT / "notebooks" / "analysis" / "table_1.ipynb", site)
    assert page.src_uri == "notebooks/analysis/table_1.md"
    assert "*With the results of the embedded study" in page.content_string
    assert f"]({Path(shown.src_uri).relative_to('notebooks/analysis')})" in page.content_string
    assert shown.content_bytes == b"a picture"
    (page,) = hook._notebook(ROOT / "notebooks" / "analysis" / "table_2.ipynb", site)
    assert "*With the results" not in page.content_string
    assert "# Table 2" in page.content_string


def test_links_to_notebooks_and_modules_lead_to_their_pages(hook):
    page = SimpleNamespace(file=SimpleNamespace(src_uri="docs/where.md"))
    text = "[a](../notebooks/analysis/where.ipynb), [b](../sercore/analysis/where.py), [c](speed.md#x), [d](where.png)"
    assert hook.on_page_markdown(text, page, None, None) == (
        "[a](../notebooks/analysis/where.md), [b](../reference/analysis.md#sercore.analysis.where), "
        "[c](speed.md#x), [d](where.png)"
    )


def test_docstrings_link_names_and_mark_examples(hook):
    text = "As `share` of `files.complete` and `judge`.\n\n>>> share(1)\n0.5\n\nMore `x y`."
    module = SimpleNamespace(path="sercore.analysis.words", filepath=ROOT / "sercore" / "analysis" / "words.py")
    shown = SimpleNamespace(docstring=SimpleNamespace(value=text), is_module=False, module=module)
    hook.Docstrings().on_object(obj=shown)
    value = shown.docstring.value
    assert '<autoref identifier="sercore.analysis.words.share" optional>share</autoref>' in value
    assert '<autoref identifier="sercore.files.complete" optional>' in value
    assert "```python\n>>> share(1)\n0.5\n```\n\nMore `x y`." in value
    beside = SimpleNamespace(docstring=SimpleNamespace(value="`statistics.holm`"), is_module=False, module=module)
    hook.Docstrings().on_object(obj=beside)
    assert "sercore.analysis.statistics.holm" in beside.docstring.value


def test_the_reference_has_every_module(hook):
    modules = {name for names in hook.rooms().values() for name in names}
    for path in (ROOT / "sercore").rglob("*.py"):
        parts = [part for part in path.relative_to(ROOT).with_suffix("").parts if part != "__init__"]
        assert ".".join(parts) in modules or parts[-1] in ("__main__", "sercore")
    assert {hook._page(path) for path in hook.notebooks()} == {
        path.relative_to(ROOT).with_suffix(".md").as_posix()
        for path in (ROOT / "notebooks").rglob("*.ipynb")
        if ".ipynb_checkpoints" not in path.parts
    }


@pytest.mark.long
def test_the_site_is_made_without_a_warning_and_its_links_lead_somewhere(tmp_path):
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}  # of the theme, as in make docs
    done = subprocess.run(build, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    pages = {path: path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.html")}
    assert len(pages) > 60
    names = {path: set(re.findall(r'\bid="([^"]+)"', text)) for path, text in pages.items()}
    for path, text in pages.items():
        assert not re.search(r'<(script|link|img)[^>]+(src|href)="(https?:)?//', text), f"{path} needs a network"
        for link in re.findall(r'<(?:a|img|link|script)\b[^>]+?(?:href|src)="([^"]+)"', text):
            place, anchor = urldefrag(html.unescape(link))
            if re.match(r"[a-z]+:", place):
                continue
            target = (path.parent / unquote(place)).resolve() if place else path
            assert target.exists() or path.name == "404.html", f"{path.relative_to(tmp_path)} links to {link}"
            if anchor and target in names and not anchor.startswith("__"):
                assert unquote(anchor) in names[target] | {"_top"}, f"{path.relative_to(tmp_path)} links to {link}"
