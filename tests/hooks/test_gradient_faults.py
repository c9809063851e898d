import pytest

from mmseg_infopro.hooks.gradient_faults import Fault, FirstUpdate, describe_fault, find_faults

NONE: frozenset[int | None] = frozenset()


@pytest.mark.parametrize(
    ('parameter', 'faults'),
    [
        (FirstUpdate('a'), []),
        (FirstUpdate('a', 1, frozenset({1})), []),
        (FirstUpdate('a', 1, frozenset({0, 1})), [Fault.SHARED]),
        (FirstUpdate('a', 1, NONE), [Fault.UNUSED]),
        (FirstUpdate('norms.0.weight', 1, NONE), []),
        (FirstUpdate('a', optimized=False), [Fault.NOT_OPTIMIZED]),
        (FirstUpdate('a', finite=False), [Fault.NON_FINITE]),
        (FirstUpdate('a', 0, NONE, optimized=False), [Fault.UNUSED, Fault.NOT_OPTIMIZED]),
    ],
)
def test_faults_are_told_apart(parameter: FirstUpdate, faults: list[Fault]) -> None:
    found = find_faults([FirstUpdate('healthy'), parameter], allow_unused=['norms.*'])
    assert found == {fault: [parameter] for fault in faults}


def test_the_first_few_parameters_are_named_with_their_modules() -> None:
    unused = [FirstUpdate(f'p{i}', i // 2, NONE) for i in range(5)]
    assert describe_fault(Fault.UNUSED, unused).startswith(
        '5 trainable parameter(s) got no gradient: p0 (local module 0), p1 (local module 0), '
        'p2 (local module 1), and 2 more; freeze them, or'
    )
    shared = [FirstUpdate('p', 1, frozenset({1, 0}))]
    assert 'p (local modules 0 and 1);' in describe_fault(Fault.SHARED, shared)
