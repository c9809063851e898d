# InfoPro's contrast form, K=2: features of one class attract and of two classes repel, on a
# class-balanced sample of pixels, where the paper's other form has a task head.
_base_ = './infopro_deeplabv3_r18.py'
contrast = dict(type='PixelContrastHead', temperature=0.07, loss_weight=1.0)
reconstruction = dict(type='ReconstructionHead', loss_weight=1.5)
model = dict(local=dict(heads=[contrast, reconstruction]))
