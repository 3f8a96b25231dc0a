"""The laws every method obeys, to be run on any method, of this package or of another.

A `Case` is one example of a method with samples whose truth is known. `check(law, case)` raises `LawBroken` with the
numbers that broke it. A test suite runs every law on every case::

    @pytest.mark.parametrize("law", LAWS)
    def test_law(law):
        check(law, my_case())
"""

from .case import Case, Table, join
from .laws import LAWS, LawBroken, check

__all__ = ["LAWS", "Case", "LawBroken", "Table", "check", "join"]
