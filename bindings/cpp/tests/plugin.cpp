// A library with handlers that are given by address: C++ inside, not linked to microbatch. What it uses of the library
// comes with each call, as a table.
#include "microbatch.hpp"

#include <stdexcept>

// Answers every value with itself.
extern "C" mb_status plugin_echo(void*, mb_batch* batch, const mb_api* api) {
    return mb::handle<mb::value>(batch, api, [](auto& rows) {
        for (auto& row : rows) row.set_result(row.value());
    });
}

// Throws for whole parts, and fails single rows.
extern "C" mb_status plugin_divide(void* data, mb_batch* batch, const mb_api* api) {
    return mb::handle<std::int64_t>(batch, api, [data](auto& rows) {
        if (data == nullptr) throw std::invalid_argument("nothing to divide");
        for (auto& row : rows) {
            if (row.value() == 0) row.fail(33, "division by zero", "arithmetic");
            else row.set_result(*static_cast<std::int64_t*>(data) / row.value());
        }
    });
}
