"""Data sets by name, the tasks that models learn from them, and batches.

A script meets `Data` through its run, its model's task, and `count_doublings` where its networks
follow the size of images; `load` gives the data set itself.
"""

from common.data.catalogue import NAMES, default_data_dir
from common.data.dataset import Dataset, Split
from common.data.lazy import Data
from common.data.sizes import count_doublings
from common.data.tasks import TRANSLATIONS, Classification, Domains, Task, load

__all__ = [
    "NAMES",
    "TRANSLATIONS",
    "Classification",
    "Data",
    "Dataset",
    "Domains",
    "Split",
    "Task",
    "count_doublings",
    "default_data_dir",
    "load",
]
