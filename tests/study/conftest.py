"""A small config, for studies under a cap."""

import pytest
from mmengine.config import Config

from tests.models import model_config


@pytest.fixture(scope='module')
def cfg():
    return Config(
        dict(
            model=model_config(),
            train_dataloader=dict(
                batch_size=4,
                dataset=dict(pipeline=[dict(type='RandomCrop', crop_size=(64, 64))]),
            ),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.02, momentum=0.9)),
            train_cfg=dict(max_iters=1000, val_interval=100),
            param_scheduler=[dict(type='PolyLR', eta_min=1e-4, begin=0, end=1000)],
        )
    )
