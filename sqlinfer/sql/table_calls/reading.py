"""The parts of a call in another warehouse's words: its model, its rows and its options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol

from sqlglot.tokens import Token, TokenType

from sqlinfer.errors import BadReference, CallError, SqlinferError, suggest
from sqlinfer.models.manifest import Manifest
from sqlinfer.models.profile import Profile
from sqlinfer.models.reference import Reference
from sqlinfer.models.signature import Label, Signature, quoted
from sqlinfer.sql.literals import literal, text_literal
from sqlinfer.sql.table_calls.pieces import Span, Target
from sqlinfer.sql.tokens import parts_of, words

__all__ = ["ROWS", "Catalogue", "Model", "Option", "Reader", "labelled"]

# What the rows that a call reads are called in the SQL that it becomes.
ROWS = "__input"
_NAMES = {TokenType.VAR, TokenType.IDENTIFIER}


class Catalogue(Protocol):
    """What translating asks of the registry."""

    def has(self, name: str) -> bool: ...

    def manifest(self, reference: Reference) -> Manifest:
        """Raises ModelNotFound."""
        ...

    def profile(self, reference: Reference) -> Profile | None:
        """Statistics of the sample, if they were kept."""
        ...

    def versions(self, name: str) -> list[int]: ...

    def aliases(self, name: str) -> dict[str, int]: ...


@dataclass(frozen=True, slots=True)
class Model:
    """A model that a call names, and where it does."""

    reference: Reference
    manifest: Manifest
    span: Span

    @property
    def signature(self) -> Signature:
        return self.manifest.signature

    @property
    def is_classifier(self) -> bool:
        return bool(self.signature.labels) and self.manifest.task == "classification"

    @property
    def has_probabilities(self) -> bool:
        return "predict_proba" in self.signature.calls

    @property
    def target(self) -> Target:
        """The column of the actual values, which BigQuery calls label unless told otherwise."""
        return Target(self.manifest.target or "label", self.manifest.target is not None)

    @property
    def positive(self) -> Label | None:
        """Of two classes the second, as in scikit-learn."""
        return self.signature.labels[1] if len(self.signature.labels) == 2 else None

    def call(self, function: str, arguments: str = f"{ROWS}.*") -> str:
        return f"{function}({text_literal(self.reference)}, {arguments})"

    def probability(self, label: Label, arguments: str = f"{ROWS}.*") -> str:
        return f"{self.call('predict_proba', arguments)}[{literal(label)}]"


@dataclass(frozen=True, slots=True)
class Option:
    """``tokens`` [first, last): its value."""

    first: int
    last: int
    span: Span


@dataclass(frozen=True, slots=True)
class Reader:
    """``tokens`` of ``sql``, read for calls."""

    sql: str
    tokens: Sequence[Token]
    models: Catalogue

    def span(self, first: int, last: int) -> Span:
        """Of the tokens [first, last)."""
        return Span(self.tokens[first].start, self.tokens[max(first, last - 1)].end + 1)

    def refuse(self, message: str, span: Span) -> NoReturn:
        raise CallError(message).at(self.sql, span.start, span.end)

    def words(self, first: int, last: int) -> list[str]:
        return words(self.tokens[first:last])

    def parts(self, opening: int, close: int) -> list[tuple[int, int]]:
        return list(parts_of(self.tokens, opening + 1, close))

    def is_model(self, part: tuple[int, int]) -> bool:
        return part[1] - part[0] > 1 and self.words(part[0], part[0] + 1) == ["MODEL"]

    def model(self, part: tuple[int, int], function: str) -> Model:
        """``MODEL name``."""
        if not self.is_model(part):
            span = self.span(*part)
            self.refuse(f"{function} needs a model here: MODEL churn", span)
        return self.named(part[0] + 1, part[1])

    def named(self, first: int, last: int, version: int | None = None) -> Model:
        """The model that the tokens [first, last) name; what stands before a dot says where another warehouse has it.
        ``version``: the token that is an alias, or a number with or without a v before it."""
        span = self.span(first, last if version is None else version + 1)
        tokens = self.tokens[first:last]
        if not tokens or (len(tokens) > 1 and tokens[-2].token_type != TokenType.DOT):
            self.refuse("a model is named by its name: MODEL churn", span)
        text = tokens[-1].text.rpartition(".")[2].strip()
        try:
            reference = Reference.parse(text)
            if version is not None:
                reference = self._version(reference.name, self.tokens[version].text.lower())
            return Model(reference, self.models.manifest(reference), span)
        except (SqlinferError, BadReference) as error:
            raise error.at(self.sql, span.start, span.end) from error

    def _version(self, name: str, version: str) -> Reference:
        aliases, numbers = self.models.aliases(name), self.models.versions(name)
        if version in aliases or not numbers:
            return Reference(name, None, version) if numbers else Reference(name)
        if version in ("first", "last"):
            return Reference(name, numbers[0 if version == "first" else -1])
        number = version.removeprefix("v")
        return Reference(name, int(number)) if number.isdecimal() else Reference(name, None, version)

    def rows(self, part: tuple[int, int], function: str) -> str:
        """``TABLE name`` or ``(query)`` as what stands behind FROM."""
        first, last = part
        if self.words(first, first + 1) == ["TABLE"] and last - first > 1:
            return f"{self.span(first + 1, last)} AS {ROWS}"
        ends = self.tokens[first].token_type, self.tokens[last - 1].token_type
        if ends != (TokenType.L_PAREN, TokenType.R_PAREN):
            span = self.span(first, last)
            self.refuse(f"{function} needs rows here: TABLE customers, or a query in parentheses", span)
        return f"{self.span(first, last)} AS {ROWS}"

    def options(self, part: tuple[int, int] | None, known: Sequence[str], function: str) -> Mapping[str, Option]:
        """``STRUCT(value AS name, …)``."""
        if part is None:
            return {}
        first, last = part
        if self.words(first, first + 2) != ["STRUCT", "("]:
            self.refuse(
                f"the options of {function} are STRUCT(value AS name, …); options: {', '.join(known)}",
                self.span(first, last),
            )
        found: dict[str, Option] = {}
        for start, end in parts_of(self.tokens, first + 2, last - 1):
            if end - start < 3 or self.words(end - 2, end - 1) != ["AS"]:
                self.refuse(f"an option of {function} has a name: STRUCT(value AS name)", self.span(start, end))
            name = self.tokens[end - 1].text.lower()
            if name not in known:
                hint = suggest(name, known, "options")
                self.refuse(f"{function} has no option {name!r}; {hint}", self.span(end - 1, end))
            if name in found:
                self.refuse(f"the option {name} is given twice", self.span(start, end))
            value = self.span(start, end - 2)
            if any(token.token_type == TokenType.PLACEHOLDER for token in self.tokens[start : end - 2]):
                self.refuse("an option cannot be ?, whose place it changes: write $1, or its name", value)
            found[name] = Option(start, end - 2, value)
        return found

    def flag(self, option: Option | None, default: bool) -> bool:
        if option is None:
            return default
        (said,) = self.words(option.first, option.first + 1)
        if option.last - option.first != 1 or said not in ("TRUE", "FALSE"):
            self.refuse("this option is TRUE or FALSE", option.span)
        return said == "TRUE"

    def number(
        self, option: Option | None, default: float, what: str = "a number from 0 to 1", most: float = 1
    ) -> float:
        if option is None:
            return default
        return self.constant(option.first, option.last, what, most)

    def constant(self, first: int, last: int, what: str = "a number from 0 to 1", most: float = 1) -> float:
        span = self.span(first, last)
        try:
            value = float(self.sql[span.start : span.end])
        except ValueError:
            value = -1.0
        if not 0 <= value <= most:
            self.refuse(f"this option is {what}, a constant", span)
        return value

    def choice(self, option: Option | None, choices: Sequence[str]) -> str:
        """The first of the choices is the default."""
        if option is None:
            return choices[0]
        said = str(self.tokens[option.first].text).upper()
        if option.last - option.first != 1 or said not in choices:
            self.refuse(f"this option is one of {', '.join(map(repr, choices))}", option.span)
        return said

    def is_name(self, i: int) -> bool:
        return self.tokens[i].token_type in _NAMES


def labelled(prefix: str, model: Model, suffix: str = "") -> str:
    """``predicted_churned``, as an identifier."""
    return quoted(f"{prefix}{model.target.column}{suffix}")
