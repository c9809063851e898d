# InfoPro, K=2, with the paper's local heads. The boundary is named, so that runs compare whatever a
# planner says of their batch and crop.
_base_ = './e2e_deeplabv3_r18.py'
model = dict(
    type='InfoProEncoderDecoder',
    backbone=dict(type='InfoProResNetV1c'),
    local=dict(boundaries=['layer2.0'], heads='paper'),
)
