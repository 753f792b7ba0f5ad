// What a kernel launch looks like from the host, the same for CUDA and for the emulator: the error it
// raises, the shape it has, the limits it is checked against before anything runs, and the list of
// launchers, in which each enters itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

// The types that launchers name in their signatures. Only declared here, so that the bindings need
// neither CUDA's headers nor the emulator's; cuda_fp16.h, cuda_bf16.h and emulate/float16.h define them.
struct __half;
struct __nv_bfloat16;
struct CUstream_st;
using half = __half;
using bfloat16 = __nv_bfloat16;
using cudaStream_t = CUstream_st*;

// A launch that was refused or that failed. Becomes tapegrad's exception of this name in Python.
class KernelError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
    virtual const char* kind() const noexcept { return "KernelError"; }
    virtual const void* address() const noexcept { return nullptr; }  // that is not said yet
};

// Threads that access the same memory in no order, one of them writing.
class RaceError : public KernelError {
  public:
    using KernelError::KernelError;
    const char* kind() const noexcept override { return "RaceError"; }
};

// An access out of bounds, to a misaligned address, or to shared memory that nothing wrote.
class AccessError : public KernelError {
  public:
    using KernelError::KernelError;
    explicit AccessError(const std::string& what, const void* address) : KernelError(what), address_(address) {}
    const char* kind() const noexcept override { return "AccessError"; }
    const void* address() const noexcept override { return address_; }

  private:
    const void* address_ = nullptr;
};

// Grid or block dimensions. 64 bits wide, unlike CUDA's dim3: a count above 2^32 must be refused,
// never silently cut down to a small launch that computes only part of the answer.
struct Extent {
    int64_t x, y, z;
    Extent(int64_t x, int64_t y = 1, int64_t z = 1) : x(x), y(y), z(z) {}
};

// A grid, of which so many blocks, neighbours along x, are a cluster: they run at the same time, and reach
// each other's shared memory (GPUs of compute capability 9.0 on).
struct Grid : Extent {
    int64_t cluster = 1;
    Grid(int64_t x, int64_t y = 1, int64_t z = 1) : Extent(x, y, z) {}
    Grid(const Extent& blocks, int64_t cluster = 1) : Extent(blocks), cluster(cluster) {}
};

constexpr int64_t max_threads_per_block = 1024;
constexpr int64_t max_blocks_of_cluster = 8;  // on every GPU that has clusters
constexpr int64_t max_block_depth = 64;
constexpr int64_t max_grid_width = 2147483647;
constexpr int64_t max_grid_height = 65535;
constexpr size_t max_static_shared_bytes = 48 * 1024;
constexpr size_t max_shared_bytes = 227 * 1024;

inline std::string to_string(const Extent& e) {
    return "(" + std::to_string(e.x) + ", " + std::to_string(e.y) + ", " + std::to_string(e.z) + ")";
}

// LAUNCH turns its first argument into text. A template arrives there in parentheses and with the names
// of its parameters, such as "(softmax_kernel<T, 256>)", of which only the name is worth reading.
inline std::string kernel_name(const char* text) {
    const std::string name(text + (text[0] == '('));
    return name.substr(0, name.find_first_of("<)"));
}

inline std::string describe_launch(const char* kernel, const Grid& grid, const Extent& block,
                                   size_t shared_bytes) {
    const std::string clusters = grid.cluster == 1 ? "" : " in clusters of " + std::to_string(grid.cluster);
    return kernel_name(kernel) + " [grid " + to_string(grid) + clusters + ", block " + to_string(block) + ", " +
           std::to_string(shared_bytes) + " bytes of dynamic shared memory]";
}

inline void check_launch(const char* kernel, const Grid& grid, const Extent& block,
                         size_t shared_bytes) {
    std::string problem;
    if (grid.x < 1 || grid.y < 1 || grid.z < 1 || block.x < 1 || block.y < 1 || block.z < 1) {
        problem = "every dimension must be at least 1";
    } else if (grid.x > max_grid_width || grid.y > max_grid_height || grid.z > max_grid_height) {
        problem = "the grid is larger than (2147483647, 65535, 65535)";
    } else if (block.x > max_threads_per_block || block.y > max_threads_per_block ||
               block.z > max_block_depth || block.x * block.y * block.z > max_threads_per_block) {
        problem = "a block has at most 1024 threads and dimensions of at most (1024, 1024, 64)";
    } else if (grid.cluster < 1 || grid.cluster > max_blocks_of_cluster || grid.x % grid.cluster != 0) {
        problem = "a cluster has 1 to 8 blocks, and the grid's width is a multiple of it";
    } else if (shared_bytes > max_shared_bytes) {
        problem = "a block has at most " + std::to_string(max_shared_bytes) + " bytes of shared memory";
    }
    if (!problem.empty()) {
        throw KernelError(describe_launch(kernel, grid, block, shared_bytes) + ": " + problem);
    }
}

// ---- the list of launchers ----

// What a launcher is called with.
union Argument {
    void* pointer;
    int64_t integer;
    uint64_t word;
    double number;
    bool truth;
};

// A launcher as seen from outside: `kinds` has a letter for each parameter, with which of Argument's
// members it arrives in: p, i, w, n or t. The answer of a launcher that returns nothing is 0.
struct Launcher {
    const char* name;
    const char* dtype;  // of the elements; null if it has none
    const char* kinds;
    bool answers;
    int64_t (*call)(const Argument* arguments);
};

constexpr int max_parameters = 64;

// In order of the files' initialisation, which means nothing.
inline std::vector<Launcher>& launchers() {
    static std::vector<Launcher> all;
    return all;
}

template <class T>
constexpr char argument_kind() {
    if constexpr (std::is_pointer<T>::value) return 'p';
    if constexpr (std::is_same<T, bool>::value) return 't';
    if constexpr (std::is_floating_point<T>::value) return 'n';
    return std::is_signed<T>::value ? 'i' : 'w';
}

template <class T>
T from_argument(const Argument& argument) {
    if constexpr (std::is_pointer<T>::value) {
        return static_cast<T>(argument.pointer);
    } else if constexpr (std::is_same<T, bool>::value) {
        return argument.truth;
    } else if constexpr (std::is_floating_point<T>::value) {
        return static_cast<T>(argument.number);
    } else {
        return static_cast<T>(std::is_signed<T>::value ? argument.integer : argument.word);
    }
}

template <auto function>
struct Adapter;

template <class Result, class... Parameters, Result (*function)(Parameters...)>
struct Adapter<function> {
    static_assert(sizeof...(Parameters) <= max_parameters, "more than bindings.cpp makes room for");

    static constexpr char kinds[] = {argument_kind<Parameters>()..., 0};

    static Launcher launcher(const char* name, const char* dtype) {
        return {name, dtype, kinds, !std::is_void<Result>::value, call};
    }
    static int64_t call(const Argument* arguments) {
        return call(arguments, std::index_sequence_for<Parameters...>());
    }
    template <size_t... i>
    static int64_t call(const Argument* arguments, std::index_sequence<i...>) {
        if constexpr (std::is_void<Result>::value) {
            function(from_argument<Parameters>(arguments[i])...);
            return 0;
        } else {
            return function(from_argument<Parameters>(arguments[i])...);
        }
    }
};

struct Registration {
    Registration(std::initializer_list<Launcher> more) {
        launchers().insert(launchers().end(), more);
    }
};

// Below a function template of one element type: makes it a launcher for all of them.
#define LAUNCHER(function) LAUNCHER_AS(function, function<T>)

// The same, under another name than that of the function, which is an expression in T.
#define LAUNCHER_AS(name, ...)                                                \
    template <class T>                                                        \
    constexpr auto name##_for = &__VA_ARGS__;                                 \
    static const Registration name##_registration{                            \
        Adapter<name##_for<float>>::launcher(#name, "float32"),               \
        Adapter<name##_for<double>>::launcher(#name, "float64"),              \
        Adapter<name##_for<half>>::launcher(#name, "float16"),                \
        Adapter<name##_for<bfloat16>>::launcher(#name, "bfloat16"),           \
    }

// The same for all but float64.
#define LAUNCHER_UP_TO_FLOAT32(function) LAUNCHER_UP_TO_FLOAT32_AS(function, function<T>)

#define LAUNCHER_UP_TO_FLOAT32_AS(name, ...)                                  \
    template <class T>                                                        \
    constexpr auto name##_for = &__VA_ARGS__;                                 \
    static const Registration name##_registration{                            \
        Adapter<name##_for<float>>::launcher(#name, "float32"),               \
        Adapter<name##_for<half>>::launcher(#name, "float16"),                \
        Adapter<name##_for<bfloat16>>::launcher(#name, "bfloat16"),           \
    }

// The same for float16 and bfloat16.
#define LAUNCHER_16_BITS(function) LAUNCHER_16_BITS_AS(function, function<T>)
#define LAUNCHER_16_BITS_AS(name, ...)                                        \
    template <class T>                                                        \
    constexpr auto name##_for = &__VA_ARGS__;                                 \
    static const Registration name##_registration{                            \
        Adapter<name##_for<half>>::launcher(#name, "float16"),                \
        Adapter<name##_for<bfloat16>>::launcher(#name, "bfloat16"),           \
    }

// The same for float32 and float64.
#define LAUNCHER_FROM_FLOAT32(name)                                           \
    template <class T>                                                        \
    constexpr auto name##_for = &name<T>;                                     \
    static const Registration name##_registration{                            \
        Adapter<name##_for<float>>::launcher(#name, "float32"),               \
        Adapter<name##_for<double>>::launcher(#name, "float64"),              \
    }

// Below a plain function.
#define FUNCTION(function) \
    static const Registration function##_registration{Adapter<&function>::launcher(#function, nullptr)}
