"""Are sizes read as HTCondor reads them?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.domain.size import parse_size


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("512M", 512 << 20),
        ("1.5G", 3 << 29),
        ("1.5 GB", 3 << 29),
        ("2GiB", 2 << 30),
        ("85461235", 85_461_235),
        ("500 bytes", 500),
        ("1b", 1),
        ("1k", 1024),
        (" 3 T ", 3 << 40),
        ("0", 0),
    ],
)
def test_sizes_as_people_write_them(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    "text", ["", "abc", "M", "-1", "1e3", "1,5G", "1 X", "1.G", "٣M", "1M\n2M", "9" * 19, "nan", "inf"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


@given(st.integers(0, 10**15), st.sampled_from(["", "k", "M", "G"]), st.sampled_from(["", "B", "iB"]))
def test_units_are_binary_however_they_are_spelled(number: int, unit: str, tail: str) -> None:
    assert parse_size(f"{number}{unit}{tail if unit else ''}") == number * 1024 ** " kMG".index(unit or " ")
