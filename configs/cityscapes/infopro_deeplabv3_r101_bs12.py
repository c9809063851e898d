# The memory that K=2 saves, spent on the batch: 6 images per GPU, batch 12 on 2 GPUs.
_base_ = './infopro_deeplabv3_r101.py'
task = dict(_base_.task, loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.1))
reconstruction = dict(_base_.reconstruction, loss_weight=1.0)
model = dict(local=dict(heads=[task, reconstruction]))
optim_wrapper = dict(optimizer=dict(lr=0.015))
train_dataloader = dict(batch_size=6)
auto_scale_lr = dict(base_batch_size=12)
