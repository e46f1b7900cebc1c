"""Builds the site: `python -m tools.site` leaves it in site/, to be opened in a browser."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from tqdm import tqdm

from common.errors import UserError
from common.files import disk_errors
from common.run import launch
from common.run.flags import Parser
from tools.library.scripts import ROOT
from tools.site import translations

OUT = ROOT / "site"
HERE = Path(__file__).parent


def build(out: Path) -> None:
    """Build both languages into `out`, Japanese in `out/ja`; what was there goes once all is made.

    Raises:
        UserError: a package is not installed, Sphinx finds fault with a page, or the disk is full;
            the earlier site is as it was.
    """
    try:
        from sphinx.application import Sphinx
        from sphinx.util.docutils import docutils_namespace, patch_docutils

        from tools.site.explorer import write_script
        from tools.site.finish import finish_all
        from tools.site.formulas import write_font
        from tools.site.pages import LANGUAGES, write_sources
    except ImportError as error:
        raise UserError(
            f"{error.name} is missing: pip install -r requirements/site.txt, or make site"
        ) from error
    with disk_errors(out, "disk"):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
            sources, made = Path(scratch) / "sources", Path(scratch) / "site"
            write_sources(sources)
            pages = len(list(sources.rglob("*.md")))
            with tqdm(total=2 * pages, unit="page", desc="site", disable=None) as bar:
                for language in LANGUAGES:
                    folder = made / language if language != "en" else made
                    with patch_docutils(HERE), docutils_namespace():
                        app = Sphinx(
                            sources / language,
                            HERE,
                            folder,
                            sources / f".{language}",
                            "html",
                            {"language": language},
                            status=None,
                            warningiserror=True,
                        )
                        for event in ("source-read", "html-page-context"):
                            app.connect(event, lambda *_: bar.update() and None)
                        app.build()
                    if app.statuscode:
                        raise UserError("Sphinx found fault with a page, see above")
                    write_font(folder / "_static" / "math.woff")
                    write_script(folder / "_static" / "decoder.js")
                    finish_all(folder, language)
            shutil.rmtree(out, ignore_errors=True)
            made.rename(out)


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
