"""``tools/gpu_report.py`` on a CPU, in miniature."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from mmseg_infopro.report.card.tasks import NEEDS_CUDA
from tests.tools.conftest import Run

SMALL = '--device', 'cpu', '--small', '--out', 'report'


@pytest.mark.slow
def test_all_that_a_cpu_can_run_runs_and_is_not_run_twice(run: Run, tmp_path: Path) -> None:
    outcome = run('gpu_report', *SMALL)
    assert outcome.status == 0, outcome.err
    rows = json.loads((tmp_path / 'report/report.json').read_text())['rows']
    states = {f'{row["section"]}/{row["name"]}': row['state'] for row in rows}
    assert set(states.values()) == {'done', 'skipped'}, outcome.out
    assert all(row['failure'] == NEEDS_CUDA for row in rows if row['state'] == 'skipped')
    figures = {row['section']: row['figures'] for row in rows if row['state'] == 'done'}
    assert set(figures) == {'memory', 'times', 'crop', 'group', 'forms'}
    errors = [row['figures']['error'] for row in rows if row['section'] == 'memory']
    assert all(abs(error) < 0.03 for error in errors)
    assert figures['crop']['predicted'] == figures['crop']['measured']
    assert figures['group']['difference'] == 0
    losses = figures['forms']['losses']
    assert losses['compiled'] == pytest.approx(losses['eager'], rel=1e-4)
    assert '| infopro:2 lean |' in (tmp_path / 'report/report.md').read_text()
    assert Image.open(tmp_path / 'report/report.png').width > 1000
    again = run('gpu_report', *SMALL)
    assert again.out.strip() == 'all rows have run: report/report.md'


def test_time_that_is_left_decides(run: Run) -> None:
    outcome = run('gpu_report', *SMALL, '--minutes', 0.001)
    assert outcome.status == 3
    assert 'no time left for memory/tiny_resnet float32 e2e: call again' in outcome.out


def test_the_rows_of_a_whole_report_are_listed(run: Run) -> None:
    lines = run('gpu_report', '--device', 'cpu', '--list').out.splitlines()
    assert len(lines) > 70
    assert lines[0].split() == ['to', 'run', 'memory/deeplabv3_r101', 'float32', 'e2e']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('--only', 'speed'), '--only speed fits no row'),
        (('--minutes', 0), '--minutes must be above 0'),
        (('--device', 'cuda'), '--device cuda needs a GPU'),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    run: Run, arguments: tuple, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert message in run('gpu_report', *arguments).error
