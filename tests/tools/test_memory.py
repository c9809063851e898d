"""``tools/memory.py`` as a user calls it."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/camvid/infopro_deeplabv3_r18.py'


def run(*arguments):
    command = [sys.executable, '-W', 'ignore', 'tools/memory.py', *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_it_prints_and_writes_the_peaks_beside_end_to_end(tmp_path):
    result = run(CONFIG, '--num-modules', 2, 3, '--json', tmp_path / 'peaks.json')
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / 'peaks.json').read_text())
    assert [row['num_modules'] for row in rows] == [1, 2, 3]
    assert rows[1]['total'] < rows[0]['total']
    parts = ('parameters', 'gradients', 'optimizer_state', 'activations')
    assert all(row['total'] == sum(row[part] for part in parts) for row in rows)
    assert '100.0%' in result.stdout
    assert "K=2: boundaries=['layer" in result.stdout


def test_a_config_without_local_is_one_sentence():
    result = run(ROOT / 'configs/camvid/e2e_deeplabv3_r18.py')
    assert result.returncode == 2
    assert 'has no model.local' in result.stderr
    assert 'Traceback' not in result.stderr


def test_too_many_modules_are_one_sentence():
    result = run(CONFIG, '--num-modules', 40)
    assert result.returncode == 2
    assert 'num_modules must be between 1 and 9' in result.stderr
