// One of two units with the same headers: what a program without exceptions and RTTI can do, in every standard. It ends
// with 0 if everything was as it should be.
#include "microbatch.hpp"
#include "microbatch.hpp"

#include <cstdio>
#include <cstdlib>
#include <string>

long in_another_unit();

namespace {

void check(bool holds, const char* what, int line) {
    if (holds) return;
    std::fprintf(stderr, "one.cpp:%d: not so: %s\n", line, what);
    std::exit(1);
}
#define CHECK(condition) check((condition), #condition, __LINE__)

struct order {
    explicit order(long of) : number(of) {}
    long number;
    std::string text = "an object travels by reference";
};

void values_and_futures() {
    auto made = mb::batcher<std::int64_t, std::string>::create(mb::options{}, [](auto& batch) -> mb::status {
        for (auto& row : batch) {
            const auto number = row.try_value();
            if (!number) return number.status();
            const auto set = *number < 0 ? row.try_fail(7, "negative", "range") : row.try_set_result(std::to_string(*number));
            if (!set.ok()) return set;
        }
        return MB_OK;
    });
    CHECK(made.has_value());
    auto& batcher = *made;
    auto one = batcher.try_submit(1), minus = batcher.try_submit(-1);
    CHECK(one && minus);
    const auto text = one->try_get();
    CHECK(text && *text == "1");
    const auto failed = minus->try_get();
    CHECK(!failed && failed.error().code() == 7 && failed.error().message() == "negative");
    CHECK(std::string(failed.error().type_name()) == "range" && failed.error().handled() == mb::handled::yes);
    CHECK(!failed.error().retriable());
    CHECK(batcher.try_close().status.ok());
    CHECK(batcher.try_push(1) == MB_ERR_CLOSED);
}

void objects() {
    auto made = mb::batcher<order, order>::create(mb::options{}, [](auto& batch) {
        for (auto& row : batch) {
            auto seen = row.try_value();
            if (seen) static_cast<void>(row.try_set_result(order((*seen)->number * 2)));
        }
    });
    CHECK(made.has_value());
    auto answer = made->try_submit(order(21));
    CHECK(answer.has_value());
    auto got = answer->try_get();
    CHECK(got && got->number == 42);
}

void failures() {
    auto made = mb::batcher<>::create(mb::options{}.max_batch_size(0).threads(70'000));
    CHECK(!made && made.error().code() == MB_ERR_INVALID_OPTION);
    CHECK(made.error().message().find("threads") != std::string_view::npos);
    auto failing = mb::batcher<std::int64_t>::create(
        mb::options{}, [](auto&) { return mb::error(9, "all of it", "kind of failure"); });
    CHECK(failing.has_value());
    auto value = failing->try_submit(1);
    CHECK(value.has_value());
    const auto failed = value->try_get();
    CHECK(!failed && failed.error().code() == 9 && failed.error().message() == "all of it");
}

void known_data() {
    const std::vector<double> numbers{1, 2, 3};
    const auto mapped = mb::try_map(numbers, mb::split::size(2), [](auto& batch) {
        for (auto& row : batch) static_cast<void>(row.try_set_result(*row.try_value() * 2));
    });
    CHECK(mapped && mapped->size() == 3 && mapped->float64s()[2] == 6);
}

}  // namespace

int main() {
    values_and_futures();
    objects();
    failures();
    known_data();
    CHECK(in_another_unit() == 6);
    return 0;
}
