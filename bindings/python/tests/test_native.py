"""C code and Python in one process: handlers by address, lines of log, a host that embeds Python."""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
import sysconfig
import threading
import weakref
from pathlib import Path

import microbatch
import pytest
from microbatch import Batcher, Error, Native

ROOT = Path(__file__).parents[3]


NATIVE = r"""
#include "microbatch.h"
#include <string.h>

mb_status echo(void *user_data, mb_batch *batch, const mb_api *api);
mb_status echo(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view;
    size_t row;
    (void)user_data;
    view.struct_size = sizeof view;
    api->mb_batch_get_view(batch, &view);
    for (row = 0; row < view.count; row++) {
        mb_value value;
        api->mb_batch_value(batch, row, &value);
        if (value.kind == MB_KIND_OBJECT)
            api->mb_batch_fail(batch, row, 42, "native", "an object", 9);
        else
            api->mb_batch_set_value(batch, row, &value);
    }
    return MB_OK;
}
"""


LEAVING = r"""
#include "microbatch.h"
#include <pthread.h>

mb_status leave(void *user_data, mb_batch *batch, const mb_api *api);
mb_status leave(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)user_data;
    (void)batch;
    (void)api;
    pthread_exit(NULL);
}
"""


def compiled(tmp_path: Path, source: str, function: str, *flags: str) -> int:
    file, library = tmp_path / f"{function}.c", tmp_path / f"{function}.so"
    file.write_text(source)
    compiler = [os.environ.get("CC", "cc"), "-shared", "-fPIC", *flags, "-Wall", "-Werror", f"-I{ROOT}/include"]
    subprocess.run([*compiler, str(file), "-o", str(library)], check=True)
    address = ctypes.cast(getattr(ctypes.CDLL(str(library)), function), ctypes.c_void_p).value
    assert address is not None
    return address


@pytest.mark.parametrize("good", [True, False], ids=["good", "raising"])
def test_lines_of_log_come_from_threads_that_may_enter_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: bool
) -> None:
    lines: list[tuple[int, str]] = []
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda one: told.append(one.exc_type))

    def log(level: int, line: str) -> None:
        lines.append((level, line))
        if not good:
            raise LookupError

    leave = compiled(tmp_path, LEAVING, "leave")
    with Batcher(Native(leave), log=log, max_batch_size=1) as batcher:
        with pytest.raises(Error, match="THREAD_ENDED"):
            batcher.submit(1).result(30)
        for _ in range(3000):
            if lines:
                break
            threading.Event().wait(0.01)
    assert lines[0][0] == 40 and "ended inside a callback" in lines[0][1]
    assert told == ([] if good else [LookupError] * len(lines))


@pytest.mark.parametrize("mode", ["threaded", "manual"])
def test_c_code_by_address_that_links_to_nothing(tmp_path: Path, mode: str) -> None:
    from test_values import AWKWARD, Thing, bits

    address = compiled(tmp_path, NATIVE, "echo", "-nostdlib")
    with Batcher(Native(address), mode=mode, max_batch_size=5) as batcher:
        thing = Thing()
        ghost = weakref.ref(thing)
        replies = [batcher.submit(value) for value in AWKWARD]
        refused = batcher.submit(thing)
        batcher.flush(30)
        assert [bits(reply.result(30)) for reply in replies] == [bits(value) for value in AWKWARD]
        with pytest.raises(Error) as failed:
            refused.result(30)
        assert (failed.value.code, failed.value.type_name, failed.value.message) == (42, "native", "an object")
        del thing
        for _ in range(3000):  # the engine's own thread lets go of the batch when it likes
            batcher.stats()
            gc.collect()
            if ghost() is None:
                break
            threading.Event().wait(0.01)
        assert ghost() is None


def test_lines_of_log_come_where_no_thread_of_pythons_works(tmp_path: Path) -> None:
    lines: list[str] = []
    leave = compiled(tmp_path, LEAVING, "leave")
    options = {"log": lambda level, line: lines.append(line), "count_results": True, "max_batch_size": 1}
    with Batcher(Native(leave), **options) as batcher:  # type: ignore[arg-type]
        batcher.push(1)
        for _ in range(3000):  # without a call into it
            if lines:
                break
            threading.Event().wait(0.01)
    assert lines


def test_lines_of_log_that_wait_are_bounded_and_what_is_dropped_is_said(tmp_path: Path) -> None:
    lines: list[tuple[int, str]] = []
    leave = compiled(tmp_path, LEAVING, "leave")
    options = {"log": lambda level, line: lines.append((level, line)), "count_results": True, "max_batch_size": 1}
    values = 2000
    with Batcher(Native(leave), **options) as batcher:  # type: ignore[arg-type]
        batcher.push_many([0] * values)
        batcher.flush(60)  # in which this thread tells nothing
    said = [line for level, line in lines if level == 30]
    dropped = sum(int(line.removesuffix(" lines of log were dropped: too many waited")) for line in said)
    assert len(lines) - len(said) + dropped == values
    assert 0 < dropped <= values - 256


PUSHING = r"""
#include "microbatch.h"

mb_status push(const mb_shared *shared);
mb_status push(const mb_shared *shared)
{
    const mb_api *api = shared->api;
    mb_status status = api->mb_abi_check(MB_ABI_VERSION);
    int64_t value;
    for (value = 0; value < 100 && status == MB_OK; value++)
        status = api->mb_batcher_push_int64(shared->batcher, value, (uint64_t)value);
    if (status == MB_OK)
        status = api->mb_batcher_push_string(shared->batcher, "a\0b", 3, 100);
    return status == MB_OK ? api->mb_batcher_flush(shared->batcher, 60 * MB_S) : status;
}
"""


def test_c_code_that_links_to_nothing_pushes_to_a_batcher_of_pythons(tmp_path: Path) -> None:
    push = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)(compiled(tmp_path, PUSHING, "push", "-nostdlib"))
    told: list[object] = []
    with Batcher(lambda values: [2 * value for value in values], on_result=told.extend, max_batch_size=16) as batcher:
        assert push(batcher.share()) == 0
        batcher.flush(30)
    assert [(one.tag, one.value) for one in told] == [*((n, 2 * n) for n in range(100)), (100, "a\0ba\0b")]  # type: ignore[attr-defined]


@pytest.mark.skipif("MICROBATCH_STATICLIB" not in os.environ, reason="cargo test names the host's own copy of the engine")
def test_a_c_host_that_embeds_python_shares_its_batcher(tmp_path: Path) -> None:
    variables = sysconfig.get_config_vars()
    library = variables["LIBDIR"]
    name = f"python{variables['LDVERSION']}"
    host = tmp_path / "host"
    command = [os.environ.get("CC", "cc"), "-std=c11", "-Wall", "-Werror", f"-I{ROOT}/include"]
    command += [f"-I{sysconfig.get_path('include')}", str(Path(__file__).with_name("host.c")), "-o", str(host)]
    command += [os.environ["MICROBATCH_STATICLIB"], f"-L{library}", f"-Wl,-rpath,{library}", f"-l{name}"]
    command += [*variables["LIBS"].split(), *variables["SYSLIBS"].split(), "-lpthread", "-ldl", "-lm", "-Wl,-export-dynamic"]
    subprocess.run(command, check=True)
    places = [sysconfig.get_path("purelib"), str(Path(sys.modules["microbatch"].__file__ or "").parents[1])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places), "PYTHONHOME": sys.base_prefix}
    done = subprocess.run([str(host)], capture_output=True, text=True, timeout=120, env=environment)
    assert (done.returncode, done.stdout) == (0, f"203 results, sum {3 * sum(range(200))}\n"), done.stderr
