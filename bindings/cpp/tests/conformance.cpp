// Plays one scenario through the public C++ API and prints its trace: conformance FILE.mbt. The formats are described in
// tests/conformance/README.md. What the C runner does by status, this does by the calls that do not throw; handlers and
// on_result are lambdas.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "microbatch.hpp"

namespace {

using std::string;
using words = std::vector<string>;
using held_batch = mb::held_batch<mb::value, mb::value>;

// A name of the library's as the traces have it.
template <class Of>
string upper_case(Of of) {
    string name = mb::name_of(of);
    for (char& letter : name) letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
    return name;
}

struct script {
    std::vector<string> lines;
    std::size_t calls = 0;
};
struct owned_push {
    int id;
    char* data;
    std::size_t size;
};

std::unique_ptr<mb::batcher<>> batcher;
std::map<string, script> scripts;  // call n of a callback does what line n says, then the last one
std::deque<held_batch> held;       // h1 is held[0]; it stays here after it is completed
std::vector<bool> consumed;
std::vector<mb::mark> marks;
std::uint32_t owners[3];
std::deque<owned_push> owned;
std::deque<string> texts;  // decoded strings live until the process ends
bool freed = false;
int depth = 0;

void step(const string& text);

[[noreturn]] void die(const string& what) {
    std::cerr << "conformance: " << what << '\n';
    std::exit(2);
}

void line(const string& text) { std::cout << string(static_cast<std::size_t>(2 * depth), ' ') << text << '\n'; }

struct indented {
    explicit indented(int by) : by_(by) { depth += by; }
    ~indented() { depth -= by_; }
    int by_;
};

// ---- words and values

words split(const string& text) {
    std::istringstream in(text);
    words found;
    for (string word; in >> word;) found.push_back(word);
    return found;
}

// The text after `key` in one of the words, or null.
const char* option(const words& from, const string& key) {
    for (const auto& word : from)
        if (word.compare(0, key.size(), key) == 0) return word.c_str() + key.size();
    return nullptr;
}

string& unescape(const string& text) {
    string& plain = texts.emplace_back();
    if (text == "-") return plain;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] != '%') plain += text[at];
        else plain += static_cast<char>(std::stoi(text.substr(at + 1, 2), nullptr, 16)), at += 2;
    }
    return plain;
}

string escape(std::string_view text) {
    string shown;
    for (const char each : text) {
        const auto byte = static_cast<unsigned char>(each);
        char hex[4];
        std::snprintf(hex, sizeof hex, "%%%02X", static_cast<unsigned>(byte));
        const bool plain = byte < 128 && (std::isalnum(byte) != 0 || byte == '_' || byte == '.');
        shown += plain ? string(1, static_cast<char>(byte)) : string(hex);
    }
    return shown;
}

string escape_or_dash(std::string_view text) { return text.empty() ? "-" : escape(text); }

mb::value_view parse(const string& token) {
    const auto colon = token.find(':');
    const string kind = token.substr(0, colon), text = colon == string::npos ? "" : token.substr(colon + 1);
    if (kind == "null") return nullptr;
    if (kind == "bool") return text == "1";
    if (kind == "int64") return static_cast<std::int64_t>(std::stoll(text));
    if (kind == "float64") {
        const auto bits = std::stoull(text, nullptr, 16);
        double number = 0;
        std::memcpy(&number, &bits, sizeof number);
        return number;
    }
    if (kind == "string") return unescape(text);
    if (kind == "bytes") {
        const string& plain = unescape(text);
        return mb::bytes_view(reinterpret_cast<const std::byte*>(plain.data()), plain.size());
    }
    unsigned owner = 0;
    unsigned long long word = 0, size = 0;
    if (std::sscanf(text.c_str(), "%u/%llu/%llu", &owner, &word, &size) != 3) die("no value " + token);
    return mb::object_word{owners[owner], word, size};
}

string show(const mb::value_view& value) {
    string shown = mb::name_of(value.kind());
    if (const auto truth = value.as_bool()) return shown + (*truth ? ":1" : ":0");
    if (const auto number = value.as_int64()) return shown + ':' + std::to_string(*number);
    if (const auto number = value.as_float64()) {
        std::uint64_t bits = 0;
        std::memcpy(&bits, &*number, sizeof bits);
        char hex[20];
        std::snprintf(hex, sizeof hex, ":%016llx", static_cast<unsigned long long>(bits));
        return shown + hex;
    }
    if (const auto text = value.as_string()) return shown + ':' + escape(*text);
    if (const auto data = value.as_bytes())
        return shown + ':' + escape({reinterpret_cast<const char*>(data->data()), data->size()});
    if (const auto object = value.as_object()) return shown + ':' + std::to_string(object->word);
    return shown;
}

// Of a set that is not OK throughout the kind is mixed, whatever its rows are.
string kind_name(mb::kind kind) { return kind <= mb::kind::object ? mb::name_of(kind) : "mixed"; }

// ---- batches

template <class Rows>
void show_batch(Rows& batch, const string& name) {
    const bool is_map = name == "map";
    string shown = "batch " + std::to_string(batch.number()) + ' ' + name + ' ' +
                   (is_map ? "-" : upper_case(batch.trigger())) + ' ' + kind_name(batch.kind()) +
                   " age " + std::to_string(is_map ? 0 : batch.age().count()) + ':';
    for (auto& row : batch) shown += ' ' + show(row.value()) + '@' + std::to_string(row.tag());
    line(shown);
}

template <class Rows>
mb::status act(Rows& batch, const words& action) {
    mb::status answer;
    if (action[0] == "echo" || action[0] == "double") {
        for (auto& row : batch) {
            mb::value_view value = row.value();
            if (action[0] == "double" && value.as_int64())
                value = static_cast<std::int64_t>(2 * static_cast<std::uint64_t>(*value.as_int64()));
            const auto set = row.try_set_result(value);
            if (!set.ok()) answer = set;
        }
    } else if (action[0] == "set") {
        answer = batch[std::stoul(action[1])].try_set_result(parse(action[2]));
    } else if (action[0] == "set_int64s") {
        std::vector<std::int64_t> values(std::stoul(action[1]));
        for (std::size_t at = 0; at < values.size(); ++at) values[at] = std::stol(action[2]) + static_cast<long>(at);
        answer = batch.try_set_results(values);
    } else if (action[0] == "fail") {
        answer = batch[std::stoul(action[1])].try_fail(std::stoi(action[2]), unescape(action[4]), unescape(action[3]));
    } else if (action[0] == "fail_all") {
        answer = batch.try_fail_all(std::stoi(action[1]), unescape(action[3]), unescape(action[2]));
    } else {
        die("no action " + action[0]);
    }
    return answer;
}

void show_results(const mb::results<mb::value>& results, bool is_map);

mb::status on_held(std::size_t at, const words& action) {
    if (action[0] == "keep") return held[at].try_keep();
    if (action[0] == "complete_next") {
        consumed[at] = true;
        const auto answer = batcher->try_complete_next(held[at]);
        const indented inside(1);
        if (answer && *answer) show_results(**answer, false);
        return answer.status();
    }
    const bool ends = action[0] == "complete" || action[0] == "complete_ok" || action[0] == "free";
    if (!ends) return act(held[at], action);
    consumed[at] = true;
    if (action[0] == "complete") return held[at].try_complete();
    return action[0] == "complete_ok" ? held[at].try_complete_ok() : held[at].try_free();
}

// ---- callbacks

// What the script says for this call, one action after the other.
std::vector<string> actions(const string& name) {
    std::vector<string> found;
    auto& script = scripts[name];
    if (script.lines.empty()) return found;
    string rest = script.lines[std::min(script.calls++, script.lines.size() - 1)];
    while (!rest.empty()) {
        const auto end = rest.find(" ; ");
        found.push_back(rest.substr(0, end));
        rest = end == string::npos ? "" : rest.substr(end + 3);
    }
    return found;
}

void callback(const string& name) {
    const indented deeper(1);
    for (const auto& action : actions(name)) step(action.substr(3));
}

mb::status on_batch(const string& name, mb::batch<mb::value, mb::value>& batch) {
    const indented inside(1);
    show_batch(batch, name);
    const indented deeper(1);
    mb::status returned;
    for (const auto& action : actions(name)) {
        const auto parts = split(action);
        if (parts[0] == "do") {
            step(action.substr(3));
        } else if (parts[0] == "return") {
            returned = std::stoi(parts[1]);
        } else if (parts[0] == "keep") {
            auto kept = batch.try_keep();
            if (kept) held.push_back(*std::move(kept)), consumed.push_back(false);
            line("keep -> " + string(kept.status().name()) + " h" + std::to_string(held.size()));
        } else {
            const auto answer = act(batch, parts);
            if (!answer.ok()) line(action + " -> " + answer.name());
        }
    }
    return returned;
}

void show_results(const mb::results<mb::value>& results, bool is_map) {
    const auto count = std::to_string(results.size());
    line(is_map ? "results map count " + count
                : "results batch " + std::to_string(results.batch()) + " count " + count + ' ' + kind_name(results.kind()));
    const indented deeper(1);
    for (const auto& row : results) {
        string shown = std::to_string(row.tag()) + ' ' + upper_case(row.outcome()) + ' ' + upper_case(row.handled()) + ' ';
        if (row.ok()) {
            shown += show(row.value());
        } else {
            const auto error = row.error();
            shown += error.code() < 0 ? error.name()
                                      : std::to_string(error.code()) + ' ' + escape_or_dash(error.type_name()) + ' ' +
                                            escape_or_dash(error.message());
        }
        line(shown);
    }
}

void on_result(const mb::results<mb::value>& results) {
    const indented inside(1);
    show_results(results, false);
    callback("on_result");
}

void on_object(std::uint64_t word) {
    const indented inside(1);
    line("release object " + std::to_string(word));
    callback("on_release");
}

void on_owned(void* data) {
    const auto& push = *static_cast<owned_push*>(data);
    std::memset(push.data, '#', push.size);
    const indented inside(1);
    line("release owned " + std::to_string(push.id));
    callback("on_release");
}

// ---- pushes

mb::push_options push_options(const words& from, char* data, std::size_t size) {
    mb::push_options options;
    if (const char* deadline = option(from, "deadline=")) options.deadline(std::chrono::nanoseconds(std::stoll(deadline)));
    if (const char* id = option(from, "owned="))
        options.release(on_owned, &owned.emplace_back(owned_push{std::stoi(id), data, size}));
    return options;
}

mb::status push(const words& from) {
    const auto value = parse(from[1]);
    const bool has_text = value.as_string() || value.as_bytes();
    char* data = has_text ? texts.back().data() : nullptr;
    const std::size_t size = has_text ? texts.back().size() : 0;
    const auto options = push_options(from, data, size);
    const auto answer = batcher->try_push(value, std::stoull(from[2]), options);
    // What was copied may change.
    if (has_text && !options.has_release()) std::memset(data, '#', size);
    return answer;
}

// Values as the bulk calls and map take them.
struct columns {
    std::vector<mb::value_view> values;
    std::vector<std::int64_t> int64s, large_offsets{0};
    std::vector<double> float64s;
    std::vector<std::uint8_t> validity;
    std::vector<std::int32_t> offsets{0};
    string text;

    columns(const words& from, std::size_t first) {
        for (std::size_t at = first; at < from.size(); ++at) {
            if (from[at].find('=') != string::npos) continue;
            const auto value = parse(from[at]);
            const auto row = values.size();
            values.push_back(value);
            validity.resize(row / 8 + 1);
            if (!value.is_null()) validity[row / 8] = static_cast<std::uint8_t>(validity[row / 8] | 1U << row % 8);
            int64s.push_back(value.as_int64().value_or(0));
            float64s.push_back(value.as_float64().value_or(0));
            text += value.as_string().value_or("");
            offsets.push_back(static_cast<std::int32_t>(text.size()));
            large_offsets.push_back(offsets.back());
        }
    }
};

mb::pushed push_many(const words& from) {
    const columns all(from, 3);
    std::vector<std::uint64_t> list;
    std::istringstream in(from[2]);
    for (string tag; std::getline(in, tag, ',');) list.push_back(std::stoull(tag));
    const auto tags = from[2].find(',') == string::npos ? mb::tags(list[0]) : mb::tags(list);
    string& text = texts.emplace_back(all.text);  // an owned array outlives the call
    const auto options = push_options(from, text.data(), text.size());
    const auto ref = batcher->ref();
    const auto* validity = all.validity.empty() ? nullptr : all.validity.data();
    if (from[1] == "int64s") return ref.try_push_int64s(all.int64s, tags, validity, options);
    if (from[1] == "float64s") return ref.try_push_float64s(all.float64s, tags, validity, options);
    if (from[1] == "strings") return ref.try_push_strings(text.data(), all.offsets, tags, validity, options);
    if (from[1] == "large_strings") return ref.try_push_large_strings(text.data(), all.large_offsets, tags, validity, options);
    return ref.try_push_values(all.values, tags, options);
}

mb::status map(const words& from) {
    const columns all(from, 4);
    const auto how = from[2] == "size" ? mb::split::size(std::stoull(from[3])) : mb::split::batches(std::stoull(from[3]));
    // C++ has one form for values of any kind; the typed ones are for arrays without nulls, and tested elsewhere.
    const auto results =
        mb::try_map<mb::value>(all.values, how, [](auto& batch) { return on_batch("map", batch); });
    if (results) {
        const indented inside(1);
        show_results(*results, true);
    }
    return results.status();
}

// ---- steps

void show_stats() {
    const auto s = batcher->stats();
    std::ostringstream out;
    out << "stats -> accepted " << s.accepted << " ok " << s.ok << " failed " << s.failed << " expired " << s.expired
        << " cancelled " << s.cancelled << " discarded " << s.discarded << " outstanding " << s.outstanding
        << " undelivered " << s.undelivered << " waiting " << s.waiting << " waiting_bytes " << s.waiting_bytes
        << " in_flight " << s.in_flight << " oldest " << s.oldest_in_flight_age << " batches " << s.batches << " late "
        << s.late << " batch_size " << s.batch_size.count << '/' << s.batch_size.sum << '/' << s.batch_size.max
        << " queue_time " << s.queue_time.count << '/' << s.queue_time.sum << '/' << s.queue_time.max << " triggers";
    for (std::uint32_t at = MB_TRIGGER_SIZE; at <= MB_TRIGGER_CLOSE; ++at) {
        const auto trigger = static_cast<mb::trigger>(at);
        if (const auto count = s.sealed_by(trigger)) out << ' ' << upper_case(trigger) << '=' << count;
    }
    out << " refusals";
    for (mb_status code = MB_ERR_WRONG_OWNER; code >= MB_ERR_CLOSED; --code)
        if (const auto count = s.refused(code)) out << ' ' << mb::status(code).name() << '=' << count;
    line(out.str());
}

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

}  // namespace

int main(int argc, char** argv) {
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
