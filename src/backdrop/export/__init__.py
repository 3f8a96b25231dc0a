"""Export: workspaces and estimates as files for other programs.

Every format is a pure function from a workspace, or an estimate, to files (relative path to content); `write` writes
them. What each format keeps of the likelihood, and what not, is in the documentation.
"""

from .cabinetry import cabinetry
from .combine import combine
from .files import Files, write
from .histograms import csv, root
from .patchset import pyhf
from .trexfitter import trexfitter

__all__ = ["Files", "cabinetry", "combine", "csv", "pyhf", "root", "trexfitter", "write"]
