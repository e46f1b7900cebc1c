"""Data: sets of images by name, their batches, and the sources that images are made from.

A script meets `Data` alone, through its run; `load` gives the data set itself.
"""

from common.data.catalogue import NAMES, default_data_dir, load
from common.data.dataset import Dataset, Split
from common.data.lazy import Data

__all__ = ["NAMES", "Data", "Dataset", "Split", "default_data_dir", "load"]
