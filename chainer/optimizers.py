"""Chainer's Adam and momentum, with epsilon and the learning rate where the others have them."""

import chainer


class Adam(chainer.optimizers.Adam):
    """Adam as in its paper (Kingma, Ba 2014, https://arxiv.org/abs/1412.6980, algorithm 1).

    Chainer adds eps before the bias correction of the second moment; the paper and PyTorch add it
    after. Scaled by the correction it comes to the same.
    """

    def __init__(self, alpha, beta1, beta2, eps):
        super().__init__(alpha=alpha, beta1=beta1, beta2=beta2, eps=eps)
        self.paper_eps = eps

    def update(self, lossfun=None, *args, **kwargs):
        self.eps = self.paper_eps * (1 - self.beta2 ** (self.t + 1)) ** 0.5
        super().update(lossfun, *args, **kwargs)


class MomentumSGDRule(chainer.optimizers.momentum_sgd.MomentumSGDRule):
    """Chainer's own, but with the rate outside v; see `MomentumSGD`."""

    def update_core(self, param):
        v = self.state["v"]
        v *= self.hyperparam.momentum
        v += param.grad
        param.array -= self.hyperparam.lr * v


class MomentumSGD(chainer.optimizers.MomentumSGD):
    """Gradient descent with momentum: v <- momentum v + g; parameter <- parameter - lr v.

    Chainer has the rate inside v, where a change of it is felt only after a while.
    """

    def create_update_rule(self):
        return MomentumSGDRule(self.hyperparam)
