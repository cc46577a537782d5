"""The answers explorer: `explore(runs)` (widgets), its page (front/), what Python answers it (replies), and as a file of its own (page)."""
