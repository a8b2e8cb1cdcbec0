"""Events as a file: CSV for spreadsheets, JSON lines for programs."""

import csv
import io
import json
from collections.abc import Callable, Iterable
from typing import Any

from maestro_ml.audit.schemas import AuditEventView, ExportFormat

COLUMNS = list(AuditEventView.model_fields)
# A spreadsheet takes a cell that begins so for a formula (ASVS 1.2.10); the wide forms count too.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_header() -> str:
    return _csv([COLUMNS])


def csv_lines(events: Iterable[AuditEventView]) -> str:
    rows = (event.model_dump(mode="json") for event in events)
    return _csv([_cell(row[column]) for column in COLUMNS] for row in rows)


def json_lines(events: Iterable[AuditEventView]) -> str:
    return "".join(f"{event.model_dump_json()}\n" for event in events)


MEDIA = {ExportFormat.CSV: "text/csv; charset=utf-8", ExportFormat.JSONL: "application/jsonl"}
HEADERS: dict[ExportFormat, Callable[[], str]] = {
    ExportFormat.CSV: csv_header,
    ExportFormat.JSONL: str,
}
LINES: dict[ExportFormat, Callable[[Iterable[AuditEventView]], str]] = {
    ExportFormat.CSV: csv_lines,
    ExportFormat.JSONL: json_lines,
}


def _csv(rows: Iterable[list[str]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
