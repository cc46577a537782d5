"""Tests in a real browser. A package: otherwise this folder's conftest would replace the one above it."""
