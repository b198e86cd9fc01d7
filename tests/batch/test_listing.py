"""What a job looks at: every image of a source once, in an order that is always the same, in parts."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.jobs import encoded, write_images, write_parquet, write_shard
from cornernet.batch.listing import PlannedItem, plan_items
from cornernet.batch.parquet_images import image_column, read_parquet_images
from cornernet.batch.shards import read_shard_images
from cornernet.errors import InputError


def test_images_are_sorted_and_cut_into_parts(tmp_path):
    paths = write_images(tmp_path / "images", 5)
    planned = plan_items([str(tmp_path / "images")], 2)
    assert [item.place for item in planned] == [str(path) for path in paths]
    assert [item.part for item in planned] == [0, 0, 1, 1, 2]
    assert plan_items([str(paths[3]), str(tmp_path / "images")], 9)[0].place == str(paths[3])  # the order given


def test_shards_are_parts_and_row_groups_are_joined(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(0))
    write_shard(tmp_path / "b.tar", {"x.png": encoded(1)})
    write_parquet(tmp_path / "c.parquet", [encoded(i) for i in range(7)], group=2)
    (tmp_path / "d.png").write_bytes(encoded(2))
    told: list[str] = []
    planned = plan_items([str(tmp_path)], 3, tell=told.append)
    place = str(tmp_path / "c.parquet")
    assert planned == [
        PlannedItem(0, str(tmp_path / "a.png")),
        PlannedItem(1, str(tmp_path / "b.tar"), "shard"),
        PlannedItem(2, place, "rows", 0, 1),
        PlannedItem(3, place, "rows", 2, 3),
        PlannedItem(4, str(tmp_path / "d.png")),
    ]
    assert not told


def test_lines_of_a_list_that_name_nothing_are_rows(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(0))
    (tmp_path / "list.txt").write_text("absent.png\na.png\n")
    planned = plan_items([str(tmp_path / "list.txt")], 5)
    assert "absent.png: no such file" in (planned[0].error or "")
    assert planned[1] == PlannedItem(0, str(tmp_path / "a.png"))


def test_stores_are_listed_as_folders_are(tmp_path):
    """fsspec's `local://` takes the road of all stores that Arrow itself does not know."""
    folder = tmp_path / "bucket"
    write_images(folder / "x", 3)
    (folder / "y/deep").mkdir(parents=True)
    (folder / "y/deep/a.jpg").write_bytes(encoded(5, ".jpg"))
    (folder / "x/.hidden.png").write_bytes(encoded(0))
    (folder / "x/notes.txt").write_text("no image")
    told: list[str] = []

    def found(source: str) -> list[str]:
        return [item.place.removeprefix(f"local://{folder}/") for item in plan_items([source], 9, tell=told.append)]

    assert found(f"local://{folder}") == ["x/000.png", "x/001.jpg", "x/002.tif", "y/deep/a.jpg"]
    assert told == [f"1 files in local://{folder} were not looked at"]
    assert found(f"local://{folder}/x/*.png") == ["x/000.png"]
    assert found(f"local://{folder}/*/*.jpg") == ["x/001.jpg"]
    assert found(f"local://{folder}/**/*.jpg") == ["x/001.jpg", "y/deep/a.jpg"]
    assert found(f"local://{folder}/x/001.jpg") == ["x/001.jpg"]


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ([], "no images given"),
        (["absent"], "no such file or folder"),
        (["empty"], "no image there"),
        (["text.parquet"], "no column of encoded images (its columns: name)"),
        (["broken.parquet"], "no whole Parquet file"),
        (["clip.mp4"], "a video, and --ray reads images"),
        (["camera:0"], "a video, and --ray reads images"),
        (["s3://key:secret@bucket/images"], "s3://***@bucket/images: has a key or a password in it"),
        (["nonsense://bucket/images"], "addresses of this kind cannot be read"),
        (["local:///absent-folder"], "no such file or folder"),
    ],
)
def test_sources_without_images_are_refused(tmp_path, monkeypatch, sources, said):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    pq.write_table(pa.table({"name": ["a"]}), "text.parquet")
    Path("broken.parquet").write_bytes(b"PAR1 nothing PAR1")
    Path("clip.mp4").write_bytes(b"")
    with pytest.raises(InputError) as caught:
        plan_items(sources, 5)
    assert said in f"{caught.value.where}: {caught.value.what}"
    assert "secret" not in str(caught.value)


def test_the_column_of_images():
    binary, bytes_of = pa.binary(), pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    assert image_column(pa.schema([("label", pa.int64()), ("image", bytes_of)]), "f") == "image"
    assert image_column(pa.schema([("mask", binary), ("jpg", binary)]), "f") == "jpg"
    assert image_column(pa.schema([("photo", pa.large_binary())]), "f") == "photo"
    assert image_column(pa.schema([("a", binary), ("b", binary)]), "f", "b") == "b"
    with pytest.raises(InputError, match="several columns may be its images"):
        image_column(pa.schema([("a", binary), ("b", binary)]), "f")
    with pytest.raises(InputError, match="image_column c is no column there"):
        image_column(pa.schema([("a", binary)]), "f", "c")


def test_rows_without_an_image_and_damage_are_errors(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", [encoded(0), None, encoded(2), encoded(3)])
    found = list(read_parquet_images(str(path), "a", 0, 1, None))
    assert [name for name, _ in found] == ["a#0", "a#1", "a#2", "a#3"]
    assert found[0][1] == encoded(0)
    assert "no image in this row" in str(found[1][1])
    assert [name for name, _ in read_parquet_images(str(path), "a", 1, 1, None)] == ["a#2", "a#3"]
    content = bytearray(path.read_bytes())
    content[40:4000] = bytes(3960)  # the pages of the first rows; the footer stays
    path.write_bytes(content)
    found = list(read_parquet_images(str(path), "a", 0, 1, None))
    assert len(found) == 4
    assert all(isinstance(each, InputError) for _, each in found)


def test_shards_give_their_images_in_order(tmp_path):
    members = {"b.json": b"{}", "./b.jpg": encoded(1, ".jpg"), "a.PNG": encoded(0), "x/._a.png": b"macOS"}
    path = write_shard(tmp_path / "s.tar", members)
    assert list(read_shard_images(str(path), "s")) == [("s/b.jpg", encoded(1, ".jpg")), ("s/a.PNG", encoded(0))]
    path.write_bytes(path.read_bytes()[: 512 * 5 + len(encoded(1, ".jpg")) // 2])
    *_, (name, error) = read_shard_images(str(path), "s")
    assert name == "s"
    assert "truncated or damaged" in str(error)
