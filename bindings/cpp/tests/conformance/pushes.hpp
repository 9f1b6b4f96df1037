// Pushes one by one and in bulk, and map, which takes its values as bulk pushes do.
#ifndef CONFORMANCE_PUSHES_HPP
#define CONFORMANCE_PUSHES_HPP

#include <cstring>
#include <sstream>

#include "callbacks.hpp"

namespace runner {

inline mb::push_options push_options(const words& from, char* data, std::size_t size) {
    mb::push_options options;
    if (const char* deadline = option(from, "deadline=")) options.deadline(std::chrono::nanoseconds(std::stoll(deadline)));
    if (const char* id = option(from, "owned="))
        options.release(on_owned, &owned.emplace_back(owned_push{std::stoi(id), data, size}));
    return options;
}

inline mb::status push(const words& from) {
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

inline mb::pushed push_many(const words& from) {
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

inline mb::status map(const words& from) {
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

}  // namespace runner

#endif
