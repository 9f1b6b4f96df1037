// Words of a scenario: options, escaped text and values, read and shown.
#ifndef CONFORMANCE_VALUES_HPP
#define CONFORMANCE_VALUES_HPP

#include <cstdio>
#include <cstring>
#include <sstream>

#include "session.hpp"

namespace runner {

inline words split(const string& text) {
    std::istringstream in(text);
    words found;
    for (string word; in >> word;) found.push_back(word);
    return found;
}

// The text after `key` in one of the words, or null.
inline const char* option(const words& from, const string& key) {
    for (const auto& word : from)
        if (word.compare(0, key.size(), key) == 0) return word.c_str() + key.size();
    return nullptr;
}

inline string& unescape(const string& text) {
    string& plain = texts.emplace_back();
    if (text == "-") return plain;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] != '%') plain += text[at];
        else plain += static_cast<char>(std::stoi(text.substr(at + 1, 2), nullptr, 16)), at += 2;
    }
    return plain;
}

inline string escape(std::string_view text) {
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

inline string escape_or_dash(std::string_view text) { return text.empty() ? "-" : escape(text); }

inline mb::value_view parse(const string& token) {
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

inline string show(const mb::value_view& value) {
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
inline string kind_name(mb::kind kind) { return kind <= mb::kind::object ? mb::name_of(kind) : "mixed"; }

}  // namespace runner

#endif
