"""The text of a cut, its errors with a caret, and the symbols the language is made of."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass

from ..errors import CutError

_DEEPEST_BRACKETS = 100
_MOST_DIGITS = 1_000
_SHOWN = 60
_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[^\W\d]\w*)"
    r"|(?P<foreign>&&|\|\||//|<<|>>|<>|=>|=<|:=|->|=(?!=)|!(?!=)|[\^#'\"`.:;@{}\\?$])"
    r"|(?P<symbol>\*\*|<=|>=|==|!=|[-+*/%<>&|~()\[\],])"
)
_REWRITES = {
    "&&": "write `&`, with comparisons in brackets: `(a > 1) & (b > 2)`",
    "||": "write `|`, with comparisons in brackets: `(a > 1) | (b > 2)`",
    "^": "write `x ** 2` for a power, `(a > 1) != (b > 2)` for exclusive or",
    "!": "write `~(...)` or `not ...`",
    "=": "write `==`",
    "=>": "write `>=`",
    "=<": "write `<=`",
    "<>": "write `!=`",
    "//": "write `(a - a % b) / b` for a rounded-down division",
    "?": "write `where(condition, a, b)`",
    ":": "write `where(condition, a, b)` for a choice",
    ".": "columns are plain names; rename the column when it is read",
    "'": "texts are not compared; use a number",
    '"': "texts are not compared; use a number",
    "#": "comments do not belong in a cut",
}
_WORDS = frozenset({"and", "or", "not", "True", "False"})


@dataclass(frozen=True)
class Source:
    """The text of a cut; `line` is what is parsed, which starts at `shift` in the text."""

    text: str
    line: str
    shift: int

    @classmethod
    def of(cls, text: str) -> Source:
        """Take the text of a cut, which may be spread over lines."""
        line = re.sub(r"\s", " ", text)
        return cls(text, line.strip(), len(line) - len(line.lstrip()))

    def error(self, at: int, what: str) -> CutError:
        """Build an error whose message shows the text with a caret under position `at`."""
        start, end = max(at - _SHOWN, 0), at + _SHOWN
        shown = re.sub(r"\s", " ", self.text[start:end])
        head, tail = "..." if start else "", "..." if end < len(self.text) else ""
        caret = " " * (len(head) + at - start) + "^"
        return CutError(f"{what}\n    {head}{shown}{tail}\n    {caret}")


def check_tokens(source: Source) -> None:
    """Refuse every symbol and word that the language does not have.

    Raises
    ------
    CutError
        The text is empty, has a foreign symbol, or brackets that do not match or nest too deeply.
    """
    if not source.line:
        raise CutError("the cut is empty; write `true` to select everything")
    position, end, previous = source.shift, source.shift + len(source.line), ""
    opened: list[int] = []
    while position < end:
        match = _TOKEN.match(source.text, position)
        if match is None:
            raise source.error(position, f"{source.text[position]!r} is not part of the cut language")
        _check_token(source, match, previous)
        _count_bracket(source, match, opened)
        position, previous = match.end(), match.lastgroup or ""
    if opened:
        raise source.error(opened[-1], "this bracket is never closed")


def _check_token(source: Source, match: re.Match[str], previous: str) -> None:
    token, at = match.group(), match.start()
    if match.lastgroup == "foreign":
        remedy = _REWRITES.get(token)
        raise source.error(at, f"`{token}` is not part of the cut language" + (f"; {remedy}" if remedy else ""))
    if match.lastgroup == "number" and token.isdigit() and len(token) > _MOST_DIGITS:
        raise source.error(at, "an integer beyond 64 bits; write it as a float, such as 1e20")
    if previous == "number" and match.lastgroup in ("name", "number"):
        raise source.error(at, f"{token!r} follows a number directly; write a space, or `*` to multiply")
    if match.lastgroup == "name" and keyword.iskeyword(token) and token not in _WORDS:
        raise source.error(at, f"`{token}` is not part of the cut language")


def _count_bracket(source: Source, match: re.Match[str], opened: list[int]) -> None:
    token = match.group()
    if token in ("(", "["):
        opened.append(match.start())
        if len(opened) > _DEEPEST_BRACKETS:
            raise source.error(match.start(), f"brackets nest more than {_DEEPEST_BRACKETS} deep; split the cut")
    elif token in (")", "]"):
        if not opened:
            raise source.error(match.start(), "this bracket was never opened")
        opened.pop()
