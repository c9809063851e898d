# The same network in little memory: losses in chunks, cheap local heads, and norms and activations
# computed a second time in the backward pass, which costs bandwidth but no FLOPs.
_base_ = './infopro_deeplabv3_r101.py'
model = dict(
    decode_head=dict(type='ChunkedASPPHead'),
    auxiliary_head=dict(type='ChunkedFCNHead'),
    local=dict(
        recompute='cheap',
        heads=[
            dict(type='BottleneckHead'),
            dict(type='ReconstructionHead', downscale=2, loss_weight=1.5),
        ],
    ),
)
