"""How the browsers look: their style sheet, and colours of cells."""

import base64
from collections.abc import Iterable, Sequence
from pathlib import Path

import ipywidgets
from markupsafe import Markup
from matplotlib import colormaps
from matplotlib.colors import to_hex, to_rgb

from sercore.analysis.markup import markup
from sercore.analysis.results import seed_name
from sercore.registry import MODELS

SHEET = (Path(__file__).parent / "browser.css").read_text(encoding="utf-8")
SHARES, CHANGES = colormaps["Blues"], colormaps["PuOr_r"]


def image(png: bytes, alt: str) -> Markup:
    """A picture within the page, no wider than it; `alt` says what it shows."""
    drawn = base64.b64encode(png).decode()
    return markup('<img style="max-width:100%" alt="{}" src="data:image/png;base64,{}">', alt, drawn)


def style_sheet() -> ipywidgets.HTML:
    """The style sheet as a widget."""
    return ipywidgets.HTML(f"<style>{SHEET}</style>", layout={"height": "0", "margin": "0"})


def button(text: str, tooltip: str, *, disabled: bool = False) -> ipywidgets.Button:
    """A button as wide as its text, whose tooltip is its title."""
    made = ipywidgets.Button(description=text, tooltip=tooltip, disabled=disabled)
    made.add_class("sercore-step")
    return made


def set_shown(widget: ipywidgets.DOMWidget, yes: bool) -> None:
    """Show `widget`, or take it off the page."""
    widget.layout.display = None if yes else "none"


def share_colours(share: float) -> tuple[str, str]:
    """Background and text of a cell that holds `share` (0 to 1) of its row; NaN counts as 0."""
    share = share if share == share else 0.0
    return _legible(to_hex(SHARES(0.9 * share)))


def change_colours(change: float, reach: float) -> tuple[str, str]:
    """Background and text of a change between -`reach` (purple) and `reach` (orange)."""
    place = 0.5 if not reach or change != change else 0.5 + 0.5 * change / reach
    return _legible(to_hex(CHANGES(place)))


def _legible(background: str) -> tuple[str, str]:
    """`background`, and what stands out more on it: black or white, by the contrast of WCAG 2."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(background)
    )
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05
    return background, "#ffffff" if 1.05 / light > light / 0.05 else "#000000"


def model_colour(model: str) -> str:
    """The colour of `model` in figures; black where it has no record."""
    return MODELS[model].colour if model in MODELS else "#000000"


def model_name(model: str, seed: int | None = None) -> Markup:
    """A model's name as HTML, with a square in its colour."""
    label = MODELS.label(model) + (f", {seed_name(seed)}" if seed is not None else "")
    return markup('<span style="color:{}">■</span> {}', model_colour(model), label)


def table(head: Sequence[str], rows: Sequence[Sequence[tuple[str, str]]]) -> Markup:
    """An HTML table; a row is a list of (class, text), the first of which is its header."""
    body = [markup("<tr>{}</tr>", _joined(markup("<th>{}</th>", name) for name in head))]
    for (kind, name), *cells in rows:
        values = _joined(markup('<td class="{}">{}</td>', *cell) for cell in cells)
        body.append(markup('<tr class="{}"><th>{}</th>{}</tr>', kind, name, values))
    return markup('<table class="sercore-predictions">{}</table>', _joined(body))


def _joined(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)
