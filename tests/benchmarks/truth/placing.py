"""Writes one form of a way into a program at one site, in one of the shapes in which users write such things."""

from __future__ import annotations

import ast
import random

from .edits import Edit, Positions, indented
from .sites import Anatomy, Site
from .structure import Plan
from .ways import Form, Way

_KIND_WEIGHTS = {"assign": 4, "return": 3, "argument": 3, "operand": 2, "element": 2, "receiver": 1, "other": 1}
_NAMES = ("prepare", "convert", "as_values", "to_plain", "finish")
_FUNCTIONAL = "import torch.nn.functional as F"


def place(anatomy: Anatomy, way: Way, draw: random.Random) -> tuple[Plan, Plan] | None:
    """The plan of a form at a drawn site, and the same with a detach in the form's stead; None without a fitting site.

    The second plan labels the ways whose gradient is zero: whatever starves when the value is detached there has all
    of its paths through the value.
    """
    form = draw.choice(way.forms)
    site = choose_site(anatomy, form, draw, needs_target=way.statement)
    if site is None:
        return None
    if way.statement:
        plan = _statement(anatomy, site, form)
        return plan, plan
    shape = draw.choice([shape for shape in _SHAPES if shape.fits(site, form)])
    name = draw.choice(_NAMES)
    return shape.write(anatomy, site, form, name), shape.write(anatomy, site, Form("{t}.detach()"), name)


def choose_site(anatomy: Anatomy, form: Form, draw: random.Random, needs_target: bool = False) -> Site | None:
    """A site that fits a form; its kind is drawn first, so that rare kinds come up too."""
    fitting: dict[str, list[Site]] = {}
    for site in anatomy.sites:
        if _fits(site, form) and (site.target or not needs_target):
            fitting.setdefault(site.kind, []).append(site)
    if not fitting:
        return None
    kinds = sorted(fitting)
    kind = draw.choices(kinds, [_KIND_WEIGHTS[k] for k in kinds])[0]
    return draw.choice(fitting[kind])


def _fits(site: Site, form: Form) -> bool:
    if form.scalar:
        return site.dims == 0
    return site.dims >= form.dims and site.last >= form.last


class _Inline:
    """The expression itself is replaced."""

    def fits(self, site: Site, form: Form) -> bool:
        return form.text.count("{t}") == 1 or isinstance(site.node, ast.Name)

    def write(self, anatomy: Anatomy, site: Site, form: Form, name: str) -> Plan:
        del name
        value = _atom(anatomy.positions, site.node)
        return _replaced(anatomy, site, form, _protected(site, form.text.replace("{t}", value)))


class _OverLines(_Inline):
    """A method call behind an expression that is put in parentheses on lines of its own."""

    def fits(self, site: Site, form: Form) -> bool:
        del site
        return form.text.startswith("{t}.") and form.text.count("{t}") == 1

    def write(self, anatomy: Anatomy, site: Site, form: Form, name: str) -> Plan:
        del name
        pad = " " * site.statement.col_offset
        text = f"(\n{pad}    {anatomy.positions.source(site.node)}\n{pad}){form.text.removeprefix('{t}')}"
        return _replaced(anatomy, site, form, _protected(site, text))


class _NextStatement:
    """`x = f(x)` behind the assignment to x."""

    def fits(self, site: Site, form: Form) -> bool:
        del form
        return site.target is not None and not site.leaf

    def write(self, anatomy: Anatomy, site: Site, form: Form, name: str) -> Plan:
        del name
        target = site.target or ""
        line = f"{target} = {form.text.replace('{t}', target)}\n"
        return _with_prelude(anatomy, form, "", _line_after(anatomy, site, line))


class _HelperFunction:
    """A module-level function that is called with the value."""

    def fits(self, site: Site, form: Form) -> bool:
        del site, form
        return True

    def write(self, anatomy: Anatomy, site: Site, form: Form, name: str) -> Plan:
        helper = f"def {name}(value):\n    return {form.text.replace('{t}', 'value')}\n\n\n"
        start, end = anatomy.positions.span(site.node)
        call = Edit(start, end, f"{name}({anatomy.positions.source(site.node)})")
        return _with_prelude(anatomy, form, helper, call)


class _HelperModule:
    """A submodule without parameters that is called with the value."""

    def fits(self, site: Site, form: Form) -> bool:
        del form
        return not site.leaf

    def write(self, anatomy: Anatomy, site: Site, form: Form, name: str) -> Plan:
        title = name.title().replace("_", "")
        value = form.text.replace("{t}", "value")
        helper = f"class {title}(nn.Module):\n    def forward(self, value):\n        return {value}\n\n\n"
        start, end = anatomy.positions.span(site.node)
        call = Edit(start, end, f"{title}()({anatomy.positions.source(site.node)})")
        return _with_prelude(anatomy, form, helper, call)


class _HelperMethod:
    """A method of the class in which the value is computed."""

    def fits(self, site: Site, form: Form) -> bool:
        del form
        inside = site.owner is not None and site.function in site.owner.body
        arguments = site.function.args.args if site.function is not None else []
        return inside and bool(arguments) and arguments[0].arg == "self"

    def write(self, anatomy: Anatomy, site: Site, form: Form, name: str) -> Plan:
        function = site.function
        if function is None:
            raise ValueError("a helper method needs a method to stand before")
        value = form.text.replace("{t}", "value")
        helper = indented(f"def {name}(self, value):\n    return {value}\n\n", function.col_offset)
        top = anatomy.positions.line_start(min([function.lineno, *(d.lineno for d in function.decorator_list)]))
        start, end = anatomy.positions.span(site.node)
        call = Edit(start, end, f"self.{name}({anatomy.positions.source(site.node)})")
        return _with_prelude(anatomy, form, "", Edit(top, top, helper), call)


_SHAPES = (_Inline(), _Inline(), _OverLines(), _NextStatement(), _HelperFunction(), _HelperModule(), _HelperMethod())


def _statement(anatomy: Anatomy, site: Site, form: Form) -> Plan:
    text = form.text.replace("{t}", site.target or "") + "\n"
    return _with_prelude(anatomy, form, "", _line_after(anatomy, site, text))


def _line_after(anatomy: Anatomy, site: Site, text: str) -> Edit:
    end = anatomy.positions.whole_lines(site.statement)[1]
    return Edit(end, end, indented(text, site.statement.col_offset))


def _replaced(anatomy: Anatomy, site: Site, form: Form, text: str) -> Plan:
    start, end = anatomy.positions.span(site.node)
    return _with_prelude(anatomy, form, "", Edit(start, end, text))


def _with_prelude(anatomy: Anatomy, form: Form, helper: str, *edits: Edit) -> Plan:
    written = form.prelude + helper
    functional = (_FUNCTIONAL,) if "F." in form.text and _FUNCTIONAL not in anatomy.text else ()
    if written:
        top = first_definition(anatomy)
        return Plan((Edit(top, top, written), *edits), imports=(*form.imports, *functional))
    return Plan(edits, imports=(*form.imports, *functional))


def first_definition(anatomy: Anatomy) -> int:
    """The offset of the first class or function of a program."""
    for node in anatomy.tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            return anatomy.positions.line_start(min([node.lineno, *(d.lineno for d in node.decorator_list)]))
    raise ValueError(f"{anatomy.name} defines nothing")


def _atom(positions: Positions, node: ast.expr) -> str:
    text = positions.source(node)
    return text if isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript) else f"({text})"


def _protected(site: Site, text: str) -> str:
    """The text in parentheses where its operators could bind to what stands around it."""
    whole = site.kind in ("assign", "return", "argument", "element")
    parsed = ast.parse(text.strip(), mode="eval").body
    return text if whole or isinstance(parsed, ast.Call | ast.Attribute | ast.Subscript) else f"({text})"
