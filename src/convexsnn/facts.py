"""What results say of themselves: facts by name, as lines of text and as a table in notebooks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from html import escape


class WithFacts(ABC):
    """A result that is printed as lines of its facts, and shown as a table of them in notebooks."""

    @abstractmethod
    def facts(self) -> dict[str, str]:
        """The facts by name, in the order in which a reader asks for them."""

    def __str__(self) -> str:
        facts = self.facts()
        width = max(map(len, facts))
        return "\n".join(f"{name:<{width}}  {fact}" for name, fact in facts.items())

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(fact)}</td></tr>" for name, fact in self.facts().items()
        )
        return f"<table><caption>{escape(type(self).__name__)}</caption>{rows}</table>"
