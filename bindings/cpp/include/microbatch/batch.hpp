// What a handler works on: mb::batch, its rows, and batches held past the handler.
#ifndef MICROBATCH_BATCH_HPP
#define MICROBATCH_BATCH_HPP

#include "control.hpp"
#include "hub.hpp"

#include <iterator>

MB_CPP_BEGIN

template <class T, class R>
class batcher;

template <class T, class R>
class row;
template <class T, class R>
class held_batch;

// The rows of a batch, in a handler or held. Values that were read are the batch's: good until it is completed, or its
// handler returns.
template <class T, class R>
class batch_rows {
public:
    using value_type = row<T, R>;
    class iterator;

    std::size_t size() const noexcept { return view_.count; }
    bool empty() const noexcept { return view_.count == 0; }
    // 1, 2, 3, ... in order of dispatch; the parts of a batch share its number. Inside map the parts count from 1.
    std::uint64_t number() const noexcept { return view_.number; }
    mb::trigger trigger() const noexcept { return static_cast<mb::trigger>(view_.trigger); }
    // From the acceptance of its first value to its dispatch.
    std::chrono::nanoseconds age() const noexcept { return std::chrono::nanoseconds(view_.age); }
    // The one kind of all rows, or mixed.
    mb::kind kind() const noexcept { return static_cast<mb::kind>(view_.kind); }
    // The tag of each row.
    span<const std::uint64_t> tags() const noexcept { return {view_.tags, view_.count}; }
    // All columns, as in C.
    const mb_batch_view& view() const noexcept { return view_; }

    row<T, R> operator[](std::size_t at) noexcept { return row<T, R>(this, at); }
    iterator begin() noexcept { return iterator(this, 0); }
    iterator end() noexcept { return iterator(this, view_.count); }

    // The values as the plain array that the pushes wrote, if all rows are of that kind, and else an empty span.
    span<const std::int64_t> int64s() const noexcept { return column<std::int64_t>(MB_KIND_INT64); }
    span<const double> float64s() const noexcept { return column<double>(MB_KIND_FLOAT64); }
    // The rows of one kind as contiguous columns, made at the first call.
    expected<mb_column> try_gather(mb::kind kind) noexcept {
        mb_column column{};
        column.struct_size = sizeof column;
        const auto code = api_->mb_batch_gather(handle_, static_cast<std::uint32_t>(kind), &column);
        return detail::expect(api_, code, column);
    }

    // Sets all rows at once, from any range of as many results. RESULT_COUNT if it is of another length: then the part
    // fails with both lengths in words.
    template <class Range>
    mb::status try_set_results(const Range& results) {
        if constexpr (detail::is_contiguous<const Range>::value) {
            using element = std::remove_cv_t<detail::element_of<const Range>>;
            constexpr bool exact = std::is_same_v<R, element> || std::is_same_v<R, value>;
            if constexpr (exact && std::is_same_v<element, std::int64_t>)
                return api_->mb_batch_set_int64s(handle_, results.data(), nullptr, results.size());
            if constexpr (exact && std::is_same_v<element, double>)
                return api_->mb_batch_set_float64s(handle_, results.data(), nullptr, results.size());
        }
        std::size_t count = 0;
        for (auto at = std::begin(results); at != std::end(results); ++at) ++count;
        if (count != view_.count) {
            const mb_value none{};
            return api_->mb_batch_set_values(handle_, &none, count);
        }
        std::size_t at = 0;
        for (const auto& result : results) {
            const auto status = (*this)[at++].try_set_result(result);
            if (!status.ok()) return status;
        }
        return MB_OK;
    }
    // Fails the whole part when it completes, whatever else is set. code: a positive one of yours, or the library's.
    mb::status try_fail_all(mb_status code, std::string_view message, const std::string& type_name = {}) noexcept {
        return api_->mb_batch_fail_all(handle_, code, name_or_null(type_name), message.data(), message.size());
    }
#if MB_CPP_EXCEPTIONS
    mb_column gather(mb::kind kind) { return try_gather(kind).value(); }
    template <class Range>
    void set_results(const Range& results) {
        detail::throw_unless_ok(api_, try_set_results(results));
    }
    void fail_all(mb_status code, std::string_view message, const std::string& type_name = {}) {
        detail::throw_unless_ok(api_, try_fail_all(code, message, type_name));
    }
#endif

    // For the C API.
    mb_batch* handle() const noexcept { return handle_; }
    const mb_api* api() const noexcept { return api_; }

protected:
    batch_rows() noexcept : api_(mb_api_table()), handle_(nullptr), realm_(nullptr) {}
    batch_rows(const mb_api* api, mb_batch* handle, detail::realm* realm) noexcept
        : api_(api), handle_(handle), realm_(realm) {
        view_.struct_size = sizeof view_;
        // Of a batch that is none every function says so.
        if (api_->mb_batch_get_view(handle_, &view_) != MB_OK) view_.count = 0;
    }
    batch_rows(const batch_rows&) = default;
    batch_rows& operator=(const batch_rows&) = default;
    ~batch_rows() = default;

    static const char* name_or_null(const std::string& name) noexcept { return name.empty() ? nullptr : name.c_str(); }

    const mb_api* api_;
    mb_batch* handle_;
    detail::realm* realm_;
    mb_batch_view view_{};

private:
    friend class row<T, R>;

    template <class C>
    span<const C> column(std::uint32_t kind) const noexcept {
        if (view_.kind != kind) return {};
        return {static_cast<const C*>(view_.values), view_.count};
    }

    // One row's value as the C struct: from the columns where they have it, and else from the library.
    mb_status raw(std::size_t at, mb_value& into) const noexcept {
        if (at < view_.count && (view_.kind == MB_KIND_INT64 || view_.kind == MB_KIND_FLOAT64)) {
            // Both are 8 bytes, and the union's members begin where it does.
            into.kind = view_.kind;
            into.as.int64 = static_cast<const std::int64_t*>(view_.values)[at];
            return MB_OK;
        }
        return api_->mb_batch_value(handle_, at, &into);
    }
};

// One row of a batch: a value, and the place for its result.
template <class T, class R>
class row {
public:
    std::size_t index() const noexcept { return at_; }
    std::uint64_t tag() const noexcept { return rows_->view_.tags[at_]; }
    // When the value expires, on the batcher's clock; 0 is never.
    std::chrono::nanoseconds deadline() const noexcept {
        const auto* deadlines = rows_->view_.deadlines;
        return std::chrono::nanoseconds(deadlines == nullptr ? 0 : deadlines[at_]);
    }
    mb::kind kind() const noexcept { return static_cast<mb::kind>(rows_->view_.kinds[at_]); }

    // The value, if it is one of T: INVALID_ARGUMENT for another kind, OUT_OF_RANGE for a number that T does not hold.
    // (Values of other kinds get here only by batcher::ref() and from other languages.) An object is the very one that
    // was pushed; it may be moved from.
    expected<detail::read_of<T>> try_value() const {
        mb_value raw{};
        mb_status code = rows_->raw(at_, raw);
        if constexpr (detail::is_object<T>) {
            if (code == MB_OK)
                if (T* object = detail::object_in<T>(rows_->realm_, raw, in_place())) return object;
            if (code == MB_OK) code = MB_ERR_INVALID_ARGUMENT;
        } else {
            std::optional<detail::view_of<T>> read;
            if (code == MB_OK) code = detail::codec<T>::decode(raw, read);
            if (code == MB_OK) return *read;
        }
        return mb::error::of(rows_->api_, code);
    }
    // The C++ object in a row of mb::values; nullptr if it is something else.
    const mb::object* object() const noexcept {
        mb_value raw{};
        if (rows_->raw(at_, raw) != MB_OK) return nullptr;
        return detail::object_in<mb::object>(rows_->realm_, raw, in_place());
    }

    // Sets the result; set again, the last one counts. An object R is moved or copied in, with its size in bytes.
    template <class U, class Result = R, std::enable_if_t<!std::is_void_v<Result>, int> = 0>
    mb::status try_set_result(U&& result, std::uint64_t size = 0) {
        using type = detail::bare<U>;
        if constexpr (detail::is_object<R>) {
            return set_object(detail::cell_of<R>::make(std::forward<U>(result)), size);
        } else {
            // A C++ object becomes an mb::value by a reference of its own, also one that is seen in a row here.
            [[maybe_unused]] const mb::object* shared = nullptr;
            if constexpr (std::is_same_v<type, mb::value>) shared = result.as_object();
            if constexpr (std::is_same_v<type, value_view>)
                shared = detail::object_in<mb::object>(rows_->realm_, result.raw(), in_place());
            if constexpr (std::is_same_v<R, mb::value>)
                if (shared != nullptr) return set_object(detail::cell_of<mb::object>::make(*shared), size);
            if constexpr (std::is_same_v<R, mb::value> && std::is_same_v<type, mb::object>) {
                return set_object(detail::cell_of<mb::object>::make(result), size);
            } else if constexpr (detail::encodes_in_place<R, type>()) {
                return detail::set_row(rows_->api_, rows_->handle_, at_, detail::encode_as<R>(result));
            } else {
                const R made(std::forward<U>(result));
                return detail::set_row(rows_->api_, rows_->handle_, at_, detail::codec<R>::encode(made));
            }
        }
    }
    // Where there are no results (R is void): the row is done.
    template <class Result = R, std::enable_if_t<std::is_void_v<Result>, int> = 0>
    mb::status try_set_result(std::monostate = {}) {
        return rows_->api_->mb_batch_set_null(rows_->handle_, at_);
    }
    // Fails the row. code: a positive one of yours, or the library's; message: UTF-8.
    mb::status try_fail(mb_status code, std::string_view message, const std::string& type_name = {}) noexcept {
        return rows_->api_->mb_batch_fail(rows_->handle_, at_, code, rows_->name_or_null(type_name), message.data(),
                                          message.size());
    }
#if MB_CPP_EXCEPTIONS
    detail::view_of<T> value() const {
        if constexpr (detail::is_object<T>) return *try_value().value();
        else return try_value().value();
    }
    template <class... Result>
    void set_result(Result&&... result) {
        detail::throw_unless_ok(rows_->api_, try_set_result(std::forward<Result>(result)...));
    }
    void fail(mb_status code, std::string_view message, const std::string& type_name = {}) {
        detail::throw_unless_ok(rows_->api_, try_fail(code, message, type_name));
    }
#endif

private:
    friend class batch_rows<T, R>;
    row(batch_rows<T, R>* rows, std::size_t at) noexcept : rows_(rows), at_(at) {}

    bool in_place() const noexcept { return rows_->realm_ != nullptr && rows_->realm_->in_place(); }

    mb::status set_object(detail::cell* made, std::uint64_t size) {
        if (made == nullptr) return MB_ERR_NO_MEMORY;
        if (rows_->realm_ == nullptr) {
            made->release();
            return MB_ERR_WRONG_OWNER;
        }
        return rows_->realm_->hand_over(rows_->api_, rows_->handle_, at_, made, size);
    }

    batch_rows<T, R>* rows_;
    std::size_t at_;
};

// Goes over the rows; holds the one that it is at.
template <class T, class R>
class batch_rows<T, R>::iterator {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = row<T, R>;
    using difference_type = std::ptrdiff_t;
    using pointer = row<T, R>*;
    using reference = row<T, R>&;

    iterator(batch_rows* rows, std::size_t at) noexcept : row_(rows, at) {}
    reference operator*() noexcept { return row_; }
    pointer operator->() noexcept { return &row_; }
    iterator& operator++() noexcept { return ++row_.at_, *this; }
    friend bool operator==(const iterator& left, const iterator& right) noexcept {
        return left.row_.index() == right.row_.index();
    }
    friend bool operator!=(const iterator& left, const iterator& right) noexcept { return !(left == right); }

private:
    row<T, R> row_;
};

// A batch in its handler, borrowed until the handler returns. What was set counts when it returns; if it throws, its
// part fails with the exception.
template <class T, class R>
class batch : public batch_rows<T, R> {
public:
    // In a handler given by address the hub is missing: C++ objects cannot be read or made there.
    batch(const mb_api* api, mb_batch* handle, detail::realm* realm = nullptr, detail::hub* hub = nullptr) noexcept
        : batch_rows<T, R>(api, handle, realm), hub_(hub) {}
    batch(const batch&) = delete;
    batch& operator=(const batch&) = delete;

    // Keeps the batch past its handler; what the handler returns does not count then. The slot stays taken until the
    // held batch is completed or handler_timeout ends it. TOO_LATE if its outcomes stand already.
    expected<held_batch<T, R>> try_keep() noexcept {
        const auto code = this->api_->mb_batch_keep(this->handle_);
        if (code != MB_OK) return mb::error::of(this->api_, code);
        kept_ = true;
        return held_batch<T, R>(*this, hub_);
    }
#if MB_CPP_EXCEPTIONS
    held_batch<T, R> keep() { return try_keep().value(); }
#endif
    bool is_kept() const noexcept { return kept_; }

private:
    detail::hub* hub_;
    bool kept_ = false;
};

// A batch kept by its handler or taken with next_batch, to be finished from any thread, by one thread, once. Destroyed
// without that, its values fail with NO_RESULT. It may outlive the batcher.
template <class T, class R>
class held_batch : public batch_rows<T, R> {
public:
    // None yet: every call answers INVALID_HANDLE.
    held_batch() noexcept : held_(false) {}
    held_batch(held_batch&& other) noexcept
        : batch_rows<T, R>(other), hub_(std::move(other.hub_)), held_(std::exchange(other.held_, false)) {
        other.handle_ = nullptr;
        other.view_.count = 0;
    }
    held_batch& operator=(held_batch&& other) noexcept {
        if (this == &other) return *this;
        give_up();
        batch_rows<T, R>::operator=(other);
        hub_ = std::move(other.hub_);
        held_ = std::exchange(other.held_, false);
        other.handle_ = nullptr;
        other.view_.count = 0;
        return *this;
    }
    ~held_batch() { give_up(); }

    // Completes the batch: what was set counts, rows without a result fail with NO_RESULT. TOO_LATE if its outcomes
    // stood already; it is finished in any case.
    mb::status try_complete() noexcept { return finish(this->api_->mb_batch_complete(this->handle_)); }
    // The same, but rows without a result are OK, with null.
    mb::status try_complete_ok() noexcept { return finish(this->api_->mb_batch_complete_ok(this->handle_)); }
    // Of a part that was pulled for a handler of the host's: the handler has returned, and the part is held on; the next
    // part of its batch may be pulled. TOO_LATE if its outcomes stand already.
    mb::status try_keep() noexcept { return this->api_->mb_batch_keep(this->handle_); }
    // Gives it up now: its values fail with NO_RESULT.
    mb::status try_free() noexcept { return finish(this->api_->mb_batch_free(this->handle_)); }
#if MB_CPP_EXCEPTIONS
    void complete() { detail::throw_unless_ok(this->api_, try_complete()); }
    void complete_ok() { detail::throw_unless_ok(this->api_, try_complete_ok()); }
    void keep() { detail::throw_unless_ok(this->api_, try_keep()); }
#endif

    // For the wrapper: a batch that is held already.
    held_batch(const batch_rows<T, R>& rows, detail::hub* hub) noexcept
        : batch_rows<T, R>(rows), hub_(hub), held_(true) {}
    held_batch(const mb_api* api, mb_batch* handle, detail::realm* realm, detail::hub* hub) noexcept
        : batch_rows<T, R>(api, handle, realm), hub_(hub), held_(true) {}

private:
    friend class batcher<T, R>;

    mb::status finish(mb_status code) noexcept {
        // The handle stays, so that a second completion is answered, and counted, by the library.
        held_ = false;
        this->view_.count = 0;
        return code;
    }

    void give_up() noexcept {
        if (!held_) return;
#if MB_CPP_EXCEPTIONS
        // An exception on its way out of the very handler that kept the batch is what its values fail with.
        auto* handler = detail::frame::top();
        if (std::uncaught_exceptions() > 0 && handler != nullptr && handler->batch == this->handle_) {
            handler->adopted = true;
            held_ = false;
            return;
        }
#endif
        static_cast<void>(try_free());
    }

    detail::hub_pointer hub_;
    bool held_;
};

MB_CPP_END

#endif
