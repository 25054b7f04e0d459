"""Drop-down lists for a Choice."""

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets

from sercore.notes import corpus as corpus_label
from sercore.schema import MODEL_LABELS
from sercore.widgets.selection import Choice, Selection

LABELS = {
    "train_corpus": "trained on", "test_corpus": "tested on", "target": "dimension", "model": "model",
    "other": "beside", "seed": "seed", "fold": "fold", "speaker": "speaker", "gender": "gender", "style": "style",
}  # fmt: skip
ANY = ""  # stands for None in a list, where None would mean that nothing is chosen
NOTHING = {"other": "no other model", "seed": "best on validation"}


class Controls(ipywidgets.HBox):
    """One drop-down list for each of `fields`; `changed()` follows every new `choice`.

    A field that the new choice cannot have, such as a speaker of another corpus, goes back to its first option.
    """

    def __init__(self, selection: Selection, fields: Sequence[str], changed: Callable[[], None]) -> None:
        self.selection, self.choice, self.changed = selection, selection.start(), changed
        self.lists = {
            name: ipywidgets.Dropdown(
                description=LABELS[name], layout={"width": "230px"}, style={"description_width": "80px"}
            )
            for name in fields
        }
        super().__init__(list(self.lists.values()))
        self.add_class("sercore-choices")
        self._busy = False
        self._fill()
        for name, widget in self.lists.items():
            widget.observe(lambda change, name=name: self._choose(name, change["new"]), "value")

    def _choose(self, name: str, value: Any) -> None:
        if not self._busy:
            self.choice = self.selection.valid(self.choice.but(**{name: None if value == ANY else value}))
            self._fill()
            self.changed()

    def _fill(self) -> None:
        self._busy = True
        options = self.selection.options(self.choice)
        for name, widget in self.lists.items():
            wanted = tuple((_shown(name, option), ANY if option is None else option) for option in options[name])
            if widget.options != wanted:
                widget.options = wanted
            value = getattr(self.choice, name)
            widget.value = ANY if value is None else value
            widget.disabled = len(wanted) < 2
        self._busy = False


def described(choice: Choice) -> str:
    """Corpora and filters of a choice in words."""
    told = [f"{corpus_label(choice.train_corpus)} → {corpus_label(choice.test_corpus)}"]
    told += [f"{name} {getattr(choice, name)}" for name in ("fold", "speaker") if getattr(choice, name)]
    return ", ".join([*told, *(value for value in (choice.gender, choice.style) if value)])


def _shown(name: str, option: Any) -> str:
    if option is None:
        return NOTHING.get(name, "all")
    if name in ("train_corpus", "test_corpus"):
        return corpus_label(option)
    return MODEL_LABELS.get(option, str(option)) if name in ("model", "other") else str(option)
