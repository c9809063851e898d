"""The methods of the field, each as its authors describe it, for segmentation."""

from __future__ import annotations

from ..local.infopro_heads import default_heads
from .methods import METHODS, Method

MLP = dict(type='MLPHead')
TASK, RECONSTRUCTION = default_heads()
PERIOD = 10
"""Every so many iterations one is global: ours, since none was published."""

METHODS['infopro'] = Method(
    summary='a task head, and a head that rebuilds the image so that information stays',
    formula='lambda_1 BCE(dec(h), x) + lambda_2 CE(task(h), y)',
    source='Wang et al., ICLR 2021, https://arxiv.org/abs/2101.10832',
    when='the default; the only one with published figures on segmentation',
)
METHODS['infopro_contrast'] = Method(
    summary='as InfoPro, with pixels of one class drawn together in place of the task head',
    formula='lambda_1 BCE(dec(h), x) + lambda_2 SupCon(proj(h), y)',
    source='Wang et al., ICLR 2021, https://arxiv.org/abs/2101.10832',
    when='its authors had the lowest errors with it on small images',
    heads=[dict(type='PixelContrastHead', temperature=0.07, loss_weight=1.0), RECONSTRUCTION],
)
METHODS['greedy'] = Method(
    summary='a linear classifier at every border',
    formula='CE(linear(h), y)',
    source='greedy SL, as a baseline of https://arxiv.org/abs/2101.10832',
    when='the cheapest, and the baseline of all others',
    heads=[dict(type='LinearHead')],
)
METHODS['dgl'] = Method(
    summary='a small perceptron of pooled pixels at every border',
    formula='CE(mlp(pool(h)), y)',
    source='Belilovsky et al., ICML 2020, https://arxiv.org/abs/1901.08164',
    when='the cheap head that most later methods build on',
    heads=[MLP],
)
METHODS['predsim'] = Method(
    summary='similarities of pixels match those of their labels',
    formula='(1 - beta) CE(linear(h), y) + beta MSE(S(conv(h)), S(y))',
    source='Noekland and Eidnes, ICML 2019, https://arxiv.org/abs/1901.06656',
    when='to compare; its authors had large batches, here pixels are compared',
    heads=[dict(type='SimilarityHead')],
)
METHODS['sequential'] = Method(
    summary='one module trains after the other, and is frozen then',
    formula='CE(mlp(pool(h)), y) for one module at a time',
    source='Belilovsky et al., ICML 2019, https://arxiv.org/abs/1812.11446',
    when='the least memory at a time; each module sees a share of the run only',
    heads=[MLP],
    schedule=dict(type='Sequential'),
)
for _name, _modes, _context in (
    ('contsup_e', 'the image', dict(image=True, history=0)),
    ('contsup_r1', 'the input of the module before', dict(image=False, history=1)),
    ('contsup_r1e', 'the image and the input of the module before', dict(image=True, history=1)),
):
    METHODS[_name] = Method(
        summary=f'modules also get {_modes}, embedded',
        formula='CE(mlp(pool(h)), y), h = f(sg h_before + E(x) + R(sg context))',
        source='Zhang et al., https://arxiv.org/abs/2312.07636',
        when='where early modules lose what later ones need; it changes the network at inference',
        heads=[MLP],
        context=dict(type='ContextSupply', **_context),
    )
METHODS['pgl'] = Method(
    summary='local training with a step end to end now and then',
    formula="InfoPro's losses; every tenth step the decode head's alone, through all modules",
    source='periodically guided learning, https://arxiv.org/abs/2208.00821; the period is ours',
    when='to win back what isolation costs, for the time of recomputing in those steps',
    schedule=dict(type='PeriodicGlobal', period=PERIOD),
)
METHODS['man'] = Method(
    summary='heads begin with a copy of the next unit and with its slow average',
    formula='CE(mlp(LB(h) + EMA(h)), y)',
    source='momentum auxiliary networks, ECCV 2024, https://arxiv.org/abs/2407.05623',
    when='modules that prepare for the next one',
    heads=[dict(type='MomentumHead', head=MLP, unit='next')],
)
METHODS['manpp'] = Method(
    summary='as MAN, with units of the next stage and a learned scale',
    formula='CE(mlp(s LB(h) + (2 - s) EMA(h)), y)',
    source='MAN++, https://arxiv.org/abs/2507.16279',
    when='modules that prepare for the next stage',
    heads=[dict(type='MomentumHead', head=MLP, unit='stage', scaled=True)],
)
METHODS['auglocal'] = Method(
    summary='heads of fresh units, shaped like a sample of the later ones',
    formula='CE(head(g_1 ... g_d(h)), y), g shaped like later units, more of them early on',
    source='Ma et al., ICLR 2024, https://arxiv.org/abs/2402.17318',
    when='many modules; the dearest heads',
    heads=[dict(type='GrownHead')],
)
METHODS['overlap'] = Method(
    summary='neighbours share a graph in pairs',
    formula='.001 l_k(f_k(sg h)) + .999 l_k(f_k(f_{k-1}(sg h_before)))',
    source='HPFF, ECCV 2024, https://arxiv.org/abs/2407.05638',
    when='modules that learn what the next one needs; each runs twice',
    heads=[MLP],
    schedule=dict(type='Overlapping'),
)
METHODS['feature_rec'] = Method(
    summary='a task head, and a head that rebuilds what the module started from',
    formula='CE(task(h), y) + MSE(dec(h), sg h_before)',
    source='https://arxiv.org/abs/2212.14215, with the decoder of https://arxiv.org/abs/2605.04913',
    when="InfoPro's idea without a decoder at full resolution",
    # LoPT's weight of 10 is for fine-tuning: from scratch it diverges.
    heads=[TASK, dict(type='FeatureReconstructionHead', loss_weight=1.0)],
)
METHODS['trgl'] = Method(
    summary='a task head, and small residual branches',
    formula='CE(mlp(pool(h)), y) + 1 / (2 tau) sum of mean(r^2) over residual branches r',
    source='https://arxiv.org/abs/2309.17357',
    when='residual networks and transformers',
    heads=[MLP, dict(type='ResidualPenalty', tau=10.0)],
)
METHODS['deep_supervision'] = Method(
    summary="InfoPro's heads, and nothing detached: the control",
    formula="the sum of InfoPro's losses over all modules, in one graph",
    source='Lee et al., AISTATS 2015, https://arxiv.org/abs/1409.5185',
    when='to see what the heads do and what the isolation; it saves no memory',
    schedule=dict(type='DeepSupervision'),
)
METHODS['e2e'] = Method(
    summary='end to end: one module, no local head',
    formula='CE(decode(h), y) and the auxiliary losses',
    source='mmsegmentation',
    when='if it fits',
)
