"""Every bad input that was thought of, on every tool: one sentence each, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bad_inputs.bench import Case, check, try_case
from tests.bad_inputs.table import CASES
from tests.tools.conftest import ROOT, Run, Trained

pytestmark = pytest.mark.campaign


@pytest.mark.parametrize('case', CASES, ids=[case.name for case in CASES])
def test_it_is_one_sentence(
    case: Case, run: Run, tmp_path: Path, streets: Path, trained: Trained
) -> None:
    check(case, try_case(case, run, tmp_path, streets, trained))


def test_the_table_is_of_all_tools() -> None:
    tools = {path.stem for path in (ROOT / 'tools').glob('*.py')}
    starts_processes = {'launch'}
    assert {case.tool for case in CASES} == tools - starts_processes
    assert len(CASES) >= 250
