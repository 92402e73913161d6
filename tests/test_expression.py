"""Expressions of a and b modulo n."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from progress_measures.tasks.expression import ExpressionError, evaluate


def table(expression, n):
    return evaluate(expression, n, *np.indices((n, n)))


@pytest.mark.parametrize("n", [2, 12, 13])
@pytest.mark.parametrize(
    ("expression", "function"),
    [
        ("a+b", lambda a, b: a + b),
        ("a - b", lambda a, b: a - b),
        ("b - a", lambda a, b: b - a),
        ("a*b", lambda a, b: a * b),
        ("a^2 + b^2", lambda a, b: a**2 + b**2),
        ("a^2 + a*b + b^2", lambda a, b: a**2 + a * b + b**2),
        ("a**3 + a*b**2 + b", lambda a, b: a**3 + a * b**2 + b),
        ("2*(a + b) - 3", lambda a, b: 2 * (a + b) - 3),
        ("-a^2", lambda a, b: -(a**2)),
        ("a + b if a < b else a - b", lambda a, b: np.where(a < b, a + b, a - b)),
        ("1 if a == b else 0", lambda a, b: (a == b).astype(int)),
        ("7", lambda a, b: 7 + 0 * a),
    ],
)
def test_expression_equals_its_definition(expression, function, n):
    values, defined = table(expression, n)
    assert defined.all()
    np.testing.assert_array_equal(values, function(*np.indices((n, n))) % n)


@pytest.mark.parametrize("n", [12, 13])
def test_quotient_times_divisor_is_the_dividend_and_only_units_divide(n):
    values, defined = table("a/b", n)
    a, b = np.indices((n, n))
    np.testing.assert_array_equal(defined, np.gcd(b, n) == 1)
    np.testing.assert_array_equal((values * b % n)[defined], a[defined])
    assert not values[~defined].any()


def test_a_branch_that_is_not_taken_may_be_undefined():
    values, defined = table("a/b if b > 0 else a", 7)
    assert defined.all()
    assert values[3, 0] == 3


@pytest.mark.parametrize(
    "expression",
    ["", "c", "a +", "a(b)", "a.real", "[a]", "a ** b", "a ** -1", "a // b", "a & b", "True", "1.5", "'a'", "a < b",
     "a if b else a", "a if a < b < 3 else b", "lambda: a", "a := 3", "a ** 10**9", "(" * 150 + "a" + ")" * 150,
     "a+" * 150 + "b"],
)  # fmt: skip
def test_other_text_is_refused(expression):
    with pytest.raises(ExpressionError):
        table(expression, 7)


@pytest.mark.parametrize("expression", ["2^a", "a^1001", "a^-1", "a % b"])
def test_message_states_what_is_allowed(expression):
    with pytest.raises(ExpressionError, match=r"is not allowed: use .* \^ with a fixed exponent up to"):
        table(expression, 7)


LEAVES = st.sampled_from(["a", "b", "1", "2", "5"])
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
    max_leaves=12,
)


@given(EXPRESSIONS, st.integers(2, 50))
@settings(max_examples=200, deadline=None)
def test_expressions_agree_with_exact_arithmetic(expression, n):
    if len(expression) > 200:
        return
    values, defined = table(expression, n)
    assert defined.all()
    exact = [[eval(expression, {"a": a, "b": b}) % n for b in range(n)] for a in range(n)]
    np.testing.assert_array_equal(values, exact)
