"""Builds the native file with build.sh, which says how; everything else is in pyproject.toml."""

import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

if sysconfig.get_config_var("Py_GIL_DISABLED"):
    sys.exit("microbatch does not support free-threaded Python: its extension is of the limited API, which that has not")


class BuildGlue(build_ext):
    def build_extension(self, ext: Extension) -> None:
        script = Path(__file__).resolve().parent / "build.sh"
        output = Path(self.get_ext_fullpath(ext.name)).resolve()
        subprocess.run([str(script), str(output), sysconfig.get_path("include")], check=True)


setup(
    ext_modules=[Extension("microbatch._microbatch", sources=[], py_limited_api=True)],
    cmdclass={"build_ext": BuildGlue},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
