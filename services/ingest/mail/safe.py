"""HTML of strangers made safe to show (nh3): no script, style, form, frame, and nothing that loads by itself.

A document that is too long, has too many elements or nests too deeply is not shown as HTML at all:
building its tree would take too long, and the text says the same.
"""

import re

import nh3

LONGEST = 100_000
"""Characters of a mail's HTML; a longer one is shown as text."""
_MOST_TAGS = 10_000
_DEEPEST = 200
_MOST_COPIES = 50_000
"""Of elements that HTML's rules copy into each paragraph that they were left open for."""
_COPIED = frozenset(
    {"a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"}
)
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)")
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track"}
    | {"wbr", "li", "p", "td", "tr", "th", "dt", "dd", "option", "tbody", "thead", "tfoot"}
)
"""Elements that need no end tag, so they say nothing about depth."""
_TAGS = frozenset(
    {"a", "abbr", "b", "blockquote", "br", "caption", "center", "code", "col", "colgroup", "dd"}
    | {"del", "div", "dl", "dt", "em", "font", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img"}
    | {"ins", "li", "ol", "p", "pre", "q", "s", "small", "span", "strike", "strong", "sub", "sup"}
    | {"table", "tbody", "td", "tfoot", "th", "thead", "tr", "tt", "u", "ul"}
)
_ATTRIBUTES: dict[str, set[str]] = {
    "a": {"href", "title"},
    "blockquote": {"type"},
    "font": {"color"},
    "img": {"src", "alt", "width", "height"},
    "td": {"align", "valign", "colspan", "rowspan"},
    "th": {"align", "valign", "colspan", "rowspan"},
    "ol": {"start"},
    "table": {"border", "cellpadding", "cellspacing"},
    "*": {"dir", "lang"},
}
_UNSEEN = {"script", "style", "title", "head", "template", "noscript", "textarea", "select", "svg", "math"}
_CONTROLS = re.compile("[\x00\ud800-\udfff]")


def safe_html(document: str) -> str | None:
    """Return `document` safe to put into a page, or None for one that cannot be shown as HTML.

    Images stay only where they are parts of the mail (`cid:`): one from elsewhere would tell its sender
    when and where the mail is read. Links open nowhere by themselves and carry no referrer.
    """
    if not document.strip() or len(document) > LONGEST or _is_absurd(document):
        return None
    cleaned = nh3.clean(
        _CONTROLS.sub("\ufffd", document),
        tags=set(_TAGS),
        clean_content_tags=_UNSEEN,
        attributes=_ATTRIBUTES,
        attribute_filter=_attribute,
        url_schemes={"http", "https", "mailto", "tel", "cid"},
        link_rel="noopener noreferrer nofollow",
    ).strip()
    return cleaned if 0 < len(cleaned) <= 2 * LONGEST else None


def _attribute(_tag: str, name: str, value: str) -> str | None:
    if name == "src":
        return value if value.startswith("cid:") else None
    if name == "href":
        return value if value.startswith(("http:", "https:", "mailto:", "tel:")) else None
    return value


def _is_absurd(document: str) -> bool:
    depth = deepest = count = left_open = most_open = 0
    for closing, tag in _TAG.findall(document):
        name, step = tag.lower(), -1 if closing else 1
        count += 1
        if name not in _VOID:
            depth = max(depth + step, 0)
            deepest = max(deepest, depth)
        if name in _COPIED:
            left_open = max(left_open + step, 0)
            most_open = max(most_open, left_open)
    return count > _MOST_TAGS or deepest > _DEEPEST or count * most_open > _MOST_COPIES
