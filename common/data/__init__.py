"""Data: sets of images by name, their batches, and the sources that images are made from.

A script meets `Data` alone, through its run, and `count_doublings` where its networks follow the
size of images; `load` gives the data set itself.
"""

from common.data.catalogue import NAMES, default_data_dir, load
from common.data.dataset import Dataset, Split
from common.data.lazy import Data
from common.data.sizes import count_doublings

__all__ = [
    "NAMES",
    "Data",
    "Dataset",
    "Split",
    "count_doublings",
    "default_data_dir",
    "load",
]
