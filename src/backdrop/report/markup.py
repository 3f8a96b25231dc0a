"""HTML from values: everything is escaped that is not markup already."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Cell", "Html", "breakable", "code", "copies", "element", "join", "prose", "section", "table", "unformatted"]


class Html(str):
    """Markup, which is not escaped again."""

    __slots__ = ()


@dataclass(frozen=True)
class Cell:
    """A cell of a table: what is shown, the value that is copied, and a CSS class.

    Attributes
    ----------
    shown
        Text or markup.
    value
        What the copied table holds, at full precision; None for the shown text.
    kind
        "number", "rejected", "questionable", "passed", "sealed" or nothing.
    """

    shown: object
    value: float | str | None = None
    kind: str = ""


def escape(value: object) -> Html:
    """Return a value as markup: escaped, unless it is markup."""
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def breakable(text: str) -> Html:
    """Return a text as markup, in which a long name may be broken after an underscore."""
    return text if isinstance(text, Html) else Html(escape(text).replace("_", "_<wbr>"))


def join(parts: Iterable[object], between: str = "") -> Html:
    """Return the parts one after the other."""
    return Html(between.join(escape(part) for part in parts))


def element(name: str, *content: object, at: Mapping[str, object] | None = None) -> Html:
    """Return an element; attributes that are None or False are left out, True ones stand alone.

    Examples
    --------
    >>> element("p", "a < b", at={"class": "note", "hidden": True})
    '<p class="note" hidden>a &lt; b</p>'
    """
    pairs = [(key, value) for key, value in (at or {}).items() if value is not None and value is not False]
    written = "".join(f" {key}" if value is True else f' {key}="{html.escape(str(value))}"' for key, value in pairs)
    return Html(f"<{name}{written}>" + ("" if name in _VOID else f"{join(content)}</{name}>"))


def code(text: object) -> Html:
    """Return a text in a fixed-width font."""
    return element("code", text)


def section(identity: str, title: str, *content: object) -> Html:
    """Return a section with its heading, which the table of contents links to."""
    heading = element("h2", title, at={"id": f"{identity}-title"})
    return element("section", heading, *content, at={"id": identity, "aria-labelledby": f"{identity}-title"})


def table(caption: str, head: Sequence[object], rows: Sequence[Sequence[object]]) -> Html:
    """Return a table with buttons that copy it; the first cell of a row is its heading."""
    top = element("tr", *(_cell("th", cell, at={"scope": "col"}) for cell in head))
    body = join(element("tr", *(_row_cell(i, cell) for i, cell in enumerate(row))) for row in rows)
    title = element("span", caption, at={"class": "title"})
    grid = element("table", element("thead", top), element("tbody", body))
    scroll = element("div", grid, at={"class": "scroll", "tabindex": "0", "role": "region", "aria-label": caption})
    return element("figure", element("figcaption", title, copies()), scroll, at={"class": "table"})


def copies(rows: Sequence[Sequence[object]] = ()) -> Html:
    """Return the buttons that copy what stands beside them: the table, or rows that are not shown."""
    buttons = [
        element("button", f"Copy as {kind}", at={"type": "button", "class": "copy", "data-kind": kind, "hidden": True})
        for kind in ("CSV", "LaTeX")
    ]
    held = json.dumps(rows, ensure_ascii=False, separators=(",", ":")) if rows else None
    return element("span", *buttons, at={"class": "copies", "data-rows": held})


def prose(text: str) -> Html:
    """Return the text of a docstring section: paragraphs, lists, formulas."""
    blocks = [block for block in re.split(r"\n\s*\n", text.strip()) if block.strip()]
    return join(_block(block) for block in blocks)


def unformatted(text: str) -> str:
    r"""Return an axis label without its mathtext.

    Examples
    --------
    >>> unformatted(r"$m_{\mathrm{HH}}$ [GeV]"), unformatted(r"$\Delta\phi$")
    ('m_HH [GeV]', 'Δϕ')
    """
    text = re.sub(r"\\(?:mathrm|text|mathit|mathbf|rm)\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\([A-Za-z]+) ?", lambda found: _SYMBOLS.get(found.group(1), found.group(1)), text)
    return re.sub(r"[${}\\]", "", text)


_VOID = ("br", "img", "meta")

_SYMBOLS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "Delta": "Δ", "epsilon": "ε", "eta": "η", "theta": "θ",
    "lambda": "λ", "mu": "μ", "nu": "ν", "pi": "π", "rho": "ρ", "sigma": "σ", "Sigma": "Σ", "tau": "τ", "phi": "ϕ",
    "chi": "χ", "psi": "ψ", "Psi": "Ψ", "omega": "ω", "times": "×", "pm": "±", "ell": "\u2113", "hat": "", "bar": "",
    "ast": "*", "prime": "′", "cdot": "·", "circ": "°", "left": "", "right": "",
}  # fmt: skip


def _cell(name: str, cell: object, at: Mapping[str, object] | None = None) -> Html:
    one = cell if isinstance(cell, Cell) else Cell(cell)
    value = repr(one.value) if isinstance(one.value, float) else one.value
    shown = breakable(one.shown) if isinstance(one.shown, str) else one.shown
    return element(name, shown, at={**(at or {}), "class": one.kind or None, "data-csv": value})


def _row_cell(position: int, cell: object) -> Html:
    return _cell("th", cell, at={"scope": "row"}) if position == 0 else _cell("td", cell)


def _block(block: str) -> Html:
    lines = [line for line in block.splitlines() if line.strip()]
    if lines[0].lstrip().startswith(".. math::"):
        formula = "\n".join([lines[0].split("::", 1)[1].strip(), *(line.strip() for line in lines[1:])]).strip()
        return element("pre", formula, at={"class": "formula"})
    if lines[0].lstrip().startswith(("- ", "* ")):
        items = re.split(r"\n\s*[-*] ", "\n" + block.strip())[1:]
        return element("ul", *(element("li", _inline(item)) for item in items))
    return element("p", _inline(block))


def _inline(text: str) -> Html:
    flat = html.escape(" ".join(text.split()), quote=False)
    flat = re.sub(r"``(.+?)``", r"<code>\1</code>", flat)
    flat = re.sub(r":\w+:`~?([^`]+)`", r"<code>\1</code>", flat)
    return Html(re.sub(r"`([^`]+)`", r"<code>\1</code>", flat))
