// What the parts of the emulated runtime API share, and what they tell whoever runs the program.
#pragma once

#include <string>

#include "api.h"

namespace emulate {
namespace cuda {

// Remembers an error for cudaGetLastError, and returns it.
cudaError_t note(cudaError_t error);

// Whether a kernel ended in an error, after which nothing runs: `status` says which. A program that goes on
// calling for ever is ended.
bool failing();

// For whoever runs the program: what is wrong, and what is only worth knowing.
void report(const std::string& text);
void remark(const std::string& text);

}  // namespace cuda
}  // namespace emulate
