"""HTML as the tests read it: its text, and whether its tags are closed."""

import re
from html import unescape
from html.parser import HTMLParser


def plain(html: str) -> str:
    """The text of a passage, without highlights, letters and the summary lines of folded parts."""
    html = re.sub(r"<(sup|summary)[^>]*>.*?</\1>", "", html)
    return unescape(re.sub(r"<[^>]*>", "", html))


class Nesting(HTMLParser):
    """Asserts that every tag that is opened is closed, innermost first."""

    def __init__(self, html: str):
        super().__init__()
        self.open, self.tags = [], set()
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag not in ("br", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
