"""``tools/localize.py`` and ``tools/coverage.py`` as a user calls them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmseg_infopro.config.read import read_config

ROOT = Path(__file__).resolve().parents[2]
BASE = 'mmseg::fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py'


def test_it_writes_a_short_config_that_inherits(run_at_root, tmp_path):
    out = tmp_path / 'new' / 'local.py'
    result = run_at_root('localize', BASE, '--num-modules', 2, '-o', out)
    assert result.status == 0, result.err
    assert "boundaries=['layer" in result.out
    lines = out.read_text().splitlines()
    assert len(lines) < 30
    assert lines[0] == f'# written by: python tools/localize.py {BASE} --num-modules 2 -o {out}'
    assert lines[1] == '# planned for batches of 2 at 512x1024 in float32'
    assert re.fullmatch(
        r'# predicted peak of tensors: [\d.]+ GiB, [\d.]+% of end-to-end.*', lines[2]
    )
    cfg = read_config(str(out))
    assert cfg.model.local.planned_for.crop == [512, 1024]
    assert cfg.model.type == 'InfoProEncoderDecoder'
    assert cfg.model.backbone.depth == 50
    assert cfg.model.local.num_modules == 2


def test_a_file_is_inherited_by_its_relative_path(run_at_root, tmp_path):
    base = tmp_path / 'configs' / 'plain.py'
    base.parent.mkdir()
    base.write_text(f"_base_ = '{BASE}'\n")
    out = tmp_path / 'local.py'
    result = run_at_root('localize', base, '--boundaries', 'layer2.0', '-o', out, '--brief')
    assert result.status == 0, result.err
    assert "_base_ = 'configs/plain.py'" in out.read_text()
    assert read_config(str(out)).model.local.boundaries == ['layer2.0']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--boundaries', 'layer9.0'], "boundary 'layer9.0' does not exist"),
        (['--num-modules', '99'], 'num_modules must be between 1 and 17'),
        (['--num-modules', '0'], 'num_modules must be between 1 and 17 for InfoProResNetV1c'),
        ([], 'say --num-modules, --boundaries or --memory-cap'),
    ],
)
def test_a_partition_that_does_not_fit_writes_nothing(run_at_root, tmp_path, arguments, message):
    result = run_at_root('localize', BASE, *arguments, '-o', tmp_path / 'local.py')
    assert result.status == 2
    assert message in result.err
    assert not (tmp_path / 'local.py').exists()


def test_nothing_is_overwritten_unasked(run_at_root, tmp_path):
    (tmp_path / 'local.py').write_text('mine')
    result = run_at_root('localize', BASE, '--num-modules', 2, '-o', tmp_path / 'local.py')
    assert result.status == 2
    assert 'already exists' in result.err
    assert (tmp_path / 'local.py').read_text() == 'mine'


def test_coverage_counts_a_family(tmp_path):
    json_file, table = tmp_path / 'coverage.json', tmp_path / 'coverage.md'
    arguments = '--families', 'san', 'erfnet', '--num-modules', 2
    # It starts processes, which import what they run.
    words = [sys.executable, '-W', 'ignore', 'tools/coverage.py', *map(str, arguments)]
    files = ['--json', str(json_file), '--markdown', str(table)]
    result = subprocess.run([*words, *files], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    outcomes = {row['config']: row['local'] for row in json.loads(json_file.read_text())}
    assert sum('frozen CLIP' in str(outcome) for outcome in outcomes.values()) == 6
    assert '| san | 6 |' in table.read_text()


def test_coverage_of_an_unknown_family_is_one_sentence(run_at_root):
    result = run_at_root('coverage', '--families', 'nosuch')
    assert result.status == 2
    assert '--families nosuch is none of ann, apcnet' in result.err
