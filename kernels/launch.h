// What a kernel launch looks like from the host, the same for CUDA and for the emulator: the error it
// raises, the shape it has, and the limits it is checked against before anything runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

// The types that launchers name in their signatures. Only declared here, so that the bindings need
// neither CUDA's headers nor the emulator's; cuda_fp16.h, cuda_bf16.h and emulate/float16.h define them.
struct __half;
struct __nv_bfloat16;
struct CUstream_st;
using half = __half;
using bfloat16 = __nv_bfloat16;
using cudaStream_t = CUstream_st*;

// A launch that was refused or that failed. Becomes tapegrad's KernelError in Python.
class KernelError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// Grid or block dimensions. 64 bits wide, unlike CUDA's dim3: a count above 2^32 must be refused,
// never silently cut down to a small launch that computes only part of the answer.
struct Extent {
    int64_t x, y, z;
    Extent(int64_t x, int64_t y = 1, int64_t z = 1) : x(x), y(y), z(z) {}
};

constexpr int64_t max_threads_per_block = 1024;
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

inline std::string describe_launch(const char* kernel, const Extent& grid, const Extent& block,
                                   size_t shared_bytes) {
    return kernel_name(kernel) + " [grid " + to_string(grid) + ", block " + to_string(block) + ", " +
           std::to_string(shared_bytes) + " bytes of dynamic shared memory]";
}

inline void check_launch(const char* kernel, const Extent& grid, const Extent& block,
                         size_t shared_bytes) {
    std::string problem;
    if (grid.x < 1 || grid.y < 1 || grid.z < 1 || block.x < 1 || block.y < 1 || block.z < 1) {
        problem = "every dimension must be at least 1";
    } else if (grid.x > max_grid_width || grid.y > max_grid_height || grid.z > max_grid_height) {
        problem = "the grid is larger than (2147483647, 65535, 65535)";
    } else if (block.x > max_threads_per_block || block.y > max_threads_per_block ||
               block.z > max_block_depth || block.x * block.y * block.z > max_threads_per_block) {
        problem = "a block has at most 1024 threads and dimensions of at most (1024, 1024, 64)";
    } else if (shared_bytes > max_shared_bytes) {
        problem = "a block has at most " + std::to_string(max_shared_bytes) + " bytes of shared memory";
    }
    if (!problem.empty()) {
        throw KernelError(describe_launch(kernel, grid, block, shared_bytes) + ": " + problem);
    }
}
