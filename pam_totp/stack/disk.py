# SPDX-License-Identifier: MIT
"""Finds services, includes and modules below a root folder, where libpam would look for them."""

import os
import stat
from collections.abc import Mapping, Sequence

from pam_totp.stack.files import File, file_of
from pam_totp.stack.libpam import Libpam, Unknown

MAX_BYTES = 1_000_000
# pam-u2f 1.4 reads it; earlier ones do not, and are taken to do so.
U2F_DEFAULTS = "/etc/security/pam_u2f.conf"
# Files as they would be, by path: whole contents, None for no such file.
Replaced = Mapping[str, bytes | None]


class Disk:
    """Reads each file once; `files` has those that were asked for by path, without the root.

    known: what was read before, for whoever reads many services; None for a file that is not there.
    replaced: files that are not read, because they are to be what this says, whichever way they are
    reached; not with `known`.
    """

    def __init__(
        self,
        root: str,
        libpam: Libpam,
        known: dict[str, File | None] | None = None,
        replaced: Replaced | None = None,
    ) -> None:
        self.root, self.libpam = root.rstrip("/"), libpam
        self._replaced = {self.real(path): each for path, each in (replaced or {}).items()}
        self.files: dict[str, File] = {}
        self._known: dict[str, File | None] = {} if known is None else known
        self._modules: dict[str, bool] = {}

    @property
    def has_services(self) -> bool:
        """Whether there is a folder of services; without one libpam reads /etc/pam.conf."""
        return any(os.path.isdir(self._below(folder)) for folder in self.libpam.folders)

    def find(self, name: str, folders: tuple[str, ...]) -> File | None:
        """The file of this name, or of this path if it is absolute (_pam_open_config_file).

        A folder is an empty file to libpam. Raises Unknown.
        """
        places = [name] if name.startswith("/") else [f"{folder}/{name}" for folder in folders]
        for path in places:
            if path not in self._known:
                content = self._content(path)
                file = None if content is None else file_of(path, content, self.libpam)
                self._known[path] = file
            file = self._known[path]
            if file is not None:
                self.files[path] = file
                return file
        return None

    def has_module(self, module: str) -> bool:
        """Whether libpam finds a module (_pam_load_module); True where that is not known."""
        if module not in self._modules:
            self._modules[module] = self._look_for(module)
        return self._modules[module]

    def defaults_of(self, module: str, arguments: Sequence[str] = ()) -> list[str]:
        """What a module reads of a file of its own, as if its line said so before what it says;
        arguments: of that."""
        if os.path.basename(module) != "pam_u2f.so":
            return []
        named = [word.removeprefix("conf=") for word in arguments if word.startswith("conf=")]
        path = [U2F_DEFAULTS, *named][-1]
        content = self._content(path) if path.startswith("/") else None  # of another it has none
        lines = (content or b"").decode("utf-8", "replace").split("\n")
        words = ("".join(line.partition("#")[0].split()) for line in lines)
        return [word for word in words if word]

    def is_foreign(self, module: str) -> bool:
        """Whether a module lies elsewhere than in libpam's own folders, if those are known."""
        folders = self.libpam.module_folders
        if not (module.startswith("/") and folders) or "$ISA" in module:
            return False
        found, name = self.real(module), os.path.basename(module)
        return found not in [self.real(f"{each}/{name}") for each in folders]

    def _look_for(self, module: str) -> bool:
        folders = self.libpam.module_folders
        if "$ISA" in module or not (folders or module.startswith("/")):
            return True
        places = [module] if module.startswith("/") else [f"{each}/{module}" for each in folders]
        return any(os.path.isfile(self._below(place)) for place in places)

    def real(self, path: str) -> str:
        """The path without links and dots: several may lead to one file."""
        place, root = os.path.realpath(self._below(path)), os.path.realpath(self.root or "/")
        if not self.root:
            return place
        return place.removeprefix(root) if place.startswith(f"{root}/") else path

    def _content(self, path: str) -> bytes | None:
        if self._replaced and self.real(path) in self._replaced:
            return self._replaced[self.real(path)]
        place = self._below(path)
        try:
            mode = os.stat(place).st_mode
            if stat.S_ISDIR(mode):
                return b""
            if not stat.S_ISREG(mode):
                raise Unknown(f"{path} is not a file")
            with open(place, "rb") as file:
                content = file.read(MAX_BYTES + 1)
        except PermissionError:
            raise Unknown(f"{path} is not readable") from None
        except OSError:
            return None
        if len(content) > MAX_BYTES:
            raise Unknown(f"{path} is larger than {MAX_BYTES} bytes")
        return content

    def _below(self, path: str) -> str:
        """The place of an absolute path below the root; so is where an absolute link leads to."""
        place = self.root + path
        if self.root and os.path.islink(place):
            target = os.readlink(place)
            return self.root + target if target.startswith("/") else place
        return place
