"""The examples of training loops, against autograd on the sum of all losses."""

import pytest
import torch
from mmengine.config import Config
from torch.utils.data import DataLoader

from docs.examples import plain_pytorch
from tests.models import HEADS, disable_logging, model_config

CFG = Config(dict(model=model_config(local=dict(boundaries=['layer1.1', 'layer3.0'], heads=HEADS))))
LR = 0.05


def batches():
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        images = torch.randint(0, 256, (2, 3, 64, 64), generator=generator, dtype=torch.uint8)
        labels = torch.randint(0, 5, (2, 64, 64), generator=generator)
        yield plain_pytorch.collate(list(zip(images, labels, strict=True)))


def new_model():
    torch.manual_seed(0)
    with disable_logging():
        return plain_pytorch.build_model(CFG)


def assert_same_weights(model, other):
    for (name, weight), expected in zip(
        model.state_dict().items(), other.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(weight, expected, msg=lambda text, name=name: f'{name}: {text}')


@pytest.fixture
def expected():
    """Trained with one graph for all modules, whose losses have detached borders between them."""
    model = new_model()
    optimizer = torch.optim.SGD(model.parameters(), LR, momentum=0.9, weight_decay=5e-4)
    for data in batches():
        losses = model(**model.data_preprocessor(data, True), mode='loss')
        optimizer.zero_grad()
        sum(value.sum() for name, value in losses.items() if 'loss' in name).backward()
        optimizer.step()
    return model


def test_a_loop_in_plain_pytorch(expected):
    model, seen = new_model(), []
    optimizer = torch.optim.SGD(model.parameters(), LR, momentum=0.9, weight_decay=5e-4)
    plain_pytorch.train(model, batches(), optimizer, lambda at, losses: seen.append((at, losses)))
    assert_same_weights(model, expected)
    assert [iteration for iteration, _ in seen] == [0, 1, 2]
    assert {'local_0.loss_ce', 'local_1.loss_rec', 'decode.loss_ce'} <= seen[0][1].keys()


def test_a_lightning_module(expected, tmp_path):
    lightning = pytest.importorskip('lightning.pytorch', reason='needs lightning')
    from docs.examples.lightning_module import LocalSegmentor

    torch.manual_seed(0)
    with disable_logging():
        module = LocalSegmentor(CFG, LR)
    quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator='cpu',
        default_root_dir=tmp_path,
        enable_model_summary=False,
        **quiet,
    )
    trainer.fit(module, DataLoader(list(batches()), batch_size=None))
    assert trainer.global_step == 3
    assert_same_weights(module.model, expected)
