"""Fidelity cards, which plugins keep as Markdown, as HTML."""

from __future__ import annotations

from markupsafe import Markup


def rendered(text: str) -> Markup:
    """A card as HTML: markup in it is shown as text, images are left out, headings step down."""
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    tokens = reader.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1:]) + 3, 6)}"
    return Markup(reader.renderer.render(tokens, reader.options, {}))
