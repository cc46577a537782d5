"""The answers explorer: what is shown (`state`, `html`), and the widgets of JupyterLab around it (`widgets`, `panels`)."""
