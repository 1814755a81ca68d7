"""Makes MuJoCo importable on a machine without a screen, or says what is missing."""

import ctypes.util
import importlib.util
import os

SIM_PACKAGES = ("mujoco", "robosuite", "bddl", "libero", "h5py")


def configure_mujoco(packages: tuple[str, ...] = SIM_PACKAGES, extra: str = "sim") -> None:
    """Chooses the OpenGL back end and the thread counts. Call it before the first `import mujoco`.

    MUJOCO_GL is respected where it is set (`egl` renders on a GPU); the default is `osmesa`, which needs no GPU.

    Raises:
        ValueError: if one of `packages`, which `extra` installs, or the OSMesa library is missing.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f"the simulator needs {', '.join(missing)}; install it: pip install -e '.[{extra}]'")
    backend = os.environ.setdefault("MUJOCO_GL", "osmesa")
    os.environ.setdefault("PYOPENGL_PLATFORM", backend)
    if backend == "osmesa" and ctypes.util.find_library("OSMesa") is None:
        raise ValueError("rendering needs the OSMesa library; install it: sudo apt-get install libosmesa6")
    # One simulator process per core: more threads inside each of them only fight for the same cores.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LP_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
