"""Photos (JPEG) out of a zip archive: those that a data set needs, and nothing else in it."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from common.errors import UserError
from common.files import disk_errors

LARGEST = 4_000_000  # bytes of a photo
MOST = 20_000  # photos
AGAIN = "remove it and it will be downloaded again"


def unpack(archive: Path, target: Path, top: str, parts: Sequence[str]) -> None:
    """Unpack the photos into the folder `target`, which appears complete or not at all.

    All else that is in the archive is left there.

    Args:
        archive: the zip file.
        target: gets the folders `parts`.
        top: the folder of the archive that they are in.
        parts: paths of folders of photos, all of which must be there.

    Raises:
        UserError: the archive is damaged, lacks a part or is too large; or the disk is full or
            cannot be written to.
    """
    from tqdm import tqdm

    wanted = re.compile(rf"{re.escape(top)}/({'|'.join(parts)})/([\w-][\w.() -]*\.jpg)")
    with disk_errors(target, "--data-dir"):
        aside = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=target.parent))
        try:
            with zipfile.ZipFile(archive) as file:
                members = [m for m in file.infolist() if wanted.fullmatch(m.filename)]
                if len(members) > MOST or any(m.file_size > LARGEST for m in members):
                    raise UserError(f"{archive}: holds more than such photos; {AGAIN}")
                for part in parts:
                    (aside / part).mkdir(parents=True)
                    if not any(f"/{part}/" in member.filename for member in members):
                        raise UserError(f"{archive}: holds no {top}/{part}; {AGAIN}")
                for member in tqdm(members, desc=f"unpacking {archive.name}", delay=2, leave=False):
                    place = aside.joinpath(*member.filename.split("/")[1:])
                    with file.open(member) as source, open(place, "xb") as photo:
                        shutil.copyfileobj(source, photo)
            aside.chmod(0o755)
            os.replace(aside, target)
        except (
            *(zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError),
            UnicodeDecodeError,
        ) as e:
            raise UserError(f"{archive}: damaged or cut short ({e}); {AGAIN}") from e
        finally:
            shutil.rmtree(aside, ignore_errors=True)
