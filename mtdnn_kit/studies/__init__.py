"""Many runs from one file: read (`study`), planned, run here or on a cluster (`running`), looked at again (`status`), kept (`report`)."""

from mtdnn_kit.errors import StudyError
from mtdnn_kit.files.paths import resolve
from mtdnn_kit.studies.study import Study, default_folder, project_notebook, read_study

__all__ = ["Study", "StudyError", "default_folder", "project_notebook", "read_study", "resolve"]
