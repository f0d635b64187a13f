"""Clauses on distillation policies: teachers, and the loss of every draw on a supernet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ofa_bench.draws import Draw, Role
from ofa_bench.schedule import Step
from ofa_bench.testing.case import Case, draws_of, no_global_random, only
from ofa_bench.testing.verdict import Breach, clause, clauses

if TYPE_CHECKING:
    from torch import Tensor

    from ofa_bench.losses import Losses

TEACHER, LOSS = "distill_teacher", "distill_loss"
IMAGES = 16
on_losses = clauses("distill", hook=LOSS)


@dataclass
class Shown:
    """Logits that a policy may read: the teacher's, and those of the roles in its `needs`."""

    needs: frozenset[Role]
    teacher: Tensor | None
    logits: Mapping[Role, Tensor]

    def __getitem__(self, role: Role) -> Tensor:
        if role not in self.needs | {Role.LARGEST}:
            raise KeyError(f"{role!r} is not in the policy's `needs`")
        return self.logits[role]

    def twice(self) -> Shown:
        """The same logits with every image twice."""
        teacher = None if self.teacher is None else _doubled(self.teacher)
        return replace(
            self, teacher=teacher, logits={r: _doubled(x) for r, x in self.logits.items()}
        )


@dataclass
class Lesson:
    """The arguments of one `distill_loss` call: one draw on one micro-batch."""

    case: Case
    step: Step
    draw: Draw
    logits: Tensor
    batch: Any
    seen: Shown
    criterion: Losses
    net: Any

    def loss(self) -> Tensor:
        """The policy's loss, checked as in training; PolicyError if it is illegal."""
        return self.case.assembly.bus.loss(
            self.step, self.draw, self.logits, self.batch, self.seen, self.criterion
        )


def lessons(case: Case) -> Iterator[Lesson]:
    """Each draw of each phase's first step, in training order, on random images."""
    import torch

    from ofa_bench.losses import Losses
    from ofa_bench.runs.runner import build_net
    from ofa_bench.training.devices import Devices

    assembly = case.assembly
    net = build_net(assembly, Devices(torch.device("cpu")))
    batch = _batch(max(assembly.space.resolutions), assembly.classes)
    criterion = Losses(assembly.science.optim.label_smoothing)
    needs = assembly.recipe.policies["distill"].needs
    for step in case.steps(case.schedule.edges[:-1]):
        teacher = assembly.teachers.get(step.phase.name)
        earlier: dict[Role, Tensor] = {}
        for draw in draws_of(assembly.bus, step):
            size = draw.subnet.resolution
            target = None if teacher is None else _run(net, teacher.subnet.at(size), batch).detach()
            logits = _run(net, draw.subnet, batch)
            seen = Shown(needs, target, dict(earlier))
            yield Lesson(case, step, draw, logits, batch, seen, criterion, net)
            earlier[draw.role] = logits.detach().clone()


def _run(net: Any, subnet: Any, batch: Any) -> Tensor:
    net.activate(subnet)
    logits: Tensor = net(batch.at(subnet.resolution).images)
    return logits


def _batch(resolution: int, classes: int) -> Any:
    import torch

    from ofa_bench.data.sources.batch import MicroBatch

    generator = torch.Generator().manual_seed(1)
    images = torch.randn(IMAGES, 3, resolution, resolution, generator=generator)
    return MicroBatch(images, torch.randint(classes, (IMAGES,), generator=generator))


def _doubled(tensor: Tensor) -> Tensor:
    import torch

    return torch.cat([tensor, tensor])


@clause(
    "distill_teacher is deterministic",
    "distill",
    hook=TEACHER,
    expected="the same teacher on every call",
)
def teacher_is_deterministic(case: Case) -> None:
    """Plans and resumed runs ask for teachers again."""
    phases = case.schedule.phases
    again = case.again().bus
    with no_global_random():
        for index, phase in enumerate(phases):
            if again.teacher(phase, phases[:index]) != case.assembly.teachers[phase.name]:
                raise Breach(f"for phase {phase.name!r} a second call names another")


@on_losses("distill_loss is finite and differentiable", "a finite scalar with a gradient to logits")
def loss_is_differentiable(case: Case) -> None:
    """The gradient is taken with respect to the logits passed to the policy."""
    import torch

    for lesson in lessons(case):
        loss = lesson.loss()
        if not torch.isfinite(loss):
            raise Breach(f"the loss of {lesson.draw.role} is {float(loss.detach())}")
        (gradient,) = torch.autograd.grad(loss, lesson.logits, allow_unused=True)
        if gradient is None or not gradient.any():
            raise Breach(f"the loss of {lesson.draw.role} sends no gradient to logits")
        if not torch.isfinite(gradient).all():
            raise Breach(f"the gradient of {lesson.draw.role} is not finite")


@on_losses(
    "distill_loss is a mean over samples",
    "the mean over samples: every image twice gives the same loss",
)
def loss_is_a_mean(case: Case) -> None:
    """With a sum, the learning rate would depend on the size of the micro-batch."""
    import torch

    from ofa_bench.data.sources.batch import MicroBatch

    for lesson in lessons(case):
        twice = replace(
            lesson,
            logits=_doubled(lesson.logits),
            batch=MicroBatch(_doubled(lesson.batch.images), _doubled(lesson.batch.labels)),
            seen=lesson.seen.twice(),
        )
        one, two = lesson.loss(), twice.loss()
        if not torch.isclose(one, two, rtol=1e-4, atol=1e-6):
            raise Breach(
                f"the loss of {lesson.draw.role} is {float(one.detach()):.6g} on {IMAGES} images, "
                f"{float(two.detach()):.6g} with each of them twice"
            )


@on_losses(
    "distill_loss modifies no tensor",
    "logits, images, labels and weights are unchanged (no `x += y`, no `x.mul_(y)`)",
)
def loss_modifies_nothing(case: Case) -> None:
    """Other policies read the same tensors afterwards."""
    for lesson in lessons(case):
        watched = dict(lesson.net.named_parameters()) | {
            "logits": lesson.logits,
            "images": lesson.batch.images,
            "labels": lesson.batch.labels,
            **{f"seen[{role}]": logits for role, logits in lesson.seen.logits.items()},
        }
        if lesson.seen.teacher is not None:
            watched["seen.teacher"] = lesson.seen.teacher
        before = {name: (t._version, t.detach().clone()) for name, t in watched.items()}
        lesson.loss()
        for name, tensor in watched.items():
            version, value = before[name]
            if tensor._version != version or not tensor.detach().equal(value):
                raise Breach(f"{name} was changed")


@on_losses("distill_loss is deterministic", "the same loss for the same logits, without randomness")
def loss_is_deterministic(case: Case) -> None:
    """A loss has no addressed source of randomness."""
    only(case.pure, "the policy declares `pure = False`")
    for lesson in lessons(case):
        with no_global_random():
            one = float(lesson.loss().detach())
        two = float(lesson.loss().detach())
        if one != two:
            raise Breach(
                f"the loss of {lesson.draw.role} was {one:.6g} at first, {two:.6g} the next time"
            )


@on_losses(
    "labels_only roles use the label loss",
    "the plain criterion, criterion.hard(logits, labels), for roles in `labels_only`, and "
    "where a policy that needs a teacher has none yet",
)
def labels_only_uses_labels(case: Case) -> None:
    """`labels_only` and `needs_teacher` decide which runs share their first steps."""
    import torch

    policy = case.assembly.recipe.policies["distill"]
    roles, needs = policy.labels_only, policy.needs_teacher
    only(bool(roles) or needs, "it has no labels_only role and needs no teacher")
    for lesson in lessons(case):
        if lesson.draw.role in roles or (needs and lesson.seen.teacher is None):
            plain = lesson.criterion.hard(lesson.logits, lesson.batch.labels)
            loss = lesson.loss()
            if not torch.equal(plain, loss):
                raise Breach(
                    f"the loss of {lesson.draw.role} is {float(loss.detach()):.6g}, the criterion "
                    f"{float(plain.detach()):.6g}",
                )
