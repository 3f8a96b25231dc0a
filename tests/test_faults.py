"""What goes wrong most often, as a user meets it: the exit code, and a message with place, value and remedy.

The numbers are those of docs/faults.md; faults with files of their own (reading, folders, logs) are tested beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import hist
import numpy as np
import pytest

import backdrop as bd
from backdrop.config import load
from backdrop.demos import demo
from backdrop.errors import BackdropError, BlindedError, CutError, DataError, ExportError
from backdrop.methods.abcd import ABCD
from backdrop.results import Results
from backdrop.tasks import write_atomic

_COLUMNS = {"m": np.array([1.0, 2.0]), "pt": np.array([3.0, 4.0])}
_SR = bd.Channel("SR", bd.Region("sr", "x > 0"), (hist.axis.Regular(1, 0, 1, name="m"),))
_ABCD = ABCD(bd.Region("tight", "tag == 1"), bd.Region("loose", "tag == 0"), bd.Region("control", "x < 0"))


def _table(a: int, b: int, c: int, d: int, **settings: object) -> bd.Events:
    x = np.repeat([1, 1, -1, -1], [a, b, c, d])
    tag = np.repeat([1, 0, 1, 0], [a, b, c, d])
    return bd.Events.of({"x": x, "tag": tag, "m": np.full(len(x), 0.5)}, **settings)  # type: ignore[arg-type]


def _estimate(events: bd.Events) -> bd.Estimate:
    return bd.estimate(bd.Setup(_ABCD, events), [_SR], seed=1)


def _mask(cut: str) -> Callable[[], object]:
    return lambda: bd.Region("SR", cut).mask(_COLUMNS)


def _plain(values: list[float]) -> bd.Estimate:
    return bd.Estimate((_SR,), np.array(values), np.ones(len(values)))


_DEEP = "(" * 4000 + "m" + ")" * 4000 + " > 1"
_HISTOGRAM = hist.Hist(_SR.axes[0], storage=hist.storage.Double())
_OPEN = bd.Channel("VR", bd.Region("vr", "x > -1"), _SR.axes)

FAULTS: dict[str, tuple[Callable[[], object], int, tuple[str, ...]]] = {
    "16 a cut that ends too early": (_mask("m > "), 2, ("region 'SR'", "ends too early", "^")),
    "16 an open bracket": (_mask("(m > 3"), 2, ("never closed", "^")),
    "17 an unknown column": (_mask("mm > 3"), 2, ("region 'SR'", "'mm'", "did you mean 'm'")),
    "18 a chained comparison": (_mask("100 < m < 140"), 2, ("(100 < m) & (m < 140)",)),
    "18 a bitwise and without brackets": (_mask("m > 3 & pt > 3"), 2, ("write `(m > 3) & (pt > 3)`",)),
    "18 a power written as exclusive or": (_mask("m ^ 2 > 3"), 2, ("x ** 2",)),
    "18 the dialect of ROOT": (_mask("m > 1 && pt > 2"), 2, ("write `&`",)),
    "19 code": (_mask("__import__(m)"), 2, ("__import__",)),
    "19 a lambda": (_mask("(lambda: m)()"), 2, ("lambda",)),
    "19 an attribute": (_mask("m.real > 1"), 2, ("columns are plain names",)),
    "19 four thousand brackets": (_mask(_DEEP), 2, ("region 'SR'",)),
    "20 a variable of the caller": (_mask("_SR > 1"), 2, ("'_SR'", "not there")),
    "26 channels that overlap": (
        lambda: bd.workspace({"f": bd.Estimate((_SR, _OPEN), np.ones(2), np.ones(2))}),
        2,
        ("'SR' and 'VR'", "& ~(x > 0)"),
    ),
    "28 an empty D": (lambda: _estimate(_table(0, 3, 4, 0)), 3, ("control & loose", "0 rows", "(x < 0) & (tag == 0)")),
    "28 an empty B": (lambda: _estimate(_table(0, 0, 4, 3)), 3, ("channel 'SR'", "'loose'")),
    "30 weights that are no numbers": (
        lambda: bd.Events.of({"m": np.ones(4)}, weight=np.array([1.0, np.nan, np.inf, 2.0])),
        3,
        ("sample 'data'", "2 weights", "1, 2"),
    ),
    "31 negative weights where counts are needed": (
        lambda: (_table(0, 3, 4, 3) - _table(0, 1, 1, 1)).require(_ABCD.control, counts=True),
        3,
        ("region 'control'", "2 negative weights"),
    ),
    "32 a negative sum of weights": (lambda: _estimate(-1.0 * _table(0, 3, 4, 3)), 3, ("control & tight", "-4")),
    "34 a histogram for counts": (
        lambda: bd.workspace({"f": _plain([3.0])}, observed={"SR": _HISTOGRAM}),  # type: ignore[dict-item]
        5,
        ("channel 'SR'", "Double storage"),
    ),
    "34 a histogram for rows": (
        lambda: bd.closure(_plain([3.0]), _HISTOGRAM, channel="SR"),  # type: ignore[arg-type]
        3,
        ("observed rows", "Hist"),
    ),
    "35 edges that do not increase": (
        lambda: bd.Channel("SR", _SR.region, (hist.axis.Variable([0, 1, np.inf], name="m"),)),
        2,
        ("axis 'm'", "channel 'SR'", "not finite and increasing"),
    ),
    "36 a negative bin": (lambda: bd.workspace({"f": _plain([-2.0])}), 5, ("'SR'", "'sr'", "'f'", "bin 0", "-2")),
    "36 an empty bin": (lambda: bd.workspace({"f": _plain([0.0])}), 5, ("sample 'f'", "bin 0", "merge bins")),
    "36 a bin that is no number": (lambda: _plain([np.nan]), 3, ("nominal", "1 values", "NaN")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_explained(fault: str) -> None:
    run, code, words = FAULTS[fault]
    with pytest.raises(BackdropError) as caught:
        run()
    assert caught.value.exit_code == code
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("replicas: 200", "replica: 200", ("unknown key 'replica'", "did you mean 'replicas'", ":10:1")),
        ("seed: 1", "seed: 1\nseed: 2", ("'seed' is given twice", "line 9")),
        ("replicas: 200", "replicas: 1e-3", ("must be an integer",)),
        ("seed: 1", "seed: no", ("must be an integer", "'no'")),
        ("seed: 1", "seed: 010", ("010 reads as 10 or", "octal")),
        ("seed: 1", "seed: !!python/object/apply:os.system ['x']", ("the tag", "not allowed")),
        ("seed: 1", "seed: " + "[" * 60 + "]" * 60, ("nested more than 50 deep",)),
    ],
)
def test_a_configuration_is_read_strictly(before: str, after: str, words: tuple[str, ...], tmp_path: Path) -> None:
    """Faults 21 and 22."""
    file = tmp_path / "analysis.yaml"
    file.write_text(demo("abcd").read_text().replace(before, after, 1))
    with pytest.raises(BackdropError) as caught:
        load(file)
    assert caught.value.exit_code == 2
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize("text", ['{"schema": 1, "x": NaN}', '{"schema": 1, "schema": 1}', "[" * 100_000])
def test_json_has_one_meaning(text: str, tmp_path: Path) -> None:
    """Fault 23."""
    (tmp_path / "parts.json").write_text(text)
    with pytest.raises(BackdropError, match="damaged") as caught:
        Results.load(tmp_path)
    assert caught.value.exit_code == 6


def test_sealed_rows_are_refused_whatever_asks() -> None:
    """Fault 25: table, histogram, workspace and closure ask for the rows; none gets them, and no text counts them."""
    target = bd.Region("SR", "(x > 0) & (tag == 1)")
    sealed = _table(7, 3, 4, 3, seal=target)
    asks: list[Callable[[], object]] = [
        lambda: sealed.select(bd.Region("all", "x > 0")),
        lambda: sealed.inclusive("m"),
        lambda: bd.template(sealed, [_SR]),
        lambda: bd.workspace({"f": _plain([3.0])}, observed={"SR": sealed}),
        lambda: bd.closure(_plain([3.0]), sealed.select(bd.Region("high", "x > 0")), channel="SR"),
    ]
    for ask in asks:
        with pytest.raises(BlindedError, match="SR") as caught:
            ask()
        assert caught.value.exit_code == 4
        assert "7" not in str(caught.value)
    assert "10 rows" in repr(sealed)
    assert "17" not in repr(sealed)


def test_the_remedy_of_a_refusal_works(caplog: pytest.LogCaptureFixture) -> None:
    """Fault 25: the words of the message select what is open, and the refusal is logged."""
    target, either = bd.Region("SR", "(x > 0) & (tag == 1)"), bd.Region("a", "x > 0") | bd.Region("b", "x < 0")
    events = _table(7, 3, 4, 3, seal=target)
    with caplog.at_level("INFO"), pytest.raises(BlindedError, match=r"select '\(a \| b\) & ~SR'"):
        events.select(either)
    assert "refused: region 'a | b' of the sealed sample 'data'" in caplog.text
    assert len(events.select(either & ~target)) == 10


def test_inputs_and_foreign_files_are_not_written_over(tmp_path: Path) -> None:
    """Fault 24."""
    page, data = tmp_path / "report.html", tmp_path / "data.csv"
    bd.report(page)
    before = page.read_bytes()
    assert bd.report(page).read_bytes() == before
    page.write_text("mine")
    with pytest.raises(BackdropError, match="holds something else than a report") as caught:
        bd.report(page)
    assert (caught.value.exit_code, page.read_text()) == (2, "mine")
    data.write_text("m\n1\n")
    bd.read(data)
    with pytest.raises(DataError, match="was read as an input, which is never overwritten"):
        write_atomic(data, b"lost")
    assert data.read_text() == "m\n1\n"


def test_weights_stay_finite() -> None:
    """Fault 30."""
    with pytest.raises(DataError, match=r"sample 'data' has 4 weights that are NaN or infinite, first rows: 0, 1, 2"):
        _table(1, 1, 1, 1).with_weight(np.full(4, np.nan))


def test_errors_of_one_kind_have_one_code() -> None:
    assert (CutError.exit_code, DataError.exit_code, BlindedError.exit_code, ExportError.exit_code) == (2, 3, 4, 5)
