// Micro-batching shown in two parts: values of every kind through a handler for each kind, and 20,000 flights into an
// SQLite database, once with one transaction a row and once in batches.
//
//     cargo build --release
//     c++ -std=c++17 -O2 -Iinclude -Ibindings/cpp/include examples/quickstart.cpp target/release/libmicrobatch.a
//         -lsqlite3 -lpthread -lm -ldl -o target/quickstart_cpp             (Debian: apt install libsqlite3-dev)
//     target/quickstart_cpp [flights.csv [seconds]]
//
// or with CMake: cmake -S bindings/cpp -B build -DMICROBATCH_EXAMPLES=ON; cmake --build build.
//
// The database is SQLite by its C API: every C++ programmer can read it, and every system has it. tests/examples
// builds it with the SQLite that comes with Rust's rusqlite, the very one that the other quickstarts use.
//
// `seconds` bounds the one-transaction-a-row run (default 3). Lines that begin with `rate` are measured and differ from
// run to run; every other line is always the same. examples/quickstart is the same program in Rust.

#include <microbatch.hpp>
#include <sqlite3.h>

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <thread>

using namespace std::chrono_literals;
using text = std::string_view;
using cells = std::vector<mb::value_view>;
using timer = std::chrono::steady_clock;

// ---- The file: lines, and cells as the values they are ----------------------------------------------------------------

struct flights {
    std::string bytes;
    std::vector<text> lines;  // without the header
};

flights read_flights(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) throw std::runtime_error(path + ": cannot be opened");
    flights file{std::string(std::istreambuf_iterator<char>(in), {}), {}};
    text rest = file.bytes;
    for (bool header = true; !rest.empty(); header = false) {
        const text line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(line.size() + 1, rest.size()));
        if (!header) file.lines.push_back(line.substr(0, line.find('\r')));
    }
    // The lines point into the bytes, which stay where they are when the string moves: they are too many to live in it.
    return file;
}

// An integer, nothing (NA in this file), or text.
mb::value_view cell(text word) {
    char* end = nullptr;
    const std::string digits(word);
    const auto number = std::strtoll(digits.c_str(), &end, 10);
    if (word.empty() || word == "NA") return nullptr;
    if (*end == '\0') return static_cast<std::int64_t>(number);
    return word;
}

cells cells_of(text line) {
    cells found;
    for (std::size_t begin = 0; begin <= line.size();) {
        const auto end = std::min(line.find(',', begin), line.size());
        found.push_back(cell(line.substr(begin, end - begin)));
        begin = end + 1;
    }
    return found;
}

// A value as people read it.
std::string shown(const mb::value_view& value) {
    if (const auto number = value.as_int64()) return std::to_string(*number);
    if (const auto string = value.as_string()) return '"' + std::string(*string) + '"';
    if (const auto number = value.as_float64()) {
        char digits[32];
        std::snprintf(digits, sizeof digits, "%.1f", *number);
        return digits;
    }
    return "null";
}

template <class Range, class F>
std::string joined(const Range& range, F show) {
    std::string line;
    for (const auto& each : range) line += (line.empty() ? "" : " ") + show(each);
    return line;
}

// ---- Part one: values of every kind, a handler for each kind, results back in push order -----------------------------

// Flights by their place after the header: the first three, and the first that was cancelled.
constexpr std::size_t chosen[] = {0, 1, 2, 375};

std::string upper_case(std::string name) {
    for (char& letter : name) letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
    return name;
}

template <class Batch>
std::string rows_of(Batch& batch) {
    std::string line;
    for (auto& row : batch) line += (line.empty() ? "" : " ") + shown(row.value());
    return line;
}

template <class Batch>
void report(const char* handler, Batch& batch) {
    std::printf("     batch %llu, %-5s %-7s got %2zu: %s\n", static_cast<unsigned long long>(batch.number()),
                upper_case(mb::name_of(batch.trigger())).c_str(), handler, batch.size(), rows_of(batch).c_str());
}

// A batch of one kind is a plain array, and so are its results.
constexpr auto double_integers = [](auto& batch) {
    report("int64", batch);
    std::vector<std::int64_t> doubled;
    for (const auto number : batch.int64s()) doubled.push_back(number * 2);
    return doubled;
};

constexpr auto halve_floats = [](auto& batch) {
    report("float64", batch);
    std::vector<double> halved;
    for (const auto number : batch.float64s()) halved.push_back(number / 2);
    return halved;
};

// Any batch can be read and answered row by row.
constexpr auto reverse_strings = [](auto& batch) {
    report("string", batch);
    for (auto& row : batch) {
        const auto string = *row.value().as_string();
        row.set_result(std::string(string.rbegin(), string.rend()));  // the text is ASCII
    }
};

// A result need not be of its value's kind.
constexpr auto say_missing = [](auto& batch) {
    report("default", batch);
    for (auto& row : batch) row.set_result("missing");
};

// Pushes the values one by one and returns what comes back, in the order it comes.
std::vector<std::string> through_handlers(const cells& values, std::uint64_t max_batch_size) {
    std::vector<std::string> results;
    mb::batcher<> batcher{
        mb::options{}.mode(mb::mode::manual).max_batch_size(max_batch_size),  // no threads: all runs inside flush
        mb::handler_for(mb::kind::int64, double_integers), mb::handler_for(mb::kind::float64, halve_floats),
        mb::handler_for(mb::kind::string, reverse_strings), mb::handler(say_missing), mb::on_result([&](auto& set) {
            std::printf("     batch %llu: %zu results\n", static_cast<unsigned long long>(set.batch()), set.size());
            for (auto& row : set) results.push_back(row.ok() ? shown(row.value()) : "failed");
        })};
    for (std::size_t tag = 0; tag < values.size(); ++tag) batcher.push(values[tag], tag);
    batcher.flush();
    batcher.close();
    return results;
}

// One handler for all kinds, called on this thread for each batch in turn.
std::vector<std::string> through_map(const cells& values, std::uint64_t batches) {
    const auto results = mb::map(values, mb::split::batches(batches), [](auto& batch) {
        std::printf("     batch %llu, map got %zu: %s\n", static_cast<unsigned long long>(batch.number()), batch.size(),
                    rows_of(batch).c_str());
        for (auto& row : batch) {
            const auto value = row.value();
            if (const auto number = value.as_int64()) row.set_result(*number * 2);
            else if (const auto half = value.as_float64()) row.set_result(*half / 2);
            else if (const auto string = value.as_string()) row.set_result(std::string(string->rbegin(), string->rend()));
            else row.set_result("missing");
        }
    });
    std::vector<std::string> merged;
    for (const auto& result : results) merged.push_back(shown(result.view()));
    return merged;
}

std::string as_is(const std::string& line) { return line; }

void values_of_every_kind(const flights& file) {
    std::printf("1. Values of every kind\n");
    std::printf("   int64 is doubled, float64 halved, a string reversed; the default handler, here for null, says so.\n");

    std::vector<cells> lines;
    cells all;
    for (const auto place : chosen) {
        if (place >= file.lines.size()) continue;
        lines.push_back(cells_of(file.lines[place]));
        all.insert(all.end(), lines.back().begin(), lines.back().end());
    }
    std::printf("\n   The %zu cells of four flights (the last was cancelled), in batches of up to 32:\n\n", all.size());
    const auto merged = through_handlers(all, 32);
    std::printf("\n   pushed, and the results in push order, a flight a line:\n");
    auto from = merged.begin();
    for (const auto& line : lines) {
        const auto to = from + static_cast<std::ptrdiff_t>(line.size());
        std::printf("     %s\n", joined(line, shown).c_str());
        std::printf("  -> %s\n", joined(std::vector<std::string>(from, to), as_is).c_str());
        from = to;
    }

    const cells list{1, 2.0, "hello", "world", 3, 4.0, 5, "Python", 6, 7.0, 8, "deep", "learning", 9, 10.0};
    std::printf("\n   A list of %zu, in 2 batches:\n\n", list.size());
    const auto results = through_handlers(list, 8);
    std::printf("\n     %s\n", joined(list, shown).c_str());
    std::printf("  -> %s\n", joined(results, as_is).c_str());

    std::printf("\n   The same list through map, which needs no batcher, in 2 batches:\n\n");
    const auto mapped = through_map(list, 2);
    std::printf("\n  -> %s\n", joined(mapped, as_is).c_str());
}

// ---- Progress: a bar on a terminal, plain lines otherwise; both go to standard error ----------------------------------

class progress {
public:
    progress(const char* label, std::uint64_t total) : label_(label), total_(total > 0 ? total : 1) {}

    void set(std::uint64_t done) {
        done = std::min(done, total_);
        if (isatty(STDERR_FILENO) != 0) {
            const auto percent = static_cast<int>(done * 100 / total_), width = percent * 40 / 100;
            if (percent != static_cast<int>(done_ * 100 / total_))
                std::fprintf(stderr, "\r   %s [%s%s] %d %%", label_, std::string(static_cast<std::size_t>(width), '#').c_str(),
                             std::string(static_cast<std::size_t>(40 - width), '-').c_str(), percent);
        } else if (done * 4 / total_ > done_ * 4 / total_) {
            std::fprintf(stderr, "   %s: %d %%\n", label_, static_cast<int>(done * 4 / total_ * 25));
        }
        done_ = done;
    }
    void add(std::uint64_t count) { set(done_ + count); }
    void finish() {
        set(total_);
        if (isatty(STDERR_FILENO) != 0) std::fprintf(stderr, "\r%79s\r", "");
    }

private:
    const char* label_;
    std::uint64_t total_, done_ = 0;
};

// ---- SQLite, with errors as exceptions ----------------------------------------------------------------------------------

struct sql_error : std::runtime_error {
    explicit sql_error(sqlite3* database)
        : std::runtime_error(sqlite3_errmsg(database)), code(sqlite3_extended_errcode(database)) {}
    int code;
};

struct closer {
    void operator()(sqlite3* database) const { sqlite3_close(database); }
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using statement = std::unique_ptr<sqlite3_stmt, closer>;

class database {
public:
    explicit database(const std::filesystem::path& path) {
        sqlite3* opened = nullptr;
        const int code = sqlite3_open(path.c_str(), &opened);
        handle_.reset(opened);
        if (code != SQLITE_OK) throw sql_error(opened);
    }
    void run(const char* sql) {
        if (sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) throw sql_error(handle_.get());
    }
    statement prepare(const char* sql) {
        sqlite3_stmt* made = nullptr;
        if (sqlite3_prepare_v2(handle_.get(), sql, -1, &made, nullptr) != SQLITE_OK) throw sql_error(handle_.get());
        return statement(made);
    }
    sqlite3* get() const { return handle_.get(); }

private:
    std::unique_ptr<sqlite3, closer> handle_;
};

constexpr char schema[] = R"(
    CREATE TABLE flights (
        id             INTEGER PRIMARY KEY,
        year           INTEGER NOT NULL,
        month          INTEGER NOT NULL,
        day            INTEGER NOT NULL,
        dep_time       INTEGER,
        sched_dep_time INTEGER NOT NULL,
        dep_delay      INTEGER,
        arr_time       INTEGER,
        sched_arr_time INTEGER NOT NULL,
        arr_delay      INTEGER,
        carrier        TEXT NOT NULL,
        flight         INTEGER NOT NULL,
        tailnum        TEXT,
        origin         TEXT NOT NULL,
        dest           TEXT NOT NULL,
        air_time       INTEGER,
        distance       INTEGER NOT NULL CONSTRAINT distance_is_positive CHECK (distance > 0),
        hour           INTEGER NOT NULL,
        minute         INTEGER NOT NULL,
        time_hour      TEXT NOT NULL,
        UNIQUE (year, month, day, carrier, flight)
    ) STRICT)";

constexpr char insert_sql[] = R"(
    INSERT INTO flights (year, month, day, dep_time, sched_dep_time, dep_delay, arr_time, sched_arr_time, arr_delay,
                         carrier, flight, tailnum, origin, dest, air_time, distance, hour, minute, time_hour)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?))";

// A flight of no distance, which the table does not take.
constexpr text extra = "2013,2,7,1531,1530,1,1828,1855,-27,AA,9999,N3DGAA,JFK,JFK,152,0,15,30,2013-02-07T20:00:00Z";

// The table of flights; throws sql_error, and a transaction goes on after that.
class flight_table {
public:
    explicit flight_table(const std::filesystem::path& path) : database_(path) {
        database_.run(schema);
        insert_ = database_.prepare(insert_sql);
    }

    std::int64_t insert(text line) {
        sqlite3_stmt* insert = insert_.get();
        sqlite3_reset(insert);
        sqlite3_clear_bindings(insert);
        int column = 0;
        for (const auto& cell : cells_of(line)) {
            ++column;
            int code = SQLITE_OK;
            if (const auto number = cell.as_int64()) code = sqlite3_bind_int64(insert, column, *number);
            else if (const auto string = cell.as_string())
                code = sqlite3_bind_text(insert, column, string->data(), static_cast<int>(string->size()), SQLITE_STATIC);
            if (code != SQLITE_OK) throw sql_error(database_.get());
        }
        if (sqlite3_step(insert) != SQLITE_DONE) throw sql_error(database_.get());
        return sqlite3_last_insert_rowid(database_.get());
    }
    void begin() { database_.run("BEGIN"); }
    void commit() {
        sqlite3_reset(insert_.get());
        database_.run("COMMIT");
    }
    void rollback() { sqlite3_exec(database_.get(), "ROLLBACK", nullptr, nullptr, nullptr); }
    void end_row() { sqlite3_reset(insert_.get()); }

private:
    database database_;
    statement insert_;
};

// ---- Part two: 20,000 flights into SQLite, one transaction a row and then a transaction a batch -------------------------

constexpr std::size_t producers = 4;

// What became of one line: its row id, or the code and message of its failure.
struct answer {
    int results = 0;
    std::int64_t id = 0;
    int code = 0;
    std::string message;
};

double seconds_since(timer::time_point begun) { return std::chrono::duration<double>(timer::now() - begun).count(); }

// Every INSERT is its own transaction. Stops at the time limit and returns how many rows it inserted.
std::size_t one_by_one(const std::filesystem::path& path, const flights& file, double limit) {
    flight_table table(path);
    progress shown_progress("one transaction a row", static_cast<std::uint64_t>(limit * 1000));
    const auto begun = timer::now();
    std::size_t count = 0;
    for (const auto line : file.lines) {
        table.insert(line);
        table.end_row();
        ++count;
        shown_progress.set(static_cast<std::uint64_t>(seconds_since(begun) * 1000));
        if (seconds_since(begun) >= limit) break;
    }
    shown_progress.finish();
    return count;
}

// Pushes every line from four threads; the handler inserts a batch in one transaction. Returns the answers by tag.
std::vector<answer> in_batches(const std::filesystem::path& path, const std::vector<text>& lines) {
    flight_table table(path);
    std::vector<answer> answers(lines.size());
    progress shown_progress("a transaction a batch", lines.size());
    mb::batcher<text, std::int64_t> batcher{
        mb::options{}.max_batch_size(512).max_delay(2ms),
        [&](auto& batch) {
            table.begin();
            try {
                for (auto& row : batch) {
                    try {
                        row.set_result(table.insert(row.value()));
                    } catch (const sql_error& error) {
                        row.fail(error.code, error.what(), "sqlite3");
                    }
                }
                table.commit();
            } catch (...) {
                table.rollback();
                throw;  // fails the whole batch
            }
        },
        // Gives each line its answer. Never runs beside itself.
        mb::on_result([&](auto& results) {
            for (auto& row : results) {
                auto& answer = answers.at(row.tag());
                ++answer.results;
                if (row.ok()) answer.id = row.value();
                else answer.code = row.error().code(), answer.message = row.error().message();
            }
            shown_progress.add(results.size());
        })};

    // The tag of a value is the place of its line.
    const std::size_t share = (lines.size() + producers - 1) / producers;
    std::vector<std::thread> threads;
    for (std::size_t from = 0; from < lines.size(); from += share)
        threads.emplace_back([&, from] {
            for (auto at = from; at < std::min(from + share, lines.size()); ++at) batcher.push(lines[at], at);
        });
    for (auto& thread : threads) thread.join();
    batcher.flush();
    shown_progress.finish();

    const auto stats = batcher.stats();
    std::printf("   %llu lines pushed one by one from %zu threads\n", static_cast<unsigned long long>(stats.accepted), producers);
    std::printf("   %llu rows inserted, each answered with its row id\n", static_cast<unsigned long long>(stats.ok));
    std::printf("   %llu row failed, alone\n", static_cast<unsigned long long>(stats.failed));
    batcher.close();
    return answers;
}

// Reads the table back: under each row id stands the line that was answered with it, and nothing else is there.
void verify(const std::filesystem::path& path, const std::vector<text>& lines, const std::vector<answer>& answers) {
    std::map<std::int64_t, text> line_of;
    for (std::size_t at = 0; at < lines.size(); ++at) {
        const auto& answer = answers[at];
        if (answer.results != 1) throw std::runtime_error("a line has " + std::to_string(answer.results) + " results");
        if (answer.code != 0)
            std::printf("   its outcome: FAILED, code %d, \"%s\"\n", answer.code, answer.message.c_str());
        else if (!line_of.emplace(answer.id, lines[at]).second) throw std::runtime_error("a row id came twice");
    }

    database database(path);
    const auto select = database.prepare("SELECT * FROM flights");
    std::size_t found = 0;
    int code = SQLITE_ROW;
    for (; (code = sqlite3_step(select.get())) == SQLITE_ROW; ++found) {
        std::string line;
        for (int column = 1; column <= 19; ++column) {
            const auto* cell = reinterpret_cast<const char*>(sqlite3_column_text(select.get(), column));
            line.append(column > 1 ? "," : "").append(cell != nullptr ? cell : "NA");
        }
        const auto expected = line_of.find(sqlite3_column_int64(select.get(), 0));
        if (expected == line_of.end() || expected->second != line)
            throw std::runtime_error("a row is not the line that was answered with it");
        line_of.erase(expected);
    }
    if (code != SQLITE_DONE) throw sql_error(database.get());
    if (!line_of.empty()) throw std::runtime_error(std::to_string(line_of.size()) + " rows are missing");
    std::printf("   %zu rows read back, each line there exactly once\n", found);
}

// A directory that goes when its owner goes.
struct temporary_directory {
    temporary_directory() {
        auto name = (std::filesystem::temp_directory_path() / "microbatch-quickstart-XXXXXX").string();
        if (mkdtemp(name.data()) == nullptr) throw std::runtime_error(name + ": cannot be made");
        path = name;
    }
    temporary_directory(const temporary_directory&) = delete;
    temporary_directory& operator=(const temporary_directory&) = delete;
    ~temporary_directory() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
    std::filesystem::path path;
};

void a_real_database(const flights& file, double limit) {
    const temporary_directory directory;
    std::printf("\n2. A real database\n\n");
    auto begun = timer::now();
    const auto slow_rows = one_by_one(directory.path / "one-by-one.db", file, limit);
    const double slow_time = seconds_since(begun);

    // The extra line travels in the middle of the others.
    auto lines = file.lines;
    lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(lines.size() / 2), extra);
    begun = timer::now();
    const auto answers = in_batches(directory.path / "in-batches.db", lines);
    const double fast_time = seconds_since(begun);

    verify(directory.path / "in-batches.db", lines, answers);
    const auto slow = static_cast<double>(slow_rows) / slow_time;
    const auto fast = static_cast<double>(file.lines.size()) / fast_time;
    std::printf("\n");
    std::printf("   rate  one transaction a row: %zu rows in %.2f s, %.0f rows/s\n", slow_rows, slow_time, slow);
    std::printf("   rate  a transaction a batch: %zu rows in %.2f s, %.0f rows/s\n", file.lines.size(), fast_time, fast);
    std::printf("   rate  ratio: %.1f\n", fast / slow);
}

int main(int argc, char** argv) {
    try {
        const auto file = read_flights(argc > 1 ? argv[1] : "examples/data/flights-2013-02.csv");
        values_of_every_kind(file);
        a_real_database(file, argc > 2 ? std::atof(argv[2]) : 3.0);
        return EXIT_SUCCESS;
    } catch (const std::exception& error) {
        std::cerr << "quickstart: " << error.what() << '\n';
        return EXIT_FAILURE;
    }
}
