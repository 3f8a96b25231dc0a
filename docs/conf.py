"""Sphinx configuration."""

from importlib.metadata import version

project = "backdrop"
author = "the backdrop developers"
release = version("backdrop")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
exclude_patterns = ["_build", ".jupyter_cache"]
html_theme = "furo"
html_title = "backdrop"
