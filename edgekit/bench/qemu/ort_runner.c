/* Runs an .onnx file on the C interface of the shared library that ONNX Runtime's wheel carries.
 *
 *   ort_runner LIBRARY MODEL CALLS INPUT OUTPUT
 *
 * The counterpart of litert_runner.c, with the same arguments, marks and input bytes; dimensions of any size are 1. ONNX Runtime's
 * C interface is one table of functions whose order never changes, so no header is needed: the places used are listed below.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define MAX_TENSORS 64
#define FLOAT 1
#define INT32 6
#define INT64 7

typedef void *handle;
typedef void *status;
typedef struct { const void *const *(*get_api)(uint32_t); const char *(*get_version)(void); } api_base;

/* Places in struct OrtApi, onnxruntime_c_api.h. */
enum {
    GetErrorMessage = 2, CreateEnv = 3, CreateSession = 7, Run = 9, CreateSessionOptions = 10, SetIntraOpNumThreads = 24,
    SetInterOpNumThreads = 25, SessionGetInputCount = 30, SessionGetOutputCount = 31, SessionGetInputTypeInfo = 33,
    SessionGetInputName = 36, SessionGetOutputName = 37, CreateTensorWithDataAsOrtValue = 49, GetTensorMutableData = 51,
    CastTypeInfoToTensorInfo = 55, GetTensorElementType = 60, GetDimensionsCount = 61, GetDimensions = 62,
    GetTensorShapeElementCount = 64, GetTensorTypeAndShape = 65, CreateCpuMemoryInfo = 69, GetAllocatorWithDefaultOptions = 78
};

static const void *const *api;

static void check(status s) {
    if (!s) return;
    fprintf(stderr, "ort_runner: %s\n", ((const char *(*)(status))api[GetErrorMessage])(s));
    exit(3);
}

#define CALL(name, ...) check(((status(*)())api[name])(__VA_ARGS__))

static void fail(const char *what) {
    fprintf(stderr, "ort_runner: %s\n", what);
    exit(3);
}

static size_t size_of(int type) {
    switch (type) {
    case 2: case 3: case 9: return 1;
    case 4: case 5: case 10: return 2;
    case 1: case 6: case 12: return 4;
    case 7: case 11: case 13: return 8;
    }
    fail("an input or output of a type that has no fixed size");
    return 0;
}

static void fill(unsigned char *to, size_t size, int type) {
    static uint32_t state = 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525u + 1013904223u;
        to[i] = (unsigned char)(state >> 24);
    }
    if (type == FLOAT)
        for (size_t i = 0; i + 4 <= size; i += 4) {
            float value = (float)to[i] / 128.0f - 1.0f;
            memcpy(to + i, &value, 4);
        }
    if (type == INT32 || type == INT64)
        for (size_t i = 0, step = size_of(type); i + step <= size; i += step) {
            to[i] &= 1;
            memset(to + i + 1, 0, step - 1);
        }
}

static void mark(int tag) { getpriority(77, (id_t)tag); }

int main(int argc, char **argv) {
    if (argc != 6) fail("usage: ort_runner LIBRARY MODEL CALLS INPUT OUTPUT");
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    const api_base *(*get)(void) = library ? (const api_base *(*)(void))dlsym(library, "OrtGetApiBase") : NULL;
    if (!get || !(api = get()->get_api(12))) {
        fprintf(stderr, "ort_runner: %s\n", library ? "the library has no C interface of version 12" : dlerror());
        return 4;
    }
    handle env, options, session, allocator, memory, type, tensor;
    CALL(CreateEnv, 3 /* errors only */, "edgekit", &env);
    CALL(CreateSessionOptions, &options);
    CALL(SetIntraOpNumThreads, options, 1);
    CALL(SetInterOpNumThreads, options, 1);
    CALL(CreateSession, env, argv[2], options, &session);
    CALL(GetAllocatorWithDefaultOptions, &allocator);
    CALL(CreateCpuMemoryInfo, 0 /* device allocator */, 0 /* default memory */, &memory);
    size_t n_in, n_out, rank, count;
    CALL(SessionGetInputCount, session, &n_in);
    CALL(SessionGetOutputCount, session, &n_out);
    if (n_in > MAX_TENSORS || n_out > MAX_TENSORS) fail("too many inputs or outputs");

    const char *in_names[MAX_TENSORS], *out_names[MAX_TENSORS];
    handle in[MAX_TENSORS], out[MAX_TENSORS] = {0};
    FILE *file = strcmp(argv[4], "-") ? fopen(argv[4], "rb") : NULL;
    if (!file && strcmp(argv[4], "-")) fail("cannot read the input file");
    for (size_t i = 0; i < n_in; i++) {
        int64_t sizes[16];
        int element;
        CALL(SessionGetInputName, session, i, allocator, &in_names[i]);
        CALL(SessionGetInputTypeInfo, session, i, &type);
        CALL(CastTypeInfoToTensorInfo, type, &tensor);
        if (!tensor) fail("an input that is no tensor");
        CALL(GetTensorElementType, tensor, &element);
        CALL(GetDimensionsCount, tensor, &rank);
        if (rank > 16) fail("an input of more than 16 dimensions");
        CALL(GetDimensions, tensor, sizes, rank);
        size_t bytes = size_of(element);
        for (size_t d = 0; d < rank; d++) bytes *= (size_t)(sizes[d] = sizes[d] > 0 ? sizes[d] : 1);
        unsigned char *data = aligned_alloc(64, (bytes + 63) / 64 * 64);
        if (!file) fill(data, bytes, element);
        else if (fread(data, 1, bytes, file) != bytes) fail("the input file is too short");
        CALL(CreateTensorWithDataAsOrtValue, memory, data, bytes, sizes, rank, element, &in[i]);
    }
    if (file) fclose(file);
    for (size_t i = 0; i < n_out; i++) CALL(SessionGetOutputName, session, i, allocator, &out_names[i]);

    mark(1000);
    mark(1001);
    for (int call = 0; call < atoi(argv[3]); call++) {
        mark(2 * call);
        /* The first call allocates the outputs; later ones write into them. */
        status s = ((status(*)())api[Run])(session, NULL, in_names, in, n_in, out_names, n_out, out);
        mark(2 * call + 1);
        check(s);
        if (call || !strcmp(argv[5], "-")) continue;
        file = fopen(argv[5], "wb");
        if (!file) fail("cannot write the output file");
        for (size_t i = 0; i < n_out; i++) {
            void *data;
            int element;
            CALL(GetTensorMutableData, out[i], &data);
            CALL(GetTensorTypeAndShape, out[i], &tensor);
            CALL(GetTensorElementType, tensor, &element);
            CALL(GetTensorShapeElementCount, tensor, &count);
            fwrite(data, size_of(element), count, file);
        }
        fclose(file);
    }
    fflush(NULL);
    _Exit(0); /* nothing is torn down: the measurement is done */
}
