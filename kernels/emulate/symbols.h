// Where in the sources an address of this module's code is, and which variables it has.
#pragma once

#include <cstddef>
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

// A variable of the module, as nm lists it: where it begins, its size, and its name.
struct Variable {
    uintptr_t offset;
    size_t bytes;
    std::string name;
};
const std::vector<Variable>& variables_of_module();

}  // namespace emulate

#pragma GCC visibility pop
