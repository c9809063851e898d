"""Some of the bad inputs of :mod:`tests.bad_inputs.table`; all of them are a campaign."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bad_inputs.bench import Case, Found, check, try_case
from tests.bad_inputs.table import CASES, read

from .conftest import Outcome, Run, Trained

EVERY = 8
SOME = [case for case in CASES[::EVERY] if not case.late]


@pytest.mark.parametrize('case', SOME, ids=[case.name for case in SOME])
def test_it_is_one_sentence(
    case: Case, run: Run, tmp_path: Path, streets: Path, trained: Trained
) -> None:
    check(case, try_case(case, run, tmp_path, streets, trained))


CASE = Case('train config.py', 'epochs must be ... got 3')
GOOD = 'error: epochs must be 4, got 3\n'


@pytest.mark.parametrize(
    ('status', 'error', 'changes', 'work'),
    [
        (0, '', [], []),
        (1, GOOD, [], []),
        (2, '', [], []),
        (2, 'error: got 3, but epochs must be 4\n', [], []),
        (2, GOOD + GOOD, [], []),
        (2, GOOD + 'and more\n', [], []),
        (2, 'Traceback (most recent call last):\n' + GOOD, [], []),
        (2, GOOD.replace('\n', ' (traceback: a.log)\n'), [], []),
        (2, GOOD, ['config.py'], []),
        (2, GOOD, [], ['dry_steps']),
    ],
)
def test_whatever_else_a_user_would_get_fails(
    status: int, error: str, changes: list[str], work: list[str]
) -> None:
    check(CASE, Found(Outcome(2, '', GOOD), [], []))
    with pytest.raises(AssertionError):
        check(CASE, Found(Outcome(status, '', error), changes, work))


def test_a_row_needs_words() -> None:
    with pytest.raises(ValueError, match='COMMAND => WORDS'):
        read('train config.py')


BENCHMARK = ('benchmark', '--no-time', '--num-modules', 2)
FIT = ('fit', '--cap', '9GiB', '--num-modules', 2)
MEMORY = ('memory', '--num-modules', 2)
PROBE = ('probe', 'no.pth', '--with', 'other.json')


@pytest.mark.parametrize(
    ('command', 'option', 'name'),
    [
        (BENCHMARK, '--json', 'tiny.py'),
        (FIT, '--json', 'tiny.py'),
        (MEMORY, '--json', 'tiny.py'),
        (PROBE, '--json', 'tiny.py'),
        (PROBE, '--json', 'other.json'),
        (PROBE, '--json', 'no.pth'),
        (('test', 'no.pth'), '--out', 'tiny.py'),
    ],
)
def test_no_command_replaces_what_it_reads(run, config, tmp_path, command, option, name):
    (tmp_path / 'no.pth').touch()
    (tmp_path / 'other.json').write_text('{}')
    (tool, *own), before = command, config.read_text()
    error = run(tool, config, *own, option, name).error
    assert f'{option} {name} is what the command reads; name another file' in error
    assert config.read_text() == before
