"""Kernels in threads that share a context, as those of Dask do, and kernels that end."""

import contextvars
from concurrent.futures import ThreadPoolExecutor

import nbformat
from jupyter_core.utils import ensure_event_loop

from sercore.study import kernels


def test_notebooks_side_by_side_do_not_share_an_event_loop(make, tmp_path):
    study = make([0])
    study.runs[0].folder.mkdir(parents=True)
    loop = ensure_event_loop()  # an earlier notebook in this thread leaves one in the context

    def execute(number):
        parameters = {"folder": str(study.runs[0].folder), "seed": number}
        kernels.execute(study.runs[0].notebook, tmp_path / f"{number}.ipynb", parameters)

    with ThreadPoolExecutor(2) as threads:
        started = [threads.submit(contextvars.copy_context().run, execute, number) for number in (0, 1)]
    assert [future.result() for future in started] == [None, None]
    assert not loop.is_closed()
    loop.close()
    assert all(nbformat.read(tmp_path / f"{n}.ipynb", as_version=4).cells[-1].execution_count for n in (0, 1))


def test_a_kernel_that_ends_is_not_interrupted(tmp_path):
    interrupted, notebook = tmp_path / "interrupted", nbformat.v4.new_notebook()
    source = f"""
from pathlib import Path
kernel = get_ipython().kernel
kernel.saved_sigint_handler = lambda *_: Path({str(interrupted)!r}).touch()  # the kernel restores it when the cell ends
"""
    notebook.cells = [
        nbformat.v4.new_code_cell("folder = ''", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(source),
    ]
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "template.ipynb")
    kernels.execute(tmp_path / "template.ipynb", tmp_path / "done.ipynb", {"folder": str(tmp_path)})
    assert not interrupted.exists()
