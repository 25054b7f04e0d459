"""How the browsers look: their style sheet, and colours of buttons."""

import base64
from collections.abc import Iterable, Sequence

import ipywidgets
from markupsafe import Markup
from matplotlib import colormaps
from matplotlib.colors import to_hex

from sercore.analysis.markup import markup
from sercore.analysis.results import seed_name
from sercore.registry import MODELS

SHEET = """
<style>
.sercore-both { flex-wrap: wrap; align-items: flex-start; gap: 1.5em; }
.sercore-list { flex: 1 1 620px; min-width: 0; }
.sercore-detail { flex: 1 1 460px; max-width: 720px; min-width: 0; }
.sercore-marking, .sercore-choices { flex-wrap: wrap; align-items: center; gap: .2em 1em; }
.sercore-grids { flex-wrap: wrap; gap: 1em 2.5em; align-items: flex-start; margin: .5em 0; }
.sercore-row.jupyter-button { font-family: monospace; white-space: pre; text-align: left; width: 100%; height: 26px;
  line-height: 26px; margin: 1px 0; padding: 0 6px; overflow: hidden; text-overflow: ellipsis; color: #1a1a1a;
  background: #f4f4f4; flex: none; }
.sercore-row.jupyter-button:hover { background: #dcebf7; }
.sercore-cell.jupyter-button { white-space: pre-line; width: 92px; height: 54px; line-height: 1.25; margin: 1px;
  padding: 0; font-size: 14px; border: 2px solid transparent; }
.sercore-low.jupyter-button { height: 34px; line-height: 30px; }
.sercore-chosen.jupyter-button { border-color: #D55E00; }
.jupyter-button[class*="sercore-"]:focus-visible { outline: 3px solid #000; outline-offset: 1px; z-index: 1; }
.sercore-step.jupyter-button { width: auto; padding: 0 1em; }
.sercore-head { margin: 0; padding: 0 6px; color: #555; font-size: 13px; overflow: hidden; }
.sercore-list pre.sercore-head { background: none; font-family: monospace; font-size: 13px; line-height: 20px; }
.sercore-axis { font-size: 14px; }
.sercore-corner { font-size: 11px; line-height: 15px; color: #555; }
.sercore-axis-low { align-self: center; }
.sercore-title { font-size: 15px; font-weight: 600; }
.sercore-transcript { font-size: 16px; }
.sercore-problem { color: #B3001B; }
.sercore-detail h4, .sercore-detail p { margin: .2em 0; }
.sercore-detail audio { width: 100%; }
.sercore-predictions { border-collapse: collapse; font-size: 14px; margin-top: .5em; }
.sercore-predictions th, .sercore-predictions td { padding: 3px 8px; text-align: right; }
.sercore-predictions th:first-child { text-align: left; }
.sercore-predictions .truth { background: #FFF3C4; }
.sercore-predictions .predicted { font-weight: 700; text-decoration: underline; }
</style>
"""
SHARES, CHANGES = colormaps["Blues"], colormaps["PuOr_r"]


def image(png: bytes, alt: str) -> Markup:
    """A picture within the page, no wider than it; `alt` says what it shows."""
    drawn = base64.b64encode(png).decode()
    return markup('<img style="max-width:100%" alt="{}" src="data:image/png;base64,{}">', alt, drawn)


def style_sheet() -> ipywidgets.HTML:
    """The style sheet as a widget."""
    return ipywidgets.HTML(SHEET, layout={"height": "0", "margin": "0"})


def button(kind: str, text: str = "", tooltip: str = "", *, disabled: bool = False) -> ipywidgets.Button:
    """A button of the class sercore-`kind`, whose tooltip is its title."""
    made = ipywidgets.Button(description=text, tooltip=tooltip, disabled=disabled)
    made.add_class(f"sercore-{kind}")
    return made


def set_shown(widget: ipywidgets.DOMWidget, yes: bool) -> None:
    """Show `widget`, or take it off the page."""
    widget.layout.display = None if yes else "none"


def share_colours(share: float) -> tuple[str, str]:
    """Background and text of a cell that holds `share` (0 to 1) of its row; NaN counts as 0."""
    share = share if share == share else 0.0
    return to_hex(SHARES(0.9 * share)), "#ffffff" if share > 0.6 else "#1a1a1a"


def change_colours(change: float, reach: float) -> tuple[str, str]:
    """Background and text of a change between -`reach` (purple) and `reach` (orange)."""
    place = 0.5 if not reach or change != change else 0.5 + 0.5 * change / reach
    return to_hex(CHANGES(place)), "#ffffff" if abs(place - 0.5) > 0.36 else "#1a1a1a"


def colour(widget: ipywidgets.Button, colours: tuple[str, str]) -> None:
    """Give `widget` its background and text."""
    with widget.style.hold_sync():
        widget.style.button_color, widget.style.text_color = colours


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
