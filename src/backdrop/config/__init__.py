"""Configurations: YAML that names the same objects as the library, checked before anything is read."""

from .analysis import Analysis
from .build import build, load
from .model import Configuration
from .start import start

__all__ = ["Analysis", "Configuration", "build", "load", "start"]
