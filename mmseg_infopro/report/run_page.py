"""One HTML file that shows a run, with all that it needs inside."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

from matplotlib.figure import Figure

PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 960px; margin: 2em auto; padding: 0 1em;
  color: #222; background: #fff; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
img { max-width: 100%; height: auto; }
table { border-collapse: collapse; } td, th { padding: .2em .8em .2em 0; text-align: left; }
pre { background: #f6f6f6; padding: 1em; overflow: auto; max-height: 30em; font-size: 12px; }
p.note { color: #666; }
</style></head><body>
<h1>$title</h1>
$body
</body></html>
""")


def page(title: str, sections: Mapping[str, str]) -> str:
    """Return the page.

    Args:
        title: Plain text.
        sections: HTML by heading, in order.
    """
    body = '\n'.join(f'<h2>{escape(name)}</h2>\n{html}' for name, html in sections.items())
    return PAGE.substitute(title=escape(title), body=body)


def as_table(rows: Mapping[str, str]) -> str:
    """Return a table of two columns."""
    cells = (
        f'<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in rows.items()
    )
    return f'<table>{"".join(cells)}</table>'


def as_rows(rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose first row is its header."""
    header, *body = (
        ''.join(f'<{kind}>{escape(cell)}</{kind}>' for cell in row)
        for kind, row in zip(['th', *['td'] * (len(rows) - 1)], rows, strict=True)
    )
    return f'<table>{"".join(f"<tr>{cells}</tr>" for cells in [header, *body])}</table>'


def as_note(text: str) -> str:
    """Return a remark."""
    return f'<p class="note">{escape(text)}</p>'


def as_code(text: str) -> str:
    """Return text as it is."""
    return f'<pre>{escape(text)}</pre>'


def embedded(figure: Figure | Path, alternative: str) -> str:
    """Return a figure, or a PNG file, as an image within the page.

    Args:
        figure: The figure, or the file.
        alternative: What it shows, for who cannot see it.
    """
    if isinstance(figure, Path):
        kind, data = 'png', figure.read_bytes()
    else:
        buffer = io.BytesIO()
        figure.savefig(buffer, format='svg')
        kind, data = 'svg+xml', buffer.getvalue()
    text = base64.b64encode(data).decode('ascii')
    return f'<img alt="{escape(alternative)}" src="data:image/{kind};base64,{text}">'
