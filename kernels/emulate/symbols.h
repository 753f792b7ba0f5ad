// Where in the sources an address of this module's code is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#pragma GCC visibility push(hidden)

namespace emulate {

// From the module's start.
using CodeOffset = uint32_t;

// "softmax.cu:30, inlined at softmax.cu:61" for each, as far as the compiler noted lines and addr2line
// reads them; else offsets in the module.
std::vector<std::string> places_in_source(const std::vector<CodeOffset>& sites);
std::string place_in_source(const void* code);

}  // namespace emulate

#pragma GCC visibility pop
