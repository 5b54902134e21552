"""Who may import whom, and how long things may be: the house rules, held on the syntax tree of every file."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = (
    {"errors", "sql"},
    {"cores", "kernels"},
    {"bundle", "features", "layouts", "libsvm", "mxnet_compat", "network", "outcomes", "ranking", "relation", "sparse"}
    | {"archive", "baseline", "card", "parquet", "plain_files", "temporary", "vocabulary"},
    {"aliases", "buffers", "fold", "formats", "engine", "registry"},
    {"compiled", "mxnet_engine"},
    {"explain"},
    {"model"},
    {"compare", "dataset", "evaluation", "labels", "models", "verify"},
    {"exporting", "importing", "inspection", "train_arguments", "training", "udfs"},
    {"train_in_sql"},
    {"bulk", "catalog", "manual"},
    {"duckprop", "integrations", "spark"},
    {"benchmarks", "demo"},
    {"cli"},
    {"__main__"},
)
"""A module imports from its own layer and those before it. ``duckprop`` is the package's own ``__init__``."""

MXNET = ("mxnet_engine", "formats", "importing", "training", "benchmarks")
"""Who may bring MXNet, always through ``mxnet_compat``."""

ONLY_IN = {
    "mxnet": ("mxnet_compat",),
    "typer": ("cli",),
    "pyspark": ("spark",),
    "matplotlib": ("evaluation.plots", "benchmarks.plots"),
    "sklearn": ("formats", "integrations"),
    "skops": ("formats",),
    "fasttext": ("formats",),
    "prompt_toolkit": ("cli.terminal",),
    "dbt": ("integrations",),
    "harlequin": ("integrations",),
    "harlequin_duckdb": ("integrations",),
    "torch": ("formats", "benchmarks.peers"),
    "onnx": ("formats", "benchmarks.peers"),
    "onnxruntime": ("formats", "benchmarks.peers"),
    "numba": ("kernels", "benchmarks.limit"),
}


def modules():
    """Return {module's name without 'duckprop.': file} of everything that ships."""
    found = {}
    for folder in ("duckprop", "udfs", "sql", "benchmarks"):
        for path in sorted(ROOT.joinpath(folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[folder == "duckprop" :]).removesuffix("__init__").rstrip(".")
            found[name or "duckprop"] = path
    return found


MODULES = modules()
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}


def imported(tree):
    """Return every name that a file imports, at any depth: 'a.b' and, for 'from a import b', 'a.b' too."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def ours(name):
    """Return the module of ours that an imported name stands for, or None."""
    if name == "duckprop" or not name.startswith("duckprop."):
        return "duckprop" if name == "duckprop" else None
    inner = name.removeprefix("duckprop.")
    if inner in MODULES:
        return inner
    return inner.rpartition(".")[0] or "duckprop"  # a name in a module


def lies_in(module, places):
    return any(module == place or module.startswith(place + ".") for place in places)


def layer(module):
    found = [number for number, names in enumerate(LAYERS) if module.partition(".")[0] in names]
    assert len(found) == 1, f"{module} has no layer: add it to LAYERS"
    return found[0]


def edges():
    for module, tree in TREES.items():
        for name in imported(tree):
            if ours(name) and not (ours(name) == "duckprop" and asks_only_for_the_version(tree)):
                yield module, ours(name)


def asks_only_for_the_version(tree):
    """Whether ``duckprop.…`` is followed by nothing but ``__version__``, which any module may read."""
    named = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)]
    return {node.attr for node in named if node.value.id == "duckprop"} == {"__version__"}


def test_every_import_is_of_a_module_that_exists():
    assert {target for _, target in edges()} <= set(MODULES)
    assert len(MODULES) > 40


def test_no_module_imports_upwards():
    lazy = {("duckprop", target) for target in ("catalog", "model", "training")}
    wrong = [f"{module} imports {target}" for module, target in edges() if layer(target) > layer(module)]
    assert wrong == []
    assert lazy <= set(edges())


def test_no_modules_import_each_other_in_a_circle():
    graph = {module: set() for module in MODULES}
    for module, target in edges():
        if module != target:
            graph[module].add(target)
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_heavy_library_is_imported_only_where_it_belongs(library):
    users = {name for name, tree in TREES.items() if any(lies_in(used, [library]) for used in imported(tree))}
    assert {name for name in users if not lies_in(name, ONLY_IN[library])} == set()


def test_mxnet_comes_through_one_module_into_engine_formats_and_training():
    users = {module for module, target in edges() if target == "mxnet_compat"}
    assert {module for module in users if not lies_in(module, MXNET)} == set()
    assert users


def test_the_sql_package_imports_nothing_of_ours():
    assert {target for module, target in edges() if lies_in(module, ["sql"]) and target != module} == set()


def test_top_folders_are_imported_by_their_installed_names():
    files = [*MODULES.values(), *sorted(Path(__file__).parent.rglob("*.py"))]
    wrong = {path.name: imported(ast.parse(path.read_text())) for path in files}
    assert {
        name for name, used in wrong.items() if any(lies_in(one, ["udfs", "sql", "benchmarks"]) for one in used)
    } == set()


# --- sizes -----------------------------------------------------------------------------------------------------------


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_no_file_is_longer_than_400_lines():
    shipped = [
        path for folder in ("duckprop", "udfs", "sql", "benchmarks", "tests") for path in (ROOT / folder).rglob("*")
    ]
    texts = [path for path in shipped if path.suffix in (".py", ".sql", ".html")]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in texts}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_no_function_is_longer_than_60_lines():
    files = [*MODULES.values(), *sorted(Path(__file__).parent.rglob("*.py"))]
    lengths = {
        f"{path.name}: {function.name}": function.end_lineno - function.lineno + 1
        for path in files
        for function in functions(ast.parse(path.read_text()))
    }
    assert {name: length for name, length in lengths.items() if length > 60} == {}


def test_no_function_has_more_than_4_positional_arguments():
    """A SQL function's body has one for each SQL argument, a command one for each option; kernels take only arrays."""
    wrong = {}
    for module, tree in TREES.items():
        for function in [] if lies_in(module, ["udfs", "cli", "kernels"]) else functions(tree):
            names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
            count = len([name for name in names if name not in ("self", "cls")])
            if count > 4:
                wrong[f"{module}.{function.name}"] = count
    assert wrong == {}
