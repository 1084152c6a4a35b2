"""A slice keeps what the backward calls need, at its place, and nothing else."""

from __future__ import annotations

import ast
import textwrap

import pytest

from gradlint.frontends.recorder.replaying.slicing import MAIN, SCRIPT, Plan, plans, without_training

GUARD = "__gradlint__"


def planned(source: str) -> tuple[Plan, ...]:
    return plans(ast.parse(textwrap.dedent(source)))


def kept(source: str, name: str) -> str:
    """The sliced function of this name, its guards taken off."""
    (first, *_) = planned(source)
    (function,) = [n for n in ast.walk(first.module) if isinstance(n, ast.FunctionDef) and n.name == name]
    return ast.unparse(Unguarded().visit(function))


class Unguarded(ast.NodeTransformer):
    def visit_Try(self, node: ast.Try) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        return node.body if GUARD in ast.dump(node.handlers[0].type or node) else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        return node.args[0] if "each" in ast.dump(node.func) and GUARD in ast.dump(node.func) else node


TRAIN = """
    def train(model, loader, optimizer, writer, args):
        {line}
        for x, y in loader:
            {inner}
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            {after}
"""


def body(line: str = "pass", inner: str = "pass", after: str = "pass") -> str:
    return kept(TRAIN.format(line=line, inner=inner, after=after), "train")


@pytest.mark.parametrize(
    "line",
    [
        "print('epoch', args.epoch)",
        "writer.add_scalar('lr', args.lr)",
        "history = []",
        "started = time.time()",
        "torch.save(model.state_dict(), 'x.pt')",
        "model.save('here')",
        "accuracy = evaluate(model, loader)",
        "plt.plot(loader)",
        "assert args.ok",
        "logging.info(model)",
    ],
)
def test_what_only_reports_is_dropped(line: str) -> None:
    assert line.split("(")[0] not in body(line=line)


@pytest.mark.parametrize(
    "line",
    [
        "model.train()",
        "model.head = Head(args.width)",
        "criterion = Loss(args.kind)",
        "freeze(model.encoder)",
        "nn.init.zeros_(model.head.weight)",
        "model.apply(init)",
        "torch.manual_seed(args.seed)",
        "optimizer.param_groups[0]['lr'] = args.lr",
        "nn.utils.clip_grad_norm_(model.parameters(), 1.0)",
        "from losses import criterion",
        "loader = list(loader)[:args.limit]",
        "super().train(model)",
    ],
)
def test_what_the_backward_call_needs_is_kept(line: str) -> None:
    assert ast.unparse(ast.parse(line)) in body(line=line)


@pytest.mark.parametrize("value", ["-torch.log(p).mean()", "F.log_softmax(p, 1)[0, 0]", "pi.log_prob(p).sum()"])
def test_a_returned_op_is_no_report(value: str) -> None:
    source = (
        TRAIN.format(line="pass", inner="pass", after="pass")
        + f"""
    def criterion(p, y):
        return {value}
    """
    )
    assert kept(source, "criterion").endswith(f"return {value}")


def test_a_freezing_loop_is_kept_whole() -> None:
    text = body(line="for p in model.features.parameters(): p.requires_grad = False")
    assert "for p in model.features.parameters():\n        p.requires_grad = False" in text


def test_an_alias_of_a_part_is_followed() -> None:
    text = body(line="encoder = model.encoder; encoder.requires_grad_(False)")
    assert "encoder.requires_grad_(False)" in text


def test_a_helper_is_kept_when_it_is_given_a_needed_name() -> None:
    source = """
        def set_trainable(model, on): ...
        def train(judge):
            set_trainable(judge, False)
            announce('start')
            judge(1).backward()
    """
    assert "set_trainable(judge, False)" in kept(source, "train")
    assert "announce" not in kept(source, "train")


def test_a_jump_before_training_is_kept_and_one_after_it_is_not() -> None:
    assert "continue" in body(inner="if x is None: continue")
    assert "break" not in body(after="if loss < 0.1: break")


def test_scheduler_steps_that_need_a_metric_are_dropped() -> None:
    assert "scheduler" not in body(after="scheduler.step(evaluate(model))")


def test_positions_are_those_of_the_source() -> None:
    tree = ast.parse(textwrap.dedent(TRAIN).format(line="model.train()", inner="x = x.float()", after="print(1)"))
    where = {
        ast.unparse(node): (node.lineno, node.col_offset, node.end_col_offset)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    }
    (plan,) = plans(tree)
    found = {
        ast.unparse(node): (node.lineno, node.col_offset, node.end_col_offset)
        for node in ast.walk(plan.module)
        if isinstance(node, ast.Call)
    }
    for text in ("model.train()", "x.float()", "criterion(model(x), y)", "loss.backward()", "optimizer.step()"):
        assert found[text] == where[text]


def test_the_given_tree_is_not_changed() -> None:
    tree = ast.parse("def train(model, loader):\n    for x in tqdm(loader):\n        model(x).backward()\n")
    before = ast.dump(tree, include_attributes=True)
    plans(tree)
    assert ast.dump(tree, include_attributes=True) == before


def test_nothing_is_planned_without_a_backward_call() -> None:
    source = """
        class Straight(torch.autograd.Function):
            @staticmethod
            def backward(ctx, grad):
                return grad
        def main():
            print(model(x).mean())
    """
    assert planned(source) == ()


def test_the_main_block_comes_first_then_uncalled_functions() -> None:
    source = """
        def step(model): model(1).backward()
        def epoch(model): step(model)
        def other(model): model(2).backward()
        if __name__ == "__main__":
            epoch(make())
    """
    entries = [plan.entry for plan in planned(source)]
    assert entries[0] == MAIN
    assert set(entries[1:3]) == {"epoch", "other"}
    assert entries[-1] == "step"
    assert len(planned(source)[0].sites) == 1


@pytest.mark.parametrize(
    "call",
    [
        "loss.backward()",
        "scaler.scale(loss).backward(retain_graph=True)",
        "accelerator.backward(loss)",
        "self.manual_backward(loss)",
        "torch.autograd.backward([loss])",
        "(a + b).mean().backward()",
        "gradients = torch.autograd.grad(loss, weights)",
    ],
)
def test_every_kind_of_backward_call_is_a_site(call: str) -> None:
    (plan,) = planned(f"def train(loss, self, a, b, weights):\n    {call}\n")
    assert [line for line, _, _ in plan.sites] == [2]


def test_autograd_grad_is_no_site_beside_a_backward_call() -> None:
    (plan,) = planned(
        "def train(x, d):\n    g = torch.autograd.grad(d(x), x, create_graph=True)\n    g[0].sum().backward()\n"
    )
    assert [line for line, _, _ in plan.sites] == [3]


def test_calls_are_followed_through_instances_and_references() -> None:
    source = """
        class Trainer:
            def __init__(self, model): self.model = model
            def fit(self): self.epoch()
            def epoch(self): self.model(1).backward()
        def worker(rank): Trainer(rank).fit()
        if __name__ == "__main__":
            spawn(worker, nprocs=2)
    """
    (first, *_) = planned(source)
    assert (first.entry, len(first.sites)) == (MAIN, 1)
    assert {"worker", "Trainer.fit", "Trainer.epoch", "Trainer.__init__"} <= first.sliced


def test_switching_to_training_mode_is_not_a_call_of_the_file_s_own_train() -> None:
    source = """
        class Runner:
            def train(self, loader): self.model(loader).backward()
        def evaluate(net):
            net.train()
    """
    assert "evaluate" not in planned(source)[0].sliced


def test_a_script_is_cut_into_what_is_imported_and_what_is_replayed() -> None:
    source = textwrap.dedent("""
        import torch
        model = make()
        for x in data:
            model(x).backward()
        print(model)
        LIMIT = 3
        def later(): return LIMIT
    """)
    tree = ast.parse(source)
    assert [plan.entry for plan in plans(tree)] == [SCRIPT]
    text = ast.unparse(without_training(tree))
    assert "backward" not in text
    assert "print" not in text
    assert "model = make()" in text
    assert "LIMIT = 3" in text
    assert "def later" in text


def test_a_file_that_trains_in_functions_only_is_imported_whole() -> None:
    tree = ast.parse(
        "import torch\ndef train(m):\n    m(1).backward()\nx = 1\nif __name__ == '__main__':\n    train(x)\n"
    )
    assert ast.unparse(without_training(tree)) == ast.unparse(tree)
