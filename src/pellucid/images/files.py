"""Pictures on disk: read whatever people have, write without ever leaving half a file."""

from __future__ import annotations

import io
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError
from torch import Tensor

from pellucid.errors import ImageError
from pellucid.images.sheets import picture
from pellucid.images.whole_files import written_whole

__all__ = ["SUFFIXES", "read", "read_metadata", "write"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".avif")
"""How files are named that are taken for pictures in a folder of many things."""

# 50 million pixels: larger than phone photos, 150 MB decoded; and below the 89 million from where Pillow itself warns.
_MAX_PIXELS = 50_000_000
# Behind transparent pixels: the colour that the transforms fill with too.
_GREY = 0.5
_FORMATS = {".png": "PNG", "": "PNG", ".webp": "WEBP", ".jpg": "JPEG", ".jpeg": "JPEG"}
_EXIF_DESCRIPTION = 0x010E
# What Pillow raises on damaged files, besides its own: decoders let their parsers' errors through.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, OverflowError)


def read(
    path: str | Path | bytes,
    *,
    channels: int = 3,
    alpha: bool = False,
    max_pixels: int = _MAX_PIXELS,
    name: str = "",
) -> Float[Tensor, "c h w"]:
    """Read a picture, from a file or from what one holds, as numbers in [0, 1].

    Returns float32 [channels, h, w] with 3 channels (RGB) or 1 (luminance), turned upright by its EXIF tag; what is
    transparent lies on mid-grey; of an animation, the first frame. With `alpha` the result is [channels + 1, h, w]: the
    colours as they are stored, then opacity (1 where the file has none). 16-bit greys keep their depth. Colour profiles
    are not applied: values are taken for sRGB. `name` is what errors call it, by default its path.

    Raises:
        ImageError: there is no such file, it is not a picture, it is damaged or cut short, it has more than
            `max_pixels` pixels (seen before decoding), or other than 1 or 3 channels are asked for.
    """
    if channels not in (1, 3):
        raise ImageError(f"a picture file is read with 1 or 3 channels, not {channels}; give a tensor instead")
    name = name or ("the picture" if isinstance(path, bytes) else str(path))
    with _opened(path, name) as file:
        width, height = file.size
        if width * height > max_pixels:
            raise ImageError(
                f"'{name}' has {width} x {height} pixels, over the limit of {max_pixels:,}; "
                "make it smaller or raise max_pixels"
            )
        try:
            values = _decoded(file, channels, alpha)
        except MemoryError:
            raise ImageError(f"'{name}' ({width} x {height} pixels) does not fit into memory") from None
        except _DAMAGED as error:
            raise ImageError(f"'{name}' is damaged or cut short ({error})") from error
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1), dtype=np.float32))


def read_metadata(path: str | Path) -> dict[str, str]:
    """The texts that `write` stored with a picture; empty when there are none.

    Raises:
        ImageError: there is no such file, or it is not a picture.
    """
    with _opened(path, str(path)) as file:
        if isinstance(file, PngImagePlugin.PngImageFile):
            file.load()  # texts may follow the pixels
            return {key: str(text) for key, text in file.text.items()}
        try:
            stored = json.loads(file.getexif().get(_EXIF_DESCRIPTION, "{}"))
        except ValueError:  # another program's description
            return {}
    return {str(key): str(text) for key, text in stored.items()} if isinstance(stored, dict) else {}


def write(
    path: str | Path,
    image: Float[Tensor, "c h w"] | Image.Image,
    *,
    alpha: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a picture; the file is whole or not there, even when the program dies meanwhile.

    The suffix decides: .png (also without a suffix), .webp (lossless), .jpg. Values are cut to [0, 1] and rounded to 8
    bits; one channel is written as grey, other than 1 or 3 as `sheets.show_channels` shows them. With `alpha` the
    last channel is opacity: PNG and WebP keep it, and in a JPEG the picture lies on mid-grey. `metadata` becomes text
    chunks of a PNG, and a JSON description in the EXIF data of the others; see `read_metadata`.

    Raises:
        ImageError: the suffix is unknown, or the file cannot be written there.
    """
    path = Path(path)
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise ImageError(f"cannot write '{path}': no format {path.suffix!r}; use .png, .webp or .jpg")
    shown = image if isinstance(image, Image.Image) else picture(image, alpha=alpha)
    if kind == "JPEG" and "A" in shown.getbands():
        shown = _on_grey(shown)
    try:
        with written_whole(path) as file:
            shown.save(file, format=kind, **_options(kind, metadata or {}))
    except ImageError:
        raise
    except (ValueError, struct.error) as error:  # the encoder's: too large for the format, texts too long
        raise ImageError(f"cannot write '{path}': {error}") from error


def _options(kind: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    """What Pillow's writer of this format is to be told."""
    if kind == "PNG":
        texts = PngImagePlugin.PngInfo()
        for key, text in metadata.items():
            texts.add_itxt(key, text)
        return {"pnginfo": texts}
    exif = Image.Exif()
    if metadata:
        exif[_EXIF_DESCRIPTION] = json.dumps(dict(metadata))
    # Lossless WebP, also below what is see-through; the best JPEG that is not wasteful, at full colour resolution.
    if kind == "WEBP":
        return {"exif": exif, "lossless": True, "exact": True}
    return {"exif": exif, "quality": 95, "subsampling": 0}


def _on_grey(shown: Image.Image) -> Image.Image:
    """A picture with opacity (LA or RGBA) as one without."""
    mode = shown.mode.removesuffix("A")
    grey = Image.new(shown.mode, shown.size, (round(_GREY * 255),) * len(mode) + (255,))
    return Image.alpha_composite(grey.convert("RGBA"), shown.convert("RGBA")).convert(mode)


def _opened(source: str | Path | bytes, name: str) -> Image.Image:
    """The picture with its header read, or why not."""
    if not isinstance(source, bytes) and not os.path.isfile(source):
        raise ImageError(f"'{name}' is a folder, not a picture" if os.path.isdir(source) else f"no file '{name}'")
    try:
        return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
    except UnidentifiedImageError:
        raise ImageError(f"'{name}' is not a picture that can be read (PNG, JPEG, WebP, GIF, TIFF, BMP …)") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"'{name}' has too many pixels to be read safely ({error})") from None
    except PermissionError:
        raise ImageError(f"no permission to read '{name}'") from None
    except _DAMAGED as error:
        raise ImageError(f"'{name}' is damaged or cut short ({error})") from error


def _decoded(file: Image.Image, channels: int, alpha: bool) -> NDArray[np.float32]:
    """Pixels of the first frame as float32 [h, w, channels] in [0, 1], upright: on grey, or with their opacity last."""
    file.load()
    upright = ImageOps.exif_transpose(file)
    mode = "RGB" if channels == 3 else "L"
    opacity = np.ones((upright.height, upright.width, 1), dtype=np.float32)
    if upright.mode.startswith(("I", "F")):
        color = np.stack([_from_16_bits(upright)] * channels, axis=2)
    elif upright.has_transparency_data:
        covered = upright.convert("RGBA")
        opacity = _from_8_bits(covered.getchannel("A"))
        color = _from_8_bits(covered.convert("RGB").convert(mode))
    else:
        color = _from_8_bits(upright.convert(mode))
    if alpha:
        return np.concatenate([color, opacity], axis=2)
    on_grey: NDArray[np.float32] = color * opacity + np.float32(_GREY) * (1 - opacity)
    return on_grey


def _from_8_bits(shown: Image.Image) -> NDArray[np.float32]:
    """An 8-bit picture as float32 [h, w, c] in [0, 1]."""
    values: NDArray[np.float32] = np.asarray(shown, dtype=np.float32) / np.float32(255)
    return values.reshape(shown.height, shown.width, -1)


def _from_16_bits(shown: Image.Image) -> NDArray[np.float32]:
    """Greys of 16 bits ("I;16", or "I" with values up to 65535) or floating point as float32 [h, w] in [0, 1]."""
    values = np.asarray(shown).astype(np.float64)
    limit = 1.0 if shown.mode.startswith("F") else 65535.0
    if not (values >= 0).all() or not (values <= limit).all():
        raise ValueError(f"greys outside 0 to {limit:g}, so that black and white are unknown")
    scaled: NDArray[np.float32] = (values / limit).astype(np.float32)
    return scaled
