"""The seconds of commands, with an empty cache and with a full one."""

import sys

import pytest

from mmseg_infopro.files.cache import VARIABLE
from mmseg_infopro.report import answer_times

SLOW_ONCE = f"""
import os, sys
from pathlib import Path
mark = Path(os.environ[{VARIABLE!r}], 'mark')
print(0.25 if mark.exists() else sum(range(20_000_000)) and 0.5)
mark.touch()
"""


def test_each_command_runs_with_an_empty_cache_and_again(monkeypatch, tmp_path):
    monkeypatch.setattr(answer_times, 'RESOLVE', 'print(0.125)')
    fit = tmp_path / 'fit.py'
    fit.write_text(SLOW_ONCE)
    (times,) = answer_times.answer_times(['a.py'], '40%', [sys.executable, str(fit)])
    assert times.resolve == (0.125, 0.125)
    assert times.fit[0] > times.fit[1] > 0


def test_a_command_that_fails_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(answer_times, 'RESOLVE', 'raise SystemExit("no such network")')
    with pytest.raises(ValueError, match='no such network'):
        list(answer_times.answer_times(['a.py'], '40%', ['no_fit']))
