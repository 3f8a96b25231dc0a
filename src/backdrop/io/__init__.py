"""Events in and out of files, and fitted objects on disk.

Files are read block by block; a seal is evaluated on each block, and of sealed rows nothing but the revealed columns is
kept. All that comes out otherwise is the same whatever the sealed rows hold and however many there are.
"""

from __future__ import annotations

from .door import Composite, Derived, check_drawn
from .models import load, save
from .opening import read
from .source import EventFiles
from .writing import write

__all__ = ["Composite", "Derived", "EventFiles", "check_drawn", "load", "read", "save", "write"]
