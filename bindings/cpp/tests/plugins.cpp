// P29: handlers in libraries of their own, and batchers that travel between copies of the engine.
#include "kit.hpp"

#include <cmath>
#include <dlfcn.h>
#include <map>

namespace {

struct Plugins : Counting {};

template <class F>
F* load(const char* path, const char* name) {
    void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(library, nullptr) << dlerror();
    auto* found = library == nullptr ? nullptr : dlsym(library, name);
    EXPECT_NE(found, nullptr) << path << " has no " << name;
    return reinterpret_cast<F*>(found);
}
using handler_type = mb_status(void*, mb_batch*, const mb_api*);

TEST_F(Plugins, p29_a_handler_of_another_library_echoes_every_kind) {
    mb::batcher<> batcher{mb::options{}, mb::native_handler(load<handler_type>(PLUGIN, "plugin_echo"))};
    EXPECT_TRUE(batcher.submit(nullptr).get().is_null());
    EXPECT_EQ(*batcher.submit(false).get().as_bool(), false);
    EXPECT_EQ(*batcher.submit(INT64_MIN).get().as_int64(), INT64_MIN);
    EXPECT_TRUE(std::signbit(*batcher.submit(-0.0).get().as_float64()));
    const std::string awkward("\0\U0001F600 \uFEFF", 9);
    EXPECT_EQ(*batcher.submit(awkward).get().as_string(), awkward);
    EXPECT_EQ(*batcher.submit(mb::bytes(300, std::byte{0xFF})).get().as_bytes(), mb::bytes(300, std::byte{0xFF}));
}

TEST_F(Plugins, p29_its_failures_have_their_words) {
    std::int64_t dividend = 84;
    auto* divide = load<handler_type>(PLUGIN, "plugin_divide");
    mb::batcher<std::int64_t> batcher{mb::options{}, mb::native_handler(divide, &dividend)};
    EXPECT_EQ(batcher.submit(2).get(), 42);
    const auto error = error_of([&] { static_cast<void>(batcher.submit(0).get()); });
    EXPECT_EQ(error.code(), 33);
    EXPECT_STREQ(error.type_name(), "arithmetic");
    mb::batcher<std::int64_t> without{mb::options{}, mb::native_handler(divide)};
    const auto thrown = error_of([&] { static_cast<void>(without.submit(1).get()); });
    EXPECT_EQ(thrown.code(), MB_ERR_HANDLER_FAILED);
    EXPECT_EQ(thrown.message(), "nothing to divide");
    EXPECT_STREQ(thrown.type_name(), "std::invalid_argument");
    EXPECT_EQ(thrown.cause(), nullptr) << "it came from elsewhere";
}

TEST_F(Plugins, p29_a_handler_that_is_linked_to_nothing_at_all) {
    mb::batcher<std::int64_t> batcher{mb::options{}, mb::native_handler(load<handler_type>(PLUGIN_BARE, "plugin_double"))};
    EXPECT_EQ(batcher.submit(21).get(), 42);
}

TEST_F(Plugins, p29_another_copy_of_the_engine_pushes_into_this_one) {
    auto* table = load<const mb_api*()>(PLUGIN_COPY, "plugin_table");
    auto* push = load<int(const mb_shared*)>(PLUGIN_COPY, "plugin_push");
    std::map<std::uint64_t, mb::kind> kinds;
    mb::batcher<> batcher{mb::options{}, echo, mb::on_result([&](const auto& results) {
                              for (const auto& row : results) kinds[row.tag()] = row.value().kind();
                          })};
    if (PLUGIN_IS_A_COPY) {
        EXPECT_NE(table(), mb_api_table());
    }
    const mb_shared shared = batcher.share();
    EXPECT_EQ(push(&shared), 6);
    batcher.flush();
    EXPECT_EQ(kinds, (std::map<std::uint64_t, mb::kind>{{0, mb::kind::null},
                                                        {1, mb::kind::boolean},
                                                        {2, mb::kind::int64},
                                                        {3, mb::kind::float64},
                                                        {4, mb::kind::string},
                                                        {5, mb::kind::bytes}}));
}

}  // namespace
