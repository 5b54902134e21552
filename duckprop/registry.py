"""Where models live: a folder of names, each a folder of numbered versions, each a bundle; aliases beside them."""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from duckprop.bundle import CARD, check_hashes, new_folder, read_card
from duckprop.errors import ModelError, UsageError, did_you_mean

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_changes = 0


def changes() -> int:
    """Return how often this process has published or promoted: what was resolved before may be another model now."""
    return _changes


def _note_change() -> None:
    global _changes
    _changes += 1


@dataclass(frozen=True)
class Version:
    """One published model: ``name@version``, the aliases that point to it, and its folder."""

    name: str
    version: int
    aliases: tuple[str, ...]
    folder: Path

    @property
    def reference(self) -> str:
        """How SQL and the command line call it."""
        return f"{self.name}@{self.version}"


class Registry:
    """A registry in a folder; the folder need not exist before the first publish."""

    def __init__(self, root: str | Path | None = None) -> None:
        """Use the folder given, else the one in DUCKPROP_HOME, else the user's data folder."""
        home = root or os.environ.get("DUCKPROP_HOME") or Path(platformdirs.user_data_dir("duckprop"), "registry")
        self.root = Path(home).expanduser().absolute()

    @staticmethod
    def check_name(name: str) -> None:
        """Raise UsageError where a text cannot be a model's name or an alias."""
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"'{name}' cannot be a model's name or alias",
                "use letters, digits, '_', '.' and '-', at most 100, the first a letter or digit",
            )

    @classmethod
    def check_alias(cls, alias: str) -> None:
        """Raise UsageError where a text cannot be an alias: what cannot be a name, and a number, which is a version."""
        cls.check_name(alias)
        if _is_number(alias):
            raise UsageError(f"an alias cannot be the number {alias}", "call it champion, challenger or the like")

    def publish(self, bundle: Path, name: str) -> Version:
        """Copy a bundle in as the next version of a name and return it; safe beside other publishers.

        Raises UsageError for a name that is not made of letters, digits, '_', '.' and '-', and ModelError where the
        folder holds no whole model.
        """
        self.check_name(name)
        while True:
            number = max(self._numbers(name), default=0) + 1
            try:
                with new_folder(self.root / name / str(number)) as folder:
                    for path in bundle.iterdir():
                        shutil.copyfile(path, folder / path.name)
                    check_hashes(folder, read_card(folder))
                _note_change()
            except OSError:
                if not (self.root / name / str(number)).exists():
                    raise
                continue  # somebody else published this number first
            return self._version(name, number)

    def promote(self, name: str, alias: str, version: int) -> None:
        """Point an alias at a version; raises ModelError when there is no such version."""
        self.check_alias(alias)
        self._version(name, version)
        folder = self.root / name / "aliases"
        folder.mkdir(exist_ok=True)
        temporary = folder / f".{alias}-{os.getpid()}"
        temporary.write_text(str(version))
        os.replace(temporary, folder / alias)
        _note_change()

    def versions(self) -> list[Version]:
        """Return every version of every name, names sorted, oldest version first; empty without a registry."""
        folders = self.root.iterdir() if self.root.is_dir() else ()
        names = sorted(path.name for path in folders if path.is_dir() and _NAME.fullmatch(path.name))
        return [self._version(name, number) for name in names for number in sorted(self._numbers(name))]

    def resolve(self, reference: str) -> Version:
        """Return what 'name' (its newest version), 'name@3' or 'name@alias' stands for, or a bundle's folder.

        Raises ModelError that names what there is.
        """
        name, at, wanted = reference.partition("@")
        numbers = self._numbers(name) if _NAME.fullmatch(name) else []
        folder = Path(os.path.expanduser(reference)).absolute()
        if not numbers and os.path.isfile(folder / CARD):  # Path.is_file() raises for a name that is too long
            return Version(folder.name, 0, (), folder)
        if not numbers:
            known = sorted({version.name for version in self.versions()})
            there = f"models are {', '.join(known)}" if known else f"publish one first: {self.root} holds no models"
            raise ModelError(f"there is no model '{reference}'{did_you_mean(name, known)}", there)
        if not at:
            return self._version(name, max(numbers))
        return self._version(name, int(wanted) if _is_number(wanted) else self._alias(name, wanted))

    def only(self) -> Version:
        """Return the newest version of the only model there is. Raises ModelError that lists the models."""
        names = sorted({version.name for version in self.versions()})
        if len(names) == 1:
            return self.resolve(names[0])
        there = f"there are {len(names)}: {', '.join(names)}" if names else f"there are none in {self.root}"
        raise ModelError(
            f"no model is named, and {there}",
            "name one as the last argument, or SET VARIABLE propensity_model = 'name'"
            if names
            else "publish one first: duckprop train, or duckprop demo",
        )

    def _numbers(self, name: str) -> list[int]:
        folder = self.root / name
        return [int(p.name) for p in folder.iterdir() if _is_number(p.name)] if folder.is_dir() else []

    def _aliases(self, name: str) -> dict[str, int]:
        folder = self.root / name / "aliases"
        files = sorted(folder.iterdir()) if folder.is_dir() else []
        written = {path.name: path.read_text() for path in files if _NAME.fullmatch(path.name)}
        return {alias: int(text) for alias, text in written.items() if _is_number(text)}

    def _alias(self, name: str, alias: str) -> int:
        aliases = self._aliases(name)
        if alias not in aliases:
            listed = ", ".join(aliases) or "none"
            raise ModelError(
                f"model '{name}' has no alias '{alias}'{did_you_mean(alias, list(aliases))}", f"its aliases: {listed}"
            )
        return aliases[alias]

    def _version(self, name: str, number: int) -> Version:
        if number not in self._numbers(name):
            numbers = ", ".join(map(str, sorted(self._numbers(name))))
            raise ModelError(f"there is no model '{name}@{number}'", f"versions of '{name}': {numbers}")
        aliases = tuple(alias for alias, version in self._aliases(name).items() if version == number)
        return Version(name, number, aliases, self.root / name / str(number))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10
