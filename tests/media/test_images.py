"""Reading images: every pixel format against known values, all EXIF turns, every bad file as one clear line."""

import io
import struct
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cornernet.errors import InputError
from cornernet.media import images
from cornernet.media.images import image_size, read_image, require_memory, to_rgb
from cornernet.media.scaling import shrink

RED, GREEN, BLUE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)


@pytest.fixture
def rgb() -> np.ndarray:
    """(5, 7, 3): every pixel different, no symmetry."""
    return np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def png(header: tuple[int, int, int, int], rows: np.ndarray, extra: bytes = b"") -> bytes:
    """A PNG written by hand: (width, height, bit depth, color type) and its rows' values."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    data = b"".join(b"\0" + row.tobytes() for row in rows)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *header, 0, 0, 0))
    return start + extra + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm", "webp"])
def test_a_lossless_file_gives_the_pixels_that_were_saved(tmp_path: Path, rgb: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(rgb).save(path, **({"lossless": True} if suffix == "webp" else {}))
    pixels = read_image(path)
    assert np.array_equal(pixels, rgb)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    assert image_size(path) == (5, 7)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_keeps_its_colors(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (32, 16), (200, 60, 60)).convert(mode).save(path, quality=95)
    expected = (102, 102, 102) if mode == "L" else (200, 60, 60)
    assert np.abs(read_image(path).astype(int) - expected).max() <= 4


def test_grey_palette_and_one_bit_become_rgb(tmp_path: Path) -> None:
    grey = np.array([[0, 100, 255]], np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert read_image(tmp_path / "grey.png").tolist() == [[[0] * 3, [100] * 3, [255] * 3]]
    Image.fromarray(grey >= 100).save(tmp_path / "bit.png")
    assert read_image(tmp_path / "bit.png").tolist() == [[[0] * 3, [255] * 3, [255] * 3]]
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    palette.putpalette([*RED, *GREEN, *GREY])
    palette.save(tmp_path / "palette.png")
    assert read_image(tmp_path / "palette.png").tolist() == [[list(RED), list(GREEN), list(GREY)]]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_shows_white(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.png"
    if mode == "P":
        image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
        image.putpalette([*RED, *GREY])
        image.save(path, transparency=0)
        expected = [255, 255, 255], [128, 128, 128]
    else:
        Image.fromarray(np.array([[[0, 0, 0, 0], [100, 100, 100, 51]]], np.uint8)).convert(mode).save(path)
        expected = [255, 255, 255], [224, 224, 224]  # 100 * 0.2 + 255 * 0.8
    assert read_image(path).tolist() == [list(expected)]


def test_opaque_rgba_is_its_rgb(tmp_path: Path, rgb: np.ndarray) -> None:
    Image.fromarray(rgb).convert("RGBA").save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png"), rgb)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_16_bit_grey_is_scaled(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    cv2.imwrite(str(path), np.array([[0, 128, 129, 255, 257 * 100, 65535]], np.uint16))
    assert read_image(path)[0, :, 0].tolist() == [0, 0, 1, 1, 100, 255]


@pytest.mark.parametrize("suffix", ["png", "tif", "ppm"])
def test_16_bit_color_is_scaled_not_truncated(tmp_path: Path, suffix: str) -> None:
    values = np.array([[[255, 257 * 200, 65535], [129, 128, 257 * 7]]], np.uint16)
    path = tmp_path / f"a.{suffix}"
    cv2.imwrite(str(path), values[..., ::-1])
    assert read_image(path).tolist() == [[[1, 200, 255], [1, 0, 7]]]


@pytest.mark.parametrize("color_type", [4, 6])
def test_16_bit_with_transparency(tmp_path: Path, color_type: int) -> None:
    channels = {4: 1, 6: 3}[color_type]
    values = np.array([[[255] * channels + [65535], [0] * channels + [0]]], ">u2")
    (tmp_path / "a.png").write_bytes(png((2, 1, 16, color_type), values))
    assert read_image(tmp_path / "a.png").tolist() == [[[1, 1, 1], [255, 255, 255]]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_exif_turns_the_image_upright(tmp_path: Path, rgb: np.ndarray, orientation: int, suffix: str) -> None:
    stored = {
        1: rgb, 2: rgb[:, ::-1], 3: rgb[::-1, ::-1], 4: rgb[::-1], 5: rgb.transpose(1, 0, 2),
        6: np.rot90(rgb, 1), 7: rgb[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(rgb, -1),
    }[orientation]  # fmt: skip
    path = tmp_path / f"a.{suffix}"
    lossless = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif(orientation), **lossless)
    assert np.array_equal(read_image(path), rgb)
    assert np.array_equal(read_image(path, size=(5, 7)), rgb)
    assert image_size(path) == (5, 7)
    assert np.array_equal(to_rgb(Image.open(path)), rgb)
    if orientation >= 5:  # the label file was made on the unrotated pixels
        assert np.array_equal(read_image(path, size=(7, 5)), stored)


@pytest.mark.parametrize("orientation", [1, 6, 8])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_exif_turns_16_bit_color_too(tmp_path: Path, rgb: np.ndarray, orientation: int, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    stored = np.ascontiguousarray(np.rot90(rgb, {1: 0, 6: 1, 8: -1}[orientation]))
    deep = stored.astype(np.uint16) * 257
    if suffix == "png":
        tags = exif(orientation).tobytes().removeprefix(b"Exif\0\0")
        chunk = struct.pack(">I", len(tags)) + b"eXIf" + tags + struct.pack(">I", zlib.crc32(b"eXIf" + tags))
        path.write_bytes(png((stored.shape[1], stored.shape[0], 16, 2), deep.astype(">u2"), chunk))
    else:
        path.write_bytes(tiff_with_orientation(deep, orientation))
    assert np.array_equal(read_image(path), rgb)
    assert np.array_equal(read_image(path, size=stored.shape[:2]), stored)


def tiff_with_orientation(values: np.ndarray, orientation: int) -> bytes:
    """An uncompressed little-endian TIFF of (H, W, 3) uint16 values."""
    height, width = values.shape[:2]
    tags = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, 134), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 140),
        (274, 3, 1, orientation), (277, 3, 1, 3), (278, 3, 1, height), (279, 4, 1, values.nbytes),
    ]  # fmt: skip
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return head + struct.pack("<I", 0) + struct.pack("<HHH", 16, 16, 16) + values.astype("<u2").tobytes()


def test_a_square_is_shown_upright(tmp_path: Path) -> None:
    square = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    Image.fromarray(square).save(tmp_path / "a.png", exif=exif(6))
    assert np.array_equal(read_image(tmp_path / "a.png", size=(3, 3)), np.rot90(square, -1))


def test_broken_exif_does_not_hide_the_image(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), RED).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0garbage", quality=95)
    assert read_image(tmp_path / "a.jpg").shape == (8, 8, 3)


def test_another_size_than_the_label_file_says(tmp_path: Path, rgb: np.ndarray) -> None:
    Image.fromarray(rgb).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png: the image is 5x7 .* says 50x70; correct"):
        read_image(tmp_path / "a.png", size=(50, 70))


def make_bad_files(folder: Path) -> None:
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    for suffix in ("jpg", "png", "bmp", "tif", "webp", "ppm"):
        buffer = io.BytesIO()
        compression = {"compression": "tiff_lzw"} if suffix == "tif" else {}
        picture.save(buffer, Image.registered_extensions()[f".{suffix}"], **compression)
        (folder / f"half.{suffix}").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    deep = np.random.default_rng(2).integers(0, 65536, (64, 64, 3)).astype(">u2")
    content = png((64, 64, 16, 2), deep)
    (folder / "deep.png").write_bytes(content[: len(content) // 2])
    (folder / "text.jpg").write_text("not an image")
    (folder / "empty.png").touch()
    (folder / "folder.jpg").mkdir()
    Image.fromarray(np.ones((4, 4), np.float32)).save(folder / "float.tif")
    Image.fromarray(np.full((4, 4), 100_000, np.int32)).save(folder / "int.tif")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        *[(f"half.{suffix}", "truncated or damaged") for suffix in ("jpg", "png", "bmp", "webp", "ppm")],
        ("half.tif", "truncated or damaged|not an image"),
        ("deep.png", "truncated or damaged"),
        ("text.jpg", "not an image that can be read"),
        ("empty.png", "the file is empty"),
        ("missing.jpg", "no such file"),
        ("folder.jpg", "a folder, not an image"),
        ("float.tif", "floating-point"),
        ("int.tif", "32-bit"),
    ],
)
def test_a_bad_file_is_one_line_and_no_noise(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    make_bad_files(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match=message) as caught:
            read_image(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_jpeg_without_its_last_bytes_is_refused(tmp_path: Path) -> None:
    Image.effect_noise((64, 64), 90).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-40])
    with pytest.raises(InputError, match="truncated"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpegs_of_any_kind_read_as_pillow_reads_them_and_cut_ones_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], subsampling: str, progressive: bool
) -> None:
    path, buffer = tmp_path / "a.jpg", io.BytesIO()
    picture = Image.effect_noise((75, 51), 60).convert("RGB").resize((151, 99))
    picture.save(buffer, "JPEG", subsampling=subsampling, progressive=progressive, exif=exif(6))
    path.write_bytes(buffer.getvalue())
    with Image.open(path) as image:
        stored = np.asarray(image)
    assert np.array_equal(read_image(path), np.rot90(stored, -1))
    assert np.array_equal(read_image(path, size=stored.shape[:2]), stored)
    for kept in (0.4, 0.7, 0.95):
        path.write_bytes(buffer.getvalue()[: int(len(buffer.getvalue()) * kept)])
        with pytest.raises(InputError, match="truncated"):
            read_image(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "bmp", "webp"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_bytes_give_the_pixels_of_their_file(tmp_path: Path, rgb: np.ndarray, suffix: str, orientation: int) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(rgb).save(path, exif=exif(orientation))
    assert np.array_equal(read_image(path.read_bytes()), read_image(path))
    assert image_size(path.read_bytes()) == image_size(path)


def test_bytes_of_16_bit_color(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (6, 9, 3)).astype(np.uint16)
    for suffix in ("png", "tif", "ppm"):
        cv2.imwrite(str(tmp_path / f"a.{suffix}"), values)
        content = (tmp_path / f"a.{suffix}").read_bytes()
        assert np.array_equal(read_image(content), read_image(tmp_path / f"a.{suffix}"))


@pytest.mark.parametrize("name", ["half.jpg", "half.png", "deep.png", "text.jpg", "empty.png", "float.tif"])
def test_errors_of_bytes_speak_of_their_name(tmp_path: Path, name: str) -> None:
    make_bad_files(tmp_path)
    content = (tmp_path / name).read_bytes()
    with pytest.raises(InputError) as of_file:
        read_image(tmp_path / name)
    for given, where in ((None, "image"), ("https://example.org/a.jpg", "https://example.org/a.jpg")):
        with pytest.raises(InputError) as of_bytes:
            read_image(content, name=given)
        assert of_bytes.value.where == where
        assert (of_bytes.value.what, of_bytes.value.fix) == (of_file.value.what, of_file.value.fix)


def test_an_image_from_bytes_needs_no_temporary_file(monkeypatch: pytest.MonkeyPatch, rgb: np.ndarray) -> None:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    assert read_image(buffer.getvalue()).shape == (5, 7, 3)


def test_permission_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", refuse)  # the tests may run as root, who may read everything
    with pytest.raises(InputError, match=r"a\.png: no permission to read it"):
        read_image(tmp_path / "a.png")


def test_a_decompression_bomb_is_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bomb.png").write_bytes(png((60000, 50000, 8, 2), np.zeros((1, 8), np.uint8)))
    monkeypatch.setattr(images, "available_memory", lambda: 4 * 2**30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match=r"50000x60000 .* need 22\.4 GiB of memory, 4\.0 GiB are available"):
            read_image(tmp_path / "bomb.png")
        assert image_size(tmp_path / "bomb.png") == (50000, 60000)
    assert Image.MAX_IMAGE_PIXELS  # other users of Pillow keep their guard


def test_require_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "available_memory", lambda: 2**30)
    require_memory(1000, 1000, 1000, "photo.jpg")
    with pytest.raises(InputError, match=r"^photo\.jpg: 2000x1000 .* max_size"):
        require_memory(2000, 1000, 1000, "photo.jpg")
    monkeypatch.setattr(images, "available_memory", lambda: None)
    require_memory(10**6, 10**6, 1000, "photo.jpg")


def test_available_memory_is_known_on_linux() -> None:
    if not Path("/proc/meminfo").exists():
        pytest.skip("no /proc/meminfo")
    available = images.available_memory()
    assert available is not None
    assert available > 2**20


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[0, 200]], np.uint8), [[0] * 3, [200] * 3]),
        (np.array([[[0], [200]]], np.uint8), [[0] * 3, [200] * 3]),
        (np.array([[RED, BLUE]], np.uint8), [list(RED), list(BLUE)]),
        (np.array([[[*RED, 255], [*RED, 0]]], np.uint8), [list(RED), [255] * 3]),
        (np.array([[False, True]]), [[0] * 3, [255] * 3]),
        (np.array([[129, 65535]], np.uint16), [[1] * 3, [255] * 3]),
    ],
)
def test_to_rgb_of_arrays(array: np.ndarray, expected: list[list[int]]) -> None:
    assert to_rgb(array).tolist() == [expected]
    assert to_rgb(array).flags.c_contiguous


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), "must be uint8 .* not float32"),
        (np.zeros((4, 4, 3), np.int64), "must be uint8 .* not int64"),
        (np.zeros((3, 40, 40), np.uint8), "move the channels last"),
        (np.zeros((2, 4, 4, 3), np.uint8), "must be"),
        (np.zeros((4, 4, 2), np.uint8), "must be"),
        (np.zeros((0, 4, 3), np.uint8), "must hold pixels"),
        ("photo.jpg", "must be a file, a numpy array or a Pillow image, not str"),
        (Image.new("F", (4, 4)), "floating-point"),
    ],
)
def test_to_rgb_refuses(value: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        to_rgb(value)


def test_to_rgb_of_a_truncated_pillow_image(tmp_path: Path) -> None:
    make_bad_files(tmp_path)
    with pytest.raises(InputError, match="truncated"):
        to_rgb(Image.open(tmp_path / "half.png"))


def test_shrink_never_enlarges_and_scales_back() -> None:
    image = np.full((100, 300, 3), 7, np.uint8)
    small, scale = shrink(image, 150)
    assert small.shape == (50, 150, 3)
    assert scale == 0.5
    assert (small == 7).all()
    for size in (300, 1000, None):
        same, scale = shrink(image, size)
        assert same is image
        assert scale == 1
    assert shrink(np.zeros((1, 1000, 3), np.uint8), 10)[0].shape == (1, 10, 3)
    with pytest.raises(InputError, match="at least 1"):
        shrink(image, 0)


def test_real_images_read_as_pillow_reads_them(shared) -> None:
    for path in [
        *sorted(shared("data/coco_tiny/val2017").iterdir()),
        *sorted(shared("data/deeppcb/val").iterdir())[:5],
    ]:
        pixels = read_image(path)
        with Image.open(path) as image:
            assert np.array_equal(pixels, np.asarray(image.convert("RGB")))
        assert image_size(path) == pixels.shape[:2]
