"""The file's own training step runs, however messy the program around it is, and ends soon."""

from __future__ import annotations

import ast
import pathlib
import sys
import time
import types
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from gradlint.frontends.recorder.replaying.replay import ReplayResult, replay  # noqa: E402
from gradlint.frontends.recorder.replaying.runtime import MOST_BACKWARDS  # noqa: E402

SAMPLES = pathlib.Path(__file__).parent / "replay"
NAMES = sorted(path.stem for path in SAMPLES.glob("*.py"))
OTHER_STATUS = {
    "inference_only": "no-training",
    "broken_loss": "failed",
    "second_backward": "backward-error",
    "no_gradient": "backward-error",
}
WITHOUT_GRADIENT = {
    "plain_main": {"spare.weight", "spare.bias"},
    "lightning_style": {"unused.weight", "unused.bias"},
    "huggingface_trainer": {"aside.weight", "aside.bias"},
    "frozen_backbone": {"backbone.0.weight", "backbone.0.bias"},
    "two_phases": set(),
    "gan_without_data": set(),
    "several_models_in_one_function": set(),
    "text_batches_as_dicts": set(),
    "script_without_functions": set(),
}


@dataclass
class Recorder:
    """A monitor that writes down what it is told."""

    events: list[tuple[str, int]] = field(default_factory=list)
    frames: list[types.FrameType] = field(default_factory=list)
    retained: list[bool] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    optimized: set[int] = field(default_factory=set)
    models: list[Any] = field(default_factory=list)
    arrived: set[int] = field(default_factory=set)

    def before_backward(self, _: Sequence[Any], frame: types.FrameType, retain_graph: bool) -> None:
        self.events.append(("backward", frame.f_lineno))
        self.frames.append(frame)
        self.retained.append(retain_graph)

    def after_backward(self, _: Sequence[Any], __: types.FrameType, error: BaseException | None) -> None:
        self.errors += [error] if error is not None else []
        received = (p for model in self.models for p in model.parameters() if p.grad is not None)
        self.arrived |= {id(parameter) for parameter in received}

    def optimizer_built(self, _: Any, parameters: list[Any], frame: types.FrameType) -> None:
        self.events.append(("optimizer", frame.f_lineno))
        self.optimized |= {id(parameter) for parameter in parameters}

    def stepped(self, _: Any, frame: types.FrameType) -> None:
        self.events.append(("step", frame.f_lineno))

    def zeroed(self, frame: types.FrameType) -> None:
        self.events.append(("zero", frame.f_lineno))

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]


@dataclass
class Run:
    """What a replay of a program did."""

    result: ReplayResult
    monitor: Recorder
    module: types.ModuleType
    tree: ast.Module

    def without_gradient(self, name: str) -> set[str]:
        models = [model for model in self.monitor.models if type(model).__name__ == name]
        return {key for key, p in models[-1].named_parameters() if id(p) not in self.monitor.arrived}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The programs run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def imported(source: str, path: str) -> tuple[types.ModuleType, ast.Module]:
    tree = ast.parse(source)
    module = types.ModuleType(f"replayed_{pathlib.Path(path).stem}")
    module.__file__ = path
    sys.modules[module.__name__] = module
    exec(compile(source, path, "exec", dont_inherit=True), vars(module))
    return module, tree


def run(source: str, path: str = "program.py", budget: float = 30.0) -> Run:
    torch.manual_seed(0)
    module, tree = imported(source, path)
    monitor = Recorder()
    original = torch.nn.Module.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        monitor.models.append(self)

    torch.nn.Module.__init__ = init
    try:
        return Run(replay(module, tree, monitor, budget), monitor, module, tree)
    finally:
        torch.nn.Module.__init__ = original


def sample(name: str) -> Run:
    path = SAMPLES / f"{name}.py"
    return run(path.read_text(), str(path))


def marked_lines(name: str) -> set[int]:
    lines = (SAMPLES / f"{name}.py").read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# hit")}


@pytest.mark.parametrize("name", NAMES)
def test_every_marked_backward_call_is_reached(name: str) -> None:
    done = sample(name)
    assert done.result.status == OTHER_STATUS.get(name, "ok"), done.result
    assert {line for line, _ in done.result.sites} == marked_lines(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_replay_is_short_and_writes_nothing(name: str, elsewhere: pathlib.Path) -> None:
    done = sample(name)
    assert done.result.backward_calls <= MOST_BACKWARDS
    assert done.monitor.kinds().count("backward") == done.result.backward_calls
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(("name", "missing"), WITHOUT_GRADIENT.items())
def test_gradients_arrive_where_the_program_sends_them(name: str, missing: set[str]) -> None:
    done = sample(name)
    own = [model for model in done.monitor.models if type(model).__module__ == done.module.__name__]
    trained = {type(model).__name__ for model in own if any(id(p) in done.monitor.arrived for p in model.parameters())}
    assert set().union(*(done.without_gradient(one) for one in trained)) == missing


def test_the_steps_come_in_the_program_s_order() -> None:
    assert sample("plain_main").monitor.kinds() == ["optimizer", *["zero", "backward", "step"] * 2]


def test_accumulated_gradients_are_stepped_once() -> None:
    kinds = sample("mixed_precision").monitor.kinds()
    assert kinds.count("backward") == 4
    assert kinds[-3:] == ["backward", "step", "zero"]


def test_frames_are_the_user_s_own() -> None:
    done = sample("trainer_class")
    (line,) = marked_lines("trainer_class")
    assert {(frame.f_code.co_filename, frame.f_code.co_qualname) for frame in done.monitor.frames} == {
        (str(SAMPLES / "trainer_class.py"), "Trainer._step")
    }
    assert {number for kind, number in done.monitor.events if kind == "backward"} == {line}


def test_columns_are_those_of_the_source() -> None:
    source = "import torch\nw = torch.ones(2, requires_grad=True)\ndef train():\n    ok = 1; (w * 2).sum().backward()\n"
    done = run(source)
    assert done.result.sites == ((4, 13),)


def test_retain_graph_is_told_and_passed_on() -> None:
    assert sample("actor_critic").monitor.retained[:2] == [True, False]


def test_a_failing_backward_pass_is_told_and_ends_the_replay() -> None:
    done = sample("second_backward")
    assert done.result.backward_calls == 2
    assert done.result.error is done.monitor.errors[0]
    assert "second time" in done.result.reason


def test_the_reason_of_a_failing_loss_is_the_program_s_own_error() -> None:
    done = sample("broken_loss")
    assert done.result.backward_calls == 0
    assert isinstance(done.result.error, RuntimeError)
    assert done.result.error.__traceback__ is not None


def test_an_error_after_the_first_pass_is_kept() -> None:
    source = """
        import torch
        def train():
            w = torch.ones(2, requires_grad=True)
            for _ in range(3):
                loss = w.sum()
                loss.backward()
                w = w - 0.1 * w.grad
        if __name__ == "__main__":
            train()
    """
    done = run(dedented(source))
    assert done.result.status == "ok"
    assert done.result.backward_calls == 2 or isinstance(done.result.error, (TypeError, RuntimeError))
    assert done.result.error is not None


def test_a_program_that_hangs_ends_with_its_budget() -> None:
    source = """
        import torch
        def prepare():
            while True:
                try:
                    pass
                except:
                    pass
        def main():
            rows = prepare()
            loss = torch.nn.Linear(2, 2)(rows).sum()
            loss.backward()
        if __name__ == "__main__":
            main()
    """
    start = time.monotonic()
    done = run(dedented(source), budget=0.5)
    assert done.result.status == "failed"
    assert "time" in done.result.reason
    assert time.monotonic() - start < 30


def test_everything_is_put_back() -> None:
    before = (
        torch.Tensor.backward,
        torch.autograd.backward,
        torch.optim.Optimizer.__init__,
        torch.nn.Module.__call__,
        torch.utils.data.DataLoader.__init__,
        torch.save,
        list(sys.argv),
    )
    done = sample("dataset_on_disk")
    after = (
        torch.Tensor.backward,
        torch.autograd.backward,
        torch.optim.Optimizer.__init__,
        torch.nn.Module.__call__,
        torch.utils.data.DataLoader.__init__,
        torch.save,
        list(sys.argv),
    )
    assert before == after
    assert not [name for name in vars(done.module) if name.startswith("__gradlint")]
    assert done.module.main.__code__.co_names.count("__gradlint__") == 0


def test_globals_of_the_main_block_are_gone_afterwards() -> None:
    done = sample("plain_main")
    assert "net" not in vars(done.module)


def test_the_main_block_is_preferred_for_its_arguments() -> None:
    source = """
        import torch
        from torch import nn
        def train(width, depth=1):
            model = nn.Sequential(*[nn.Linear(width, width) for _ in range(depth)])
            model(torch.ones(2, width)).sum().backward()
        if __name__ == "__main__":
            train(5, depth=3)
    """
    done = run(dedented(source))
    assert done.result.entry == "__main__"
    assert [model.in_features for model in done.monitor.models if hasattr(model, "in_features")] == [5, 5, 5]


def test_a_function_that_the_main_block_does_not_reach_runs_on_its_own() -> None:
    source = """
        import torch
        from torch import nn
        def train(steps=2):
            model = nn.Linear(2, 2)
            for _ in range(steps):
                model(torch.ones(1, 2)).sum().backward()
        if __name__ == "__main__":
            if len("a") > 3:
                train()
    """
    done = run(dedented(source))
    assert (done.result.status, done.result.entry, done.result.backward_calls) == ("ok", "train", 2)


def test_data_loaders_stay_in_the_process_and_small() -> None:
    source = """
        import torch
        from torch.utils.data import DataLoader
        seen = []
        def noted(batch):
            seen.append(len(batch))
            return batch
        def train():
            w = torch.ones(3, requires_grad=True)
            for batch in DataLoader(torch.ones(500, 3), 64, num_workers=8, prefetch_factor=2, persistent_workers=True):
                (w * noted(batch)).sum().backward()
        if __name__ == "__main__":
            train()
    """
    done = run(dedented(source))
    assert done.result.status == "ok"
    assert done.module.seen == [8, 8]


def test_missing_inputs_and_targets_fit_the_model_and_the_loss() -> None:
    source = """
        import torch
        from torch import nn
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(11, {outputs})
            def forward(self, x):
                return {result}
        def train(model, loader):
            for x, y in loader:
                loss = nn.functional.{loss}(model(x), y)
                loss.backward()
    """
    for outputs, result, loss in (
        (4, "self.fc(x)", "cross_entropy"),
        (4, "self.fc(x).log_softmax(1)", "nll_loss"),
        (1, "self.fc(x).sigmoid()", "binary_cross_entropy"),
        (3, "self.fc(x)", "binary_cross_entropy_with_logits"),
        (2, "self.fc(x)", "l1_loss"),
        (2, "self.fc(x)", "huber_loss"),
    ):
        done = run(dedented(source).format(outputs=outputs, result=result, loss=loss))
        assert done.result.status == "ok", (loss, done.result)
        assert done.without_gradient("Net") == set()


def dedented(text: str) -> str:
    lines = text.splitlines()
    return "\n".join(line[8:] for line in lines) + "\n"
