"""Which variables become constants, and which stay: --freeze and --keep."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from visionport.errors import OptionError


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Regular expressions over variables' names. Without any, nothing is frozen.

    freeze: what becomes a constant; everything, where only `keep` is given. keep: what stays a variable all the same.
    """

    freeze: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.freeze or self.keep)

    def frozen(self, name: str) -> bool:
        if not self:
            return False
        return any(re.search(p, name) for p in self.freeze or ("",)) and not any(re.search(p, name) for p in self.keep)

    def check(self) -> None:
        """Raises OptionError for what is no regular expression."""
        for option, pattern in self.patterns():
            try:
                re.compile(pattern)
            except re.error as e:
                raise OptionError(f"{option} {pattern!r} is no regular expression: {e}.") from None

    def check_names(self, names: Iterable[str]) -> None:
        """Raises OptionError for a pattern that matches none of a model's variables."""
        names = list(names)
        for option, pattern in self.patterns():
            if not any(re.search(pattern, name) for name in names):
                such = f"They have names such as {names[0]}." if names else "There are none."
                raise OptionError(f"{option} {pattern!r} matches no variable. {such}")

    def patterns(self) -> list[tuple[str, str]]:
        return [("--freeze", p) for p in self.freeze] + [("--keep", p) for p in self.keep]
