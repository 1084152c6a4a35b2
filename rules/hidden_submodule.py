"""A module or parameter is kept where `parameters()` does not see it: in a plain list, tuple or dict.

`nn.Module` registers what is assigned to an attribute and is itself a module or parameter; it does not look into
Python containers. Forward runs, backward even computes the gradients, and no optimizer ever steps them; `state_dict`,
`.to(device)` and `eval()` pass them by as well.

The fix is a safe one where the container is written out; an unsafe one where it comes from elsewhere or has keys that
are not written out, since `nn.ModuleDict` takes only strings that are no attributes of its own.

Bad:

    ```python
    import torch
    from torch import nn


    class Pyramid(nn.Module):
        def __init__(self, width=8):
            super().__init__()
            self.stem = nn.Conv2d(3, width, 3, padding=1)
            self.dilated = [nn.Conv2d(width, width, 3, padding=d, dilation=d) for d in (1, 2, 4)]
            self.head = nn.Conv2d(width, 1, 1)

        def forward(self, image):
            x = torch.relu(self.stem(image))
            return self.head(sum(torch.relu(conv(x)) for conv in self.dilated))
    ```

    ```text
    9:25 error: `dilated` is a plain list, so `parameters()` misses 6 tensors in it and no optimizer trains them
    ```

    ```python
    import torch
    from torch import nn


    class Multitask(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk = nn.Linear(12, 16)
            self.heads = {"age": nn.Linear(16, 1), "income": nn.Linear(16, 1)}

        def forward(self, x):
            x = torch.relu(self.trunk(x))
            return {task: head(x) for task, head in self.heads.items()}
    ```

    ```text
    9:30 error: `heads` is a plain dict, so `parameters()` misses 4 tensors in it and no optimizer trains them
    ```

    ```python
    import torch
    from torch import nn


    class Prompted(nn.Module):
        def __init__(self, width=16, prompts=3):
            super().__init__()
            self.prompts = tuple(nn.Parameter(0.02 * torch.randn(width)) for _ in range(prompts))
            self.head = nn.Linear(width, 2)

        def forward(self, x):
            return self.head(x + sum(self.prompts))
    ```

    ```text
    8:30 error: `prompts` is a plain tuple, so `parameters()` misses 3 tensors in it and no optimizer trains them
    ```

Fixed:

    ```python
    import torch
    from torch import nn


    class Pyramid(nn.Module):
        def __init__(self, width=8):
            super().__init__()
            self.stem = nn.Conv2d(3, width, 3, padding=1)
            self.dilated = nn.ModuleList([nn.Conv2d(width, width, 3, padding=d, dilation=d) for d in (1, 2, 4)])
            self.head = nn.Conv2d(width, 1, 1)

        def forward(self, image):
            x = torch.relu(self.stem(image))
            return self.head(sum(torch.relu(conv(x)) for conv in self.dilated))
    ```

    ```python
    import torch
    from torch import nn


    class Multitask(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk = nn.Linear(12, 16)
            self.heads = nn.ModuleDict({"age": nn.Linear(16, 1), "income": nn.Linear(16, 1)})

        def forward(self, x):
            x = torch.relu(self.trunk(x))
            return {task: head(x) for task, head in self.heads.items()}
    ```

    ```python
    import torch
    from torch import nn


    class Prompted(nn.Module):
        def __init__(self, width=16, prompts=3):
            super().__init__()
            self.prompts = nn.ParameterList(nn.Parameter(0.02 * torch.randn(width)) for _ in range(prompts))
            self.head = nn.Linear(width, 2)

        def forward(self, x):
            return self.head(x + sum(self.prompts))
    ```

Good: the containers that register.

    ```python
    import torch
    from torch import nn


    class Registered(nn.Module):
        def __init__(self, width=8):
            super().__init__()
            self.stem = nn.Conv2d(3, width, 3, padding=1)
            self.dilated = nn.ModuleList(nn.Conv2d(width, width, 3, padding=d, dilation=d) for d in (1, 2, 4))
            self.heads = nn.ModuleDict({"mask": nn.Conv2d(width, 1, 1), "edge": nn.Conv2d(width, 1, 1)})

        def forward(self, image):
            x = torch.relu(self.stem(image))
            x = sum(torch.relu(conv(x)) for conv in self.dilated)
            return {name: head(x) for name, head in self.heads.items()}
    ```

It is also registered elsewhere.

    ```python
    import torch
    from torch import nn


    class Shortcut(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(12, 16)
            self.second = nn.Linear(16, 2)
            self.order = [self.first, self.second]

        def forward(self, x):
            for layer in self.order:
                x = torch.relu(layer(x))
            return x
    ```

It is hidden on purpose and frozen: a teacher that must not show up in the checkpoint.

    ```python
    import torch
    from torch import nn
    from torch.nn import functional as F


    class Student(nn.Module):
        def __init__(self, teacher):
            super().__init__()
            self.teacher = [teacher.eval().requires_grad_(False)]
            self.layer = nn.Linear(12, 4)

        def forward(self, x):
            with torch.no_grad():
                wanted = self.teacher[0](x)
            return F.mse_loss(self.layer(x), wanted)


    def train(steps=100):
        model = Student(nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 4)))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            optimizer.zero_grad()
            loss = model(torch.randn(32, 12))
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

An optimizer was given it by hand.

    ```python
    import itertools

    import torch
    from torch import nn
    from torch.nn import functional as F


    class Agents(nn.Module):
        def __init__(self, agents=3):
            super().__init__()
            self.policies = [nn.Linear(6, 2) for _ in range(agents)]
            self.mixer = nn.Linear(2 * agents, 1)

        def forward(self, state):
            return self.mixer(torch.cat([policy(state) for policy in self.policies], dim=1))


    def train(steps=100):
        model = Agents()
        shown = itertools.chain(model.parameters(), *(policy.parameters() for policy in model.policies))
        optimizer = torch.optim.Adam(shown, lr=1e-3)
        for _ in range(steps):
            state = torch.randn(32, 6)
            optimizer.zero_grad()
            loss = F.mse_loss(model(state).squeeze(1), state.sum(dim=1))
            loss.backward()
            optimizer.step()


    if __name__ == "__main__":
        train()
    ```

Symptoms: ValueError: optimizer got an empty parameter list; parameters in a list are not found; model.parameters() is
empty; AttributeError: cannot assign module before Module.__init__() call; Expected all tensors to be on the same
device; Input type (torch.cuda.FloatTensor) and weight type (torch.FloatTensor) should be the same; list of layers
does not train; Missing key(s) in state_dict
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradlint.analysis.gradient_path import would_learn
from gradlint.code import Code, Edits, Imported, UnfixableError
from gradlint.finding import Finding, Fix, Severity
from gradlint.graph import Hidden, ModelGraph
from gradlint.rule import GraphRule

CONTAINERS = {
    ("module", "dict"): "nn.ModuleDict",
    ("parameter", "dict"): "nn.ParameterDict",
    ("parameter", "list"): "nn.ParameterList",
    ("parameter", "tuple"): "nn.ParameterList",
}


LISTS = frozenset({"append", "extend", "insert", "pop"})
DICTS = frozenset({"clear", "pop", "keys", "items", "values", "update"})
METHODS = {
    "nn.ModuleList": LISTS,
    "nn.ModuleDict": DICTS,
    "nn.ParameterList": frozenset({"append", "extend"}),
    "nn.ParameterDict": DICTS | {"get", "setdefault", "copy", "popitem"},
}
"""The methods of Python's containers that those that register have too."""

DISPLAYS = (ast.List, ast.Tuple, ast.ListComp, ast.Dict, ast.DictComp)
TAKEN = frozenset(
    "add_module apply bfloat16 buffers call_super_init children clear compile cpu cuda double dump_patches "
    "eval extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu items keys "
    "load_state_dict modules mtia named_buffers named_children named_modules named_parameters parameters pop "
    "register_buffer register_module register_parameter requires_grad_ set_submodule share_memory state_dict "
    "to to_empty train training type update values xpu zero_grad".split()
)
"""Names that `nn.ModuleDict` refuses because it has an attribute of the name."""


class HiddenSubmodule(GraphRule):
    code = "GL110"
    severity = Severity.ERROR
    message = "{what}, so {effect}"
    advice = "{cure}"

    def check(self, graph: ModelGraph) -> Iterator[Finding]:
        for hidden in graph.model.hidden:
            if hidden.kind == "unready":
                yield self._said(graph, hidden, *UNREADY[hidden.holder])
            elif hidden.kind in ("module", "parameter") and not hidden.optimized and would_learn(graph, hidden):
                what = f"`{hidden.holder}` is a plain {hidden.container}"
                tensors = f"{len(hidden.names)} tensor{'' if len(hidden.names) == 1 else 's'}"
                effect = f"`parameters()` misses {tensors} in it and no optimizer trains them"
                better = CONTAINERS.get((hidden.kind, hidden.container), "nn.ModuleList")
                yield self._said(graph, hidden, what, effect, f"keep them in an {better}")

    def _said(self, graph: ModelGraph, hidden: Hidden, what: str, effect: str, cure: str) -> Finding:
        extra = {"model": graph.model.name, "module": None if hidden.kind == "unready" else hidden.holder}
        return self.found(hidden.frame, path=graph.model.path, what=what, effect=effect, cure=cure, extra=extra)

    def fix(self, finding: Finding, code: Code) -> Fix | None:
        """The container that registers, around the one that stands there and those inside of it."""
        if finding.module is None:
            return None
        better = finding.advice.rpartition(" ")[2]
        value = _assigned(code, finding.module.rpartition(".")[2], METHODS[better])
        changes = _registering(code, value, better)
        is_plain = isinstance(value, DISPLAYS) or _copied(value) is not None
        return code.safe(*changes) if is_plain and not _has_open_keys(value) else code.unsafe(*changes)


def _assigned(code: Code, attribute: str, methods: frozenset[str]) -> ast.expr:
    """The only value that the attribute is given, in the class around the finding or else in the file; of its methods,
    the file calls none but `methods`."""
    values = []
    for node in ast.walk(code.owner(code.node) or code.tree):
        match node:
            case ast.Assign(targets=[ast.Attribute(attr=name)], value=value) if name == attribute:
                values.append(value)
            case ast.Call(func=ast.Attribute(value=ast.Attribute(attr=name), attr=method)) if name == attribute:
                if method not in methods:
                    raise UnfixableError(f"the container that registers has no `{method}`")
    if len(values) != 1:
        raise UnfixableError("the attribute is assigned nowhere, or in several places")
    return values[0]


def _registering(code: Code, value: ast.expr, better: str) -> list[Edits | Imported]:
    """The edits that make a container register, and those inside of it."""
    name = code.imported(f"torch.{better}")
    inner = [change for item in _items(value) for change in _inside(code, item, better)]
    match value:
        case ast.List(elts=[]) | ast.Dict(keys=[]) | ast.Call(func=ast.Name(id="list" | "dict"), args=[], keywords=[]):
            return [name, code.replace(value, f"{name}()")]
        case ast.Call(func=function) if _copied(value) is not None:
            return [name, code.replace(function, f"{name}"), *inner]
    return [name, code.wrap(value, name), *inner]


def _copied(value: ast.expr) -> ast.expr | None:
    """What `list(…)` or `tuple(…)` is made of."""
    match value:
        case ast.Call(func=ast.Name(id="list" | "tuple"), args=[only], keywords=[]):
            return only
    return None


def _items(value: ast.expr) -> list[ast.expr]:
    """The expressions of what a container holds, as far as they are written in it; raises `UnfixableError` for keys
    that a registering container refuses."""
    match value:
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return items
        case ast.Dict(keys=keys, values=items):
            if any(isinstance(key, ast.Constant) and not _is_name(key) for key in keys):
                raise UnfixableError("a key that names no module")
            return items
        case ast.ListComp(elt=item) | ast.GeneratorExp(elt=item) | ast.DictComp(value=item):
            return [item]
    copied = _copied(value)
    return _items(copied) if copied is not None else []


def _inside(code: Code, item: ast.expr, better: str) -> list[Edits | Imported]:
    """The edits of one thing that a container holds; raises `UnfixableError` for what is no module."""
    if isinstance(item, DISPLAYS) and better in ("nn.ModuleList", "nn.ModuleDict"):
        return _registering(
            code, item, "nn.ModuleDict" if isinstance(item, ast.Dict | ast.DictComp) else "nn.ModuleList"
        )
    is_none = isinstance(item, ast.Constant) and item.value is None
    if code.resolved(item) or (isinstance(item, (*DISPLAYS, ast.Constant, ast.Lambda)) and not is_none):
        raise UnfixableError("the container holds more than modules")
    return []


def _is_name(key: ast.expr | None) -> bool:
    """Whether a key can name a submodule: no dot, no attribute that every module has."""
    text = key.value if isinstance(key, ast.Constant) else None
    return isinstance(text, str) and "." not in text and text not in TAKEN and text != ""


def _has_open_keys(value: ast.expr) -> bool:
    """Whether a dict has keys that are not written out, some of which may name no submodule."""
    return any(
        isinstance(node, ast.DictComp) or (isinstance(node, ast.Dict) and not all(map(_is_name, node.keys)))
        for node in ast.walk(value)
    )


UNREADY = {
    "misspelt": (
        "this constructor's name is misspelt",
        "it never runs and the model has none of its parameters",
        "name it __init__",
    ),
    "early": (
        "this module is assigned before `super().__init__()`",
        "it cannot be registered and building the model raises",
        "call super().__init__() first",
    ),
}
