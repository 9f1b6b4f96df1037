// The handlers and callbacks of a scenario: they do what its script says for this call.
#ifndef CONFORMANCE_CALLBACKS_HPP
#define CONFORMANCE_CALLBACKS_HPP

#include <algorithm>
#include <cstring>

#include "batches.hpp"

namespace runner {

// What the script says for this call, one action after the other.
inline std::vector<string> actions(const string& name) {
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

inline void callback(const string& name) {
    const indented deeper(1);
    for (const auto& action : actions(name)) step(action.substr(3));
}

inline mb::status on_batch(const string& name, mb::batch<mb::value, mb::value>& batch) {
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

inline void on_result(const mb::results<mb::value>& results) {
    const indented inside(1);
    show_results(results, false);
    callback("on_result");
}

inline void on_object(std::uint64_t word) {
    const indented inside(1);
    line("release object " + std::to_string(word));
    callback("on_release");
}

inline void on_owned(void* data) {
    const auto& push = *static_cast<owned_push*>(data);
    std::memset(push.data, '#', push.size);
    const indented inside(1);
    line("release owned " + std::to_string(push.id));
    callback("on_release");
}

}  // namespace runner

#endif
