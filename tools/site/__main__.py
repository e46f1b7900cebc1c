"""Builds the site: `python -m tools.site` leaves it in site/, to be opened in a browser."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from common.errors import UserError
from common.run import launch
from common.run.flags import Parser
from tools.scripts import ROOT
from tools.site import translations

OUT = ROOT / "site"
HERE = Path(__file__).parent


def build(out: Path) -> None:
    """Build both languages into `out`, Japanese in `out/ja`.

    Raises:
        UserError: Sphinx is not installed, or finds fault with a page.
    """
    try:
        from sphinx.cmd.build import main as sphinx

        from tools.site.explorer import write_script
        from tools.site.finish import finish_all
        from tools.site.formulas import write_font
        from tools.site.pages import write_sources
    except ImportError as error:
        raise UserError(
            f"{error.name} is missing: pip install -r requirements/site.txt, or make site"
        ) from error
    sources = out.with_name(f".{out.name}-sources")
    write_sources(sources)
    shutil.rmtree(out, ignore_errors=True)
    for language, folder in (("en", out), ("ja", out / "ja")):
        arguments = ["-b", "html", "-c", str(HERE), "-D", f"language={language}", "-W", "-q"]
        cache = sources / f".{language}"
        if sphinx([*arguments, "-d", str(cache), str(sources / language), str(folder)]):
            raise UserError("Sphinx found fault with a page, see above")
        write_font(folder / "_static" / "math.woff")
        write_script(folder / "_static" / "decoder.js")
        finish_all(folder, language)
    shutil.rmtree(sources)


def main() -> None:
    """Build, or mark translations, as the command line says."""
    parser = Parser(
        prog="python -m tools.site",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--translated",
        nargs="+",
        type=Path,
        metavar="PAGE",
        help="do not build; say that these Japanese pages are of their originals as they are now",
    )
    options = parser.parse_args()
    if options.translated:
        for page in options.translated:
            translations.mark_current(page)
        return
    build(OUT)
    print(f"site: {OUT / 'index.html'}")


if __name__ == "__main__":
    launch(main)
