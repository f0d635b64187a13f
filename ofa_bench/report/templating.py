"""Templates of pages: everything in them is escaped; scripts and styles are ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from ofa_bench.report.tables import LONGEST, embedded
from ofa_bench.sanitize import plain_text

if TYPE_CHECKING:
    from jinja2 import Environment

STEPS = 3  # that a card's headings go down below those of a page
ADDRESSES = ("https://", "http://")


def environment() -> Environment:
    """The templates of this package, with autoescaping."""
    import jinja2

    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("ofa_bench.report"),
        autoescape=True,
        finalize=_plain,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["embedded"] = lambda value: Markup(embedded(value))
    return templates


def source(templates: Environment, name: str) -> str:
    """The text of a script or style that stands beside the templates."""
    assert templates.loader is not None
    return templates.loader.get_source(templates, name)[0]


def rendered_card(text: str, steps: int = STEPS) -> Markup:
    """A Markdown card as HTML: markup in it is shown as text, images are left out, links lead to
    the web only (files beside the card are not on the page), headings step down."""
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    # Another link is no link: its Markdown is shown as it is.
    reader.validateLink = lambda url: url.startswith(ADDRESSES)  # type: ignore[method-assign]
    tokens = reader.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1:]) + steps, 6)}"
    return Markup(reader.renderer.render(tokens, reader.options, {}))


def _plain(value: Any) -> Any:
    """What an expression of the template says, without control characters; markup is ours."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return plain_text(value, LONGEST)
