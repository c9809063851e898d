# The memory that K=2 saves, spent on the batch: 6 images per GPU, batch 12 on 2 GPUs.
_base_ = './infopro_deeplabv3_r50.py'
heads = _base_.model.local.heads
heads[0]['loss_decode']['loss_weight'] = 0.1
heads[1]['loss_weight'] = 1.0
model = dict(local=dict(heads=heads))
optim_wrapper = dict(optimizer=dict(lr=0.015))
train_dataloader = dict(batch_size=6)
auto_scale_lr = dict(base_batch_size=12)
