"""Runs: an analysis executed in a folder, from input to report."""

from .execution import Outcome, execute
from .session import Finished, Request, perform

__all__ = ["Finished", "Outcome", "Request", "execute", "perform"]
