// A C++ program with a virtual machine in it. It has its own copy of the engine; the jar brings another. It hands its
// batchers to Java by their handles: one whose values Java pushes and C++ handles, one the other way round.
//
//   host LIBJVM CLASSPATH [OPTION]

#include "awkward.h"

#include <dlfcn.h>
#include <jni.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

extern "C" mb_status check_in_cpp(void *, mb_batch *batch, const mb_api *api);

namespace {

#define CHECK(condition)                                                        \
    do {                                                                        \
        if (!(condition)) {                                                     \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            std::exit(1);                                                       \
        }                                                                       \
    } while (0)

constexpr uint64_t object_word = 0xfeedfacecafebeef;

std::atomic<int> right{0};
std::atomic<int> wrong{0};
std::atomic<int> objects_back{0};
std::atomic<int> released{0};

// Every result must be the value that was pushed with its tag; tag 1000 is the object's.
void on_result(void *, const mb_results *results, const mb_api *api)
{
    mb_results_view view;
    view.struct_size = sizeof view;
    CHECK(api->mb_results_get_view(results, &view) == MB_OK);
    for (size_t row = 0; row < view.count; row++) {
        mb_value value;
        const bool ok = api->mb_results_value(results, row, &value) == MB_OK;
        if (ok && view.tags[row] == 1000) {
            objects_back += value.kind == MB_KIND_OBJECT && value.as.object.word == object_word;
        } else if (ok && awkward_is(&value, view.tags[row])) {
            right++;
        } else {
            wrong++;
        }
    }
}

void object_release(void *, uint64_t word)
{
    CHECK(word == object_word);
    released++;
}

mb_batcher *made(mb_handler_fn handler, uint32_t owner, mb_shared *shared)
{
    mb_options options;
    mb_batcher *batcher = nullptr;
    mb_error *error = nullptr;
    CHECK(mb_options_init(&options, sizeof options) == MB_OK);
    options.handler = handler;
    options.on_result = on_result;
    options.owner = owner;
    options.object_release = object_release;
    options.max_batch_size = 8;
    if (mb_batcher_new(&options, &batcher, &error) != MB_OK) {
        std::fprintf(stderr, "%s\n", mb_error_message(error));
        std::exit(1);
    }
    shared->struct_size = sizeof *shared;
    CHECK(mb_batcher_share(batcher, shared) == MB_OK);
    return batcher;
}

JavaVM *machine(const char *libjvm, const char *classpath, const char *option, JNIEnv **env)
{
    using create_function = jint (*)(JavaVM **, void **, void *);
    void *library = dlopen(libjvm, RTLD_NOW | RTLD_GLOBAL);
    CHECK(library != nullptr);
    create_function create;
    void *symbol = dlsym(library, "JNI_CreateJavaVM");
    CHECK(symbol != nullptr);
    std::memcpy(&create, &symbol, sizeof create);
    std::string path = std::string("-Djava.class.path=") + classpath;
    std::string check = "-Xcheck:jni";
    std::string more = option;
    JavaVMOption given[] = {{&path[0], nullptr}, {&check[0], nullptr}, {&more[0], nullptr}};
    JavaVMInitArgs arguments;
    arguments.version = JNI_VERSION_1_8;
    arguments.nOptions = 3;
    arguments.options = given;
    arguments.ignoreUnrecognized = JNI_FALSE;
    JavaVM *vm = nullptr;
    CHECK(create(&vm, reinterpret_cast<void **>(env), &arguments) == JNI_OK);
    return vm;
}

} // namespace

int main(int count, char **arguments)
{
    CHECK(count >= 3);
    uint32_t owner = 0;
    CHECK(mb_owner_new(&owner) == MB_OK);
    mb_shared cpp_handles, java_handles;
    mb_batcher *to_cpp = made(check_in_cpp, 0, &cpp_handles);
    mb_batcher *to_java = made(nullptr, owner, &java_handles);

    for (uint64_t tag = 0; tag < AWKWARD_COUNT; tag++) {
        mb_value value;
        awkward_get(tag, &value);
        CHECK(mb_batcher_push_value(to_java, &value, tag, nullptr) == MB_OK);
    }
    CHECK(mb_batcher_push_object(to_java, owner, object_word, 16, 1000) == MB_OK);

    JNIEnv *env = nullptr;
    JavaVM *vm = machine(arguments[1], arguments[2], count > 3 ? arguments[3] : "-Xmx128m", &env);
    jclass side = env->FindClass("io/microbatch/HostSide");
    if (side == nullptr) {
        env->ExceptionDescribe();
        return 1;
    }
    jmethodID serve = env->GetStaticMethodID(side, "serve", "(JJI)V");
    CHECK(serve != nullptr);
    env->CallStaticVoidMethod(
        side, serve, static_cast<jlong>(reinterpret_cast<uintptr_t>(&cpp_handles)),
        static_cast<jlong>(reinterpret_cast<uintptr_t>(&java_handles)), static_cast<jint>(AWKWARD_COUNT + 1));
    if (env->ExceptionCheck()) {
        env->ExceptionDescribe();
        return 1;
    }
    CHECK(mb_batcher_close(to_cpp, MB_FOREVER, nullptr) == MB_OK);
    CHECK(mb_batcher_close(to_java, MB_FOREVER, nullptr) == MB_OK);
    CHECK(mb_batcher_free(to_cpp) == MB_OK);
    CHECK(mb_batcher_free(to_java) == MB_OK);
    CHECK(vm->DestroyJavaVM() == JNI_OK);

    CHECK(wrong == 0);
    CHECK(right == 2 * AWKWARD_COUNT);
    CHECK(objects_back == 1);
    CHECK(released == 2); // the value, and the reference that came back as its result
    std::puts("every value came back");
    return 0;
}
