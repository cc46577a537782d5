"""Every error that a user can fix. A message says what is wrong, where, and what to do; each class says when it is raised."""

from pathlib import Path


class KitError(Exception):
    """Base of the errors below: `except KitError` catches every error that the kit foresees, but not bugs in the kit."""


class KitWarning(UserWarning):
    """Something doubtful that is done anyway; the command line prints it in one line."""


class CheckpointWarning(KitWarning):
    """A checkpoint that cannot be used; says which and why, and from where the run resumes instead."""


class ConfigError(KitError, ValueError):
    """An invalid parameter; the message starts with its key."""


class YamlError(KitError, ValueError):
    """Unreadable or ambiguous YAML; says where."""


class WriteError(KitError, OSError):
    """A file or folder that cannot be written; says which, and why. No partial file remains, and a previous version is untouched."""

    def __init__(self, path: Path, error: OSError):
        super().__init__(f"{path} cannot be written: {error.strerror or error}")
        self.errno = error.errno


class LockedError(KitError, RuntimeError):
    """Another process is using a folder; says which."""


class DataError(KitError, ValueError):
    """Invalid data; says in which file and row, what is wrong and what to do."""


class RepeatedIdError(DataError):
    """A repeated id. Its rows may be one question with several answers, so the file is read a second time to check (`sources`)."""


class EncoderError(KitError, ValueError):
    """An encoder that cannot be loaded or used; says why and what to do."""


class DamagedWeightsError(EncoderError):
    """A weights file that is damaged or incomplete."""


class RunError(KitError, ValueError):
    """An invalid run folder; says which file, and what to do."""


class ScoreError(KitError, ValueError):
    """A row whose scores are NaN or infinite, or a row that was not scored; says which."""


class PluginError(KitError, RuntimeError):
    """A custom function that raised an exception or returned an invalid value; says which, with its file and line."""


class TrainingError(KitError, RuntimeError):
    """A training that cannot continue; says step, task and what to change."""


class OtherRankError(KitError, RuntimeError):
    """Another process of the training has failed or ended, so this one cannot continue; says which and, if known, why."""


class CompareError(KitError, ValueError):
    """Runs that cannot be compared; says which, and why."""


class StudyError(KitError, ValueError):
    """A study that cannot be run, or whose runs failed; says which run, where and why."""


class DamagedEntryError(KitError, ValueError):
    """A damaged cache entry; it is rebuilt."""


class NoClaim(KitError, ValueError):
    """A setting has only one seed, so no statement about settings is possible."""
