"""What is handed in: 150 hostile files, none of which is kept; 40 sound ones, each of which is; names made harmless."""

import io
import re

import pytest
from PIL import Image

from portal.checkout.transfer_flows import shown_name
from portal.kit import uploads
from portal.kit.errors import Invalid, TooLarge
from tests.safety import clean_files, hostile_files

pytestmark = pytest.mark.once
HOSTILE, CLEAN = hostile_files.refused(), clean_files.accepted()


def test_there_are_as_many_as_promised() -> None:
    assert len(HOSTILE) + len(hostile_files.STOWAWAYS) >= 150
    assert len(CLEAN) >= 40


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_at_its_field(name: str) -> None:
    """Tried once with the rules as they were before this table: 42 of these got through."""
    data = HOSTILE[name]()
    with pytest.raises(Invalid) as refused:
        uploads.document(data, field="proof")
    assert refused.value.fields == {"proof": words(name, data)}


def words(name: str, data: bytes) -> str:
    """What helps: a PDF can be printed to a new one, a picture that is none cannot."""
    if name.startswith(("action", "JavaScript", "PDF carries", "PDF hides")) or name.endswith("second with a program"):
        return uploads.ACTIVE_PDF
    return uploads.UNREADABLE_PDF if data.startswith(b"%PDF-") else uploads.NO_DOCUMENT


@pytest.mark.parametrize("name", hostile_files.STOWAWAYS)
def test_a_picture_is_painted_anew_without_what_it_carried(name: str) -> None:
    """Tried once without emptying the picture's facts: Pillow wrote comments and colour profiles into the new file."""
    data = hostile_files.STOWAWAYS[name]()
    found = uploads.document(data, field="proof")
    assert (name[:3] == "PNG") == (found.ending == "png")
    for part in (b"script", b"alert", b"PK\x03\x04", b"Exif", b"ICC", b"iCCP"):
        assert part not in found.data, part
    with Image.open(io.BytesIO(found.data)) as kept:
        assert kept.info.keys() <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


@pytest.mark.parametrize("name", CLEAN)
def test_a_sound_document_is_taken(name: str) -> None:
    data = CLEAN[name]()
    found = uploads.document(data, field="proof")
    if name.startswith("PDF"):
        assert (found.media_type, found.ending, found.data) == ("application/pdf", "pdf", data), "to the byte"
        return
    assert found.media_type == f"image/{'png' if found.ending == 'png' else 'jpeg'}"
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(found.data)) as after:
        assert sorted(after.size) == sorted(before.size)
        assert after.convert("L").tobytes()[0] > 200, "what was white is white"


def test_a_photo_is_turned_as_it_was_held() -> None:
    with Image.open(io.BytesIO(uploads.document(CLEAN["JPEG, turned by the phone"](), field="proof").data)) as after:
        assert after.size == (20, 60)


def test_more_than_ten_megabytes_are_refused_whatever_they_are() -> None:
    with pytest.raises(TooLarge) as refused:
        uploads.document(b"%PDF-1.7" + bytes(uploads.LARGEST), field="proof")
    assert list(refused.value.fields) == ["proof"]


@pytest.mark.parametrize(("sent", "shown"), hostile_files.NAMES.items())
def test_a_name_is_words_and_the_ending_that_the_content_has(sent: str, shown: str) -> None:
    assert shown_name(sent, "png") == shown
    assert not re.search(r"[\x00-\x1f\x7f/\\\u202e]", shown)
