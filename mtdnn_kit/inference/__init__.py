"""A finished run at work: asked, explained by salience, exported, merged, its tasks ranked; and other people's models imported as a run."""
