"""Train the network behind `common/measures/features.py`, and write its weights there.

`python -m workshop.train_features` takes PyTorch and about six minutes on one core. It learns from
drawn newts, digits, and what it finds of `mnist/`, `fashion_mnist/` and `cifar10/` in the folder
of data sets; nothing is downloaded. The newts are others than the data set's own, and of the rest
it sees training images only. Half the images are blurred, and half are noisy: how much is one of
the things to tell, lest the features grow blind to it.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.data import default_data_dir, load, newts
from common.data.dataset import Split
from common.files import replacing
from common.measures import features
from common.run import launch

OPTIONAL = ("mnist", "fashion_mnist", "cifar10")
NEWTS = 16384
NEWTS_SEED = 1  # the data set's own is 0
BATCH = 64  # images of each data set in a step
LEARNING_RATE = 2e-3
SHIFT = 2  # pixels, at most
BLUR = 1.5  # pixels, the largest deviation of the Gaussian
NOISE = 40.0  # grey levels, the largest deviation
THUMBNAIL = 8  # side in pixels
# What each error counts in the loss.
CLASSES, PICTURE, MASK, DAMAGE = 1.0, 10.0, 3.0, 3.0


@dataclass(frozen=True)
class Source:
    """A data set to learn from, its images as the network takes them."""

    name: str
    classes: int
    train: Split
    test: Split


def at_side(name: str, data_dir: Path) -> list[Split]:
    """Both splits of a data set at 32 pixels: resized, and padded where scripts would pad it."""
    whole = [load(name, data_dir)]
    if whole[0].image_shape[0] < features.SIDE:
        whole.append(load(name, data_dir, multiple=16))
    splits = []
    for part in ("train", "test"):
        found = [getattr(dataset, part) for dataset in whole]
        images = np.concatenate([features.fit(split.images) for split in found])
        splits.append(Split(images, np.concatenate([split.labels for split in found])))
    return splits


def draw_newts(indices: np.ndarray) -> Split:
    """Newts at 32 pixels, the even ones drawn at this size, the odd ones at 64 and resized."""
    drawn = newts.draw(indices, features.SIDE, NEWTS_SEED)
    large = newts.draw(indices[1::2], 2 * features.SIDE, NEWTS_SEED)
    drawn.images[1::2] = features.fit(large.images)
    return drawn


def gather(data_dir: Path) -> list[Source]:
    """All data sets to learn from; those with masks come first."""
    train = draw_newts(np.arange(NEWTS))
    test = draw_newts(np.arange(NEWTS, NEWTS + 2048))
    sources = [Source("newts", len(newts.CLASS_NAMES), train, test)]
    for name in ("digits", *(name for name in OPTIONAL if (data_dir / name).is_dir())):
        sources.append(Source(name, 10, *at_side(name, data_dir)))
    return sources


def build(sources: list[Source]) -> Any:
    """The network of `common/measures/features.py`, and a linear head for each thing to tell."""
    import torch
    from torch import nn

    class Heads(nn.Module):
        """Features (N, D) to what is told of the images."""

        def __init__(self) -> None:
            super().__init__()
            given = features.DIMENSIONS
            self.classes = nn.ModuleDict({s.name: nn.Linear(given, s.classes) for s in sources})
            self.picture = nn.Linear(given, 3 * THUMBNAIL**2)
            self.mask = nn.Linear(given, THUMBNAIL**2)
            self.damage = nn.Linear(given, 2)

    class Extractor(nn.Module):
        """Images to features: (N, 3, 32, 32) in [-1, 1] -> (N, D)."""

        def __init__(self) -> None:
            super().__init__()
            for i in range(1, len(features.CHANNELS)):
                given, made = features.CHANNELS[i - 1 : i + 1]
                self.add_module(f"conv{i}", nn.Conv2d(given, made, 3, stride=2, padding=1))
            self.dense = nn.LazyLinear(features.DIMENSIONS)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for i in range(1, len(features.CHANNELS)):
                conv = self.get_submodule(f"conv{i}")
                x = nn.functional.leaky_relu(conv(x), features.SLOPE)
            return self.dense(x.flatten(1))

    extractor, heads = Extractor(), Heads()
    with torch.no_grad():
        extractor(torch.zeros(1, 3, features.SIDE, features.SIDE))
        drawn = features.random_weights()
        for name, parameter in extractor.named_parameters():
            parameter.copy_(torch.from_numpy(drawn[name]))
    return extractor, heads


def moved(split: Split, flip: bool, rng: np.random.Generator) -> Split:
    """A batch, shifted by up to two pixels each way, its edge repeated; half mirrored if asked."""
    around = (SHIFT, SHIFT)
    padded = np.pad(split.images, ((0, 0), around, around, (0, 0)), "edge")
    masks = split.masks
    padded_masks = None if masks is None else np.pad(masks, ((0, 0), around, around), "edge")
    images = np.empty_like(split.images)
    masks = None if masks is None else np.empty_like(masks)
    offsets = rng.integers(0, 2 * SHIFT + 1, (len(split), 2))
    steps = np.where(rng.random(len(split)) < 0.5 * flip, -1, 1)
    for i, ((top, left), step) in enumerate(zip(offsets, steps, strict=True)):
        window = np.s_[i, top : top + features.SIDE, left : left + features.SIDE]
        images[i] = padded[window][:, ::step]
        if masks is not None and padded_masks is not None:
            masks[i] = padded_masks[window][:, ::step]
    return Split(images, split.labels, masks)


def damaged(x: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """Images (N, 3, H, W) in [-1, 1], half of them blurred and half noisy; how much of each."""
    import torch

    shares = rng.random((len(x), 2)) * (rng.random((len(x), 2)) < 0.5)
    sigmas = torch.from_numpy(shares[:, 0] * BLUR)[:, None, None]
    side = x.shape[-1] + 8
    rows, columns = torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)
    gain = torch.exp(-2 * (torch.pi * sigmas) ** 2 * (rows**2 + columns**2)).float()[:, None]
    spectrum = torch.fft.rfft2(torch.nn.functional.pad(x, (4, 4, 4, 4), mode="replicate"))
    x = torch.fft.irfft2(spectrum * gain, (side, side))[..., 4:-4, 4:-4]
    noise = rng.standard_normal(x.shape) * (shares[:, 1] * NOISE / 127.5)[:, None, None, None]
    levels = torch.clip((x + torch.from_numpy(noise).float()) * 127.5 + 127.5, 0, 255).round()
    return levels / 127.5 - 1, torch.from_numpy(shares).float()


def tensor(images: np.ndarray) -> Any:
    """`uint8` (N, H, W, 3) to (N, 3, H, W) in [-1, 1]."""
    import torch

    return torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1)


def told(sources: list[Source], batches: list[Split], heads: Any, found: Any, x: Any) -> Any:
    """What the heads tell, each beside what is true, in one dictionary by name."""
    import torch

    halve = torch.nn.functional.avg_pool2d
    pairs = {}
    start = 0
    for source, batch in zip(sources, batches, strict=True):
        part = found[start : start + len(batch)]
        start += len(batch)
        pairs[source.name] = heads.classes[source.name](part), torch.from_numpy(batch.labels)
        if batch.masks is not None:
            cover = torch.from_numpy((batch.masks > 0).astype(np.float32))[:, None]
            pairs["mask"] = heads.mask(part), halve(cover, 4).flatten(1)
    pairs["picture"] = heads.picture(found), halve(x, features.SIDE // THUMBNAIL).flatten(1)
    return pairs


def train(sources: list[Source], steps: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Train extractor and heads with Adam; the learning rate falls to zero along a cosine."""
    from tqdm import trange

    import torch

    cross_entropy = torch.nn.functional.cross_entropy
    squared = torch.nn.functional.mse_loss
    extractor, heads = build(sources)
    parameters = [*extractor.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in trange(steps, desc="training", unit="step"):
        batches = [
            moved(
                source.train.take(rng.integers(0, len(source.train), BATCH)),
                source.name in ("newts", "cifar10"),
                rng,
            )
            for source in sources
        ]
        x, damage = damaged(tensor(np.concatenate([b.images for b in batches])), rng)
        found = extractor(x)
        pairs = told(sources, batches, heads, found, x)
        loss = PICTURE * squared(*pairs.pop("picture")) + MASK * squared(*pairs.pop("mask"))
        loss = loss + DAMAGE * squared(heads.damage(found), damage)
        loss = loss + CLASSES * sum(cross_entropy(*pair) for pair in pairs.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return extractor, heads


def standardise(extractor: Any, heads: Any, sources: list[Source]) -> None:
    """Scale the features to mean 0 and deviation 1 over training images, and the heads with them.

    Each data set counts alike.
    """
    import torch

    with torch.no_grad():
        images = np.concatenate([source.train.images[:1024] for source in sources])
        found = extractor(tensor(images))
        deviation, mean = torch.std_mean(found, dim=0)
        for head in (*heads.classes.values(), heads.picture, heads.mask, heads.damage):
            head.bias += head.weight @ mean
            head.weight *= deviation
        extractor.dense.weight /= deviation[:, None]
        extractor.dense.bias.copy_((extractor.dense.bias - mean) / deviation)


def examine(sources: list[Source], extractor: Any, heads: Any) -> dict[str, float]:
    """What the heads tell right of test images, and of damaged ones; figures by name."""
    import torch

    rng = np.random.default_rng(1)
    tests = [source.test.take(slice(None, 2048)) for source in sources]
    with torch.no_grad():
        x = tensor(np.concatenate([test.images for test in tests]))
        pairs = told(sources, tests, heads, extractor(x), x)
        marks = {}
        for name in ("picture", "mask"):
            guess, truth = pairs.pop(name)
            marks[f"{name}: explained variance"] = 1 - _share(guess, truth)
        for name, (guess, truth) in pairs.items():
            marks[f"{name}: accuracy"] = float((guess.argmax(1) == truth).float().mean())
        x, damage = damaged(x, rng)
        guess = heads.damage(extractor(x))
        for name, i in (("blur", 0), ("noise", 1)):
            marks[f"{name}: explained variance"] = 1 - _share(guess[:, i], damage[:, i])
    return {name: round(value, 3) for name, value in marks.items()}


def _share(guess: Any, truth: Any) -> float:
    """The share of the truth's variance that a guess misses."""
    return float(((guess - truth) ** 2).mean() / ((truth - truth.mean(0)) ** 2).mean())


def main() -> None:
    """Train, examine and write the weights as the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m workshop.train_features",
        description="Train the network behind the measures, and write its weights.",
    )
    parser.add_argument("--data-dir", type=Path, help="where data sets lie")
    parser.add_argument("--steps", type=int, default=4000, help="default: 4000")
    options = parser.parse_args()

    from safetensors.numpy import save_file

    import torch

    torch.manual_seed(0)  # the heads' weights; the rest is drawn by NumPy
    sources = gather(options.data_dir or default_data_dir())
    print("learning from " + ", ".join(s.name for s in sources), file=sys.stderr)
    extractor, heads = train(sources, options.steps, np.random.default_rng(0))
    standardise(extractor, heads, sources)
    marks = examine(sources, extractor, heads)
    for name, value in marks.items():
        print(f"{name} {value:.3f}")
    about = {
        "images": {source.name: len(source.train) for source in sources},
        "steps": options.steps,
        "marks": marks,
    }
    arrays = {n: p.detach().numpy().astype(np.float16) for n, p in extractor.named_parameters()}
    with replacing(features.WEIGHTS) as aside:
        save_file(arrays, aside, {"about": json.dumps(about)})


if __name__ == "__main__":
    launch(main)
