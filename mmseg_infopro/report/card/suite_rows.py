"""The tests that need a GPU, and those that take one where there is one."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

from .cap_rows import ROOT
from .tasks import Task

TIMEOUT = 500


def suite_tasks() -> list[Task]:
    """Return the rows."""
    marked = Task('tests', 'marked cuda', lambda: run_tests('-m', 'cuda'), 300, needs_cuda=True)
    tools = ('tests/tools', 'tests/run', 'tests/hooks', 'tests/report')
    return [
        marked,
        Task('tests', 'tools and runs', lambda: run_tests(*tools), TIMEOUT, needs_cuda=True),
    ]


def run_tests(*arguments: str) -> dict[str, Any]:
    """Run some of the tests; return how many passed and which ones did not.

    Raises:
        ValueError: The tests are not beside the package.
        RuntimeError: They could not run.
    """
    if not (ROOT / 'tests').is_dir():
        raise ValueError(f'there are no tests in {ROOT}: run the report from a checkout')
    command = [sys.executable, '-m', 'pytest', '-q', '--no-header', '-rfE', *arguments]
    outcome = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=TIMEOUT
    )
    if outcome.returncode not in (0, 1):
        raise RuntimeError(f'pytest ended with {outcome.returncode}: {outcome.stdout[-2000:]}')
    return read_summary(outcome.stdout)


def read_summary(text: str) -> dict[str, Any]:
    """Read what ``pytest -q -rfE`` prints at its end."""
    lines = text.strip().splitlines()
    counts = {word: int(number) for number, word in re.findall(r'(\d+) ([a-z]+)', lines[-1])}
    failures = [line for line in lines if line.startswith(('FAILED ', 'ERROR '))]
    return dict(
        passed=counts.get('passed', 0),
        failed=counts.get('failed', 0) + counts.get('errors', 0) + counts.get('error', 0),
        skipped=counts.get('skipped', 0),
        failures=failures,
    )
