"""Makes torchvision importable where its wheel was built for CUDA and torch for the CPU.

`pip install --no-deps torchvision==0.28.0 timm` beside torch 2.13.0 leaves torchvision without its compiled operators.
`prepare()` declares them, and gives the two that the detection models need a slow body in Python.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SCHEMAS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align": "(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width, "
    "int sampling_ratio, bool aligned) -> Tensor",
}
DECLARED = re.compile(r'register_(?:fake|meta)\(\s*"(?:torchvision::)?(\w+)"')
_keep: list[Any] = []


def prepare() -> None:
    """Imports torchvision, with its operators declared first where its own library cannot be loaded."""
    folder = _folder()
    if _loads(folder):
        return
    library = torch.library.Library("torchvision", "DEF")
    for name in set(DECLARED.findall((folder / "_meta_registrations.py").read_text())) | set(SCHEMAS):
        library.define(name + SCHEMAS.get(name, "(Tensor x) -> Tensor"))
    _keep.append(library)
    _give_bodies(library)


def _folder() -> Path:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("torchvision is not installed: pip install --no-deps torchvision==0.28.0 timm")
    return Path(spec.submodule_search_locations[0])


def _loads(folder: Path) -> bool:
    try:
        for compiled in folder.glob("_C*.so"):
            torch.ops.load_library(compiled)
    except OSError:
        return False
    return hasattr(torch.ops.torchvision, "nms")


def _give_bodies(library: torch.library.Library) -> None:
    extension, align = (importlib.import_module(f"torchvision.{name}") for name in ("extension", "ops.roi_align"))
    plain = inspect.unwrap(align._roi_align)
    extension._has_ops = lambda: True
    align._roi_align = plain  # torchvision's own fallback would go through torch.compile
    library.impl("nms", _nms, "CPU")
    library.impl("roi_align", plain, "CompositeImplicitAutograd")


def _nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Non-maximum suppression: indices of the boxes (N, 4) that no better box overlaps by more than `threshold`."""
    from torchvision.ops import box_iou

    overlaps = box_iou(boxes, boxes) > threshold
    kept: list[int] = []
    alive = torch.ones(len(boxes), dtype=torch.bool)
    for index in scores.argsort(descending=True).tolist():
        if alive[index]:
            kept.append(index)
            alive &= ~overlaps[index]
    return torch.tensor(kept, dtype=torch.long)
