"""Label and field selectors, with the grammar and the words of k8s.io/apimachinery (`labels`, `fields`).

Anything that does not parse raises StatusError (400).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from muster.embedded.wire import StatusError, bad_request

_TOKEN = re.compile(r"\s*(?:(!=|==|=|!|>|<|\(|\)|,)|([^\s!=<>(),]+))")
_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]")
_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_SIGNS = frozenset({"(", ")", ",", "=", "==", "!=", ">", "<"})

NAME_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
PREFIX_RULE = (
    "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and "
    "must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


@lru_cache(maxsize=65_536)
def key_fault(key: str) -> str:
    """What is wrong with a label key (a qualified name); empty if nothing is."""
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        return "a valid label key must consist of an optional prefix and a name, separated by one '/'"
    if slash and not prefix:
        return "prefix part must be non-empty"
    if slash and (len(prefix) > 253 or not _PREFIX.fullmatch(prefix)):
        return PREFIX_RULE if len(prefix) <= 253 else "prefix part must be no more than 253 bytes"
    if not name:
        return f"name part must be non-empty; {NAME_RULE}"
    if len(name) > 63:
        return "name part must be no more than 63 bytes"
    return "" if _NAME.fullmatch(name) else NAME_RULE


@lru_cache(maxsize=65_536)
def value_fault(value: str) -> str:
    """What is wrong with a label value; empty if nothing is."""
    if len(value) > 63:
        return "must be no more than 63 bytes"
    return "" if _VALUE.fullmatch(value) else VALUE_RULE


@dataclass(frozen=True, slots=True)
class Requirement:
    """One part of a label selector. `operator`: in, notin, exists, !, gt, lt."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels meet it."""
        held = labels.get(self.key)
        match self.operator:
            case "in":
                return held is not None and held in self.values
            case "notin":
                return held is None or held not in self.values
            case "exists":
                return held is not None
            case "!":
                return held is None
            case _:
                pass
        if held is None or not _INTEGER.fullmatch(held):
            return False
        (bound,) = self.values
        return int(held) > int(bound) if self.operator == "gt" else int(held) < int(bound)


Labels = tuple[Requirement, ...]
"""A label selector: all must hold."""


def labels(text: str) -> Labels:
    """Parse a label selector."""
    tokens = _tokens(text)
    found: list[Requirement] = []
    at = 0
    while at < len(tokens):
        requirement, at = _requirement(tokens, at)
        found.append(requirement)
        if at < len(tokens):
            if tokens[at] != ",":
                raise _unparsed(f"found '{tokens[at]}', expected: ',' or 'end of string'", "")
            at += 1
            if at == len(tokens):
                raise _unparsed("found '', expected: identifier after ','", "")
    return tuple(found)


def match_labels(selector: Labels, held: Mapping[str, str]) -> bool:
    """Whether labels meet a selector."""
    return all(requirement.matches(held) for requirement in selector)


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _unparsed(f"found '{text[at:]}', expected: identifier")
        tokens.append(match[1] or match[2])
        at = match.end()
    return tokens


def _requirement(tokens: list[str], at: int) -> tuple[Requirement, int]:
    if tokens[at] in _SIGNS:
        expected = "identifier after ','" if at else "!, identifier, or 'end of string'"
        raise _unparsed(f"found '{tokens[at]}', expected: {expected}", "")
    if tokens[at] == "!":
        key = _key(tokens, at + 1)
        return Requirement(key, "!"), at + 2
    key = _key(tokens, at)
    at += 1
    if at == len(tokens) or tokens[at] == ",":
        return Requirement(key, "exists"), at
    operator = tokens[at]
    if operator in ("in", "notin"):
        values, at = _values(tokens, at + 1)
        return Requirement(key, operator, _checked(key, values)), at
    if operator not in ("=", "==", "!=", ">", "<"):
        raise _unparsed(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")
    value = ""
    at += 1
    if at < len(tokens) and tokens[at] != ",":
        value = tokens[at]
        if value in ("(", ")", "!", "=", "==", "!=", ">", "<"):
            raise _unparsed(f"found '{value}', expected: identifier")
        at += 1
    if operator in (">", "<"):
        if not _INTEGER.fullmatch(value):
            why = "for 'Gt', 'Lt' operators, the value must be an integer"
            raise _unparsed(f'values[0][{key}]: Invalid value: "{value}": {why}')
        return Requirement(key, "gt" if operator == ">" else "lt", frozenset([value])), at
    return Requirement(key, "notin" if operator == "!=" else "in", _checked(key, [value])), at


def _key(tokens: list[str], at: int) -> str:
    if at >= len(tokens):
        raise _unparsed("found '', expected: identifier")
    key = tokens[at]
    if fault := key_fault(key):
        raise _unparsed(f'<nil>: Invalid value: "{key}": {fault}')
    return key


def _values(tokens: list[str], at: int) -> tuple[list[str], int]:
    if at >= len(tokens) or tokens[at] != "(":
        raise _unparsed(f"found '{tokens[at] if at < len(tokens) else ''}' expected: '('")
    values: list[str] = []
    expected = True
    for index in range(at + 1, len(tokens)):
        token = tokens[index]
        if token == ")":
            return ([*values, ""] if expected else values), index + 1
        if token == ",":
            if expected:
                values.append("")
            expected = True
        elif not expected:
            raise _unparsed(f"found '{token}', expected: ',' or ')'")
        else:
            values.append(token)
            expected = False
    raise _unparsed("found '', expected: ',' or ')'")


def _checked(key: str, values: Sequence[str]) -> frozenset[str]:
    for index, value in enumerate(values):
        if fault := value_fault(value):
            raise _unparsed(f'values[{index}][{key}]: Invalid value: "{value}": {fault}')
    return frozenset(values)


def _unparsed(why: str, what: str = "unable to parse requirement: ") -> StatusError:
    return bad_request(f"{what}{why}")


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """One part of a field selector."""

    path: str
    equal: bool
    value: str


Fields = tuple[FieldTerm, ...]


def fields(text: str, known: Callable[[str], bool]) -> Fields:
    """Parse a field selector; `known` says which paths may be selected."""
    found: list[FieldTerm] = []
    for part in _split(text):
        if not part:
            continue
        path, operator, value = _term(part)
        if operator is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        if not known(path):
            raise bad_request(f"field label not supported: {path}")
        found.append(FieldTerm(path, operator != "!=", _unescaped(value)))
    return tuple(found)


def _split(text: str) -> list[str]:
    """At the commas that no backslash hides."""
    return re.split(r"(?<!\\),", text)


def _term(part: str) -> tuple[str, str | None, str]:
    for index in range(len(part)):
        for operator in ("!=", "==", "="):
            if part.startswith(operator, index):
                return part[:index].strip(), operator, part[index + len(operator) :]
    return part, None, ""


def _unescaped(value: str) -> str:
    if "\\" not in value:
        return value
    if re.search(r"(?<!\\)(?:\\\\)*\\[^\\,=]", value):
        raise bad_request(f"invalid field selector: invalid escape sequence in {value}")
    return re.sub(r"\\([\\,=])", r"\1", value)
