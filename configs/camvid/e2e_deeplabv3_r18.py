# A half-width DeepLabV3-R18 from scratch on CamVid, 192x256 crops: small enough for a CPU.
_base_ = [
    '../_base_/models/deeplabv3_r18.py',
    '../_base_/datasets/camvid.py',
    '../_base_/schedules/sgd_poly.py',
    '../_base_/runtime.py',
]
max_iters = 2500
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(num_classes=11),
    auxiliary_head=dict(num_classes=11),
)
optim_wrapper = dict(optimizer=dict(lr=0.02))
param_scheduler = [
    dict(type='PolyLR', eta_min=1e-4, power=0.9, begin=0, end=max_iters, by_epoch=False)
]
train_cfg = dict(max_iters=max_iters, val_interval=500)
default_hooks = dict(checkpoint=dict(interval=500))
