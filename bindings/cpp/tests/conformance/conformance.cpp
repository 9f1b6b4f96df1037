// Plays one scenario through the public C++ API and prints its trace: conformance FILE.mbt. The formats are described in
// tests/conformance/README.md. What the C runner does by status, this does by the calls that do not throw; handlers and
// on_result are lambdas.
#include <algorithm>
#include <fstream>
#include <optional>
#include <utility>

#include "pushes.hpp"

namespace runner {

string time_or_status(const mb::expected<std::chrono::nanoseconds>& time) {
    if (!time) return time.status().name();
    return *time == std::chrono::nanoseconds::max() ? "FOREVER" : std::to_string(time->count());
}

void step(const string& text) {
    const auto from = split(text);
    const auto& name = from[0];
    mb::status status;
    string extra;
    if (name == "push") {
        status = push(from);
    } else if (name == "push_many") {
        const auto answer = push_many(from);
        status = answer.status;
        extra = " accepted " + std::to_string(answer.accepted);
    } else if (name == "check") {
        status = batcher->try_check(parse(from[1])).status();
    } else if (name == "room") {
        status = batcher->try_room(std::chrono::seconds(0));
    } else if (name == "cancel") {
        const auto count = batcher->try_cancel(std::stoull(from[1]));
        status = count.status();
        if (count) extra = ' ' + std::to_string(*count);
    } else if (name == "seal") {
        status = batcher->try_seal();
    } else if (name == "advance") {
        status = batcher->try_advance(std::chrono::nanoseconds(std::stoll(from[1])));
    } else if (name == "now" || name == "next_due") {
        return line(text + " -> " + time_or_status(name == "now" ? batcher->try_now() : batcher->try_next_due()));
    } else if (name == "run") {
        status = batcher->try_run();
    } else if (name == "flush") {
        status = batcher->try_flush(std::chrono::seconds(0));
    } else if (name == "flush_begin") {
        const auto mark = batcher->try_flush_begin();
        status = mark.status();
        if (mark) marks.push_back(*mark), extra = " m" + std::to_string(marks.size());
    } else if (name == "flush_end") {
        status = batcher->try_flush_end(marks[std::stoul(from[1].substr(1)) - 1], std::chrono::seconds(0));
    } else if (name == "close") {
        const auto limit = from[1] == "forever" ? mb::forever : mb::timeout(std::chrono::nanoseconds(std::stoll(from[1])));
        const auto answer = batcher->try_close(limit);
        status = answer.status;
        if (status == MB_ERR_TIMEOUT) extra = " left " + std::to_string(answer.left);
    } else if (name == "free") {
        freed = true;
        status = batcher->try_free();
    } else if (name == "next_batch") {
        auto taken = batcher->try_next_batch(std::chrono::seconds(0));
        status = taken.status();
        if (taken) {
            held.push_back(*std::move(taken));
            consumed.push_back(false);
            const indented inside(1);
            show_batch(held.back(), "pulled");
            extra = " h" + std::to_string(held.size());
        }
    } else if (name == "next_results") {
        const auto taken = batcher->try_next_results(std::chrono::seconds(0));
        status = taken.status();
        const indented inside(1);
        if (taken) show_results(*taken, false);
    } else if (name == "stats") {
        return show_stats();
    } else if (name == "map") {
        status = map(from);
    } else if (name[0] == 'h') {
        status = on_held(std::stoul(name.substr(1)) - 1, words(from.begin() + 1, from.end()));
    } else {
        die("no step " + name);
    }
    line(text + " -> " + status.name() + extra);
}

// ---- the head of a scenario

// A part if the scenario names its callback.
template <class Part>
std::optional<Part> if_named(const string& name, Part part) {
    return scripts.count(name) == 0 ? std::nullopt : std::optional<Part>(std::move(part));
}

template <std::size_t... Kinds>
mb::expected<mb::batcher<>> create(const mb::options& options, std::index_sequence<Kinds...>) {
    const auto handle = [](const string& name) { return [name](auto& batch) { return on_batch(name, batch); }; };
    auto release = mb::on_object_release(options.raw().owner, on_object);
    return mb::batcher<>::create(
        options, if_named(mb_kind_name(Kinds), mb::handler_for(static_cast<mb::kind>(Kinds), handle(mb_kind_name(Kinds))))...,
        if_named("default", mb::handler(handle("default"))), if_named("on_result", mb::on_result(on_result)),
        options.raw().owner == 0 ? std::nullopt : std::optional(std::move(release)));
}

}  // namespace runner

int main(int argc, char** argv) {
    using namespace runner;
    std::ifstream file(argc == 2 ? argv[1] : "");
    if (!file) die("usage: conformance FILE.mbt");
    if (mb_owner_new(&owners[1]) != MB_OK || mb_owner_new(&owners[2]) != MB_OK) die("no owner");
    mb::options options;
    options.mode(mb::mode::manual).clock(mb::clock::given).count_results();
    for (string text; std::getline(file, text);) {
        const auto from = split(text);
        const auto rest = [&](std::size_t first) {
            std::size_t at = 0;
            for (std::size_t word = 0; word < first; ++word) at = std::min(text.find(' ', at), text.size() - 1) + 1;
            return text.substr(at);
        };
        if (from.empty() || from[0] == "#" || from[0] == "needs") continue;
        if (from[0] == "pull" && from[1] == "default") {
            options.pull_handler();
        } else if (from[0] == "pull") {
            std::uint32_t kind = 0;
            while (from[1] != mb_kind_name(kind)) ++kind;
            options.pull_handler_for(static_cast<mb::kind>(kind));
        } else if (from[0] == "owner") {
            options.owner(owners[std::stoul(from[1])]);
        } else if (from[0] == "option") {
            const auto set = options.try_set(from[1], from[2]);
            if (!set) return line("new -> " + string(set.status().name())), 0;
        } else if (from[0] == "handler") {
            scripts[from[1]].lines.push_back(rest(2));
        } else if (from[0] == "on_result" || from[0] == "on_release") {
            scripts[from[0]].lines.push_back(rest(1));
        } else if (from[0] == "new") {
            auto made = create(options, std::make_index_sequence<MB_KINDS>());
            line("new -> " + string(made.status().name()));
            if (!made) return 0;
            batcher = std::make_unique<mb::batcher<>>(*std::move(made));
        } else {
            step(text);
        }
    }
    if (!freed) step("free");
    for (std::size_t at = 0; at < held.size(); ++at)
        if (!consumed[at]) step("h" + std::to_string(at + 1) + " free");
    return 0;
}
