"""Where models live: a folder of names, each a folder of numbered versions, each a bundle; aliases beside them."""

import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from duckprop.aliases import FOLDER, NAME, changing, is_number, read_aliases, remove_alias, write_alias
from duckprop.bundle import CARD, check_hashes, copy_files, new_folder, read_card
from duckprop.errors import ModelError, UsageError, did_you_mean
from duckprop.temporary import remove_leftovers, temporary_path

_DELETED = "deleted"
"""Beside a model's versions: an empty file for each that was deleted, so that its number is not given again."""
_changes = 0


def changes() -> int:
    """Return how often this process has changed a registry: what was resolved before may be another model now."""
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
    """A registry in a folder; the folder need not exist before the first publish.

    Every change is one step for those who read, and safe beside other processes that change the same folder.
    """

    def __init__(self, root: str | Path | None = None) -> None:
        """Use the folder given, else the one in DUCKPROP_HOME, else the user's data folder."""
        home = root or os.environ.get("DUCKPROP_HOME") or Path(platformdirs.user_data_dir("duckprop"), "registry")
        self.root = Path(home).expanduser().absolute()

    @staticmethod
    def check_name(name: str) -> None:
        """Raise UsageError where a text cannot be a model's name or an alias."""
        if not NAME.fullmatch(name):
            raise UsageError(
                f"'{name}' cannot be a model's name or alias",
                "use letters, digits, '_', '.' and '-', at most 100, the first a letter or digit",
            )

    @classmethod
    def check_alias(cls, alias: str) -> None:
        """Raise UsageError where a text cannot be an alias: what cannot be a name, and a number, which is a version."""
        cls.check_name(alias)
        if is_number(alias):
            raise UsageError(f"an alias cannot be the number {alias}", "call it champion, challenger or the like")

    def publish(self, bundle: Path, name: str) -> Version:
        """Copy a bundle in as the next version of a name and return it; safe beside other publishers.

        The number is one that no version had before, deleted ones included.
        Raises UsageError for a name that is not made of letters, digits, '_', '.' and '-', and ModelError where the
        folder holds no whole model.
        """
        self.check_name(name)
        _refuse_link(self.root / name)
        while True:
            number = self._next_number(name)
            try:
                with new_folder(self.root / name / str(number)) as folder:
                    copy_files(bundle, folder)
                    check_hashes(folder, read_card(folder))
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY) or not (self.root / name).is_dir():
                    raise
                continue  # somebody else published this number first
            _note_change()
            return self._version(name, number)

    def promote(self, name: str, alias: str, version: int) -> int | None:
        """Point an alias at a version; return the one that it stood for, None for a new alias or a damaged one.

        Raises ModelError when there is no such version, UsageError for a text that cannot be an alias.
        """
        self.check_alias(alias)
        self._version(name, version)
        with changing(self._changeable(name)):
            self._version(name, version)
            stood = read_aliases(self.root / name).get(alias, ())
            if stood[:1] != (version,):
                write_alias(self.root / name, alias, (version, *stood))
        _note_change()
        return stood[0] if stood else None

    def rollback(self, name: str, alias: str) -> tuple[int, int]:
        """Point an alias back to the version that it stood for before; return the two numbers, left and now.

        Again, it goes further back. Raises ModelError when it stood for nothing before, or for what is deleted.
        """
        with changing(self._changeable(name)):
            stood, numbers = self._stood(name, alias, read_aliases(self.root / name)), self._numbers(name)
            if len(stood) < 2:
                raise ModelError(
                    f"alias '{alias}' of '{name}' stood for nothing before '{name}@{stood[0]}'",
                    f"promote one yourself; {_listed(name, numbers)}",
                )
            if stood[1] not in numbers:
                raise ModelError(
                    f"alias '{alias}' stood for '{name}@{stood[1]}' before '{name}@{stood[0]}', and that is deleted",
                    f"promote one yourself; {_listed(name, numbers)}",
                )
            write_alias(self.root / name, alias, stood[1:])
        _note_change()
        return stood[0], stood[1]

    def delete(self, name: str, version: int, *, force: bool = False) -> Version:
        """Delete a version and return what it was; its number is not given again.

        Raises UsageError for a version that an alias stands for, and, without ``force``, for the newest one; ModelError
        when there is no such version. A query that runs on it goes on with what is in memory.
        """
        self._version(name, version)
        folder = self._changeable(name)
        with changing(folder):
            found = self._version(name, version)
            self._refuse_to_delete(found, force)
            _leave_mark(folder / _DELETED, version)
            hidden = temporary_path(found.folder)
            os.rename(found.folder, hidden)
        _note_change()
        shutil.rmtree(hidden)
        remove_leftovers(folder)
        return found

    def delete_alias(self, name: str, alias: str) -> None:
        """Delete an alias and what it stood for; the versions stay. Raises ModelError where there is none."""
        with changing(self._changeable(name)):
            _known(name, alias, read_aliases(self.root / name))
            remove_alias(self.root / name, alias)
        _note_change()

    def versions(self) -> list[Version]:
        """Return every version of every name, names sorted, oldest version first; empty without a registry."""
        found = []
        for name in self._names():
            aliases = read_aliases(self.root / name)
            found += [self._made(name, number, aliases) for number in sorted(self._numbers(name))]
        return found

    def problems(self) -> list[str]:
        """Return a line for each alias that is damaged or stands for nothing, and for each link: it is not followed."""
        found = []
        for name in self._names():
            folder, numbers = self.root / name, self._numbers(name)
            links = [path for path in (folder, *sorted(folder.iterdir())) if path.is_symlink()]
            found += [f"{path} is a link, which is not followed" for path in links]
            for alias, stood in read_aliases(folder).items():
                if not stood:
                    found.append(f"{folder / FOLDER / alias} is damaged: promote a version to '{alias}' again")
                elif stood[0] not in numbers:
                    found.append(f"alias '{alias}' of '{name}' stands for '{name}@{stood[0]}', which is not there")
        return found

    def resolve(self, reference: str) -> Version:
        """Return what 'name' (its newest version), 'name@3' or 'name@alias' stands for, or a bundle's folder.

        Raises ModelError that names what there is.
        """
        name, at, wanted = reference.partition("@")
        if NAME.fullmatch(name):
            _refuse_link(self.root / name)
        numbers = self._numbers(name)
        folder = Path(os.path.expanduser(reference)).absolute()
        if not numbers and os.path.isfile(folder / CARD):  # Path.is_file() raises for a name that is too long
            return Version(folder.name, 0, (), folder)
        if not numbers:
            raise self._unknown(name, reference)
        if is_number(wanted):
            return self._version(name, int(wanted))
        aliases = read_aliases(self.root / name)
        number = self._aliased(name, wanted, aliases, numbers) if at else max(numbers)
        return self._made(name, number, aliases)

    def only(self) -> Version:
        """Return the newest version of the only model there is. Raises ModelError that lists the models."""
        names = [name for name in self._names() if self._numbers(name)]
        if len(names) == 1:
            return self.resolve(names[0])
        there = f"there are {len(names)}: {', '.join(names)}" if names else f"there are none in {self.root}"
        raise ModelError(
            f"no model is named, and {there}",
            "name one as the last argument, or SET VARIABLE propensity_model = 'name'"
            if names
            else "publish one first: duckprop train, or duckprop demo",
        )

    def _names(self) -> list[str]:
        found = _entries(self.root)
        return sorted(entry.name for entry in found if NAME.fullmatch(entry.name) and entry.is_dir())

    def _numbers(self, name: str) -> list[int]:
        """Return the versions of a name; a link is none, and its name no number: what it leads to is not ours."""
        if not NAME.fullmatch(name) or os.path.islink(self.root / name):
            return []
        entries = _entries(self.root / name)
        return [int(entry.name) for entry in entries if _is_own(entry.name) and entry.is_dir(follow_symlinks=False)]

    def _next_number(self, name: str) -> int:
        there = [*_entries(self.root / name), *_entries(self.root / name / _DELETED)]
        number = max((int(entry.name) for entry in there if is_number(entry.name)), default=0) + 1
        if not is_number(str(number)):
            raise ModelError(f"'{name}' has a version of the number {number - 1}", "publish under another name")
        return number

    def _unknown(self, name: str, reference: str) -> ModelError:
        known = [other for other in self._names() if other != name and self._numbers(other)]
        there = f"models are {', '.join(known)}" if known else f"publish one first: {self.root} holds no models"
        return ModelError(f"there is no model '{reference}'{did_you_mean(name, known)}", there)

    def _changeable(self, name: str) -> Path:
        """Return a name's folder. Raises ModelError where it has no versions, or a change would be made elsewhere."""
        if not self._numbers(name):
            raise self._unknown(name, name)
        for part in (FOLDER, _DELETED):
            _refuse_link(self.root / name / part)
        return self.root / name

    def _stood(self, name: str, alias: str, aliases: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
        """Return what an alias stands for and stood for, newest first. Raises ModelError for a damaged one."""
        _known(name, alias, aliases)
        if not aliases[alias]:
            raise ModelError(
                f"{self.root / name / FOLDER / alias} is damaged: it should hold numbers of versions",
                f"promote a version to it again; {_listed(name, self._numbers(name))}",
            )
        return aliases[alias]

    def _aliased(self, name: str, alias: str, aliases: dict[str, tuple[int, ...]], numbers: list[int]) -> int:
        number = self._stood(name, alias, aliases)[0]
        if number not in numbers:
            raise ModelError(
                f"alias '{alias}' of '{name}' stands for '{name}@{number}', which is not there",
                f"promote one yourself; {_listed(name, numbers)}",
            )
        return number

    def _version(self, name: str, number: int) -> Version:
        numbers = self._numbers(name)
        if number not in numbers:
            _refuse_link(self.root / name / str(number))
            deleted = ": it was deleted" if (self.root / name / _DELETED / str(number)).exists() else ""
            raise ModelError(f"there is no model '{name}@{number}'{deleted}", _listed(name, numbers))
        return self._made(name, number, read_aliases(self.root / name))

    def _made(self, name: str, number: int, aliases: dict[str, tuple[int, ...]]) -> Version:
        pointing = tuple(alias for alias, stood in aliases.items() if stood[:1] == (number,))
        return Version(name, number, pointing, self.root / name / str(number))

    def _refuse_to_delete(self, version: Version, force: bool) -> None:
        if version.aliases:
            alias = version.aliases[0]
            raise UsageError(
                f"alias '{alias}' stands for '{version.reference}'",
                f"promote another version to it, or delete the alias: duckprop delete {version.name}@{alias}",
            )
        others = [number for number in self._numbers(version.name) if number != version.version]
        if not force and max(others, default=0) < version.version:
            instead = f"the newest version: '{version.name}' would mean '{version.name}@{max(others, default=0)}'"
            raise UsageError(
                f"'{version.reference}' is {instead if others else 'the only version of its name'}",
                "to delete it all the same, say --force, in Python force=True",
            )


def _known(name: str, alias: str, aliases: dict[str, tuple[int, ...]]) -> None:
    """Raise ModelError where a model has no such alias."""
    if alias not in aliases:
        listed = ", ".join(aliases) or "none"
        raise ModelError(
            f"model '{name}' has no alias '{alias}'{did_you_mean(alias, list(aliases))}", f"its aliases: {listed}"
        )


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what is in a folder, nothing where it does not exist."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_own(name: str) -> bool:
    """Whether publish would call a version so: 3, not 03."""
    return is_number(name) and str(int(name)) == name


def _listed(name: str, numbers: list[int]) -> str:
    return f"versions of '{name}': {', '.join(map(str, sorted(numbers))) or 'none'}"


def _refuse_link(path: Path) -> None:
    """A link in a registry could lead anywhere. Its root may be one."""
    if os.path.islink(path):
        raise ModelError(f"{path} is a link, which is not followed", "put the folder itself there")


def _leave_mark(folder: Path, number: int) -> None:
    """Write that a number was given, to the disk, before its version goes."""
    folder.mkdir(exist_ok=True)
    for path, flags in ((folder / str(number), os.O_WRONLY | os.O_CREAT), (folder, os.O_RDONLY)):
        handle = os.open(path, flags | os.O_NOFOLLOW, 0o666)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
