"""As much SVG as the pictures need: boxes, texts, arrows, and colours for light and dark pages.

The ground belongs to the picture, so it can be read whatever page it stands in. Colours change with
the reader's own setting. Nothing is loaded from elsewhere: it may be shown as an image.
"""

from xml.etree import ElementTree as ET

_STYLE = """
  .ground { fill: #ffffff; stroke: #d0d7de; }
  .zone { fill: #f3f5f8; stroke: #c3ccd6; }
  .box { fill: #ffffff; stroke: #57606a; }
  .main { fill: #ddeafe; stroke: #1f5fbf; }
  .store { fill: #e0f2e6; stroke: #237a46; }
  .bad { fill: #fde4e1; stroke: #b3261e; }
  .note { fill: #fff5d6; stroke: #9a6b00; }
  text { fill: #1f2328; font: 15px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
  .title { font-weight: 600; }
  .small { font-size: 13px; fill: #4c5661; }
  .line { stroke: #4c5661; fill: none; }
  .feed { stroke: #1f5fbf; fill: none; stroke-dasharray: 6 4; }
  .lost { stroke: #b3261e; fill: none; }
  .life { stroke: #8c959f; stroke-dasharray: 3 5; }
  .head { fill: #4c5661; }
  .feedhead { fill: #1f5fbf; }
  .losthead { fill: #b3261e; }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; stroke: #3d444d; }
    .zone { fill: #161c24; stroke: #3d4652; }
    .box { fill: #0d1117; stroke: #9198a1; }
    .main { fill: #12294d; stroke: #74a7ff; }
    .store { fill: #0f2e1c; stroke: #5cc287; }
    .bad { fill: #45130f; stroke: #ff8a80; }
    .note { fill: #3a2d05; stroke: #e3b341; }
    text { fill: #e6edf3; }
    .small { fill: #aeb8c3; }
    .line { stroke: #aeb8c3; }
    .feed { stroke: #74a7ff; }
    .lost { stroke: #ff8a80; }
    .life { stroke: #656d76; }
    .head { fill: #aeb8c3; }
    .feedhead { fill: #74a7ff; }
    .losthead { fill: #ff8a80; }
  }
"""

LINE_HEIGHT = 20
_HEADS = ("head", "feedhead", "losthead")
_HEAD_OF = {"line": "head", "feed": "feedhead", "lost": "losthead"}


class Picture:
    """A picture of fixed size, in pixels from its upper left corner."""

    def __init__(self, width: int, height: int, title: str, description: str) -> None:
        self._root = ET.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "viewBox": f"0 0 {width} {height}",
                "width": f"{width}",
                "height": f"{height}",
                "role": "img",
                "aria-labelledby": "title description",
            },
        )
        ET.SubElement(self._root, "title", id="title").text = title
        ET.SubElement(self._root, "desc", id="description").text = description
        ET.SubElement(self._root, "style").text = _STYLE
        self._heads()
        self._add("rect", "ground", x=0.5, y=0.5, width=width - 1, height=height - 1, rx=8)

    def box(self, kind: str, x: float, y: float, width: float, height: float) -> None:
        """A box with round corners."""
        self._add("rect", kind, x=x, y=y, width=width, height=height, rx=6)

    def labelled(
        self, kind: str, x: float, y: float, width: float, height: float, title: str, *lines: str
    ) -> None:
        """A box with its title and lines of small text in the middle."""
        self.box(kind, x, y, width, height)
        top = y + height / 2 - len(lines) * LINE_HEIGHT / 2 + 5
        self.text(x + width / 2, top, title, kind="title", anchor="middle")
        for number, line in enumerate(lines, 1):
            self.text(x + width / 2, top + number * LINE_HEIGHT, line, "small", "middle")

    def text(self, x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> None:
        """One line of text; `y` is its base line."""
        self._add("text", kind, x=x, y=y, anchor=anchor).text = text

    def arrow(self, *points: tuple[float, float], kind: str = "line", both: bool = False) -> None:
        """A line through points, with a head at its end."""
        path = "M" + " L".join(f"{x:g} {y:g}" for x, y in points)
        element = self._add("path", kind, d=path)
        element.set("stroke-width", "1.6")
        element.set("marker-end", f"url(#{_HEAD_OF[kind]})")
        if both:
            element.set("marker-start", f"url(#{_HEAD_OF[kind]})")

    def line(self, kind: str, x1: float, y1: float, x2: float, y2: float) -> None:
        """A line without a head."""
        self._add("line", kind, x1=x1, y1=y1, x2=x2, y2=y2).set("stroke-width", "1.6")

    def svg(self) -> str:
        """The file."""
        ET.indent(self._root, " ")
        return ET.tostring(self._root, encoding="unicode") + "\n"

    def _add(self, tag: str, kind: str, **attributes: float | str) -> ET.Element:
        named = {
            name.replace("anchor", "text-anchor"): value if isinstance(value, str) else f"{value:g}"
            for name, value in attributes.items()
        }
        return ET.SubElement(self._root, tag, {**({"class": kind} if kind else {}), **named})

    def _heads(self) -> None:
        defs = ET.SubElement(self._root, "defs")
        for name in _HEADS:
            marker = ET.SubElement(
                defs,
                "marker",
                id=name,
                viewBox="0 0 10 10",
                refX="9",
                refY="5",
                markerWidth="8",
                markerHeight="8",
                orient="auto-start-reverse",
            )
            ET.SubElement(marker, "path", {"class": name, "d": "M0 0 L10 5 L0 10 z"})
