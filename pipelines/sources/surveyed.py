"""Reading what the survey saw: the same file with the same bytes, or an InputError.

A file that was digested belongs to the corpus. If it cannot be read later, or reads otherwise, the fault lies with the machine and
not with the document: the run stops instead of quarantining it, so that running it again loses nothing.
"""

from __future__ import annotations

import hashlib
import io

import xxhash

from contracts.errors import InputError
from pipelines.sources.base import DIGEST_LENGTH, Input
from pipelines.sources.inputs import TRANSIENT, blocks, open_input
from pipelines.storage.errors import reason_of


class SurveyedFile(io.RawIOBase):
    """The stored bytes of an input that the survey digested, as a binary stream.

    Opening, reading and seeking raise InputError where the file is gone, cannot be read, or has another size than the survey
    found. Failures of the network stay as they are.
    """

    def __init__(self, each: Input) -> None:
        """Opens the file."""
        self._input = each
        self._hasher = xxhash.xxh3_64() if each.xxh3 else hashlib.sha256()
        self._hashed = 0
        self._position = 0
        try:
            self._file = open_input(each.path)
        except TRANSIENT:
            raise
        except OSError as error:
            raise self._failed(error) from error
        try:
            self._check_size()
        except BaseException:
            self._file.close()
            raise

    def read(self, size: int = -1, /) -> bytes:
        """As of any binary file. Bytes read in order from the start are hashed on the way."""
        try:
            data = self._file.read(size)
        except TRANSIENT:
            raise
        except OSError as error:
            raise self._failed(error) from error
        if self._position == self._hashed:
            self._hasher.update(data)
            self._hashed += len(data)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """As of any binary file."""
        try:
            self._position = self._file.seek(offset, whence)
        except TRANSIENT:
            raise
        except OSError as error:
            raise self._failed(error) from error
        return self._position

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Closes the file."""
        if not self.closed:
            self._file.close()
        super().close()

    def check(self) -> None:
        """Raises InputError if the file's bytes are not those that the survey digested.

        Reads what was not yet read in order: nothing after a file was read whole.
        """
        self.seek(self._hashed)
        for _ in blocks(self):
            pass
        surveyed, found = self._input.xxh3 or self._input.digest, self._hasher.hexdigest()[:DIGEST_LENGTH]
        if found != surveyed:
            raise self._changed(f"digest {surveyed} became {found}")

    def _check_size(self) -> None:
        size = self.seek(0, io.SEEK_END)
        if size != self._input.size:
            raise self._changed(f"{self._input.size} bytes became {size}")
        self.seek(0)

    def _failed(self, error: OSError) -> InputError:
        return InputError(
            f"The input {self._input.path!r} cannot be read: {reason_of(error)}. "
            "It was there when the corpus was surveyed: restore it and run the same command again."
        )

    def _changed(self, how: str) -> InputError:
        return InputError(
            f"The input {self._input.path!r} changed while the run was reading it: {how} since the survey. "
            "Let nothing write to the corpus, and run the same command again to read it as it is now."
        )
