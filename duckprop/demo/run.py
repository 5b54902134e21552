"""The main job on real data, step by step; each step is kept and not done again."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import duckdb

import duckprop
from duckprop import sql
from duckprop.dataset import Columns
from duckprop.demo.baselines import evaluate_baselines, not_bought_lately
from duckprop.demo.data import fetch_data
from duckprop.demo.task import build_task
from duckprop.evaluation.metrics import Evaluation
from duckprop.evaluation.model import evaluate_model
from duckprop.model import Model, load
from duckprop.registry import Registry
from duckprop.training.settings import Report, Settings

NAME = "retail"
_KEY = Columns(ids=("household_id", "as_of"))


@dataclass(frozen=True)
class Demo:
    """Where everything lies, and whom to tell. folder: the demo's own; data: the Parquet files, None to fetch them."""

    folder: Path
    tell: Callable[[str], None]
    data: Path | None = None

    @property
    def database(self) -> Path:
        """The DuckDB file."""
        return self.folder / "journey.duckdb"

    @property
    def registry(self) -> Path:
        """The folder of models."""
        return self.folder / "models"

    def prepare(self) -> None:
        """Fetch the data and build features and outcomes in the database."""
        self.folder.mkdir(parents=True, exist_ok=True)
        data = self.data or fetch_data(self.folder)
        with duckdb.connect(str(self.database)) as con:
            build_task(con, data, self.tell)

    def train(self, settings: Settings, progress: AbstractContextManager[Report]) -> Model:
        """Train and publish the network, or return the one that an earlier run made of the same task and settings."""
        trained = self.folder / "trained.json"
        with duckdb.connect(str(self.database), read_only=True) as con:
            task = con.execute("SELECT fingerprint FROM task_done").fetchall()[0][0]
            key = json.dumps({"task": task, "settings": settings.as_dict()}, indent=1)
            if trained.is_file() and trained.read_text() == key and Registry(self.registry).versions():
                return load(f"{NAME}@champion", self.registry)
            work = self.folder / "training"
            with progress as report:
                model = duckprop.train(
                    "customer_features",
                    "outcomes",
                    con=con,
                    columns=_KEY,
                    settings=settings,
                    vocabulary="feature_names",
                    outcome="bought in the category within 28 days",
                    folder=work,
                    report=report,
                )
        version = model.publish(NAME, self.registry)
        Registry(self.registry).promote(NAME, "champion", version.version)
        trained.write_text(key)
        shutil.rmtree(work)
        return load(f"{NAME}@champion", self.registry)

    def judge(self, model: Model) -> dict[str, Evaluation]:
        """Evaluate model and baselines on the test window, write the report, return the evaluations by name."""
        with duckdb.connect(str(self.database), read_only=True) as con:
            new = not_bought_lately(con, model.categories)
            rows = "FROM customer_features WHERE split = 'test'"
            judged = evaluate_model(con, model, rows, "outcomes", columns=_KEY, new=new)
            baselines = evaluate_baselines(con, judged, model.categories, new)
        title = "Complete Journey: what households buy in the next 28 days"
        judged.write_report(self.folder / "report.html", model, title=title, baselines=baselines)
        return {model.reference: judged.evaluation, **baselines}

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Open the database with the functions registered and the demo's model as the default."""
        return duckprop.connect(self.database, registry=self.registry, model=f"{NAME}@champion")


def queries() -> Iterator[tuple[str, str]]:
    """Yield what each of the analyst's queries is for, and its text."""
    for block in sql.read("complete_journey/analyst.sql").split("\n\n")[1:]:
        title, _, query = block.strip().partition("\n")
        yield title.removeprefix("-- "), query
