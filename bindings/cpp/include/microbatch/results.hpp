// What comes back: mb::results, as on_result borrows them, next_results hands them out, and map returns them.
#ifndef MICROBATCH_RESULTS_HPP
#define MICROBATCH_RESULTS_HPP

#include "batch.hpp"

MB_CPP_BEGIN

template <class R>
class results;

// One value's result.
template <class R>
class result_row {
public:
    std::size_t index() const noexcept { return at_; }
    std::uint64_t tag() const noexcept { return set_->view_.tags[at_]; }
    mb::outcome outcome() const noexcept {
        const auto* outcomes = set_->view_.outcomes;
        return outcomes == nullptr ? mb::outcome::ok : static_cast<mb::outcome>(outcomes[at_]);
    }
    bool ok() const noexcept { return outcome() == mb::outcome::ok; }
    mb::handled handled() const noexcept {
        const auto* handled = set_->view_.handled;
        return handled == nullptr ? mb::handled::yes : static_cast<mb::handled>(handled[at_]);
    }
    mb::kind kind() const noexcept { return static_cast<mb::kind>(set_->view_.kinds[at_]); }

    // The result, or why there is none.
    expected<detail::read_of<R>> try_value() const {
        mb_value raw{};
        mb_status code = set_->raw(at_, raw);
        if (!ok()) return error();
        if constexpr (detail::is_object<R>) {
            if (code == MB_OK)
                if (R* object = detail::object_in<R>(set_->realm_, raw)) return object;
            if (code == MB_OK) code = MB_ERR_INVALID_ARGUMENT;
        } else {
            std::optional<detail::view_of<R>> read;
            if (code == MB_OK) code = detail::codec<R>::decode(raw, read);
            if (code == MB_OK) return *read;
        }
        return mb::error::of(set_->api_, code);
    }
    // The C++ object in a result that is an mb::value; nullptr if it is something else.
    const mb::object* object() const noexcept {
        mb_value raw{};
        if (set_->raw(at_, raw) != MB_OK) return nullptr;
        return detail::object_in<mb::object>(set_->realm_, raw);
    }
    // Why the row is not OK: code, words, whether a handler saw the value, and the exception itself if a handler of this
    // program threw one. Of a row that is OK: NOT_FOUND.
    mb::error error() const noexcept {
        mb_row_error row{};
        row.struct_size = sizeof row;
        const auto code = set_->api_->mb_results_error(set_->handle_, at_, &row);
        if (code != MB_OK) return mb::error::of(set_->api_, code);
        return mb::error::of(set_->api_, row,
                             set_->causes_ == nullptr ? nullptr : set_->causes_->find(set_->number_, at_));
    }
#if MB_CPP_EXCEPTIONS
    detail::view_of<R> value() const {
        if constexpr (detail::is_object<R>) return *try_value().value();
        else return try_value().value();
    }
#endif

private:
    friend class results<R>;
    result_row(const results<R>* set, std::size_t at) noexcept : set_(set), at_(at) {}

    const results<R>* set_;
    std::size_t at_;
};

// A set of results: those of one batch, or of values that were never dispatched. Borrowed for the call of on_result.
template <class R>
class results {
public:
    class iterator;

    results(const mb_api* api, const mb_results* handle, detail::realm* realm = nullptr,
            detail::causes* causes = nullptr) noexcept
        : api_(api), handle_(handle), realm_(realm), causes_(causes) {
        view_.struct_size = sizeof view_;
        if (api_->mb_results_get_view(handle_, &view_) != MB_OK) view_.count = 0;
        number_ = view_.batch;
    }

    std::size_t size() const noexcept { return view_.count; }
    bool empty() const noexcept { return view_.count == 0; }
    // The number of the batch; 0 if it was never dispatched.
    std::uint64_t batch() const noexcept { return view_.batch; }
    bool all_ok() const noexcept { return view_.all_ok != 0; }
    // The kind of all results if all are OK and of one kind, and else mixed.
    mb::kind kind() const noexcept { return static_cast<mb::kind>(view_.kind); }
    span<const std::uint64_t> tags() const noexcept { return {view_.tags, view_.count}; }
    // The results as a plain array, if all are OK and of that kind, and else an empty span.
    span<const std::int64_t> int64s() const noexcept { return column<std::int64_t>(MB_KIND_INT64); }
    span<const double> float64s() const noexcept { return column<double>(MB_KIND_FLOAT64); }
    // All columns, as in C.
    const mb_results_view& view() const noexcept { return view_; }

    result_row<R> operator[](std::size_t at) const noexcept { return result_row<R>(this, at); }
    iterator begin() const noexcept { return iterator(this, 0); }
    iterator end() const noexcept { return iterator(this, view_.count); }

    // For the C API.
    const mb_results* handle() const noexcept { return handle_; }
    const mb_api* api() const noexcept { return api_; }

protected:
    friend class result_row<R>;

    template <class C>
    span<const C> column(std::uint32_t kind) const noexcept {
        if (view_.kind != kind) return {};
        return {static_cast<const C*>(view_.values), view_.count};
    }

    mb_status raw(std::size_t at, mb_value& into) const noexcept {
        if (at < view_.count && (view_.kind == MB_KIND_INT64 || view_.kind == MB_KIND_FLOAT64)) {
            into.kind = view_.kind;
            into.as.int64 = static_cast<const std::int64_t*>(view_.values)[at];
            return MB_OK;
        }
        return api_->mb_results_value(handle_, at, &into);
    }

    const mb_api* api_;
    const mb_results* handle_;
    detail::realm* realm_;
    detail::causes* causes_;
    mb_results_view view_{};
    std::uint64_t number_ = 0;  // by which causes are found
};

template <class R>
class results<R>::iterator {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = result_row<R>;
    using difference_type = std::ptrdiff_t;
    using pointer = const result_row<R>*;
    using reference = const result_row<R>&;

    iterator(const results* set, std::size_t at) noexcept : row_(set, at) {}
    reference operator*() const noexcept { return row_; }
    pointer operator->() const noexcept { return &row_; }
    iterator& operator++() noexcept { return row_ = (*row_.set_)[row_.at_ + 1], *this; }
    friend bool operator==(const iterator& left, const iterator& right) noexcept {
        return left.row_.index() == right.row_.index();
    }
    friend bool operator!=(const iterator& left, const iterator& right) noexcept { return !(left == right); }

private:
    result_row<R> row_;
};

// A set of results of one's own: pulled, or made by map. It gives them back when it is destroyed, and may outlive the
// batcher.
template <class R>
class owned_results : public results<R> {
public:
    owned_results(owned_results&& other) noexcept
        : results<R>(other), hub_(std::move(other.hub_)), own_(std::move(other.own_)) {
        other.handle_ = nullptr;
        other.view_.count = 0;
    }
    owned_results& operator=(owned_results&& other) noexcept {
        if (this == &other) return *this;
        give_back();
        results<R>::operator=(other);
        hub_ = std::move(other.hub_);
        own_ = std::move(other.own_);
        other.handle_ = nullptr;
        other.view_.count = 0;
        return *this;
    }
    ~owned_results() { give_back(); }

    // For the wrapper. What else has to live as long as the set: its exceptions, and the objects of map.
    struct keepsake : detail::realm {
        keepsake() = default;
        keepsake(std::uint32_t owner, bool in_place) noexcept {
            owner_ = owner;
            in_place_ = in_place;
        }
        detail::causes causes;
    };
    owned_results(const mb_api* api, const mb_results* handle, detail::hub* hub,
                  std::unique_ptr<keepsake> own) noexcept
        : results<R>(api, handle, hub != nullptr ? hub : static_cast<detail::realm*>(own.get()),
                     own == nullptr ? nullptr : &own->causes),
          hub_(hub), own_(std::move(own)) {
        if (own_ == nullptr) return;
        if (own_->in_place()) this->number_ = detail::causes::map;
        else if (hub != nullptr) hub->causes().move_to(own_->causes, this->view_.batch);
    }

private:
    void give_back() noexcept {
        if (this->handle_ != nullptr)
            static_cast<void>(this->api_->mb_results_free(const_cast<mb_results*>(this->handle_)));
        this->handle_ = nullptr;
    }

    detail::hub_pointer hub_;
    std::unique_ptr<keepsake> own_;
};

MB_CPP_END

#endif
