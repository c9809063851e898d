"""``tools/memory.py`` as a user calls it."""

import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from mmseg_infopro.report import timing
from tests.tools.conftest import Run

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/camvid/infopro_deeplabv3_r18.py'
PARTS = ('parameters', 'gradients', 'optimizer_state', 'activations')


def test_it_compares_local_modules_with_what_a_user_would_pick_instead(run_at_root, tmp_path):
    figures, picture = tmp_path / 'peaks.json', tmp_path / 'memory.png'
    result = run_at_root(
        'memory', CONFIG, '--num-modules', 2, 3, '--json', figures, '--picture', picture
    )
    assert result.status == 0, result.err
    rows = json.loads(figures.read_text())
    assert [row['name'] for row in rows] == ['e2e', 'with_cp', 'infopro/paper:2', 'infopro/paper:3']
    assert rows[1]['total'] < rows[0]['total'] < rows[1]['total'] + rows[0]['activations']
    assert rows[1]['flops'] > rows[0]['flops']
    assert rows[2]['total'] < rows[0]['total']
    assert all(row['total'] == sum(row[part] for part in PARTS) for row in rows)
    assert all(len(row['module_peaks']) == len(row['boundaries']) + 1 for row in rows[2:])
    assert '100.0%' in result.out
    assert "infopro/paper:2: boundaries=['" in result.out
    answer = r'^infopro/paper:[23]: the peak \([\d.]+ MiB\) is in local module'
    assert re.search(answer, result.out, re.MULTILINE)
    assert Image.open(picture).width > 500


def test_batch_crop_and_precision_can_be_changed(run_at_root, tmp_path):
    totals = []
    for changes in ([], ['--batch-size', 8], ['--crop', 96, 128, '--amp', 'bfloat16']):
        figures = tmp_path / 'peaks.json'
        result = run_at_root(
            'memory', CONFIG, '--num-modules', 2, '--json', figures, '--brief', *changes
        )
        assert result.status == 0, result.err
        totals.append(json.loads(figures.read_text())[0]['total'])
    as_it_is, more_images, smaller = totals
    assert more_images > 1.5 * as_it_is
    assert smaller < 0.5 * as_it_is


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['configs/camvid/e2e_deeplabv3_r18.py'], 'has no model.local: say --num-modules 2 4'),
        ([CONFIG, '--num-modules', 40], 'num_modules must be between 1 and 9'),
        ([CONFIG, '--batch-size', 0], 'the batch size must be at least 1, got 0'),
        ([CONFIG, '--crop', 0, 8], 'the crop must be at least 1 pixel high and wide'),
        ([CONFIG, '--json', 'nowhere/m.json'], '--json nowhere/m.json: there is no folder'),
        ([CONFIG, '--picture', 'm.txt'], '--picture must end in .png, .svg, .pdf, got m.txt'),
    ],
)
def test_what_does_not_fit_is_one_sentence(run_at_root, arguments, message):
    result = run_at_root('memory', *arguments)
    assert result.status == 2
    assert message in result.err
    assert 'Traceback' not in result.err


def test_what_a_gpu_is_too_small_for_is_a_cell_of_the_table(
    run: Run, config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    class Step:
        def __init__(self, cfg, device):
            self.boundaries = cfg.model.local.boundaries

        def measure_bytes(self):
            if not self.boundaries:
                raise torch.cuda.OutOfMemoryError('CUDA out of memory')
            return int(6.78 * 2**20), int(8.91 * 2**20)

    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0')  # a logger asks for the GPU's number
    monkeypatch.setattr(timing, 'real_config_step', Step)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'empty_cache', lambda: None)
    outcome = run('memory', config, '--device', 'cuda', '--json', 'm.json', '--brief')
    assert outcome.status == 0, outcome.err
    rows = json.loads((tmp_path / 'm.json').read_text())
    failures = [row['failure'] for row in rows]
    assert failures == ['out of GPU memory', 'out of GPU memory', None]
    assert outcome.out.count('OOM') == 4
    assert '6.78' in outcome.out
    assert rows[2]['reserved'] == int(8.91 * 2**20)


def test_a_real_step_needs_a_gpu(run: Run, config: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert '--device cuda needs a GPU' in run('memory', config, '--device', 'cuda').error
