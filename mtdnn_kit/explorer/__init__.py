"""The answers explorer: `explore(runs)` (widgets), its page (front/), Python's replies to it (replies), and the explorer as a single file
(page)."""
