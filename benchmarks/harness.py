"""One run: every question on every side, by the protocol; all raw numbers are kept."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import Any

from duckprop.benchmarks.loading import Loading, loading
from duckprop.benchmarks.machine import load_average, machine
from duckprop.benchmarks.memory import Cold, in_own_process
from duckprop.benchmarks.protocol import Tell, compare, time_sides
from duckprop.benchmarks.questions import Question, questions
from duckprop.benchmarks.scaling import Curve
from duckprop.benchmarks.side import SQL, LeftOut, Opener, Samples, Side, WrongAnswer
from duckprop.benchmarks.sides import ALONE, COMPILED, NAIVE, SIDES, SPARSE, TRUSTED
from duckprop.benchmarks.workload import Workload
from duckprop.errors import UsageError


@dataclass(frozen=True)
class Settings:
    """repeats: timed runs a side. samples: rows of the slow sides. cold: one run a side in its own process as well,
    and loading. full: all questions, not only those of the headline.
    """

    repeats: int = 5
    samples: Samples = field(default_factory=Samples)
    cold: bool = True
    full: bool = False


@dataclass(frozen=True)
class Timing:
    """One side's runs, in seconds. difference: largest to the reference; None for the reference itself and floors."""

    side: str
    rows: int
    seconds: tuple[float, ...]
    difference: float | None = None
    is_reference: bool = False
    cold: Cold | None = None
    kind: str = SQL
    note: str = ""

    @property
    def median_s(self) -> float:
        """Median of the runs."""
        return median(self.seconds)

    @property
    def rows_per_second(self) -> float:
        """Rows by the median run."""
        return self.rows / self.median_s


@dataclass(frozen=True)
class Answer:
    """The timings of one question. left_out: why a side is missing, by its name."""

    question: str
    timings: tuple[Timing, ...]
    left_out: dict[str, str] = field(default_factory=dict)

    def timing(self, side: str) -> Timing | None:
        """Return a side's timing, None without it."""
        return next((timing for timing in self.timings if timing.side == side), None)

    def ratio(self, timing: Timing, to: str = NAIVE) -> float | None:
        """Return how many times another side's rows a second a side does, both by their medians; None without it."""
        base = self.timing(to)
        return None if base is None else timing.rows_per_second / base.rows_per_second

    @property
    def sparse_share(self) -> float | None:
        """Share of our engine's time, without SQL, that the sparse layer takes; None where it was not timed alone."""
        whole, part = self.timing(COMPILED), self.timing(SPARSE)
        return None if whole is None or part is None else whole.rows_per_second / part.rows_per_second


@dataclass(frozen=True)
class Report:
    """Everything of one run; see report.py for its forms."""

    created: str
    machine: dict[str, Any]
    workload: dict[str, Any]
    settings: Settings
    answers: tuple[Answer, ...]
    loading: dict[str, Loading] = field(default_factory=dict)
    curves: tuple[Curve, ...] = ()
    load_after: float | None = field(default_factory=load_average)


def run(
    workload: Workload, settings: Settings, tell: Tell = lambda text: None, sides: dict[str, Opener] | None = None
) -> Report:
    """Measure every question on every side.

    Raises UsageError for fewer than one run, WrongAnswer where a side's outputs differ: nothing of it is timed then.
    """
    if settings.repeats < 1 or min(settings.samples.naive, settings.samples.batches, settings.samples.heads) < 1:
        raise UsageError("fewer than one run or row is asked for", "give --repeats 5 or more")
    created, about = datetime.now(UTC).isoformat(timespec="seconds"), machine()
    is_cold = settings.cold and sides is None
    if is_cold:
        tell("loading the model in processes of its own")
    loaded = loading(workload.model.folder) if is_cold else {}
    answers: list[Answer] = []
    for question in questions(workload.model, settings.full):
        with ExitStack() as stack:
            tell(f"{question.name}: opening the sides")
            opened, left_out = _open(stack, workload, question, settings.samples, sides=sides or SIDES)
            alone = [name for name in ALONE if name in opened] if is_cold and not answers else []
            cold = in_own_process(workload, settings.samples, tell, alone) if alone else {}
            answers.append(_answer(question, opened, settings, tell=tell, cold=cold, left_out=left_out))
    return Report(created, about, workload.describe(), settings, tuple(answers), loaded)


def _open(
    stack: ExitStack, workload: Workload, question: Question, samples: Samples, *, sides: dict[str, Opener]
) -> tuple[dict[str, Side], dict[str, str]]:
    opened, left_out = {}, {}
    for name, opener in sides.items():
        try:
            opened[name] = stack.enter_context(opener(workload, question, samples))
        except LeftOut as reason:
            if str(reason):
                left_out[name] = str(reason)
    return opened, left_out


def _wrong_peers(opened: dict[str, Side], question: Question) -> dict[str, str]:
    """Return the other libraries whose outputs are not near enough to the reference, and why."""
    ours = [side for side in opened.values() if not side.is_peer]
    wrong = {}
    for name, side in opened.items():
        try:
            if side.is_peer:
                compare([*(each for each in ours if each.name in TRUSTED), side], question.tolerance)
        except WrongAnswer as error:
            wrong[name] = str(error.fact)
    return wrong


def _answer(
    question: Question,
    opened: dict[str, Side],
    settings: Settings,
    *,
    tell: Tell,
    cold: dict[str, Cold],
    left_out: dict[str, str],
) -> Answer:
    tell(f"{question.name}: comparing the outputs")
    wrong = _wrong_peers(opened, question)
    opened = {name: side for name, side in opened.items() if name not in wrong}
    left_out, sides = left_out | wrong, list(opened.values())
    reference, differences = compare(sides, question.tolerance)
    seconds = time_sides(sides, settings.repeats, lambda text: tell(f"{question.name}: {text}"))
    timings = [
        Timing(
            side.name, side.rows, seconds[side.name], differences.get(side.name), side is reference, cold.get(name),
            side.kind, side.note,
        )
        for name, side in opened.items()
    ]  # fmt: skip
    return Answer(question.name, tuple(timings), left_out)
