"""Finds the files of a configuration: `.conf`, drop-ins, their `.local` files, and included files."""

import os
from pathlib import Path

from monitor.filters.definition import FilterError
from monitor.filters.fail2ban.damage import Damage, read_damaged
from monitor.filters.fail2ban.document import Document
from monitor.filters.fail2ban.ini import IniFile, read_ini
from monitor.filters.fail2ban.interpolation import Work

_MAX_FILES = 500
_MAX_DEPTH = 16


class Loader:
    """Reads configurations below one directory, each file only once."""

    def __init__(self, work: Work) -> None:
        """Everything that is read counts as `work`."""
        self.work = work
        self._files: dict[Path, IniFile | None] = {}
        self._damages: dict[Path, list[Damage]] | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that were looked for, whether they exist or not."""
        return tuple(self._files)

    def load_damaged(self, base: Path) -> tuple[Document | None, dict[Path, list[Damage]]]:
        """Read like `load`, but leave out what is damaged; return the faults of each such file as well."""
        self._damages = {}
        try:
            return self.load(base), self._damages
        finally:
            self._damages = None

    def load(self, base: Path) -> Document | None:
        """Read `BASE.conf`, `BASE.d/*.conf`, `BASE.local` and `BASE.d/*.local`; None if none of them exists.

        FilterError names the file, and the line if it is known.
        """
        drop_ins = base.with_name(base.name + ".d")
        paths = [
            base.with_name(base.name + ".conf"),
            *self._matching(drop_ins, ".conf"),
            base.with_name(base.name + ".local"),
            *self._matching(drop_ins, ".local"),
        ]
        paths = [path for path in paths if self._read(path)]
        if not paths:
            return None
        ordered: list[Path] = []
        self._collect(paths, (), ordered)
        return Document(self.work, *(file for path in ordered if (file := self._read(path))))

    def _matching(self, directory: Path, suffix: str) -> list[Path]:
        try:
            return _matching(directory, suffix)
        except FilterError as error:
            if self._damages is None:
                raise
            self._damages[directory] = [Damage("", str(error))]
            return []

    def _read(self, path: Path) -> IniFile | None:
        if path not in self._files:
            if len(self._files) >= _MAX_FILES * 4:
                raise FilterError(f"{path}: this configuration has too many files")
            try:
                self._files[path] = read_ini(path)
            except FilterError as error:
                if self._damages is None:
                    raise
                self._files[path] = read_damaged(path, error, self._damages)
        return self._files[path]

    def _collect(self, paths: list[Path], around: tuple[str, ...], ordered: list[Path]) -> None:
        """Add files in the order of merging: those included before, the file itself, those included after."""
        for path in paths:
            self._collect_one(path, around, ordered)
            local = path.with_suffix(".local")
            if local not in paths:
                self._collect_one(local, around, ordered)

    def _collect_one(self, path: Path, around: tuple[str, ...], ordered: list[Path]) -> None:
        file = self._read(path)
        if file is None:
            return
        if len(around) >= _MAX_DEPTH or len(ordered) >= _MAX_FILES:
            raise FilterError(f"{path}: too many files, or includes are nested too deeply")
        inside = (*around, os.path.realpath(path))
        self._collect(self._includes(path, file, "before", inside), inside, ordered)
        ordered.append(path)
        self._collect(self._includes(path, file, "after", inside), inside, ordered)

    def _includes(self, path: Path, file: IniFile, option: str, inside: tuple[str, ...]) -> list[Path]:
        """Return the files that a file includes, except those that include it."""
        if "INCLUDES" not in file.sections:
            return []
        names = Document(self.work, file).find("INCLUDES", option) or ""
        paths = [path.parent / name for name in names.split("\n") if name and "\0" not in name]
        if len(paths) > _MAX_FILES:
            raise FilterError(f"{path}: includes more than {_MAX_FILES} files")
        return [included for included in paths if os.path.realpath(included) not in inside]


def _matching(directory: Path, suffix: str) -> list[Path]:
    """Return the drop-ins of a directory, sorted by name; hidden files are skipped."""
    try:
        names = (entry.name for entry in directory.iterdir())
        paths = sorted(directory / name for name in names if name.endswith(suffix) and not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise FilterError(f"{directory}: cannot be read: {error.strerror or error}") from error
    except ValueError:
        raise FilterError(f"{str(directory)!r} is not a file name") from None
    if len(paths) > _MAX_FILES:
        raise FilterError(f"{directory}: more than {_MAX_FILES} files")
    return paths
