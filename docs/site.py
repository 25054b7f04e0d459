"""What `make docs` builds its pages from: Markdown where it lies, notebooks, and the docstrings of the package.

A hook of MkDocs. Notebooks that a study has executed are shown with their results, others as they are committed.
"""

import re
from pathlib import Path, PurePosixPath

import nbformat
from griffe import Extension, Object
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbconvert import MarkdownExporter

ROOT = Path(__file__).parents[1]
PAGES = ("*.md", "docs/*.md", "docs/*.png", "docs/*.js", "docs/*.css", "docs/pictures/*.png", "notebooks/*.md")
EXECUTED = ROOT / "outputs" / "demo" / "analysis"  # by `make study`
EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)
NAME = re.compile(r"`((?:[a-z_]+\.)*[A-Za-z]\w*)`")
LINK = re.compile(r"\]\((?P<path>[^)#:\s]+\.(?:ipynb|py))\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the notebooks and the rooms of the package in the navigation."""
    listed = {"Notebooks": [_page(path) for path in notebooks()], "Reference": [reference(room) for room in rooms()]}
    for part in config.nav:
        if isinstance(part, dict):
            part.update({title: listed[title] for title in part if title in listed})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """All files of the site in place of those of one folder: each at its place in the project, so that links hold."""
    paths = sorted({path.relative_to(ROOT).as_posix() for pattern in PAGES for path in ROOT.glob(pattern)})
    found = [File(path, str(ROOT), config.site_dir, use_directory_urls=False) for path in paths]
    for path in notebooks():
        found += _notebook(path, config)
    for room, modules in rooms().items():
        text = "\n\n".join([f"# sercore.{room}", *(f"::: {module}" for module in modules)])
        found.append(File.generated(config, reference(room), content=text))
    return Files([*(file for file in files if not file.src_uri.endswith((".md", ".py"))), *found])


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 -- MkDocs names them
    """Links to notebooks and to modules as links to their pages."""
    folder = PurePosixPath(page.file.src_uri).parent

    def moved(link: re.Match[str]) -> str:
        path = link["path"]
        if path.endswith(".ipynb"):
            return f"]({path.removesuffix('.ipynb')}.md)"
        parts = (ROOT / folder / path).resolve().relative_to(ROOT).with_suffix("").parts
        return f"]({'../' * len(folder.parts)}{reference(parts[1])}#{'.'.join(parts)})"

    return LINK.sub(moved, markdown)


class Docstrings(Extension):
    """Docstrings as pages want them: examples as code, and names of the package in backticks as links."""

    def on_object(self, *, obj: Object, **_: object) -> None:
        """Change the docstring of `obj`, as it was read."""
        if obj.docstring is None:
            return
        parts, end = [], 0
        for example in EXAMPLE.finditer(obj.docstring.value):
            parts += [_linked(obj, obj.docstring.value[end : example.start()]), f"```python\n{example[0]}\n```"]
            end = example.end()
        obj.docstring.value = "".join([*parts, _linked(obj, obj.docstring.value[end:])])


def _linked(obj: Object, text: str) -> str:
    """`text` with the names in it that something public of the package has, as links; others stay as they are."""
    module = obj if obj.is_module else obj.module

    def link(found: re.Match[str]) -> str:
        top, _, rest = found[1].partition(".")
        beside = (Path(str(module.filepath)).parent / f"{top}.py").exists()
        home = module.path if not rest else module.path.rpartition(".")[0] if beside else "sercore"
        return f'<code><autoref identifier="{home}.{found[1]}" optional>{found[1]}</autoref></code>'

    return NAME.sub(link, text)


def notebooks() -> list[Path]:
    """The notebooks of the project, those of the paper's sections first."""
    found = [path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts]
    return sorted(found, key=lambda path: (len(path.parts), path))


def rooms() -> dict[str, list[str]]:
    """Name of each room of the package -> its modules; a room of one file has one."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "sercore").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[-1] != "__main__" and parts != ("sercore", "__init__"):
            name = ".".join(part for part in parts if part != "__init__")
            found.setdefault(parts[1], []).append(name)
    return found


def reference(room: str) -> str:
    """The page of the reference that has the modules of `room`."""
    return f"reference/{room}.md"


def _page(notebook: Path) -> str:
    return notebook.relative_to(ROOT).with_suffix(".md").as_posix()


def _notebook(path: Path, config: MkDocsConfig) -> list[File]:
    """The page of the notebook `path`, and the pictures in it."""
    shown = EXECUTED / path.name if path.parent.name == "analysis" and (EXECUTED / path.name).exists() else path
    text, resources = MarkdownExporter().from_notebook_node(
        nbformat.read(shown, as_version=4), {"output_files_dir": f"{path.stem}_files"}
    )
    folder = path.parent.relative_to(ROOT).as_posix()
    if shown == EXECUTED / path.name:
        text = f"*With the results of the embedded study, simulated speech.*\n\n{text}"
    pictures = [
        File.generated(config, f"{folder}/{name}", content=content) for name, content in resources["outputs"].items()
    ]
    return [File.generated(config, _page(path), content=text), *pictures]
