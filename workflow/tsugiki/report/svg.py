"""Small pieces of SVG: escaped elements, scales, ticks and axes.

Figures are written by hand and not with a plotting library: their colours are classes that follow
the reader's light or dark theme, their text stays text, and equal data give equal bytes.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

STYLE = Path(__file__).parent / "templates" / "figure.css"


@dataclass(frozen=True)
class Figure:
    """A drawing and the words that stand for it.

    Attributes:
        name: File name without its ending; also makes the ids unique on a page.
        title: What it shows.
        description: The numbers that matter, for those who cannot see it.
        width: In pixels.
        height: In pixels.
        body: SVG elements.
        data: What is drawn, as rows of a table, the first of them its headings.
    """

    name: str
    title: str
    description: str
    width: float
    height: float
    body: str
    data: Sequence[Sequence[object]] = ()

    def csv(self) -> bytes:
        """Content of a CSV file (RFC 4180); numbers in full, nothing for those that are not known."""
        written = io.StringIO()
        csv.writer(written).writerows(self.data)
        return written.getvalue().encode()

    def csv_uri(self) -> str:
        """The same as an address that holds it, for a page without files beside it."""
        return f"data:text/csv;charset=utf-8,{quote(self.csv())}"

    def inline(self) -> str:
        """For an HTML page that holds `figure.css`."""
        return self._svg("")

    def standalone(self) -> bytes:
        """Content of an SVG file, on a ground of its own."""
        ground = element("rect", width="100%", height="100%", class_="f-ground")
        style = f"<style>{STYLE.read_text('utf-8')}</style>"
        return f"{self._svg(style + ground)}\n".encode()

    def _svg(self, before: str) -> str:
        title, description = f"{self.name}-title", f"{self.name}-description"
        return element(
            "svg",
            f'<title id="{title}">{escape(self.title)}</title>'
            f'<desc id="{description}">{escape(self.description)}</desc>{before}{self.body}',
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {number(self.width)} {number(self.height)}",
            width=self.width,
            height=self.height,
            role="img",
            aria_labelledby=f"{title} {description}",
            class_="figure",
        )


@dataclass(frozen=True)
class Scale:
    """A linear map from data to pixels."""

    low: float
    high: float
    start: float
    """Pixel of `low`."""
    end: float
    """Pixel of `high`."""

    def __call__(self, value: float) -> float:
        """Pixel of a value; the middle if the range is a single value."""
        if self.high == self.low:
            return (self.start + self.end) / 2
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def element(name: str, content: str = "", /, **attributes: str | float) -> str:
    """An element. Attribute names: `class_` is `class`, and `_` stands for `-`.

    Args:
        name: Of the element.
        content: SVG inside it; text must have been escaped.
        attributes: Escaped here; numbers are rounded to hundredths of a pixel.
    """
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}="
        f"{quoteattr(value if isinstance(value, str) else number(value))}"
        for key, value in attributes.items()
    )
    return f"<{name}{written}>{content}</{name}>" if content else f"<{name}{written}/>"


def text(x: float, y: float, content: str, class_: str = "f-label", **attributes: str) -> str:
    """A line of text whose baseline starts (or ends, see `text_anchor`) at a point."""
    return element("text", escape(content), x=x, y=y, class_=class_, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def cross(x: float, y: float, reach: float, class_: str) -> str:
    """A diagonal cross."""
    down = line(x - reach, y - reach, x + reach, y + reach, class_)
    return down + line(x - reach, y + reach, x + reach, y - reach, class_)


def rectangle(x: float, y: float, width: float, height: float, class_: str, tip: str = "") -> str:
    """A rectangle, with a text that appears under the pointer."""
    return element("rect", _tip(tip), x=x, y=y, width=width, height=height, class_=class_)


def circle(x: float, y: float, radius: float, class_: str, tip: str = "") -> str:
    """A disc, with a text that appears under the pointer."""
    return element("circle", _tip(tip), cx=x, cy=y, r=radius, class_=class_)


def path(points: Iterable[tuple[float, float]], class_: str, *, closed: bool = False) -> str:
    """A polygon or a line through points; nothing for no points."""
    steps = " L".join(f"{number(x)} {number(y)}" for x, y in points)
    return element("path", d=f"M{steps}{' Z' if closed else ''}", class_=class_) if steps else ""


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers within a range, at most about `most` of them.

    The distance is 1, 2 or 5 times a power of ten.
    """
    if high <= low:
        return [low]
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def axis_of_bars(x: Scale, top: float, bottom: float, title: str) -> str:
    """Lines at round numbers behind bars that begin at 0, and what the numbers are."""
    parts = []
    for tick in ticks(x.low, x.high):
        parts.append(line(x(tick), top, x(tick), bottom, "f-grid"))
        parts.append(text(x(tick), bottom + 18, f"{tick:g}", text_anchor="middle"))
    parts.append(line(x(0), top, x(0), bottom, "f-axis"))
    middle = (x.start + x.end) / 2
    parts.append(text(middle, bottom + 38, title, "f-title", text_anchor="middle"))
    return "".join(parts)


def axes(
    frame: tuple[float, float, float, float],
    across: Sequence[tuple[float, str]],
    up: Sequence[tuple[float, str]],
    across_title: str,
    up_title: str = "",
    *,
    grid: bool = False,
) -> str:
    """Lines at round numbers, and what they are.

    Args:
        frame: Left, top, right and bottom, in pixels.
        across: Place and label of what is written below.
        up: Place and label of the lines.
        across_title: What is drawn from left to right.
        up_title: And upwards; nothing if the legend says it.
        grid: Whether there are lines upwards, too.
    """
    left, top, right, bottom = frame
    parts = []
    for y, label in up:
        parts.append(line(left, y, right, y, "f-grid"))
        parts.append(text(left - 8, y + 4, label, text_anchor="end"))
    for x, label in across:
        parts.append(line(x, top, x, bottom, "f-grid") if grid else "")
        parts.append(text(x, bottom + 20, label, text_anchor="middle"))
    parts.append(line(left, bottom, right, bottom, "f-axis"))
    middle, height = (left + right) / 2, (top + bottom) / 2
    parts.append(text(middle, bottom + 40, across_title, "f-title", text_anchor="middle"))
    turned = f"rotate(-90 16 {number(height)})"
    parts.append(
        text(16, height, up_title, "f-title", text_anchor="middle", transform=turned)
        if up_title
        else ""
    )
    return "".join(parts)


def padded(values: Sequence[float], share: float = 0.06) -> tuple[float, float]:
    """A range that holds all values with some room, and is never empty."""
    low, high = min(values), max(values)
    room = (high - low) * share or abs(high) * share or 1.0
    return low - room, high + room


def number(value: float) -> str:
    """A number to the hundredth, without trailing zeros."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"


def _tip(content: str) -> str:
    return f"<title>{escape(content)}</title>" if content else ""
