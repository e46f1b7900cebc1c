"""How Sphinx builds the site; `-D language=ja` builds its Japanese part."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from tools.site import formulas, search  # noqa: E402

project = "Quartet"
copyright = ""
extensions = ["myst_parser", "sphinx_design"]
myst_enable_extensions = ["dollarmath", "colon_fence", "html_image"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 4
source_suffix = {".md": "markdown"}
suppress_warnings = ["myst.header"]

highlight_language = "text"
html_theme = "furo"
html_title = "Quartet"
html_static_path = [str(HERE / "static")]
templates_path = [str(HERE / "templates")]
html_css_files = ["site.css"]
html_js_files = [(name, {"defer": "defer"}) for name in ("differences.js", "keyboard.js")]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_show_copyright = False
html_math_renderer = "mathml"
html_theme_options = {"navigation_with_keys": False}
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/language.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"


def setup(app) -> None:
    """Give Sphinx formulas as MathML, a search of Japanese, and a link to the other language."""
    formulas.setup(app)
    search.setup(app)
    app.connect("html-page-context", add_language)
    app.connect("html-page-context", add_explorer)


def add_language(app, name, template, context, doctree) -> None:
    """Where the page's twin in the other language lies, if it has one."""
    folder = Path(app.srcdir).parent
    if app.config.language == "ja":
        context["twin"] = "../" * (name.count("/") + 1) + f"{name}.html"
        context["twin_language"] = "en"
        if not (folder / "en" / f"{name}.md").exists():
            context["twin"] = None
    else:
        context["twin"] = "../" * name.count("/") + f"ja/{name}.html"
        context["twin_language"] = "ja"
        if not (folder / "ja" / f"{name}.md").exists():
            context["twin"] = None


def add_explorer(app, name, template, context, doctree) -> None:
    """The page of the VAE has the latent space in it."""
    if name == "models/vae":
        app.add_js_file("decoder.js", defer="defer")
        app.add_js_file("explorer.js", defer="defer")
