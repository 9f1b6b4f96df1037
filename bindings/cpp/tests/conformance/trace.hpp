// Writing the trace: batches, results and stats as its lines.
#ifndef CONFORMANCE_TRACE_HPP
#define CONFORMANCE_TRACE_HPP

#include <cctype>
#include <sstream>

#include "values.hpp"

namespace runner {

// A name of the library's as the traces have it.
template <class Of>
string upper_case(Of of) {
    string name = mb::name_of(of);
    for (char& letter : name) letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
    return name;
}

template <class Rows>
void show_batch(Rows& batch, const string& name) {
    const bool is_map = name == "map";
    string shown = "batch " + std::to_string(batch.number()) + ' ' + name + ' ' +
                   (is_map ? "-" : upper_case(batch.trigger())) + ' ' + kind_name(batch.kind()) +
                   " age " + std::to_string(is_map ? 0 : batch.age().count()) + ':';
    for (auto& row : batch) shown += ' ' + show(row.value()) + '@' + std::to_string(row.tag());
    line(shown);
}

inline void show_results(const mb::results<mb::value>& results, bool is_map) {
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

inline void show_stats() {
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

}  // namespace runner

#endif
