"""What the rules find in graphs and training steps, and what a file's source shows of both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from gradlint.analysis.reach import reach
from gradlint.analysis.verdicts import profile
from gradlint.finding import Evidence, Finding, GradientSize, ModelReport, same_fault
from gradlint.frame import Frame
from gradlint.graph import Model, ModelGraph
from gradlint.judged import Judged, Sight
from gradlint.registry import RUN_FAMILY
from gradlint.rule import GraphRule, Rule, TrainingRule
from gradlint.training import TrainingStep

if TYPE_CHECKING:
    from gradlint.frontends.static.project import Project
    from gradlint.source import Source

READ = "source"
"""How a model was captured whose graph was read from source, nothing executed."""


STATES = frozenset({"GL107"})
"""Rules about states of the whole program, such as the gradient mode."""
MOVES = frozenset({"GL111"})
"""Rules about what a move to another device does, which is nothing where there is but one."""
WRITTEN = frozenset({"GL306", "GL307", "GL504", "GL807"})
"""Rules about what only the text says: sizes of batches, memory from torch's old constructors, functions that nothing
calls, the precision that a program moves its model to before it is used."""


def found_in(graphs: Iterable[ModelGraph], rules: Iterable[Rule]) -> Iterator[Finding]:
    """What the graph rules find in some graphs."""
    graph_rules = [rule for rule in rules if isinstance(rule, GraphRule)]
    for graph in graphs:
        for rule in graph_rules:
            for finding in rule.check(graph):
                yield _as_read(finding) if graph.model.capture == READ else finding


def _as_read(finding: Finding) -> Finding:
    """What a rule proves on a graph that was read from source is proved on the static graph, and measured by nobody."""
    if finding.evidence not in (Evidence.GRAPH, Evidence.MEASURED):
        return finding
    return finding.model_copy(update={"evidence": Evidence.STATIC_GRAPH})


def found_in_steps(steps: Iterable[TrainingStep], rules: Iterable[Rule]) -> Iterator[Finding]:
    """What the training rules find in some training steps."""
    training_rules = [rule for rule in rules if isinstance(rule, TrainingRule)]
    for step in steps:
        for rule in training_rules:
            yield from map(_as_read, rule.check_step(step))


def read_source(source: Source, rules: Iterable[Rule], project: Project, symbol: str | None = None) -> Judged:
    """What the rules prove on a source, of it only on the class or factory `symbol` if given; nothing is executed."""
    from gradlint.frontends.static.reading import read_file

    rules = tuple(rules)
    reading = read_file(source, project, symbol)
    found = (*found_in(reading.graphs, rules), *found_in_steps(reading.steps, rules))
    return Judged(
        findings=tuple(found),
        models=tuple(summary(graph) for graph in reading.graphs),
        dependencies=(*reading.files, *reading.missed),
        sight=sight(
            (graph for graph in reading.graphs if graph.model.complete),
            [rule for rule in rules if not rule.needs_recording],
        ),
    )


def united(recorded: Judged, read: Judged) -> Judged:
    """What a recording and the source show together; where both speak of a model, the recording is believed.

    A model that was recorded up to its loss leaves nothing to be proved from source; one that was recorded up to its
    outputs leaves what the source shows of its loss. What the program did elsewhere before its loop, as switching
    gradients off for good, no recording of the loop sees.
    """
    known = {model.name: model.reach_at for model in recorded.models}
    read_at = {model.name: model.reach_at for model in read.models}
    told = {model for model, at in known.items() if at in ("loss", read_at.get(model))}
    fresh = [f for f in read.findings if f.model not in told or _is_of_elsewhere(f, recorded)]
    added = [finding for finding in fresh if not any(same_fault(finding, old) for old in recorded.findings)]
    return recorded.model_copy(
        update={
            "findings": (*recorded.findings, *added),
            "models": (*recorded.models, *(model for model in read.models if model.name not in known)),
            "dependencies": (*recorded.dependencies, *read.dependencies),
        }
    )


def _is_of_elsewhere(finding: Finding, recorded: Judged) -> bool:
    """Whether a finding is about what a recording does not show: other lines' effects, other devices.

    What is said of parameters that the recording says more of is one mistake with it.
    """
    if finding.code in MOVES | WRITTEN:
        return True
    explained = {name for old in recorded.findings if old.model == finding.model for name in old.parameters}
    unseen = finding.line not in recorded.sight.lines.get(finding.path, ())
    return finding.code in STATES and unseen and explained.isdisjoint(finding.parameters)


def sight(graphs: Iterable[ModelGraph], rules: Iterable[Rule]) -> Sight:
    """What rules of models and loops could see: the lines of everything in some exact graphs."""
    lines: dict[str, set[int]] = {}
    for graph in graphs:
        for frame in _places(graph):
            lines.setdefault(frame.path, set()).add(frame.line)
    codes = tuple(rule.code for rule in rules if not rule.code.startswith(RUN_FAMILY))
    return Sight(codes=codes, lines={path: tuple(sorted(found)) for path, found in lines.items()})


def _places(graph: ModelGraph) -> Iterator[Frame]:
    """Everywhere in the user's own code that a graph and its training loop come from."""
    parameters, events = graph.model.parameters, graph.training.events if graph.training else ()
    frames = [
        *(frame for node in graph.nodes for frame in node.frames),
        *(call.frame for parameter in parameters for call in parameter.initialisations),
        *(parameter.made for parameter in parameters),
        *(hidden.frame for hidden in graph.model.hidden),
        *(event.frame for event in events),
    ]
    return (frame for frame in frames if frame is not None and frame.user)


def _named(parameters: Iterable[str]) -> tuple[str, ...]:
    """The parameters whose names are known: a part may be registered under a name that is computed."""
    return tuple(name for name in parameters if "<" not in name)


def gradient_profile(graph: ModelGraph) -> tuple[GradientSize, ...]:
    """The gradients of the trainable parameters, as far as they are measured or can be predicted."""
    return tuple(
        GradientSize(parameter=one.parameter.name, predicted_rms=one.predicted, measured_rms=one.measured)
        for one in profile(graph)
        if one.size is not None
    )


def unasked(models: Iterable[Model]) -> Iterator[str]:
    """One line for every model about which the compiler was to be asked and was not."""
    for model in models:
        if model.compilation and model.compilation.untried:
            yield f"{model.name}: torch's compiler was not asked where it breaks, since {model.compilation.untried}"


def summary(graph: ModelGraph) -> ModelReport:
    """A model's entry in the report."""
    model, result = graph.model, reach(graph)
    trainable, starved = model.trainable, set(result.starved)
    return ModelReport(
        name=model.name,
        path=model.path,
        line=model.line,
        capture=model.capture,
        inputs=model.inputs,
        reach_at=model.reach_at,
        parameters=len(trainable),
        reached=len(trainable) - len(starved),
        elements=sum(p.elements for p in trainable),
        elements_reached=sum(p.elements for p in trainable if p.name not in starved),
        starved=_named(result.starved),
        unused=_named(result.unused),
        # Many models are read at once where sources are: what each would predict is for `gradlint profile`.
        gradient_profile=gradient_profile(graph) if model.capture != READ else (),
    )
