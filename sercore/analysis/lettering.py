"""Names of any script and with any signs, drawn as they are: classes, speakers and corpora are text, never formulas.

Whoever draws does it within `plain_text`, and calls `report_missing` when the figure is drawn.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.style import context
from matplotlib.text import Text

from sercore.schema import first

USUAL = "DejaVu Sans"  # comes with matplotlib; Latin, Greek, Cyrillic, Arabic, Hebrew and more
OTHERS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans CJK KR",
    "Noto Sans SC",
    "Noto Sans JP",
    "Noto Sans KR",
    "Noto Sans Devanagari",
    "Noto Sans Arabic",
    "Noto Sans Bengali",
    "Noto Sans Tamil",
    "Noto Sans Thai",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "Microsoft YaHei",
    "SimHei",
    "PingFang SC",
    "Hiragino Sans",
    "Malgun Gothic",
    "Nirmala UI",
    "Mangal",
    "Lohit Devanagari",
    "FreeSans",
    "Unifont",
    "Arial Unicode MS",
)
"""Fonts of other scripts, of which those that are installed are tried in this order."""
EXAMPLE = "Noto Sans CJK (Chinese, Japanese, Korean) or Noto Sans Devanagari"
LONGEST = 16  # signs of a name beside an axis
OF_MATPLOTLIB = r"Glyph \d+ .* missing from font|Matplotlib currently does not support"  # its warnings of a letter
_reported: set[str] = set()  # letters

warnings.filterwarnings("ignore", message=OF_MATPLOTLIB)  # MissingLetters says it, and a notebook draws a figure again


class MissingLetters(UserWarning):
    """Letters that no installed font has."""


@cache
def families() -> list[str]:
    """The fonts that text is drawn in: for each letter the first that has it."""
    installed = {font.name for font in fontManager.ttflist}
    return [USUAL, *(name for name in OTHERS if name in installed)]


def style() -> dict[str, Any]:
    """Settings of matplotlib: fonts for many scripts, and no formulas, so that `$` is a sign like others."""
    return {"font.family": families(), "text.parse_math": False, "text.usetex": False}


@contextmanager
def plain_text() -> Iterator[None]:
    """Within it, figures are drawn by `style`, and a letter that no font has is no warning of matplotlib's."""
    with context(style()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=OF_MATPLOTLIB)
        yield


def legend_label(name: str) -> str:
    """`name` for a legend, which would leave out a name that begins with an underscore."""
    return f"\u200b{name}" if name.startswith("_") else name


def short(name: str) -> str:
    """`name` beside an axis: what is longer than LONGEST signs is cut."""
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def report_missing(figure: Figure) -> None:
    """Warn, once for each letter, of letters in the drawn `figure` that no font has: they are drawn as boxes."""
    texts = {text.get_text() for text in figure.findobj(Text)}
    missing = {sign for text in texts for sign in text if not sign.isspace() and not _has(sign)} - _reported
    if missing:
        _reported.update(missing)
        names = sorted(text for text in texts if missing & set(text))
        warnings.warn(
            f"no installed font has the letters of {first(map(repr, names), most=3)}, which are drawn as boxes; "
            f"install one, as {EXAMPLE}, and remove matplotlib's list of fonts ({mpl.get_cachedir()})",
            MissingLetters,
            stacklevel=3,
        )


@cache
def _has(sign: str) -> bool:
    return any(ord(sign) in get_font(findfont(FontProperties(family=[name]))).get_charmap() for name in families())
