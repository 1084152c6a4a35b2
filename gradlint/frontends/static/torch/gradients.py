"""Arithmetic on `w.grad`: updates that are written by hand, gradients that are cleared, clipped or assigned by hand."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from gradlint.frontends.static.steps.training_state import Gradient, Update, identity, note
from gradlint.frontends.static.values import NO_NODE, Arguments, Constant, Symbol, Tensor, Value
from gradlint.graph import NodeKind
from gradlint.training import EventKind

if TYPE_CHECKING:
    from gradlint.frontends.static.run import Run

CLEARING = frozenset({"zero_", "detach_"})
CLIPPING = frozenset({"clamp_", "clamp_min_", "clamp_max_", "clip_"})
IN_PLACE = {"add_": "add", "sub_": "sub", "subtract_": "sub", "mul_": "mul", "div_": "div", "neg_": "neg"}
OUT_OF_PLACE = {"add": "add", "sub": "sub", "subtract": "sub", "mul": "mul", "div": "div", "neg": "neg"}
OUT_OF_PLACE |= {"multiply": "mul", "negative": "neg", "true_divide": "div", "truediv": "div", "rsub": "rsub"}
KEEPING = frozenset({"get:data", "detach", "clone", "view_as", "to", "contiguous"})
"""Ops whose result stands for the same tensor."""

MOVING = frozenset({"copy_", "set_", "lerp_", "addcdiv_", "addcmul_", "fill_", "uniform_", "normal_", "clamp_"})


def read(run: Run, tensor: Tensor, at: ast.AST) -> Value | None:
    """The gradient of a tensor: what was assigned to it, else a value without history."""
    number = owner(run, tensor)
    note(run, EventKind.GRADIENT, at, parameters=(number,), facts={"how": "read"})
    update = run.training.updates.get(tensor.node)
    if update is not None and not tensor.leaf and not tensor.parameter and "retained" not in tensor.state:
        note(run, EventKind.REBOUND, at, written=update.place, parameters=(update.gradient.of,))
    kept = tensor.state.get("grad")
    if isinstance(kept, Tensor):
        return kept
    node = run.add(NodeKind.CONSTANT, "get:grad", at, dtype=tensor.dtype, shape=tensor.shape)
    run.training.gradients[node] = Gradient(number)
    return Tensor(node, tensor.shape, tensor.dtype)


def aliased(run: Run, tensor: Tensor, alias: Tensor) -> None:
    """`w.data` and `w.detach()` have the memory of `w`, and those of a gradient are the same gradient."""
    gradient = run.training.gradients.get(tensor.node)
    if gradient is not None:
        run.training.gradients[alias.node] = gradient
    elif tensor is not alias:
        run.training.aliases[id(alias)] = owner(run, tensor)
        run.keep.append(alias)


def owner(run: Run, tensor: Tensor) -> int:
    """The identity of a tensor; of `w.data` that of `w`."""
    if id(tensor) in run.training.aliases:
        return run.training.aliases[id(tensor)]
    node = tensor.node
    while node != NO_NODE and run.tape.nodes[node].native in KEEPING:
        sources = run.tape.sources.get(node, [])
        if len(sources) != 1:
            break
        node = sources[0]
        if node in run.training.owners:
            return run.training.owners[node]
    number = identity(run, tensor)
    if tensor.node != NO_NODE and tensor.node == node:
        run.training.owners[node] = number
    return number


def after(run: Run, name: str, left: Value, right: Value | None, result: Value | None, at: ast.AST) -> None:
    """An operator or function of one or two values gave a result: is it a multiple of a gradient, or an update?"""
    if not run.training.gradients:
        return
    ahead, behind = _of(run, left), _of(run, right)
    in_place = name.startswith("i") and name[1:] in OUT_OF_PLACE
    plain = OUT_OF_PLACE.get(name[1:] if in_place else name)
    if ahead is None and behind is None:
        return
    if plain in ("add", "sub", "rsub") and isinstance(left, Tensor):
        _summed(run, plain, left, right, ahead, behind, result, at, in_place)
        return
    known = ahead or behind
    if known is None or not isinstance(result, Tensor):
        return
    other = right if ahead is not None else left
    factor = (-1, False) if plain == "neg" else _factor(run, other, at) if plain in ("mul", "div") else (None, True)
    sign = None if known.sign is None or factor[0] is None else known.sign * factor[0]
    run.training.gradients[result.node] = Gradient(known.of, sign, known.scaled or factor[1])


def _of(run: Run, value: Value | None) -> Gradient | None:
    return run.training.gradients.get(value.node) if isinstance(value, Tensor) else None


def _factor(run: Run, value: Value | None, at: ast.AST) -> tuple[int | None, bool]:
    """The sign of a factor, and whether it is a rate: a name with the value one is, a one that is written out is not.

    An unknown number is taken for a positive rate.
    """
    number = run.constant(value)
    if isinstance(number, (int, float)):
        written = any(isinstance(part, ast.Constant) and part.value == 1 for part in ast.walk(at))
        return (1 if number > 0 else -1, abs(number) != 1 or not written)
    if isinstance(value, Symbol):
        return (1, True)
    return (None, True)


def _summed(
    run: Run,
    name: str,
    left: Tensor,
    right: Value | None,
    ahead: Gradient | None,
    behind: Gradient | None,
    result: Value | None,
    at: ast.AST,
    in_place: bool,
) -> None:
    moved = behind if behind is not None else ahead
    target = left if behind is not None else right
    if moved is None or (ahead is not None and behind is not None):
        return
    flip = (name == "sub" and behind is not None) or (name == "rsub" and ahead is not None)
    sign = None if moved.sign is None else -moved.sign if flip else moved.sign
    gradient = Gradient(moved.of, sign, moved.scaled)
    if isinstance(target, Tensor) and owner(run, target) == moved.of:
        if in_place:
            _moved(run, gradient, at)
        elif isinstance(result, Tensor):
            run.training.updates[result.node] = Update(gradient, run.frame(at))
            _lost(run, gradient, at)
    elif isinstance(result, Tensor):
        run.training.gradients[result.node] = gradient


def _moved(run: Run, gradient: Gradient, at: ast.AST) -> None:
    facts = {"sign": gradient.sign, "scaled": gradient.scaled, "of": gradient.of}
    facts["parameter"] = _is_parameter(run, gradient.of)
    note(run, EventKind.UPDATE, at, parameters=(gradient.of,), facts=facts)


def _is_parameter(run: Run, number: int) -> bool:
    value = run.training.values.get(number)
    return isinstance(value, Tensor) and value.parameter


def _lost(run: Run, gradient: Gradient, at: ast.AST) -> None:
    """`for p in parameters: p = p - lr * p.grad` changes a name and no parameter."""
    statement = statement_of(run, at)
    if not isinstance(statement, ast.Assign) or not isinstance(at, ast.BinOp):
        return
    names = {target.id for target in statement.targets if isinstance(target, ast.Name)}
    if names & _loop_names(run, statement) and any(isinstance(n, ast.Name) and n.id in names for n in ast.walk(at)):
        note(run, EventKind.REBOUND, at, parameters=(gradient.of,), facts={"lost": True})


def statement_of(run: Run, at: ast.AST) -> ast.stmt | None:
    """The assignment whose whole right side an expression is."""
    source = run.activation.module
    if id(source) not in run.training.statements:
        assigned = (n for n in ast.walk(source.tree) if isinstance(n, (ast.Assign, ast.AnnAssign)))
        run.training.statements[id(source)] = {id(n.value): n for n in assigned if n.value}
    return run.training.statements[id(source)].get(id(at))


def _loop_names(run: Run, statement: ast.stmt) -> set[str]:
    """The names that the `for` loops around a statement bind."""
    tree = run.activation.module.tree
    around = [node for node in ast.walk(tree) if isinstance(node, ast.For) and _inside(statement, node)]
    return {n.id for loop in around for n in ast.walk(loop.target) if isinstance(n, ast.Name)}


def _inside(statement: ast.stmt, loop: ast.For) -> bool:
    return loop.lineno <= statement.lineno <= (loop.end_lineno or loop.lineno)


def method(run: Run, receiver: Tensor, name: str, args: Arguments, at: ast.AST) -> None:
    """A method of a tensor that changes a gradient or moves a parameter is called."""
    gradient = _of(run, receiver)
    if gradient is not None and name.endswith("_"):
        if name in CLEARING:
            if name == "zero_":
                note(run, EventKind.ZERO_GRAD, at, parameters=(gradient.of,), facts={"of": "parameter"})
        else:
            kind = EventKind.CLIP if name in CLIPPING else EventKind.ASSIGNED
            note(run, kind, at, parameters=(gradient.of,))
        return
    if name == "retain_grad":
        run.write(receiver.state, "retained", True)
    if not run.training.gradients or not name.endswith("_"):
        return
    argument = next((value for value in args if _of(run, value)), None)
    if name in ("add_", "sub_", "subtract_") and argument is not None:
        _in_place(run, receiver, IN_PLACE[name], argument, args, at)
    elif name in MOVING:
        _replaced(run, receiver, args, at)


def _in_place(run: Run, receiver: Tensor, name: str, argument: Value, args: Arguments, at: ast.AST) -> None:
    """`p.add_(p.grad, alpha=-lr)`, and `p.add_(-lr, p.grad)` of earlier versions."""
    gradient = _of(run, argument)
    if gradient is None or owner(run, receiver) != gradient.of:
        return
    factor = args.named.get("alpha")
    if factor is None and args.positional and args.positional[0] is not argument:
        factor = args.positional[0]
    sign, scaled = _factor_text(run, factor, at) if factor is not None else (1, False)
    whole = None if gradient.sign is None or sign is None else gradient.sign * sign * (-1 if name == "sub" else 1)
    _moved(run, Gradient(gradient.of, whole, gradient.scaled or scaled), at)


def _factor_text(run: Run, factor: Value, at: ast.AST) -> tuple[int | None, bool]:
    """As `_factor`; of a number that is not known, the sign that is written before it."""
    if not isinstance(factor, Symbol):
        return _factor(run, factor, at)
    words = [k.value for k in at.keywords if k.arg == "alpha"] if isinstance(at, ast.Call) else []
    written = words or (at.args[:1] if isinstance(at, ast.Call) else [])
    negative = any(isinstance(w, ast.UnaryOp) and isinstance(w.op, ast.USub) for w in written)
    return (-1 if negative else 1, True)


def _replaced(run: Run, receiver: Tensor, args: Arguments, at: ast.AST) -> None:
    number = owner(run, receiver)
    nodes = {value.node for value in args if isinstance(value, Tensor)}
    update = next((run.training.updates[node] for node in nodes if node in run.training.updates), None)
    if update is not None and update.gradient.of == number:
        _moved(run, update.gradient, at)
    elif number in run.training.owners.values():
        note(run, EventKind.UPDATE, at, parameters=(number,), facts={"sign": None, "scaled": True, "of": number})


def unknown_method(run: Run, name: str, at: ast.AST) -> bool:
    """`p.grad.zero_()` and the like on what could not be read; whether it was one of these."""
    receiver = at.func.value if isinstance(at, ast.Call) and isinstance(at.func, ast.Attribute) else None
    names = {node.attr for node in ast.walk(receiver) if isinstance(node, ast.Attribute)} if receiver else set()
    if not name.endswith("_"):
        return False
    if "grad" in names:
        kind = EventKind.ZERO_GRAD if name == "zero_" else EventKind.CLIP if name in CLIPPING else EventKind.ASSIGNED
        note(run, kind, at)
        return True
    if "data" in names or name in IN_PLACE or name in MOVING:
        note(run, EventKind.UPDATE, at, facts={"sign": None, "scaled": True})
        return True
    return False


def assigned(run: Run, receiver: Value, name: str, value: Value, at: ast.AST) -> None:
    """`w.grad = None`, `w.grad = g`, `w.data = w.data - lr * w.grad`."""
    parameters = (owner(run, receiver),) if isinstance(receiver, Tensor) else None
    if name == "grad":
        cleared = isinstance(value, Constant) and value.value is None
        note(run, EventKind.ZERO_GRAD if cleared else EventKind.ASSIGNED, at, parameters=parameters)
        return
    update = run.training.updates.get(value.node) if isinstance(value, Tensor) else None
    if update is not None and parameters == (update.gradient.of,):
        _moved(run, update.gradient, at)
    else:
        note(run, EventKind.UPDATE, at, parameters=parameters, facts={"sign": None, "scaled": True})
