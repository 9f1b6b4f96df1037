// microbatch for C++17 and later: pushes single values, handles them in batches, routes each result back.
//
//     mb::batcher<Order, std::int64_t> orders{
//         mb::options{}.max_batch_size(512).max_delay(2ms),
//         [&](auto& batch) {
//             for (auto& row : batch) row.set_result(db.insert(row.value()));
//         }};
//     auto id = orders.submit(std::move(order));   // any thread; a future
//     id.get();
//
// Header-only and thin over <microbatch.h>: limits, defaults, codes and rules are the library's. Link libmicrobatch.
//
// ERRORS, BY CHOICE   Every call that can fail has two forms. `push(...)` throws mb::error; `try_push(...)` throws
// nothing of its own and returns an mb::status, or an mb::expected where there is a value. Without exceptions
// (-fno-exceptions) only the second form exists.
//
// THREADS   As in C: every function of a batcher may be called from any thread and in any callback; the comments name
// the exceptions. Destroying a batcher while another thread is in a call with it is the caller's fault.
//
// STANDARDS   C++17 to C++23, with or without exceptions, with or without RTTI. Units compiled with and without them
// may be linked into one program: their types are different ones.
#ifndef MICROBATCH_HPP
#define MICROBATCH_HPP

#include <microbatch.h>

#include "microbatch/config.hpp"
#include "microbatch/status.hpp"
#include "microbatch/error.hpp"
#include "microbatch/value.hpp"
#include "microbatch/cell.hpp"
#include "microbatch/codec.hpp"
#include "microbatch/options.hpp"
#include "microbatch/control.hpp"
#include "microbatch/batch.hpp"
#include "microbatch/results.hpp"
#include "microbatch/future.hpp"
#include "microbatch/hub.hpp"
#include "microbatch/parts.hpp"
#include "microbatch/push.hpp"
#include "microbatch/batcher.hpp"
#include "microbatch/map.hpp"

#endif
