"""What propensity_train calls: a training in a thread of its own, and a query that asks again and again how it goes.

DuckDB notices that a query was interrupted only between two calls of a function. So no call lasts: the first one begins
the training, each later one waits a moment for it, and the one that finds it done publishes the model. A training that
no query asks for any more pauses, and is dropped: nothing is published that nobody waits for.
"""

import atexit
import contextlib
import itertools
import signal
import tempfile
import threading
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from duckprop.errors import DataError, ModelError, UsageError
from duckprop.models import Models
from duckprop.relation import first_line, identifier, literal
from duckprop.train_arguments import Arguments, read_arguments

if TYPE_CHECKING:
    import weakref

    from duckprop.model import Model

_STEP = 0.1
"""Seconds that a call waits before it lets DuckDB look whether the query was interrupted."""
_PAUSE = 1.0
_GIVE_UP = 20.0
"""Seconds without a call after which a training pauses, and for which it then waits before it is dropped."""
_FIGURE = pa.struct(
    [
        ("model", pa.string()),
        ("split", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("support", pa.int64()),
    ]
)
FIGURES = "STRUCT(model VARCHAR, split VARCHAR, metric VARCHAR, value DOUBLE, support BIGINT)[]"
SUPPORT = {
    "macro_auc": "categories_counted",
    "micro_auc": "pairs",
    "log_loss": "pairs",
    "ece": "pairs",
    "p_at_1_active": "active_rows",
    "p_at_5_active": "active_rows",
    "p_at_5_all": "rows",
    "lift_at_10pct": "categories_counted",
}
"""Metric of a model's card → the count that it is a mean over, in the order of the result."""
_numbers = itertools.count(1)
_running: dict[int, "_Training"] = {}


class _Stopped(Exception):
    """Ends a training between two batches."""


class _Training:
    """One training, its thread, and who waits for it. folder: where it works, removed with it."""

    def __init__(self, con: duckdb.DuckDBPyConnection, arguments: Arguments) -> None:
        self.number = next(_numbers)
        self.arguments = arguments
        self.folder = tempfile.TemporaryDirectory(prefix="duckprop-")
        self.model: Model | None = None
        self.error: BaseException | None = None
        self.stopped = False
        self._con = con
        self._asked = threading.Condition()
        self._wanted_until = monotonic() + _PAUSE
        self._thread = threading.Thread(target=self._work, name=f"duckprop-training-{self.number}", daemon=True)
        _running[self.number] = self
        self._thread.start()

    def wait(self, seconds: float = _STEP) -> bool:
        """Return whether the training has ended, after at most so many seconds; until the next call it is wanted."""
        with self._asked:
            self._wanted_until = monotonic() + seconds + _PAUSE
            self._asked.notify()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Let the training end soon, wherever it is."""
        with self._asked:
            self.stopped = True
            self._asked.notify()
        with contextlib.suppress(duckdb.Error):  # closed already: it reads no more
            self._con.interrupt()

    def _work(self) -> None:
        try:
            from duckprop.training import train

            atexit.register(stop_all)  # after MXNet's own, that is to run before it
            with self._con as con:
                self.model = train(con=con, folder=self.folder.name, report=self._check, **self.arguments.train)
            self._check()
        except BaseException as error:  # what it was, the query says
            self.error = error
        if self.model is None or self.stopped:
            self.folder.cleanup()
        if self.stopped or monotonic() >= self._wanted_until:
            _running.pop(self.number, None)

    def _check(self, _progress: Any = None) -> None:
        """Go on while a query waits, pause while none does. Raises _Stopped where none comes back.

        The first time everything is read, and the database is needed no more.
        """
        self._con.close()
        with self._asked:
            self._asked.wait_for(lambda: self.stopped or monotonic() < self._wanted_until, _GIVE_UP)
            self.stopped |= monotonic() >= self._wanted_until
        if self.stopped:
            raise _Stopped


def stop_all() -> None:
    """Stop every training of this process, and wait until they have ended: MXNet hangs in one that outlives it."""
    for training in list(_running.values()):
        training.stop()
        training.wait(_GIVE_UP)


def listen(rows: pa.Array) -> pa.Array:
    """Let Ctrl-C stop trainings. DuckDB computes constants while it plans, in the thread that runs the query.

    Where that is the main one it learns of Ctrl-C, but only waits then for the thread that runs the functions: what
    Python does by default, raising KeyboardInterrupt, would reach nobody. Our handler raises it too, and stays until
    the next Ctrl-C. Another one than Python's own is left as it is.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)
    return pa.array([0] * len(rows), pa.int64())


def _interrupted(number: int, frame: Any) -> None:
    """Stop every training, and do what Python does."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for training in list(_running.values()):
        training.stop()
    signal.default_int_handler(number, frame)


class Trainer:
    """The two functions of one database. handles: its registered connections, as long as they live."""

    def __init__(self, models: Models, handles: "weakref.WeakSet[duckdb.DuckDBPyConnection]") -> None:
        self._models, self._handles = models, handles

    def start(self, asked: pa.Array) -> pa.Array:
        """Begin the training that a struct (1,) describes and return its number. Raises UsageError for a wrong one."""
        if len(asked) != 1:
            raise UsageError("one call would train several models", "call it once, with constants, after FROM")
        arguments = read_arguments(asked[0].as_py())
        return pa.array([_Training(self._cursor(arguments), arguments).number], pa.int64())

    def wait(self, number: pa.Array) -> pa.Array:
        """Wait a moment for a training: NULL while it runs, then its figures, when its model is published.

        Raises what the training has raised.
        """
        training = _running.get(number[0].as_py())
        if training is None:
            raise UsageError("the training was given up: its query did not ask for it in time", "run the query again")
        try:
            if not training.wait() and not training.stopped:
                return pa.nulls(1, pa.list_(_FIGURE))
        except KeyboardInterrupt:
            training.stop()
        _running.pop(training.number, None)
        if training.stopped:
            name = training.arguments.name
            raise UsageError(f"the training of '{name}' was interrupted", "nothing is published: run it again")
        return pa.array([self._published(training)], pa.list_(_FIGURE))

    def _published(self, training: _Training) -> list[dict[str, object]]:
        name, promote = training.arguments.name, training.arguments.promote
        with training.folder, _explained():
            if training.error is not None:
                raise training.error
            assert training.model is not None
            version = training.model.publish(name, self._models.registry.root)
            if promote:
                self._models.registry.promote(name, promote, version.version)
        return _figures(version.reference, training.model.card["metrics"])

    def _cursor(self, arguments: Arguments) -> duckdb.DuckDBPyConnection:
        """Return a connection of this database that finds relations where the caller does, and no Python variables."""
        for handle in list(self._handles):
            with contextlib.suppress(duckdb.ConnectionException):  # closed, but not gone
                cursor = handle.cursor().cursor()  # a handle closes its cursors with it, and fails where one is busy
                cursor.execute("SET python_enable_replacements = false")
                cursor.execute(
                    f"SET search_path = {literal(arguments.search_path)}"
                    if arguments.search_path
                    else f"USE {identifier(arguments.database)}.{identifier(arguments.schema)}"
                )
                return cursor
        raise UsageError(
            "the connection on which duckprop was registered is closed", "call duckprop.register(con) on this one"
        )


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Let errors say what to do in SQL; those of the libraries below become ours."""
    try:
        yield
    except DataError as error:
        if "Catalog Error" not in error.fact:
            raise
        raise DataError(
            error.fact,
            "training reads through a connection of its own: give a table or view that is committed, a file or a "
            "SELECT, no temporary table, CTE or data frame",
        ) from None
    except duckdb.Error as error:
        raise DataError(f"the data cannot be read: {first_line(error)}", "query both relations alone first") from None
    except OSError as error:
        raise ModelError(
            f"the model cannot be written: {first_line(error)}",
            "check the registry, its permissions and the free space",
        ) from None


def _figures(reference: str, metrics: dict[str, Any]) -> list[dict[str, object]]:
    return [
        {
            "model": reference,
            "split": split,
            "metric": metric,
            "value": found["overall"][metric],
            "support": found["support"][counted],
        }
        for split, found in metrics.items()
        for metric, counted in SUPPORT.items()
    ]
