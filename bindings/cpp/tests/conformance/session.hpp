// What steps and callbacks share: the batcher, its scripts, what is held, and how deep the trace is.
#ifndef CONFORMANCE_SESSION_HPP
#define CONFORMANCE_SESSION_HPP

#include <cstdlib>
#include <deque>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "microbatch.hpp"

namespace runner {

using std::string;
using words = std::vector<string>;
using held_batch = mb::held_batch<mb::value, mb::value>;

struct script {
    std::vector<string> lines;
    std::size_t calls = 0;
};
struct owned_push {
    int id;
    char* data;
    std::size_t size;
};

inline std::unique_ptr<mb::batcher<>> batcher;
inline std::map<string, script> scripts;  // call n of a callback does what line n says, then the last one
inline std::deque<held_batch> held;       // h1 is held[0]; it stays here after it is completed
inline std::vector<bool> consumed;
inline std::vector<mb::mark> marks;
inline std::uint32_t owners[3];
inline std::deque<owned_push> owned;
inline std::deque<string> texts;  // decoded strings live until the process ends
inline bool freed = false;
inline int depth = 0;

void step(const string& text);

[[noreturn]] inline void die(const string& what) {
    std::cerr << "conformance: " << what << '\n';
    std::exit(2);
}

inline void line(const string& text) { std::cout << string(static_cast<std::size_t>(2 * depth), ' ') << text << '\n'; }

struct indented {
    explicit indented(int by) : by_(by) { depth += by; }
    ~indented() { depth -= by_; }
    int by_;
};

}  // namespace runner

#endif
