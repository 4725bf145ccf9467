"""Snowflake's MODEL(m[, version])!METHOD(…), m!METHOD(…) and WITH v AS MODEL m VERSION version.

The answer is an OBJECT of the columns that the method gives in Python, output_feature_0 and on; here a STRUCT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot.tokens import TokenType

from sqlinfer.errors import suggest
from sqlinfer.models.signature import Label
from sqlinfer.sql.literals import literal, text_literal
from sqlinfer.sql.table_calls.reading import Model, Reader
from sqlinfer.sql.tokens import matching

__all__ = ["Method", "Version", "method", "method_at", "version_at"]

_METHODS = ("predict", "predict_label", "predict_proba", "infer")


@dataclass(frozen=True, slots=True)
class Version:
    """``name AS MODEL m VERSION v`` between the tokens [first, last) that say which model it is."""

    name: str
    first: int
    last: int
    model: Model

    @property
    def sql(self) -> str:
        """A query in its place, which nothing reads."""
        return f"(SELECT {text_literal(self.model.reference)} AS model)"


@dataclass(frozen=True, slots=True)
class Method:
    """A call of a method, tokens [first, last); ``open`` is its parenthesis."""

    first: int
    open: int
    close: int
    last: int
    model: Model


def version_at(reader: Reader, i: int) -> Version | None:
    """The one whose word MODEL is token i."""
    tokens, said = reader.tokens, reader.words(max(0, i - 1), i + 4)
    if i < 2 or said[:2] != ["AS", "MODEL"] or i + 1 >= len(tokens) or not reader.is_name(i + 1):
        return None
    at = i + 1
    while reader.words(at, at + 1) not in (["VERSION"], []):
        at += 1
    if at + 1 >= len(tokens) or at - i > 6:
        return None
    model = reader.named(i + 1, at, at + 1)
    return Version(tokens[i - 2].text.lower(), i, at + 2, model)


def method_at(reader: Reader, i: int, versions: Sequence[Version]) -> Method | None:
    """The one whose exclamation mark is token i."""
    tokens = reader.tokens
    if i < 1 or i + 2 >= len(tokens) or not tokens[i + 1].text.isidentifier() or reader.words(i + 2, i + 3) != ["("]:
        return None
    close = matching(tokens, range(i + 2, len(tokens)))
    if close is None or reader.sql[tokens[i].start] != "!":
        return None
    first = i - 1
    if tokens[first].token_type == TokenType.R_PAREN:
        opening = matching(tokens, range(first, -1, -1))
        if not opening or reader.words(opening - 1, opening) != ["MODEL"]:
            return None
        parts = reader.parts(opening, first)
        if not 1 <= len(parts) <= 2:
            reader.refuse("MODEL takes a name and perhaps a version: MODEL(churn, v1)", reader.span(opening - 1, i))
        version = parts[1][0] if len(parts) == 2 else None
        return Method(opening - 1, i + 2, close, close + 1, reader.named(*parts[0], version))
    if not reader.is_name(first):
        return None
    known = [version for version in versions if version.name == tokens[first].text.lower()]
    while first > 1 and tokens[first - 1].token_type == TokenType.DOT:
        first -= 2
    if not known and tokens[i + 1].text.lower() not in _METHODS and not reader.models.has(tokens[i - 1].text.lower()):
        return None
    return Method(first, i + 2, close, close + 1, known[-1].model if known else reader.named(first, i))


def method(reader: Reader, found: Method) -> tuple[str, int]:
    """The SQL, and the number of the token behind what it stands for: ``:field`` or ``['field']`` belong to it."""
    name = reader.tokens[found.open - 1].text.lower()
    calls = found.model.signature.calls
    offered = [known for known in _METHODS if known in calls or known == "predict_label"]
    span = reader.span(found.open - 1, found.open)
    if name not in offered:
        reader.refuse(
            f"the model {str(found.model.reference)!r} has no method {name!r}; {suggest(name, offered, 'methods')}",
            span,
        )
    parts = reader.parts(found.open, found.close)
    if not parts:
        reader.refuse("the features are missing: write them in their order, or *", span)
    arguments = str(reader.span(parts[0][0], parts[-1][1]))
    field, last = _field(reader, found.last)
    answer = found.model.call("predict" if name == "predict_label" else name, arguments)
    if name == "predict_label":
        answer = f"{answer}::VARCHAR"
    if name == "infer":
        return (answer if field is None else f"{answer}[{text_literal(_text(reader, field))}]"), last
    fields = {"output_feature_0": answer}
    if name == "predict_proba":
        fields = {f"output_feature_{i}": f"{answer}[{literal(label)}]" for i, label in enumerate(_labels(found.model))}
    if field is None:
        pairs = ", ".join(f"{text_literal(key)}: {value}" for key, value in fields.items())
        return f"{{{pairs}}}", last
    asked = _text(reader, field)
    if asked.lower() not in fields:
        reader.refuse(
            f"{name} of the model {str(found.model.reference)!r} gives no {asked!r}; fields: {', '.join(fields)}",
            reader.span(field, field + 1),
        )
    return fields[asked.lower()], last


def _labels(model: Model) -> tuple[Label, ...]:
    return model.signature.labels


def _text(reader: Reader, field: int) -> str:
    return str(reader.tokens[field].text)


def _field(reader: Reader, at: int) -> tuple[int | None, int]:
    """The token that names a field, if one does, and what comes behind it."""
    tokens = reader.tokens
    if at + 1 < len(tokens) and tokens[at].token_type == TokenType.COLON:
        return at + 1, at + 2
    is_key = at + 2 < len(tokens) and tokens[at].token_type == TokenType.L_BRACKET
    if is_key and tokens[at + 1].token_type == TokenType.STRING and tokens[at + 2].token_type == TokenType.R_BRACKET:
        return at + 1, at + 3
    return None, at
