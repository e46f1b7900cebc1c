"""The kinds of pictures that runs draw."""

from common.pictures.inferences import SamplesAndReconstructions
from common.pictures.predictions import Predictions
from common.pictures.reconstructions import LatentSpace, Reconstructions
from common.pictures.samples import ClassSamples, Samples
from common.pictures.translations import DomainTranslations, Translations

__all__ = [
    "ClassSamples",
    "DomainTranslations",
    "LatentSpace",
    "Predictions",
    "Reconstructions",
    "Samples",
    "SamplesAndReconstructions",
    "Translations",
]
