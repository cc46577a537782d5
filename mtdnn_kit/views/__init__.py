"""Presentation: figures, tables, marks in a text, and objects in a notebook. Only this package imports matplotlib."""
