"""The planted faults (`make faults`) are still where they are meant to be."""

import pytest
from faults import FAULTS, ROOT, TESTS, file_of


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.file}: {fault.name}")
def test_a_faults_place_is_there_once_and_its_tests_are(fault):
    text = (ROOT / "mtdnn_kit" / f"{fault.file}.py").read_text()
    assert text.count(fault.old) == 1 and fault.old != fault.new
    assert all(file_of(name).is_file() for name in TESTS[fault.file].split())
