"""A made-up kind with what schemas can ask for, and manifests of it; `answers.json` has what a real server said.

`python -m tests.embedded.record` (with the control plane of e2e) asks it again.
"""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
TEXT = {"type": "string", "maxLength": 20}
NUMBER = {"type": "integer"}


def _list(kind: str, item: Object, *keys: str) -> Object:
    more: Object = {"x-kubernetes-list-map-keys": list(keys)} if keys else {}
    return {"type": "array", "maxItems": 5, "items": item, "x-kubernetes-list-type": kind, **more}


def rule(text: str, message: str = "", **more: Any) -> Object:
    return {"rule": text, **({"message": message} if message else {}), **more}


SPEC: Object = {
    "type": "object",
    "properties": {
        "text": {"type": "string", "minLength": 2, "maxLength": 5, "pattern": "^[a-z$]+$"},
        "small": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 2000000000},
        "big": {"type": "integer", "format": "int64", "exclusiveMaximum": True, "maximum": 315360000},
        "half": {"type": "number", "multipleOf": 0.5, "minimum": -1.5, "exclusiveMinimum": True},
        "flag": {"type": "boolean"},
        "when": {"type": "string", "format": "date-time"},
        "maybe": {"type": "string", "nullable": True, "maxLength": 9},
        "either": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        "choice": {"type": "integer", "enum": [1, 2, 3]},
        "word": {"type": "string", "enum": ["a", "b"], "default": "a"},
        "one": {"type": "object", "properties": {"a": TEXT, "b": TEXT},
                "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        "any": {"type": "object", "properties": {"a": TEXT, "b": TEXT},
                "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        "every": {"type": "object", "properties": {"a": NUMBER},
                  "allOf": [{"properties": {"a": {"minimum": 3}}}, {"properties": {"a": {"maximum": 5}}}]},
        "never": {"type": "object", "properties": {"a": TEXT, "b": TEXT}, "not": {"required": ["a", "b"]}},
        "names": _list("set", TEXT),
        "parts": _list("map", {"type": "object", "required": ["name"], "properties": {
            "name": TEXT, "size": {"type": "integer", "default": 1, "minimum": 1}}}, "name"),
        "ports": _list("map", {"type": "object", "required": ["port"], "properties": {
            "port": NUMBER, "protocol": {"type": "string", "default": "TCP", "maxLength": 9}, "to": NUMBER}},
            "port", "protocol"),
        "plain": _list("atomic", {"type": "integer", "minimum": 0}),
        "labels": {"type": "object", "maxProperties": 2, "additionalProperties": {"type": "string", "maxLength": 3}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"a": NUMBER}},
        "ruled": {
            "type": "object",
            "properties": {"low": NUMBER, "high": NUMBER, "in": TEXT, "a-b": TEXT, "namespace": TEXT,
                           "list": _list("atomic", NUMBER), "ratio": {"type": "number"}},
            "x-kubernetes-validations": [
                rule("!has(self.low) || !has(self.high) || self.low <= self.high", "low is above high"),
                rule("!has(self.__in__) || self.__in__ != 'x'"),
                rule("!has(self.a__dash__b) || size(self.a__dash__b) < 4", "a-b is long", fieldPath="['a-b']",
                     messageExpression="self.a__dash__b + ' is long'"),
                rule("!has(self.__namespace__)", "not here", fieldPath=".namespace", reason="FieldValueForbidden"),
                rule("!has(self.high) || has(self.low)", "low is needed", fieldPath=".low",
                     reason="FieldValueRequired"),
                rule("!has(self.list) || self.list.sum() < 10", "the sum is 10 or more"),
                rule("!has(self.ratio) || self.ratio * 2.0 < 3.0", "ratio is high"),
                rule("!has(self.list) || self.list[1] > 0", "second must be there"),
            ],
        },
        "fixed": {"type": "string", "maxLength": 9, "x-kubernetes-validations": [
            rule("self == oldSelf", "fixed stays"), rule("self != 'no'", "must not be no")]},
        "count": {"type": "integer", "x-kubernetes-validations": [rule("self != 13", "unlucky")]},
    },
}  # fmt: skip

CRD: Object = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "shapes.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "shapes", "singular": "shape", "kind": "Shape", "listKind": "ShapeList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    {"name": "Word", "type": "string", "jsonPath": ".spec.word"},
                    {"name": "Small", "type": "integer", "jsonPath": ".spec.small"},
                    {"name": "Plain", "type": "string", "jsonPath": ".spec.plain"},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": SPEC,
                            "status": {
                                "type": "object",
                                "default": {"phase": "New"},
                                "properties": {
                                    "phase": {"type": "string", "maxLength": 9, "pattern": "^[A-Z]"},
                                    "level": {"type": "integer", "maximum": 9},
                                },
                            },
                        },
                    }
                },
            }
        ],
    },
}


def shape(**spec: Any) -> Object:
    return {
        "apiVersion": "example.com/v1",
        "kind": "Shape",
        "metadata": {"name": "s", "namespace": "default"},
        "spec": spec,
    }


CREATES: list[tuple[str, Object]] = [
    ("empty", shape()),
    ("no spec", {k: v for k, v in shape().items() if k != "spec"}),
    ("null spec", shape() | {"spec": None}),
    ("spec is text", shape() | {"spec": "x"}),
    ("status is dropped", shape() | {"status": {"phase": "old"}}),
    ("text short", shape(text="a")),
    ("text long", shape(text="abcdef")),
    ("text of five letters beyond ASCII", shape(text="ääääé")),
    ("text with a newline", shape(text="abc\n")),
    ("text with the dollar", shape(text="ab$")),
    ("text with quotes", shape(text='"A"')),
    ("text is a number", shape(text=5)),
    ("text is a list", shape(text=["ab"])),
    ("small 0", shape(small=0)),
    ("small too big for its format", shape(small=2200000000)),
    ("small above both", shape(small=4000000000)),
    ("small is a fraction", shape(small=1.5)),
    ("small is 2.0", shape(small=2.0)),
    ("small is true", shape(small=True)),
    ("big at the bound", shape(big=315360000)),
    ("big above", shape(big=999999999)),
    ("half is three quarters", shape(half=0.75)),
    ("half at the bound", shape(half=-1.5)),
    ("half is whole", shape(half=2)),
    ("half is text", shape(half="2")),
    ("flag is text", shape(flag="yes")),
    ("when is no time", shape(when="yesterday")),
    ("when is a date", shape(when="2026-01-31")),
    ("when is a time", shape(when="2026-01-31T12:00:00Z")),
    ("when has a fraction and a zone", shape(when="2026-01-31T12:00:00.123456789+02:00")),
    ("maybe null", shape(maybe=None)),
    ("flag null", shape(flag=None)),
    ("word null", shape(word=None)),
    ("word other", shape(word="c")),
    ("either text", shape(either="x")),
    ("either number", shape(either=5)),
    ("either list", shape(either=[1])),
    ("choice 4", shape(choice=4)),
    ("choice text", shape(choice="1")),
    ("one of none", shape(one={})),
    ("one of both", shape(one={"a": "x", "b": "y"})),
    ("any of none", shape(any={})),
    ("every 2", shape(every={"a": 2})),
    ("every 6", shape(every={"a": 6})),
    ("never both", shape(never={"a": "x", "b": "y"})),
    ("names twice", shape(names=["a", "b", "a", "a"])),
    ("names six", shape(names=list("abcdef"))),
    ("parts twice", shape(parts=[{"name": "a"}, {"name": "a", "size": 2}])),
    ("part without name", shape(parts=[{"size": 2}])),
    ("part of size 0", shape(parts=[{"name": "a"}, {"name": "b", "size": 0}])),
    ("parts of text", shape(parts=["a"])),
    ("ports twice by default", shape(ports=[{"port": 1}, {"port": 1, "protocol": "TCP"}])),
    ("ports of two protocols", shape(ports=[{"port": 1}, {"port": 1, "protocol": "UDP"}])),
    ("plain below 0", shape(plain=[1, -1])),
    ("labels three", shape(labels={"a": "1", "b": "2", "c": "3"})),
    ("label long", shape(labels={"a/b.c": "1234"})),
    ("label null", shape(labels={"a": None})),
    ("free", shape(free={"a": 1, "x": {"y": None}})),
    ("free with a wrong a", shape(free={"a": "x"})),
    ("rule low and high", shape(ruled={"low": 2, "high": 1})),
    ("rule without a message", shape(ruled={"in": "x"})),
    ("rule with a quoted path", shape(ruled={"a-b": "long one"})),
    ("rule forbids", shape(ruled={"namespace": "x"})),
    ("rule requires", shape(ruled={"high": 1})),
    ("rule on a sum", shape(ruled={"list": [9, 9]})),
    ("rule on a whole number", shape(ruled={"ratio": 1})),
    ("rule on a number", shape(ruled={"ratio": 2})),
    ("fixed no", shape(fixed="no")),
    ("count 13", shape(count=13)),
    ("rule beside a bound", shape(count=13, plain=[-1])),
    ("rule beside a type", shape(count=13, flag="x")),
    ("unknown fields", shape(nope=1, parts=[{"name": "a", "nope": 2}]) | {"else": 1}),
    ("unknown metadata", shape() | {"metadata": {"name": "s", "namespace": "default", "nope": 1}}),
]
"""(id, manifest) for a create."""

START = shape(fixed="yes", plain=[1], parts=[{"name": "a"}, {"name": "b"}], small=1, count=1)
UPDATES: list[tuple[str, Object]] = [
    ("the same", START["spec"]),
    ("fixed changes", START["spec"] | {"fixed": "other"}),
    ("fixed goes", {k: v for k, v in START["spec"].items() if k != "fixed"}),
    ("fixed becomes no", START["spec"] | {"fixed": "no"}),
    ("a part changes", START["spec"] | {"parts": [{"name": "b"}, {"name": "a", "size": 0}]}),
    ("true for one", START["spec"] | {"small": True}),
]
"""(id, spec) for an update of START."""

STATUSES: list[tuple[str, Any]] = [
    ("phase", {"phase": "Done"}),
    ("phase of a small letter", {"phase": "done"}),
    ("level 10", {"level": 10}),
    ("unknown", {"phase": "Done", "nope": 1}),
    ("status is text", "x"),
    ("null", None),
]
"""(id, status) for an update of START's status."""
