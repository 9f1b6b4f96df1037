// The same in C++: classes and templates, and linked to nothing either.

#include "awkward.h"

namespace {

class rows {
public:
    rows(mb_batch *batch, const mb_api *api) : batch_(batch), api_(api)
    {
        view_.struct_size = sizeof view_;
        status_ = api_->mb_batch_get_view(batch_, &view_);
    }

    template <typename Work> mb_status each(Work work)
    {
        for (size_t row = 0; status_ == MB_OK && row < view_.count; row++) {
            mb_value value;
            status_ = api_->mb_batch_value(batch_, row, &value);
            if (status_ == MB_OK) {
                status_ = work(row, view_.tags[row], value);
            }
        }
        return status_;
    }

private:
    mb_batch *batch_;
    const mb_api *api_;
    mb_batch_view view_;
    mb_status status_;
};

} // namespace

extern "C" mb_status check_in_cpp(void *, mb_batch *batch, const mb_api *api)
{
    return rows(batch, api).each([=](size_t row, uint64_t tag, mb_value &value) -> mb_status {
        if (!awkward_is(&value, tag)) {
            return api->mb_batch_fail(batch, row, 9, "check_in_cpp", "not what was pushed", 19);
        }
        awkward_get(tag, &value);
        return api->mb_batch_set_value(batch, row, &value);
    });
}
