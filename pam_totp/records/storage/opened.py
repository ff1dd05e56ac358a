"""A descriptor that is closed at the end of a `with` block, whatever happens in it."""

import posix


class Opened:
    """`with Opened(posix.open(…)) as file:`"""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> int:
        return self._descriptor

    def __exit__(self, *exception: object) -> None:
        posix.close(self._descriptor)
