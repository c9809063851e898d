# InfoPro, K=2, with the paper's local heads and weights.
_base_ = './e2e_deeplabv3_r50.py'
model = dict(
    type='InfoProEncoderDecoder',
    backbone=dict(type='InfoProResNetV1c'),
    local=dict(num_modules=2, heads='paper'),
)
