"""Random cuts over columns x, y (float), n (integer), f, g (boolean), and random values for them."""

import numpy as np
from hypothesis import strategies as st

NUMBERS = ["0", "1", "-1", "2", "0.1", "2.5", "-2.5", "110", "9007199254740993", "9007199254740992.0", "1e-300"]
POOL = [0.0, -0.0, 1.0, -1.0, 2.0, 0.1, 2.5, -2.5, 110.0, 3.7, 2.0**53, 2.0**53 + 2, 1e300, np.inf, -np.inf, np.nan]
INTEGERS = [0, 1, -1, 2, 3, 110, 2**53, 2**53 + 1, -(2**53) - 1]
RELATIONS = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])

constants = st.sampled_from(NUMBERS)
simple = st.sampled_from(["x", "y", "n", "x", "abs(x)", "-x", "abs(y)", "x*y", "y*x"])


def composed(expressions):
    return st.one_of(
        st.builds("({} {} {})".format, expressions, st.sampled_from(["+", "-", "*", "/", "**", "%"]), expressions),
        st.builds("abs({})".format, expressions),
        st.builds("-({})".format, expressions),
        st.builds("sqrt({})".format, expressions),
        st.builds("{}({}, {})".format, st.sampled_from(["min", "max", "hypot"]), expressions, expressions),
    )


expressions = st.one_of(simple, st.recursive(st.one_of(simple, constants), composed, max_leaves=4))
atoms = st.one_of(
    st.builds("({} {} {})".format, simple, RELATIONS, constants),
    st.builds("({} {} {})".format, simple, RELATIONS, constants),
    st.builds("({} {} {})".format, constants, RELATIONS, simple),
    st.builds("({} {} {})".format, expressions, RELATIONS, expressions),
    st.sampled_from(["f", "g", "~f", "(f == 1)", "(f != 1)", "(f == g)", "true", "false"]),
)


def joined(conditions):
    return st.one_of(
        st.builds("({} & {})".format, conditions, conditions),
        st.builds("({} | {})".format, conditions, conditions),
        st.builds("~({})".format, conditions),
        st.builds("(not {} and {} or {})".format, conditions, conditions, conditions),
        st.builds("where({}, {}, {})".format, conditions, conditions, conditions),
        st.builds("(where({}, x, y) {} {})".format, conditions, RELATIONS, constants),
        st.builds("({} != {})".format, atoms.filter(lambda text: text[0] == "("), st.just("true")),
    )


conditions = st.recursive(atoms, joined, max_leaves=6)


@st.composite
def tables(draw, rows=24):
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    dtype = draw(st.sampled_from([np.float64, np.float32]))
    with np.errstate(over="ignore"):
        return {
            "x": rng.choice(POOL, rows).astype(dtype),
            "y": rng.choice(POOL, rows),
            "n": rng.choice(INTEGERS, rows),
            "f": rng.random(rows) < 0.5,
            "g": rng.random(rows) < 0.5,
        }
