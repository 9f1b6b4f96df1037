// What is done with a batch: actions on one in a handler or held, and how held ones end.
#ifndef CONFORMANCE_BATCHES_HPP
#define CONFORMANCE_BATCHES_HPP

#include "trace.hpp"

namespace runner {

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

inline mb::status on_held(std::size_t at, const words& action) {
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

}  // namespace runner

#endif
