"""Stores that fail for a while are waited for; what they refuse is said at once."""

from __future__ import annotations

import io
from typing import Any

import pytest

from cornernet.batch import storage
from cornernet.batch.listing import plan_items
from cornernet.batch.manifest import read_manifest, refuse_unwritable
from cornernet.batch.storage import PATIENCE_VARIABLE, RemoteStorage, Unreachable, patiently, storage_of
from cornernet.errors import InputError


class FlakyFile(io.BytesIO):
    """A file whose connection breaks after each of its first reads."""

    faults = 0

    def __init__(self, store: FlakyStore) -> None:
        super().__init__(store.content)
        self.store = store

    def size(self) -> int:
        return len(self.store.content)

    def read(self, count: int | None = -1) -> bytes:
        if self.store.faults:
            self.store.faults -= 1
            raise OSError("AWS Error SLOW_DOWN during GetObject operation")
        return super().read(min(count or 0, 7))  # as short as a network's answers


class FlakyStore:
    def __init__(self, content: bytes, faults: int) -> None:
        self.content, self.faults, self.opened = content, faults, 0

    def open_input_file(self, _: str) -> Any:
        self.opened += 1
        return FlakyFile(self)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(storage.time, "sleep", lambda _: None)


def test_a_file_goes_on_where_its_connection_broke():
    store = FlakyStore(bytes(range(100)), faults=5)
    with RemoteStorage("s3", store).open("s3://bucket/file") as file:
        assert file.read() == bytes(range(100))
        assert file.seek(-10, io.SEEK_END) == 90
        assert file.read(5) == bytes(range(90, 95))
    assert store.opened == 6


def test_patience_ends(monkeypatch):
    monkeypatch.setenv(PATIENCE_VARIABLE, "0.01")
    calls = []

    def fail() -> None:
        calls.append(1)
        raise OSError("AWS Error NETWORK_CONNECTION during PutObject")

    with pytest.raises(Unreachable, match="s3://b/f: the store does not answer"):
        patiently(fail, "s3://b/f")
    monkeypatch.setenv(PATIENCE_VARIABLE, "60")
    calls.clear()

    def recover() -> int:
        return len(calls) if len(calls) > 3 else fail()  # type: ignore[func-returns-value,return-value]

    assert patiently(recover, "s3://b/f") == 4


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("AWS Error ACCESS_DENIED during HeadObject operation: No response body", PermissionError),
        ("AWS Error NO_SUCH_BUCKET during CreateMultipartUpload operation", FileNotFoundError),
    ],
)
def test_a_refusal_is_not_tried_again(said, kind):
    def refuse() -> None:
        calls.append(1)
        raise OSError(said)

    calls: list[int] = []
    with pytest.raises(kind):
        patiently(refuse, "s3://b/f")
    assert len(calls) == 1


def test_local_files_are_whole_or_absent(tmp_path):
    place = str(tmp_path / "a/b/file")
    local = storage_of(place)
    local.write(place, b"abc")
    assert local.kind(place) == "file"
    assert [(file.place, file.size) for file in local.files(str(tmp_path))] == [(place, 3)]
    local.remove(place)
    local.remove(place)
    assert local.kind(place) == "absent"
    assert local.files(str(tmp_path / "absent")) == []


def test_passwords_do_not_belong_in_addresses():
    with pytest.raises(InputError, match=r"s3://\*\*\*@bucket"):
        storage_of("s3://user:secret@bucket/x")


class ForbiddenStore:
    """Answers as a bucket without rights does."""

    def __getattr__(self, name: str) -> Any:
        def refuse(*_: object) -> None:
            raise OSError(f"AWS Error ACCESS_DENIED during {name} operation: No response body.")

        return refuse


def test_a_bucket_without_rights_is_one_line(monkeypatch):
    monkeypatch.setattr(storage, "_remote", lambda scheme, _: RemoteStorage(scheme, ForbiddenStore()))
    with pytest.raises(InputError) as caught:
        plan_items(["s3://private/photos"], 5)
    assert str(caught.value) == "s3://private/photos: no permission to read it; give this machine rights to it"
    for use in (read_manifest, refuse_unwritable):
        with pytest.raises(InputError, match="s3://private/out: no permission to use it"):
            use("s3://private/out")
