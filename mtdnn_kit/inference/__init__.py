"""A finished run at work: asked, explained by salience, exported; other people's predictions or models imported as a run; runs merged."""
