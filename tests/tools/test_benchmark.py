"""``tools/benchmark.py`` as a user calls it; without a GPU, so that every machine does the same."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_infopro.report import lever_rows
from tests.tools.conftest import Run

QUICK = '--rounds', 2, '--steps', 2


@pytest.fixture(autouse=True)
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)


def read(file: Path) -> Any:
    return json.loads(file.read_text())


def test_it_shows_the_methods_that_were_asked_for(run: Run, config: Path, tmp_path: Path) -> None:
    changes = '--num-modules', 2, 3, '--batch-size', 3, '--crop', 32, 64
    assert run('memory', config, *changes, '--json', 'memory.json').status == 0
    files = '--json', 'benchmark.json', '--picture', 'benchmark.png'
    outcome = run(
        'benchmark', config, *changes, '--recompute', 'none', 'units', '--no-time', *files
    )
    assert outcome.status == 0, outcome.err
    report = read(tmp_path / 'benchmark.json')
    names = ['e2e', 'with_cp', 'local:2', 'local:2 units', 'local:3', 'local:3 units']
    rows = report['rows']
    assert [row['name'] for row in rows] == names
    assert [row['num_modules'] for row in rows] == [1, 1, 2, 2, 3, 3]
    assert [row['recompute'] for row in rows] == ['none', 'none', *2 * ['none', 'units']]
    assert (report['batch_size'], report['crop']) == (3, [32, 64])
    assert all(f' {name} ' in outcome.out for name in names)
    assert 'time' not in outcome.out
    assert all(row['measured'] is None for row in rows)
    assert Image.open(tmp_path / 'benchmark.png').width > 500

    expected = read(tmp_path / 'memory.json')
    parts = 'total', 'parameters', 'gradients', 'optimizer_state', 'activations', 'flops'
    plain = [row for row in rows if row['recompute'] == 'none']
    for row, other in zip(plain, expected, strict=True):
        assert (row['name'], row['boundaries']) == (other['name'], other['boundaries'])
        assert [row['predicted'][part] for part in parts] == [other[part] for part in parts]
        assert row['predicted']['share'] == other['total'] / expected[0]['total']
        assert row['predicted']['flops_ratio'] == other['flops'] / expected[0]['flops']
    assert rows[3]['predicted']['total'] < rows[2]['predicted']['total']
    assert rows[3]['predicted']['flops'] > rows[2]['predicted']['flops']


def test_times_are_those_of_the_rounds(run: Run, config: Path, tmp_path: Path) -> None:
    eager = '--cfg-options', 'model.local.compile=True'
    outcome = run('benchmark', config, '--recompute', 'none', *QUICK, '--json', 'b.json', *eager)
    assert outcome.status == 0, outcome.err
    assert 'torch.compile, which the config asks for, is left out' in outcome.out
    report = read(tmp_path / 'b.json')
    assert report['machine']['device'] == 'cpu'
    assert report['machine']['threads'] == 1
    assert report['machine']['torch'] == torch.__version__
    assert report['machine']['name'] in outcome.out
    rows = report['rows']
    reference = median(chain.from_iterable(rows[0]['measured']['rounds']))
    for row in rows:
        measured = row['measured']
        assert [len(values) for values in measured['rounds']] == [2, 2]
        seconds = list(chain.from_iterable(measured['rounds']))
        assert min(seconds) > 0
        assert measured['seconds'] == pytest.approx(median(seconds))
        assert measured['quartiles'] == pytest.approx(np.percentile(seconds, (25, 75)))
        assert measured['ratio'] == pytest.approx(median(seconds) / reference)
        assert measured['round_seconds'] == [sum(values) / 2 for values in measured['rounds']]
        assert (measured['allocated'], measured['reserved']) == (None, None)
        assert f'{measured["ratio"]:.1%}' in outcome.out


def test_each_precision_is_compared_with_itself(run: Run, config: Path, tmp_path: Path) -> None:
    precisions = '--amp', 'bfloat16', 'float16'
    outcome = run(
        'benchmark', config, '--recompute', 'none', *precisions, '--rounds', 1, '--steps', 1,
        '--json', 'b.json', '--picture', 'b.svg',
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    rows = {(row['name'], row['precision']): row for row in read(tmp_path / 'b.json')['rows']}
    assert len(rows) == 6
    assert all(rows['e2e', name]['predicted']['share'] == 1 for name in ('bfloat16', 'float16'))
    seconds = rows['e2e', 'bfloat16']['measured']['seconds']
    assert seconds > 0
    cut = rows['local:2', 'bfloat16']['measured']
    assert cut['ratio'] == pytest.approx(cut['seconds'] / seconds)
    refused = rows['local:2', 'float16']
    assert refused['measured']['seconds'] is refused['measured']['ratio'] is None
    assert refused['measured']['rounds'] == []
    assert refused['predicted']['total'] > 0
    assert 'local:2 float16: float16 is not timed on a CPU' in outcome.out
    # Text in an SVG is drawn as shapes, under a comment that holds it.
    assert 'could not be timed: e2e float16, with_cp float16' in (tmp_path / 'b.svg').read_text()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--num-modules', 2, 40], 'num_modules must be between 1 and 9'),
        (['--steps', 0], '--steps must be at least 1, got 0'),
        (['--rounds', -1], '--rounds must be at least 1, got -1'),
        (['--json', 'nowhere/b.json'], '--json nowhere/b.json: there is no folder nowhere'),
        (['--picture', 'nowhere/b.png'], '--picture nowhere/b.png: there is no folder nowhere'),
        (['--picture', 'b.txt'], '--picture must end in .png, .svg, .pdf, got b.txt'),
        (['--recompute', 'auto'], "recompute='auto' and caps go together"),
        (['--recompute', 'none', '--cap', '1GB'], "recompute='auto' and caps go together"),
        (['--cap', 'much'], "a size must be a text as '12GiB'"),
        (['--batch-size', 0], 'the batch size must be at least 1, got 0'),
        (['--processes', 1], '--processes must be at least 2, got 1'),
        (['--processes', 40], '--processes: num_modules must be between 1 and 9'),
        (
            ['--processes', 2, '--amp', 'none', 'bfloat16'],
            '--processes takes one word of --amp, got none bfloat16',
        ),
        (
            ['--processes', 2, '--method', 'manpp'],
            '--processes: the local head MomentumHead of module 0 follows weights of later modules',
        ),
        (
            ['--processes', 2, '--method', 'overlap'],
            '--processes: local.schedule (Overlapping) cannot be spread over processes',
        ),
    ],
)
def test_what_does_not_fit_is_a_sentence_before_the_work(
    run: Run, config: Path, arguments: list[object], message: str
) -> None:
    outcome = run('benchmark', config, *arguments)
    assert message in outcome.error
    assert 'dry steps' not in outcome.err


def test_levers_are_rows(
    run: Run, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {name: lever_rows.ROWS[name] for name in ('looped step', 'compile')}
    monkeypatch.setattr(lever_rows, 'ROWS', few)
    outcome = run(
        'benchmark', config, '--levers', '--num-modules', 1, 2, '--no-time', '--json', 'b.json',
        '--picture', 'b.png',
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    rows = {row['name']: row for row in read(tmp_path / 'b.json')['rows']}
    local = ['plain', '+ looped step', '+ compile', 'free', 'lean', 'least']
    assert list(rows) == ['e2e', 'with_cp', *(f'local:2 {name}' for name in local)]
    assert all(name in outcome.out for name in rows)
    assert 'local:2 + compile: a dry step runs eagerly' in outcome.out
    for name, recipe in (('local:2 lean', 'lean'), ('local:2 + looped step', 'plain+looped-step')):
        memory = run('memory', config, '--num-modules', 2, '--recipe', recipe, '--json', 'm.json')
        assert memory.status == 0, memory.err
        (expected,) = [row for row in read(tmp_path / 'm.json') if row['name'] == 'local:2']
        assert rows[name]['predicted']['total'] == expected['total']


def test_processes_are_a_table_of_their_own(run: Run, config: Path, tmp_path: Path) -> None:
    outcome = run('benchmark', config, '--no-time', '--processes', 2, '--json', 'b.json')
    assert outcome.status == 0, outcome.err
    assert 'Training on 2 processes' in outcome.out
    # The config's own.
    assert "2 processes: boundaries=['layer2.0'], recompute='none'" in outcome.out
    (found,) = read(tmp_path / 'b.json')['processes']
    rows = {row['name']: row for row in found['rows']}
    placed = '--cfg-options', 'model.local.placement=pipeline'
    assert run('memory', config, '--brief', '--json', 'm.json', *placed).status == 0
    whole, *_ = expected = read(tmp_path / 'm.json')
    stages = [row for row in expected if 'process' in row['name']]
    pipeline = rows['2 modules, 2 processes']
    assert pipeline['peak_bytes'] == [row['total'] for row in stages]
    assert pipeline['flops_ratio'] == sum(row['flops'] for row in stages) / whole['flops']
    bucket = 25 * 2**20  # what gradients are averaged by
    assert rows['E2E, 2 processes']['peak_bytes'] == [whole['total'] + bucket] * 2
    assert rows['E2E, 1 process']['peak_bytes'] == [whole['total']]
    assert pipeline['images_per_second'] is None


@pytest.mark.campaign
def test_processes_are_timed_by_turns(run: Run, config: Path, tmp_path: Path) -> None:
    outcome = run('benchmark', config, *QUICK, '--processes', 2, '--json', 'b.json')
    assert outcome.status == 0, outcome.err
    (found,) = read(tmp_path / 'b.json')['processes']
    speeds = {row['way']: row['images_per_second'] for row in found['rows']}
    for row in found['rows']:
        assert len(row['rounds']) == 2
        assert row['ratio'] == pytest.approx(row['images_per_second'] / speeds['e2e, one process'])
        assert f'{row["ratio"]:.2f}' in outcome.out


def test_unknown_words_are_refused(run: Run, config: Path) -> None:
    outcome = run('benchmark', config, '--recompute', 'some')
    assert outcome.status == 2
    assert "invalid choice: 'some' (choose from" in outcome.err


def test_auto_stays_within_each_cap_or_says_that_it_cannot(
    run: Run, config: Path, tmp_path: Path
) -> None:
    common = 'benchmark', config, '--num-modules', 1, 2, '--no-time', '--json', 'b.json'
    cap = 4_550_000  # cutting this tiny network in two needs 4.64 MB
    outcome = run(*common, '--recompute', 'none', 'auto', '--cap', f'{cap}B', '1KB')
    assert outcome.status == 0, outcome.err
    rows = {row['name']: row for row in read(tmp_path / 'b.json')['rows']}
    assert [row['num_modules'] for row in rows.values()] == [1, 1, 1, 1, 2, 2, 2]
    fitting = rows[f'local:2 auto {cap}B']
    assert fitting['predicted']['total'] <= cap < rows['local:2']['predicted']['total']
    assert fitting['recompute'] != 'none'
    assert rows['local:2 auto >1KB']['predicted']['total'] > 1000
    assert 'auto >SIZE: nothing fits this cap; the smallest peak found' in outcome.out


def test_a_plain_config_needs_a_number_of_modules(run: Run) -> None:
    outcome = run('benchmark', 'mmseg::fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py')
    assert 'has no model.local: say --num-modules 2 4, for example' in outcome.error


def test_help_holds_an_example(run: Run) -> None:
    outcome = run('benchmark', '--help')
    assert outcome.status == 0
    assert 'infopro benchmark configs/' in outcome.out
