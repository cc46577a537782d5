"""How things are shown: figures, tables, marks in a text, and what a notebook shows of an object. Only here is matplotlib imported."""
