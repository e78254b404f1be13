"""What is dear and the same for many runs: frames that are made once for one and the same input, then read."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from closedloop.market.fingerprint import computing_code
from closedloop.market.place import runs_folder

Frames = Mapping[str, pd.DataFrame]
_LIBRARIES = ("numpy", "pandas", "scipy", "scikit-learn", "pyarrow")  # another release may give other figures


def kept(kind: str, of: str, make: Callable[[], Frames]) -> Frames:
    """The frames that ``make`` gives, by name: made by whoever asks first for this input, read by all others.

    ``kind``: what they are, a folder's name. ``of``: all that they are made of, as text (fingerprints of
    rows, settings, seeds); the code that computes and the libraries count without being named. Who comes while they are
    being made waits; they appear whole or not at all. Frames are stored without their index.
    """
    folder = _place() / kind / hashlib.sha256(of.encode()).hexdigest()[:32]
    if not folder.exists():
        with _alone(folder.with_suffix(".lock")):
            if not folder.exists():
                _write(folder, make())
    return {path.stem: _read(path) for path in sorted(folder.glob("*.parquet"))}


def forget() -> None:
    """Remove what other code, or other releases of the libraries, have made: nobody will read it again."""
    for folder in _place().parent.glob("*"):
        if folder != _place():
            shutil.rmtree(folder, ignore_errors=True)


def fingerprint_of(rows: pd.DataFrame | pd.Series) -> str:
    """Of all values, names and types of a frame or a series, in their order, without its index."""
    frame = rows if isinstance(rows, pd.DataFrame) else rows.to_frame()
    digest = hashlib.sha256(repr(list(frame.dtypes.astype(str).items())).encode())
    digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return digest.hexdigest()


def _place() -> Path:
    """Where this code and these libraries keep what they make."""
    made_by = " ".join([computing_code(), *(f"{name} {version(name)}" for name in _LIBRARIES)])
    return runs_folder() / ".kept" / hashlib.sha256(made_by.encode()).hexdigest()[:16]


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Within the block nobody else is in one with the same lock, in this process or another; a dead one lets go."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(folder: Path, frames: Frames) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    try:
        for name, frame in frames.items():
            with (temporary / f"{name}.parquet").open("wb") as file:
                file.write(frame.to_parquet(index=False))
                file.flush()
                os.fsync(file.fileno())
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _read(path: Path) -> pd.DataFrame:
    """By one thread: starting more takes longer than reading some kilobytes."""
    return pd.read_parquet(path, use_threads=False, pre_buffer=False)
