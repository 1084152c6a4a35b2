"""What the definition and the calls of a function tell: names, defaults, arguments, effects."""

from __future__ import annotations

import ast

from gradlint.frontends.recorder.feeding.scopes import Function, words

HARMFUL = words(
    """
    backward step save load dump system run Popen remove unlink mkdir makedirs rmtree write write_text urlopen
    download load_dataset from_pretrained init_process_group barrier fit train_model sleep read_csv read_parquet
    imread fromfile loadtxt set_default_dtype set_default_device load_state_dict load_from_checkpoint start serve
    urlretrieve
    """
)
_HARMFUL_BUILTINS = words("open input exit quit eval exec compile __import__ breakpoint")


def effects(function: Function | None) -> set[str]:
    """The names of the calls in `function` that train, read or write; also `global`."""
    if function is None:
        return {"unknown"}
    nodes = list(ast.walk(function))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    called = {called_name(node) for node in calls}
    plain = {node.func.id for node in calls if isinstance(node.func, ast.Name)}
    return (
        (called & HARMFUL) | (plain & _HARMFUL_BUILTINS) | {"global" for node in nodes if isinstance(node, ast.Global)}
    )


def called_name(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def parameters(function: Function) -> set[str]:
    spec = function.args
    return {one.arg for one in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs)}


def default(function: Function, name: str) -> ast.expr | None:
    spec = function.args
    positional = [*spec.posonlyargs, *spec.args]
    paired = zip(reversed(positional), reversed(spec.defaults), strict=False)
    found = {one.arg: default for one, default in paired}
    found |= {one.arg: default for one, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True) if default}
    return found.get(name)


def argument(call: ast.Call, name: str, function: Function, *, method: bool) -> ast.expr | None:
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    positional = [one.arg for one in (*function.args.posonlyargs, *function.args.args)][1 if method else 0 :]
    if name not in positional or positional.index(name) >= len(call.args):
        return None
    found = call.args[positional.index(name)]
    return None if isinstance(found, ast.Starred) else found
