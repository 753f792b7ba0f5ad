// What a kernel computes of one element is plain C++, in headers that know nothing of CUDA: kernels
// include them, and loops on the CPU (csrc/native).
#pragma once

#ifdef __CUDACC__
#define ELEMENT_FUNCTION __host__ __device__ __forceinline__
#else
#define ELEMENT_FUNCTION inline
#endif
