"""FASTQ, read and written in large blocks: the format of every file between cut and sketch.

Four lines make a record: `@` and a name, the sequence, `+`, and one quality character a base (Cock
et al. 2010, doi:10.1093/nar/gkp1137). Sequences over several lines are not taken. Blocks are numpy
arrays of bytes with the places of their line ends, so that nothing here works read by read.
"""

import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, Self

import numpy as np
from isal import igzip, isal_zlib
from isal.igzip_lib import IsalError
from numpy.typing import NDArray

from placement.errors import UserError

type Bytes = NDArray[np.uint8]
type Places = NDArray[np.int64]
type Kind = Literal["single", "paired"]

BLOCK_BYTES = 8 << 20
RECORD_LIMIT_BYTES = 64 << 20
# Deflate packs at most 1,032 bytes into one; sequencing reads come to some tens, at most. What
# goes far beyond is made to fill disks.
INFLATION_LIMIT = 200
INFLATION_CHECKED_BYTES = 256 << 20
WHITESPACE = (ord(" "), ord("\t"))
FOREIGN_MAGIC = {
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"(\xb5/\xfd": "zstd",
    b"PK\x03\x04": "zip",
}


@dataclass(frozen=True)
class Records:
    """Whole, checked records of one block of a file.

    `data` is the text as uint8[bytes], every line closed by a newline; `line_ends` is int64[n, 4],
    the place of the newline of each of a record's four lines.
    """

    data: Bytes
    line_ends: Places

    @property
    def bounds(self) -> Places:
        """Where each record begins, int64[n + 1]; the last figure is the end of the last one."""
        return np.concatenate((np.zeros(1, np.int64), self.line_ends[:, 3] + 1))

    @property
    def lengths(self) -> Places:
        """Bases of each record, int64[n]."""
        lengths: Places = self.line_ends[:, 1] - self.line_ends[:, 0] - 1
        return lengths


def kind_of(shard: Path) -> Kind:
    """Return what a shard holds, from its name: `*.single.fastq.gz` or `*.paired.fastq.gz`.

    Raises:
        UserError: the name says neither.

    """
    for kind in ("single", "paired"):
        if shard.name.endswith((f".{kind}.fastq.gz", f".{kind}.fastq")):
            return kind
    raise UserError(
        f"{shard.name}: a shard's name ends in .single.fastq.gz or .paired.fastq.gz; rename it"
    )


def read_records(path: Path, mates: int = 1) -> Iterator[Records]:
    """Yield the file's records in order, plain or gzip (also several members, bgzip), by blocks.

    Every yielded block holds a multiple of `mates` records (2: interleaved pairs). Windows line
    ends become newlines and blank lines at the end are dropped. Memory is some multiples of
    BLOCK_BYTES, or of the largest record.

    Raises:
        UserError: the file is not FASTQ, is damaged or cut short, a record is malformed or over
            RECORD_LIMIT_BYTES, or it unpacks to over INFLATION_LIMIT times its size; the sentence
            names the file and the record (the first is 1).

    """
    done = unpacked = 0
    most = max(INFLATION_CHECKED_BYTES, INFLATION_LIMIT * path.stat().st_size)
    with _open(path) as stream:
        rest = b""
        ended = False
        while not ended:
            text, ended = _fill(stream, rest, path, done)
            unpacked += len(text) - len(rest)
            if unpacked > most:
                raise UserError(
                    f"{path.name}: unpacks to over {INFLATION_LIMIT} times its size, as no reads "
                    f"do, in or after record {done + 1}; check that the file is FASTQ"
                )
            if done == 0:
                _check_first_byte(text, path)
            records, rest = _split(text, mates, ended=ended)
            if len(records.line_ends):
                _check(records, path, done)
                done += len(records.line_ends)
                yield records
            if len(rest) > RECORD_LIMIT_BYTES:
                raise UserError(
                    f"{path.name}: record {done + 1} is over {RECORD_LIMIT_BYTES >> 20} MB, more "
                    "than any read; check that the file is FASTQ"
                )
    _check_rest(rest, path, done)


def first_word_ends(records: Records) -> Places:
    """Return where the first word of each record's header ends, int64[n]."""
    data, headers_end = records.data, records.line_ends[:, 0]
    spaces = np.flatnonzero((data == WHITESPACE[0]) | (data == WHITESPACE[1]))
    after = np.append(spaces, len(data))[np.searchsorted(spaces, records.bounds[:-1])]
    ends: Places = np.minimum(after, headers_end)
    return ends


def gather(data: Bytes, starts: Places, lengths: Places) -> Bytes:
    """Return data[start : start + length] of every range, one after the other."""
    offsets = np.cumsum(lengths) - lengths
    places = np.arange(lengths.sum()) + np.repeat(starts - offsets, lengths)
    gathered: Bytes = data[places]
    return gathered


class GzipWriter:
    """A new gzip file, a stream of bounded memory; the same bytes give the same file.

    python-isal's levels go from 0 (fastest) to 3 (smallest).
    """

    def __init__(self, path: Path, level: int) -> None:
        self._file = path.open("xb")
        self._compressor = isal_zlib.compressobj(level, wbits=31)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def write(self, data: Bytes | bytes) -> None:
        """Append `data`."""
        self._file.write(self._compressor.compress(data))

    def close(self) -> None:
        """Finish the file."""
        with self._file:
            self._file.write(self._compressor.flush())


class _Readable(Protocol):
    def readinto(self, buffer: memoryview, /) -> int: ...


@contextmanager
def _open(path: Path) -> Iterator[_Readable]:
    """Open by what the file begins with, whatever its name says."""
    with path.open("rb") as file:
        magic = file.read(6)
        file.seek(0)
        for prefix, name in FOREIGN_MAGIC.items():
            if magic.startswith(prefix):
                raise UserError(
                    f"{path.name}: compressed with {name}; give it plain or compressed with gzip"
                )
        if magic.startswith(b"\x1f\x8b"):
            with igzip.IGzipFile(fileobj=file, mode="rb") as stream:  # type: ignore[no-untyped-call]
                yield stream
        else:
            assert isinstance(file, io.BufferedReader)
            yield file


def _fill(stream: _Readable, rest: bytes, path: Path, done: int) -> tuple[Bytes, bool]:
    """Return `rest` and what follows it, about BLOCK_BYTES more, and whether the file ended."""
    buffer = np.empty(len(rest) + BLOCK_BYTES, np.uint8)
    buffer[: len(rest)] = np.frombuffer(rest, np.uint8)
    filled = len(rest)
    try:
        while filled < len(buffer):
            got = stream.readinto(memoryview(buffer)[filled:])
            if not got:
                return buffer[:filled], True
            filled += got
    except EOFError as error:
        raise UserError(
            f"{path.name}: the gzip data end too early, in or after record {done + 1}; the file is "
            "truncated, upload it again"
        ) from error
    except (gzip.BadGzipFile, IsalError) as error:  # type: ignore[misc] # not a type in the stub
        raise UserError(
            f"{path.name}: the gzip data are damaged, in or after record {done + 1} ({error}); "
            "upload the file again"
        ) from error
    return buffer, False


def _split(text: Bytes, mates: int, *, ended: bool) -> tuple[Records, bytes]:
    """Split a block into its whole records, a multiple of `mates`, and the rest."""
    if ended and len(text) and text[-1] != ord("\n"):
        text = np.append(text, np.uint8(ord("\n")))
    ends = np.flatnonzero(text == ord("\n"))
    if (text[ends - 1] == ord("\r")).any():
        text = np.frombuffer(bytearray(text).replace(b"\r\n", b"\n"), np.uint8)
        ends = np.flatnonzero(text == ord("\n"))
    if ended:
        ends = _without_blank_end(ends)
        text = text[: ends[-1] + 1] if len(ends) else text[:0]
    lines = len(ends) // (4 * mates) * 4 * mates
    size = ends[lines - 1] + 1 if lines else 0
    records = Records(text[:size], ends[:lines].reshape(-1, 4))
    return records, text[size:].tobytes()


def _without_blank_end(ends: Places) -> Places:
    """Drop blank lines at the end of a file, but not the empty last line of a read of no bases."""
    blank = np.diff(ends, prepend=-1) == 1
    count = len(ends)
    while count % 4 and blank[count - 1]:
        count -= 1
    while count and count % 4 == 0 and blank[count - 4 : count].all():
        count -= 4
    return ends[:count]


def _check_first_byte(text: Bytes, path: Path) -> None:
    if len(text) == 0 or text[0] == ord("@"):
        return
    if text[0] == ord(">"):
        raise UserError(f"{path.name}: record 1 is FASTA, not FASTQ; give reads with qualities")
    raise UserError(f"{path.name}: record 1 does not begin with '@'; the file is not FASTQ")


def _check(records: Records, path: Path, done: int) -> None:
    """Raise for the first malformed record, `done` records having been read before this block."""
    data, ends = records.data, records.line_ends
    no_at = data[records.bounds[:-1]] != ord("@")
    no_plus = data[ends[:, 1] + 1] != ord("+")
    unequal = records.lengths != ends[:, 3] - ends[:, 2] - 1
    bad = no_at | no_plus | unequal
    if bad.any():
        first = int(bad.argmax())
        if no_at[first]:
            what = "does not begin with '@'; a line is missing or too many before it"
        elif no_plus[first]:
            what = "has no '+' on its third line; sequences over several lines are not taken"
        else:
            what = (
                f"has {records.lengths[first]} bases but "
                f"{ends[first, 3] - ends[first, 2] - 1} qualities; the file is damaged"
            )
        raise UserError(f"{path.name}: record {done + first + 1} {what}")
    _check_printable(records, path, done)


def _check_printable(records: Records, path: Path, done: int) -> None:
    """Raise for a byte in a sequence or its qualities that is not printable ASCII."""
    # Below the space wraps round to above 94, so that one comparison finds both sides.
    odd = records.data - np.uint8(ord(" ")) > np.uint8(ord("~") - ord(" "))
    ends = records.line_ends.ravel()
    if np.count_nonzero(odd) == len(ends):
        return
    places = np.flatnonzero(odd)
    lines = np.searchsorted(ends, places)
    wrong = (ends[lines] != places) & (lines % 2 == 1)  # headers may say what they like
    if wrong.any():
        first = int(wrong.argmax())
        raise UserError(
            f"{path.name}: record {done + int(lines[first]) // 4 + 1} has the byte "
            f"{int(records.data[places[first]])} in its sequence or qualities; the file is damaged"
        )


def _check_rest(rest: bytes, path: Path, done: int) -> None:
    """Raise if anything is left after the last whole record (pair)."""
    if not rest:
        return
    lines = rest.count(b"\n")
    if lines % 4:
        raise UserError(
            f"{path.name}: record {done + lines // 4 + 1} has only {lines % 4} of its 4 lines; the "
            "file is truncated, upload it again"
        )
    raise UserError(f"{path.name}: record {done + 1} has no mate; an interleaved file needs pairs")
