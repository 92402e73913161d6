"""Groups of tasks, found from their labels."""

import numpy as np
import pytest

from progress_measures.tasks import TASKS
from progress_measures.tasks.expression import evaluate
from progress_measures.tasks.groups import discrete_powers, find_group, primitive_root


def group_of(expression, n):
    return find_group(*evaluate(expression, n, *np.indices((n, n))))


@pytest.mark.parametrize("n", [7, 12, 113])
@pytest.mark.parametrize(
    ("expression", "sign"), [("a + b", 1), ("a - b", -1), ("b - a", -1), ("a + b + 3", 1), ("-a - b", 1)]
)
def test_sums_and_differences_have_all_residues_as_their_group(expression, sign, n):
    group = group_of(expression, n)
    assert (group.sign, group.generator) == (sign, 0)
    assert group.elements.tolist() == list(range(n))
    assert group.is_natural == (expression in ("a + b", "a - b"))


@pytest.mark.parametrize("p", [5, 13, 97, 113])
@pytest.mark.parametrize(("expression", "sign"), [("a*b", 1), ("a/b", -1), ("b/a", -1), ("3*a*b", 1)])
def test_products_and_quotients_have_the_other_residues_as_their_group(expression, sign, p):
    group = group_of(expression, p)
    assert group.sign == sign
    assert sorted(group.elements.tolist()) == list(range(1, p))
    values, _ = evaluate(expression, p, *np.indices((p, p)))
    for i, j in [(0, 0), (1, 2), (p - 2, 1), (p - 2, p - 2)]:
        assert values[group.elements[i], group.elements[j]] == group.outputs[(i + sign * j) % (p - 1)]


@pytest.mark.parametrize(
    "expression", ["a^2 + b^2", "a^2 + a*b + b^2", "a + 2*b", "a + b if a < b else a - b", "a", "0"]
)
def test_other_operations_have_no_group(expression):
    assert group_of(expression, 13) is None


def test_products_modulo_a_composite_number_have_no_group():
    assert group_of("a*b", 12) is None


def test_one_wrong_label_leaves_no_group():
    labels, defined = evaluate("a + b", 11, *np.indices((11, 11)))
    labels[3, 4] = 0
    assert find_group(labels, defined) is None


@pytest.mark.parametrize(("p", "root"), [(3, 2), (5, 2), (7, 3), (23, 5), (97, 5), (113, 3), (12, 0), (2, 0), (1, 0)])
def test_smallest_primitive_roots(p, root):
    """OEIS A001918."""
    assert primitive_root(p) == root
    if root:
        assert sorted(discrete_powers(p, root).tolist()) == list(range(1, p))


@pytest.mark.parametrize("kind", ["modular_addition", "modular_subtraction"])
@pytest.mark.parametrize("prime", [3, 13, 113])
def test_group_of_a_modular_sum_is_that_of_its_labels(kind, prime):
    task = TASKS[kind](kind=kind, prime=prime)
    found = find_group(task.label_table())
    assert found is not None
    for defined, searched in zip(task.group, found, strict=True):
        np.testing.assert_array_equal(defined, searched)
