# SPDX-License-Identifier: MIT
"""Services at which another module asks for codes already: our line goes right before its line, or
into its place.

- Nobody but the administrator MUST decide which: what was not chosen is only proposed.
- Lines of a file that other services include MUST be left alone.
"""

import dataclasses
import re
from collections.abc import Iterator, Sequence

from pam_totp.errors import Error
from pam_totp.setup.block import put_in
from pam_totp.setup.edits import Count, Edit, blocks, tops_of
from pam_totp.setup.host import PamHost
from pam_totp.setup.new_lines import BESIDE_LINE, CODE_LINE
from pam_totp.stack.factors import PASSWORD, meanings
from pam_totp.stack.files import File
from pam_totp.stack.lines import Line
from pam_totp.stack.other_codes import of_others, program_of
from pam_totp.stack.service import Service

# As the mark of the lines has it, and the option for it.
BESIDE, INSTEAD = "beside", "instead of"
OPTIONS = {BESIDE: "--beside", INSTEAD: "--replace"}
_CHOICE = re.compile(rf" ({BESIDE}|{INSTEAD}) (\S+)")


@dataclasses.dataclass(frozen=True)
class Choice:
    """What becomes of the lines of another program's module: ours goes BESIDE or INSTEAD of them;
    empty where there are none, or nothing was told. is_proposed: nobody has chosen it yet. line:
    the first of theirs at a service."""

    how: str = ""
    program: str = ""
    is_proposed: bool = False
    line: Line | None = dataclasses.field(default=None, compare=False)

    def __bool__(self) -> bool:
        return bool(self.how)

    @property
    def mark(self) -> str:
        """For the mark of our lines."""
        return f" {self.how} {self.program}" if self else ""

    @property
    def option(self) -> str:
        """As it is typed."""
        return f"{OPTIONS[self.how]} {self.program}"


NOTHING_TOLD = Choice()


def choose(host: PamHost, before: Service, path: str, told: Choice, mark: str) -> Choice:
    """For a service as it is without our lines; path: of its file. told: by options. mark: of our
    lines, which says what was chosen before. Raises Error."""
    theirs = of_others(before.stacks["auth"])
    if not theirs:
        return Choice()
    known = {program_of(line) for line in theirs}
    choices = [told, chosen_in(mark), Choice(BESIDE, program_of(theirs[0]), is_proposed=True)]
    found = next(each for each in choices if each.program in known)
    line = next(each for each in theirs if program_of(each) == found.program)
    if host.real(line.file) != path:
        message = f"{before.name} asks for codes of {line.module_name} in {line.file}, line "
        message += f"{line.number}, which other services may include, too; nothing was changed"
        raise Error(message, f"move that line into {path}, right behind what includes it")
    _refuse_what_depends_on(theirs, before)
    return dataclasses.replace(found, line=line)


def _refuse_what_depends_on(theirs: Sequence[Line], before: Service) -> None:
    """Raises Error where other lines need what these do, or that they are where they are: the proof
    knows nothing of passwords that lines hand on, and takes any login with a key for one way."""
    lines = before.stacks["auth"]
    for line in theirs:
        if "forward_pass" in line.arguments:
            message = f"{line.place} takes the password, too (forward_pass); nothing was changed"
            raise Error(message, "take that word out, and move the line behind the password's")
    first = next((line for line in lines if _proves_what_is_known(line)), None)
    if first is not None and "use_first_pass" in first.arguments:
        message = f"{first.place} asks for no password itself (use_first_pass); nothing was changed"
        raise Error(message, "take that word out, and move the line before that of the codes")
    for at, line in enumerate(lines):
        reach = max((each for each in line.actions if isinstance(each, int)), default=0)
        following = [each for each in lines[at + 1 :] if each.level == line.level]
        if of_others(following[:reach]):
            message = f"{line.place} jumps over a line that asks for codes; nothing was changed"
            raise Error(message, "take that line out, and write a rule in its place")


def _proves_what_is_known(line: Line) -> bool:
    return not program_of(line) and PASSWORD in meanings(line).values()


def chosen_in(mark: str) -> Choice:
    """What the mark of our lines says was chosen."""
    found = _CHOICE.search(mark)
    return Choice(found[1], found[2]) if found else Choice()


def notes(name: str, choice: Choice, told: Choice) -> Iterator[str]:
    """What the choice means at a service, in sentences."""
    module = choice.line.module_name if choice.line else ""
    if not choice.is_proposed and choice != told:
        yield f"This option of the last `enable {name}` still applies: {choice.option}."
    if choice.how == INSTEAD:
        yield f"{name}: {module} asks nobody any more. Its line is kept in a comment."
        return
    yield (
        f"{name}: users who have enrolled here are asked by pam_totp.so alone, all others by "
        f"{module}, as before."
    )
    last = dataclasses.replace(choice, how=INSTEAD).option
    yield f"Once all have enrolled here, take its line out: pam-totp enable {name} {last}"


def edits(
    choice: Choice,
    file: File,
    lines: Sequence[Line],
    first_factor: str,
    note: str,
    count: Count,
    code_lines: Sequence[str] = (CODE_LINE,),
) -> Iterator[Edit]:
    """Every edit by which it may be done: with the other line where it is, or behind ours, where it
    asks before the first factor. code_lines: where nothing else asks. The other arguments are those
    of edits.edits."""
    tops = tops_of(file, count)
    theirs = [line for line in lines if program_of(line) == choice.program]
    numbers = {line.number for line in theirs if line.file == file.path}
    places = [at for at, top in enumerate(tops) if top.number in numbers]
    is_beside, before = choice.how == BESIDE, places[0] - 1
    ours_alone = [BESIDE_LINE.format(len(places))] if is_beside else code_lines
    arguments = lines, first_factor, count, ours_alone
    if is_beside and before >= 0 and places[-1] - places[0] < len(places):
        for ours, first in blocks(file, tops, before, *arguments):
            begin, end = tops[places[0]].begin, tops[places[0]].begin
            if first is not None:
                begin, end = tops[first].begin, tops[before].end
            after = put_in(file.content, begin, end, note, ours)
            yield Edit(after, tops[before].number, ours_alone[0])
    moved = [tops[at].text for at in places] if is_beside else []
    for at in places:
        tops[at] = dataclasses.replace(tops[at], text="")
    for last in range(places[-1], len(tops)):
        for ours, first in blocks(file, tops, last, *arguments):
            begin = tops[last].end if first is None else tops[first].begin
            after = put_in(file.content, begin, tops[last].end, note, [*ours, *moved])
            yield Edit(after, tops[last].number, ours_alone[0])
