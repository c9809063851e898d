# InfoPro, K=2, with the paper's local heads and weights: 1.5 for reconstruction, 1 for the task.
_base_ = './e2e_deeplabv3_r101.py'
task = dict(
    type='FCNHead',
    channels=512,
    num_convs=1,
    concat_input=False,
    loss_decode=dict(type='CrossEntropyLoss', loss_weight=1.0),
)
reconstruction = dict(type='ReconstructionHead', loss_weight=1.5)
model = dict(
    type='InfoProEncoderDecoder',
    backbone=dict(type='InfoProResNetV1c'),
    local=dict(num_modules=2, heads=[task, reconstruction]),
)
