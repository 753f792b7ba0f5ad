// How kernels of a program run. `k<<<grid, block>>>(x)` has been rewritten to `(configure(grid, block),
// k(x))`, and the body of the kernel, which that calls like any function, to one call of `run` with what
// one thread does: it holds the arguments as the call has converted them.
#pragma once

#include <tuple>
#include <utility>

#include "api.h"

namespace emulate {
namespace cuda {

void configure(dim3 grid, dim3 block, size_t shared_bytes = 0, cudaStream_t stream = nullptr);
void configure_cooperative(dim3 grid, dim3 block, size_t shared_bytes);
cudaError_t run_configured(const char* kernel, void (*body)(void*), void* closure, size_t bytes);

template <class Body>
void run(const char* kernel, Body body) {
    run_configured(
        kernel,
        [](void* closure) {
            Body mine(*static_cast<const Body*>(closure));  // each thread has its own arguments
            mine();
        },
        &body, sizeof body);
}

template <class... Parameters, size_t... i>
void call(void (*kernel)(Parameters...), void** arguments, std::index_sequence<i...>) {
    kernel(*static_cast<typename std::remove_reference<Parameters>::type*>(arguments[i])...);
}

cudaError_t last_launch();

// The kernel that is called next does not run, but is the one that may then have so many bytes of dynamic
// shared memory. (Its body is known to it alone.) Where none was called, every kernel may.
void ask_for_kernel();
cudaError_t allow_shared_bytes(cudaFuncAttribute attribute, int bytes);

template <class T>
T& zeros() {
    alignas(T) static unsigned char bytes[sizeof(T)];
    return reinterpret_cast<T&>(bytes);
}

}  // namespace cuda
}  // namespace emulate

template <class... Parameters>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Parameters...), cudaFuncAttribute attribute, int value) {
    emulate::cuda::ask_for_kernel();
    kernel(emulate::cuda::zeros<Parameters>()...);
    return emulate::cuda::allow_shared_bytes(attribute, value);
}
inline cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute attribute, int value) {
    emulate::cuda::ask_for_kernel();
    return emulate::cuda::allow_shared_bytes(attribute, value);
}

template <class... Parameters>
cudaError_t cudaLaunchKernel(void (*kernel)(Parameters...), dim3 grid, dim3 block, void** arguments,
                             size_t shared_bytes = 0, cudaStream_t = nullptr) {
    emulate::cuda::configure(grid, block, shared_bytes);
    emulate::cuda::call(kernel, arguments, std::index_sequence_for<Parameters...>());
    return emulate::cuda::last_launch();
}

template <class... Parameters>
cudaError_t cudaLaunchCooperativeKernel(void (*kernel)(Parameters...), dim3 grid, dim3 block,
                                        void** arguments, size_t shared_bytes = 0,
                                        cudaStream_t = nullptr) {
    emulate::cuda::configure_cooperative(grid, block, shared_bytes);
    emulate::cuda::call(kernel, arguments, std::index_sequence_for<Parameters...>());
    return emulate::cuda::last_launch();
}
