from __future__ import annotations

import json
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS

from mmseg_infopro.backbones.supported import supported_backbones
from mmseg_infopro.run.checkpoints import check_checkpoint
from mmseg_infopro.run.export import check_same_output
from mmseg_infopro.run.plain_config import own_types, plain_class, plain_config
from tests.models import HEADS, build, model_config
from tests.tools.conftest import ROOT, Run, Trained, metrics_file, write_config

CONFIGS = sorted(
    str(path.relative_to(ROOT / 'configs'))
    for path in (ROOT / 'configs').rglob('*.py')
    if '_base_' not in path.parts
)
PLAIN_TEST = """
import json, sys
sys.modules['mmseg_infopro'] = None  # importing it raises
from mmengine.config import Config
from mmengine.runner import Runner
cfg = Config.fromfile(sys.argv[1])
cfg.load_from, cfg.work_dir = sys.argv[2], 'plain'
metrics = Runner.from_cfg(cfg).test()
print(json.dumps({name: round(float(value), 4) for name, value in metrics.items()}))
"""


def test_plain_mmseg_gives_the_same_metrics(trained: Trained, run: Run, tmp_path: Path) -> None:
    outcome = run('export', trained.config, trained.checkpoint, '--out', 'plain')
    assert outcome.status == 0, outcome.err
    assert 'bit for bit' in outcome.out
    evaluation = run('test', trained.config, trained.checkpoint, '--work-dir', 'run')
    ours = json.loads(metrics_file(evaluation).read_text())['metrics']
    plain = subprocess.run(
        [sys.executable, '-c', PLAIN_TEST, 'plain/tiny.py', 'plain/iter_2.pth'],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert plain.returncode == 0, plain.stderr
    assert json.loads(plain.stdout.splitlines()[-1]) == ours


def test_nothing_of_ours_is_left(trained: Trained, run: Run) -> None:
    run('export', trained.config, trained.checkpoint, '--out', 'plain')
    text = Path('plain/tiny.py').read_text()
    for word in ('mmseg_infopro', 'InfoPro', 'Checked', 'Seeded', 'Stream', 'RNG', 'atomic'):
        assert word not in text
    assert 'local' not in Config.fromfile('plain/tiny.py').model
    content = check_checkpoint('plain/iter_2.pth')
    assert content.keys() == {'meta', 'state_dict'}
    assert content['meta'].keys() == {'dataset_meta'}
    assert len(content['meta']['dataset_meta']['classes']) == 19
    assert {name.split('.')[0] for name in content['state_dict']} == {
        'backbone', 'decode_head', 'auxiliary_head',
    }  # fmt: skip
    assert sorted(path.name for path in Path().glob('*plain*')) == ['plain']


def test_full_folders_are_not_written_to(trained: Trained, run: Run) -> None:
    Path('plain').mkdir()
    Path('plain/mine.txt').write_text('mine')
    outcome = run('export', trained.config, trained.checkpoint, '--out', 'plain')
    assert outcome.error == ('error: plain already holds something: name a new or empty folder')
    assert [path.name for path in Path('plain').iterdir()] == ['mine.txt']
    assert run('export', trained.config, trained.checkpoint, '--out', 'plain/new').status == 0


def test_a_failed_export_leaves_nothing(
    trained: Trained, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def disagree(*_: object) -> None:
        raise ValueError('the plain model gives other logits')

    monkeypatch.setattr('mmseg_infopro.run.export.check_same_output', disagree)
    assert 'other logits' in run('export', trained.config, trained.checkpoint, '--out', 'e').error
    assert list(tmp_path.iterdir()) == []


def test_other_weights_are_noticed() -> None:
    ours = build(model_config(local=dict(num_modules=1)), seed=0)
    plain = build(model_config(), seed=0)
    plain.load_state_dict(ours.state_dict())
    check_same_output(ours, plain)
    with torch.no_grad():
        plain.decode_head.conv_seg.bias[0] += 1e-3
    with pytest.raises(ValueError, match=r'other logits \(difference up to 0\.001\)'):
        check_same_output(ours, plain)


def test_outputs_are_compared_for_images_of_the_backbones_channels() -> None:
    cfg = model_config(local=dict(boundaries=['layer2.0'], heads=HEADS[:1]))
    cfg['backbone']['in_channels'] = 5
    cfg['data_preprocessor'].update(mean=None, std=None, bgr_to_rgb=False)
    model = build(cfg)
    check_same_output(model, deepcopy(model))


def test_what_stays_is_named(trained: Trained, streets: Path, run: Run, tmp_path: Path) -> None:
    config = write_config(tmp_path, streets, "val_dataloader['dataset']['type'] = 'CamVidDataset'")
    outcome = run('export', config, trained.checkpoint, '--out', 'plain')
    assert outcome.status == 0, outcome.err
    assert 'warning: CamVidDataset has no equivalent in mmsegmentation' in outcome.err
    assert Config.fromfile('plain/tiny.py').custom_imports.imports == ['mmseg_infopro']


@pytest.mark.parametrize('config', CONFIGS)
def test_shipped_configs_become_plain(config: str) -> None:
    cfg = Config.fromfile(ROOT / 'configs' / config)
    before = deepcopy(cfg.to_dict())
    if 'contsup' in config and 'boundaries' not in cfg.model.local:
        with pytest.raises(ValueError, match='take the config that the run has dumped'):
            plain_config(cfg)
        return
    plain = plain_config(cfg)
    assert cfg.to_dict() == before
    assert 'pretrained' not in plain.model
    if 'contsup' in config:  # a context changes what the network predicts: nothing of mmseg does
        assert plain.model.local.context == cfg.model.local.context
        return
    assert set(own_types(plain.to_dict())) <= {'CamVidDataset', 'EfficientNetLite'}
    assert plain.model.type == 'EncoderDecoder'
    assert 'custom_imports' not in plain or 'camvid' in config


def test_scopes_of_our_bases_are_left_out() -> None:
    cfg = Config(dict(model=dict(type='InfoProEncoderDecoder', _scope_='mmseg_infopro')))
    assert plain_config(cfg).model == dict(type='EncoderDecoder')


@pytest.mark.parametrize('name', supported_backbones())
def test_backbones_become_their_parents(name: str) -> None:
    plain = plain_class(MODELS.get(name))
    assert plain is not None
    assert plain.__name__ == name.removeprefix('InfoPro')
    assert MODELS.get(plain.__name__) is plain


def test_cascades_stay_cascades() -> None:
    plain = plain_class(MODELS.get('InfoProCascadeEncoderDecoder'))
    assert plain is MODELS.get('CascadeEncoderDecoder')


def test_a_model_without_equivalent_is_refused() -> None:
    cfg = Config(dict(model=dict(type='EncoderDecoder', head=dict(type='ReconstructionHead'))))
    with pytest.raises(ValueError, match='no plain equivalent: it uses ReconstructionHead'):
        plain_config(cfg)


def test_hostile_checkpoints_are_not_run(trained: Trained, hostile: Path, run: Run) -> None:
    outcome = run('export', trained.config, hostile, '--out', 'plain')
    assert 'contains pickled code (posix.system)' in outcome.error
    assert not (hostile.parent / 'trace').exists()


def test_a_checkpoint_of_another_model_is_refused(trained: Trained, run: Run) -> None:
    arguments = trained.config, trained.checkpoint, '--out', 'plain'
    outcome = run('export', *arguments, '--cfg-options', 'model.decode_head.channels=16')
    assert 'does not fit the model of the config' in outcome.error
    assert not Path('plain').exists()
