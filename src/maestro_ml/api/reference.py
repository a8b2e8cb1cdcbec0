"""`/docs`: the API's reference as one page of plain HTML, which needs no script and no network."""

import hashlib
import json
from base64 import b64encode
from html import escape
from typing import Any

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color:#1b1f24;background:#fff}summary{cursor:pointer;padding:.4rem 0}"
    "code{font:14px/1.4 ui-monospace,monospace}b{display:inline-block;min-width:4.5rem}"
    "pre{background:#f4f5f7;padding:.8rem;overflow:auto}details{border-top:1px solid #d8dce1}"
    "@media(prefers-color-scheme:dark){body{color:#e4e7eb;background:#16191d}"
    "pre{background:#22262c}details{border-color:#363c44}}"
)
CSP = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    f"style-src 'sha256-{b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"
)


def page_of(schema: dict[str, Any]) -> str:
    """The page of an OpenAPI document, by tag and path."""
    by_tag: dict[str, list[str]] = {}
    for path, operations in sorted(schema["paths"].items()):
        for method, operation in operations.items():
            tag = (operation.get("tags") or ["other"])[0]
            by_tag.setdefault(tag, []).append(_operation(schema, method, path, operation))
    parts = [f"<h2>{escape(tag)}</h2>{''.join(rows)}" for tag, rows in sorted(by_tag.items())]
    title = escape(schema["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} API</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"<h1>{title} API</h1><p>The whole contract is <a href='/openapi.json'>openapi.json</a>. "
        "Send <code>Authorization: Bearer</code> with an access token or an API key.</p>"
        f"<p>{escape(schema['info'].get('description', ''))}</p>"
        f"{''.join(parts)}</body></html>"
    )


def _operation(schema: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> str:
    described = escape(operation.get("description", ""))
    lines = [f"<p>{described}</p>"]
    for parameter in operation.get("parameters", []):
        needed = ", required" if parameter.get("required") else ""
        meaning = escape(parameter.get("description", ""))
        lines.append(
            f"<p><code>{escape(parameter['name'])}</code> ({parameter['in']}{needed}) {meaning}</p>"
        )
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body:
        lines.append(f"<p>Body:</p><pre>{_shape(schema, body['schema'])}</pre>")
    for status, answer in operation.get("responses", {}).items():
        kind = answer.get("content", {}).get("application/json")
        if kind and status.startswith("2"):
            lines.append(f"<p>{status}:</p><pre>{_shape(schema, kind['schema'])}</pre>")
    return (
        f"<details><summary><b>{method.upper()}</b> <code>{escape(path)}</code></summary>"
        f"{''.join(lines)}</details>"
    )


def _shape(schema: dict[str, Any], shape: dict[str, Any]) -> str:
    """One level of the shape: the fields and what they are."""
    name = shape.get("$ref", "").rpartition("/")[2]
    found = schema.get("components", {}).get("schemas", {}).get(name, shape)
    shown = found.get("properties", found)
    return escape(json.dumps(shown, indent=1, ensure_ascii=False))
