"""Transfer learning: a ResNet-18 that has learned elsewhere tells new classes apart, in PyTorch.

Paper: He and others (2015), https://arxiv.org/abs/1512.03385
Run:   python pytorch/transfer.py --dataset imori --steps 100
Page:  docs/models/transfer.md
Departures from the paper: 16 channels in the first stage, not 64, unless --width says so.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.start import check_flags

if __name__ == "__main__":
    check_flags(__file__)  # before the framework, whose import takes seconds

import torch
from torch import nn
from torch.nn import functional as F

from common.bridges import pytorch as bridge
from common.data import Classification
from common.pictures import Predictions
from common.run import Run, Settings, launch
from common.run.pretrained import adopt

# Of ImageNet's red, green and blue, in [0, 1].
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Config(Settings):
    """The settings of this model; each annotated line is a flag."""

    excludes = ("mode", "scratch", "weights")

    steps: Annotated[int, "training steps; 0 writes the initial checkpoint and stops", 0] = 200
    batch_size: Annotated[int, "images per step", 2] = 32
    learning_rate: Annotated[float, "step size of SGD in the first 70 % of the steps", 0] = 1e-3
    mode: Annotated[
        str,
        "what learns: all, from --weights; the head alone, on them; or all, from random weights",
        ("finetune", "frozen", "scratch"),
    ] = "finetune"
    weights: Annotated[
        str, "where a backbone begins: newts, imagenet (with --width 64) or FILE"
    ] = "newts"
    width: Annotated[int, "channels of the first stage; the others have multiples", 2] = 16
    input: Annotated[str | None, "picture or folder to classify with --generate", "PATH"] = None

    def make_task(self):
        """Images, cropped and mirrored at random, and their classes."""
        return Classification()


# N batch, C channels, H height, W width, f width of the backbone, K classes


def preprocess(images, device):
    """Pixels in [0, 255] to the networks' range: (N, H, W, C) -> (N, C, H, W), standardised."""
    dtype = torch.get_default_dtype()
    x = bridge.send(images, device).movedim(-1, -3).contiguous()
    mean, deviation = (torch.tensor(of, dtype=dtype, device=device) for of in (MEAN, DEVIATION))
    return (x / 255 - mean[:, None, None]) / deviation[:, None, None]


def decay(config, step):
    """Learning rate of a step: constant for 70 % of all steps, then a tenth of it."""
    return config.learning_rate * (1 if (step - 1) / config.steps < 0.7 else 0.1)


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut: (N, in, H, W) -> (N, out, H / stride, W / stride)."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        norm = {"eps": 1e-5, "momentum": 0.1}  # the running average keeps 1 - 0.1
        same = {"kernel_size": 3, "padding": 1, "bias": False}
        self.conv1 = nn.Conv2d(inputs, outputs, **same, stride=stride)
        self.bn1 = nn.BatchNorm2d(outputs, **norm)
        self.conv2 = nn.Conv2d(outputs, outputs, **same, stride=1)
        self.bn2 = nn.BatchNorm2d(outputs, **norm)
        around = []  # the identity where the shapes match
        if stride != 1:
            around += [nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False)]
            around += [nn.BatchNorm2d(outputs, **norm)]
        self.downsample = nn.Sequential(*around)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.downsample(x))


class Backbone(nn.Module):
    """Image to features, ResNet-18 without its last layer: (N, C, H, W) -> (N, 8f)."""

    def __init__(self, image_shape, width):
        super().__init__()
        channels = image_shape[-1]
        norm = {"eps": 1e-5, "momentum": 0.1}
        half = {"kernel_size": 7, "stride": 2, "padding": 3, "bias": False}
        self.conv1 = nn.Conv2d(channels, width, **half)
        self.bn1 = nn.BatchNorm2d(width, **norm)
        self.layer1 = make_stage(width, width, stride=1)
        self.layer2 = make_stage(width, 2 * width, stride=2)
        self.layer3 = make_stage(2 * width, 4 * width, stride=2)
        self.layer4 = make_stage(4 * width, 8 * width, stride=2)
        self.apply(initialize)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))  # (N, f, H / 2, W / 2)
        x = F.max_pool2d(x, kernel_size=3, stride=2, padding=1)  # (N, f, H / 4, W / 4)
        x = self.layer2(self.layer1(x))  # (N, 2f, H / 8, W / 8)
        x = self.layer4(self.layer3(x))  # (N, 8f, H / 32, W / 32)
        return x.mean((2, 3))  # (N, 8f)


class Head(nn.Module):
    """Features to logits: (N, 8f) -> (N, K)."""

    def __init__(self, width, classes):
        super().__init__()
        self.fc = nn.Linear(8 * width, classes)
        self.apply(initialize)

    def forward(self, features):
        return self.fc(features)


def make_stage(inputs, outputs, stride):
    """Two blocks, the first of which may halve the image."""
    return nn.Sequential(BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs, 1))


def initialize(layer):
    """He's normal initial weights by fan out; the head's are Glorot's uniform, its biases 0."""
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(layer, nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)


def classification_loss(logits, labels):
    """-log softmax(logits) at the label, averaged over images."""
    return F.cross_entropy(logits, labels)


def train_step(networks, optimizers, images, labels, learning_rate, frozen):
    """Update both networks, or the head alone, on a batch of images and their labels."""
    optimizers["classifier"].param_groups[0]["lr"] = learning_rate
    # In training mode, batch norm of a frozen backbone would keep updating its averages.
    networks["backbone"].train(not frozen)
    loss = classification_loss(networks["head"](networks["backbone"](images)), labels)
    optimizers["classifier"].zero_grad()
    loss.backward()
    optimizers["classifier"].step()
    return {"classification_loss": loss.detach()}


@torch.no_grad()
def predict(networks, images):
    """The probability of each class, with the running averages of batch norm: (N, K)."""
    networks["backbone"].eval()
    return networks["head"](networks["backbone"](images)).softmax(1)


def build(config, image_shape, classes, device):
    """Both networks, and the optimiser of those that are trained."""
    networks = {
        "backbone": Backbone(image_shape, config.width).to(device),
        "head": Head(config.width, classes).to(device),
    }
    networks["backbone"].requires_grad_(config.mode != "frozen")
    parameters = [p for n in networks.values() for p in n.parameters() if p.requires_grad]
    sgd = {"lr": config.learning_rate, "momentum": 0.9}
    optimizers = {"classifier": torch.optim.SGD(parameters, **sgd)}
    return networks, optimizers


def start(arguments=None):
    """Make a run ready, as the command line says or as `arguments` do."""
    run = Run(Config, __file__, __doc__, arguments)
    config = run.config
    device = run.device = bridge.prepare(config.seed, config.device, config.precision)
    networks, optimizers = build(config, run.image_shape, len(run.class_names), device)

    def classify(images):
        return predict(networks, preprocess(images, device)).cpu().numpy()

    pictures = Predictions(run.data, classify, config.input)
    run.connect(bridge, networks, optimizers, pictures)
    if config.mode != "scratch" and not run.loaded:
        adopt(bridge, networks["backbone"], config.weights, config.data_dir)
    return run


def learn(run, batch):
    """Train on a batch, and return the losses."""
    images = preprocess(batch.images, run.device)
    labels = bridge.send(batch.labels, run.device)
    rate = decay(run.config, run.step + 1)
    frozen = run.config.mode == "frozen"
    return train_step(run.networks, run.optimizers, images, labels, rate, frozen)


def main():
    """Train, or classify with a checkpoint, as the command line says."""
    run = start()
    if run.config.generate:
        run.generate()
        return
    for batch in run.batches():
        run.log(learn(run, batch))


if __name__ == "__main__":
    launch(main)
