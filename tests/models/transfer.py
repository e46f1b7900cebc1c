"""Transfer learning on ResNet-18; He and others (2015), with torchvision's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from common.data import Classification
from common.pictures.images import caption, grid
from tests.models.description import (
    Config,
    ImageShape,
    Model,
    Reference,
    Weights,
    choose,
    conv,
    dense,
    norm,
    numbers,
)
from tests.reference.autograd import Value, class_cross_entropy, relu, sum_to
from tests.reference.layers import Network, max_pool2d
from tests.reference.optimizers import SGD

MEAN = np.array([0.485, 0.456, 0.406])  # of ImageNet, red, green, blue
DEVIATION = np.array([0.229, 0.224, 0.225])
STAGES = ((1, 1), (2, 2), (4, 2), (8, 2))  # how many times the width, and the stride


def networks(image_shape: ImageShape, config: Config, classes: int) -> dict[str, Weights]:
    width = config["width"]
    backbone = conv("conv1", image_shape[-1], width, 7, "he", bias=False)
    backbone |= norm("bn1", width, "one")
    inputs = width
    for stage, (times, stride) in enumerate(STAGES, start=1):
        outputs = times * width
        for block in (0, 1):
            name = f"layer{stage}.{block}"
            backbone |= conv(f"{name}.conv1", inputs, outputs, 3, "he", bias=False)
            backbone |= norm(f"{name}.bn1", outputs, "one")
            backbone |= conv(f"{name}.conv2", outputs, outputs, 3, "he", bias=False)
            backbone |= norm(f"{name}.bn2", outputs, "one")
            if stride != 1 and block == 0:
                backbone |= conv(f"{name}.downsample.0", inputs, outputs, 1, "he", bias=False)
                backbone |= norm(f"{name}.downsample.1", outputs, "one")
            inputs = outputs
    return {"backbone": backbone, "head": dense("fc", 8 * width, classes, "glorot")}


class Backbone(Network):
    def __call__(self, x: Value, training: bool) -> Value:
        """(N, 3, H, W) -> (N, 8f): a convolution, four stages of two blocks, the mean."""
        x = relu(self.norm("bn1", self.conv("conv1", x, stride=2, padding=3), training))
        x = max_pool2d(x, kernel=3, stride=2, padding=1)
        for stage, (_, stride) in enumerate(STAGES, start=1):
            x = self.block(f"layer{stage}.0", x, stride, training)
            x = self.block(f"layer{stage}.1", x, 1, training)
        count, channels, height, width = x.shape
        return sum_to(x, (count, channels, 1, 1)).reshape(count, channels) / (height * width)

    def block(self, name: str, x: Value, stride: int, training: bool) -> Value:
        """relu(F(x) + x), where x is projected if the stride is not 1 (option B of the paper)."""
        y = self.conv(f"{name}.conv1", x, stride=stride, padding=1)
        y = self.conv(f"{name}.conv2", relu(self.norm(f"{name}.bn1", y, training)), 1, 1)
        y = self.norm(f"{name}.bn2", y, training)
        if stride != 1:
            x = self.conv(f"{name}.downsample.0", x, stride=stride, padding=0)
            x = self.norm(f"{name}.downsample.1", x, training)
        return relu(y + x)


class Classifier(Reference):
    """SGD with momentum on the cross-entropy, at a tenth of the rate after 70 % of the steps."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.backbone = Backbone(self.part("backbone"))
        self.head = Network(self.part("head"))
        self.frozen = self.config["mode"] == "frozen"
        weights = list(self.head.weights.values())
        if not self.frozen:
            weights = [*self.backbone.weights.values(), *weights]
        self.optimizer = SGD(weights, self.config["learning_rate"], momentum=0.9)
        self.done = 0

    def logits(self, images: np.ndarray, training: bool) -> Value:
        x = np.moveaxis((images / 255 - MEAN) / DEVIATION, -1, 1)
        return self.head.dense("fc", self.backbone(Value(x), training))

    def step(self, batch: Any, random: np.random.Generator) -> dict[str, float]:
        self.done += 1
        late = (self.done - 1) / self.config["steps"] >= 0.7
        self.optimizer.learning_rate = self.config["learning_rate"] * (0.1 if late else 1)
        loss = class_cross_entropy(self.logits(batch.images, not self.frozen), batch.labels)
        self.optimizer.minimize(loss)
        return numbers({"classification_loss": loss})

    def test(self, batch: Any, random: np.random.Generator) -> dict[str, float]:
        logits = self.logits(batch.images, training=False)
        right = float((logits.data.argmax(1) == batch.labels).mean())
        loss = class_cross_entropy(logits, batch.labels)
        return numbers({"classification_loss": loss}) | {"accuracy": right}

    def draw(self, dataset: Any, random: np.random.Generator) -> np.ndarray:
        """The probabilities of each class: (N, K)."""
        logits = self.logits(choose(dataset, 512).images[:32], training=False).data
        shares = np.exp(logits - logits.max(1, keepdims=True))
        return shares / shares.sum(1, keepdims=True)

    def compose(self, dataset: Any, drawn: np.ndarray) -> np.ndarray:
        """Each test image over what it is taken for."""
        part = choose(dataset, 512)
        taken = drawn.argmax(1)
        words = [
            f"{dataset.class_names[k]} {row[k]:.2f}" for k, row in zip(taken, drawn, strict=True)
        ]
        return grid(caption(part.images[:32], words, taken != part.labels[:32]), columns=8)


MODEL = Model(
    defaults={
        "dataset": "newts",
        "steps": 200,
        "batch_size": 32,
        "learning_rate": 1e-3,
        "mode": "finetune",
        "weights": "newts",
        "width": 16,
        "input": None,
    },
    proof={
        "image_size": 32,
        "batch_size": 16,
        "learning_rate": 5e-4,
        "width": 4,
    },
    networks=networks,
    classes={"backbone": "Backbone", "head": "Head"},
    optimizers={"classifier": ("backbone", "head")},
    losses=("classification_loss",),
    reference=Classifier,
    prints=("test accuracy, at least (95 %): ", "confusion:  "),
    from_chance={"mode": "scratch"},
    task=lambda _: Classification(),
    decays=True,
)
