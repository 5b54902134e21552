"""Run examples/campaign.ipynb from top to bottom and write it back with its outputs: python docs/build_notebook.py.

Nothing in it says where, when or by whom it was run. It works in a folder of its own: what the notebook makes (the
purchases, the registry) does not stay.
"""

import os
import shutil
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "examples" / "campaign.ipynb"


def execute(folder: Path, *more: str) -> nbformat.NotebookNode:
    """Return the notebook as it is after a run in a folder; more: the code of cells that a test adds at its end.

    Raises nbclient's CellExecutionError for the first cell that fails.
    """
    shutil.copy(NOTEBOOK.with_name("shop.py"), folder)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells += [nbformat.v4.new_code_cell(code) for code in more]
    client = NotebookClient(notebook, timeout=300, record_timing=False, resources={"metadata": {"path": str(folder)}})
    client.execute(env={**os.environ, "DUCKPROP_HOME": str(folder / "home")})
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return notebook


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        nbformat.write(execute(Path(folder)), NOTEBOOK)
