"""Statements on models, read from SQL text: CREATE, DROP, ALTER, SHOW, DESCRIBE and EXPORT MODEL.

DuckDB has none of them. What begins so is read to its end, or is an error that says where it is not understood.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from sqlglot.tokens import Token, TokenType

from sqlinfer.errors import BadReference, StatementError, suggest
from sqlinfer.models.reference import DEFAULT, Reference
from sqlinfer.sql.options import MODEL_OPTIONS
from sqlinfer.sql.statements import split_statements
from sqlinfer.sql.tokens import matching, tokens_of

__all__ = [
    "Command",
    "CreateModel",
    "DescribeModel",
    "DropAlias",
    "DropModel",
    "ExportModel",
    "ModelName",
    "ModelOption",
    "RenameModel",
    "SetAlias",
    "ShowModels",
    "Value",
    "commands_in",
]

_GAP = r"(?:\s|/\*.*?\*/|--[^\n]*\n)+"
_WORTH_READING = re.compile(
    rf"\b(?:CREATE(?:{_GAP}OR{_GAP}REPLACE)?|DROP|ALTER|EXPORT|DESCRIBE|DESC|SHOW){_GAP}MODELS?\b",
    re.IGNORECASE | re.DOTALL,
)
_TEXTS = {TokenType.STRING, TokenType.HEREDOC_STRING, TokenType.BYTE_STRING, TokenType.RAW_STRING}
_CONSTANTS = {TokenType.NULL: None, TokenType.TRUE: True, TokenType.FALSE: False}
# What is none of these is quoted, where it is a name.
_NO_NAMES = {"FROM", "OPTIONS", "IF", "TO", "SET", "RENAME", "LIKE", "ILIKE", "AS", "WITH"}
_QUERIES = {"SELECT", "FROM", "WITH", "VALUES", "TABLE", "PIVOT", "UNPIVOT", "SUMMARIZE", "DESCRIBE", "("}
Kind = Literal["constant", "word", "parameter", "list", "struct", "query"]


@dataclass(frozen=True, slots=True)
class Value:
    """``content``: of a *constant* what it is in Python, of a *word* its text, of a *parameter* its name or number, of
    a *list* values, of a *struct* pairs of a name and a value, of a *query* its SQL. ``[start, end)`` is its place."""

    kind: Kind
    content: Any
    start: int
    end: int

    def bound(self, sql: str, parameters: Any) -> Any:
        """What it is, given the parameters of the statement. Raises StatementError."""
        if self.kind == "list":
            return [value.bound(sql, parameters) for value in self.content]
        if self.kind == "struct":
            return {name: value.bound(sql, parameters) for name, value in self.content}
        if self.kind != "parameter":
            return self.content
        named, key = isinstance(parameters, Mapping), self.content
        values = {str(name).lower(): value for name, value in parameters.items()} if named else {}
        if not named and isinstance(parameters, Sequence) and not isinstance(parameters, (str, bytes)):
            values = {str(place): value for place, value in enumerate(parameters, 1)}
        if key not in values:
            raise StatementError(f"there is no value for the parameter {sql[self.start : self.end]}").at(
                sql, self.start, self.end
            )
        return values[key]

    @property
    def parameters(self) -> Iterator[str]:
        if self.kind == "parameter":
            yield self.content
        inner = self.content if self.kind == "list" else ()
        for value in inner if self.kind != "struct" else (value for _, value in self.content):
            yield from value.parameters


@dataclass(frozen=True, slots=True)
class ModelName:
    reference: Reference
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ModelOption:
    """``[start, end)`` is its name and its value."""

    name: str
    value: Value
    start: int
    end: int


class _Statement:
    """``parameters``: the names, or numbers, of those that it has."""

    __slots__ = ()

    @property
    def parameters(self) -> set[str]:
        names: tuple[str, ...] = self.__slots__
        parts = [getattr(self, name) for name in names]
        options = [option for part in parts if isinstance(part, tuple) for option in part]
        values = [part.value if isinstance(part, ModelOption) else part for part in (*parts, *options)]
        return {name for value in values if isinstance(value, Value) for name in value.parameters}


@dataclass(frozen=True, slots=True)
class CreateModel(_Statement):
    model: ModelName
    path: Value
    options: tuple[ModelOption, ...]
    kind: ModelOption | None = None
    or_replace: bool = False
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class DropModel(_Statement):
    model: ModelName
    if_exists: bool


@dataclass(frozen=True, slots=True)
class SetAlias(_Statement):
    model: ModelName
    alias: ModelName
    version: Value
    if_exists: bool


@dataclass(frozen=True, slots=True)
class DropAlias(_Statement):
    model: ModelName
    alias: ModelName
    if_exists: bool


@dataclass(frozen=True, slots=True)
class RenameModel(_Statement):
    model: ModelName
    new: ModelName
    if_exists: bool


@dataclass(frozen=True, slots=True)
class ShowModels(_Statement):
    """``pattern``: none where it may also be DuckDB's own SHOW of a table that is called models."""

    pattern: Value | None = None
    like: str = "LIKE"


@dataclass(frozen=True, slots=True)
class DescribeModel(_Statement):
    model: ModelName


@dataclass(frozen=True, slots=True)
class ExportModel(_Statement):
    model: ModelName
    folder: Value


Command = CreateModel | DropModel | SetAlias | DropAlias | RenameModel | ShowModels | DescribeModel | ExportModel


def commands_in(sql: str) -> list[tuple[int, int, Command | None]]:
    """Where the statements of ``sql`` start and end, and what those on models say; nothing where there are none of
    these. Raises StatementError or BadReference, underlined."""
    if not _WORTH_READING.search(sql):
        return []
    tokens = tokens_of(sql)
    found: list[tuple[int, int, Command | None]] = []
    for start, end in split_statements(sql):
        inside = _with_backquotes(sql, [token for token in tokens if start <= token.start < end])
        found.append((start, end, _command(sql, inside)))
    return found if any(command is not None for _, _, command in found) else []


def _with_backquotes(sql: str, tokens: Sequence[Token]) -> list[Token]:
    """BigQuery's `project.dataset.churn` is one name, of which the last part is ours."""
    read: list[Token] = []
    opening: Token | None = None
    for token in tokens:
        is_quote = token.token_type == TokenType.UNKNOWN and token.text == "`"
        if is_quote and opening is not None:
            name = sql[opening.end + 1 : token.start].rpartition(".")[2]
            read.append(Token(TokenType.IDENTIFIER, name, opening.line, opening.col, opening.start, token.end))
            opening = None
        elif is_quote:
            opening = token
        elif opening is None:
            read.append(token)
    return read if opening is None else list(tokens)


def _command(sql: str, tokens: Sequence[Token]) -> Command | None:
    said = [_word(token) for token in tokens[:4]]
    if said[:2] == ["CREATE", "MODEL"]:
        return _Reader(sql, tokens, 2).create(or_replace=False)
    if said == ["CREATE", "OR", "REPLACE", "MODEL"]:
        return _Reader(sql, tokens, 4).create(or_replace=True)
    if said[:2] == ["SHOW", "MODELS"] and said[2:3] in ([], ["LIKE"], ["ILIKE"]):
        return _Reader(sql, tokens, 2).show()
    # a table may be called model, and DESCRIBE model.t has a schema of that name
    if said[:2] in (["DESCRIBE", "MODEL"], ["DESC", "MODEL"]) and len(tokens) > 2 and _is_name(tokens[2]):
        return _Reader(sql, tokens, 2).describe()
    readers: dict[str, Callable[[_Reader], Command]] = {
        "DROP": _Reader.drop,
        "ALTER": _Reader.alter,
        "EXPORT": _Reader.export,
    }
    if said[1:2] == ["MODEL"] and said[0] in readers:
        return readers[said[0]](_Reader(sql, tokens, 2))
    return None


def _word(token: Token) -> str:
    """Its text, upper case; what is quoted is no word of SQL's."""
    return "" if token.token_type in {TokenType.IDENTIFIER, *_TEXTS} else token.text.upper()


def _is_name(token: Token) -> bool:
    quoted = token.token_type in (TokenType.IDENTIFIER, TokenType.STRING)
    return quoted or (token.text.isidentifier() and token.token_type not in _TEXTS)


class _Reader:
    """Reads one statement from left to right."""

    def __init__(self, sql: str, tokens: Sequence[Token], position: int) -> None:
        self._sql = sql
        self._tokens = tokens
        self._position = position
        self._questions = 0

    def create(self, *, or_replace: bool) -> CreateModel:
        if_not_exists = self._has("IF")
        if if_not_exists:
            if or_replace:
                self._fail("write either OR REPLACE or IF NOT EXISTS", before=True)
            self._require("NOT")
            self._require("EXISTS")
        model = self._name("CREATE MODEL churn FROM 'churn.onnx'", only_name=True)
        how = {"or_replace": or_replace, "if_not_exists": if_not_exists}
        if self._has("FROM"):
            path = self._value("the path of a model in quotes: FROM 'churn.onnx'", {"constant", "parameter"})
            options = self._options() if self._at("(") or self._has("WITH") or self._has("OPTIONS") else ()
            self._end("CREATE MODEL churn FROM 'churn.onnx' (sample = 'customers.parquet', …)")
            self._require_none(options, ("model_path",), "the model's path stands behind FROM")
            return CreateModel(model, path, self._others(options), _of(options, "model_type"), **how)
        if not self._has("OPTIONS"):
            self._no_training()
            self._fail("it goes on with FROM 'churn.onnx', or with OPTIONS (model_path = 'churn.onnx')")
        opening = self._tokens[self._position - 1]
        options = self._options()
        self._no_training()
        self._end("CREATE MODEL churn OPTIONS (model_path = 'churn.onnx', …)")
        given = _of(options, "model_path")
        if given is None:
            raise StatementError("OPTIONS has no model_path, which names the model's file").at(
                self._sql, opening.start, opening.end + 1
            )
        return CreateModel(model, given.value, self._others(options), _of(options, "model_type"), **how)

    def drop(self) -> DropModel:
        if_exists = self._if_exists()
        model = self._name("DROP MODEL churn, or DROP MODEL churn/3")
        self._end("DROP MODEL churn; one statement drops one model, or one version of it")
        return DropModel(model, if_exists)

    def alter(self) -> SetAlias | DropAlias | RenameModel:
        if_exists = self._if_exists()
        model = self._name("ALTER MODEL churn SET DEFAULT = 3", only_name=True)
        if self._has("RENAME"):
            self._require("TO")
            renamed = RenameModel(model, self._name("RENAME TO retained", only_name=True), if_exists)
            self._end("ALTER MODEL churn RENAME TO retained")
            return renamed
        if self._has("DROP"):
            self._require("ALIAS")
            dropped = DropAlias(model, self._name("DROP ALIAS champion", only_name=True), if_exists)
            self._end("ALTER MODEL churn DROP ALIAS champion")
            return dropped
        if not self._has("SET"):
            self._fail("ALTER MODEL churn goes on with SET ALIAS champion = 3, SET DEFAULT = 3, RENAME TO, DROP ALIAS")
        if self._has("ALIAS"):
            alias = self._name("SET ALIAS champion = 3", only_name=True)
        elif self._has("DEFAULT"):
            token = self._tokens[self._position - 1]
            alias = ModelName(Reference(DEFAULT), token.start, token.end + 1)
        else:
            self._fail("what is set is SET ALIAS champion = 3, or SET DEFAULT = 3")
        if not (self._has("=") or self._has("TO")):
            self._fail(f"it goes on with = and the number of a version: SET ALIAS {alias.reference.name} = 3")
        version = self._value("the number of a version, such as 3", {"constant", "parameter"})
        self._end("ALTER MODEL churn SET ALIAS champion = 3")
        return SetAlias(model, alias, version, if_exists)

    def show(self) -> ShowModels:
        if self._token is None:
            return ShowModels()
        like = "ILIKE" if self._has("ILIKE") else "LIKE"
        if like == "LIKE":
            self._require("LIKE")
        pattern = self._value("a pattern in quotes: SHOW MODELS LIKE 'churn%'", {"constant", "parameter"})
        self._end("SHOW MODELS LIKE 'churn%'")
        return ShowModels(pattern, like)

    def describe(self) -> DescribeModel:
        model = self._name("DESCRIBE MODEL churn")
        self._end("DESCRIBE MODEL churn, or DESCRIBE MODEL churn/3")
        return DescribeModel(model)

    def export(self) -> ExportModel:
        model = self._name("EXPORT MODEL churn TO 'folder'")
        self._require("TO")
        folder = self._value("the path of a folder in quotes: TO 'folder'", {"constant", "parameter"})
        self._end("EXPORT MODEL churn TO 'folder'")
        return ExportModel(model, folder)

    def _if_exists(self) -> bool:
        found = self._has("IF")
        if found:
            self._require("EXISTS")
        return found

    def _no_training(self) -> None:
        if self._at("AS", "TRANSFORM", "INPUT", "OUTPUT", "REMOTE"):
            self._fail("models are not trained in SQL: fit one in Python, save it, and name its file with FROM '…'")

    def _require_none(self, options: Sequence[ModelOption], names: Sequence[str], why: str) -> None:
        for option in options:
            if option.name in names:
                raise StatementError(f"{option.name}: {why}").at(self._sql, option.start, option.end)

    def _others(self, options: Sequence[ModelOption]) -> tuple[ModelOption, ...]:
        return tuple(option for option in options if option.name not in ("model_path", "model_type"))

    @property
    def _token(self) -> Token | None:
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def _at(self, *words: str) -> bool:
        return self._token is not None and _word(self._token) in words

    def _has(self, word: str) -> bool:
        found = self._at(word)
        self._position += found
        return found

    def _require(self, word: str) -> None:
        if not self._has(word):
            self._fail(f"{word} stands here")

    def _end(self, form: str) -> None:
        if self._token is not None:
            self._fail(f"the statement ends before it; write {form}")

    def _fail(self, says: str, *, before: bool = False) -> NoReturn:
        self._position -= before
        token, last = self._token, self._tokens[-1]
        if token is None:
            raise StatementError(f"syntax error at the end of the statement: {says}").at(
                self._sql, last.start, last.end + 1
            )
        start, end = token.start, token.end + 1
        raise StatementError(f"syntax error at or near {_shortened(self._sql[start:end])}: {says}").at(
            self._sql, start, end
        )

    def _next(self, wanted: str) -> Token:
        if self._token is None:
            self._fail(wanted)
        token = self._token
        self._position += 1
        return token

    def _name(self, form: str, *, only_name: bool = False) -> ModelName:
        """``churn``, ``churn/3``, ``churn@champion``, quoted or not."""
        token = self._next(f"a name stands here: {form}")
        quoted = token.token_type in (TokenType.IDENTIFIER, TokenType.STRING)
        if not _is_name(token) or (not quoted and token.text.upper() in _NO_NAMES):
            self._position -= 1
            self._fail(f"a name stands here: {form}; other names are quoted")
        text, end = token.text, token.end + 1
        for sign in ("/", "@"):
            follows = self._token is not None and self._sql[self._token.start : self._token.end + 1] == sign
            if follows and self._position + 1 < len(self._tokens):
                text = f"{text}{sign}{self._tokens[self._position + 1].text}"
                end = self._tokens[self._position + 1].end + 1
                self._position += 2
        if self._at("."):
            self._fail("models have no schema: write the name alone")
        try:
            reference = Reference.parse(text)
        except BadReference as error:
            raise error.at(self._sql, token.start, end) from None
        if only_name and text.lower() != reference.name:
            raise StatementError(f"{text!r} is a version: the name of a model stands here, as in {form}").at(
                self._sql, token.start, end
            )
        return ModelName(reference, token.start, end)

    def _options(self) -> tuple[ModelOption, ...]:
        if not self._has("("):
            self._fail("the options stand in parentheses: (sample = 'customers.parquet', …)")
        found: list[ModelOption] = []
        while not self._has(")"):
            if found and not self._has(","):
                self._fail("options have commas between them, and a ) behind the last")
            found.append(self._option({option.name for option in found}))
        return tuple(found)

    def _option(self, taken: set[str]) -> ModelOption:
        token = self._next("an option stands here, such as sample = 'customers.parquet', or )")
        if not _is_name(token) or token.token_type == TokenType.STRING:
            self._position -= 1
            self._fail("an option stands here, such as sample = 'customers.parquet'")
        name, end = token.text.lower(), token.end + 1
        if name not in MODEL_OPTIONS:
            raise _unknown(name).at(self._sql, token.start, end)
        if name in taken:
            raise StatementError(f"the option {name} is given twice").at(self._sql, token.start, end)
        if self._at(",", ")"):
            return ModelOption(name, Value("constant", True, token.start, end), token.start, end)
        self._has("=")
        value = self._value(f"the value of {name} stands here")
        return ModelOption(name, value, token.start, value.end)

    def _value(self, wanted: str, kinds: set[Kind] | None = None) -> Value:
        first = self._position
        value = self._any_value(wanted)
        is_quoted = self._sql[value.start] == '"'  # BigQuery's texts are
        if kinds is not None and value.kind not in kinds and not (value.kind == "word" and is_quoted):
            self._position = first
            self._fail(wanted)
        return value

    def _any_value(self, wanted: str) -> Value:
        token = self._next(wanted)
        start, end, kind = token.start, token.end + 1, token.token_type
        if kind in _TEXTS:
            return Value("constant", token.text, start, end)
        if kind in _CONSTANTS:
            return Value("constant", _CONSTANTS[kind], start, end)
        if kind == TokenType.NUMBER or (_word(token) in ("-", "+", ".") and self._token is not None):
            return self._number(token, wanted)
        if kind in (TokenType.PLACEHOLDER, TokenType.PARAMETER):
            return self._parameter(token)
        if kind == TokenType.L_BRACKET:
            return self._list(token)
        if kind == TokenType.L_BRACE or (_word(token) == "MAP" and self._has("{")):
            return self._struct(token)
        if kind == TokenType.L_PAREN:
            return self._query(token)
        return self._word_value(token, wanted)

    def _word_value(self, token: Token, wanted: str) -> Value:
        """A word without quotes, or the name of a table."""
        if not _is_name(token):
            self._position -= 1
            self._fail(wanted)
        end = token.end + 1
        while self._at(".") and self._position + 1 < len(self._tokens):
            end = self._tokens[self._position + 1].end + 1
            self._position += 2
        text = token.text if end == token.end + 1 else self._sql[token.start : end]
        return Value("word", text, token.start, end)

    def _number(self, token: Token, wanted: str) -> Value:
        """``3``, ``-0.5``, ``+.5e3``: sqlglot reads the point before the digits by itself."""
        last = token
        while last.token_type != TokenType.NUMBER:
            last = self._next(wanted)
            if last.token_type not in (TokenType.NUMBER, TokenType.DOT):
                self._position -= 1
                self._fail(wanted)
        text = self._sql[token.start : last.end + 1].replace("_", "")
        try:
            value: int | float = int(text) if text.lstrip("+-").isdecimal() else float(text)
        except ValueError:
            self._position -= 1
            self._fail(wanted)
        return Value("constant", value, token.start, last.end + 1)

    def _parameter(self, token: Token) -> Value:
        following = self._token
        adjacent = following is not None and following.start == token.end + 1
        if token.token_type == TokenType.PLACEHOLDER and not (adjacent and following and following.text.isdecimal()):
            self._questions += 1
            return Value("parameter", str(self._questions), token.start, token.end + 1)
        if following is None or not adjacent or self._sql[token.start] == "@":
            self._position -= 1
            self._fail("a value stands here; parameters are written ?, $1 or $name")
        self._position += 1
        return Value("parameter", following.text.lower(), token.start, following.end + 1)

    def _list(self, opening: Token) -> Value:
        values: list[Value] = []
        while not self._has("]"):
            if values and not self._has(","):
                self._fail("the values of a list have commas between them, and a ] behind the last")
            values.append(self._value("a value of the list stands here"))
        return Value("list", tuple(values), opening.start, self._tokens[self._position - 1].end + 1)

    def _struct(self, opening: Token) -> Value:
        pairs: list[tuple[str, Value]] = []
        while not self._has("}"):
            if pairs and not self._has(","):
                self._fail("the fields have commas between them, and a } behind the last")
            name = self._next("a field stands here: {'age': 'nan'}")
            if not _is_name(name) and name.token_type not in _TEXTS:
                self._position -= 1
                self._fail("the name of a field stands here: {'age': 'nan'}")
            if not (self._has(":") or self._has("=")):
                self._fail("a colon stands behind the name of a field: {'age': 'nan'}")
            pairs.append((name.text, self._value("the value of the field stands here")))
        return Value("struct", tuple(pairs), opening.start, self._tokens[self._position - 1].end + 1)

    def _query(self, opening: Token) -> Value:
        first = self._position - 1
        if not self._at(*_QUERIES):
            self._fail("in parentheses a query stands here, such as (SELECT …); lists have brackets: ['a', 'b']")
        close = matching(self._tokens, range(first, len(self._tokens)))
        if close is None:
            self._position = first
            self._fail("this parenthesis is not closed")
        self._position = close + 1
        end = self._tokens[close].end + 1
        return Value("query", self._sql[opening.end + 1 : end - 1], opening.start, end)


def _of(options: Sequence[ModelOption], name: str) -> ModelOption | None:
    return next((option for option in options if option.name == name), None)


def _unknown(name: str) -> StatementError:
    if name == "trust":
        return StatementError(
            "whether a model's code may run is no option of a statement: it is said where the connection is opened, "
            "sqlinfer.connect(trust=True) or sqlinfer query --trust"
        )
    return StatementError(f"CREATE MODEL has no option {name!r}; {suggest(name, MODEL_OPTIONS, 'options')}")


def _shortened(text: str) -> str:
    return f'"{text[:40]}…"' if len(text) > 40 else f'"{text}"'
