"""What an upload asks for, and what is said about one that is wrong."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.upload import Upload, read_upload, waits_for_manifest
from placement.errors import UserError

FOLDER = "raw/word-count/sample 1"


def manifest(**fields: Any) -> Upload:
    return read_upload(f"{FOLDER}/manifest.json", lambda: json.dumps(fields).encode())


def sheet(content: str) -> Upload:
    return read_upload(f"{FOLDER}/samplesheet.csv", content.encode)


def unread() -> bytes:
    raise AssertionError("a plain file is not read")


@pytest.mark.parametrize(
    ("key", "waits"),
    [
        ("raw/w/a.txt", False),
        ("raw/w/manifest.json", False),
        ("raw/w/s/a.txt", True),
        ("raw/w/s/manifest.json", False),
        ("raw/w/s/samplesheet.csv", False),
        ("raw/w/s/t/a.txt", True),
        ("raw/w/s/", True),
        ("raw/w/", True),
        ("raw/w/s/Manifest.json", True),
        ("raw/word-count/../a.txt", False),  # refused
        ("raw/word-count/sample/../a.txt", False),
    ],
)
def test_files_in_a_folder_wait_for_its_manifest(key: str, waits: bool) -> None:
    assert waits_for_manifest(key) is waits


@pytest.mark.parametrize("name", ["a.txt", "a b.txt", "a+b%20c.txt", "naïve 日本.txt", "..a..txt"])
def test_a_single_file_is_an_upload_by_itself(name: str) -> None:
    key = f"raw/word-count/{name}"
    assert read_upload(key, unread) == Upload("word-count", (key,))


@pytest.mark.parametrize(
    "key",
    [
        "raw/../a.txt",
        "raw/word-count/..",
        "raw/word-count/../manifest.json",
        "raw//a.txt",
        "raw/a.txt",
        "raw/word-count//manifest.json",
        "other/word-count/a.txt",
        "a.txt",
        "",
    ],
)
def test_a_key_that_names_no_workflow_is_refused(key: str) -> None:
    with pytest.raises(UserError, match="names no workflow; upload it as raw/<workflow>/<file>"):
        read_upload(key, lambda: b'{"files": ["a.txt"]}')


def test_a_manifest_names_files_beside_it_and_options() -> None:
    upload = manifest(
        files=["a 1.txt", "sub/b+%.txt"], objective="time", deadline_s=60, place={"words": "ray"}
    )
    assert upload.files == (f"{FOLDER}/a 1.txt", f"{FOLDER}/sub/b+%.txt")
    assert upload.options == {
        "objective": "time",
        "deadline_s": 60.0,
        "policy": "trivium",
        "place": {"words": "ray"},
    }


def test_a_manifest_may_name_files_only() -> None:
    assert manifest(files=["a.txt"]).options == {"policy": "trivium", "place": {}}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "files: Field required"),
        ({"files": []}, "files: List should have at least 1 item"),
        ({"files": "a.txt"}, "files: Input should be a valid list"),
        ({"files": ["a.txt", 7]}, r"files\.1: Input should be a valid string"),
        ({"files": ["a"] * 1_001}, "files: List should have at most 1000 items"),
        ({"files": ["a"], "deadline": 5}, "deadline: Extra inputs are not permitted"),
        ({"files": ["a"], "deadline_s": 0}, "deadline_s: Input should be greater than 0"),
        ({"files": ["a"], "deadline_s": float("nan")}, "deadline_s: Input should be"),
        ({"files": ["a"], "deadline_s": float("inf")}, "deadline_s: Input should be"),
        ({"files": ["a"], "deadline_s": 1e300}, "deadline_s: Input should be"),
        ({"files": ["a"], "objective": "fun"}, "objective: Input should be 'cost' or 'time'"),
        ({"files": ["a"], "place": ["ray"]}, "place: Input should be a valid dictionary"),
        ({"files": ["a"], "place": {"words": 1}}, r"place\.words: Input should be a valid string"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=f"^{FOLDER}/manifest.json: {said}.*mend it and upload it"):
        manifest(**fields)


@pytest.mark.parametrize("content", [b"", b"{", b"files: [a]", b"\xff\xfe\x00", b"[" * 100_000])
def test_what_is_not_json_is_said_to_be_so(content: bytes) -> None:
    with pytest.raises(UserError, match=r"manifest\.json is not JSON .*; mend it"):
        read_upload(f"{FOLDER}/manifest.json", lambda: content)


@pytest.mark.parametrize("content", [b"null", b"[]", b'"files"', b"3"])
def test_json_that_is_no_object_is_refused(content: bytes) -> None:
    with pytest.raises(UserError, match=r"manifest\.json: the whole: "):
        read_upload(f"{FOLDER}/manifest.json", lambda: content)


def test_a_manifest_may_ask_for_a_probe() -> None:
    probe = {"budget_usd": "0.5", "shards": 2}
    assert manifest(files=["a.txt"], probe=probe).options["probe"] == probe


@pytest.mark.parametrize(
    "wrong",
    [{"policy": "all-ray"}, {"place": {"words": "ray"}}, {"objective": "time"}, {"deadline_s": 9}],
)
def test_a_probe_takes_no_wish_of_where_to_run(wrong: dict[str, Any]) -> None:
    said = f"the whole: a probe runs on every place, so it takes no {min(wrong)}; mend it"
    with pytest.raises(UserError, match=said):
        manifest(files=["a.txt"], probe={"budget_usd": "1"}, **wrong)


@pytest.mark.parametrize(
    "probe",
    [{}, {"budget_usd": 0.5}, {"budget_usd": "-1"}, {"budget_usd": "1", "shards": 4}],
)
def test_a_probe_needs_a_budget_and_two_or_three_shards(probe: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"manifest\.json: probe\.(budget_usd|shards): .*; mend it"):
        manifest(files=["a.txt"], probe=probe)


def test_a_manifest_may_begin_with_a_byte_order_mark() -> None:
    content = b'\xef\xbb\xbf{"files": ["a.txt"]}'
    assert read_upload(f"{FOLDER}/manifest.json", lambda: content).files == (f"{FOLDER}/a.txt",)


@pytest.mark.parametrize(
    "file", ["../a.txt", "/etc/passwd", "a//b", "", ".", "./a", "a/../../b", "a/"]
)
def test_files_outside_the_folder_are_refused(file: str) -> None:
    with pytest.raises(UserError, match="name files that lie in its own folder"):
        manifest(files=[file])


@given(st.lists(st.text(st.sampled_from("./a"), max_size=8), min_size=1, max_size=3, unique=True))
def test_no_manifest_reaches_out_of_its_folder(files: list[str]) -> None:
    try:
        upload = manifest(files=files)
    except UserError:
        return
    for key in upload.files:
        assert key.startswith(f"{FOLDER}/")
        assert not {"..", ".", ""} & set(key.split("/"))


def test_a_file_that_is_named_twice_is_refused() -> None:
    with pytest.raises(UserError, match=r"names b\.txt twice"):
        manifest(files=["a.txt", "b.txt", "b.txt"])


def test_a_sample_sheet_names_files_in_its_columns() -> None:
    upload = sheet("sample,fastq_1,fastq_2,note\ns1,a_1.fq, a_2.fq ,x\ns2,b.fq,,y\n")
    assert upload.files == tuple(f"{FOLDER}/{name}" for name in ("a_1.fq", "a_2.fq", "b.fq"))
    assert upload.options == {"policy": "trivium", "place": {}}


def test_a_sample_sheet_of_a_spreadsheet_is_read() -> None:
    upload = sheet('\ufefffile\r\n"a, b.txt"\r\nç.txt\r\n')
    assert upload.files == (f"{FOLDER}/a, b.txt", f"{FOLDER}/ç.txt")


@pytest.mark.parametrize("content", ["", "file\n", "name,size\na,1\n", "file\n \n"])
def test_a_sample_sheet_that_names_no_file_says_what_it_wants(content: str) -> None:
    with pytest.raises(UserError, match="names no file; give it a column `file`"):
        sheet(content)


@pytest.mark.parametrize("content", [b"file\n\xff\xfe.txt\n", b"file\n" + b"x" * 200_000])
def test_a_sample_sheet_that_is_no_csv_says_so(content: bytes) -> None:
    with pytest.raises(UserError, match="is not a CSV file in UTF-8"):
        read_upload(f"{FOLDER}/samplesheet.csv", lambda: content)


def test_a_sample_sheet_of_too_many_files_is_refused_in_words() -> None:
    rows = "".join(f"{number}.txt\n" for number in range(1_001))
    with pytest.raises(UserError, match="files: List should have at most 1000 items"):
        sheet(f"file\n{rows}")


def test_a_sample_sheet_stays_in_its_folder() -> None:
    with pytest.raises(UserError, match="lie in its own folder"):
        sheet("file\n../a.txt\n")
