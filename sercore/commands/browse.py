"""The browsers as a local web app: `sercore browse`."""

import argparse
import importlib.util
import os
from pathlib import Path

from sercore import files
from sercore.commands import number
from sercore.commands import path as given

PAGE = "notebooks/browse/browse.ipynb"
TEMPLATES = Path(__file__).parents[1] / "widgets" / "jupyter"  # a folder as Jupyter's data folders are
SECONDS_TO_REFILL = 4.0  # after a page has been opened: its own work comes first


def add(commands: argparse._SubParsersAction) -> None:
    """Register the command of this module."""
    browse = commands.add_parser("browse", help="the browsers as a local web app, at the address that is printed")
    browse.add_argument(
        "page", nargs="?", type=given, help=f"a notebook, or a folder of notebooks (default: {PAGE} of the project)"
    )
    browse.add_argument("--port", type=number(int, 1, 65535), default=8866, help="of the address (default: 8866)")
    browse.set_defaults(do=_browse)


def _browse(args: argparse.Namespace) -> int:
    page = args.page or files.resolve(PAGE)
    if not page.exists():
        raise FileNotFoundError(f"{page} does not exist; {files.NEW_PROJECT}")
    if importlib.util.find_spec("voila") is None:
        raise ModuleNotFoundError("the web app needs Voila: pip install 'sercore[browse]', or use JupyterLab")
    from traitlets.config import Config
    from voila.app import Voila

    os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [str(TEMPLATES), os.environ.get("JUPYTER_PATH")]))
    Voila.launch_instance([str(page), f"--port={args.port}"], config=Config(settings(page)))
    return 0


def settings(page: Path) -> dict[str, dict[str, object]]:
    """Voila's settings: for this machine alone, with a token; a single notebook has run before it is asked for."""
    return {
        "Voila": {
            "ip": "127.0.0.1",
            "auto_token": True,
            "open_browser": False,
            "tornado_settings": {"allow_remote_access": False, "local_hostnames": ["localhost"]},
        },
        "VoilaConfiguration": {
            "template": "sercore",
            "allow_template_override": "NO",
            "show_tracebacks": False,
            "kernel_spec_manager_class": "sercore.study.kernels.ThisPython",
            "preheat_kernel": page.is_file(),
        },
        "VoilaKernelManager": {"fill_delay": SECONDS_TO_REFILL},
    }
