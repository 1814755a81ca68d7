"""A report as files: JSON, and its table as Markdown beside what is printed of it."""

import json
from pathlib import Path

from trajforecast_model.evaluation.reports.tables import Table, table_as_markdown, table_as_text
from trajforecast_model.files.atomic import write_atomically


def write_report(report: dict, table: Table, out: Path, table_file: Path | None) -> None:
    """Writes the report, prints its table, and writes that too where a file is named for it."""
    write_atomically(out, (json.dumps(report, indent=2) + "\n").encode())
    print(table_as_text(table))
    print(f"wrote {out}")
    if table_file is not None:
        write_atomically(table_file, (table_as_markdown(table) + "\n").encode())
        print(f"wrote {table_file}")
