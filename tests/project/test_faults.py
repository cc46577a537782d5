"""The places of the planted faults (`make faults`) still exist."""

import pytest
from faults import FAULTS, ROOT, TESTS, file_of, left_out


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.file}: {fault.name}")
def test_a_faults_place_occurs_once_and_its_tests_exist(fault):
    text = fault.place(ROOT / "mtdnn_kit").read_text()
    assert text.count(fault.old) == 1 and fault.old != fault.new
    assert all(file_of(name).is_file() for name in TESTS[fault.file].split())


def test_a_copy_for_a_fault_has_every_folder_of_the_package_and_of_the_tests():
    """If one were missing, the tests would fail with any fault, and every fault would count as noticed."""
    for top in ("mtdnn_kit", "tests"):
        folders = [folder for folder in (ROOT / top).rglob("*") if folder.is_dir() and folder.name != "__pycache__"]
        assert not [f for f in folders if f.name in left_out(str(f.parent), [f.name])] and (ROOT / top / "runs") in folders
    assert left_out(str(ROOT), ["runs", ".git", "tests"]) == {"runs", ".git"}
