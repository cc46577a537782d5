"""Every error that a person can mend. A message says what is wrong, where, and what to do; each class says what it is raised for."""

from pathlib import Path


class KitError(Exception):
    """Any of the errors below: `except KitError` takes all that the kit foresaw, and lets its own mistakes through."""


class KitWarning(UserWarning):
    """What is doubtful and done all the same; the command line says it in a line."""


class CheckpointWarning(KitWarning):
    """A checkpoint that cannot be used; says which and why, and from where the run goes on instead."""


class ConfigError(KitError, ValueError):
    """A parameter that cannot be meant: the message starts with its key."""


class YamlError(KitError, ValueError):
    """YAML that cannot be read, or that cannot be meant; says where."""


class WriteError(KitError, OSError):
    """A file or folder that cannot be written; says which, and why. Nothing is left of it, and what was in its place is."""

    def __init__(self, path: Path, error: OSError):
        super().__init__(f"{path} cannot be written: {error.strerror or error}")
        self.errno = error.errno


class LockedError(KitError, RuntimeError):
    """Another process is at work in a folder; says which."""


class DataError(KitError, ValueError):
    """A problem with data: the message says in which file and row, what is wrong and what to do."""


class RepeatedIdError(DataError):
    """An id that comes again: its rows may be one question with several answers, and the file is read once more to see (`sources`)."""


class EncoderError(KitError, ValueError):
    """An encoder that cannot be had or cannot serve; says why and what to do."""


class DamagedWeightsError(EncoderError):
    """A file of weights that is none, or not whole."""


class RunError(KitError, ValueError):
    """A run folder that is not what it should be; says which file, and what to do."""


class ScoreError(KitError, ValueError):
    """A model's scores of a row that are no numbers, or a row that was not scored; says which."""


class PluginError(KitError, RuntimeError):
    """A function of one's own that raised, or returned what cannot be used; says which, with its file and line."""


class TrainingError(KitError, RuntimeError):
    """A training that cannot go on; says step, task and what to change."""


class OtherRankError(KitError, RuntimeError):
    """Another process of the training has failed or ended, so this one cannot go on; says which and why, if the other could."""


class CompareError(KitError, ValueError):
    """Runs that cannot be compared; says which, and why."""


class StudyError(KitError, ValueError):
    """A study that cannot be run, or whose runs failed; says which run, where and why."""


class DamagedEntryError(KitError, ValueError):
    """An entry of the cache whose files are not those that were written; it is made again."""


class NoClaim(KitError, ValueError):
    """A setting with one seed: nothing can be said about settings."""
