"""A finished run at work: asked, explained by salience, exported; and other people's predictions or models imported as a run."""
