// The callbacks of one batcher: what the library calls, and what of the user's it calls in turn.
#ifndef MICROBATCH_TYPED_HUB_HPP
#define MICROBATCH_TYPED_HUB_HPP

#include "future.hpp"

MB_CPP_BEGIN

// A coroutine to be resumed: call it once, wherever it should go on. See resume_with.
class resumption {
public:
    explicit resumption(detail::continuation* of) noexcept : of_(of) {}
    void operator()() const { of_->run(of_); }

private:
    detail::continuation* of_;
};

namespace detail {

// Exceptions of a callback go no further than `otherwise`. A thread that ends inside it (pthread_exit) does so by an
// unwinding that nobody may stop; it has no object, and the reference to it is one to nothing.
template <class Work, class Otherwise>
__attribute__((noinline, no_sanitize("null"))) void guarded(Work work, Otherwise otherwise) {
#if MB_CPP_EXCEPTIONS
    try {
        work();
    } catch (const abi::__forced_unwind&) {
        throw;
    } catch (...) {
        otherwise();
    }
#else
    static_cast<void>(otherwise);
    work();
#endif
}

template <class A>
inline constexpr bool is_code = std::is_same_v<A, status> || (std::is_integral_v<A> && !std::is_same_v<A, bool>);

// Calls a handler and makes what it returns the part's answer.
template <class T, class R, class F>
mb_status answer_of(F& handler, batch<T, R>& rows) {
    using answer = bare<std::invoke_result_t<F&, batch<T, R>&>>;
    static_assert(!std::is_same_v<answer, bool>, "a handler returns nothing, a status, an mb::error or all results");
    if constexpr (std::is_void_v<answer>) {
        handler(rows);
        return MB_OK;
    } else if constexpr (std::is_same_v<answer, status>) {
        return handler(rows).code();
    } else if constexpr (is_code<answer>) {
        return static_cast<mb_status>(handler(rows));
    } else if constexpr (std::is_same_v<answer, error>) {
        const error failure = handler(rows);
        return fail_part(rows.api(), rows.handle(), failure) == MB_OK ? MB_OK : failure.code();
    } else if constexpr (std::is_same_v<answer, expected<void>>) {
        const auto done = handler(rows);
        if (done) return MB_OK;
        return fail_part(rows.api(), rows.handle(), done.error()) == MB_OK ? MB_OK : done.error().code();
    } else {
        const auto set = rows.try_set_results(handler(rows));
        // Of a wrong length the part has failed already, with both lengths.
        return set == MB_ERR_RESULT_COUNT ? MB_OK : set.code();
    }
}

// A handler at work: whatever leaves it becomes the outcome of its part.
template <class T, class R, class F>
mb_status run_handler(F& handler, mb_batch* handle, const mb_api* api, realm* realm, hub* hub, causes* causes) {
    batch<T, R> rows(api, handle, realm, hub);
    [[maybe_unused]] const mb_batch_view view = rows.view();
    [[maybe_unused]] frame here(handle);
    [[maybe_unused]] auto* remember = causes;
    mb_status answer = MB_OK;
    guarded([&] { answer = answer_of<T, R>(handler, rows); },
            [&] {
#if MB_CPP_EXCEPTIONS
                // What somebody else holds may be gone by now, and its columns with it.
                if (rows.is_kept() && !here.adopted) remember = nullptr;
                const error failure = describe_current_exception();
                const auto serial = remember == nullptr ? 0
                                                        : remember->add(view, realm != nullptr && realm->in_place(),
                                                                        std::current_exception());
                const auto status = fail_part(api, handle, failure);
                if (here.adopted) static_cast<void>(api->mb_batch_complete(handle));
                if (status != MB_OK && serial != 0) remember->forget_one(serial);
                answer = status == MB_OK || status == MB_ERR_TOO_LATE ? MB_OK : MB_ERR_HANDLER_FAILED;
#endif
            });
    return answer;
}

// What the library's object functions and log are given; the handlers have one each.
template <class T, class R>
class typed_hub final : public hub {
public:
    struct handler_base {
        virtual ~handler_base() = default;
        virtual mb_status run(mb_batch* batch, const mb_api* api) = 0;
        typed_hub* home = nullptr;
    };
    struct on_result_base {
        virtual ~on_result_base() = default;
        virtual void run(const results<R>& set) = 0;
    };
    struct on_log_base {
        virtual ~on_log_base() = default;
        virtual void run(std::int32_t level, std::string_view line) = 0;
    };
    struct on_object_base {
        virtual ~on_object_base() = default;
        virtual void run(std::uint64_t word) = 0;
    };
    struct resume_base {
        virtual ~resume_base() = default;
        virtual void run(resumption coroutine) = 0;
    };

    explicit typed_hub(const mb_api* api) noexcept : hub(api) {}
    ~typed_hub() override {
        if (pool_ != nullptr) pool_->close();
    }

    pool<R>* futures() const noexcept { return pool_; }

    // How long the destructor drains: what the option says, or else the default as the library's table has it.
    std::int64_t close_timeout() const noexcept {
        mb_options scratch{};
        static_cast<void>(api_->mb_options_init(&scratch, sizeof scratch));
        const mb_option_info* table = nullptr;
        std::size_t count = 0;
        static_cast<void>(api_->mb_option_table(&table, &count));
        for (std::size_t at = 0; at < count && close_timeout_ == 0; ++at)
            if (table[at].offset == offsetof(mb_options, close_timeout))
                static_cast<void>(api_->mb_options_set(&scratch, table[at].name, table[at].default_text, nullptr));
        return close_timeout_ != 0 ? close_timeout_ : scratch.close_timeout;
    }

    // What is filled in by the parts.
    std::unique_ptr<handler_base> handlers[MB_KINDS + 1];
    std::unique_ptr<on_result_base> on_result;
    std::unique_ptr<on_log_base> on_log;
    std::unique_ptr<on_object_base> on_object;
    std::unique_ptr<resume_base> resume;

    // Makes the batcher. `options` has what is native; nothing is released if this fails.
    mb_status start(mb_options options, bool counted, mb_batcher*& made, mb_error*& trouble) {
        const bool pulled = options.results == MB_RESULTS_PULL;
        close_timeout_ = options.close_timeout;
        std::uint32_t references = 0;
        if (may_be_object<T> || may_be_object<R>) {
            if (options.owner == 0 && options.object_release == nullptr) {
                const auto code = api_->mb_owner_new(&options.owner);
                if (code != MB_OK) return code;
                owner_ = options.owner;
            }
        }
        if (on_object != nullptr || owner_ != 0) {
            options.object_release = [](void* self, std::uint64_t word) { of(self).take_object(word); };
            options.object_data = this;
            options.object_data_release = [](void* self) { of(self).release(); };
            ++references;
        }
        for (std::size_t kind = 0; kind <= MB_KINDS; ++kind) {
            if (handlers[kind] == nullptr) continue;
            handlers[kind]->home = this;
            const mb_handler entry{
                [](void* self, mb_batch* batch, const mb_api* api) {
                    return static_cast<handler_base*>(self)->run(batch, api);
                },
                handlers[kind].get(), [](void* self) { static_cast<handler_base*>(self)->home->release(); }};
            if (kind < MB_KINDS) {
                options.by_kind[kind] = entry;
            } else {
                options.handler = entry.call;
                options.handler_data = entry.user_data;
                options.handler_release = entry.release;
            }
            ++references;
        }
        if (on_result != nullptr) {
            options.on_result = [](void* self, const mb_results* set, const mb_api*) { of(self).deliver(set); };
        } else if (options.on_result == nullptr && !pulled && !counted) {
            pool_ = new (std::nothrow) pool<R>(api_, options.mode == MB_MODE_MANUAL);
            if (pool_ == nullptr) return MB_ERR_NO_MEMORY;
            options.on_result = [](void* self, const mb_results* set, const mb_api*) { of(self).fulfil(set); };
        }
        if (on_result != nullptr || pool_ != nullptr) {
            options.result_data = this;
            options.result_release = [](void* self) { of(self).release(); };
            ++references;
        }
        if (on_log != nullptr) {
            options.log = [](void* self, std::int32_t level, const char* line, std::size_t length) {
                of(self).log(level, std::string_view(line, length));
            };
            options.log_data = this;
            options.log_release = [](void* self) { of(self).release(); };
            ++references;
        }
        results_are_seen_ = on_result != nullptr || pool_ != nullptr || pulled;
        for (std::uint32_t at = 0; at < references; ++at) keep();
        const auto code = api_->mb_batcher_new(&options, &made, &trouble);
        if (code != MB_OK) {
            for (std::uint32_t at = 0; at < references; ++at) release();
            return code;
        }
        if (pool_ != nullptr) pool_->attach(made);
        return MB_OK;
    }

    void log(std::int32_t level, std::string_view line) noexcept override {
        // A log callback that throws has nobody left to tell.
        if (on_log != nullptr) guarded([&] { on_log->run(level, line); }, [] {});
    }

private:
    static typed_hub& of(void* self) noexcept { return *static_cast<typed_hub*>(self); }

    void take_object(std::uint64_t word) {
        if (on_object == nullptr) return take_back(word);
        guarded([&] { on_object->run(word); }, [&] { log_current_exception("on_object_release"); });
    }

    void deliver(const mb_results* handle) {
        const results<R> set(api_, handle, this, &causes());
        guarded([&] { on_result->run(set); }, [&] { log_current_exception("on_result"); });
        if (set.batch() != 0) causes().forget(set.batch());
    }

    // Gives each future its result, then lets the coroutines go on.
    void fulfil(const mb_results* handle) {
        const results<R> set(api_, handle, this, &causes());
        continuation* first = nullptr;
        continuation** last = &first;
        const auto tags = set.tags();
        const auto* numbers = column_of(set);
        for (std::size_t at = 0; at < set.size(); ++at) {
            // Slots were last written by other cores: they are fetched while others are filled.
            if (at + fetched_ahead < set.size()) pool_->fetch(tags[at + fetched_ahead]);
            slot<R>* found = pool_->find(tags[at]);
            if (found == nullptr) continue;
            std::uint32_t flags = 0;
            if constexpr (std::is_same_v<R, std::int64_t> || std::is_same_v<R, double>) {
                if (numbers != nullptr) found->value = numbers[at];
                else flags = fill(*found, set, at);
            } else {
                flags = fill(*found, set, at);
            }
            continuation* waiting = pool_->finish(found, flags);
            if (waiting == nullptr) continue;
            waiting->next = nullptr;
            *last = waiting;
            last = &waiting->next;
        }
        if (set.batch() != 0) causes().forget(set.batch());
        while (first != nullptr) {
            continuation* one = std::exchange(first, first->next);
            guarded([&] { resume == nullptr ? resumption(one)() : resume->run(resumption(one)); },
                    [&] { log_current_exception("a coroutine"); });
        }
    }

    static constexpr std::size_t fetched_ahead = 8;

    // The results as an array, if they are one of R's.
    static const R* column_of([[maybe_unused]] const results<R>& set) noexcept {
        if constexpr (std::is_same_v<R, std::int64_t>) return set.int64s().data();
        else if constexpr (std::is_same_v<R, double>) return set.float64s().data();
        else return nullptr;
    }

    // Writes one result into its slot; answers the flags that go with it.
    std::uint32_t fill(slot<R>& into, const results<R>& set, std::size_t at) noexcept {
        const auto row = set[at];
        if (!row.ok()) return fail(into, row.error());
#if MB_CPP_EXCEPTIONS
        try {
#endif
            if constexpr (is_object<R>) {
                mb_value raw{};
                auto code = api_->mb_results_value(set.handle(), at, &raw);
                if (code == MB_OK && object_in<R>(this, raw) == nullptr) code = MB_ERR_INVALID_ARGUMENT;
                if (code != MB_OK) return fail(into, error::of(api_, code));
                into.value = cell::of(raw.as.object.word);
                into.value->keep();
            } else if constexpr (std::is_same_v<R, value>) {
                if (const auto* shared = row.object()) {
                    ::new (static_cast<void*>(&into.value)) value(*shared);
                } else {
                    ::new (static_cast<void*>(&into.value)) value(*row.try_value());
                }
            } else {
                auto read = row.try_value();
                if (!read) return fail(into, read.error());
                ::new (static_cast<void*>(&into.value)) owned_of<R>(codec<R>::own(*read));
            }
            return 0;
#if MB_CPP_EXCEPTIONS
        } catch (...) {
            return fail(into, error::of(api_, MB_ERR_NO_MEMORY));
        }
#endif
    }

    static std::uint32_t fail(slot<R>& into, error why) noexcept {
        ::new (static_cast<void*>(&into.failure)) error(std::move(why));
        return slot<R>::failed;
    }

    pool<R>* pool_ = nullptr;
    std::int64_t close_timeout_ = 0;
};

}  // namespace detail
MB_CPP_END

#endif
