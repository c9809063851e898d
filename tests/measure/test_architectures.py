"""The bytes of a dry step against those of real tensors, for whole networks of mmseg."""

import gc

import pytest
from mmengine.registry import DefaultScope

from mmseg_infopro import localize, resolve
from mmseg_infopro.config.build import build_model
from mmseg_infopro.config.edit import override_step
from mmseg_infopro.config.pretrained import without_pretrained
from mmseg_infopro.config.read import read_config
from mmseg_infopro.config.step import dry_config_step, step_shape
from mmseg_infopro.measure.real_step import RealStep
from mmseg_infopro.measure.tracker import MemoryTracker
from mmseg_infopro.planning.batch import training_batch

CONFIGS = [
    'mmseg::deeplabv3/deeplabv3_r18-d8_4xb2-80k_cityscapes-512x1024.py',
    'mmseg::hrnet/fcn_hr18s_4xb2-40k_cityscapes-512x1024.py',
    'mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py',
]


def real_peak(cfg) -> int:
    shape = step_shape(cfg)
    with DefaultScope.overwrite_default_scope('mmseg'):
        step = RealStep(
            build_model(cfg.model), cfg.optim_wrapper, lambda: training_batch(shape), 'cpu'
        )
    tracker = MemoryTracker()
    tracker.track([*step.model.parameters(), *step.model.buffers()], 'parameters')
    for image in step.batch['inputs']:
        tracker.track([image], 'batch')
    tracker.track([sample.gt_sem_seg.data for sample in step.batch['data_samples']], 'batch')
    with tracker:
        for _ in range(2):
            step.take()
            gc.collect()
    return tracker.peak_bytes.total()


@pytest.mark.parametrize('recompute', ['none', 'cheap'])
@pytest.mark.parametrize('name', CONFIGS)
def test_a_dry_step_predicts_the_bytes_of_real_tensors(name, recompute):
    cfg = localize(read_config(name, None), 2)
    override_step(cfg, batch_size=2, crop=(128, 128))
    cfg.model.local.recompute = recompute
    cfg.optim_wrapper.optimizer.pop('fused', None)
    cfg.optim_wrapper.optimizer.foreach = True  # a dry step updates as on a GPU
    cfg.model = without_pretrained(cfg.model)
    resolved = resolve(cfg)
    predicted = dry_config_step(resolved).peak.total
    assert predicted == pytest.approx(real_peak(resolved), rel=0.01)
