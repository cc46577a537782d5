"""Methods against interference between tasks. Balancing: which rows each task has in a joint step (`schedule`), the step (`step`), and
how it combines the tasks, on losses or on gradients. Protecting: anchors that keep the encoder near earlier weights, and their Fisher
information (docs/balancing.md, docs/protecting.md)."""
