import ast
import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backdrop.cuts.grammar import FUNCTIONS, read_condition, read_expression
from backdrop.cuts.nodes import Number, Truth
from backdrop.errors import CutError

REFUSED = {
    # text: (column of the caret, what the message must say)
    "a && b": (2, "`&`"),
    "a || b": (2, "`|`"),
    "100<m<140": (0, "`(100 < m) & (m < 140)`"),
    "0 < a < b < 9": (0, "`(0 < a) & (a < b) & (b < 9)`"),
    "a & b > 3": (0, "`a & (b > 3)`"),
    "a > 1 & b > 3": (4, "`(a > 1) & (b > 3)`"),
    "a > 1 | b": (4, "`(a > 1) | b`"),
    "a > 1 & (b > 3)": (4, "`(a > 1) & (b > 3)`"),
    "a > 1 & b > 3 & c < 2": (4, "`(a > 1) & (b > 3) & (c < 2)`"),
    "a & 1 < b < 2": (0, "`a & (1 < b) & (b < 2)`"),
    "~a > 3": (0, "`~(a > 3)`"),
    "a ^ b": (2, "`x ** 2`"),
    "!a": (0, "`~(...)`"),
    "a = 3": (2, "`==`"),
    "a =< 3": (2, "`<=`"),
    "a <> 3": (2, "`!=`"),
    "a // 2 > 1": (2, "`//`"),
    "x.y > 1": (1, "plain names"),
    "foo(x) > 1": (0, "'foo' is not a function"),
    "sqr(x) > 1": (0, "did you mean 'sqrt'?"),
    "(sqrt)(x)(y) > 1": (0, "not a function"),
    "lambda: 1": (0, "`lambda`"),
    "'a' == b": (0, "texts are not compared"),
    'f"{x}"': (1, "texts are not compared"),
    "any(x > 1 for x in y)": (10, "`for`"),
    "(x := 3) > 1": (3, "`:=`"),
    "max(x, key=3) > 1": (10, "`==`"),
    "abs(*x) > 1": (0, "plain arguments"),
    "abs(**x) > 1": (0, "plain arguments"),
    "abs(x, y) > 1": (0, "abs() takes 1 argument(s), not 2"),
    "min() > 1": (0, "min() takes one list, or two or more values, not 0"),
    "sum(x, y) > 1": (0, "sum() takes 1 argument(s), not 2"),
    "where(a, b, 1) > 1 and where(3, a, b)": (29, "a condition is needed"),
    "x[1:2] > 1": (3, "`:`"),
    "x[-1] > 1": (0, "`column[0]`"),
    "x[i] > 1": (0, "`column[0]`"),
    "x[1.0] > 1": (0, "`column[0]`"),
    "x[true] > 1": (0, "`column[0]`"),
    "x[True] > 1": (0, "`column[0]`"),
    "x[0][1] > 1": (0, "`column[0]`"),
    "abs(x)[0] > 1": (0, "`column[0]`"),
    "pi[0] > 1": (0, "`column[0]`"),
    "[1, 2] > x": (0, "`[1, 2]`"),
    "(1, 2) > x": (0, "`(1, 2)`"),
    "x > 1j": (5, "follows a number"),
    "x > 0x10": (5, "follows a number"),
    "x > 1_000": (5, "follows a number"),
    "x > 1e999": (4, "not a finite number"),
    "x > 10**10**10": (4, "not a finite number"),
    "x > 1 / 0": (4, "not a finite number"),
    "x > sqrt(-1)": (4, "not a finite number"),
    "x > 99999999999999999999": (4, "64 bits"),
    "x > 9223372036854775807 * 9": (4, "64 bits"),
    "x > " + "9" * 5000: (4, "64 bits"),
    "(x > 1": (0, "never closed"),
    "x > 1)": (5, "never opened"),
    "x > (1]": (6, "cannot be read"),
    "x +": (2, "ends too early"),
    "x > 010": (4, "cannot be read"),
    "x y": (2, "cannot be read"),
    "x is y": (2, "`is`"),
    "x in y": (2, "`in`"),
    "None": (0, "`None`"),
    "1 if x else 2": (2, "`if`"),
    "await x": (0, "`await`"),
    "x > 1 # & y": (6, "comments"),
    "x ? 1 : 2": (2, "`where(condition, a, b)`"),
    "x; y": (1, "`;`"),
    "x \\\n > 1": (2, "not part of"),
    "x\0": (1, "not part of"),
    "€ > 1": (0, "not part of"),
    "\n  x &&\n y": (5, "`&`"),
    "x + 3": (0, "a condition is needed"),
    "(a > 1) & (b + 3)": (11, "a condition is needed"),
    "not count(x)": (4, "a condition is needed"),
    "any(x + 1)": (4, "a condition is needed"),
    "3": (0, "a condition is needed"),
}


@pytest.mark.parametrize("text", REFUSED, ids=range(len(REFUSED)))
def test_refusals_point_at_the_place_and_name_the_remedy(text):
    column, words = REFUSED[text]
    with pytest.raises(CutError) as caught:
        read_condition(text)
    message, shown, caret = str(caught.value).split("\n")
    assert words in message
    assert caret.index("^") - 4 == column
    assert shown[4:14] == " ".join(text.split("\n"))[:10]


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_an_empty_cut_is_refused(text):
    with pytest.raises(CutError, match="write `true`"):
        read_condition(text)


def test_a_cut_is_a_text():
    with pytest.raises(CutError, match="not int"):
        read_condition(3)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 9_000 + "x",
        "(" * 101 + "x > 1" + ")" * 101,
        "not " * 2_400 + "x",
        "~" * 9_900 + "x",
        "-" * 9_000 + "x > 1",
        "x" + " + x" * 2_400 + " > 1",
        "x" + "**x" * 3_000 + " > 1",
        "abs(" * 2_000 + "x",
        "x[" * 3_000,
        "a > 1 & " * 1_200 + "b",
        "x" * 10_001,
    ],
)
def test_hostile_texts_are_refused_not_crashed_on(text):
    with pytest.raises(CutError):
        read_condition(text)


def test_long_texts_are_shown_around_the_caret_only():
    with pytest.raises(CutError) as caught:
        read_condition("(a > 1) & " * 300 + "(b && c)")
    _, shown, caret = str(caught.value).split("\n")
    assert len(shown) < 140
    assert shown[caret.index("^") :].startswith("&& c")


def test_as_many_terms_as_fit_but_not_as_much_nesting():
    assert len(read_condition(" | ".join(f"(n == {i})" for i in range(300))).tree.terms) == 300
    assert read_condition("(" * 99 + "x > 1" + ")" * 99).columns == {"x"}


def test_no_warning_escapes_from_the_parser():
    for text in ["1if x", "x is 1", '"a"(1)', "0or x", "(1)(x) > 2", "x > 1.and y"]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(CutError):
                read_condition(text)


@pytest.mark.parametrize("text", ["1or x", "x > 1and y"])
def test_a_number_runs_into_no_word(text):
    with pytest.raises(CutError, match="follows a number directly"):
        read_condition(text)


def test_columns_are_the_names_that_are_neither_function_nor_constant():
    program = read_condition("(count(lep_pt > 30) == 2) & (lep_eta[0] < pi) & (count > 1) & true & where(f, g, h)")
    assert program.columns == {"lep_pt", "lep_eta", "count", "f", "g", "h"}
    assert program.constants == {"pi", "true"}


def test_cuts_may_be_spread_over_lines():
    assert read_condition("\n  (m > 110)\n  & (m < 140)\n").tree == read_condition("(m > 110) & (m < 140)").tree


def test_both_spellings_of_the_logic_give_one_tree():
    assert read_condition("a > 1 and not b or c").tree == read_condition("((a > 1) & ~b) | c").tree


def test_constants_fold_and_stand_on_the_right():
    assert str(read_condition("2 * 55 < m").tree) == "(m > 110)"
    assert str(read_condition("m > -(3 - 1) * 2**3").tree) == "(m > -16.0)"
    assert read_condition("1 < 2").tree == Truth(True)
    assert read_expression("7 % 4 + 9223372036854775800").tree == Number(9223372036854775803)


operators = st.sampled_from(["+", "-", "*", "/", "%", "**", "<", ">=", "==", "&", "|", " and ", " or "])
operands = st.sampled_from(["a", "b", "2", "-a", "not a", "~a", "(a > 2)", "(b<=1)", "abs(a)", "min(a, b)"])


@given(st.lists(st.tuples(operands, operators), max_size=6), operands)
def test_what_is_read_binds_as_python_does(pairs, last):
    """Putting in the brackets that Python sees changes nothing."""
    text = "".join(itertools.chain.from_iterable(pairs)) + last
    try:
        tree = read_expression(text).tree
    except CutError:
        return
    assert read_expression(bracketed(ast.parse(text, mode="eval").body)).tree == tree


def bracketed(node):
    if isinstance(node, (ast.BinOp, ast.BoolOp, ast.Compare, ast.UnaryOp)):
        for name in ("left", "right", "operand"):
            if hasattr(node, name):
                setattr(node, name, ast.Name(bracketed(getattr(node, name))))
        for name in ("values", "comparators"):
            if hasattr(node, name):
                setattr(node, name, [ast.Name(bracketed(value)) for value in getattr(node, name)])
        return f"({ast.unparse(node)})"
    return ast.unparse(node)


@given(st.text(alphabet="ab01.()[]<>=!&|~+-*/%, \n'\"#:\\eE_^@π", max_size=40))
def test_any_text_is_read_or_refused(text):
    try:
        read_expression(text)
    except CutError as error:
        assert "\n" in str(error) or "empty" in str(error)


def test_functions_are_the_documented_ones():
    assert sorted(FUNCTIONS) == (
        "abs all any arctan2 cos cosh count exp hypot log max min sin sinh sqrt sum tan where".split()  # noqa: SIM905
    )


def test_folding_agrees_with_evaluation():
    from backdrop.region import evaluate

    columns = {"two": np.array([2.0]), "i": np.array([7])}
    for constant, expression in [("hypot(2.0, 3)", "hypot(two, 3)"), ("7 % 4", "i % 4"), ("7 / 2", "i / 2")]:
        assert evaluate(constant, columns) == evaluate(expression, columns)
