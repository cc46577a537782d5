"""What keeps the shared encoder near weights that it had before: anchors, and what mattered there (docs/protecting.md)."""
