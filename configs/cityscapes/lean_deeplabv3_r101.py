# The same network in little memory: losses in chunks, cheap local heads, norms and activations
# computed a second time in the backward pass, which costs bandwidth but no FLOPs, and gradients
# that are gone when the next module begins. A memory cap in this config is one of what torch's
# allocator hands out, tensors and the workspaces of matrix products, as the tables of
# docs/results.md have it; set memory_margin='1.25GiB' for that of a card.
_base_ = './infopro_deeplabv3_r101.py'
model = dict(
    decode_head=dict(type='ChunkedASPPHead'),
    auxiliary_head=dict(type='ChunkedFCNHead'),
    local=dict(
        recompute='cheap',
        update_per_module=True,
        memory_margin='64MiB',
        heads=[
            dict(type='BottleneckHead'),
            dict(type='ReconstructionHead', downscale=2, loss_weight=1.5),
        ],
    ),
)
