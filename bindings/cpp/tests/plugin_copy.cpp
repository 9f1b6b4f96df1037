// A library that has a copy of the engine of its own, and pushes into a batcher that lives in another.
#include "microbatch.hpp"

extern "C" const mb_api* plugin_table() { return mb_api_table(); }

// Pushes values of every kind, and has its own batcher meanwhile. Answers how many were taken.
extern "C" int plugin_push(const mb_shared* shared) {
    const mb::batcher_ref host(*shared);
    mb::batcher<std::int64_t> own{mb::options{}, [](auto& batch) {
                                      for (auto& row : batch) row.set_result(row.value() + 1);
                                  }};
    std::uint64_t tag = 0;
    for (const mb::value_view& value : {mb::value_view(nullptr), mb::value_view(true), mb::value_view(INT64_MIN),
                                        mb::value_view(-0.0), mb::value_view(std::string_view("a\0\U0001F600", 6)),
                                        mb::value_view(mb::bytes_view())})
        host.push(value, tag++);
    // The word of an object of somebody else's.
    if (host.try_push(mb::object_word{0xFFFFFFFF, 1}, 0) != MB_ERR_WRONG_OWNER) return -1;
    return own.submit(static_cast<std::int64_t>(tag)).get() == 7 ? static_cast<int>(tag) : -2;
}
