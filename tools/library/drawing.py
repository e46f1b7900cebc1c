"""What a model makes of a checkpoint, drawn by its own script in a process of its own.

The child starts the script's run as `--generate` does, and asks its pictures: an object of
`common.pictures`, whose class says what can be asked of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from common.data import Data, newts
from common.data.batches import every_image
from common.errors import UserError
from common.measures import bound, segments, similarity
from common.measures.path_length import path_length
from common.pictures import (
    ClassSamples,
    DomainTranslations,
    LatentSpace,
    Predictions,
    Reconstructions,
    Samples,
    Translations,
)
from common.pictures.base import portions
from common.run import launch
from tools.library.scripts import ROOT, load_script

DRAWS = 3  # with other noise each; their spread is shown
CODES = 50  # of an image, for the importance-weighted bound
SEGMENTED = 512  # training images whose masks are learned from
TOGETHER = 8  # images whose codes are decoded at once
DRAWN = (Samples, LatentSpace)  # kinds of pictures that need nothing but noise
SHOWN = 32  # images that a classifier's picture has
MOST = 2500  # samples that are drawn unless the user asks for more


@dataclass(frozen=True)
class Request:
    """What to draw.

    Attributes:
        model: its script's name.
        framework: that draws.
        checkpoint: of any framework.
        samples: images in a draw; None for as many as the test split has, at most `MOST`.
        seed: of all noise, and of the choice of real images.
        data_dir: where data sets lie; None for the default.
        fewest: that `samples` may be, if they are drawn from noise.
    """

    model: str
    framework: str
    checkpoint: str
    samples: int | None
    seed: int
    data_dir: str | None
    fewest: int


@dataclass
class Drawn:
    """What a model drew, and the real images beside it; all images `uint8` (N, H, W, C).

    Attributes:
        title: the model, framework and data set in words.
        test: as many images of the test split as there are samples; all, if there are no more.
        train: everything that the model learns from.
        floors: for each draw as many training images, other ones each time.
        samples: images drawn from noise, for each draw; or once those that are translations of
            the test images into their other domain; or nothing.
        made: what an autoencoder makes of each test image, a translator of its source; or None.
        sources: these; or None.
        others: for each draw, figures by name that need the networks themselves; or nothing.
        sheet: a picture of what a classifier takes test images for; or None.
        labels: the classes of the images of the test split, and of those in `train`, if samples
            can be read by them.
        asked: the classes that the samples were asked to be of; or nothing.
    """

    title: str
    test: np.ndarray
    train: np.ndarray
    floors: list[np.ndarray]
    samples: list[np.ndarray] = field(default_factory=list)
    made: np.ndarray | None = None
    sources: np.ndarray | None = None
    others: list[dict[str, float]] = field(default_factory=list)
    sheet: np.ndarray | None = None
    labels: list[np.ndarray] = field(default_factory=list)
    asked: np.ndarray | None = None


# In the child.


def draw_here(request: Request) -> Drawn:
    """Draw in this process.

    Raises:
        UserError: the checkpoint or the data cannot be used, or there are too few real images.
    """
    script = load_script(request.framework, request.model)
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["--generate", "1", "--from", request.checkpoint, "--out", f"{folder}/run"]
        arguments += ["--data-dir", request.data_dir] if request.data_dir else []
        run = script.start(arguments)
    pictures = run.pictures
    split, train = run.data.test, every_image(run.data.dataset)
    most = min(len(split), len(train))
    count = request.samples or min(most, MOST)
    if count > most:
        raise UserError(
            f"--samples {count}: {run.data.name} has {len(split)} test and {len(train)} training "
            f"images to compare with; give at most {most}"
        )
    if request.samples and count < request.fewest and isinstance(pictures, DRAWN):
        raise UserError(
            f"--samples {count}: too few for the Fréchet distance, which needs a sample more than "
            f"there are features; give at least {request.fewest}"
        )
    random = np.random.default_rng((request.seed, 3))
    chosen = np.arange(count)
    if count < len(split):
        chosen = np.sort(random.choice(len(split), count, replace=False))
        split = split.take(chosen)
    floors = [train[random.choice(len(train), count, replace=False)] for _ in range(DRAWS)]
    drawn = Drawn(run.title, split.images, train, floors)
    generators = [np.random.default_rng((request.seed, 4, draw)) for draw in range(DRAWS)]
    if isinstance(pictures, DRAWN):
        drawn.samples = [pictures.images(count, generator) for generator in generators]
    if isinstance(pictures, DRAWN) and len(run.class_names) > 1 and not run.data.augment:
        drawn.labels = [split.labels, run.data.train.labels]
    if isinstance(pictures, ClassSamples):
        drawn.asked = pictures.asked(count)
    if isinstance(pictures, Samples):
        for generator in generators:
            ends = [pictures.noise(count, generator) for _ in range(2)]
            length = path_length(pictures.from_noise, ends[0], ends[1], generator)
            drawn.others.append({"path length": length})
    if isinstance(pictures, Reconstructions):
        drawn.made = pictures.restore(split.images)
    if isinstance(pictures, Translations):
        drawn.sources = pictures.make_sources(split)
        drawn.made = pictures.translate(drawn.sources)
    if isinstance(pictures, DomainTranslations):
        drawn.samples, drawn.others = translate_domains(pictures, run.data, chosen)
    if isinstance(pictures, Predictions):
        drawn.others = [pictures.measure(split)]
        drawn.sheet = pictures.show(split.take(slice(SHOWN)))
    if isinstance(pictures, LatentSpace):
        drawn.others = [
            estimate_bounds(
                run.bridge.apply, run.networks, split.images, run.config.dtype, generator
            )
            for generator in generators
        ]
    return drawn


def translate_domains(
    pictures: DomainTranslations, data: Data, indices: np.ndarray
) -> tuple[list[np.ndarray], list[dict[str, float]]]:
    """Translations of test images into their other domain, and figures by name, for one draw.

    The error of translating back. Where masks are known, whether a translation is in the place
    of its source, and of the kind of its goal. Of newts, which can be drawn as the other kind, the
    error against that true translation. The same figures of the sources themselves stand beside
    them.

    Args:
        pictures: what translates.
        data: whose test split has the images.
        indices: of those to translate.
    """
    split = data.test.take(indices)
    made, back = np.empty_like(split.images), np.empty_like(split.images)
    for label, direction in enumerate(("a2b", "b2a")):
        chosen = np.flatnonzero(split.labels == label)
        if len(chosen):
            made[chosen], back[chosen] = pictures.translate(split.images[chosen], direction)
    figures = {"L1 there and back": similarity.absolute_error(split.images, back)}
    if split.masks is not None and data.train.masks is not None and not data.augment:
        known = data.train.take(slice(SEGMENTED))
        assert known.masks is not None
        segment = segments.fit(known.images, known.masks)
        found, there = segment(made), segment(split.images)
        figures |= {
            "overlap of masks": segments.overlap(found, split.masks),
            "overlap of masks, sources": segments.overlap(there, split.masks),
            "share of the other kind": segments.share(found, 2 - split.labels),
            "share of the other kind, sources": segments.share(there, 2 - split.labels),
        }
    if data.name == "newts":
        size = data.image_shape[0]
        true = newts.draw(newts.TRAIN_SIZE + indices, size, other_kind=True).images
        figures |= {
            "L1 to the true translation": similarity.absolute_error(true, made),
            "L1 to the true translation, sources": similarity.absolute_error(true, split.images),
            "SSIM to the true translation": similarity.structural_similarity(true, made),
            "SSIM to the true translation, sources": similarity.structural_similarity(
                true, split.images
            ),
        }
    return [made], [figures]


def estimate_bounds(
    apply: Callable[[Any, np.ndarray], list[np.ndarray]],
    networks: dict[str, Any],
    images: np.ndarray,
    dtype: str,
    random: np.random.Generator,
) -> dict[str, float]:
    """Bounds of log p(x) of `uint8` images (N, H, W, C), by name, from `CODES` codes an image."""
    weights = []
    for part in portions(len(images), TOGETHER):
        x = images[part].astype(dtype) / 255
        mean, logvar = apply(networks["encoder"], x)
        noise = random.standard_normal((len(x), CODES, mean.shape[1]))
        z = mean[:, None] + np.exp(logvar / 2)[:, None] * noise
        logits = apply(networks["decoder"], z.reshape(-1, z.shape[-1]).astype(dtype))[0]
        logits = logits.reshape(len(x), CODES, *x.shape[1:])
        weights.append(bound.log_weights(x, logits, mean, logvar, noise))
    joined = np.concatenate(weights)
    return {
        "ELBO": bound.evidence_lower_bound(joined),
        f"importance-weighted bound, {CODES} codes": bound.importance_weighted_bound(joined),
    }


def write(drawn: Drawn, folder: Path) -> None:
    """Put everything drawn into a folder."""
    arrays: dict[str, np.ndarray | None] = {"test": drawn.test, "train": drawn.train}
    arrays |= {f"floor{draw}": images for draw, images in enumerate(drawn.floors)}
    arrays |= {f"sample{draw}": images for draw, images in enumerate(drawn.samples)}
    arrays |= {f"label{split}": labels for split, labels in enumerate(drawn.labels)}
    arrays |= {"made": drawn.made, "sources": drawn.sources, "sheet": drawn.sheet}
    arrays |= {"asked": drawn.asked}
    for name, array in arrays.items():
        if array is not None:
            np.save(folder / f"{name}.npy", array)
    about = {"title": drawn.title, "others": drawn.others}
    (folder / "about.json").write_text(json.dumps(about))


def main() -> None:
    """The child: draw what `request.json` in the named folder asks for, into the folder."""
    folder = Path(sys.argv[1])
    write(draw_here(Request(**json.loads((folder / "request.json").read_text()))), folder)


# In the parent.


def read(folder: Path) -> Drawn:
    """What `write` has put into a folder."""

    def arrays(name: str) -> list[np.ndarray]:
        return [np.load(path) for path in sorted(folder.glob(f"{name}*.npy"))]

    about = json.loads((folder / "about.json").read_text())
    return Drawn(
        test=arrays("test")[0],
        train=arrays("train")[0],
        floors=arrays("floor"),
        samples=arrays("sample"),
        made=next(iter(arrays("made")), None),
        sources=next(iter(arrays("sources")), None),
        sheet=next(iter(arrays("sheet")), None),
        labels=arrays("label"),
        asked=next(iter(arrays("asked")), None),
        **about,
    )


def draw(request: Request) -> Drawn:
    """Draw in a process of its own.

    Raises:
        UserError: it failed.
        SystemExit: it found something that the user can mend, and has said so.
    """
    with tempfile.TemporaryDirectory(prefix="quartet-drawn-") as name:
        folder = Path(name)
        (folder / "request.json").write_text(json.dumps(asdict(request)))
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, "PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, "-m", "tools.library.drawing", name],
            env=environment,
            stdout=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode in (2, 130):
            sys.exit(done.returncode)
        if done.returncode:
            raise UserError(
                f"{request.framework} failed with exit status {done.returncode}; see above"
            )
        return read(folder)


if __name__ == "__main__":
    launch(main)
