"""Patterns of file names: `{speaker}_{emotion}_*.wav` -> the fields in a name, in a time that no name makes long."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from sercore.schema import did_you_mean

FIELDS = ("speaker", "gender", "dialog", "style", "partition", "emotion", "utterance")
PART = re.compile(r"\{(\w+)(?::(\d+))?\}|([*?])|([^{}*?]+)|(.)")
MOST_PARTS = 100  # of a pattern


class Part(NamedTuple):
    """A part of a pattern: a field, a star or question mark, or text that stands for itself."""

    field: str = ""
    width: int | None = None  # of the field, or the question mark
    text: str = ""

    def ends(self, name: str, at: int) -> Iterable[int]:
        """Where this part may end in `name` if it begins `at`, the preferred one first."""
        if self.text:
            return [at + len(self.text)] if name.startswith(self.text, at) else []
        slash = name.find("/", at)
        last = len(name) if slash < 0 else slash
        if self.width is not None:
            return [at + self.width] if at + self.width <= last else []
        return range(at + 1, last + 1) if self.field else range(last, at - 1, -1)


class Pattern(NamedTuple):
    """A pattern of file names."""

    parts: tuple[Part, ...]

    def match(self, name: str) -> dict[str, str] | None:
        """The fields in `name`; None where it does not fit.

        A field takes as few characters as fit, a star as many, the first ones first. Each part is tried once at each
        place of the name, whereas the time of a regular expression grows with the power of its stars.
        """
        failed: set[tuple[int, int]] = set()

        def rest(number: int, at: int) -> dict[str, str] | None:
            if number == len(self.parts):
                return {} if at == len(name) else None
            if (number, at) in failed:
                return None
            part = self.parts[number]
            for end in part.ends(name, at):
                found = rest(number + 1, end)
                if found is not None:
                    return {part.field: name[at:end], **found} if part.field else found
            failed.add((number, at))
            return None

        return rest(0, 0)


def compile_pattern(pattern: str) -> Pattern:
    """The pattern `pattern` of paths relative to the folder, with / between folders.

    `{field}` is one of FIELDS, as few characters as fit and no /; `{field:2}` is exactly two; `*` is anything but /,
    `?` one character of it.
    Raises ValueError for a field that is unknown or there twice, a brace that stands alone, no field at all, and more
    than MOST_PARTS parts.
    """
    parts: list[Part] = []
    for field, width, wildcard, text, stray in PART.findall(re.sub(r"\*+", "*", pattern)):
        if stray:
            raise ValueError(
                f"pattern '{pattern}': a brace stands alone; expected fields as {{speaker}} or {{emotion:1}}"
            )
        if field and field not in FIELDS:
            raise ValueError(
                f"pattern '{pattern}': unknown field '{field}'{did_you_mean(field, FIELDS)}; what is not "
                "needed is * or, a character of it, ?"
            )
        if field in [part.field for part in parts if part.field]:
            raise ValueError(f"pattern '{pattern}': field '{field}' is there twice; write * where a name repeats it")
        if wildcard:
            parts.append(Part(width=1 if wildcard == "?" else None))
        else:
            parts.append(Part(field, int(width) if width else None, text))
    if not any(part.field for part in parts):
        raise ValueError(f"pattern '{pattern}' has no field; known: {', '.join(f'{{{name}}}' for name in FIELDS)}")
    if len(parts) > MOST_PARTS:
        raise ValueError(f"a pattern of {len(parts)} parts; expected at most {MOST_PARTS} fields, stars and texts")
    return Pattern(tuple(parts))
