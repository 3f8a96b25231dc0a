"""Sphinx configuration."""

import importlib.metadata
import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import mathml  # noqa: E402  (they lie beside this file)
import pages  # noqa: E402

# the kernels that execute pages inherit it
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")

project = "backdrop"
author = "the backdrop developers"
release = importlib.metadata.version("backdrop")
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "_templates", ".jupyter_cache", *pages.FILES]

# parts of pages, written from the package and from the benchmarks' results at every build
pages.write(HERE, HERE.parent / "benchmarks" / "results")

# pages with code cells are executed at every build: what they show is what this version does
nb_execution_mode = "force"
nb_execution_timeout = 300
nb_execution_show_tb = True
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autosummary_generate = [pages.NAMES]
templates_path = ["_templates"]
default_role = "py:obj"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Assumes", "notes_style"), ("Fails when", "notes_style")]

# Every reference to something of ours must resolve. Other projects' names would need their inventories, and a network.
nitpicky = True
# an annotation names a type as its module does, and two modules may have one of that name
suppress_warnings = ["ref.python"]
nitpick_ignore_regex = [
    (r"py:.*", r"(?!backdrop\.).*"),
    # types that stand in signatures and are nobody's to use
    (
        r"py:class",
        r"backdrop\.(io\.reading|io\.terms|inference\.label|inference\.likelihood"
        r"|learn\.flips|learn\.composition\w*|methods\.lepton_counts)\..*",
    ),
]

html_theme = "furo"
html_math_renderer = "mathml"
html_title = "backdrop"
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["backdrop.css"]
copybutton_exclude = ".linenos, .gp"


def _foreign(app, what, name, thing, skip, options):
    """Leave out what a class merely holds, such as the built-in `map` that is a setting's default."""
    return True if getattr(thing, "__module__", None) == "builtins" else None


def setup(app):
    app.add_html_math_renderer("mathml", (mathml.inline, None), (mathml.block, None))
    app.connect("autodoc-skip-member", _foreign)
