"""Declares torchvision's C++ operators by name, so that its import succeeds beside a CPU build of torch.

The operators themselves stay unusable; the models of the benchmark need none of them.
"""

import importlib.util
import pathlib
import re

import torch

LIBRARY = torch.library.Library("torchvision", "FRAGMENT")


def declare() -> None:
    """Declares every operator that torchvision registers a fake kernel for, unless it is there already."""
    specification = importlib.util.find_spec("torchvision")
    if specification is None or not specification.submodule_search_locations:
        return
    package = pathlib.Path(specification.submodule_search_locations[0])
    source = (package / "_meta_registrations.py").read_text()
    for name in sorted(set(re.findall(r'register_(?:fake|meta)\(\s*"(?:torchvision::)?(\w+)"', source))):
        if not hasattr(torch.ops.torchvision, name):
            LIBRARY.define(f"{name}(Tensor x) -> Tensor")


declare()
