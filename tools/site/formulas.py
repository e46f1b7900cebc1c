"""Formulas as MathML, which a browser shows by itself, in a font that comes with the site."""

from __future__ import annotations

import importlib.util
import logging
import re
from pathlib import Path
from typing import Any

from docutils.utils.math.latex2mathml import tex2mathml
from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont

FONT = "fonts/STIXTwoMath-Regular.ttf"  # of the package ziamath; SIL Open Font License
USED = (  # letters, Greek, marks and operators, mathematical letters
    *range(0x20, 0x180),
    *range(0x2B0, 0x400),
    *range(0x2000, 0x2400),
    *range(0x1D400, 0x1D800),
)


def to_mathml(formula: str, block: bool = False) -> str:
    """A formula in MathML, with a space between a function's name and a letter, as TeX has it."""
    math = tex2mathml(formula, as_block=block)
    space = r'<mo lspace="0" rspace="0.17em">&ApplyFunction;</mo>'
    return re.sub(r"<mo>&ApplyFunction;</mo>(?!\s*<mo[^>]*>\()", space, math)


def show_inline(self: Any, node: Any) -> None:
    """Write a formula of a line."""
    self.body.append(to_mathml(node.astext()))
    raise _skip()


def show_block(self: Any, node: Any) -> None:
    """Write a formula that stands by itself; it scrolls where it is wider than the page."""
    self.body.append(f'<div class="formula">{to_mathml(node.astext(), block=True)}</div>\n')
    raise _skip()


def _skip() -> Exception:
    from docutils import nodes

    return nodes.SkipNode()


def write_font(path: Path) -> None:
    """Write what formulas need of the font as WOFF."""
    package = importlib.util.find_spec("ziamath")  # found, not imported
    assert package is not None
    assert package.origin is not None
    font = TTFont(Path(package.origin).parent / FONT)
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    subsetter = Subsetter(Options(layout_features=["*"]))
    subsetter.populate(unicodes=USED)
    subsetter.subset(font)
    font.flavor = "woff"
    path.parent.mkdir(parents=True, exist_ok=True)
    font.save(path)


def setup(app: Any) -> None:
    """Register with Sphinx."""
    app.add_html_math_renderer("mathml", (show_inline, None), (show_block, None))
