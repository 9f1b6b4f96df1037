// The same without anything at all: no exceptions, no C++ library, no C library. It doubles integers.
#include <microbatch.h>

extern "C" mb_status plugin_double(void*, mb_batch* batch, const mb_api* api) {
    mb_batch_view view;
    view.struct_size = sizeof view;
    mb_status status = api->mb_batch_get_view(batch, &view);
    if (status != MB_OK) return status;
    const auto* values = static_cast<const int64_t*>(view.values);
    for (size_t row = 0; row < view.count && status == MB_OK; ++row)
        status = api->mb_batch_set_int64(batch, row, values[row] * 2);
    return status;
}
