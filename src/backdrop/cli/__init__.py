"""The command line: `backdrop run analysis.yaml --out DIR`, and what belongs to it."""

from .main import main

__all__ = ["main"]
