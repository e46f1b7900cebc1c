"""The kinds of pictures that a run leaves to look at."""

from common.pictures.inferences import SamplesAndReconstructions
from common.pictures.reconstructions import LatentSpace, Reconstructions
from common.pictures.samples import ClassSamples, Samples
from common.pictures.translations import Translations

__all__ = [
    "ClassSamples",
    "LatentSpace",
    "Reconstructions",
    "Samples",
    "SamplesAndReconstructions",
    "Translations",
]
