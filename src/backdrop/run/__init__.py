"""Runs: an analysis executed in a folder, from input to report."""

from .execute import Outcome, execute
from .perform import Finished, Request, perform

__all__ = ["Finished", "Outcome", "Request", "execute", "perform"]
