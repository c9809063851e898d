# The same with cheap local heads, and losses in chunks.
_base_ = './infopro_deeplabv3_r18.py'
model = dict(
    decode_head=dict(type='ChunkedASPPHead'),
    auxiliary_head=dict(type='ChunkedFCNHead'),
    local=dict(
        heads=[
            dict(type='BottleneckHead', channels=32),
            dict(type='ReconstructionHead', downscale=2, loss_weight=1.5),
        ],
    ),
)
