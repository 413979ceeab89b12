"""The documentation site: `make docs`."""

import logging
import re
from importlib.metadata import version as installed
from pathlib import Path

# aeon sets up logging when it is imported, and every fit logs its certificate.
logging.getLogger("convexsnn").setLevel(logging.WARNING)

project = "convexsnn"
author = "The convexsnn authors"
copyright = "2026, the convexsnn authors"  # noqa: A001 - as Sphinx calls it
release = version = installed("convexsnn")
extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc", "sphinx_gallery.gen_gallery"]
exclude_patterns = ["_build", "gallery/**/*.ipynb", "gallery/**/*.py", "gallery/**/*.md5", "gallery/**/*.json"]
html_theme = "furo"
html_title = "convexsnn"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_theme_options = {"top_of_page_buttons": []}  # "View this page" shows the page's source, outside of all landmarks
default_role = "code"  # docstrings and pages write `names` between single backticks
highlight_language = "python"

myst_heading_anchors = 3
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "none"  # docstrings name the types, with shapes
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/(?!demo)\w+\.py",  # `make demo` runs that one
    "ignore_pattern": r"run_all\.py",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "remove_config_comments": True,
    "write_computation_times": False,
}
# Settings that hold functions or patterns cannot be kept between builds.
suppress_warnings = ["config.cache"]


def escape_bars(app, what, name, obj, options, lines):  # noqa: ARG001 - as Sphinx calls it
    """|v - theta| is an absolute value in our docstrings, never a substitution; code keeps its bars."""
    for i, line in enumerate(lines):
        if "|" in line and ">>>" not in line:
            parts = re.split(r"(`+[^`]*`+)", line)
            lines[i] = "".join(part if part.startswith("`") else part.replace("|", r"\|") for part in parts)


def skip_requests(app, what, name, obj, skip, options):  # noqa: ARG001
    """scikit-learn adds set_fit_request and the like to every estimator; its own documentation has them."""
    return True if name.startswith("set_") and name.endswith("_request") else None


# What Sphinx and furo leave out for those who hear the page, or use it without a mouse.
ACCESSIBLE = {
    # Code and tables may be wider than the screen. With this they are scrolled by keys.
    "<pre>": '<pre tabindex="0">',
    '<div class="table-wrapper ': '<div tabindex="0" class="table-wrapper ',
    'class="caption" role="heading"': 'class="caption" role="heading" aria-level="2"',
    '<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="All pages">',
    '<aside class="toc-drawer">': '<aside class="toc-drawer" aria-label="On this page">',
}


def make_accessible(app, exception):
    """Add to the pages what `ACCESSIBLE` has."""
    if exception is None and app.builder.name == "html":
        for page in Path(app.outdir).rglob("*.html"):
            text = page.read_text(encoding="utf-8")
            for plain, better in ACCESSIBLE.items():
                text = text.replace(plain, better)
            page.write_text(text, encoding="utf-8")


def setup(app):
    """Connect what is above."""
    app.connect("autodoc-skip-member", skip_requests)
    app.connect("autodoc-process-docstring", escape_bars)
    app.connect("build-finished", make_accessible)
