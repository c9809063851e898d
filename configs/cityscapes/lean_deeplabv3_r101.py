# The same network in little memory: losses in chunks, cheap local heads, norms and activations
# computed a second time in the backward pass, which costs bandwidth but no FLOPs, and gradients
# that are gone when the next module begins.
_base_ = './infopro_deeplabv3_r101.py'
model = dict(
    decode_head=dict(type='ChunkedASPPHead'),
    auxiliary_head=dict(type='ChunkedFCNHead'),
    local=dict(
        recompute='cheap',
        update_per_module=True,
        heads=[
            dict(type='BottleneckHead'),
            dict(type='ReconstructionHead', downscale=2, loss_weight=1.5),
        ],
    ),
)
