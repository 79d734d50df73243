"""The OpenAPI 3.1 document, made from the route table and the models (JSON Schema 2020-12)."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.metadata import version
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from exchange.protocol.api import Problem
from exchange.web.problems import MEDIA_TYPE
from exchange.web.routes import ROUTES, Listener, Route

Schema = dict[str, Any]
"""A piece of the document: JSON of any shape."""

_REF: Final = "#/components/schemas/{model}"
_PARAMETER = re.compile(r"\{(\w+)(?::[^}]*)?\}")
_PATTERNS: Final = {
    "digest": r"^sha256:[0-9a-f]{64}$",
    "dispatch_id": r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
    "name": r"^[a-z]{1,16}$",
}
_PATTERNS["consignment_id"] = _PATTERNS["evidence_id"] = _PATTERNS["dispatch_id"]


@lru_cache
def document() -> Schema:
    """The whole document; the same for both listeners, each operation says where it answers."""
    models = _models()
    _, definitions = models_json_schema(models, ref_template=_REF)
    paths: dict[str, Schema] = {}
    for route in ROUTES:
        path = _PARAMETER.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "gongwen",
            "version": version("gongwen"),
            "summary": "Exchange of non-classified official documents between government units",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {
                "unit": {
                    "type": "mutualTLS",
                    "description": "TLS client certificate that the hub issued to the unit",
                }
            },
        },
        "tags": [
            {"name": "units", "description": "Listener for units: mutual TLS"},
            {"name": "public", "description": "Listener for everybody: TLS, no client certificate"},
        ],
    }


def _models() -> list[tuple[type[BaseModel], Any]]:
    found: dict[tuple[type[BaseModel], str], None] = {(Problem, "serialization"): None}
    for route in ROUTES:
        for model in route.answers.values():
            if isinstance(model, type):
                found[(model, "serialization")] = None
        if isinstance(route.body, type):
            found[(route.body, "validation")] = None
    return list(found)


def _operation(route: Route) -> Schema:
    operation: Schema = {
        "summary": route.summary,
        "operationId": route.handler.__name__,
        "tags": [
            name
            for name, listener in (("units", Listener.UNITS), ("public", Listener.PUBLIC))
            if listener in route.listener
        ],
        "parameters": _parameters(route),
        "responses": _responses(route),
    }
    if route.handler.__doc__:
        operation["description"] = " ".join(route.handler.__doc__.split())
    if route.listener is Listener.UNITS:
        operation["security"] = [{"unit": []}]
    body = _body(route)
    if body:
        operation["requestBody"] = {"required": True, "content": body}
    return operation


def _parameters(route: Route) -> list[Schema]:
    parameters: list[Schema] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string"} | ({"pattern": _PATTERNS[name]} if name in _PATTERNS else {}),
        }
        for name in _PARAMETER.findall(route.path)
    ]
    if route.query is not None:
        schema = route.query.model_json_schema(ref_template=_REF)
        required = schema.get("required", [])
        defined = schema.get("$defs", {})
        for name, one in schema["properties"].items():
            description = one.pop("description", None)
            parameters.append(
                {"name": name, "in": "query", "required": name in required, "schema": _inline(one, defined)}
                | ({"description": description} if description else {})
            )
    for name, description in route.headers:
        parameters.append(
            {
                "name": name,
                "in": "header",
                "required": True,
                "description": description,
                "schema": {"type": "integer", "minimum": 0},
            }
        )
    return parameters


def _inline(schema: Schema, defined: dict[str, Schema]) -> Schema:
    """A query parameter's schema without references: its enumerations are no components."""
    if "$ref" in schema:
        return defined[schema["$ref"].rsplit("/", 1)[1]]
    if "anyOf" in schema:
        choices = [_inline(one, defined) for one in schema["anyOf"] if one.get("type") != "null"]
        return choices[0]
    return schema


def _body(route: Route) -> Schema:
    content: Schema = {}
    if isinstance(route.body, str):
        content[route.body] = {"schema": {"type": "string", "contentMediaType": route.body}}
    elif route.body is not None:
        content["application/json"] = {"schema": {"$ref": _REF.format(model=route.body.__name__)}}
    if route.multipart:
        octets = {"type": "string", "contentMediaType": "application/octet-stream"}
        content["multipart/form-data"] = {
            "schema": {
                "type": "object",
                "required": ["envelope", "signature"],
                "properties": {
                    "envelope": {"type": "string", "contentMediaType": "application/json"},
                    "signature": octets,
                    "content": {"type": "array", "items": octets},
                },
            }
        }
    return content


def _responses(route: Route) -> Schema:
    responses: Schema = {}
    for status, model in route.answers.items():
        answer: Schema = {"description": route.summary}
        if isinstance(model, str):
            answer["content"] = {model: {"schema": {"type": "string", "contentMediaType": model}}}
        elif model is not None:
            answer["content"] = {"application/json": {"schema": {"$ref": _REF.format(model=model.__name__)}}}
        responses[str(status)] = answer
    problem = {"content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}}}}
    for status in (*route.problems, 500):
        responses[str(status)] = {"description": "problem document (RFC 9457)"} | problem
    return responses
