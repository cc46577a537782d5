"""Uses a finished run: asks it, explains it by salience, exports it; and imports other people's predictions or models as a run."""
